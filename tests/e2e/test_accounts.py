"""Goal: accounts made on the command line hold from the next request on: keys, teams, revocation, rotation, expiry, allowed models
and networks; the audit has each act; nothing secret is stored or shown twice.

Method: the real binary as server and as command line on one data_dir, with and without the server running.
"""

import base64
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess

import pytest

import servers

CHAT = "/v1/chat/completions"
USER = [{"role": "user", "content": "hi"}]


def cli(server, *words, status=0):
    done = subprocess.run(
        [servers.RINGWAY, *words, "--config", str(server.config_path), "--output", "json"],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout) if status == 0 else done.stderr


@pytest.fixture
def own(launch, backend, tmp_path):
    return launch(backend, data_dir=str(tmp_path / "data"), workers=2)


def ask(server, key, model="up/mock", times=1):
    return [server.post(CHAT, {"model": model, "messages": USER}, key=key).status for _ in range(times)]


def test_key__from_the_next_request_on(own):
    """Created, revoked: every worker knows at once (several connections reach both)."""
    key = cli(own, "key", "create", "--name", "ci")
    assert key["key"].startswith("rw-") and len(key["key"]) == 46 and key["team"] == "default"
    assert ask(own, key["key"], times=8) == [200] * 8
    cli(own, "key", "revoke", key["id"])
    assert ask(own, key["key"], times=8) == [401] * 8


def test_key__unknown_first_then_made(own, tmp_path):
    """An unknown key that was remembered as unknown works once it is imported."""
    text = "sk-imported-0123456789abcdef"
    assert ask(own, text, times=4) == [401] * 4
    keys = tmp_path / "keys.txt"
    keys.write_text(f"# the old gateway's\n{text} old-one\n\n")
    done = subprocess.run(
        [servers.RINGWAY, "key", "import", str(keys), "--config", str(own.config_path)], capture_output=True, text=True
    )
    assert done.returncode == 0 and "1 keys imported" in done.stdout, done.stderr
    assert ask(own, text, times=4) == [200] * 4
    assert cli(own, "key", "show", "old-one")["prefix"] == text[:9]


def test_key__rotated(own):
    first = cli(own, "key", "create")
    second = cli(own, "key", "rotate", first["id"])
    assert second["key"] != first["key"] and second["id"] == first["id"]
    assert ask(own, first["key"], times=4) == ask(own, second["key"], times=4) == [200] * 4
    third = cli(own, "key", "rotate", first["id"], "--overlap-hours", "0")
    assert ask(own, first["key"], times=4) == ask(own, second["key"], times=4) == [401] * 4
    assert ask(own, third["key"]) == [200]


def test_key__models_networks_disabled_expired(own):
    key = cli(own, "key", "create", "--models", "up/a,up/b")
    assert ask(own, key["key"], "up/a") == [200] and ask(own, key["key"], "up/c") == [404]
    cli(own, "key", "set", key["id"], "--models", "none", "--cidrs", "10.0.0.0/8")
    answer = own.post(CHAT, {"model": "up/c", "messages": USER}, key=key["key"])
    assert answer.status == 403 and "address" in answer.json()["error"]["message"]
    cli(own, "key", "set", key["id"], "--cidrs", "127.0.0.0/8")
    assert ask(own, key["key"], "up/c") == [200]
    cli(own, "key", "set", key["id"], "--disabled", "true")
    assert ask(own, key["key"]) == [401]
    cli(own, "key", "set", key["id"], "--disabled", "false", "--expires", "2020-01-01")
    assert ask(own, key["key"]) == [401]
    cli(own, "key", "set", key["id"], "--expires", "30d")
    assert ask(own, key["key"]) == [200]


