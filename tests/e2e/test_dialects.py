"""Goal: a client of one dialect and a provider of another understand each other: what the SDK's parsed object says is the
recorded story, what the provider got is a request its API takes; also when both speak the same dialect that is not OpenAI's.

Method: the official SDKs in front, providers that answer from recorded fixtures and refuse what the real API refuses behind
(tests/lib/dialect_mock.py). Values are compared with the fixtures, not with what the gateway did before.
"""

import json

import anthropic
import openai
import pytest

import dialect_mock
import rawhttp
import servers
from servers import KEY

USER = [{"role": "user", "content": "Greet me from Zürich."}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "unit": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]
TEXT = "Grüße aus Zürich ☀️ — 你好, 😀!"


@pytest.fixture(scope="module")
def providers():
    server = dialect_mock.DialectMock()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def gateway(folder, providers, backend):
    config = servers.plain_config(
        1,
        backend,
        providers=dialect_mock.providers(providers.port),
        models=[],
    )
    server = servers.Gateway(folder, config, f"dialects-{backend}")
    yield server
    server.stop()
    assert not server.complaint_of_the_end(), server.complaint_of_the_end()


@pytest.fixture
def claude(gateway, providers):
    providers.take()
    providers.refused.clear()
    with anthropic.Anthropic(base_url=gateway.url.removesuffix("/v1"), api_key=KEY, max_retries=0, timeout=20) as sdk:
        yield sdk


@pytest.fixture
def gpt(gateway, providers):
    providers.take()
    providers.refused.clear()
    with openai.OpenAI(base_url=gateway.url, api_key=KEY, max_retries=0, timeout=20) as sdk:
        yield sdk


def story(folder, name):
    return json.loads((dialect_mock.DATA / folder / f"{name}.response.json").read_text())


# --- OpenAI's client, Anthropic's provider.


def test_openai_client__anthropic_provider__whole(gpt, providers):
    raw = gpt.chat.completions.with_raw_response.create(
        model="claude/text", messages=[{"role": "system", "content": "You are terse."}, *USER], max_tokens=64, seed=7
    )
    answer, told = raw.parse(), story("anthropic", "text")
    assert answer.choices[0].message.content == told["content"][0]["text"]
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "claude/text"
    assert answer.usage.completion_tokens == told["usage"]["output_tokens"]
    assert answer.usage.prompt_tokens == told["usage"]["input_tokens"]
    assert raw.headers["x-ringway-dropped"] == "seed"
    asked = providers.one()
    assert asked["model"] == "text" and asked["max_tokens"] == 64 and "seed" not in asked
    assert "terse" in json.dumps(asked["system"])


def test_openai_client__anthropic_provider__headers(gateway, gpt, providers):
    """The provider's key in its own header, no trace of the client's."""
    gpt.chat.completions.create(model="claude/text", messages=USER)
    headers = providers.take()[0]["headers"]
    assert headers["x-api-key"] == servers.UPSTREAM_KEY and headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in headers and not any(k.startswith("x-stainless") for k in headers)
    assert KEY not in json.dumps(headers)


@pytest.mark.parametrize("cut", [0, 1, 7, 100])
def test_openai_client__anthropic_provider__stream(gpt, providers, cut):
    chunks = list(
        gpt.chat.completions.create(
            model=f"claude/text,cut={cut}", messages=USER, stream=True, stream_options={"include_usage": True}
        )
    )
    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert said == TEXT
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
    assert chunks[-1].usage.prompt_tokens == 19 and chunks[-1].usage.completion_tokens == 12
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({c.id for c in chunks}) == 1
    assert providers.one()["stream"] is True


