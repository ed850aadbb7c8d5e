"""The clients of the matrix: each sends one request written in its dialect through its vendor's SDK and gives back what the SDK
parsed, as plain data in the shape of the dialect's whole answer. A stream is put together by the SDK where it can do that.
"""

import http.client
import importlib.metadata
import json
import pathlib
import subprocess

import anthropic
import cohere
import openai
from google import genai
from mistralai.client import Mistral
from mistralai.client.utils import BackoffStrategy, RetryConfig

import awsframes

SECONDS = 20
THEIRS = ("openai", "anthropic", "google", "cohere", "mistralai", "httpx", "pydantic")  # modules whose errors are the SDK's


class Failed(Exception):
    """What the SDK threw, or how it was told of an error in a stream."""

    def __init__(self, status, name, text, retry_after=None, said=""):
        super().__init__(f"{name} {status}: {text}")
        self.status, self.name, self.text, self.retry_after, self.said = status, name, text, retry_after, said


def failed(e, said=""):
    response = getattr(e, "response", None) or getattr(e, "raw_response", None)
    headers = getattr(response, "headers", None) or getattr(e, "headers", None) or {}
    status = getattr(e, "status_code", None) or getattr(e, "code", None)
    retry = headers.get("retry-after") if hasattr(headers, "get") else None
    return Failed(status if isinstance(status, int) else None, type(e).__name__, str(e), retry, said)


class Client:
    sees_thoughts = True  # the SDK's types have a place for them
    sees_retry_after = True
    keeps_streamed_thoughts = True  # it puts the pieces of members that it does not know together
    overloaded, credentials = 503, 502

    def __init__(self, package):
        self.version = f"{package} {importlib.metadata.version(package)}"

    def ask(self, body):
        """The whole answer; Failed for what the SDK or the transport below it throws, but not for mistakes of ours."""
        said = []
        try:
            return self.run(body, said.append)
        except Failed as e:
            e.said = "".join(said)
            raise
        except Exception as e:
            if not isinstance(e, (RuntimeError, AssertionError)) and not type(e).__module__.startswith(THEIRS):
                raise
            raise failed(e, "".join(said)) from e


class OpenAiChat(Client):
    name, dialect = "openai chat (Python)", "openai"
    errors = {400: "BadRequestError", 404: "NotFoundError", 429: "RateLimitError", 502: "InternalServerError", 503: "InternalServerError"}

    def __init__(self, url, key):
        super().__init__("openai")
        self.sdk = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=SECONDS)

    def run(self, body, heard):
        if not body.pop("stream", False):
            return self.sdk.chat.completions.create(**body).model_dump()
        with self.sdk.chat.completions.stream(**body) as stream:
            for event in stream:
                heard(event.delta if event.type == "content.delta" else "")
            return stream.get_final_completion().model_dump()


class OpenAiResponses(OpenAiChat):
    name, dialect = "openai responses (Python)", "responses"

    def run(self, body, heard):
        if not body.pop("stream", False):
            return self.sdk.responses.create(**body).model_dump()
        with self.sdk.responses.stream(**body) as stream:
            for event in stream:
                heard(event.delta if event.type == "response.output_text.delta" else "")
                if event.type in ("error", "response.failed"):
                    raise Failed(None, event.type, event.to_json())
            try:
                return stream.get_final_response().model_dump()
            except RuntimeError as e:  # no response.completed
                raise Failed(None, "RuntimeError", str(e)) from e


class Anthropic(Client):
    name, dialect, overloaded, credentials = "anthropic (Python)", "anthropic", 529, 500
    errors = {400: "BadRequestError", 404: "NotFoundError", 429: "RateLimitError", 500: "InternalServerError", 529: "OverloadedError"}

    def __init__(self, url, key):
        super().__init__("anthropic")
        self.sdk = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=SECONDS)

    def run(self, body, heard):
        if not body.pop("stream", False):
            return self.sdk.messages.create(**body).model_dump()
        with self.sdk.messages.stream(**body) as stream:
            for text in stream.text_stream:
                heard(text)
            return stream.get_final_message().model_dump()


def google_call(body):
    """Google's SDKs take the members of a body by other names."""
    config = {k: v for k, v in body.items() if k in ("systemInstruction", "tools", "toolConfig")}
    return {"model": body["model"], "contents": body["contents"], "config": {**body.get("generationConfig", {}), **config}}


