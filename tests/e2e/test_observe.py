"""Goal: what operators look at is right: the metrics page, the access log, log rotation.

Method: known requests, then exact differences of counters and exact fields of lines.
"""

import concurrent.futures
import json
import os
import re
import signal

import rawhttp
from servers import KEY, UPSTREAM_KEY, wait_for

CHAT = "/v1/chat/completions"
USER = [{"role": "user", "content": "a-secret-prompt-word"}]
FIELDS = (
    "time request_id client_request_id client method path status end dialect model provider upstream_model "
    "upstream_request_id stream attempts cache tenant team key bytes_in bytes_out input_tokens output_tokens "
    "cost_usd duration_us first_byte_us overhead_us"
).split()


def test_metrics__format(gateway):
    """The page is Prometheus text 0.0.4 that promtool would take, with HELP and TYPE for everything,
    counters named _total.
    """
    gateway.post(CHAT, {"model": "up/mock", "messages": USER})
    answer = gateway.metrics_text()
    assert answer.header("content-type").startswith("text/plain; version=0.0.4")
    metrics = gateway.metrics()
    for name in (
        "ringway_requests_total",
        "ringway_request_duration_seconds",
        "ringway_overhead_seconds",
        "ringway_time_to_first_token_seconds",
        "ringway_tokens_total",
        "ringway_io_backend",
        "ringway_build_info",
    ):
        assert name in metrics.types, name
    assert b"secret" not in answer.body and KEY.encode() not in answer.body


def test_metrics__head_and_other_paths(gateway):
    with rawhttp.Connection(("127.0.0.1", gateway.metrics_port)) as c:
        assert c.ask("HEAD", "/metrics").status == 200
        assert c.ask("GET", "/nothing").status == 404
        assert c.ask("POST", "/metrics", [("content-length", "0")]).status == 405
    assert gateway.ask("GET", "/metrics").status == 404


def test_metrics__count_exactly(gateway):
    """12 requests of known kinds: requests, tokens and durations grow by exactly that, under the
    configured names.
    """
    before = gateway.metrics()
    for _ in range(5):
        assert gateway.post(CHAT, {"model": "gpt-4o-mini", "messages": USER}).status == 200
    for _ in range(4):
        assert gateway.post(CHAT, {"model": "gpt-4o-mini", "messages": USER, "stream": True}).status == 200
    for _ in range(3):
        assert (
            gateway.post(CHAT, {"model": "gpt-4o-mini", "messages": USER}, key="rw-" + "x" * 30).status == 401
        )

    def grown(name, **labels):
        return (gateway.metrics().value(name, **labels) or 0) - (before.value(name, **labels) or 0)

    wait_for(
        lambda: grown("ringway_requests_total", model="gpt-4o-mini", provider="up", status="2xx") == 9,
        3,
        "9 good requests",
    )
    assert grown("ringway_requests_total", status="4xx") == 3
    assert grown("ringway_requests_total") == 12
    assert grown("ringway_tokens_total", model="gpt-4o-mini", **{"class": "input"}) == 90
    assert grown("ringway_tokens_total", model="gpt-4o-mini", **{"class": "output"}) == 45
    assert grown("ringway_request_duration_seconds_count", model="gpt-4o-mini") == 9
    assert grown("ringway_time_to_first_token_seconds_count", model="gpt-4o-mini") == 4


def test_metrics__labels_come_from_the_configuration_only(gateway):
    """A thousand made-up model names make no new label values."""
    before = {ls for _, ls in gateway.metrics().samples}
    for i in range(50):
        gateway.post(CHAT, {"model": f"made-up-{i}", "messages": USER})
        gateway.post(CHAT, {"model": f"up/mock:tag=zz{i}", "messages": USER})
    new = {dict(ls).get("model") for _, ls in gateway.metrics().samples} - {
        dict(ls).get("model") for ls in before
    }
    assert not {m for m in new if m and ("made-up" in m or "zz" in m)}, new


def test_access_log__a_good_request(gateway):
    """Every field that applies, of the right type, with the right value, in the documented order; no
    secret, no body.
    """
    sent = json.dumps({"model": "gpt-4o-mini", "messages": USER}).encode()
    answer = gateway.post(CHAT + "?key=" + KEY, sent)
    line = gateway.access_line(answer.header("x-request-id"))
    assert [f for f in FIELDS if f in line] == list(line)
    wanted = {
        "client": "127.0.0.1",
        "method": "POST",
        "path": CHAT,
        "status": 200,
        "end": "ok",
        "model": "gpt-4o-mini",
        "provider": "up",
        "upstream_model": "mock",
        "stream": False,
        "attempts": 1,
        "team": "default",
        "key": "ci",
        "bytes_in": len(sent),
        "bytes_out": len(answer.body),
        "input_tokens": 10,
        "output_tokens": 5,
    }
    assert {k: line.get(k) for k in wanted} == wanted
    assert line["upstream_request_id"] == answer.header("x-ringway-upstream-request-id")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["time"])
    assert (
        0 < line["first_byte_us"] <= line["duration_us"] < 5_000_000
        and 0 <= line["overhead_us"] <= line["duration_us"]
    )
    text = json.dumps(line)
    assert KEY not in text and UPSTREAM_KEY not in text and "secret-prompt" not in text


