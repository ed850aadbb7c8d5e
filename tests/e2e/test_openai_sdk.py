"""Goal: the official OpenAI SDK works unchanged against Ringway.

Method: the SDK asks the gateway, the mock answers; each test compares content, not only status.
Fixtures of the OpenAI contract are served byte for byte and must come out of the SDK as they went
in.
"""

import asyncio
import base64
import json
import struct

import openai
import pytest

import rawhttp
import servers
from servers import FIXTURES, KEY

USER = [{"role": "user", "content": "Say t0 to t4."}]
FIVE = "t0 t1 t2 t3 t4 "
MODEL = "up/mock"


def fixture(name):
    return json.loads((FIXTURES / name).read_text())


def text_of(stream):
    return "".join(c.choices[0].delta.content or "" for c in stream if c.choices)


# ---- chat


def test_chat__sync(client):
    """An alias of the configuration answers with text, finish reason, usage and the provider's own
    model name.
    """
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=USER)
    choice = answer.choices[0]
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", FIVE, "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
        10,
        5,
        15,
    )
    assert (
        answer.model == "mock"
        and answer.object == "chat.completion"
        and answer.id.startswith("chatcmpl-mock-")
    )


def test_chat__async_many_at_once(gateway):
    """50 calls at once through one AsyncOpenAI: each gets its own answer (the number of chunks tells
    them apart).
    """

    async def main():
        async with openai.AsyncOpenAI(base_url=gateway.url, api_key=KEY, max_retries=0, timeout=20) as sdk:
            calls = [
                sdk.chat.completions.create(model=f"up/mock:chunks={n}", messages=USER) for n in range(1, 51)
            ]
            return await asyncio.gather(*calls)

    for n, answer in enumerate(asyncio.run(main()), 1):
        assert answer.choices[0].message.content == "".join(f"t{k} " for k in range(n))


def test_chat__stream(client):
    """All chunks arrive in order with one id; role first, finish last; no usage chunk, because none
    was asked for.
    """
    chunks = list(client.chat.completions.create(model=MODEL, messages=USER, stream=True))
    assert [c.choices[0].delta.content for c in chunks if c.choices[0].delta.content] == [
        "t0 ",
        "t1 ",
        "t2 ",
        "t3 ",
        "t4 ",
    ]
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[-1].choices[0].finish_reason == "stop"
    assert len({c.id for c in chunks}) == 1 and all(c.usage is None for c in chunks)


def test_chat__stream_with_usage(client):
    """stream_options.include_usage: exactly one usage chunk, the last, with an empty list of choices."""
    options = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(
            model="up/mock:usage=120/90", messages=USER, stream=True, stream_options=options
        )
    )
    assert [c.choices for c in chunks].count([]) == 1 and chunks[-1].choices == []
    assert (
        chunks[-1].usage.prompt_tokens,
        chunks[-1].usage.completion_tokens,
        chunks[-1].usage.total_tokens,
    ) == (120, 90, 210)
    assert text_of(chunks) == FIVE


def test_chat__stream_async(gateway):
    """20 async streams at once, paced, each complete."""

    async def one(sdk, n):
        parts = []
        stream = await sdk.chat.completions.create(
            model=f"up/mock:chunks={n},pace=5ms", messages=USER, stream=True
        )
        async for chunk in stream:
            parts.append(chunk.choices[0].delta.content or "")
        return "".join(parts)

    async def main():
        async with openai.AsyncOpenAI(base_url=gateway.url, api_key=KEY, max_retries=0, timeout=20) as sdk:
            return await asyncio.gather(*(one(sdk, n) for n in range(1, 21)))

    for n, text in enumerate(asyncio.run(main()), 1):
        assert text == "".join(f"t{k} " for k in range(n))


def test_chat__same_connection_for_many_calls(gateway, client):
    """Keep-alive works both ways: 30 calls of one SDK client open one socket there and one per worker here."""
    before = gateway.descriptors()
    for _ in range(30):
        assert client.chat.completions.create(model=MODEL, messages=USER).choices[0].message.content == FIVE
    assert gateway.descriptors() - before <= 3