def test_openai_client__anthropic_provider__tools(gpt, providers):
    messages = [*USER]
    answer = gpt.chat.completions.create(model="claude/tool_parallel", messages=messages, tools=TOOLS)
    calls = answer.choices[0].message.tool_calls
    told = [b for b in story("anthropic", "tool_parallel")["content"] if b["type"] == "tool_use"]
    assert [(c.id, c.function.name, json.loads(c.function.arguments)) for c in calls] == [
        (b["id"], b["name"], b["input"]) for b in told
    ]
    assert answer.choices[0].finish_reason == "tool_calls"
    asked = providers.one()
    assert asked["tools"][0]["name"] == "get_weather"
    assert asked["tools"][0]["input_schema"] == TOOLS[0]["function"]["parameters"]
    # And back with the results.
    messages.append(answer.choices[0].message.model_dump(exclude_none=True))
    messages += [{"role": "tool", "tool_call_id": c.id, "content": "21 °C"} for c in calls]
    second = gpt.chat.completions.create(model="claude/text", messages=messages, tools=TOOLS)
    assert second.choices[0].message.content
    asked = providers.one()
    results = [b for m in asked["messages"] if isinstance(m["content"], list) for b in m["content"] if b["type"] == "tool_result"]
    assert [b["tool_use_id"] for b in results] == [c.id for c in calls]


def test_openai_client__anthropic_provider__tool_stream(gpt, providers):
    arguments, names = {}, {}
    for chunk in gpt.chat.completions.create(model="claude/tool_parallel", messages=USER, tools=TOOLS, stream=True):
        for call in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            names.setdefault(call.index, call.function.name)
            arguments[call.index] = arguments.get(call.index, "") + (call.function.arguments or "")
    assert list(names) == [0, 1] and set(names.values()) == {"get_weather"}
    assert all(json.loads(a)["city"] for a in arguments.values())


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (404, openai.NotFoundError),
        (413, openai.APIStatusError),
        (429, openai.RateLimitError),
        (529, openai.InternalServerError),
    ],
)
def test_openai_client__anthropic_provider__errors(gpt, status, kind):
    told = json.loads((dialect_mock.DATA / "anthropic" / f"error_{status}.json").read_text())
    with pytest.raises(kind) as caught:
        gpt.chat.completions.create(model=f"claude/error_{status}", messages=USER)
    assert caught.value.status_code == (503 if status == 529 else status)
    assert told["body"]["error"]["message"] in caught.value.message


def test_openai_client__anthropic_provider__own_credentials_refused(gpt):
    with pytest.raises(openai.InternalServerError) as caught:
        gpt.chat.completions.create(model="claude/error_401", messages=USER)
    assert caught.value.status_code == 502 and "credentials" in caught.value.message


def test_openai_client__anthropic_provider__error_in_the_stream(gpt):
    said = ""
    with pytest.raises(openai.APIError) as caught:
        for chunk in gpt.chat.completions.create(model="claude/midstream_error,pace=30", messages=USER, stream=True):
            said += chunk.choices[0].delta.content or ""
    assert "Overloaded" in str(caught.value) and said == "Grüße"


@pytest.mark.parametrize("at", [100, 900, 1200])
def test_openai_client__anthropic_provider__broken_stream(gpt, at):
    """Never passed off as whole: an error, before or in the stream."""
    with pytest.raises(openai.APIError):
        for _ in gpt.chat.completions.create(model=f"claude/text,break={at}", messages=USER, stream=True):
            pass


# --- Anthropic's client, OpenAI's provider.


def test_anthropic_client__openai_provider__whole(claude, providers):
    answer = claude.messages.create(model="gpt/text", max_tokens=64, system="You are terse.", messages=USER)
    told = story("openai", "text")
    assert answer.content[0].text == told["choices"][0]["message"]["content"]
    assert answer.stop_reason == "end_turn" and answer.role == "assistant" and answer.type == "message"
    assert answer.usage.output_tokens == told["usage"]["completion_tokens"]
    asked = providers.one()
    assert asked["messages"][0]["role"] in ("system", "developer") and asked["model"] == "text"
    assert asked.get("max_completion_tokens", asked.get("max_tokens")) == 64


