"""Goal: clients of Gemini's API are served by every provider; by Gemini's own with the bytes as they are. Model and streaming
stand in the path, models are listed in Google's shape, errors are Google's.

Method: the official SDK in front, providers that answer from recorded fixtures behind (tests/lib/dialect_mock.py).
"""

import json

import pytest
from google import genai
from google.genai import errors, types

import dialect_mock
import servers
from servers import KEY

TEXT = "Grüße aus Zürich ☀️ — 你好, 😀!"
SCHEMA = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}, "unit": {"type": "STRING"}}, "required": ["city"]}
TOOLS = [types.Tool(function_declarations=[types.FunctionDeclaration(name="get_weather", description="Weather", parameters=SCHEMA)])]
ALL = ["gpt", "claude", "co", "google"]


@pytest.fixture(scope="module")
def providers():
    server = dialect_mock.DialectMock()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def gateway(folder, providers, backend):
    models = [{"name": name, "targets": [{"provider": "gpt", "model": "text"}]} for name in ("gemini-alias", 'odd-"name"')]
    config = servers.plain_config(1, backend, providers=dialect_mock.providers(providers.port), models=models)
    server = servers.Gateway(folder, config, f"gemini-{backend}")
    yield server
    server.stop()
    assert not server.complaint_of_the_end(), server.complaint_of_the_end()


def client(gateway, version="v1beta", key=KEY):
    return genai.Client(
        api_key=key, http_options=types.HttpOptions(base_url=gateway.url.removesuffix("/v1"), api_version=version, timeout=20000)
    )


@pytest.fixture
def google(gateway, providers):
    providers.take()
    providers.refused.clear()
    return client(gateway)


@pytest.mark.parametrize("provider", ALL)
def test_any__whole(google, providers, provider):
    config = types.GenerateContentConfig(system_instruction="You are terse.", max_output_tokens=64, temperature=0.2)
    answer = google.models.generate_content(model=f"{provider}/text", contents="Greet me from Zürich.", config=config)
    assert answer.text == TEXT and answer.candidates[0].finish_reason.name == "STOP"
    usage = answer.usage_metadata
    assert usage.candidates_token_count == 12 and usage.total_token_count > 12
    asked = json.dumps(providers.one())
    assert "terse" in asked and "64" in asked


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("cut", [0, 1, 7])
def test_any__stream(google, providers, provider, cut):
    chunks = list(google.models.generate_content_stream(model=f"{provider}/text,cut={cut}", contents="Greet me."))
    assert "".join(c.text or "" for c in chunks) == TEXT
    assert chunks[-1].candidates[0].finish_reason.name == "STOP" and chunks[-1].usage_metadata.total_token_count > 0
    assert not providers.refused


@pytest.mark.parametrize("provider", ["gpt", "claude", "co"])
def test_any__tools_and_back(google, providers, provider):
    config = types.GenerateContentConfig(tools=TOOLS, automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True))
    answer = google.models.generate_content(model=f"{provider}/tool_parallel", contents="Compare.", config=config)
    calls = answer.function_calls
    assert [c.args["city"] for c in calls] == ["Zürich", "Oslo"] and {c.name for c in calls} == {"get_weather"}
    providers.one()
    results = [types.Part.from_function_response(name=c.name, response={"temp": 21}) for c in calls]
    back = [types.Content(role="user", parts=[types.Part(text="Compare.")]), answer.candidates[0].content]
    back.append(types.Content(role="user", parts=results))
    assert google.models.generate_content(model=f"{provider}/text", contents=back, config=config).text == TEXT
    assert json.dumps(providers.one()).count("temp") >= 2


@pytest.mark.parametrize("provider", ["gpt", "claude", "co"])
def test_any__tool_stream(google, providers, provider):
    config = types.GenerateContentConfig(tools=TOOLS, automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True))
    chunks = google.models.generate_content_stream(model=f"{provider}/tool_parallel", contents="Compare.", config=config)
    calls = [c for chunk in chunks for c in chunk.function_calls or []]
    assert [c.args["city"] for c in calls] == ["Zürich", "Oslo"] and not providers.refused


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_versions(gateway, providers, version):
    providers.take()
    sdk = client(gateway, version)
    assert sdk.models.generate_content(model="gemini-alias", contents="x").text == TEXT
    assert providers.take()[0]["path"] == "/v1/chat/completions"


