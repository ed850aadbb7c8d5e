"""Goal: nothing is ever held back, and a stream that broke is never passed off as complete.

Method: the mock sends chunk k+1 only after the client has confirmed chunk k (lock-step), a thousand
streams at once; then broken streams of every kind, read raw and with the SDK.
"""

import asyncio
import json
import time

import openai
import pytest

import rawhttp
from servers import KEY, sanitised, wait_for

CHAT = "/v1/chat/completions"
USER = [{"role": "user", "content": "a"}]


class Steps:
    """Confirms chunks at the mock over a few connections of its own."""

    def __init__(self, port, count=4):
        self.port, self.count, self.queue = port, count, asyncio.Queue()

    async def __aenter__(self):
        for _ in range(self.count):
            self.queue.put_nowait(await asyncio.open_connection("127.0.0.1", self.port))
        return self

    async def __aexit__(self, *_):
        while not self.queue.empty():
            self.queue.get_nowait()[1].close()

    async def confirm(self, token, k):
        reader, writer = await self.queue.get()
        writer.write(b"GET /__step/%s?k=%d HTTP/1.1\r\nhost: mock\r\n\r\n" % (token.encode(), k))
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 204 " in head, head
        self.queue.put_nowait((reader, writer))


async def lock_step(address, steps, token, chunks, started, everybody):
    """One stream: wait for chunk k, confirm it, go on. The first chunk is confirmed when all streams
    are open.
    """
    reader, writer = await asyncio.open_connection(*address)
    body = json.dumps(
        {"model": f"up/mock:chunks={chunks},lockstep={token}", "stream": True, "messages": USER}
    ).encode()
    fields = [("authorization", f"Bearer {KEY}"), ("content-type", "application/json")]
    writer.write(rawhttp.request("POST", CHAT, fields, body))
    try:
        for k in range(chunks):
            await reader.readuntil(b'"content":"t%d ' % k)
            if k == 0:
                started.append(token)
                await everybody.wait()
            await steps.confirm(token, k)
        await reader.readuntil(b"data: [DONE]")
    finally:
        writer.close()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_lock_step__a_thousand_streams(gateway, mock):
    """1,000 streams open at once, each in lock-step over 6 chunks: none stalls."""
    count, chunks = 1000, 6

    async def main():
        started, everybody = [], asyncio.Event()

        async def opener():
            while len(started) < count:
                await asyncio.sleep(0.01)
            everybody.set()

        async with Steps(mock.port) as steps:
            streams = [
                lock_step(gateway.address, steps, f"{mock.port}n{i}", chunks, started, everybody)
                for i in range(count)
            ]
            await asyncio.wait_for(asyncio.gather(opener(), *streams), 100 if sanitised() else 60)
        return started

    mock.reset()
    assert len(set(asyncio.run(main()))) == count
    assert all(r["ended"] == "complete" and r["chunks_sent"] == chunks for r in mock.log())
    wait_for(lambda: gateway.metrics().value("ringway_exchanges") == 0, 5, "no exchange left")


def test_lock_step__through_the_sdk(client, mock, tag):
    """The SDK sees chunk k before the mock sends chunk k+1: a held-back byte would stall this test."""
    stream = client.chat.completions.create(
        model=f"up/mock:chunks=40,lockstep={tag}", messages=USER, stream=True
    )
    seen = 0
    for chunk in stream:
        if chunk.choices[0].delta.content:
            assert chunk.choices[0].delta.content == f"t{seen} "
            mock.step(tag, seen)
            seen += 1
    assert seen == 40


def test_stream__chunks_are_not_delayed(gateway):
    """Paced at 50 ms, chunk after chunk arrives at about that pace and not in bursts."""
    with gateway.connect() as c:
        body = json.dumps({"model": "up/mock:chunks=10,pace=50ms", "stream": True, "messages": USER}).encode()
        c.send(
            rawhttp.request(
                "POST", CHAT, [("authorization", f"Bearer {KEY}"), ("content-type", "application/json")], body
            )
        )
        assert c.head().status == 200
        times = []
        for data in c.chunks():
            times += [time.monotonic()] * data.count(b'"content":"t')
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert len(times) == 10 and sum(g > 0.02 for g in gaps) >= 8, gaps


def test_stream__several_kilobytes_each(gateway):
    """Chunks larger than any receive buffer (100 KB) arrive whole and in order."""
    answer = gateway.post(CHAT, {"model": "up/mock:chunks=20,size=100000", "stream": True, "messages": USER})
    values = [json.loads(e) for e in rawhttp.events(answer.body)[:-1]]
    texts = [v["choices"][0]["delta"].get("content") for v in values]
    texts = [t for t in texts if t]
    assert [len(t) for t in texts] == [100000] * 20 and [t.split()[0] for t in texts] == [
        f"t{k}" for k in range(20)
    ]


