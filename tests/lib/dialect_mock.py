"""Providers of every dialect in one process, for end-to-end tests: they answer from the recorded fixtures and refuse what the
real API would refuse.

What is answered follows the model's name: FIXTURE[,OPTION=VALUE]... with the fixture's file name up to its first dot; it is
NAME.stream.sse for a streaming request, NAME.response.json otherwise, error_NNN.json with its status and headers. Options:
    cut=N      the stream arrives in pieces of N bytes (as long as the kernel keeps them apart)
    break=N    the connection is closed behind N bytes of the body
    pace=MS    between two events
Requests are kept: take() returns and forgets them. Where a test names real models, what is answered is set in `play` instead.
Mistral is under /mistral, as its paths are OpenAI's.
"""

import http.server
import json
import pathlib
import threading
import time
import urllib.parse

import servers
import sigv4_check

DATA = pathlib.Path(__file__).resolve().parents[1] / "data/contracts"


class Refused(Exception):
    """The request is none that the API would serve."""


def need(condition, text):
    if not condition:
        raise Refused(text)


def check_anthropic(headers, body):
    """anthropic.md: headers, required fields, alternation and blocks, as far as the API itself refuses them."""
    need(headers.get("x-api-key") or headers.get("authorization"), "no key")
    if "anthropic_version" in body:  # Vertex: instead of the model
        need(body.pop("anthropic_version") in ("vertex-2023-10-16", "2026-10-21") and "model" not in body, "anthropic_version")
        headers = {"anthropic-version": "2023-06-01", **headers}
    need(headers.get("anthropic-version") in ("2023-06-01", "2026-10-21"), "anthropic-version")
    need(isinstance(body.get("max_tokens"), int), "max_tokens: field required")
    need(isinstance(body.get("messages"), list) and body["messages"], "messages: field required")
    known = {
        "model", "max_tokens", "messages", "system", "stream", "temperature", "top_p", "top_k", "stop_sequences", "tools",
        "tool_choice", "metadata", "thinking", "service_tier", "output_config", "cache_control", "container", "speed",
        "inference_geo", "mcp_servers", "context_management",
    }  # fmt: skip
    need(set(body) <= known, f"{sorted(set(body) - known)}: Extra inputs are not permitted")
    calls = set()
    for i, message in enumerate(body["messages"]):
        need(message["role"] in ("user", "assistant", "system"), f"messages.{i}.role")
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        need(blocks, f"messages.{i}: content must not be empty")
        answered = {b["tool_use_id"] for b in blocks if b["type"] == "tool_result"}
        need(answered >= calls, f"messages.{i}: tool_use ids without tool_result: {sorted(calls - answered)}")
        calls = {b["id"] for b in blocks if b["type"] == "tool_use"}
        for b in blocks:
            if b["type"] == "text":
                need(b["text"].strip(), f"messages.{i}: text content blocks must contain non-whitespace text")
            if b["type"] == "tool_use":
                need(isinstance(b["input"], dict), f"messages.{i}: input must be an object")
    for tool in body.get("tools", []):
        need("input_schema" in tool or "type" in tool, "tools: input_schema is required")


def check_openai(headers, body):
    need(headers.get("authorization", "").startswith("Bearer ") or headers.get("api-key"), "no key")
    need(isinstance(body.get("messages"), list) and body["messages"], "messages: field required")
    calls = set()
    for i, message in enumerate(body["messages"]):
        role = message["role"]
        need(role in ("system", "developer", "user", "assistant", "tool"), f"messages[{i}].role")
        if role == "tool":
            need(message["tool_call_id"] in calls, f"messages[{i}].tool_call_id answers no call")
            calls.discard(message["tool_call_id"])
        else:
            need(not calls, f"messages[{i}]: tool calls without an answer: {sorted(calls)}")
        for call in message.get("tool_calls") or []:
            need(isinstance(call["function"]["arguments"], str), f"messages[{i}]: arguments must be a string")
            calls.add(call["id"])
    for tool in body.get("tools", []):
        need(tool["type"] == "function" and "name" in tool["function"], "tools")


