"""Goal: clients of OpenAI's responses API are served by every provider; by OpenAI's byte for byte. What is kept at a provider
(earlier answers, conversations, items) is refused by name, whoever is asked.

Method: the official SDK in front, providers that answer from recorded fixtures behind (tests/lib/dialect_mock.py).
"""

import json

import openai
import pytest

import dialect_mock
import rawhttp
import servers
from servers import KEY

TEXT = "Grüße aus Zürich ☀️ — 你好, 😀!"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}, "unit": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "name": "get_weather", "description": "Weather of a city", "parameters": PARAMETERS, "strict": False}]
ALL = ["claude", "google", "co", "compatible"]


@pytest.fixture(scope="module")
def providers():
    server = dialect_mock.DialectMock()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def gateway(folder, providers, backend):
    known = dialect_mock.providers(providers.port)
    known["compatible"] = {**known["gpt"], "type": "vllm"}
    config = servers.plain_config(1, backend, providers=known, models=[])
    server = servers.Gateway(folder, config, f"responses-{backend}")
    yield server
    server.stop()
    assert not server.complaint_of_the_end(), server.complaint_of_the_end()


@pytest.fixture
def gpt(gateway, providers):
    providers.take()
    providers.refused.clear()
    with openai.OpenAI(base_url=gateway.url, api_key=KEY, max_retries=0, timeout=20) as sdk:
        yield sdk


# --- Any provider.


