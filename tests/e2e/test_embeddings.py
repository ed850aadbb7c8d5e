"""Embeddings: OpenAI's SDK in front of providers of every dialect that has them, batches split and joined, and what each API's
own clients ask passed through.

The provider is a server of this file: it knows each API's request by heart, refuses anything else with 400, and answers with vectors
that are worked out from the texts, so that order and pairing show.
"""

import base64
import hashlib
import http.server
import json
import struct
import threading

import cohere
import openai
import pytest

import servers
from servers import KEY

DIMENSIONS = 8
LIMITS = {"cohere": 96, "gemini": 100, "mistral": 512, "bedrock-cohere": 96, "bedrock-titan": 1}


def vector(text, n=DIMENSIONS):
    """Numbers as providers write them: few digits, many digits, exponents, whole ones."""
    out = []
    for i in range(n):
        seed = int.from_bytes(hashlib.sha256(f"{i}:{text}".encode()).digest()[:8], "big")
        out.append([seed / 2**64 - 0.5, (seed % 9973) / 1e7, -(seed % 997) * 1e-12, float(seed % 3)][i % 4])
    return out


def as_floats(values):
    return list(struct.unpack(f"<{len(values)}f", struct.pack(f"<{len(values)}f", *values)))


class Wrong(Exception):
    pass


def want(condition, text):
    if not condition:
        raise Wrong(text)


def only(body, **kinds):
    """Exactly these members, of these types; a None among the types: it may be absent."""
    for name, kind in kinds.items():
        if name not in body:
            want(type(None) in kind, f"{name} is missing")
        else:
            want(isinstance(body[name], kind), f"{name} is {body[name]!r}")
    want(set(body) <= set(kinds), f"unknown: {set(body) - set(kinds)}")


MAYBE = (int, type(None))


def cohere_answer(path, body):
    only(body, model=(str,), texts=(list,), input_type=(str,), embedding_types=(list,), output_dimension=MAYBE)
    want(body["input_type"] == "search_document" and body["embedding_types"] == ["float"], "types")
    found = [vector(t, body.get("output_dimension", DIMENSIONS)) for t in body["texts"]]
    return len(found), {
        "id": "x",
        "embeddings": {"float": found},
        "texts": body["texts"],
        "response_type": "embeddings_by_type",
        "meta": {"billed_units": {"input_tokens": 3 * len(found)}},
    }


def gemini_answer(path, body):
    only(body, requests=(list,))
    found = []
    for one in body["requests"]:
        only(one, model=(str,), content=(dict,), outputDimensionality=MAYBE)
        want(path == f"/v1beta/{one['model']}:batchEmbedContents", path)
        only(one["content"], parts=(list,))
        (part,) = one["content"]["parts"]
        found.append({"values": vector(part["text"], one.get("outputDimensionality", DIMENSIONS))})
    return len(found), {"embeddings": found}


def mistral_answer(path, body):
    only(body, model=(str,), input=(list,), output_dimension=MAYBE)
    rows = [
        {"object": "embedding", "index": i, "embedding": vector(t, body.get("output_dimension", DIMENSIONS))}
        for i, t in enumerate(body["input"])
    ]
    return len(rows), {
        "id": "e",
        "object": "list",
        "data": rows[::-1],
        "model": body["model"],
        "usage": {"prompt_tokens": 3 * len(rows), "total_tokens": 3 * len(rows)},
    }


def bedrock_cohere_answer(path, body):
    only(body, texts=(list,), input_type=(str,), embedding_types=(list,), output_dimension=MAYBE)
    found = [vector(t) for t in body["texts"]]
    return len(found), {"embeddings": {"float": found}, "id": "x", "response_type": "embeddings_by_type"}


def titan_answer(path, body):
    only(body, inputText=(str,), dimensions=MAYBE)
    return 1, {"embedding": vector(body["inputText"], body.get("dimensions", DIMENSIONS)), "inputTextTokenCount": 3}