def test_team__its_rules_hold_for_its_keys(own):
    cli(own, "tenant", "create", "acme")
    cli(own, "team", "create", "research", "--tenant", "acme", "--models", "up/a")
    key = cli(own, "key", "create", "--team", "research", "--models", "up/a,up/b")
    assert (key["team"], key["tenant"]) == ("research", "acme")
    assert ask(own, key["key"], "up/a") == [200] and ask(own, key["key"], "up/b") == [404]
    cli(own, "tenant", "set", "acme", "--disabled", "true")
    assert ask(own, key["key"], "up/a") == [401]
    cli(own, "team", "delete", "research", status=1)
    cli(own, "key", "delete", key["id"])
    cli(own, "team", "delete", "research")
    assert [t["name"] for t in cli(own, "team", "list")["data"]] == ["default"]


def test_limits__kept_as_they_were_said(own):
    cli(own, "team", "create", "t", "--rpm", "600", "--tpm", "200000", "--usd-per-month", "500.25", "--concurrency", "64")
    assert cli(own, "team", "show", "t")["limits"] == {
        "rpm": 600,
        "tpm": 200000,
        "concurrency": 64,
        "usd_per_month": 500.25,
    }
    cli(own, "team", "set", "t", "--rpm", "none", "--usd-per-day", "0.000000001")
    limits = cli(own, "team", "show", "t")["limits"]
    assert "rpm" not in limits and limits["usd_per_day"] == 1e-9 and limits["tpm"] == 200000
    cli(own, "team", "set", "t", "--requests", "100/second:200", "--tokens", "5000000/day", "--hard", "false")
    limits = cli(own, "team", "show", "t")["limits"]
    assert limits["rates"] == [
        {"window": "second", "requests": 100, "burst": 200},
        {"window": "day", "tokens": 5000000},
    ]
    assert limits["tpm"] == 200000 and limits["hard"] is False
    cli(own, "team", "set", "t", "--requests", "none", "--hard", "none")
    limits = cli(own, "team", "show", "t")["limits"]
    assert "rates" not in limits and "hard" not in limits and limits["tpm"] == 200000


def test_plans__there_from_the_start_and_as_long_as_somebody_has_them(own):
    assert [(p["name"], p["limits"]["rates"]) for p in cli(own, "plan", "list")["data"]] == [
        ("staging", [{"window": "second", "requests": 100}]),
        ("production", [{"window": "second", "requests": 1000}]),
    ]
    cli(own, "plan", "create", "gold", "--rpm", "60")
    key = cli(own, "key", "create", "--plan", "gold")
    assert key["plan"] == "gold" and key["limits"] == {}
    assert "another plan" in cli(own, "plan", "delete", "gold", status=1)
    cli(own, "plan", "set", "gold", "--rpm", "90")
    assert cli(own, "plan", "show", "gold")["limits"] == {"rpm": 90}
    assert "plan" not in cli(own, "key", "set", key["id"], "--plan", "none")
    cli(own, "plan", "delete", "gold")
    cli(own, "plan", "delete", "staging")
    own.stop()
    own.restart()
    assert [p["name"] for p in cli(own, "plan", "list")["data"]] == ["production"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["key", "create", "--plan", "nobody"], "There is no plan 'nobody'"),
        (["key", "create", "--usd-per-day", "4000001"], "limits.usd_per_day"),
        (["key", "create", "--requests", "5/day:9"], "limits.rates"),
        (["key", "create", "--requests", "5/week"], "second, minute, hour or day"),
        (["key", "create", "--rpm", "5", "--requests", "5/minute"], "twice"),
        (["key", "create", "--mode", "fixed_window", "--requests", "5/minute:9"], "no burst"),
        (["key", "create", "--concurrency", "0"], "limits.concurrency"),
        (["key", "create", "--team", "nobody"], "There is no team 'nobody'"),
        (["team", "create", "default"], "taken"),
        (["key", "show", "999"], "none of that id"),
        (["key", "create", "--cidrs", "10.0.0.0/99"], "10.0.0.0/99"),
        (["key", "create", "--expires", "soon"], "30d"),
    ],
)
def test_errors__say_what_to_do(own, words, said):
    assert said in cli(own, *words, status=1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rpm", "many"], "--rpm is a whole number"),
        (["--usd-per-day", "5."], "12.50"),
        (["--hard", "maybe"], "true or false"),
        (["--requests", "100"], "100/second"),
        (["--tag", "k"], "NAME=VALUE"),
    ],
)
def test_command_line__wrong_values(own, words, said):
    assert said in cli(own, "key", "create", *words, status=2)