def check_gemini(headers, body):
    need(headers.get("x-goog-api-key") or headers.get("authorization"), "no key")
    need(isinstance(body.get("contents"), list) and body["contents"], "contents is not specified")
    known = {"contents", "systemInstruction", "generationConfig", "tools", "toolConfig", "safetySettings", "cachedContent"}
    need(set(body) <= known, f"Invalid JSON payload received. Unknown name {sorted(set(body) - known)}")
    for i, content in enumerate(body["contents"]):
        need(content["role"] in ("user", "model"), f"contents[{i}].role")
        need(content["parts"], f"contents[{i}].parts")


def check_cohere(headers, body):
    """cohere.md: known fields, their ranges, results for every call; no tools together with a JSON format."""
    need(headers.get("authorization", "").startswith("Bearer "), "no api key supplied")
    known = {
        "model", "messages", "stream", "tools", "strict_tools", "tool_choice", "documents", "citation_options",
        "response_format", "safety_mode", "max_tokens", "stop_sequences", "temperature", "seed", "frequency_penalty",
        "presence_penalty", "k", "p", "logprobs", "thinking", "priority",
    }  # fmt: skip
    need(set(body) <= known, f"unknown field: parameter {sorted(set(body) - known)} is not a valid field")
    need(isinstance(body.get("messages"), list) and body["messages"], "messages must be at least one")
    for name, low, high in (("temperature", 0, 1), ("p", 0.01, 0.99), ("k", 0, 500), ("frequency_penalty", 0, 1)):
        need(low <= body.get(name, low) <= high, f"{name} must be between {low} and {high}")
    need(body.get("tool_choice") in (None, "REQUIRED", "NONE"), "tool_choice")
    need(not (body.get("tools") and body.get("response_format", {}).get("type") == "json_object"), "response_format with tools")
    calls = set()
    for i, message in enumerate(body["messages"]):
        role = message["role"]
        need(role in ("system", "user", "assistant", "tool"), f"messages[{i}].role")
        if role == "tool":
            need(message["tool_call_id"] in calls, f"tool_call_id {message['tool_call_id']!r} does not match any tool call")
            need(isinstance(message["content"], (str, list)), f"messages[{i}].content")
            calls.discard(message["tool_call_id"])
        else:
            need(not calls, f"tool calls without results: {sorted(calls)}")
        if role == "assistant":
            need(not (message.get("content") and message.get("tool_calls")), "content and tool_calls together")
        calls |= {c["id"] for c in message.get("tool_calls") or []}
    for tool in body.get("tools", []):
        need(isinstance(tool["function"]["parameters"], dict), "tools.function.parameters is required")


def check_responses(headers, body):
    """openai.md, responses: known fields and items; every call has its output."""
    need(headers.get("authorization", "").startswith("Bearer "), "no key")
    need(isinstance(body.get("input"), str) or body.get("input"), "input")
    calls = set()
    for i, item in enumerate([] if isinstance(body["input"], str) else body["input"]):
        kind = item.get("type", "message")
        if kind == "function_call":
            calls.add(item["call_id"])
        elif kind == "function_call_output":
            need(item["call_id"] in calls, f"input[{i}].call_id answers no call")
            calls.discard(item["call_id"])
        elif kind == "message":
            need(item["role"] in ("user", "assistant", "system", "developer"), f"input[{i}].role")
    need(not calls, f"no output for calls {sorted(calls)}")


