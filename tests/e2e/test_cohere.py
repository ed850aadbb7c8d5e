"""Goal: Cohere's own client (v2) is served by every provider, and Cohere's provider serves every client; what the SDK's parsed
object says is the recorded story, and what the provider got is a request its API takes.

Method: the official SDKs in front, providers that answer from recorded fixtures behind (tests/lib/dialect_mock.py).
"""

import json

import anthropic
import cohere
import openai
import pytest

import dialect_mock
import servers
from servers import KEY

USER = [{"role": "user", "content": "Greet me from Zürich."}]
FUNCTION = {
    "name": "get_weather",
    "description": "Weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "unit": {"type": "string"}}, "required": ["city"]},
}
TOOLS = [{"type": "function", "function": FUNCTION}]
TEXT = "Grüße aus Zürich ☀️ — 你好, 😀!"
ONCE = {"max_retries": 0}


@pytest.fixture(scope="module")
def providers():
    server = dialect_mock.DialectMock()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def gateway(folder, providers, backend):
    config = servers.plain_config(1, backend, providers=dialect_mock.providers(providers.port), models=[])
    server = servers.Gateway(folder, config, f"cohere-{backend}")
    yield server
    server.stop()
    assert not server.complaint_of_the_end(), server.complaint_of_the_end()


@pytest.fixture
def co(gateway, providers):
    providers.take()
    providers.refused.clear()
    return cohere.ClientV2(api_key=KEY, base_url=gateway.url.removesuffix("/v1"), timeout=20)


@pytest.fixture
def gpt(gateway, providers):
    providers.take()
    providers.refused.clear()
    with openai.OpenAI(base_url=gateway.url, api_key=KEY, max_retries=0, timeout=20) as sdk:
        yield sdk


def story(folder, name):
    return json.loads((dialect_mock.DATA / folder / f"{name}.response.json").read_text())


# --- Cohere's client.


@pytest.mark.parametrize(("model", "tokens"), [("gpt/text", None), ("claude/text", (19, 12)), ("google/text", None), ("co/text", (202, 12))])
def test_client__whole(co, providers, model, tokens):
    answer = co.chat(model=model, messages=USER, max_tokens=64, request_options=ONCE)
    assert answer.message.content[0].text == TEXT and answer.finish_reason == "COMPLETE" and answer.id
    assert answer.message.role == "assistant" and not answer.message.tool_calls
    if tokens:
        assert (answer.usage.tokens.input_tokens, answer.usage.tokens.output_tokens) == tokens
    asked = providers.one()
    assert 64 in (asked.get("max_tokens"), asked.get("max_completion_tokens"), asked.get("generationConfig", {}).get("maxOutputTokens"))


@pytest.mark.parametrize("model", ["gpt/text", "claude/text", "google/text", "co/text"])
@pytest.mark.parametrize("cut", [0, 1, 7])
def test_client__stream(co, providers, model, cut):
    events = list(co.chat_stream(model=f"{model},cut={cut}", messages=USER, request_options=ONCE))
    kinds = [e.type for e in events]
    assert kinds[0] == "message-start" and kinds[-1] == "message-end" and events[0].id
    assert kinds.count("content-start") == kinds.count("content-end") == 1
    assert "".join(e.delta.message.content.text for e in events if e.type == "content-delta") == TEXT
    assert events[-1].delta.finish_reason == "COMPLETE" and events[-1].delta.usage.tokens.output_tokens > 0
    assert not providers.refused


@pytest.mark.parametrize("model", ["gpt/tool_parallel", "claude/tool_parallel", "co/tool_parallel"])
def test_client__tools(co, providers, model):
    answer = co.chat(model=model, messages=USER, tools=TOOLS, request_options=ONCE)
    calls = answer.message.tool_calls
    assert answer.finish_reason == "TOOL_CALL" and [c.function.name for c in calls] == ["get_weather"] * 2
    assert [json.loads(c.function.arguments)["city"] for c in calls] == ["Zürich", "Oslo"]
    providers.one()
    # And back with the results, as documents and as text.
    result = [{"type": "document", "document": {"data": {"temp": "21"}}}]
    back = [
        *USER,
        answer.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": calls[0].id, "content": result},
        {"role": "tool", "tool_call_id": calls[1].id, "content": "9 °C"},
    ]
    second = co.chat(model=model.split("/")[0] + "/text", messages=back, tools=TOOLS, request_options=ONCE)
    assert second.message.content[0].text == TEXT
    asked = json.dumps(providers.one(), ensure_ascii=False)
    assert "9 °C" in asked and "temp" in asked and calls[0].id in asked


