"""Goal: accounts made on the command line hold from the next request on: keys, teams, revocation, rotation, expiry, allowed models
and networks; the audit has each act; nothing secret is stored or shown twice.

Method: the real binary as server and as command line on one data_dir, with and without the server running.
"""

import base64
import json
import os
import pathlib
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["key", "create", "--team", "nobody"], "There is no team 'nobody'"),
        (["team", "create", "default"], "taken"),
        (["key", "show", "999"], "none of that id"),
        (["key", "create", "--cidrs", "10.0.0.0/99"], "10.0.0.0/99"),
        (["key", "create", "--expires", "soon"], "30d"),
    ],
)
def test_errors__say_what_to_do(own, words, said):
    assert said in cli(own, *words, status=1)


def test_command_line__without_a_server(own):
    """The same acts on the store itself; the server that starts later knows them."""
    own.stop()
    key = cli(own, "key", "create", "--name", "early")
    own.restart()
    assert ask(own, key["key"]) == [200]
    assert [k["name"] for k in cli(own, "key", "list")["data"]] == ["ci", "early"]


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