class Google(Client):
    name, dialect, credentials = "google-genai (Python)", "gemini", 500
    errors = {400: "ClientError", 404: "ClientError", 429: "ClientError", 500: "ServerError", 503: "ServerError"}

    def __init__(self, url, key):
        super().__init__("google-genai")
        self.sdk = genai.Client(api_key=key, http_options={"base_url": url, "api_version": "v1beta", "timeout": SECONDS * 1000})

    def run(self, body, heard):
        if not body.pop("stream", False):
            answer = self.sdk.models.generate_content(**google_call(body))
            return answer.model_dump(by_alias=True, exclude_none=True, mode="json")
        whole, parts = {}, []
        for chunk in self.sdk.models.generate_content_stream(**google_call(body)):
            whole = chunk.model_dump(by_alias=True, exclude_none=True, mode="json")
            for part in ((whole.get("candidates") or [{}])[0].get("content") or {}).get("parts") or []:
                parts.append(part)
                heard("" if part.get("thought") else part.get("text", ""))
        if "finishReason" not in (whole.get("candidates") or [{}])[0]:
            raise Failed(None, "no finish", "the stream ended without a finishReason")
        whole["candidates"][0]["content"] = {"parts": parts}
        return whole


class Cohere(Client):
    name, dialect = "cohere (Python)", "cohere"
    errors = {400: "BadRequestError", 404: "NotFoundError", 429: "TooManyRequestsError", 502: "ApiError", 503: "ServiceUnavailableError"}

    def __init__(self, url, key):
        super().__init__("cohere")
        self.sdk = cohere.ClientV2(api_key=key, base_url=url, timeout=SECONDS)

    def run(self, body, heard):
        once = {"max_retries": 0}
        if not body.pop("stream", False):
            return self.sdk.chat(**body, request_options=once).model_dump()
        content, calls, plan, end = {}, {}, "", None
        for e in self.sdk.chat_stream(**body, request_options=once):
            if e.type == "content-start":
                content[e.index] = e.delta.message.content.model_dump(exclude_none=True)
            elif e.type == "content-delta":
                for name, value in e.delta.message.content.model_dump(exclude_none=True).items():
                    if name != "type":
                        content[e.index][name] = content[e.index].get(name, "") + value
                        heard(value if name == "text" else "")
            elif e.type == "tool-plan-delta":
                plan += e.delta.message.tool_plan
            elif e.type == "tool-call-start":
                calls[e.index] = e.delta.message.tool_calls.model_dump()
            elif e.type == "tool-call-delta":
                function = calls[e.index]["function"]
                function["arguments"] = (function["arguments"] or "") + e.delta.message.tool_calls.function.arguments
            elif e.type == "message-end":
                end = e
        if end is None or end.delta.finish_reason == "ERROR":
            raise Failed(None, "message-end", end and end.delta.error or "no end")
        message = {"tool_plan": plan, "content": list(content.values()), "tool_calls": list(calls.values())}
        return {"message": message, "finish_reason": end.delta.finish_reason, "usage": end.delta.usage.model_dump()}


class MistralAi(Client):
    name, dialect = "mistralai (Python)", "mistral"
    sees_thoughts = False
    errors = {s: "SDKError" for s in (400, 404, 429, 502, 503)}

    def __init__(self, url, key):
        super().__init__("mistralai")
        once = RetryConfig("none", BackoffStrategy(1, 1, 1, 1), False)
        self.sdk = Mistral(api_key=key, server_url=url, timeout_ms=SECONDS * 1000, retry_config=once)

    def run(self, body, heard):
        if not body.pop("stream", False):
            return self.sdk.chat.complete(**body).model_dump()
        said, calls, finish, usage = "", {}, None, None
        with self.sdk.chat.stream(**body) as events:
            for e in events:
                data = e.data.model_dump()
                usage = data.get("usage") or usage
                for choice in data["choices"]:
                    content = choice["delta"].get("content") or ""
                    said += content if isinstance(content, str) else "".join(c.get("text", "") for c in content)
                    heard(content if isinstance(content, str) else "")
                    finish = choice["finish_reason"] or finish
                    for c in choice["delta"].get("tool_calls") or []:
                        call = calls.setdefault(c["index"], {"id": c["id"], "function": {"name": "", "arguments": ""}})
                        call["function"]["name"] = call["function"]["name"] or c["function"]["name"]
                        call["function"]["arguments"] += c["function"]["arguments"]
        if finish is None:
            raise Failed(None, "no finish", "the stream ended without a finish_reason")
        message = {"content": said, "tool_calls": list(calls.values())}
        return {"choices": [{"message": message, "finish_reason": finish}], "usage": usage}