def test_command_line__without_a_server(own):
    """The same acts on the store itself; the server that starts later knows them."""
    own.stop()
    key = cli(own, "key", "create", "--name", "early")
    own.restart()
    assert ask(own, key["key"]) == [200]
    assert [k["name"] for k in cli(own, "key", "list")["data"]] == ["ci", "early"]


def test_limits__hold_and_change_from_the_next_request_on(own):
    key = cli(own, "key", "create", "--name", "k", "--rpm", "3")
    assert ask(own, key["key"], times=4) == [200] * 3 + [429]
    cli(own, "key", "set", "k", "--rpm", "none")
    assert ask(own, key["key"], times=8) == [200] * 8
    cli(own, "plan", "create", "gold", "--requests", "2/hour")
    cli(own, "key", "set", "k", "--plan", "gold")
    answers = [own.post(CHAT, {"model": "up/mock", "messages": USER}, key=key["key"]) for _ in range(3)]
    assert [a.status for a in answers] == [200, 200, 429]
    assert "2 requests per hour" in answers[2].json()["error"]["message"] and int(answers[2].header("retry-after")) > 60
    cli(own, "plan", "set", "gold", "--requests", "none")
    assert ask(own, key["key"], times=4) == [200] * 4
    cli(own, "team", "set", "default", "--requests", "1/hour")
    assert ask(own, key["key"], times=3) == [200, 429, 429]
    cli(own, "team", "set", "default", "--shadow", "true")
    assert ask(own, key["key"], times=3) == [200] * 3


@pytest.fixture
def priced(launch, backend, tmp_path):
    """The mock's model costs 1 USD per million tokens in, 2 out."""
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"models": [{"provider": "openai", "model": "mock", "input": 1, "output": 2}]}))
    return launch(backend, data_dir=str(tmp_path / "data"), workers=2, prices_file=str(prices))


def committed(server, requests, *words):
    """What `usage` says once so many requests are in the ledger."""

    def there():
        found = cli(server, "usage", *words)
        return found["summary"]["total_requests"] == requests and found

    return servers.wait_for(there, 5, f"{requests} requests in the ledger")


def test_usage__is_what_the_answers_said(priced):
    cli(priced, "team", "create", "research")
    keys = [cli(priced, "key", "create", "--team", "research", "--name", name)["key"] for name in ("a", "b")]
    tokens_in = tokens_out = 0
    for i in range(5):
        tags = [("x-ringway-tags", "project=red")] if i < 2 else []
        answer = priced.post(CHAT, {"model": "up/mock", "messages": USER}, tags, key=keys[i % 2])
        used = answer.json()["usage"]
        tokens_in += used["prompt_tokens"]
        tokens_out += used["completion_tokens"]
    cost = (tokens_in + 2 * tokens_out) / 1e6
    found = committed(priced, 5, "--by", "key")
    total = found["summary"]
    assert (total["total_input_tokens"], total["total_output_tokens"]) == (tokens_in, tokens_out)
    assert total["total_cost_usd"] == pytest.approx(cost, abs=1e-12) and total["unpriced"] == 0
    assert [(row["key"], row["requests"]) for row in found["by_key"]] == [("a", 3), ("b", 2)]
    assert sum(row["cost_usd"] for row in found["by_key"]) == pytest.approx(cost)
    (team,) = cli(priced, "usage", "--by", "team", "--days", "1")["by_team"]
    assert team["team"] == "research" and team["requests"] == 5
    assert [(t["tag"], t["requests"]) for t in cli(priced, "usage", "--by", "tag")["by_tag"]] == [("project=red", 2)]
    assert cli(priced, "usage", "--key", "b")["summary"]["total_requests"] == 2
    text = run(priced.config_path, "usage", "--by", "model").stdout
    assert text.splitlines()[0].split()[:2] == ["MODEL", "REQUESTS"] and "In 30 days: 5 requests" in text
    csv = run(priced.config_path, "usage", "--by", "day", "--output", "csv").stdout.splitlines()
    assert csv[0].startswith("day,requests,input_tokens") and len(csv) == 2
    priced.stop()
    assert cli(priced, "usage", "--by", "key")["by_key"] == found["by_key"]
    priced.restart()


