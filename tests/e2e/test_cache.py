"""Goal: an answer that is known is given again without asking the provider, in the form that is asked for, and only to whom it
belongs; who asks for the same at once is given one answer, live; and nothing that is wrong with the cache is ever an error.

Method: the real binary with the cache on, before the mock, whose counts say who was asked. Streams are held in lock-step, so that
a test decides what has arrived when somebody joins, leaves, or fails.
"""

import concurrent.futures
import json
import pathlib
import random
import socket
import subprocess
import time
import uuid

import pytest

import rawhttp
import servers

CHAT = "/v1/chat/completions"
OTHER = "rw-test-other-0123456789abcdef0123456789abcdef"


def CONFIG(folder):
    # One worker: what it has answered it knows at once; others hear of it from the writer, a tenth of a second later.
    return {"workers": 1, "cache": {"enabled": True, "max_size": "64MB", "exclude": {"models": ["up/mock:tag=never"]}}}


def ask(text, model="up/mock", **more):
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def fresh():
    return uuid.uuid4().hex


def text_of(answer):
    """What an answer says, whole or streamed."""
    if "text/event-stream" not in answer.header("content-type"):
        return answer.json()["choices"][0]["message"]["content"]
    said = ""
    for event in rawhttp.events(answer.body):
        if event not in (b"[DONE]", "[DONE]"):
            chunk = json.loads(event)
            for choice in chunk["choices"]:
                said += choice["delta"].get("content") or ""
    return said


def post(gateway, body, headers=(), key=servers.KEY, cache=None):
    answer = gateway.post(CHAT, body, headers, key)
    if cache:
        assert (answer.status, answer.header("x-ringway-cache")) == (200, cache), answer
    return answer


def asked(mock, tag):
    return len(mock.log(tag))


def test_hit__same_bytes_and_nobody_is_asked(gateway, mock):
    tag = fresh()
    body = ask("one", f"up/mock:tag={tag}")
    first = post(gateway, body, cache="miss")
    again = post(gateway, body, cache="hit")
    assert first.body == again.body and asked(mock, tag) == 1
    assert again.header("content-type") == first.header("content-type")
    assert again.header("x-ringway-provider") == "up" and again.header("x-ringway-upstream-request-id") is None
    line = gateway.access_line(again.header("x-request-id"))
    assert line["cache"] == "hit" and line["attempts"] == 0 and line["model"] == f"up/mock:tag={tag}"
    assert gateway.access_line(first.header("x-request-id"))["cache"] == "miss"


def test_hit__what_does_not_change_the_answer(gateway, mock):
    tag = fresh()
    model = f"up/mock:tag={tag}"
    post(gateway, ask("two", model), cache="miss")
    post(gateway, ask("two", model, user="u1", metadata={"a": 1}), cache="hit")
    head = {"stream": False, "user": "x", **ask("two", model)}
    assert post(gateway, head).status == 200
    post(gateway, ask("two", model, temperature=0.5), cache="miss")
    post(gateway, ask("two ", model), cache="miss")
    post(gateway, ask("two", model, n=2), cache="miss")
    assert asked(mock, tag) <= 5


@pytest.mark.parametrize("usage", [False, True])
def test_stream__replayed_as_it_was_and_made_whole(gateway, mock, usage):
    tag = fresh()
    body = ask("three", f"up/mock:tag={tag},chunks=20", stream=True)
    if usage:
        body["stream_options"] = {"include_usage": True}
    first = post(gateway, body, cache="miss")
    again = post(gateway, body, cache="hit")
    assert rawhttp.events(first.body) == rawhttp.events(again.body) and text_of(first).startswith("t0 t1 ")
    whole = post(gateway, ask("three", f"up/mock:tag={tag},chunks=20"), cache="hit")
    assert text_of(whole) == text_of(first) and whole.json()["object"] == "chat.completion"
    assert whole.json()["choices"][0]["finish_reason"] == "stop"
    assert whole.json()["usage"]["completion_tokens"] == 20
    # With the usage event, or without: made of the other.
    other = ask("three", f"up/mock:tag={tag},chunks=20", stream=True)
    if not usage:
        other["stream_options"] = {"include_usage": True}
    third = post(gateway, other, cache="hit")
    assert text_of(third) == text_of(first)
    last = [e for e in rawhttp.events(third.body) if b"[DONE]" not in bytes(str(e), "utf-8")][-1]
    assert ("usage" in json.loads(last) and json.loads(last)["usage"] is not None) == (not usage)
    assert asked(mock, tag) == 1