@pytest.mark.parametrize("cut", [0, 1, 7])
def test_anthropic_client__openai_provider__stream(claude, providers, cut):
    with claude.messages.stream(model=f"gpt/text,cut={cut}", max_tokens=64, messages=USER) as stream:
        said = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert said == TEXT and final.content[0].text == TEXT
    assert final.stop_reason == "end_turn" and final.usage.output_tokens > 0
    assert providers.one()["stream_options"]["include_usage"] is True


def test_anthropic_client__openai_provider__tools(claude, providers):
    tools = [{"name": "get_weather", "input_schema": TOOLS[0]["function"]["parameters"]}]
    answer = claude.messages.create(model="gpt/tool_parallel", max_tokens=64, messages=USER, tools=tools)
    told = story("openai", "tool_parallel")["choices"][0]["message"]["tool_calls"]
    calls = [b for b in answer.content if b.type == "tool_use"]
    assert [(b.id, b.name, b.input) for b in calls] == [
        (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in told
    ]
    assert answer.stop_reason == "tool_use"
    providers.one()
    back = [
        *USER,
        {"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in answer.content]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": b.id, "content": "21 °C"} for b in calls]},
    ]
    assert claude.messages.create(model="gpt/text", max_tokens=64, messages=back, tools=tools).content
    asked = providers.one()
    assert [m["tool_call_id"] for m in asked["messages"] if m["role"] == "tool"] == [b.id for b in calls]


@pytest.mark.parametrize(
    ("status", "kind", "seen"),
    [
        (400, anthropic.BadRequestError, 400),
        (429, anthropic.RateLimitError, 429),
        (500, anthropic.InternalServerError, 500),
    ],
)
def test_anthropic_client__openai_provider__errors(claude, status, kind, seen):
    told = json.loads((dialect_mock.DATA / "openai" / f"error_{status}.json").read_text())
    with pytest.raises(kind) as caught:
        claude.messages.create(model=f"gpt/error_{status}", max_tokens=64, messages=USER)
    assert caught.value.status_code == seen and caught.value.body["type"] == "error"
    assert told["body"]["error"]["message"] in caught.value.body["error"]["message"]


# --- Gemini's provider, from both clients.


def gemini_text(name):
    parts = story("gemini", name)["candidates"][0]["content"]["parts"]
    return "".join(p["text"] for p in parts if "text" in p and not p.get("thought"))


def test_gemini_provider__whole_from_both(gpt, claude, providers):
    told = gemini_text("text")
    answer = gpt.chat.completions.create(model="google/text", messages=USER, max_tokens=64)
    assert answer.choices[0].message.content == told and answer.choices[0].finish_reason == "stop"
    seen = providers.take()[0]
    assert seen["path"] == "/v1beta/models/text:generateContent" and seen["headers"]["x-goog-api-key"] == servers.UPSTREAM_KEY
    assert json.loads(seen["body"])["generationConfig"]["maxOutputTokens"] == 64
    assert claude.messages.create(model="google/text", max_tokens=64, messages=USER).content[0].text == told
    assert not providers.refused