def test_usage__what_has_no_price_is_said(own):
    key = cli(own, "key", "create")
    assert ask(own, key["key"], times=2) == [200] * 2
    assert committed(own, 2)["summary"]["unpriced"] == 2
    assert "2 were for models without a price" in run(own.config_path, "usage").stdout


def test_prices__of_the_configuration_and_of_the_list(priced, tmp_path):
    models = {m["model"]: m for m in cli(priced, "prices")["data"]}
    assert models["gpt-4o-mini"]["upstream_model"] == "mock"
    assert (models["gpt-4o-mini"]["input"], models["gpt-4o-mini"]["output"]) == (1, 2)
    assert models["text-embedding-3-small"]["priced"] is False
    assert "Without a price: 1." in run(priced.config_path, "prices").stdout
    (mini,) = [m for m in cli(priced, "prices", "openai/gpt-4o-mini")["data"] if m["model"] == "openai/gpt-4o-mini"]
    assert mini["input"] == 0.15
    assert len(cli(priced, "prices", "--all")["data"]) > 50
    assert "prices_file" in cli(priced, "prices", "--file", str(tmp_path / "nothing"), status=2)


def test_models__the_catalogue_with_filters(priced):
    known = {m["model"]: m for m in cli(priced, "models")["data"]}
    assert len(known) >= 90 and known["anthropic/claude-sonnet-4-5"]["quality"] == 4
    fast = cli(priced, "models", "openai/", "--speed", "fast", "--can", "vision,tools", "--input", "0.15")["data"]
    assert "openai/gpt-4o-mini" in {m["model"] for m in fast}
    for m in fast:
        assert m["model"].startswith("openai/") and m["speed"] == "fast" and m["input"] <= 0.15, m
        assert {"vision", "tools"} <= set(m["capabilities"]), m
    assert {m["mode"] for m in cli(priced, "models", "--mode", "rerank")["data"]} == {"rerank"}
    assert "not one of" in cli(priced, "models", "--can", "telepathy", status=2)


def test_models__the_list_says_what_they_cost_and_can(own):
    """What the configuration names; a key sees what it may use."""
    config = dict(own.config, models=[
        {"name": "small", "targets": [{"provider": "up", "model": "gpt-4o-mini-2024-07-18"}]},
        {"name": "own", "targets": [{"provider": "up", "model": "made-here"}]},
    ])
    own.config = config
    own.write_config()
    own.stop()
    own.restart()
    found = {m["id"]: m for m in own.ask("GET", "/v1/models").json()["data"]}
    small = found["small"]
    assert small["provider"] == "up" and small["context_window"] == 128000 and small["max_output_tokens"] == 16384
    assert small["pricing"] == {
        "input_per_1k": 0.00015, "output_per_1k": 0.0006, "input_per_million": 0.15, "output_per_million": 0.6,
    }
    assert {"tools", "vision"} <= set(small["capabilities"]) and small["description"]
    assert (found["own"]["pricing"], found["own"]["context_window"], found["own"]["capabilities"]) == (None, None, [])
    key = cli(own, "key", "create", "--models", "own")["key"]
    assert [m["id"] for m in own.ask("GET", "/v1/models", key=key).json()["data"]] == ["own"]
    assert own.ask("GET", "/v1/models/small").json() == small