def test_chat__tools(client):
    """A tool call comes back with id, name and arguments, whole and streamed."""
    tools = fixture("tool_single.request.json")["tools"]
    answer = client.chat.completions.create(model="up/mock:tools=2", messages=USER, tools=tools)
    calls = answer.choices[0].message.tool_calls
    assert [(c.id, c.function.name) for c in calls] == [
        ("call_mock_0", "get_weather"),
        ("call_mock_1", "get_weather"),
    ]
    assert [json.loads(c.function.arguments) for c in calls] == [
        {"city": "Paris", "i": 0},
        {"city": "Paris", "i": 1},
    ]
    assert answer.choices[0].finish_reason == "tool_calls"
    with client.chat.completions.stream(model="up/mock:tools=2", messages=USER, tools=tools) as stream:
        final = stream.get_final_completion()
    assert [(c.id, json.loads(c.function.arguments)["i"]) for c in final.choices[0].message.tool_calls] == [
        ("call_mock_0", 0),
        ("call_mock_1", 1),
    ]


def test_chat__tools_request_reaches_the_provider_whole(mock, client, tag):
    """tools, tool_choice and tool results of the contract's fixtures arrive at the provider as they
    were sent.
    """
    for name in ("tool_single", "tool_parallel", "tool_result"):
        sent = fixture(f"{name}.request.json")
        sent["model"] = f"up/mock:tag={tag}{name.replace('_', '')}"
        client.chat.completions.create(**sent)
        got = json.loads(base64.b64decode(mock.one(tag + name.replace("_", ""))["body"]))
        assert got == {**sent, "model": sent["model"].removeprefix("up/")}


def test_chat__several_choices(client):
    """n = 3: three choices with texts of their own, whole and streamed (interleaved)."""
    answer = client.chat.completions.create(model=MODEL, messages=USER, n=3)
    assert [c.message.content for c in answer.choices] == [
        "".join(f"c{i}t{k} " for k in range(5)) for i in range(3)
    ]
    texts = ["", "", ""]
    for chunk in client.chat.completions.create(model=MODEL, messages=USER, n=3, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [c.message.content for c in answer.choices]


def test_chat__logprobs(client):
    """logprobs come through with token, value and bytes, whole and streamed."""
    answer = client.chat.completions.create(model=MODEL, messages=USER, logprobs=True, top_logprobs=2)
    entries = answer.choices[0].logprobs.content
    assert [(e.token, e.logprob, bytes(e.bytes)) for e in entries] == [
        (f"t{k} ", -0.5, f"t{k} ".encode()) for k in range(5)
    ]
    stream = client.chat.completions.create(model=MODEL, messages=USER, logprobs=True, stream=True)
    tokens = [
        e.token for c in stream for e in ((c.choices[0].logprobs and c.choices[0].logprobs.content) or [])
    ]
    assert "".join(tokens) == FIVE


def test_chat__vision_parts(mock, client, tag):
    """An image of 300 KB as data URL: the provider receives every byte of it (length and hash of the
    body it saw).
    """
    image = "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 900).decode()
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": image, "detail": "low"}},
    ]
    model = f"up/mock:echo-body,tag={tag}"
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": parts}])
    seen = mock.one(tag)
    assert answer.choices[0].message.content == f"sha256={seen['body_sha256']} length={seen['body_length']}"
    assert seen["body_length"] > len(image)


@pytest.mark.parametrize(
    "name", ["text", "tool_single", "tool_parallel", "image_base64", "json_schema", "length", "reasoning"]
)
def test_chat__fixture_answer(client, name):
    """A provider's recorded answer comes out of the SDK as it is in the file."""
    wanted = fixture(f"{name}.response.json")
    answer = client.chat.completions.with_raw_response.create(model=f"up/mock:fixture={name}", messages=USER)
    assert json.loads(answer.http_response.content) == wanted