@pytest.mark.parametrize("cut", [0, 1, 17])
def test_gemini_provider__stream_from_both(gpt, claude, providers, cut):
    chunks = gpt.chat.completions.create(model=f"google/text,cut={cut}", messages=USER, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == TEXT
    assert providers.take()[0]["path"].endswith(":streamGenerateContent?alt=sse")
    with claude.messages.stream(model=f"google/text,cut={cut}", max_tokens=64, messages=USER) as stream:
        assert "".join(stream.text_stream) == TEXT
    assert not providers.refused


def test_gemini_provider__tools(gpt, providers):
    answer = gpt.chat.completions.create(model="google/tool_parallel", messages=USER, tools=TOOLS)
    told = [p["functionCall"] for p in story("gemini", "tool_parallel")["candidates"][0]["content"]["parts"] if "functionCall" in p]
    calls = answer.choices[0].message.tool_calls
    assert [(c.function.name, json.loads(c.function.arguments)) for c in calls] == [(t["name"], t["args"]) for t in told]
    assert providers.one()["tools"][0]["functionDeclarations"][0]["name"] == "get_weather"


def test_gemini_provider__errors(gpt):
    with pytest.raises(openai.RateLimitError):
        gpt.chat.completions.create(model="google/error_429", messages=USER)
    with pytest.raises(openai.BadRequestError):
        gpt.chat.completions.create(model="google/error_400", messages=USER)


# --- The gateway's own errors in Anthropic's shape.


def test_anthropic_client__own_errors(gateway, claude):
    with pytest.raises(anthropic.NotFoundError) as caught:
        claude.messages.create(model="nobody", max_tokens=64, messages=USER)
    assert caught.value.body["error"]["type"] == "not_found_error"
    assert caught.value.response.headers["request-id"] == caught.value.response.headers["x-request-id"]
    with anthropic.Anthropic(base_url=gateway.url.removesuffix("/v1"), api_key="wrong-key", max_retries=0) as other:
        with pytest.raises(anthropic.AuthenticationError):
            other.messages.create(model="gpt/text", max_tokens=64, messages=USER)
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.create(model="gpt/text", max_tokens=64, messages=[])


def test_anthropic_client__models(claude):
    assert claude.models.list().data == []


# --- The same dialect on both sides: bytes pass, usage is read.


def test_anthropic_both__whole(gateway, claude, providers):
    raw = claude.messages.with_raw_response.create(
        model="claude/text", max_tokens=64, messages=USER, extra_body={"context_management": {"edits": []}}
    )
    assert json.loads(raw.text()) == story("anthropic", "text")
    asked = providers.one()
    assert asked["context_management"] == {"edits": []} and asked["model"] == "text"
    line = gateway.access_line(raw.headers["x-request-id"])
    assert (line["dialect"], line["input_tokens"], line["output_tokens"]) == ("anthropic", 19, 12)


@pytest.mark.parametrize("name", ["text", "tool_parallel", "thinking", "text_minimal"])
@pytest.mark.parametrize("cut", [0, 1, 13])
def test_anthropic_both__stream_is_byte_for_byte(gateway, claude, name, cut):
    body = {"model": f"claude/{name},cut={cut}", "max_tokens": 64, "messages": USER, "stream": True}
    answer = gateway.post("/v1/messages", body, [("anthropic-version", "2023-06-01")])
    assert answer.status == 200 and answer.header("content-type").startswith("text/event-stream")
    assert answer.body == (dialect_mock.DATA / "anthropic" / f"{name}.stream.sse").read_bytes()


def test_anthropic_both__broken_stream(claude):
    with pytest.raises(anthropic.APIError):
        with claude.messages.stream(model="claude/text,break=1200", max_tokens=64, messages=USER) as stream:
            stream.get_final_message()


def test_embeddings__of_a_provider_without(gateway):
    answer = gateway.post("/v1/embeddings", {"model": "claude/x", "input": "a"})
    assert answer.status == 400 and "claude" in answer.json()["error"]["message"]


def test_events__raw_frames_of_a_translated_stream(gateway, claude):
    """Each event with its name, as Anthropic's SDK wants it, and no [DONE]."""
    body = {"model": "gpt/text", "max_tokens": 64, "messages": USER, "stream": True}
    answer = gateway.post("/v1/messages", body, [("anthropic-version", "2023-06-01")])
    frames = [f for f in answer.body.decode().split("\n\n") if f]
    assert all(f.startswith("event: ") for f in frames) and b"[DONE]" not in answer.body
    assert frames[0].startswith("event: message_start") and frames[-1].startswith("event: message_stop")
    assert rawhttp.events(answer.body)