def test_explain__tells_what_happened(priced):
    key = cli(priced, "key", "create", "--name", "ci2", "--usd-per-month", "5")
    answer = priced.post(CHAT, {"model": "up/mock", "messages": USER}, [("x-ringway-user", "anna")], key=key["key"])
    request = answer.header("x-request-id")
    committed(priced, 1)
    found = cli(priced, "explain", request)
    assert found["key"] == "ci2" and found["provider"] == "up" and found["status"] == 200 and found["end"] == "ok"
    assert found["cost_usd"] == float(answer.header("x-ringway-cost-usd")) > 0
    told = run(priced.config_path, "explain", request.upper()).stdout
    assert "key 'ci2' of team 'default'" in told and "It went to provider up" in told and "USD." in told
    assert "no record" in cli(priced, "explain", "0" * 26, status=1)
    assert "26 characters" in cli(priced, "explain", "abc", status=1)


def elsewhere(server, tmp_path):
    """The configuration of the same gateway on a machine that knows nothing yet."""
    there = json.loads(server.config_path.read_text())
    there["data_dir"] = str(tmp_path / "elsewhere" / "data")
    there["pepper_file"] = str(tmp_path / "elsewhere" / "pepper")
    there["admin"] = {"socket": str(tmp_path / "elsewhere.sock")}
    path = tmp_path / "elsewhere.yaml"
    path.write_text(json.dumps(there))
    return path


def run(config, *words):
    return subprocess.run([servers.RINGWAY, *words, "--config", str(config)], capture_output=True, text=True, timeout=20)


def test_backup__beside_the_server_and_restored_elsewhere(own, tmp_path):
    key = cli(own, "key", "create", "--name", "ci")
    done = run(own.config_path, "backup", str(tmp_path), "--with-pepper")
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("ringway-*.backup")
    assert archive.stat().st_mode & 0o777 == 0o600 and not list(tmp_path.glob("*.part"))
    assert ask(own, key["key"]) == [200]
    assert cli(own, "audit", "tail")["data"][0]["action"] == "backup"
    there = elsewhere(own, tmp_path)
    done = run(there, "restore", str(archive))
    assert done.returncode == 0 and "restored" in done.stdout, done.stderr
    assert (tmp_path / "elsewhere" / "pepper").read_bytes() == pathlib.Path(own.config["pepper_file"]).read_bytes()
    assert key["id"] in [k["id"] for k in json.loads(run(there, "key", "list", "--output", "json").stdout)["data"]]
    again = run(there, "restore", str(archive))
    assert again.returncode == 1 and "--replace" in again.stderr
    assert run(there, "restore", str(archive), "--replace").returncode == 0
    assert (tmp_path / "elsewhere" / "data" / "accounts.before-1").is_dir()


def test_backup__without_the_pepper_says_what_is_missing(own, tmp_path):
    cli(own, "key", "create")
    archive = tmp_path / "a.backup"
    done = run(own.config_path, "backup", str(archive))
    assert done.returncode == 0 and own.config["pepper_file"] in done.stderr
    assert run(own.config_path, "backup", str(archive)).returncode == 1
    # The server itself sent it.
    entry = cli(own, "audit", "tail")["data"][0]
    assert (entry["action"], entry["actor"]) == ("backup", "socket")
    there = elsewhere(own, tmp_path)
    done = run(there, "restore", str(archive))
    assert done.returncode == 0 and "put the pepper" in done.stdout
    done = run(there, "key", "list")
    assert done.returncode == 1 and "put it back" in done.stderr
    (tmp_path / "elsewhere" / "pepper").write_bytes(pathlib.Path(own.config["pepper_file"]).read_bytes())
    (tmp_path / "elsewhere" / "pepper").chmod(0o600)
    assert run(there, "key", "list").returncode == 0


def test_backup__to_a_pipe_and_to_who_leaves(own, tmp_path):
    for i in range(40):
        cli(own, "key", "create", "--name", f"k{i}")
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as gone:
            gone.connect(own.config["admin"]["socket"])
            gone.sendall(b"GET /admin/v1/backup HTTP/1.1\r\nhost: x\r\n\r\n")
            assert gone.recv(64).startswith(b"HTTP/1.1 200")
    words = [servers.RINGWAY, "backup", "-", "--config", str(own.config_path)]
    archive = subprocess.run(words, capture_output=True, timeout=20)
    assert archive.returncode == 0 and archive.stdout.startswith(b"RWBACKUP")
    there = elsewhere(own, tmp_path)
    shutil.copy(own.config["pepper_file"], tmp_path / "pepper")
    words = [servers.RINGWAY, "restore", "-", "--config", str(there)]
    assert subprocess.run(words, input=archive.stdout, timeout=20).returncode == 0
    (tmp_path / "pepper").rename(tmp_path / "elsewhere" / "pepper")
    assert len(json.loads(run(there, "key", "list", "--output", "json").stdout)["data"]) == 41


