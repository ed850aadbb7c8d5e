"""Goal: clients of Bedrock's InvokeModel are served by every provider: the bodies of Claude, Nova and Titan, whole and as binary
event streams, errors before and in a stream; what Titan does not stream is refused in the words of native.md.

Method: a raw client that reads the event stream with a decoder of its own (tests/lib/awsframes.py); providers that answer from
recorded fixtures behind (tests/lib/dialect_mock.py).
"""

import base64
import json

import pytest

import dialect_mock
import servers
from awsframes import frames

TEXT = "Grüße aus Zürich ☀️ — 你好, 😀!"
CLAUDE = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 64, "messages": [{"role": "user", "content": "Greet me."}]}
NOVA = {"schemaVersion": "messages-v1", "messages": [{"role": "user", "content": [{"text": "Greet me."}]}]}
TITAN = {"inputText": "User: Greet me.\nBot:", "textGenerationConfig": {"maxTokenCount": 64}}
ALL = ["gpt", "claude", "google", "co", "aws"]
EXPRESS = "amazon.titan-text-express-v1"


@pytest.fixture(scope="module")
def providers():
    server = dialect_mock.DialectMock()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def gateway(folder, providers, backend):
    models = [{"name": EXPRESS, "targets": [{"provider": "gpt", "model": "text"}]}]
    config = servers.plain_config(1, backend, providers=dialect_mock.providers(providers.port), models=models)
    server = servers.Gateway(folder, config, f"invoke-{backend}")
    yield server
    server.stop()
    assert not server.complaint_of_the_end(), server.complaint_of_the_end()


@pytest.fixture
def ask(gateway, providers):
    providers.take()
    providers.refused.clear()

    def post(model, body, stream=False):
        return gateway.post(f"/model/{model.replace('/', '%2F')}/invoke{'-with-response-stream' if stream else ''}", body)

    return post


def events(answer):
    """The model's own events, out of the chunks."""
    assert answer.header("content-type") == "application/vnd.amazon.eventstream"
    assert answer.header("x-amzn-bedrock-content-type") == "application/json"
    read = frames(answer.body)
    assert {e[:2] for e in read} == {("event", "chunk")}
    return [json.loads(base64.b64decode(e[2]["bytes"], validate=True)) for e in read]