@pytest.mark.parametrize(
    "name", ["text", "tool_single", "tool_parallel", "refusal", "n2_logprobs", "content_filter"]
)
@pytest.mark.parametrize("split", [0, 1, 7])
def test_chat__fixture_stream(gateway, name, split):
    """A recorded stream, arriving whole, byte by byte or in sevens, comes out with the same events
    (usage asked for).
    """
    option = f",split={split}" if split else ""
    body = {
        "model": f"up/mock:fixture={name}{option}",
        "messages": USER,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    answer = gateway.post("/v1/chat/completions", body)
    assert answer.status == 200 and answer.header("content-type").startswith("text/event-stream")
    assert rawhttp.events(answer.body) == rawhttp.events((FIXTURES / f"{name}.stream.sse").read_bytes())


# ---- the other routes


def test_embeddings__base64_by_default(client):
    """The SDK asks for base64 on its own; the vectors are those of the mock, for several inputs."""
    answer = client.embeddings.create(model="text-embedding-3-small", input=["a", "b", "c"])
    assert [d.embedding for d in answer.data] == [[(8 * j + i) / 4 for i in range(8)] for j in range(3)]
    assert [d.index for d in answer.data] == [0, 1, 2] and answer.usage.prompt_tokens == 10


def test_embeddings__float(client):
    answer = client.embeddings.create(model="up/mock:dims=1536", input="a", encoding_format="float")
    assert answer.data[0].embedding == [i / 4 for i in range(1536)]


def test_embeddings__base64_on_the_wire(gateway):
    """encoding_format base64 reaches the provider, and its answer the client, untouched: little-endian
    float32.
    """
    answer = gateway.post("/v1/embeddings", {"model": MODEL, "input": "a", "encoding_format": "base64"})
    raw = base64.b64decode(answer.json()["data"][0]["embedding"])
    assert struct.unpack("<8f", raw) == tuple(i / 4 for i in range(8))


def test_models__list_and_one(client):
    """The list has the configured names; one of them can be read alone; an unknown one is NotFoundError."""
    names = {m.id: m for m in client.models.list()}
    assert {"gpt-4o-mini", "text-embedding-3-small"} <= set(names)
    assert names["gpt-4o-mini"].object == "model" and isinstance(names["gpt-4o-mini"].created, int)
    assert client.models.retrieve("gpt-4o-mini").id == "gpt-4o-mini"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("no-such-model")
    assert caught.value.code == "model_not_found"


def test_completions__whole_and_streamed(client):
    answer = client.completions.create(model=MODEL, prompt="Say")
    assert (answer.choices[0].text, answer.choices[0].finish_reason, answer.object) == (
        FIVE,
        "stop",
        "text_completion",
    )
    stream = client.completions.create(model=MODEL, prompt="Say", stream=True)
    assert "".join(c.choices[0].text for c in stream if c.choices) == FIVE


def test_moderations(client):
    assert client.moderations.create(model="up/mock", input="x").results[0].flagged is False


def test_audio__transcription_and_speech(client, mock, tag):
    """Audio up (multipart, streamed) and audio down (binary), every byte."""
    audio = bytes(range(256)) * 400
    answer = client.audio.transcriptions.create(model="up/mock", file=("a.wav", audio))
    seen = mock.log()[-1]
    assert answer.text == f"sha256={seen['body_sha256']} length={seen['body_length']}" and seen[
        "body_length"
    ] > len(audio)
    speech = client.audio.speech.create(
        model=f"up/mock:bytes=50000,tag={tag}", voice="alloy", input="x"
    ).read()
    assert speech == bytes(i % 251 for i in range(50000))


def test_files__upload(client):
    """A file goes to the only provider; the answer is the provider's."""
    made = client.files.create(file=("a.jsonl", b'{"a":1}\n' * 100), purpose="batch")
    assert made.id.startswith("file-mock-") and made.bytes > 800 and made.status == "processed"


# ---- errors as the SDK's own classes


def test_error__no_model_and_bad_fields_are_bad_requests(client):
    """400 for a body without messages' model, with the SDK's class and an OpenAI error object."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", body={"messages": USER}, cast_to=object)
    assert caught.value.type == "invalid_request_error" and "model" in caught.value.message
    with pytest.raises(openai.BadRequestError):
        client.post("/chat/completions", body=[1, 2], cast_to=object)


def test_error__wrong_key(gateway):
    """401 AuthenticationError with code invalid_api_key; the wrong key is not repeated."""
    sdk = openai.OpenAI(base_url=gateway.url, api_key="rw-wrong-wrong-wrong-wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as caught:
        sdk.chat.completions.create(model=MODEL, messages=USER)
    assert caught.value.code == "invalid_api_key" and "rw-wrong" not in str(caught.value)


def test_error__unknown_model(client):
    """404 NotFoundError naming the model."""
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="no-such-model", messages=USER)
    assert caught.value.code == "model_not_found" and "no-such-model" in caught.value.message


@pytest.mark.parametrize(
    "status, kind",
    [
        (400, openai.BadRequestError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (413, openai.APIStatusError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_error__of_the_provider(client, status, kind, stream):
    """The provider's status becomes the SDK's class, streamed or not, with the provider's message."""
    with pytest.raises(kind) as caught:
        client.chat.completions.create(model=f"up/mock:status={status}", messages=USER, stream=stream)
    assert caught.value.status_code == status and f"mock status {status}" in caught.value.message


def test_error__provider_refuses_our_key(gateway):
    """The gateway's own credentials are wrong: 502 upstream_auth, never the 401 that blames the client's key."""
    for story in ("status=401", "raw=error_401"):
        answer = gateway.post("/v1/chat/completions", {"model": f"up/mock:{story}", "messages": USER})
        assert answer.status == 502 and answer.json()["error"]["code"] == "upstream_auth", answer
        assert b"sk-bad" not in answer.body


@pytest.mark.parametrize("status", [400, 429, 500])
def test_error__fixture(client, status):
    """A recorded error of OpenAI arrives with message, type, param and code."""
    story = fixture(f"error_{status}.json")
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=f"up/mock:raw=error_{status}", messages=USER)
    assert caught.value.status_code == status and caught.value.body == story["body"]["error"]