def test_restore__not_beside_a_server_and_not_from_rubbish(own, tmp_path):
    key = cli(own, "key", "create")
    archive = tmp_path / "a.backup"
    assert run(own.config_path, "backup", str(archive)).returncode == 0
    done = run(own.config_path, "restore", str(archive), "--replace")
    assert done.returncode == 1 and "stop the server" in done.stderr
    own.stop()
    torn = tmp_path / "torn"
    torn.write_bytes(archive.read_bytes()[:-40])
    for bad in (torn, own.config_path, tmp_path / "nothing"):
        assert run(own.config_path, "restore", str(bad), "--replace").returncode == 1
    own.restart()
    assert ask(own, key["key"]) == [200]


def test_audit__has_each_act_and_is_whole(own):
    key = cli(own, "key", "create", "--name", "a")
    cli(own, "key", "revoke", key["id"])
    entries = cli(own, "audit", "tail")["data"]
    assert [e["action"] for e in entries][:2] == ["key.revoke", "key.create"]
    assert cli(own, "audit", "verify")["whole"] is True


def test_secrets__nowhere_in_the_files(own):
    """The search is proved on something that is there: the key's prefix."""
    key = cli(own, "key", "create", "--name", "planted")
    ask(own, key["key"])
    secret = key["key"]
    forms = [secret.encode(), base64.b64encode(secret.encode()), secret.encode().hex().encode()]
    data = pathlib.Path(own.config["data_dir"])
    files = [p for p in data.rglob("*") if p.is_file()] + [own.access_path, own.err_path]
    content = b"".join(p.read_bytes() for p in files)
    assert secret[:12].encode() in content
    assert not any(form in content for form in forms)


def test_socket__only_for_its_users(own):
    path = own.config["admin"]["socket"]
    servers.wait_for(lambda: os.path.exists(path), 5, "the admin socket")
    assert os.stat(path).st_mode & 0o007 == 0


def test_list__pages(own):
    for i in range(5):
        cli(own, "key", "create", "--name", f"k{i}")
    done = subprocess.run(
        [servers.RINGWAY, "key", "list", "--config", str(own.config_path)], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["ID", "NAME", "PREFIX"] and len(lines) == 7
    assert all("default" in line for line in lines[1:])


def test_first_key__in_a_file_once_and_known_to_the_next_start(launch, backend, tmp_path):
    """Nobody has a key: one is made, kept, and written to a file since standard error is no terminal."""
    own = launch(backend, keys=[])
    path = pathlib.Path(own.config["admin"]["socket"]).parent / "first-key"
    said = own.err().decode()
    key = path.read_text().strip()
    assert str(path) in said and "ringway key create" in said and key not in said
    assert path.stat().st_mode & 0o777 == 0o600 and len(key) == 46
    assert ask(own, key, times=4) == [200] * 4
    assert [k["name"] for k in cli(own, "key", "list")["data"]] == ["first"]
    path.unlink()
    own.stop()
    own.restart()
    assert not path.exists() and ask(own, key) == [200]
    # A reload neither makes another nor forgets it.
    own.signal(signal.SIGHUP)
    servers.wait_for(lambda: b"configuration loaded" in own.err(), 5, "the reload")
    assert ask(own, key) == [200] and not path.exists()


def test_first_key__of_a_run_where_nothing_is_kept(launch, backend):
    own = launch(backend, keys=[], data_dir="off")
    path = pathlib.Path(own.config["admin"]["socket"]).parent / "first-key"
    assert "for this run" in own.err().decode()
    assert ask(own, path.read_text().strip()) == [200]