@pytest.mark.parametrize("model", ["gpt/tool_parallel", "claude/tool_parallel", "google/tool_parallel", "co/tool_parallel"])
def test_client__tool_stream(co, providers, model):
    names, arguments, ended = {}, {}, []
    for e in co.chat_stream(model=model, messages=USER, tools=TOOLS, request_options=ONCE):
        if e.type == "tool-call-start":
            names[e.index] = e.delta.message.tool_calls.function.name
            arguments[e.index] = e.delta.message.tool_calls.function.arguments or ""
        if e.type == "tool-call-delta":
            arguments[e.index] += e.delta.message.tool_calls.function.arguments
        if e.type == "tool-call-end":
            ended.append(e.index)
        last = e
    assert list(names) == ended == [0, 1] and set(names.values()) == {"get_weather"}
    assert all(json.loads(a)["city"] for a in arguments.values())
    assert last.type == "message-end" and last.delta.finish_reason == "TOOL_CALL"
    assert not providers.refused


@pytest.mark.parametrize(
    ("model", "status", "kind"),
    [
        ("claude/error_400", 400, cohere.BadRequestError),
        ("claude/error_404", 404, cohere.NotFoundError),
        ("claude/error_429", 429, cohere.TooManyRequestsError),
        ("claude/error_529", 503, cohere.ServiceUnavailableError),
        ("gpt/error_429", 429, cohere.TooManyRequestsError),
        ("co/error_400", 400, cohere.BadRequestError),
        ("co/error_429", 429, cohere.TooManyRequestsError),
    ],
)
def test_client__errors(co, model, status, kind):
    with pytest.raises(kind) as caught:
        co.chat(model=model, messages=USER, request_options=ONCE)
    assert caught.value.status_code == status and caught.value.body["message"]


def test_client__own_errors(gateway, co):
    with pytest.raises(cohere.NotFoundError) as caught:
        co.chat(model="nobody", messages=USER, request_options=ONCE)
    assert "nobody" in caught.value.body["message"]
    other = cohere.ClientV2(api_key="wrong-key", base_url=gateway.url.removesuffix("/v1"))
    with pytest.raises(cohere.UnauthorizedError):
        other.chat(model="gpt/text", messages=USER, request_options=ONCE)
    with pytest.raises(cohere.BadRequestError):
        co.chat(model="gpt/text", messages=[], request_options=ONCE)


def test_client__error_in_the_stream(co):
    """The SDK does not throw: the last event says so, and is no complete end."""
    events = list(co.chat_stream(model="claude/midstream_error,pace=30", messages=USER, request_options=ONCE))
    assert events[-1].type == "message-end" and events[-1].delta.finish_reason == "ERROR"
    assert "Overloaded" in events[-1].delta.error


@pytest.mark.parametrize("model", ["claude/text", "gpt/text", "co/text"])
def test_client__broken_stream(co, model):
    """Never passed off as whole."""
    try:
        events = list(co.chat_stream(model=f"{model},break=900", messages=USER, request_options=ONCE))
    except Exception:  # the SDK lets the transport's error through
        return
    assert events[-1].type == "message-end" and events[-1].delta.finish_reason == "ERROR"


def test_client__same_dialect_is_byte_for_byte(gateway, providers):
    providers.take()
    body = {"model": "co/tool_parallel,cut=7", "messages": USER, "stream": True, "some_new_field": {"a": [1]}}
    answer = gateway.post("/v2/chat", body)
    assert answer.status == 400  # the mock knows its fields: they came through
    asked = json.loads(providers.take()[0]["body"])
    assert asked["some_new_field"] == {"a": [1]} and asked["model"] == "tool_parallel,cut=7"
    del body["some_new_field"]
    answer = gateway.post("/v2/chat", body)
    assert answer.body == (dialect_mock.DATA / "cohere/tool_parallel.stream.sse").read_bytes()
    line = gateway.access_line(answer.header("x-request-id"))
    assert (line["dialect"], line["input_tokens"], line["output_tokens"]) == ("cohere", 224, 50)


