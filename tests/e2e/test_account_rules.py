"""Goal: what accounts may, beyond their limits, holds: keys of the environment, tags for chargeback, what happens when the
store cannot be read, streams of revoked keys, budgets by another calendar, allowed providers and regions.

Method: the real binary with a data_dir, accounts made on the command line or in the configuration, the mock as provider.
"""

import json
import os
import signal
import subprocess
import time

import pytest

import rawhttp
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


def post(server, key, headers=(), model="up/mock", **more):
    return server.post(CHAT, {"model": model, "messages": USER, **more}, headers, key=key)


def usage(server, requests, by):
    """What `usage --by` says once so many requests are in the ledger."""

    def there():
        found = cli(server, "usage", "--by", by)
        return found["summary"]["total_requests"] == requests and found[f"by_{by}"]

    return servers.wait_for(there, 5, f"{requests} requests in the ledger")


def test_keys__of_the_environment(launch, backend, tmp_path):
    """OMNI_LLM_API_KEYS: accepted beside those of the file, in the ledger under names of their own."""
    old, other = "sk-old-0123456789abcdef0123", "another-old-key-0123456789"
    own = launch(
        backend, data_dir=str(tmp_path / "data"), env={**os.environ, "OMNI_LLM_API_KEYS": f"{old}, {other},{servers.KEY}"}
    )
    assert [post(own, k).status for k in (old, other, servers.KEY, old + "x")] == [200, 200, 200, 401]
    assert own.post(CHAT, {"model": "up/mock", "messages": USER}, [("x-api-key", old)], key=None).status == 200
    rows = {r["key"]: r["requests"] for r in usage(own, 4, "key")}
    assert rows == {"env-sk-old": 2, "env-anothe": 1, "ci": 1}
    listed = {k["name"]: k for k in cli(own, "key", "list")["data"]}
    assert listed["env-sk-old"]["from_file"] and listed["env-sk-old"]["team"] == "default"
    assert old not in own.said()


def test_tags__of_account_header_and_body(own):
    """A key's own first, then x-ringway-tags, then the body's metadata, each name once; the body goes up as it came."""
    cli(own, "team", "create", "red", "--tag", "project=red")
    key = cli(own, "key", "create", "--team", "red", "--tag", "cost=7")["key"]
    body = {"metadata": {"project": "blue", "job": "nightly", "n": 5}}
    answer = post(own, key, [("x-ringway-tags", "stage=test,job=header")], **body)
    assert answer.status == 200
    rows = {r["tag"]: r["requests"] for r in usage(own, 1, "tag")}
    assert rows == {"cost=7": 1, "project=red": 1, "stage=test": 1, "job=header": 1}
    asked = [("content-type", "application/json"), ("anthropic-version", "2023-06-01")]
    for target, more in (("/v1/responses", {"input": "hi"}), ("/v1/messages", {"messages": USER, "max_tokens": 5})):
        own.post(target, {"model": "up/mock", "metadata": {"user_id": "ann"}, **more}, asked, key=servers.KEY)
    rows = {r["tag"]: r["requests"] for r in usage(own, 3, "tag")}
    assert rows["user_id=ann"] == 1, rows
    assert own.post(CHAT, b'{"model":"up/mock","messages":[],"metadata":{},"metadata":{}}').status == 400


def hurt(server, kind, name):
    """The record of a team or a plan cannot be read from now on; done again, it can."""
    subprocess.run([os.environ["RINGWAY_HURT_BIN"], server.config["data_dir"], kind, name], check=True, timeout=20)


@pytest.fixture
def damaged(launch, backend, tmp_path):
    """A gateway by these rules, and two keys of a team with a plan of 2 requests an hour, of which one was used."""

    def make(**rules):
        own = launch(backend, data_dir=str(tmp_path / "data"), workers=1, on_store_error=rules)
        cli(own, "plan", "create", "two", "--requests", "2/hour")
        cli(own, "team", "create", "red")
        keys = [cli(own, "key", "create", "--team", "red", "--plan", "two")["key"] for _ in range(2)]
        assert post(own, keys[0]).status == 200
        return own, keys

    return make


