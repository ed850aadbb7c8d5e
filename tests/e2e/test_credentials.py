"""Goal: credentials that expire are fetched where each cloud hands them out and renewed in time: no request fails because of it, a
renewal that fails is seen, and the old one is used to its end.

Method: tests/lib/cloud.py hands out credentials of a chosen life and remembers them; tests/lib/dialect_mock.py takes only those that
are still good.
"""

import json
import os
import time

import anthropic
import google.genai
import google.genai.types
import google.oauth2.credentials
import pytest

import cloud as clouds
import dialect_mock
import servers
from servers import KEY

SAY = [{"role": "user", "content": "Greet me from Zürich."}]
TEXT = "Grüße aus Zürich ☀️ — 你好, 😀!"
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def cloud():
    server = clouds.Cloud()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def providers(cloud):
    server = dialect_mock.DialectMock()
    server.token_valid = cloud.valid
    yield server
    server.shutdown()


def vertex(providers, **more):
    url = f"http://127.0.0.1:{providers.port}"
    return {"type": "vertex", "base_url": url, "project": "my-project", "location": "europe-west4", **more}


@pytest.fixture(scope="module")
def gateway(folder, providers, cloud, backend):
    user = {"type": "authorized_user", "client_id": "id", "client_secret": "s&=", "refresh_token": "1//r", "token_uri": cloud.url + "/google/token"}
    (folder / "user.json").write_text(json.dumps(user))
    (folder / "subject.json").write_text(json.dumps({"token": "other issuer's token"}))
    source = {"file": str(folder / "subject.json"), "format": {"type": "json", "subject_token_field_name": "token"}}
    identity = {
        "type": "external_account", "audience": "//iam/pool", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": cloud.url + "/google/sts", "credential_source": source,
    }  # fmt: skip
    (folder / "identity.json").write_text(json.dumps(identity))
    config = {
        "account": vertex(providers, credentials=cloud.service_account(folder / "account.json")),
        "user": vertex(providers, credentials=str(folder / "user.json")),
        "workload": vertex(providers, credentials=str(folder / "identity.json")),
        "metadata": vertex(providers),
    }
    env = {**os.environ, "GCE_METADATA_HOST": f"127.0.0.1:{cloud.port}"}
    env.pop("GOOGLE_APPLICATION_CREDENTIALS", None)
    cloud.lifetime = 3600
    server = servers.Gateway(folder, servers.plain_config(1, backend, providers=config, models=[]), f"credentials-{backend}", env=env)
    yield server
    server.stop()
    assert not server.complaint_of_the_end(), server.complaint_of_the_end()


@pytest.fixture(autouse=True)
def fresh(providers, cloud):
    providers.take()
    providers.refused.clear()
    cloud.failing = False
    yield
    assert not cloud.refused, cloud.refused


@pytest.mark.parametrize(("provider", "kind"), [("account", "google"), ("user", "user"), ("workload", "workload"), ("metadata", "metadata")])
def test_google__each_source(gateway, providers, cloud, provider, kind):
    for model, stream in (("text", False), ("claude-text", False), ("text", True), ("claude-text", True)):
        answer = gateway.post(CHAT, {"model": f"{provider}/{model}", "messages": SAY, "stream": stream})
        assert answer.status == 200 and (stream or answer.json()["choices"][0]["message"]["content"] == TEXT)
    base = "/v1/projects/my-project/locations/europe-west4/publishers/"
    seen = providers.take()
    assert [r["path"].removeprefix(base) for r in seen] == [
        "google/models/text:generateContent",
        "anthropic/models/claude-text:rawPredict",
        "google/models/text:streamGenerateContent?alt=sse",
        "anthropic/models/claude-text:streamRawPredict",
    ]
    assert {r["headers"]["authorization"] for r in seen} == {seen[0]["headers"]["authorization"]}  # one token for all
    assert seen[0]["headers"]["authorization"].startswith(f"Bearer {kind}-") and not providers.refused


# --- Vertex's clients.