def check_converse(headers, body):
    """bedrock.md, Converse: known fields, alternation, results for every call, tools for a history of calls."""
    # The signature of a request that is signed was checked when it came in.
    need(headers.get("authorization", "").startswith(("Bearer ", "AWS4-HMAC-SHA256 ")), "no key")
    known = {
        "messages", "system", "inferenceConfig", "toolConfig", "additionalModelRequestFields", "outputConfig", "serviceTier",
        "additionalModelResponseFieldPaths", "guardrailConfig", "performanceConfig", "requestMetadata", "promptVariables",
    }  # fmt: skip
    need(set(body) <= known, f"unknown {sorted(set(body) - known)}")
    need(body.get("messages") and body["messages"][0]["role"] == "user", "A conversation must start with a user message")
    calls, before = set(), None
    for i, message in enumerate(body["messages"]):
        need(message["role"] in ("user", "assistant") and message["role"] != before, f"messages.{i}: roles must alternate")
        before = message["role"]
        results = {b["toolResult"]["toolUseId"] for b in message["content"] if "toolResult" in b}
        need(results == calls, f"messages.{i}: toolResult blocks {sorted(results)} for {sorted(calls)}")
        calls = {b["toolUse"]["toolUseId"] for b in message["content"] if "toolUse" in b}
        need(not (calls or results) or body.get("toolConfig"), "toolConfig must be defined")
        for b in message["content"]:
            need(len(b) == 1 and ("text" not in b or b["text"].strip()), f"messages.{i}: {b}")


def openai_error(text, status):
    kind = {401: "authentication_error", 429: "requests"}.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": text, "type": kind, "param": None, "code": "model_not_found" if status == 404 else None}}


def anthropic_error(text, status):
    kind = {404: "not_found_error", 429: "rate_limit_error", 529: "overloaded_error"}.get(status, "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": text}}


def gemini_error(text, status):
    word = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}[status]
    return {"error": {"code": status, "message": text, "status": word}}


def mistral_error(text, status):
    kind = "service_unavailable" if status >= 500 else "invalid_request_error"
    return {"object": "error", "message": text, "type": kind, "param": None, "code": str(status)}


# path -> (folder of the fixtures, what the API checks, its error's body of text and status)
ROUTES = {
    "/v1/messages": ("anthropic", check_anthropic, anthropic_error),
    "/v1/chat/completions": ("openai", check_openai, openai_error),
    "/mistral/v1/chat/completions": ("mistral", check_openai, mistral_error),
    "/v1/responses": ("openai_responses", check_responses, openai_error),
    "/model": ("bedrock_converse", check_converse, lambda text, status: {"message": text}),
    "/v2/chat": ("cohere", check_cohere, lambda text, status: {"id": "0", "message": text}),
    "/v1beta/models": ("gemini", check_gemini, gemini_error),
}
AWS_ERRORS = {400: "ValidationException", 404: "ResourceNotFoundException", 503: "ServiceUnavailableException"}