def test_whole__replayed_as_a_stream(gateway, mock):
    tag = fresh()
    model = f"up/mock:tag={tag},tools=2"
    whole = post(gateway, ask("four", model), cache="miss").json()
    stream = post(gateway, ask("four", model, stream=True), cache="hit")
    assert asked(mock, tag) == 1
    calls = {}
    for event in rawhttp.events(stream.body)[:-1]:
        for choice in json.loads(event)["choices"]:
            for call in choice["delta"].get("tool_calls") or []:
                mine = calls.setdefault(call["index"], {"id": None, "name": None, "arguments": ""})
                mine["id"] = call.get("id") or mine["id"]
                mine["name"] = call["function"].get("name") or mine["name"]
                mine["arguments"] += call["function"].get("arguments") or ""
    assert [calls[i] for i in sorted(calls)] == [
        {"id": c["id"], **c["function"]} for c in whole["choices"][0]["message"]["tool_calls"]
    ]


def test_control__of_a_request(gateway, mock):
    tag = fresh()
    body = ask("five", f"up/mock:tag={tag}")
    post(gateway, body, [("cache-control", "no-store")], cache="bypass")
    post(gateway, body, [("x-ringway-cache", "bypass")], cache="bypass")
    assert asked(mock, tag) == 2
    first = post(gateway, body, cache="miss")
    assert post(gateway, body, [("cache-control", "max-age=60")], cache="hit").body == first.body
    second = post(gateway, body, [("cache-control", "no-cache")], cache="miss")
    assert second.body != first.body and asked(mock, tag) == 4
    servers.wait_for(lambda: post(gateway, body, cache="hit").body == second.body, 3, "the newer answer")
    post(gateway, body, [("x-ringway-cache", "refresh")], cache="miss")
    post(gateway, body, [("x-ringway-cache", "use"), ("cache-control", "max-age=0")])
    bad = gateway.post(CHAT, body, [("x-ringway-cache", "perhaps")])
    assert bad.status == 400 and "x-ringway-cache" in bad.json()["error"]["message"]


def test_left_out__errors_excluded_models_and_what_broke_off(gateway, mock):
    post(gateway, ask("six", "up/mock:tag=never"), cache="bypass")
    faults = ["status=500", "status=400", "errorbody"]
    broken = ["cut@2", "error=midstream@2", "nofinish"]
    for words, stream in [(w, False) for w in faults] + [(w, True) for w in broken]:
        tag = fresh()
        body = ask("six", f"up/mock:tag={tag},{words}", stream=stream)
        for _ in range(2):
            try:
                gateway.post(CHAT, body)
            except (rawhttp.BadAnswer, ConnectionError):
                pass
        assert asked(mock, tag) == 2, words


def test_ttl_and_sampled(launch, backend, tmp_path, mock):
    left_out = {"tools": ["delete_all"]}
    own = launch(backend, workers=1, cache={"enabled": True, "ttl": "1s", "sampled": False, "exclude": left_out})
    tag = fresh()
    model = f"up/mock:tag={tag}"
    post(own, ask("a", model), cache="bypass")
    post(own, ask("a", model, temperature=0.1), cache="bypass")
    post(own, ask("a", model, temperature=0), cache="miss")
    post(own, ask("a", model, temperature=0), cache="hit")
    for name, said in (("delete_all", "bypass"), ("get_weather", "miss")):
        tools = [{"type": "function", "function": {"name": name, "parameters": {}}}]
        post(own, ask("a", model, temperature=0, tools=tools), cache=said)
    time.sleep(1.1)
    post(own, ask("a", model, temperature=0), cache="miss")


def test_embeddings(gateway, mock):
    tag = fresh()
    body = {"model": f"up/mock-embed:tag={tag}", "input": ["a", "b"]}
    first, again = (gateway.post("/v1/embeddings", body) for _ in range(2))
    assert first.body == again.body and again.header("x-ringway-cache") == "hit" and asked(mock, tag) == 1