ANSWERS = {
    "/v2/embed": ("cohere", cohere_answer),
    "/v1beta/models/gemini-embedding-001:batchEmbedContents": ("gemini", gemini_answer),
    "/v1/embeddings": ("mistral", mistral_answer),
    "/model/cohere.embed-english-v3/invoke": ("bedrock-cohere", bedrock_cohere_answer),
    "/model/amazon.titan-embed-text-v2%3A0/invoke": ("bedrock-titan", titan_answer),
    "/model/amazon.titan-embed-text-v1/invoke": ("bedrock-titan", titan_answer),
}
MODELS = {
    "cohere": "cohere/embed-v4.0",
    "gemini": "gemini/gemini-embedding-001",
    "mistral": "mistral/mistral-embed",
    "bedrock-cohere": "bedrock/cohere.embed-english-v3",
    "bedrock-titan": "bedrock/amazon.titan-embed-text-v2:0",
}


class Provider(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    calls = []
    fail_at = None  # the how manieth call is refused with 429

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.calls.append((self.path, body))
        status, answer = 400, {"message": f"no such path: {self.path}"}
        if self.path in ANSWERS:
            name, make = ANSWERS[self.path]
            try:
                n, answer = make(self.path, body)
                want(1 <= n <= LIMITS[name], f"{n} texts")
                status = 200
            except Wrong as e:
                answer = {"message": str(e)}
        elif self.path == "/v1/images/generations":
            status, answer = 200, {"created": 1, "data": [{"b64_json": base64.b64encode(body["prompt"].encode()).decode()}]}
        elif self.path == "/v2/rerank":
            status, answer = 200, {"id": "r", "results": [{"index": 0, "relevance_score": 0.5}], "meta": {}}
        if len(self.calls) == self.fail_at:
            status, answer = 429, {"message": "slowly"}
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def provider():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def gateway(folder, provider, backend):
    origin = f"http://127.0.0.1:{provider.server_port}"
    config = servers.plain_config(provider.server_port, backend)
    config["providers"] = {
        "cohere": {"type": "cohere", "base_url": origin, "api_key": "up"},
        "gemini": {"type": "gemini", "base_url": origin, "api_key": "up"},
        "mistral": {"type": "mistral", "base_url": origin + "/v1", "api_key": "up"},
        "bedrock": {"type": "bedrock", "base_url": origin, "api_key": "up"},
        "oa": {"type": "openai", "base_url": origin + "/v1", "api_key": "up"},
        "claude": {"type": "anthropic", "base_url": origin, "api_key": "up"},
    }
    config["models"] = [{"name": "alias", "targets": [{"provider": "cohere", "model": "embed-v4.0"}]}]
    server = servers.Gateway(folder, config, f"embed-{backend}")
    yield server
    server.stop()
    assert not server.complaint_of_the_end(), server.complaint_of_the_end()


@pytest.fixture
def calls(provider):
    Provider.calls.clear()
    Provider.fail_at = None
    yield Provider.calls
    Provider.fail_at = None


def post(gateway, **body):
    return gateway.post("/v1/embeddings", body)


@pytest.mark.parametrize("name", MODELS)
def test_sdk__gets_the_vectors_of_its_texts(gateway, calls, name):
    """The SDK asks for base64 by itself, and unpacks it; more texts than one call of the provider takes come back in order."""
    texts = [f"text {i} é \"quoted\" \\ 漢" for i in range(5 if name == "bedrock-titan" else 2 * LIMITS[name] + 1)]
    with openai.OpenAI(base_url=gateway.url, api_key=KEY, max_retries=0) as client:
        answer = client.embeddings.create(model=MODELS[name], input=texts)
    assert [d.index for d in answer.data] == list(range(len(texts)))
    for text, d in zip(texts, answer.data):
        assert as_floats(d.embedding) == as_floats(vector(text)), text
    assert answer.model == MODELS[name] and answer.usage.prompt_tokens == answer.usage.total_tokens > 0
    assert len(calls) == -(-len(texts) // LIMITS[name])
    if name in ("cohere", "mistral", "bedrock-titan"):
        assert answer.usage.prompt_tokens == 3 * len(texts)


@pytest.mark.parametrize("name", MODELS)
def test_floats__are_passed_as_they_came(gateway, calls, name):
    answer = post(gateway, model=MODELS[name], input="one", encoding_format="float")
    assert answer.status == 200, answer
    (row,) = answer.json()["data"]
    assert row == {"object": "embedding", "index": 0, "embedding": vector("one")}


@pytest.mark.parametrize("name", ["cohere", "gemini", "mistral", "bedrock-titan"])
def test_dimensions(gateway, calls, name):
    answer = post(gateway, model=MODELS[name], input=["one"], dimensions=16, encoding_format="float")
    assert len(answer.json()["data"][0]["embedding"]) == 16, answer


def test_base64__is_little_endian_floats(gateway, calls):
    answer = post(gateway, model="alias", input=["a", "b"], encoding_format="base64", user="u")
    assert answer.header("x-ringway-dropped") == "user" and answer.json()["model"] == "alias"
    for text, row in zip("ab", answer.json()["data"]):
        raw = base64.b64decode(row["embedding"], validate=True)
        assert list(struct.unpack(f"<{DIMENSIONS}f", raw)) == as_floats(vector(text))


@pytest.mark.parametrize(
    "body, field",
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": [1, 2]}, "input"),
        ({"input": [[1, 2]]}, "input"),
        ({"input": {"a": 1}}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": "8"}, "dimensions"),
    ],
)
def test_refused__names_the_field(gateway, calls, body, field):
    answer = post(gateway, model=MODELS["cohere"], **body)
    assert (answer.status, answer.json()["error"]["param"]) == (400, field), answer
    assert not calls


def test_refused__titan_v1_has_one_length(gateway, calls):
    answer = post(gateway, model="bedrock/amazon.titan-embed-text-v1", input="a", dimensions=256)
    assert (answer.status, answer.json()["error"]["param"]) == (400, "dimensions"), answer


def test_refused__a_provider_without_embeddings(gateway, calls):
    answer = post(gateway, model="claude/claude-sonnet-5", input="a")
    assert answer.status == 400 and "no counterpart" in answer.json()["error"]["message"], answer


def test_error__in_the_middle_is_the_answer(gateway, calls):
    """Half of the vectors are no answer."""
    Provider.fail_at = 2
    answer = post(gateway, model=MODELS["cohere"], input=["x"] * 200)
    assert answer.status == 429 and "slowly" in answer.json()["error"]["message"], answer
    assert len(calls) == 2


def test_log__has_the_tokens_of_all_batches(gateway, calls):
    answer = post(gateway, model=MODELS["cohere"], input=["x"] * 200)
    line = gateway.access_line(answer.header("x-request-id"))
    assert (line["input_tokens"], line["attempts"], line["status"]) == (600, 3, 200), line


def test_pass_through__of_the_apis_own_clients(gateway, calls):
    client = cohere.ClientV2(api_key=KEY, base_url=f"http://127.0.0.1:{gateway.address[1]}")
    answer = client.embed(model="cohere/embed-v4.0", texts=["a"], input_type="search_document", embedding_types=["float"])
    assert answer.embeddings.float_ == [vector("a")]
    ranked = client.rerank(model="cohere/rerank-v3.5", query="q", documents=["a", "b"], top_n=1)
    assert ranked.results[0].relevance_score == 0.5
    assert calls[-1] == ("/v2/rerank", {"model": "rerank-v3.5", "query": "q", "documents": ["a", "b"], "top_n": 1})
    assert gateway.post("/v1/rerank", {"model": "cohere/rerank-v3.5", "query": "q", "documents": ["a"]}).status == 200
    assert calls[-1] == ("/v2/rerank", {"model": "rerank-v3.5", "query": "q", "documents": ["a"]})
    with openai.OpenAI(base_url=gateway.url, api_key=KEY, max_retries=0) as images:
        made = images.images.generate(model="oa/gpt-image-1", prompt="a ring")
    assert base64.b64decode(made.data[0].b64_json) == b"a ring" and calls[-1][1]["model"] == "gpt-image-1"
    one = {"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "a"}]}}
    found = gateway.post("/v1beta/models/gemini%2Fgemini-embedding-001:batchEmbedContents", {"requests": [one]})
    assert found.status == 200 and found.json() == {"embeddings": [{"values": vector("a")}]}, found