def statuses(server, key, n):
    return [post(server, key).status for _ in range(n)]


def test_store_error__limits_open_authentication_closed(damaged):
    """As it is by default: without a plan that can be read there is no limit; without the team nobody is let in."""
    own, (known, other) = damaged()
    hurt(own, "plan", "two")
    assert statuses(own, known, 4) == [200] * 4
    assert own.metrics().value("ringway_store_limits_errors_total") > 0
    hurt(own, "plan", "two")
    assert statuses(own, known, 2) == [200, 429]
    hurt(own, "team", "red")
    refused = post(own, known)
    assert refused.status == 503 and "accounts cannot be read" in refused.json()["error"]["message"], refused
    assert statuses(own, other, 2) == [503] * 2 and own.metrics().value("ringway_store_auth_errors_total") == 3
    hurt(own, "team", "red")
    assert statuses(own, other, 3) == [200, 200, 429]


def test_store_error__limits_closed_authentication_open(damaged):
    own, (known, other) = damaged(limits="closed", auth="open")
    hurt(own, "plan", "two")
    assert statuses(own, other, 2) == [503] * 2
    assert statuses(own, known, 2) == [200, 429]  # as it was when it was read
    hurt(own, "plan", "two")
    hurt(own, "team", "red")
    assert statuses(own, known, 1) == [429] and statuses(own, other, 1) == [503]
    cli(own, "key", "create", "--name", "elsewhere")
    assert statuses(own, servers.KEY, 2) == [200] * 2
    hurt(own, "team", "default")
    assert statuses(own, servers.KEY, 2) == [200] * 2  # by what the file says


@pytest.mark.parametrize("interval", ["0", "5s"])
def test_sync_interval__the_record_is_there_before_the_answer_is(launch, backend, tmp_path, interval):
    """With 0 each kind of answer waits for its commit: whole, streamed, translated, refused. With 5 s none does."""
    own = launch(backend, data_dir=str(tmp_path / "data"), workers=2, usage={"sync_interval": interval})
    streamed = ("content-type", "application/json"), ("anthropic-version", "2023-06-01")
    asks = [
        lambda: post(own, servers.KEY),
        lambda: post(own, servers.KEY, model="up/mock:chunks=5", stream=True),
        lambda: own.post("/v1/messages", {"model": "up/mock", "messages": USER, "max_tokens": 5}, streamed),
        lambda: own.post("/v1/messages", {"model": "up/mock", "messages": USER, "max_tokens": 5, "stream": True}, streamed),
        lambda: post(own, servers.KEY, model="up/mock:status=400"),
        lambda: own.ask("GET", "/v1/models"),
    ]
    for i, ask in enumerate(asks, 1):
        assert ask().status in (200, 400)
        assert len(ledger(own)) == (i if interval == "0" else 0)