def providers(port):
    """The providers of a gateway's configuration, one of each dialect, that all lead here; the key is servers.UPSTREAM_KEY."""
    paths = {"aws": ("bedrock", ""), "claude": ("anthropic", ""), "gpt": ("openai", "/v1"), "google": ("gemini", ""), "co": ("cohere", "")}
    return {
        name: {"type": kind, "base_url": f"http://127.0.0.1:{port}{path}", "api_key": servers.UPSTREAM_KEY}
        for name, (kind, path) in paths.items()
    }


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, text, options, content_type="text/event-stream; charset=utf-8"):
        cut, pace, end = int(options.get("cut", 0)), float(options.get("pace", 0)) / 1000, options.get("break")
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        body = text[: int(end)] if end else text
        size = cut or len(body) or 1
        pieces = [e + b"\n\n" for e in body.split(b"\n\n")] if pace else [body[i : i + size] for i in range(0, len(body), size)]
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
            time.sleep(pace)
        if end:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def error_story(self, folder, name, error):
        """The recorded one, or one in the same shape."""
        path = DATA / folder / f"{name}.json"
        if path.exists():
            return json.loads(path.read_text())
        status = int(name.removeprefix("error_"))
        headers = {"x-amzn-errortype": AWS_ERRORS[status]} if folder == "bedrock_converse" else {}
        return {"status": status, "headers": headers, "body": error(f"This is what {status} says.", status)}

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path.partition("?")[0]
        model = verb = None
        path = path.removeprefix("/behind")
        if path.startswith("/v1beta/models/"):
            # The model stands in the path.
            model, _, verb = urllib.parse.unquote(path.removeprefix("/v1beta/models/")).rpartition(":")
            path = "/v1beta/models"
        if path.startswith("/openai/deployments/"):
            # Azure: the deployment in the path decides, whatever the body says.
            model = urllib.parse.unquote(path.split("/")[3])
            path = "/v1/" + path.split("/", 4)[4]
        path = path.removeprefix("/openai")
        if path.startswith("/v1/projects/my-project/locations/europe-west4/publishers/"):
            # Vertex: the same two dialects, at paths of its own, for a token.
            publisher, _, name = path.split("/", 7)[7].partition("/models/")
            model, _, verb = urllib.parse.unquote(name).rpartition(":")
            model = model.removeprefix("claude-")  # such names are sent here
            path = {"google": "/v1beta/models", "anthropic": "/v1/messages"}[publisher]
            token = self.headers.get("authorization", "").removeprefix("Bearer ")
            if not self.server.token_valid(token):
                self.server.refused.append(f"token {token!r}")
                return self.answer(401, b'{"error":{"code":401,"message":"token","status":"UNAUTHENTICATED"}}')
        if path.startswith("/model/"):
            model, _, verb = path.removeprefix("/model/").rpartition("/")
            model, path = urllib.parse.unquote(model), "/model"
        self.server.seen.append({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}, "body": body})
        if self.headers.get("authorization", "").startswith("AWS4"):
            wrong = sigv4_check.problem("POST", self.path, self.server.seen[-1]["headers"], body, self.server.aws)
            if wrong:
                self.server.refused.append(wrong)
                text = b'{"message":"%s"}' % wrong.encode().split(b"\n")[0]
                return self.answer(403, text, [("x-amzn-errortype", "InvalidSignatureException")])
        if path not in ROUTES:
            return self.answer(404, b'{"error":{"message":"no such path"}}')
        folder, check, error = ROUTES[path]
        try:
            value = json.loads(body)
            check(self.server.seen[-1]["headers"], value)
        except (Refused, KeyError, TypeError, ValueError) as e:
            self.server.refused.append(f"{path}: {e!r}")
            return self.answer(400, json.dumps(error(f"invalid request: {e}", 400)).encode())
        if verb == "countTokens":
            return self.answer(200, (DATA / folder / "count_tokens.response.json").read_bytes())
        in_body = verb in (None, "rawPredict", "streamRawPredict")
        streams = value.get("stream") if in_body else verb == "streamGenerateContent" and "alt=sse" in self.path
        streams = streams or verb == "converse-stream"
        name, *rest = (self.server.play or model or value["model"]).split(",")
        options = dict(o.split("=") for o in rest)
        if name.startswith("error_"):
            story = self.error_story(folder, name, error)
            headers = [(k, v) for k, v in story.get("headers", {}).items() if k not in ("content-type", "content-length")]
            return self.answer(story["status"], json.dumps(story["body"]).encode(), headers)
        if streams and path == "/model":
            frames = (DATA / folder / f"{name}.stream.bin").read_bytes()
            return self.stream(frames, options, "application/vnd.amazon.eventstream")
        if streams:
            return self.stream((DATA / folder / f"{name}.stream.sse").read_bytes(), options)
        return self.answer(200, (DATA / folder / f"{name}.response.json").read_bytes())


class DialectMock(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]
        self.seen, self.refused, self.play = [], [], None
        self.token_valid = lambda token: False
        self.aws = {}  # access keys that requests may be signed with: (secret, session token or None)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # who closes early is no news

    def take(self):
        seen, self.seen = self.seen, []
        return seen

    def one(self):
        """The body of the only request since the last call, read; nothing was refused."""
        seen = self.take()
        assert not self.refused, self.refused
        assert len(seen) == 1, seen
        return json.loads(seen[0]["body"])