# --- Tenants, the ledger, other processes.


def cli(server, *words, status=0):
    done = subprocess.run(
        [servers.RINGWAY, *words, "--config", str(server.config_path), "--output", "json"],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout) if done.stdout else done.stderr


@pytest.fixture
def own(launch, backend, tmp_path):
    prices = tmp_path / "prices.json"
    name = "mock:usage=100/50"
    prices.write_text(json.dumps({"models": [{"provider": "openai", "model": name, "input": 1, "output": 2}]}))
    return launch(
        backend,
        data_dir=str(tmp_path / "data"),
        prices_file=str(prices),
        models=[{"name": "priced", "targets": [{"provider": "up", "model": name}]}],
        workers=1,
        cache={"enabled": True, "max_size": "64MB"},
    )


def test_tenants__never_see_each_others(own, mock):
    cli(own, "tenant", "create", "acme")
    cli(own, "team", "create", "theirs", "--tenant", "acme")
    mine = cli(own, "key", "create")["key"]
    sister = cli(own, "key", "create")["key"]
    theirs = cli(own, "key", "create", "--team", "theirs")["key"]
    tag = fresh()
    body = ask("secret", f"up/mock:tag={tag}")
    first = post(own, body, key=mine, cache="miss")
    assert post(own, body, key=sister, cache="hit").body == first.body
    assert post(own, body, key=theirs, cache="miss").body != first.body
    assert asked(mock, tag) == 2


def test_ledger__a_hit_is_a_request_that_cost_nothing(own):
    tag = fresh()
    body = ask(f"counted {tag}", "priced")
    post(own, body, cache="miss")
    hit = post(own, body, cache="hit").header("x-request-id")
    told = servers.wait_for(lambda: explain(own, hit), 3, "the record")
    assert told["cache"] == "hit" and told["attempts"] == 0 and told["total_cost_usd"] == 0
    assert told["saved_usd"] == pytest.approx(0.0002) and told["model"] == "priced"
    used = cli(own, "usage")
    total = used["summary"]
    assert total["total_requests"] == 2 and total["total_input_tokens"] == 100 and total["cache_hits"] == 1
    assert total["total_cost_usd"] == total["saved_usd"] == pytest.approx(0.0002)
    day = used["daily"][-1]
    assert day["cache_hits"] == 1 and day["saved_usd"] == pytest.approx(0.0002)
    assert own.metrics().value("ringway_cache_saved_usd_total") == pytest.approx(0.0002)