class Converse(Client):
    """Plain HTTP and a decoder of the binary event stream of its own, as boto3 wants TLS for keys and signs otherwise."""

    name, dialect, credentials = "raw Converse", "converse", 500
    errors = {
        400: "ValidationException", 404: "ResourceNotFoundException", 429: "ThrottlingException",
        500: "InternalServerException", 503: "ServiceUnavailableException",
    }  # fmt: skip
    sees_retry_after = False

    def __init__(self, url, key):
        self.version, self.key = "bedrock-runtime", key
        self.host = url.removeprefix("http://")

    def run(self, body, heard):
        stream = body.pop("stream", False)
        path = f"/model/{body.pop('model').replace(':', '%3A')}/converse{'-stream' if stream else ''}"
        connection = http.client.HTTPConnection(self.host, timeout=SECONDS)
        try:
            fields = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
            connection.request("POST", path, json.dumps(body).encode(), fields)
            answer = connection.getresponse()
            try:
                data = answer.read()
            except http.client.IncompleteRead as e:
                raise Failed(None, "IncompleteRead", "the body broke off") from e
        finally:
            connection.close()
        if answer.status != 200:
            name = answer.getheader("x-amzn-errortype", "").partition(":")[0].rpartition("#")[2]
            raise Failed(answer.status, name, json.loads(data)["message"])
        return self.join(awsframes.frames(data), heard) if stream else json.loads(data)

    def join(self, events, heard):
        blocks, stop, usage = {}, None, None
        for kind, name, value in events:
            if kind != "event":
                raise Failed(None, name, value["message"])
            at = value.get("contentBlockIndex")
            if name == "contentBlockStart":
                blocks[at] = {"toolUse": {**value["start"]["toolUse"], "input": ""}}
            elif name == "contentBlockDelta":
                delta = value["delta"]
                if "text" in delta:
                    heard(delta["text"])
                    blocks.setdefault(at, {"text": ""})["text"] += delta["text"]
                elif "toolUse" in delta:
                    blocks[at]["toolUse"]["input"] += delta["toolUse"]["input"]
                else:
                    text = blocks.setdefault(at, {"reasoningContent": {"reasoningText": {"text": ""}}})
                    text["reasoningContent"]["reasoningText"]["text"] += delta["reasoningContent"].get("text", "")
            elif name == "messageStop":
                stop = value["stopReason"]
            elif name == "metadata":
                usage = value["usage"]
        if stop is None or usage is None:
            raise Failed(None, "no end", "the stream ended without messageStop and metadata")
        for b in blocks.values():
            if "toolUse" in b:
                b["toolUse"]["input"] = json.loads(b["toolUse"]["input"])
        return {"output": {"message": {"content": [blocks[i] for i in sorted(blocks)]}}, "stopReason": stop, "usage": usage}


# --- Node: one process for all of its SDKs, a job and an answer a line.


class Node:
    HERE = pathlib.Path(__file__).resolve().parent

    def __init__(self, modules):
        program = modules / "clients.mjs"
        program.write_bytes((self.HERE / "clients.mjs").read_bytes())  # beside node_modules, where imports are looked for
        self.child = subprocess.Popen(["node", str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        self.versions = json.loads(self.child.stdout.readline())

    def ask(self, **job):
        self.child.stdin.write(json.dumps(job) + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            raise RuntimeError("the Node clients ended")
        return json.loads(line)

    def close(self):
        self.child.stdin.close()
        self.child.wait(SECONDS)


class NodeClient(Client):
    def __init__(self, node, like, name, package, sdk, url, key, **special):
        self.node, self.name, self.sdk, self.url, self.key = node, name, sdk, url, key
        self.version = f"{package} {node.versions[package]}"
        self.dialect, self.overloaded, self.credentials, self.errors = like.dialect, like.overloaded, like.credentials, like.errors
        for n, value in special.items():
            setattr(self, n, value)

    def run(self, body, heard):
        stream = body.pop("stream", False)
        body = google_call(body) if self.dialect == "gemini" else body
        got = self.node.ask(sdk=self.sdk, url=self.url, key=self.key, stream=stream, body=body)
        if "error" in got:
            e = got["error"]
            heard(e["said"])
            raise Failed(e["status"], e["name"], e["text"], e["retry_after"])
        return got["answer"]


def all_clients(url, key, node):
    clients = [kind(url, key) for kind in (OpenAiChat, OpenAiResponses, Anthropic, Google, Cohere, MistralAi, Converse)]
    if node:
        google = {s: "ApiError" for s in Google.errors}
        clients += [
            NodeClient(node, OpenAiChat, "openai chat (Node)", "openai", "openai", url, key, keeps_streamed_thoughts=False),
            NodeClient(node, OpenAiResponses, "openai responses (Node)", "openai", "responses", url, key),
            NodeClient(node, Anthropic, "@anthropic-ai/sdk (Node)", "@anthropic-ai/sdk", "anthropic", url, key),
            NodeClient(node, Google, "@google/genai (Node)", "@google/genai", "google", url, key, errors=google, sees_retry_after=False),
        ]
    return clients