@pytest.mark.parametrize("provider", ALL)
def test_claude__whole(ask, providers, provider):
    answer = ask(f"{provider}/text", {**CLAUDE, "system": "You are terse."})
    value = answer.json()
    assert (answer.status, value["type"], value["stop_reason"]) == (200, "message", "end_turn")
    assert "".join(b["text"] for b in value["content"]) == TEXT and value["usage"]["output_tokens"] == 12
    counts = [answer.header(f"x-amzn-bedrock-{k}-token-count") for k in ("input", "output")]
    assert counts == [str(value["usage"]["input_tokens"]), "12"]
    assert "terse" in json.dumps(providers.one()) and not providers.refused


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("cut", [0, 7])
def test_claude__stream(gateway, ask, providers, provider, cut):
    answer = ask(f"{provider}/text,cut={cut}", CLAUDE, stream=True)
    told = events(answer)
    assert told[0]["type"] == "message_start" and told[-1]["type"] == "message_stop"
    assert "".join(e["delta"]["text"] for e in told if e["type"] == "content_block_delta") == TEXT
    assert told[-2]["delta"]["stop_reason"] == "end_turn"
    assert told[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == 12 and not providers.refused
    assert gateway.access_line(answer.header("x-request-id"))["dialect"] == "invoke_claude"


@pytest.mark.parametrize("provider", ALL)
def test_claude__tools_and_back(ask, providers, provider):
    tool = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    content = ask(f"{provider}/tool_parallel", {**CLAUDE, "tools": [tool]}).json()["content"]
    calls = [b for b in content if b["type"] == "tool_use"]
    assert [c["input"]["city"] for c in calls] == ["Zürich", "Oslo"]
    providers.one()
    results = [{"type": "tool_result", "tool_use_id": c["id"], "content": "temp 21"} for c in calls]
    turns = [*CLAUDE["messages"], {"role": "assistant", "content": content}, {"role": "user", "content": results}]
    assert ask(f"{provider}/text", {**CLAUDE, "tools": [tool], "messages": turns}).status == 200
    assert json.dumps(providers.one()).count("temp") >= 2


@pytest.mark.parametrize("provider", ALL)
def test_nova__whole_and_stream(ask, providers, provider):
    value = ask(f"{provider}/text", NOVA).json()
    assert "".join(b["text"] for b in value["output"]["message"]["content"]) == TEXT
    assert value["stopReason"] == "end_turn" and value["usage"]["outputTokens"] == 12
    told = events(ask(f"{provider}/text", NOVA, stream=True))
    assert [len([k for k in e if not k.startswith("amazon")]) for e in told] == [1] * len(told)
    assert "".join(e["contentBlockDelta"]["delta"]["text"] for e in told if "contentBlockDelta" in e) == TEXT
    assert told[-2] == {"messageStop": {"stopReason": "end_turn"}}
    assert told[-1]["metadata"]["usage"]["outputTokens"] == told[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == 12
    assert not providers.refused


@pytest.mark.parametrize("provider", ALL)
def test_titan__whole(ask, providers, provider):
    value = ask(f"{provider}/text", TITAN).json()
    [result] = value["results"]
    assert (result["outputText"], result["tokenCount"], result["completionReason"]) == (TEXT, 12, "FINISH")
    assert value["inputTextTokenCount"] > 0
    assert "Greet me." in json.dumps(providers.one()) and not providers.refused


@pytest.mark.parametrize("path", [f"/model/{EXPRESS}/invoke-with-response-stream", "/model/gpt%2Ftext/invoke-with-response-stream"])
def test_titan__stream_is_refused(gateway, providers, path):
    providers.take()
    answer = gateway.post(path, TITAN)
    name = path.split("/")[2].replace("%2F", "/")
    assert (answer.status, answer.json()["__type"]) == (400, "ValidationException")
    assert answer.json()["message"] == f"Streaming not supported for model: {name}" and not providers.take()


def test_titan__stream_is_refused_on_the_native_route(gateway, providers):
    providers.take()
    body = {"model": EXPRESS, "messages": [{"role": "user", "content": "x"}], "stream": True}
    answer = gateway.post("/v1/chat", body)
    message = f"Streaming not supported for model: {EXPRESS}"
    assert answer.json() == {"error": {"message": message, "type": "gateway_error", "code": 400}}
    assert gateway.post("/v1/chat", {**body, "stream": False}).status == 200


@pytest.mark.parametrize(
    ("model", "body", "status", "kind"),
    [
        ("claude/error_429", CLAUDE, 429, "ThrottlingException"),
        ("claude/error_529", NOVA, 503, "ServiceUnavailableException"),
        ("gpt/error_400", TITAN, 400, "ValidationException"),
        ("gpt/text", {**CLAUDE, "messages": []}, 400, "ValidationException"),
        ("nobody", CLAUDE, 404, "ResourceNotFoundException"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors(ask, model, body, status, kind, stream):
    answer = ask(model, body, stream=stream and "inputText" not in body)
    assert (answer.status, answer.json()["__type"]) == (status, kind) and answer.json()["message"]
    assert answer.header("x-amzn-errortype") == kind


@pytest.mark.parametrize("body", [CLAUDE, NOVA])
@pytest.mark.parametrize("model", ["claude/midstream_error,pace=30", "claude/text,break=1200", "gpt/text,break=900"])
def test_error_in_the_stream(ask, model, body):
    """An exception is the last frame, and nothing ends the answer before it: never passed off as whole."""
    read = frames(ask(model, body, stream=True).body)
    assert read[-1][0] == "exception"
    told = "".join(base64.b64decode(e[2]["bytes"]).decode() for e in read[:-1])
    assert "message_stop" not in told and "metadata" not in told