def explain(own, request_id):
    words = ["explain", request_id, "--config", str(own.config_path), "--output", "json"]
    done = subprocess.run([servers.RINGWAY, *words], capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else None


def cache_files(own):
    return sorted((pathlib.Path(own.config["data_dir"]) / "cache").glob("[0-9][0-9]"))


def test_restart__kept_and_a_torn_cache_costs_misses(own, mock):
    tag = fresh()
    bodies = [ask(f"n{i}", f"up/mock:tag={tag}") for i in range(20)]
    for body in bodies:
        post(own, body, cache="miss")
    servers.wait_for(lambda: own.metrics().value("ringway_cache_entries") >= 20, 3, "twenty entries")
    own.expect_death = True
    own.kill()
    own.restart()
    for body in bodies:
        post(own, body, cache="hit")
    # Under the running server: bytes changed, files cut.
    luck = random.Random(7)
    for path in cache_files(own):
        size = path.stat().st_size
        if size:
            with open(path, "r+b") as f:
                for _ in range(200):
                    f.seek(luck.randrange(size))
                    f.write(bytes([luck.randrange(256)]))
                f.truncate(size * 3 // 4)
    for body in bodies:
        assert text_of(post(own, body)) == "t0 t1 t2 t3 t4 "
    own.kill()
    for path in cache_files(own):
        path.write_bytes(luck.randbytes(5000))
    own.restart()
    for body in bodies:
        assert text_of(post(own, body)) == "t0 t1 t2 t3 t4 "
    post(own, bodies[0], cache="hit")


def test_purge(own):
    body = ask(fresh(), "priced")
    post(own, body, cache="miss")
    servers.wait_for(lambda: cli(own, "cache", "stats")["entries"] == 1, 3, "an entry")
    told = cli(own, "cache", "purge")
    assert (told["entries"], told["purged"], told["writes"]) == (0, 1, True)
    post(own, body, cache="miss")


# --- Idempotency-Key.


def once(gateway, body, name, key=servers.KEY):
    return gateway.post(CHAT, body, [("idempotency-key", name)], key)


@pytest.mark.parametrize("stream", [False, True])
def test_once__a_repeat_is_given_the_same_answer(own, mock, stream):
    """Without the cache's help, in the same words, billed once; also after the process was killed."""
    name, body = fresh(), ask(fresh(), "priced", stream=stream)
    if stream:
        body["stream_options"] = {"include_usage": True}
    first = once(own, body, name)
    again = once(own, body, name)
    assert first.status == again.status == 200 and first.body == again.body
    assert again.header("idempotent-replayed") == "true" and first.header("idempotent-replayed") is None
    own.expect_death = True
    own.kill()
    own.restart()
    assert once(own, body, name).body == first.body
    other = once(own, ask("something else", "priced"), name)
    assert other.status == 422 and other.json()["error"]["code"] == "idempotency_key_reused"
    assert once(own, body, fresh()).body != first.body
    mine = cli(own, "key", "create")["key"]
    assert once(own, body, name, mine).body != first.body
    total = servers.wait_for(lambda: counted(own, 6), 5, "six requests")
    assert total["total_input_tokens"] == 300 and total["cache_hits"] == 2


def counted(own, n):
    total = cli(own, "usage")["summary"]
    return total if total["total_requests"] - total.get("failed", 0) >= n - 1 else None


def test_once__a_hundred_at_once(launch, backend, mock):
    own = launch(backend, workers=2)
    tag, name = fresh(), fresh()
    body = ask("race", f"up/mock:tag={tag},delay=100ms")
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: once(own, body, name), range(100)))
    assert {a.status for a in answers} == {200} and len({a.body for a in answers}) == 1 and asked(mock, tag) == 1
    assert sum(a.header("idempotent-replayed") is None for a in answers) == 1
    total = servers.wait_for(lambda: counted(own, 100), 5, "a hundred requests")
    assert total["total_input_tokens"] == 10


def test_once__what_failed_is_asked_again(gateway, mock):
    tag, name = fresh(), fresh()
    body = ask("fails", f"up/mock:tag={tag},status=500,fail=1")
    assert [once(gateway, body, name).status for _ in range(3)] == [500, 200, 200] and asked(mock, tag) == 2
    tag, name = fresh(), fresh()
    body = ask("cut", f"up/mock:tag={tag},cut@2", stream=True)
    for _ in range(2):
        assert b"[DONE]" not in once(gateway, body, name).body
    assert asked(mock, tag) == 2


def test_once__killed_before_the_end(own, mock):
    tag, token, body = lockstep(chunks=3)
    name = fresh()
    reader = Reader(own, body, [("idempotency-key", name)])
    reader.until(b"t0 ")
    own.expect_death = True
    own.kill()
    own.restart()
    for k in range(3):
        mock.step(token, k)
    assert b"[DONE]" in once(own, body, name).body
    assert b"[DONE]" in once(own, body, name).body and asked(mock, tag) == 2


# --- The same at once.


class Reader:
    """A request whose answer is read event by event."""

    def __init__(self, gateway, body, headers=()):
        self.c = gateway.connect()
        data = json.dumps(body).encode()
        head = [("authorization", f"Bearer {servers.KEY}"), ("content-type", "application/json"), *headers]
        self.c.send(rawhttp.request("POST", CHAT, head, data))
        self.got = bytearray()

    def until(self, mark):
        end = time.monotonic() + 10
        at = 0
        while self.got.find(mark, at) < 0:
            at = max(0, len(self.got) - len(mark))
            assert time.monotonic() < end, self.got[-500:]
            more = self.c.sock.recv(1 << 20)
            assert more, f"closed before {mark!r}: {bytes(self.got[-500:])!r}"
            self.got += more

    def close(self):
        self.c.close()


def one_worker(launch, backend, **more):
    return launch(backend, workers=1, cache={"enabled": True}, **more)


