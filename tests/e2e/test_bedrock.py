"""Goal: clients of Bedrock's Converse API are served by every provider, and Bedrock (by API key) serves every client: whole answers
and binary event streams, tools and back, errors before and in a stream.

Method: a raw client that reads the event stream with a decoder of its own (tests/lib/awsframes.py), and the official SDKs of others;
providers that answer from recorded fixtures behind (tests/lib/dialect_mock.py).
"""

import json

import anthropic
import openai
import pytest

import dialect_mock
import servers
from awsframes import frames
from servers import KEY

TEXT = "Grüße aus Zürich ☀️ — 你好, 😀!"
SAY = [{"role": "user", "content": [{"text": "Greet me from Zürich."}]}]
SPEC = {"name": "get_weather", "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}}}}
TOOLS = {"tools": [{"toolSpec": SPEC}]}
ALL = ["gpt", "claude", "google", "co", "aws"]


@pytest.fixture(scope="module")
def providers():
    server = dialect_mock.DialectMock()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def gateway(folder, providers, backend):
    config = servers.plain_config(1, backend, providers=dialect_mock.providers(providers.port), models=[])
    server = servers.Gateway(folder, config, f"bedrock-{backend}")
    yield server
    server.stop()
    assert not server.complaint_of_the_end(), server.complaint_of_the_end()


@pytest.fixture
def ask(gateway, providers):
    providers.take()
    providers.refused.clear()

    def post(model, body, verb="converse"):
        return gateway.post(f"/model/{model.replace('/', '%2F')}/{verb}", body)

    return post


# --- Bedrock's clients.


@pytest.mark.parametrize("provider", ALL)
def test_client__whole(ask, providers, provider):
    body = {"messages": SAY, "system": [{"text": "You are terse."}], "inferenceConfig": {"maxTokens": 64}}
    answer = ask(f"{provider}/text", body)
    value = answer.json()
    assert answer.status == 200 and "".join(b["text"] for b in value["output"]["message"]["content"]) == TEXT
    assert value["stopReason"] == "end_turn" and value["usage"]["outputTokens"] == 12 and value["metrics"]["latencyMs"] >= 0
    assert "terse" in json.dumps(providers.one())


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("cut", [0, 1, 7])
def test_client__stream(ask, providers, provider, cut):
    answer = ask(f"{provider}/text,cut={cut}", {"messages": SAY}, "converse-stream")
    assert answer.header("content-type") == "application/vnd.amazon.eventstream"
    events = frames(answer.body)
    kinds = [e[1] for e in events]
    assert {e[0] for e in events} == {"event"} and kinds[0] == "messageStart" and kinds[-2:] == ["messageStop", "metadata"]
    assert "".join(e[2]["delta"]["text"] for e in events if e[1] == "contentBlockDelta") == TEXT
    assert events[-2][2]["stopReason"] == "end_turn" and events[-1][2]["usage"]["outputTokens"] == 12
    assert not providers.refused


@pytest.mark.parametrize("provider", ALL)
def test_client__tools_and_back(ask, providers, provider):
    body = {"messages": SAY, "toolConfig": TOOLS}
    message = ask(f"{provider}/tool_parallel", body).json()["output"]["message"]
    calls = [b["toolUse"] for b in message["content"] if "toolUse" in b]
    assert [c["input"]["city"] for c in calls] == ["Zürich", "Oslo"]
    providers.one()
    results = [{"toolResult": {"toolUseId": c["toolUseId"], "content": [{"json": {"temp": 21}}]}} for c in calls]
    back = {**body, "messages": [*SAY, message, {"role": "user", "content": results}]}
    assert ask(f"{provider}/text", back).status == 200
    assert json.dumps(providers.one()).count("temp") >= 2


@pytest.mark.parametrize("provider", ["gpt", "claude", "co", "aws"])
def test_client__tool_stream(ask, providers, provider):
    events = frames(ask(f"{provider}/tool_parallel", {"messages": SAY, "toolConfig": TOOLS}, "converse-stream").body)
    names, inputs = {}, {}
    for _, kind, value in events:
        if kind == "contentBlockStart":
            names[value["contentBlockIndex"]] = value["start"]["toolUse"]["name"]
        if kind == "contentBlockDelta" and "toolUse" in value["delta"]:
            inputs[value["contentBlockIndex"]] = inputs.get(value["contentBlockIndex"], "") + value["delta"]["toolUse"]["input"]
    assert list(names.values()) == ["get_weather"] * 2 and [json.loads(i)["city"] for i in inputs.values()] == ["Zürich", "Oslo"]
    assert events[-2][2]["stopReason"] == "tool_use" and not providers.refused


@pytest.mark.parametrize(
    ("model", "status", "kind"),
    [
        ("claude/error_429", 429, "ThrottlingException"),
        ("claude/error_529", 503, "ServiceUnavailableException"),
        ("gpt/error_400", 400, "ValidationException"),
        ("nobody", 404, "ResourceNotFoundException"),
    ],
)
def test_client__errors(ask, model, status, kind):
    answer = ask(model, {"messages": SAY})
    assert (answer.status, answer.json()["__type"]) == (status, kind) and answer.json()["message"]
    assert answer.header("x-amzn-errortype") == kind


@pytest.mark.parametrize("model", ["claude/midstream_error,pace=30", "claude/text,break=1200", "gpt/text,break=900"])
def test_client__error_in_the_stream(ask, model):
    """An exception is the last frame, and there is no metadata: never passed off as whole."""
    events = frames(ask(model, {"messages": SAY}, "converse-stream").body)
    assert events[-1][0] == "exception" and "metadata" not in [e[1] for e in events]
    assert [e[0] for e in events].count("exception") == 1


def test_client__bytes_as_they_are(gateway, ask, providers):
    answer = ask("aws/text,cut=13", {"messages": SAY, "requestMetadata": {"a": "b"}}, "converse-stream")
    assert answer.body == (dialect_mock.DATA / "bedrock_converse/text.stream.bin").read_bytes()
    seen = providers.take()[0]
    assert seen["path"] == "/model/text%2Ccut%3D13/converse-stream" and json.loads(seen["body"])["requestMetadata"] == {"a": "b"}
    line = gateway.access_line(answer.header("x-request-id"))
    assert (line["dialect"], line["input_tokens"], line["output_tokens"]) == ("converse", 19, 12)


# --- Bedrock as provider.


@pytest.mark.parametrize("cut", [0, 1, 7])
def test_provider__stream(gateway, providers, cut):
    with openai.OpenAI(base_url=gateway.url, api_key=KEY, max_retries=0, timeout=20) as gpt:
        chunks = list(
            gpt.chat.completions.create(
                model=f"aws/text,cut={cut}",
                messages=[{"role": "user", "content": "x"}],
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == TEXT
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (19, 12)
    with anthropic.Anthropic(base_url=gateway.url.removesuffix("/v1"), api_key=KEY, max_retries=0, timeout=20) as claude:
        with claude.messages.stream(
            model=f"aws/reasoning,cut={cut}", max_tokens=64, messages=[{"role": "user", "content": "x"}]
        ) as stream:
            final = stream.get_final_message()
    assert [b.type for b in final.content] == ["thinking", "text"] and final.content[0].signature
    assert providers.take()[-1]["headers"]["authorization"] == f"Bearer {servers.UPSTREAM_KEY}"


@pytest.mark.parametrize("name", ["midstream_error", "midstream_throttling"])
def test_provider__error_in_the_stream(gateway, name):
    with openai.OpenAI(base_url=gateway.url, api_key=KEY, max_retries=0, timeout=20) as gpt:
        with pytest.raises(openai.APIError):
            list(gpt.chat.completions.create(model=f"aws/{name}", messages=[{"role": "user", "content": "x"}], stream=True))


@pytest.mark.parametrize("at", [100, 1500, 2200])
def test_provider__broken_stream(gateway, at):
    """Also cut behind messageStop: without what it used a stream is not whole."""
    with openai.OpenAI(base_url=gateway.url, api_key=KEY, max_retries=0, timeout=20) as gpt:
        with pytest.raises(openai.APIError):
            list(gpt.chat.completions.create(model=f"aws/text,break={at}", messages=[{"role": "user", "content": "x"}], stream=True))


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, openai.BadRequestError), (403, openai.InternalServerError), (429, openai.RateLimitError), (503, openai.InternalServerError)],
)
def test_provider__errors(gateway, status, kind):
    with openai.OpenAI(base_url=gateway.url, api_key=KEY, max_retries=0, timeout=20) as gpt:
        with pytest.raises(kind):
            gpt.chat.completions.create(model=f"aws/error_{status}", messages=[{"role": "user", "content": "x"}])
