"""Goal: each type of provider is asked where its API is, with its key where that API wants it.

Method: one gateway with a provider of every type, all of which lead to tests/lib/dialect_mock.py; the path and the fields that
arrived there are compared with what each API documents.
"""

import json

import openai
import pytest

import dialect_mock
import servers
from servers import KEY, UPSTREAM_KEY

SAY = [{"role": "user", "content": "Greet me from Zürich."}]
TEXT = "Grüße aus Zürich ☀️ — 你好, 😀!"
BEARER = ("authorization", f"Bearer {UPSTREAM_KEY}")
# type -> (path of base_url, path asked for the model "text", the key's field)
CHAT = "/v1/chat/completions"
LIKE_OPENAI = ["openai", "groq", "deepseek", "xai", "together", "fireworks", "openrouter", "huggingface", "ollama", "vllm", "llamacpp",
               "openai_compatible"]  # fmt: skip
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
    config["old"] = {"type": "azure", "base_url": url + "/behind/", "api_key": UPSTREAM_KEY, "api_version": "2024-10-21"}
    config["older"] = {"type": "azure", "base_url": url, "api_key": UPSTREAM_KEY, "api_version": "2024-10-21"}
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