def genai(gateway):
    return google.genai.Client(
        vertexai=True,
        project="any",
        location="us-central1",
        credentials=google.oauth2.credentials.Credentials(KEY),
        http_options=google.genai.types.HttpOptions(base_url=gateway.url.removesuffix("/v1")),
    )


@pytest.mark.parametrize("model", ["account/text", "account/claude-text"])
def test_vertex_client__google(gateway, providers, model):
    client = genai(gateway)
    assert client.models.generate_content(model=f"publishers/google/models/{model}", contents="x").text == TEXT
    parts = client.models.generate_content_stream(model=f"publishers/google/models/{model}", contents="x")
    assert "".join(p.text or "" for p in parts) == TEXT
    assert not providers.refused


@pytest.mark.parametrize("model", ["account/claude-text", "account/text"])
def test_vertex_client__anthropic(gateway, providers, model):
    base = gateway.url
    with anthropic.AnthropicVertex(base_url=base, project_id="any", region="eu", access_token=KEY, max_retries=0) as sdk:
        ask = {"model": model, "max_tokens": 64, "messages": SAY}
        assert "".join(b.text for b in sdk.messages.create(**ask).content) == TEXT
        with sdk.messages.stream(**ask) as stream:
            assert stream.get_final_text() == TEXT
    assert not providers.refused


def test_vertex__bodies_of_messages(gateway, providers):
    """The version stands where the model stood; everything else is passed as it came."""
    plain = b'{ "max_tokens": 8, "mod\\u0065l" : "account/claude-text", "messages": [{"role":"user","content":"\\u00fc"}] }'
    answer = gateway.post("/v1/messages", plain)
    assert answer.status == 200, answer
    assert providers.take()[0]["body"] == plain.replace(b'"mod\\u0065l" : "account/claude-text"', b'"anthropic_version":"vertex-2023-10-16"')
    path = "/v1/projects/p/locations/l/publishers/anthropic/models/account%2Fclaude-text:streamRawPredict"
    whole = {"anthropic_version": "vertex-2023-10-16", "max_tokens": 8, "messages": SAY}
    assert gateway.post(path, whole).status == 200
    assert json.loads(providers.take()[0]["body"]) == {**whole, "stream": True} and not providers.refused


# --- In time.


def test_renewal__in_the_middle_of_a_run(folder, providers, cloud, backend):
    """Tokens live for two seconds: none that has ended is ever sent. Then their source fails: the last is used to its end, what is
    wrong is said, and it goes on by itself when the source is back."""
    if backend != "io_uring":
        pytest.skip("six seconds of waiting for ends; nothing in it depends on the back end")
    cloud.lifetime = 2
    file = cloud.service_account(folder / f"short-{backend}.json", private_key_id="k1")
    config = servers.plain_config(1, backend, providers={"short": vertex(providers, credentials=file)}, models=[])
    server = servers.Gateway(folder, config, f"renewal-{backend}")

    def ask():
        answer = server.post(CHAT, {"model": "short/text", "messages": SAY})
        return answer.status, answer.json().get("error", {}).get("code")

    end = time.monotonic() + 1.8
    while time.monotonic() < end:
        assert ask() == (200, None), server.said()
        time.sleep(0.02)
    used = {r["headers"]["authorization"] for r in providers.take()}
    assert len(used) >= 2 and not providers.refused
    cloud.failing = True
    asked = len(cloud.asked)
    servers.wait_for(lambda: len(cloud.asked) > asked, 3, "a renewal that fails")
    assert ask() == (200, None)
    servers.wait_for(lambda: ask() == (502, "no_credentials"), 3, "the end of the last token")
    assert b"cannot be renewed" in server.err() and b"answered 503: try again" in server.err()
    assert server.metrics().value("ringway_credential_failures_total", provider="short") >= 1
    cloud.failing = False
    servers.wait_for(lambda: ask() == (200, None), 8, "credentials again")
    assert b"were renewed" in server.err() and not providers.refused
    assert server.metrics().value("ringway_credential_expires_timestamp_seconds", provider="short") > time.time() - 2
    server.stop()
    assert not server.complaint_of_the_end(), server.complaint_of_the_end()