def test_client__version_1(gateway):
    answer = gateway.post("/v1/chat", {"message": "hi", "model": "co/text"})
    assert answer.status == 400 and "/v2/chat" in answer.json()["error"]["message"]


# --- Cohere's provider.


def test_provider__whole(gpt, providers):
    raw = gpt.chat.completions.with_raw_response.create(
        model="co/text", messages=[{"role": "developer", "content": "You are terse."}, *USER], temperature=1.7, user="u1", top_p=1
    )
    answer = raw.parse()
    assert answer.choices[0].message.content == TEXT and answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens == 202 and answer.model == "co/text" and answer.created > 0
    assert raw.headers["x-ringway-dropped"] == "user"
    asked = providers.one()
    assert asked["messages"][0] == {"role": "system", "content": "You are terse."}
    assert asked["temperature"] == 1 and asked["p"] == 0.99


def test_provider__headers(gpt, providers):
    gpt.chat.completions.create(model="co/text", messages=USER)
    seen = providers.take()[0]
    assert seen["path"] == "/v2/chat" and seen["headers"]["authorization"] == f"Bearer {servers.UPSTREAM_KEY}"
    assert KEY not in json.dumps(seen["headers"])


@pytest.mark.parametrize("cut", [0, 1, 7])
def test_provider__stream(gateway, gpt, providers, cut):
    chunks = list(
        gpt.chat.completions.create(
            model=f"co/text,cut={cut}", messages=USER, stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == TEXT
    assert chunks[-1].usage.prompt_tokens == 202 and chunks[-1].usage.completion_tokens == 12
    with anthropic.Anthropic(base_url=gateway.url.removesuffix("/v1"), api_key=KEY, max_retries=0, timeout=20) as claude:
        with claude.messages.stream(model=f"co/thinking,cut={cut}", max_tokens=64, messages=USER) as stream:
            final = stream.get_final_message()
    assert [b.type for b in final.content] == ["thinking", "text"] and final.content[1].text == "42"
    assert not providers.refused


def test_provider__tools(gpt, providers):
    answer = gpt.chat.completions.create(
        model="co/tool_parallel", messages=USER, tools=TOOLS, tool_choice={"type": "function", "function": {"name": "get_weather"}}
    )
    told = story("cohere", "tool_parallel")["message"]
    message = answer.choices[0].message
    assert message.content == told["tool_plan"] and answer.choices[0].finish_reason == "tool_calls"
    assert [(c.id, c.function.arguments) for c in message.tool_calls] == [
        (c["id"], c["function"]["arguments"]) for c in told["tool_calls"]
    ]
    assert providers.one()["tool_choice"] == "REQUIRED"
    back = [*USER, message.model_dump(exclude_none=True)]
    back += [{"role": "tool", "tool_call_id": c.id, "content": "21 °C"} for c in message.tool_calls]
    assert gpt.chat.completions.create(model="co/text", messages=back, tools=TOOLS).choices[0].message.content == TEXT
    asked = providers.one()["messages"][1]
    assert asked["tool_plan"] == told["tool_plan"] and "content" not in asked


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (401, openai.InternalServerError),
        (404, openai.NotFoundError),
        (422, openai.BadRequestError),
        (429, openai.RateLimitError),
    ],
)
def test_provider__errors(gpt, status, kind):
    with pytest.raises(kind) as caught:
        gpt.chat.completions.create(model=f"co/error_{status}", messages=USER)
    if status == 429:
        assert caught.value.response.headers["retry-after"] == "30"


def test_provider__refused_before_it_is_asked(gpt, providers):
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.chat.completions.create(model="co/text", messages=USER, tools=TOOLS, response_format={"type": "json_object"})
    assert caught.value.param == "response_format" and not providers.take()


def test_provider__error_in_the_stream(gpt):
    with pytest.raises(openai.APIError) as caught:
        list(gpt.chat.completions.create(model="co/midstream_error,pace=30", messages=USER, stream=True))
    assert "internal server error" in str(caught.value)