@pytest.mark.parametrize("where", ["query", "bearer"])
def test_key__elsewhere(gateway, where):
    body = {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}
    query, headers = (f"?key={KEY}", []) if where == "query" else ("", [("authorization", f"Bearer {KEY}")])
    answer = gateway.post(f"/v1beta/models/gemini-alias:generateContent{query}", body, headers, key=None)
    assert answer.status == 200 and answer.json()["candidates"][0]["content"]["parts"][0]["text"] == TEXT


@pytest.mark.parametrize("cut", [0, 7])
@pytest.mark.parametrize("provider", ["gpt", "google"])
def test_stream__as_one_array(gateway, provider, cut):
    body = {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}
    answer = gateway.post(f"/v1beta/models/{provider}/text,cut={cut}:streamGenerateContent", body)
    assert answer.status == 200 and answer.header("content-type") == "application/json"
    chunks = json.loads(answer.body)
    parts = [p for c in chunks for p in c["candidates"][0].get("content", {}).get("parts", [])]
    assert "".join(p.get("text", "") for p in parts) == TEXT
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"


def test_google__bytes_as_they_are(gateway, providers):
    providers.take()
    body = {"contents": [{"role": "user", "parts": [{"text": "x"}]}], "safetySettings": [{"category": "C", "threshold": "OFF"}]}
    answer = gateway.post("/v1beta/models/google/text:generateContent", body)
    assert answer.body == (dialect_mock.DATA / "gemini/text.response.json").read_bytes()
    seen = providers.take()[0]
    assert seen["path"] == "/v1beta/models/text:generateContent" and json.loads(seen["body"]) == body
    assert seen["headers"]["x-goog-api-key"] == servers.UPSTREAM_KEY and KEY not in json.dumps(seen["headers"])
    answer = gateway.post("/v1beta/models/google/thinking,cut=7:streamGenerateContent?alt=sse", body)
    assert answer.body == (dialect_mock.DATA / "gemini/thinking.stream.sse").read_bytes()
    assert providers.take()[0]["path"].endswith(":streamGenerateContent?alt=sse")
    line = gateway.access_line(answer.header("x-request-id"))
    assert line["dialect"] == "gemini" and line["input_tokens"] > 0 and line["output_tokens"] > 0


def test_count_tokens(google, providers):
    told = json.loads((dialect_mock.DATA / "gemini/count_tokens.response.json").read_text())
    assert google.models.count_tokens(model="google/text", contents="x").total_tokens == told["totalTokens"]
    assert providers.take()[0]["path"] == "/v1beta/models/text:countTokens"
    with pytest.raises(errors.ClientError) as caught:
        google.models.count_tokens(model="gpt/text", contents="x")
    assert caught.value.code == 400 and not providers.take()


@pytest.mark.parametrize(
    ("model", "code", "status"),
    [
        ("claude/error_400", 400, "INVALID_ARGUMENT"),
        ("claude/error_529", 503, "UNAVAILABLE"),
        ("gpt/error_429", 429, "RESOURCE_EXHAUSTED"),
        ("co/error_404", 404, "NOT_FOUND"),
        ("nobody", 404, "NOT_FOUND"),
    ],
)
def test_errors(google, model, code, status):
    with pytest.raises(errors.APIError) as caught:
        google.models.generate_content(model=model, contents="x")
    assert (caught.value.code, caught.value.status) == (code, status) and caught.value.message


def test_errors__key(gateway):
    sdk = client(gateway, key="wrong-key")
    with pytest.raises(errors.ClientError) as caught:
        sdk.models.generate_content(model="gpt/text", contents="x")
    assert (caught.value.code, caught.value.status) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("model", ["claude/midstream_error,pace=30", "claude/text,break=1200", "gpt/text,break=900"])
def test_errors__in_the_stream(google, model):
    """Never passed off as whole."""
    last = None
    with pytest.raises(errors.APIError):
        for chunk in google.models.generate_content_stream(model=model, contents="x"):
            last = chunk
    assert last is None or not (last.candidates and last.candidates[0].finish_reason)


def test_models(gateway, google):
    names = [m.name for m in google.models.list()]
    assert names == ["models/gemini-alias", 'models/odd-"name"']
    assert google.models.get(model="gemini-alias").name == "models/gemini-alias"
    older = client(gateway, "v1")
    assert [m.name for m in older.models.list()] == names
    with pytest.raises(errors.ClientError) as caught:
        google.models.get(model="nothing")
    assert caught.value.code == 404