def test_error__retry_after_comes_through(client):
    """429 with retry-after: the SDK sees the header, and its own retry succeeds the second time."""
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="up/mock:status=429,retry-after=2", messages=USER)
    assert caught.value.response.headers["retry-after"] == "2"


def test_error__sdk_retries_until_good(gateway, mock, tag):
    """The provider fails once with 503; the SDK's own retry gets the good answer."""
    sdk = openai.OpenAI(base_url=gateway.url, api_key=KEY, max_retries=2, timeout=20)
    model = f"up/mock:status=503,retry-after-ms=10,fail=1,tag={tag}"
    assert sdk.chat.completions.create(model=model, messages=USER).choices[0].message.content == FIVE
    assert len(mock.log(tag)) == 2


def test_raw_response__headers(client):
    """with_raw_response: request id, which provider and model answered, and nothing of the provider's
    that is not for clients.
    """
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=USER)
    headers = raw.headers
    assert headers["x-request-id"] == raw.request_id and len(raw.request_id) >= 16
    assert headers["x-ringway-provider"] == "up" and headers["x-ringway-model"]
    assert headers["x-ringway-upstream-request-id"].startswith("mock-")
    assert headers["x-ringway-attempts"] == "1" and "server-timing" in headers
    assert headers["openai-processing-ms"] == "7"
    for name in ("set-cookie", "x-ratelimit-limit-requests", "openai-organization"):
        assert name not in headers
    assert raw.parse().choices[0].message.content == FIVE
    other = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=USER)
    assert other.request_id != raw.request_id


def test_invalid_key_is_not_asked_upstream(gateway, mock, tag):
    """A refused request never reaches the provider."""
    answer = gateway.post(
        "/v1/chat/completions", {"model": f"up/mock:tag={tag}", "messages": USER}, key="rw-" + "x" * 40
    )
    assert answer.status == 401 and mock.log(tag) == []


def test_keys_in_every_header(gateway):
    """Bearer, x-api-key, api-key, x-goog-api-key and ?key= are all taken; two different ones are 401."""
    body = {"model": MODEL, "messages": USER}
    for name in ("x-api-key", "api-key", "x-goog-api-key"):
        assert gateway.post("/v1/chat/completions", body, [(name, KEY)], key=None).status == 200, name
    assert gateway.post(f"/v1/chat/completions?key={KEY}", body, key=None).status == 200
    assert gateway.post("/v1/chat/completions", body, [("x-api-key", KEY)]).status == 200
    assert gateway.post("/v1/chat/completions", body, [("x-api-key", KEY + "x")]).status == 401
    assert gateway.post("/v1/chat/completions", body, key=None).status == 401


def test_echo_model(launch, backend):
    """A gateway without any provider answers with the built-in echo model, whole and streamed."""
    own = launch(backend, providers={}, models=[])
    sdk = openai.OpenAI(base_url=own.url, api_key=servers.KEY, max_retries=0, timeout=10)
    messages = [{"role": "user", "content": "Grüße aus Zürich"}]
    answer = sdk.chat.completions.create(model="echo", messages=messages)
    assert "Grüße aus Zürich" in answer.choices[0].message.content and answer.usage.total_tokens > 0
    stream = list(sdk.chat.completions.create(model="echo", messages=messages, stream=True))
    assert (
        text_of(stream) == answer.choices[0].message.content and stream[-1].choices[0].finish_reason == "stop"
    )
