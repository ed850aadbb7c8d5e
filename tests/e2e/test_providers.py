"""Goal: each type of provider is asked where its API is, with its key where that API wants it.

Method: one gateway with a provider of every type, all of which lead to tests/lib/dialect_mock.py; the path and the fields that
arrived there are compared with what each API documents.
"""

import json

import openai
import pytest

import dialect_mock
import servers
import sigv4_check
from servers import KEY, UPSTREAM_KEY

SAY = [{"role": "user", "content": "Greet me from Zürich."}]
TEXT = "Grüße aus Zürich ☀️ — 你好, 😀!"
BEARER = ("authorization", f"Bearer {UPSTREAM_KEY}")
AZURE = "2024-10-21"
# type -> (path of base_url, path asked for the model "text", the key's field)
CHAT = "/v1/chat/completions"
LIKE_OPENAI = ["openai", "groq", "deepseek", "xai", "together", "fireworks", "openrouter", "huggingface", "ollama", "vllm", "llamacpp",
               "openai_compatible"]  # fmt: skip
AWS = {"AKIDSIGNED": ("s1", None), "AKIDSESSION": ("s/2+", "t" * 900)}
TYPES = {name: ("/v1", CHAT, BEARER) for name in LIKE_OPENAI} | {
    "azure": ("", "/openai" + CHAT, ("api-key", UPSTREAM_KEY)),
    "mistral": ("/v1", CHAT, BEARER),
    "anthropic": ("", "/v1/messages", ("x-api-key", UPSTREAM_KEY)),
    "bedrock": ("", "/model/text/converse", BEARER),
    "gemini": ("", "/v1beta/models/text:generateContent", ("x-goog-api-key", UPSTREAM_KEY)),
    "cohere": ("", "/v2/chat", BEARER),
}


@pytest.fixture(scope="module")
def providers():
    server = dialect_mock.DialectMock()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def gateway(folder, providers, backend):
    url = f"http://127.0.0.1:{providers.port}"
    config = {name: {"type": name, "base_url": url + row[0], "api_key": UPSTREAM_KEY} for name, row in TYPES.items()}
    config["openai_compatible"]["headers"] = {"x-team": "platform"}
    config["old"] = {"type": "azure", "base_url": url + "/behind/", "api_key": UPSTREAM_KEY, "api_version": AZURE}
    config["older"] = {"type": "azure", "base_url": url, "api_key": UPSTREAM_KEY, "api_version": AZURE}
    config["signed"] = {"type": "bedrock", "base_url": url, "region": "eu-west-1", "access_key_id": "AKIDSIGNED", "secret_access_key": "s1"}
    config["session"] = {**config["signed"], "access_key_id": "AKIDSESSION", "secret_access_key": "s/2+", "session_token": "t" * 900,
                         "base_url": url + "/behind", "headers": {"x-amzn-bedrock-trace": "ENABLED", "x-other": "1"}}  # fmt: skip
    models = [{"name": "gpt", "targets": [{"provider": "older", "model": "text"}]}]
    server = servers.Gateway(folder, servers.plain_config(1, backend, providers=config, models=models), f"providers-{backend}")
    yield server
    server.stop()
    assert not server.complaint_of_the_end(), server.complaint_of_the_end()


@pytest.fixture(autouse=True)
def fresh(providers):
    providers.take()
    providers.refused.clear()


@pytest.mark.parametrize("kind", TYPES)
def test_each_type__path_and_key(gateway, providers, kind):
    answer = gateway.post(CHAT, {"model": f"{kind}/text", "messages": SAY, "max_completion_tokens": 64})
    assert answer.status == 200 and answer.json()["choices"][0]["message"]["content"] == TEXT
    seen = providers.take()[0]
    _, path, (name, value) = TYPES[kind]
    assert (seen["path"], seen["headers"][name]) == (path, value)
    assert KEY not in json.dumps(seen["headers"])
    assert (seen["headers"].get("x-team") == "platform") == (kind == "openai_compatible")
    assert not providers.refused


@pytest.mark.parametrize("vector", sorted((dialect_mock.DATA / "sigv4").glob("0*.json")), ids=lambda p: p.stem)
def test_the_checker_of_signatures__against_recorded_ones(vector):
    v = json.loads(vector.read_text())
    rq, want = v["request"], v["expected"]
    headers = {k.lower(): x for k, x in (rq["headers"] | want["headers_to_send"]).items()}
    headers |= {"host": rq["host"], "authorization": want["authorization"]}
    query = "&".join(f"{sigv4_check.quote(k)}={sigv4_check.quote(x)}" for k, x in (rq["query"] or {}).items())
    target = rq["wire_path"] + ("?" + query if query else "")
    secrets = {v["access_key"]: (v["secret_key"], v["session_token"] or None)}
    body = (rq["body"] or "").encode()
    assert sigv4_check.problem(rq["method"], target, headers, body, secrets) is None
    assert "SignatureDoesNotMatch" in sigv4_check.problem(rq["method"], target, headers, body + b" ", secrets)