def test_access_log__a_stream(gateway):
    """Tokens of a stream are known although the client did not ask for usage; duration covers the
    whole stream.
    """
    answer = gateway.post(
        CHAT, {"model": "up/mock:usage=120/90,chunks=5,pace=50ms", "messages": USER, "stream": True}
    )
    line = gateway.access_line(answer.header("x-request-id"))
    assert (line["stream"], line["input_tokens"], line["output_tokens"], line["end"]) == (True, 120, 90, "ok")
    assert line["duration_us"] > 150_000 > line["first_byte_us"] and line["overhead_us"] < 50_000


def test_access_log__every_kind_of_end(gateway):
    """Refusals and provider errors have lines with their own reasons."""
    for body, key, status, end in (
        (b"{", KEY, 400, "bad_json"),
        (b'{"model":"up/mock","messages":[]}', "rw-" + "y" * 30, 401, "bad_key"),
        (b'{"model":"nope","messages":[]}', KEY, 404, "no_model"),
        (b'{"model":"up/mock:status=500","messages":[]}', KEY, 500, "upstream_status"),
        (b'{"model":"up/mock:badjson","messages":[]}', KEY, 502, "upstream_broken"),
    ):
        answer = gateway.post(CHAT, body, key=key)
        assert answer.status == status
        line = gateway.access_line(answer.header("x-request-id"))
        assert (line["status"], line["end"]) == (status, end), line
    lost = gateway.ask("GET", "/v1/nothing")
    assert gateway.access_line(lost.header("x-request-id"))["end"] == "no_route"


def test_access_log__hostile_text_stays_in_its_line(gateway):
    """Quotes, control bytes and invalid UTF-8 in path and ids: each line is one JSON object."""
    with gateway.connect() as c:
        c.send(b'GET /v1/x"\\\'%0a%00<> HTTP/1.1\r\nhost: x\r\nx-request-id: "}\xff\xfe\\n\t{\r\n\r\n')
        answer = c.answer()
    line = gateway.access_line(answer.header("x-request-id"))
    assert line["status"] == answer.status
    for text in gateway.access_path.read_bytes().decode().splitlines():
        json.loads(text)


def test_access_log__every_request_has_exactly_one_line(gateway):
    """200 requests over 10 connections: 200 different request ids, 200 lines."""

    def many(_):
        ids = []
        with gateway.connect() as c:
            for _ in range(20):
                fields = [("authorization", f"Bearer {KEY}"), ("content-type", "application/json")]
                body = json.dumps({"model": "up/mock", "messages": USER}).encode()
                ids.append(c.ask("POST", CHAT, fields, body).header("x-request-id"))
        return ids

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        ids = [i for part in pool.map(many, range(10)) for i in part]
    assert len(set(ids)) == 200

    def lines():
        found = [json.loads(t)["request_id"] for t in gateway.access_path.read_text().splitlines()]
        return sorted(i for i in found if i in set(ids)) == sorted(ids)

    wait_for(lines, 3, "one line for each")


def test_access_log__reopened_on_sigusr1(launch, backend):
    """logrotate: the file is moved, SIGUSR1, new lines go to a new file, none is lost."""
    own = launch(backend)
    first = own.post(CHAT, {"model": "up/mock", "messages": USER}).header("x-request-id")
    own.access_line(first)
    moved = own.access_path.with_suffix(".1")
    os.rename(own.access_path, moved)
    between = own.post(CHAT, {"model": "up/mock", "messages": USER}).header("x-request-id")
    wait_for(lambda: between in moved.read_text(), 3, "the old file goes on until the signal")
    own.signal(signal.SIGUSR1)
    wait_for(own.access_path.exists, 3, "a new file")
    last = own.post(CHAT, {"model": "up/mock", "messages": USER}).header("x-request-id")
    assert own.access_line(last) and last not in moved.read_text()


def test_access_log__stdout_and_off(launch, backend):
    """log.access: stdout gives JSON lines on standard output only; off gives none."""
    own = launch(backend, name="stdout", log={"access": "stdout"})
    request_id = own.post(CHAT, {"model": "up/mock", "messages": USER}).header("x-request-id")
    wait_for(lambda: request_id.encode() in own.out(), 3, "the line on stdout")
    assert all(json.loads(line) for line in own.out().decode().splitlines() if line.startswith("{"))
    silent = launch(backend, name="off", log={"access": "off"})
    silent.post(CHAT, {"model": "up/mock", "messages": USER})
    assert b"request_id" not in silent.out()


def test_access_log__receiver_that_blocks(launch, backend, tmp_path):
    """The log goes to a pipe that nobody reads: requests go on, lines are lost and counted."""
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        own = launch(backend, name="pipe", log={"access": str(fifo)}, workers=1)
        with own.connect() as c:
            body = json.dumps({"model": "up/mock", "messages": USER}).encode()
            for _ in range(6000):
                fields = [("authorization", f"Bearer {KEY}"), ("content-type", "application/json")]
                assert c.ask("GET", "/v1/models", fields[:1]).status == 200
            assert c.ask("POST", CHAT, fields, body).status == 200
        dropped = own.metrics().value("ringway_log_lines_dropped_total")
        assert dropped > 0
    finally:
        os.close(reader)


def test_process_log__no_secrets(gateway):
    """Neither keys nor prompts are in what the process says, not even after bad requests."""
    gateway.post(CHAT, b'{"model":"up/mock","messages":[{"content":"secret-prompt-two"}],', key=KEY)
    said = gateway.said()
    assert KEY not in said and UPSTREAM_KEY not in said and "secret-prompt" not in said