def test_stream__slow_reader_holds_the_provider_back(gateway, mock, tag):
    """A client that does not read a stream of 64 MB: the mock is slowed down, the gateway's memory
    stays small; then all arrives.
    """
    before = gateway.memory()[0]
    with gateway.connect(timeout=30) as c:
        model = f"up/mock:chunks=640,size=100000,tag={tag}"
        body = json.dumps({"model": model, "stream": True, "messages": USER}).encode()
        c.send(
            rawhttp.request(
                "POST", CHAT, [("authorization", f"Bearer {KEY}"), ("content-type", "application/json")], body
            )
        )
        time.sleep(1.0)
        # What lies in the sockets' kernel buffers may have left; the rest must still be at the provider.
        assert mock.log(tag)[0]["bytes_sent"] < 32_000_000
        assert gateway.memory()[0] - before < 4 << 20
        answer = c.answer()
    assert len(rawhttp.events(answer.body)) >= 640


# ---- broken streams


BROKEN = {
    "cut after two chunks": "chunks=5,cut@2",
    "reset after two chunks": "chunks=5,reset@2",
    "error event": "chunks=5,error=midstream@2",
    "done without a finish reason": "chunks=5,nofinish",
    "bad chunk framing": "chunks=5,badchunk",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_stream__ends_with_an_error_event(gateway, name):
    """After the first content nothing can be taken back: the client gets what came, then an error
    event, and never [DONE].
    """
    with gateway.connect() as c:
        body = json.dumps({"model": "up/mock:" + BROKEN[name], "stream": True, "messages": USER}).encode()
        c.send(
            rawhttp.request(
                "POST", CHAT, [("authorization", f"Bearer {KEY}"), ("content-type", "application/json")], body
            )
        )
        answer = c.answer()
    if answer.status == 502 and name == "bad chunk framing":
        return  # broken before the first content was passed on: an ordinary error
    assert answer.status == 200
    found = rawhttp.events(answer.body)
    assert "[DONE]" not in found
    last = json.loads(found[-1])
    assert last["error"]["message"] and set(last["error"]) >= {"message", "type", "param", "code"}
    line = gateway.access_line(answer.header("x-request-id"))
    assert line["end"] in ("truncated", "stream_error"), line


@pytest.mark.parametrize("name", BROKEN)
def test_broken_stream__raises_in_the_sdk(client, name):
    """The SDK's user gets an exception, not a short text that looks whole."""
    with pytest.raises(openai.APIError):
        for _ in client.chat.completions.create(model="up/mock:" + BROKEN[name], messages=USER, stream=True):
            pass


def test_broken_stream__cut_inside_an_event(gateway, mock):
    """The recorded stream that ends inside an event: the torn event never reaches the client as if it
    were whole.
    """
    answer = gateway.post(CHAT, {"model": "up/mock:fixture=cut", "stream": True, "messages": USER})
    found = rawhttp.events(answer.body)
    assert answer.status == 200 and "error" in json.loads(found[-1]) and "[DONE]" not in found
    assert [json.loads(e)["choices"][0]["delta"].get("content") for e in found[:-1]] == ["", "Grüße", " aus"]


def test_stream__recorded_error_passes(gateway):
    """A provider's own error event reaches the client as it is, and nothing follows."""
    answer = gateway.post(
        CHAT, {"model": "up/mock:fixture=midstream_error", "stream": True, "messages": USER}
    )
    found = rawhttp.events(answer.body)
    assert json.loads(found[-1])["error"]["message"].startswith("The server had an error")


def test_stream__odd_framing(gateway):
    """Comments, mixed line ends, event and id lines, no space after the colon: the client reads the
    same events.
    """
    from servers import FIXTURES

    answer = gateway.post(CHAT, {"model": "up/mock:fixture=odd_framing", "stream": True, "messages": USER})
    wanted = [e for e in rawhttp.events((FIXTURES / "odd_framing.stream.sse").read_bytes())]
    got = rawhttp.events(answer.body)
    assert [e for e in got if e != "[DONE]"] == [e for e in wanted if e != "[DONE]"]


def test_stream__without_done_but_finished(gateway):
    """A finish reason and then the end, without [DONE]: complete (some servers do this), not an error."""
    answer = gateway.post(CHAT, {"model": "up/mock:nodone", "stream": True, "messages": USER})
    found = [json.loads(e) for e in rawhttp.events(answer.body) if e != "[DONE]"]
    assert not any("error" in v for v in found) and found[-1]["choices"][0]["finish_reason"] == "stop"


def test_stream__bad_event_is_skipped(gateway):
    """An event that is not JSON is not the end of the stream."""
    answer = gateway.post(CHAT, {"model": "up/mock:badevent", "stream": True, "messages": USER})
    found = rawhttp.events(answer.body)
    assert found[-1] == "[DONE]" and sum('"content":"t' in e for e in found) == 5


def test_whole_answer__cut_is_not_passed_off(gateway, client):
    """An answer that is not streamed and breaks off: 502, or a connection that visibly breaks; never a
    short 200.
    """
    for option in ("close@500", "chunks=100000,close@100000", "bytes=1000000,close@900000"):
        with gateway.connect() as c:
            body = json.dumps({"model": f"up/mock:{option}", "messages": USER}).encode()
            fields = [("authorization", f"Bearer {KEY}"), ("content-type", "application/json")]
            try:
                answer = c.send(rawhttp.request("POST", CHAT, fields, body)).answer()
            except (rawhttp.BadAnswer, ConnectionResetError):
                continue  # the client sees that something is missing
            assert answer.status in (502, 504), answer
            assert answer.json()["error"]["message"]