@pytest.mark.parametrize("provider", ALL)
def test_any__whole(gpt, providers, provider):
    answer = gpt.responses.create(
        model=f"{provider}/text", input="Greet me from Zürich.", instructions="You are terse.", max_output_tokens=64, metadata={}
    )
    assert answer.output_text == TEXT and answer.status == "completed" and answer.object == "response"
    assert answer.model == f"{provider}/text" and answer.instructions == "You are terse." and answer.max_output_tokens == 64
    assert answer.usage.output_tokens > 0 and answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert answer.output[0].role == "assistant" and answer.error is None and answer.tools == []
    assert "terse" in json.dumps(providers.one())


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("cut", [0, 1, 7])
def test_any__stream(gpt, providers, provider, cut):
    events = list(gpt.responses.create(model=f"{provider}/text,cut={cut}", input="Greet me.", stream=True))
    kinds = [e.type.removeprefix("response.") for e in events]
    assert kinds[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert kinds[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert [e.sequence_number for e in events] == list(range(len(events)))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == TEXT
    assert events[-1].response.output_text == TEXT and events[-1].response.usage.output_tokens > 0
    assert len({e.item_id for e in events if hasattr(e, "item_id")}) == 1
    assert not providers.refused


@pytest.mark.parametrize("provider", ALL)
def test_any__tools_and_back(gpt, providers, provider):
    asked = [{"role": "user", "content": "Compare the weather in Zürich and Oslo."}]
    answer = gpt.responses.create(model=f"{provider}/tool_parallel", input=asked, tools=TOOLS, store=False)
    calls = [i for i in answer.output if i.type == "function_call"]
    assert [json.loads(c.arguments)["city"] for c in calls] == ["Zürich", "Oslo"] and answer.status == "completed"
    assert answer.tools[0].name == "get_weather" and answer.tool_choice == "auto"
    providers.one()
    back = [*asked, *[i.model_dump(exclude_none=True) for i in answer.output]]
    back += [{"type": "function_call_output", "call_id": c.call_id, "output": "21 °C"} for c in calls]
    assert gpt.responses.create(model=f"{provider}/text", input=back, tools=TOOLS, store=False).output_text == TEXT
    assert json.dumps(providers.one(), ensure_ascii=False).count("21 °C") == 2


@pytest.mark.parametrize("provider", ALL)
def test_any__tool_stream(gpt, providers, provider):
    with gpt.responses.stream(model=f"{provider}/tool_parallel", input="Compare.", tools=TOOLS) as stream:
        kinds = [e.type for e in stream]
        final = stream.get_final_response()
    calls = [i for i in final.output if i.type == "function_call"]
    assert [json.loads(c.arguments)["city"] for c in calls] == ["Zürich", "Oslo"]
    assert kinds.count("response.function_call_arguments.done") == 2 and not providers.refused


def test_any__thinking_comes_and_goes_back(gpt, providers):
    answer = gpt.responses.create(model="claude/thinking", input="What is 6*7?", reasoning={"effort": "low", "summary": "auto"})
    thought = answer.output[0]
    told = json.loads((dialect_mock.DATA / "anthropic/thinking.response.json").read_text())["content"][0]
    assert thought.type == "reasoning" and thought.summary[0].text == told["thinking"]
    providers.one()
    back = [{"role": "user", "content": "x"}, *[i.model_dump(exclude_none=True) for i in answer.output], {"role": "user", "content": "y"}]
    gpt.responses.create(model="claude/text", input=back)
    assert providers.one()["messages"][1]["content"][0] == {k: told[k] for k in ("type", "thinking", "signature")}


def test_any__schema(gpt, providers):
    fmt = {"type": "json_schema", "name": "person", "schema": {"type": "object", "properties": {"name": {"type": "string"}}}}
    answer = gpt.responses.create(model="google/json_schema", input="A person.", text={"format": fmt})
    assert json.loads(answer.output_text)["name"]
    config = providers.one()["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert answer.text.format.type == "json_schema" and answer.text.format.name == "person"


@pytest.mark.parametrize(
    ("model", "status", "kind"),
    [
        ("claude/error_400", 400, openai.BadRequestError),
        ("claude/error_529", 503, openai.InternalServerError),
        ("co/error_429", 429, openai.RateLimitError),
        ("google/error_400", 400, openai.BadRequestError),
        ("claude/error_401", 502, openai.InternalServerError),
    ],
)
def test_any__errors(gpt, model, status, kind):
    with pytest.raises(kind) as caught:
        gpt.responses.create(model=model, input="x")
    assert caught.value.status_code == status and caught.value.message


def test_any__error_in_the_stream(gpt):
    events = list(gpt.responses.create(model="claude/midstream_error,pace=30", input="x", stream=True))
    assert events[-1].type == "response.failed" and events[-1].response.status == "failed"
    assert "Overloaded" in events[-1].response.error.message
    assert "response.completed" not in [e.type for e in events]


@pytest.mark.parametrize("model", ["claude/text,break=1200", "compatible/text,break=900"])
def test_any__broken_stream(gpt, model):
    """Never passed off as whole."""
    events = list(gpt.responses.create(model=model, input="x", stream=True))
    assert events[-1].type == "response.failed"


def test_any__length(gpt):
    answer = gpt.responses.create(model="claude/length", input="x")
    assert answer.status == "incomplete" and answer.incomplete_details.reason == "max_output_tokens"


# --- OpenAI's own.


def test_openai__whole_and_stream_are_byte_for_byte(gateway, providers):
    providers.take()
    body = {"model": "gpt/text", "input": "x", "truncation": "auto", "store": True, "tools": [{"type": "web_search"}]}
    answer = gateway.post("/v1/responses", body)
    assert answer.body == (dialect_mock.DATA / "openai_responses/text.response.json").read_bytes()
    seen = providers.take()[0]
    assert seen["path"] == "/v1/responses" and json.loads(seen["body"]) == {**body, "model": "text"}
    line = gateway.access_line(answer.header("x-request-id"))
    assert (line["dialect"], line["input_tokens"], line["output_tokens"]) == ("responses", 19, 12)
    for name in ("text", "tool_parallel", "reasoning"):
        answer = gateway.post("/v1/responses", {"model": f"gpt/{name},cut=13", "input": "x", "stream": True})
        assert answer.body == (dialect_mock.DATA / f"openai_responses/{name}.stream.sse").read_bytes()
    line = gateway.access_line(answer.header("x-request-id"))
    assert (line["input_tokens"], line["output_tokens"]) == (20, 130)


@pytest.mark.parametrize("at", [900, 3000, 5000])
def test_openai__broken_stream(gpt, at):
    with pytest.raises(openai.APIError):
        list(gpt.responses.create(model=f"gpt/text,break={at}", input="x", stream=True))


def test_openai__failed_before_content(gpt):
    """What the provider reports before anything was sent is an error with a status."""
    with pytest.raises(openai.APIStatusError):
        list(gpt.responses.create(model="gpt/error_429", input="x", stream=True))


# --- What is kept elsewhere.


@pytest.mark.parametrize("provider", ["gpt", "claude"])
@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("previous_response_id", {"previous_response_id": "resp_1"}),
        ("conversation", {"conversation": "conv_1"}),
        ("background", {"background": True}),
        ("input", {"input": [{"type": "item_reference", "id": "msg_1"}]}),
    ],
)
def test_kept__is_refused_by_name(gpt, providers, provider, field, more):
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.responses.create(**{"model": f"{provider}/text", "input": "x", **more})
    assert caught.value.param == field and not providers.take()
    if field == "input":
        assert "store: false" in caught.value.message


def test_kept__store_on_a_translated_target(gpt, providers):
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.responses.create(model="claude/text", input="x", store=True)
    assert caught.value.param == "store" and not providers.take()


def test_events__have_names(gateway):
    answer = gateway.post("/v1/responses", {"model": "claude/text", "input": "x", "stream": True})
    frames = [f for f in answer.body.decode().split("\n\n") if f]
    assert all(f.startswith("event: " + json.loads(rawhttp.events((f + "\n\n").encode())[0])["type"]) for f in frames)
    assert b"[DONE]" not in answer.body