def ledger(server):
    """All records that are committed."""
    done = subprocess.run(
        [os.environ["RINGWAY_RECORDS_BIN"], server.config["data_dir"]], capture_output=True, check=True, timeout=20
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


SLOW = {"model": "up/mock:chunks=100,pace=50ms", "stream": True}


def begin(server, target, body, fields):
    """A stream of five seconds whose first event was read."""
    c = server.connect()
    fields = [("content-type", "application/json"), *fields]
    c.send(rawhttp.request("POST", target, fields, json.dumps({**body, "messages": USER}).encode()))
    c.until(b"data:")
    return c


def test_revoke__cut_ends_streams_in_their_dialect(launch, backend, tmp_path):
    """Two streams of one key, a third of another: revoking the first ends its two with an error, on whatever worker."""
    own = launch(backend, data_dir=str(tmp_path / "data"), workers=2, on_revoke="cut")
    one, other = (cli(own, "key", "create", "--name", n) for n in ("one", "other"))
    bearer = ("authorization", f"Bearer {one['key']}")
    openai = [begin(own, CHAT, SLOW, [bearer]) for _ in range(3)]
    anthropic = begin(own, "/v1/messages", {**SLOW, "max_tokens": 99}, [bearer, ("anthropic-version", "2023-06-01")])
    kept = begin(own, CHAT, SLOW, [("authorization", f"Bearer {other['key']}")])
    started = time.monotonic()
    cli(own, "key", "revoke", one["id"])
    for c in openai:
        rest = c.to_end()
        assert b"[DONE]" not in rest and b'"code":"invalid_api_key"' in rest and b"revoked" in rest, rest[-400:]
    rest = anthropic.to_end()
    assert b"event: error" in rest and b"message_stop" not in rest, rest[-400:]
    assert time.monotonic() - started < 2.5
    assert b"chat.completion.chunk" in kept.until(b"data:")
    cli(own, "key", "set", other["id"], "--disabled", "true")
    assert b"invalid_api_key" in kept.to_end()
    servers.wait_for(lambda: len(ledger(own)) == 5, 5, "five records")
    assert all(r["end"] == "revoked" and "cut" in r["flags"] and r["output"] > 0 for r in ledger(own)), ledger(own)


def test_revoke__a_key_that_the_file_no_longer_has(launch, backend, tmp_path):
    key = "rw-e2e-soon-gone-aaaaaaaaaa"
    keys = [{"name": "ci", "key": servers.KEY}, {"name": "gone", "key": key}]
    own = launch(backend, data_dir=str(tmp_path / "data"), on_revoke="cut", keys=keys)
    cut, kept = (begin(own, CHAT, SLOW, [("authorization", f"Bearer {k}")]) for k in (key, servers.KEY))
    own.config["keys"] = keys[:1]
    own.write_config()
    own.signal(signal.SIGHUP)
    assert b"invalid_api_key" in cut.to_end()
    assert b"chat.completion.chunk" in kept.until(b"data:")


def test_revoke__finish_is_the_default(own):
    key = cli(own, "key", "create")
    c = begin(own, CHAT, {**SLOW, "model": "up/mock:chunks=8,pace=100ms"}, [("authorization", f"Bearer {key['key']}")])
    cli(own, "key", "revoke", key["id"])
    c.until(b"[DONE]")
    assert post(own, key["key"]).status == 401


def test_regions__and_providers_of_a_key(launch, backend, tmp_path, mock):
    """Of the store and of the file: models of other providers are neither served nor listed; a provider without a region
    is none of them.
    """
    base = {"type": "openai", "base_url": f"http://127.0.0.1:{mock.port}/v1", "api_key": servers.UPSTREAM_KEY}
    file_keys = {"eu": {"regions": ["eu-west-1"]}, "b": {"providers": ["b"]}, "net": {"cidrs": ["10.0.0.0/8"]}}
    own = launch(
        backend,
        data_dir=str(tmp_path / "data"),
        providers={"a": {**base, "region": "eu-west-1"}, "b": {**base, "region": "us-east-1"}, "c": base},
        models=[{"name": f"on-{p}", "targets": [{"provider": p, "model": "mock"}]} for p in "abc"],
        keys=[{"name": n, "key": f"rw-e2e-region-key-{n:a<20}", **more} for n, more in file_keys.items()],
    )

    def allowed(key):
        listed = {m["id"] for m in own.ask("GET", "/v1/models", key=key).json()["data"]}
        served = {m for m in ("on-a", "on-b", "on-c") if post(own, key, model=m).status == 200}
        direct = {f"on-{p}" for p in "abc" if post(own, key, model=f"{p}/mock").status == 200}
        assert listed == served == direct, (listed, served, direct)
        return "".join(sorted(m[-1] for m in served))

    assert allowed(f"rw-e2e-region-key-{'eu':a<20}") == "a" and allowed(f"rw-e2e-region-key-{'b':a<20}") == "b"
    assert post(own, f"rw-e2e-region-key-{'net':a<20}", model="on-a").status == 403
    cli(own, "team", "create", "world", "--regions", "eu-west-1,us-east-1")
    key = cli(own, "key", "create", "--team", "world", "--name", "k")
    assert allowed(key["key"]) == "ab"
    assert cli(own, "key", "set", "k", "--regions", "us-east-1")["regions"] == ["us-east-1"]
    assert allowed(key["key"]) == "b"
    cli(own, "key", "set", "k", "--regions", "none", "--providers", "a")
    assert allowed(key["key"]) == "a"