@pytest.fixture
def alone(launch, backend):
    return one_worker(launch, backend)


def lockstep(stream=True, chunks=6):
    tag, token = fresh(), fresh()
    return tag, token, ask("live", f"up/mock:tag={tag},lockstep={token},chunks={chunks}", stream=stream)


def test_at_once__followers_get_the_stream_live(alone, mock):
    tag, token, body = lockstep()
    leader = Reader(alone, body)
    leader.until(b"t0 ")
    followers = [Reader(alone, body) for _ in range(5)]
    for f in followers:
        f.until(b"t0 ")
    for k in range(5):
        mock.step(token, k)
        for f in [leader, *followers]:
            f.until(b"t%d " % (k + 1))
    whole = concurrent.futures.ThreadPoolExecutor(1).submit(post, alone, {**body, "stream": False})
    mock.step(token, 5)
    for f in [leader, *followers]:
        f.until(b"[DONE]")
        f.close()
    assert asked(mock, tag) == 1
    assert text_of(whole.result()) == "t0 t1 t2 t3 t4 t5 " and whole.result().header("x-ringway-cache") == "hit"
    assert b"x-ringway-cache: miss" in leader.got and all(b"x-ringway-cache: hit" in f.got for f in followers)


def test_at_once__the_leader_leaves(alone, mock):
    tag, token, body = lockstep()
    leader = Reader(alone, body)
    leader.until(b"t0 ")
    follower = Reader(alone, body)
    follower.until(b"t0 ")
    leader.close()
    for k in range(6):
        mock.step(token, k)
    follower.until(b"[DONE]")
    assert asked(mock, tag) == 1 and mock.one(tag)["ended"] == "complete"
    post(alone, body, cache="hit")


def test_at_once__all_leave(alone, mock):
    """The provider is let go when nobody is left, although it is silent."""
    tag, token, body = lockstep()
    readers = [Reader(alone, body)]
    readers[0].until(b"t0 ")
    readers.append(Reader(alone, body))
    readers[1].until(b"t0 ")
    for r in readers:
        r.close()
    assert mock.one(tag)["ended"] == "client_gone"


def test_at_once__the_provider_fails_in_the_middle(alone, mock):
    tag = fresh()
    body = ask("broken", f"up/mock:tag={tag},chunks=6,pace=50ms,cut@4", stream=True)
    readers = [Reader(alone, body) for _ in range(4)]
    for r in readers:
        r.until(b"t3 ")
        r.until(b'"error"')
        r.until(b"0\r\n\r\n")
        assert b"[DONE]" not in r.got
    assert asked(mock, tag) == 1


def test_at_once__the_provider_fails_at_once(alone, mock):
    """Who has nothing yet asks by himself."""
    tag = fresh()
    body = ask("refused", f"up/mock:tag={tag},delay=200ms,status=500,fail=1")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = [a.status for a in pool.map(lambda _: alone.post(CHAT, body), range(4))]
    assert sorted(answers) == [200, 200, 200, 500]


def test_at_once__who_does_not_read_holds_nobody(alone, mock):
    tag = fresh()
    body = ask("large", f"up/mock:tag={tag},chunks=300,size=20000,pace=2ms", stream=True)
    with socket.create_connection(alone.address) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        data = json.dumps(body).encode()
        head = [("authorization", f"Bearer {servers.KEY}"), ("content-type", "application/json")]
        readers = [Reader(alone, body)]
        readers[0].until(b"t0 ")
        deaf.sendall(rawhttp.request("POST", CHAT, head, data))
        readers.append(Reader(alone, body))
        for r in readers:
            r.until(b"[DONE]")
    assert asked(mock, tag) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_at_once__two_hundred_on_two_workers(launch, backend, mock, stream):
    own = launch(backend, workers=2, cache={"enabled": True})
    tag = fresh()
    body = ask("crowd", f"up/mock:tag={tag},chunks=10,delay=100ms", stream=stream)
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: post(own, body), range(200)))
    assert {a.status for a in answers} == {200} and asked(mock, tag) <= 2
    assert {text_of(a) for a in answers} == {"t0 t1 t2 t3 t4 t5 t6 t7 t8 t9 "}
    assert len({a.body for a in answers}) <= 2 or stream