@pytest.mark.parametrize("provider", ["signed", "session"])
@pytest.mark.parametrize("client", ["openai", "converse", "stream"])
def test_bedrock__signed(gateway, providers, provider, client):
    """Translated and passed on, edited and not, with names of models that are encoded twice in the signature."""
    providers.aws = AWS
    if client == "openai":
        answer = gateway.post(CHAT, {"model": f"{provider}/text,cut=9,v=1:0/é", "messages": SAY})
        assert answer.json()["choices"][0]["message"]["content"] == TEXT
    else:
        verb = "converse" if client == "converse" else "converse-stream"
        body = {"messages": [{"role": "user", "content": [{"text": "x" * 300_000}]}]}
        answer = gateway.post(f"/model/{provider}%2Ftext%2Ccut=9%2Cv=1:0/{verb}", body)
    assert answer.status == 200 and not providers.refused
    seen = providers.take()[0]["headers"]
    assert seen["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID") and KEY not in json.dumps(seen)


def test_bedrock__wrong_secret(gateway, providers):
    """Nothing the client did: 502, and the log names the provider."""
    providers.aws = {"AKIDSIGNED": ("another", None)}
    answer = gateway.post(CHAT, {"model": "signed/text", "messages": SAY})
    assert answer.status == 502 and answer.json()["error"]["code"] == "upstream_auth"
    assert b"the provider signed refuses" in gateway.err()


def test_azure_deployments__model_and_version_in_the_path(gateway, providers):
    with openai.OpenAI(base_url=gateway.url, api_key=KEY, max_retries=0) as sdk:
        chunks = list(sdk.chat.completions.create(model="gpt", messages=SAY, stream=True))
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == TEXT
    seen = providers.take()[0]
    assert seen["path"] == "/openai/deployments/text/chat/completions?api-version=2024-10-21"
    assert seen["headers"]["api-key"] == UPSTREAM_KEY and json.loads(seen["body"])["model"] == "text"
    # The name of a deployment is one segment, behind whatever base_url says.
    gateway.post(CHAT, {"model": "old/a/b", "messages": SAY})
    assert providers.take()[0]["path"] == "/behind/openai/deployments/a%2Fb/chat/completions?api-version=2024-10-21"
    gateway.post("/v1/embeddings", {"model": "older/e", "input": "x"})
    assert providers.take()[0]["path"] == "/openai/deployments/e/embeddings?api-version=2024-10-21"


def test_azure_deployments__no_model_to_go_by(gateway):
    answer = gateway.ask("POST", "/v1/files", [("x-ringway-provider", "older"), ("content-type", "text/plain")], b"x")
    assert answer.status == 400 and "no counterpart" in answer.json()["error"]["message"]


# --- Azure's clients.


@pytest.mark.parametrize("provider", ["older", "azure", "anthropic", "signed"])
def test_azure_client__the_deployment_is_the_model(gateway, providers, provider):
    providers.aws = AWS
    root = gateway.url.removesuffix("/v1")
    with openai.AzureOpenAI(azure_endpoint=root, api_key=KEY, api_version=AZURE, max_retries=0, timeout=20) as sdk:
        whole = sdk.chat.completions.create(model=f"{provider}/text", messages=SAY)
        chunks = list(sdk.chat.completions.create(model=f"{provider}/text", messages=SAY, stream=True))
        with pytest.raises(openai.NotFoundError):
            sdk.chat.completions.create(model="nobody", messages=SAY)
    assert whole.choices[0].message.content == TEXT
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == TEXT
    bodies = [json.loads(r["body"]) for r in providers.take()]
    assert [b.get("model") for b in bodies] == [None if provider == "signed" else "text"] * 2 and not providers.refused


def test_azure_client__v1(gateway, providers):
    with openai.OpenAI(base_url=gateway.url.replace("/v1", "/openai/v1/"), api_key=KEY, max_retries=0, timeout=20) as sdk:
        assert sdk.chat.completions.create(model="gpt", messages=SAY).choices[0].message.content == TEXT
        assert "gpt" in [m.id for m in sdk.models.list()]
    with pytest.raises(openai.NotFoundError), openai.OpenAI(base_url=gateway.url.replace("/v1", "/openai/v2/"), api_key=KEY) as sdk:
        sdk.chat.completions.create(model="gpt", messages=SAY)


def test_azure_client__the_path_wins_over_the_body(gateway, providers):
    for body in ({"messages": SAY}, {"model": "other", "messages": SAY}):
        assert gateway.post(f"/openai/deployments/gpt/chat/completions?api-version={AZURE}", body).status == 200
        seen = providers.take()[0]
        assert seen["path"].startswith("/openai/deployments/text/") and json.loads(seen["body"])["model"] == "text"
