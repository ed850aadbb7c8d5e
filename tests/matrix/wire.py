"""What the matrix says to providers, and how it reads what they were asked and what they answered: a story in one neutral form,
and for every dialect a writer of requests and strict readers of requests and of answers. Nothing here knows the gateway.

Request (dict; what is absent was not said)
    system   text                       turns    [(role, [part])], role user or assistant
    max, temperature, stop              tools    [(name, description, schema)]
    choice   "any"                      schema   of the answer
    effort   "medium"                   stream   bool
Part    ("text", text) ("image", type, base64) ("call", id, name, arguments) ("result", id, name, text)
Answer  (text, thinking, [(name, arguments)], stop|length|tools|filter, input tokens, output tokens)

A reader takes every member out of the body that it understands; what is left over is an error, so that a body was either read
to its last member or the cell fails. Calls are numbered in their order, as not every dialect has ids.
"""

import json


class Wrong(Exception):
    """The body is none that the API documents, or says something that the story does not."""


def need(condition, text):
    if not condition:
        raise Wrong(text)


class Body:
    """A JSON object of which everything must be taken."""

    def __init__(self, value, where="body"):
        need(isinstance(value, dict), f"{where} is no object: {value!r}")
        self.left, self.where = dict(value), where

    def take(self, name, default=None):
        return self.left.pop(name, default)

    def inner(self, name):
        return Body(self.take(name, {}), f"{self.where}.{name}")

    def done(self):
        need(not self.left, f"{self.where}: not expected: {json.dumps(self.left, ensure_ascii=False)[:200]}")


class Story:
    """A request being read."""

    def __init__(self):
        self.system, self.turns, self.calls, self.said = [], [], {}, {}

    def add(self, role, *parts):
        """Neighbours of one role are one turn; calls and results are numbered."""
        if not self.turns or self.turns[-1][0] != role:
            self.turns.append((role, []))
        self.turns[-1][1].extend(parts)

    def call(self, ident, name, arguments):
        arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
        need(isinstance(arguments, dict), f"arguments are no object: {arguments!r}")
        ident = ident or f"#{len(self.calls)}"
        need(ident not in self.calls, f"the id {ident} twice")
        self.calls[ident] = (len(self.calls), name)
        self.add("assistant", ("call", self.calls[ident][0], name, arguments))

    def result(self, ident, text, name=None):
        need(ident in self.calls, f"{ident} answers no call")
        number, called = self.calls[ident]
        need(name in (None, called), f"{name} answers a call of {called}")
        self.add("user", ("result", number, called, same_text(text)))

    def result_by_name(self, name, value):
        """Google's: without ids, in the order of the calls."""
        at = sum(1 for _, parts in self.turns for p in parts if p[0] == "result")
        ident = next((i for i, c in self.calls.items() if c[0] == at), None)
        need(ident is not None, f"a result of {name} without a call")
        self.result(ident, value, name)

    def say(self, name, value):
        if value is not None:
            self.said[name] = value

    def read(self):
        turns = [(role, join_text(parts)) for role, parts in self.turns]
        return {**self.said, "turns": turns, **({"system": "\n".join(self.system)} if self.system else {})}


def same_text(value):
    """A result as text; JSON without its spaces, as some dialects carry objects."""
    if isinstance(value, dict) and set(value) == {"result"}:
        value = value["result"]
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return value
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def join_text(parts):
    out = []
    for p in parts:
        if p[0] == "text" and out and out[-1][0] == "text":
            out[-1] = ("text", out[-1][1] + p[1])
        else:
            out.append(p)
    return out


def canonical(story):
    """The same form of a story that was written down by hand."""
    s = Story()
    s.system = [story["system"]] if "system" in story else []
    for role, parts in story["turns"]:
        for p in parts:
            if p[0] == "call":
                s.call(p[1], p[2], p[3])
            elif p[0] == "result":
                s.result(p[1], p[3], p[2])
            else:
                s.add(role, p)
    for name, value in story.items():
        if name not in ("system", "turns"):
            s.say(name, value)
    return s.read()


def same_schema(schema):
    """Google's types in capitals mean the same."""
    if isinstance(schema, list):
        return [same_schema(v) for v in schema]
    if not isinstance(schema, dict):
        return schema
    return {k: v.lower() if k == "type" and isinstance(v, str) else same_schema(v) for k, v in schema.items()}


def effort_of(budget, steps):
    return next(name for limit, name in steps if budget <= limit)


BUDGETS = ((1024, "low"), (8192, "medium"), (1 << 60, "high"))


# --- OpenAI chat; Mistral, with its few differences.


def write_openai(s, model, mistral=False):
    messages = [{"role": "system", "content": s["system"]}] if "system" in s else []
    for role, parts in s["turns"]:
        text = "".join(p[1] for p in parts if p[0] == "text")
        images = [p for p in parts if p[0] == "image"]
        calls = [p for p in parts if p[0] == "call"]
        content = text or None
        if images:
            content = [{"type": "text", "text": text}]
            content += [{"type": "image_url", "image_url": {"url": f"data:{t};base64,{d}"}} for _, t, d in images]
        for _, ident, name, result in (p for p in parts if p[0] == "result"):
            messages.append({"role": "tool", "tool_call_id": ident, "content": result, **({"name": name} if mistral else {})})
        if content or calls:
            message = {"role": role, "content": content}
            if calls:
                message["tool_calls"] = [
                    {"id": i, "type": "function", "function": {"name": n, "arguments": json.dumps(a, ensure_ascii=False)}}
                    for _, i, n, a in calls
                ]
            messages.append(message)
    body = {"model": model, "messages": messages}
    if "max" in s:
        body["max_tokens" if mistral else "max_completion_tokens"] = s["max"]
    if "temperature" in s:
        body["temperature"] = s["temperature"]
    if "stop" in s:
        body["stop"] = s["stop"]
    if "tools" in s:
        body["tools"] = [
            {"type": "function", "function": {"name": n, "description": d, "parameters": p}} for n, d, p in s["tools"]
        ]
    if "choice" in s:
        body["tool_choice"] = "any" if mistral else "required"
    if "schema" in s:
        form = {"name": "output", "schema": s["schema"], "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    if "effort" in s:
        body["reasoning_effort"] = s["effort"]
    if s.get("stream"):
        body["stream"] = True
        if not mistral:
            body["stream_options"] = {"include_usage": True}
    return body


def write_mistral(s, model):
    return write_openai(s, model, mistral=True)


def data_url(url):
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    need(url.startswith("data:") and data, f"no data URL: {url[:60]}")
    return ("image", kind, data)


def read_openai(body, path=None, mistral=False):
    b, s = Body(body), Story()
    model = b.take("model")
    for i, m in enumerate(b.take("messages", [])):
        m = Body(m, f"messages[{i}]")
        role, content = m.take("role"), m.take("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        text = "".join(p["text"] for p in parts if p["type"] == "text")
        if role in ("system", "developer"):
            need(not mistral or role == "system", "Mistral has no developer")
            s.system.append(text)
        elif role == "tool":
            s.result(m.take("tool_call_id"), text, m.take("name"))
        else:
            need(role in ("user", "assistant"), f"role {role}")
            for p in parts:
                p = Body(p, f"messages[{i}].content")
                kind = p.take("type")
                if kind == "image_url":
                    url = p.take("image_url")
                    s.add(role, data_url(url if isinstance(url, str) else url["url"]))
                else:
                    need(kind == "text", f"content {kind}")
                    s.add(role, ("text", p.take("text")))
                p.done()
            for c in m.take("tool_calls") or []:
                need(c.get("type", "function") == "function" and isinstance(c["function"]["arguments"], str), f"call {c}")
                need(not mistral or (len(c["id"]) == 9 and c["id"].isalnum()), f"Mistral's ids have 9 characters: {c['id']}")
                s.call(c["id"], c["function"]["name"], c["function"]["arguments"])
            m.take("prefix")
        m.done()
    limit = b.take("max_tokens")
    s.say("max", limit if limit is not None else b.take("max_completion_tokens"))
    s.say("temperature", b.take("temperature"))
    stop = b.take("stop")
    s.say("stop", [stop] if isinstance(stop, str) else stop)
    tools = []
    for t in b.take("tools") or []:
        f = Body(t["function"], "tools.function")
        tools.append((f.take("name"), f.take("description"), f.take("parameters")))
        f.take("strict")
        f.done()
    s.say("tools", tools or None)
    choice = b.take("tool_choice")
    need(choice in (None, "auto", "any" if mistral else "required"), f"tool_choice {choice}")
    s.say("choice", choice and choice != "auto" and "any" or None)
    form = b.take("response_format")
    if form:
        need(form["type"] == "json_schema" and form["json_schema"]["name"], f"response_format {form}")
        s.say("schema", form["json_schema"]["schema"])
    s.say("effort", b.take("reasoning_effort"))
    s.say("stream", b.take("stream") or None)
    options = b.take("stream_options")
    need(options in (None, {"include_usage": True}), f"stream_options {options}")
    need(mistral or not s.said.get("stream") or options, "no usage was asked for")
    b.done()
    return model, s.read()


def read_mistral(body, path=None):
    return read_openai(body, path, mistral=True)


def answer_openai(a):
    """Of OpenAI and Mistral; of the latter content may be a list."""
    choice = a["choices"][0]
    m, usage = choice["message"], a["usage"]
    content = m.get("content") or ""
    chunks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    text = "".join(c["text"] for c in chunks if c["type"] == "text")
    thought = "".join(t["text"] for c in chunks if c["type"] == "thinking" for t in c["thinking"])
    calls = [(c["function"]["name"], c["function"]["arguments"]) for c in m.get("tool_calls") or []]
    for c in m.get("tool_calls") or []:
        need(c["id"] and isinstance(c["function"]["arguments"], (str, dict)), f"call {c}")
    finish = {"stop": "stop", "length": "length", "model_length": "length", "tool_calls": "tools", "content_filter": "filter"}
    return (
        text,
        m.get("reasoning_content") or thought,
        [(n, json.loads(v) if isinstance(v, str) else v) for n, v in calls],
        finish[choice["finish_reason"]],
        usage["prompt_tokens"],
        usage["completion_tokens"],
    )


# --- OpenAI responses.


def write_responses(s, model):
    items = []

    def message(role, part):
        """Parts of one message, up to the next item of another kind."""
        if not items or items[-1].get("role") != role:
            items.append({"role": role, "content": []})
        items[-1]["content"].append(part)

    for role, parts in s["turns"]:
        for p in parts:
            if p[0] == "text":
                message(role, {"type": "input_text" if role == "user" else "output_text", "text": p[1]})
            elif p[0] == "image":
                message(role, {"type": "input_image", "detail": "auto", "image_url": f"data:{p[1]};base64,{p[2]}"})
            elif p[0] == "call":
                arguments = json.dumps(p[3], ensure_ascii=False)
                items.append({"type": "function_call", "call_id": p[1], "name": p[2], "arguments": arguments})
            else:
                items.append({"type": "function_call_output", "call_id": p[1], "output": p[3]})
    body = {"model": model, "input": items, "store": False}
    if "system" in s:
        body["instructions"] = s["system"]
    if "max" in s:
        body["max_output_tokens"] = s["max"]
    if "temperature" in s:
        body["temperature"] = s["temperature"]
    if "tools" in s:
        body["tools"] = [
            {"type": "function", "name": n, "description": d, "parameters": p, "strict": False} for n, d, p in s["tools"]
        ]
    if "choice" in s:
        body["tool_choice"] = "required"
    if "schema" in s:
        body["text"] = {"format": {"type": "json_schema", "name": "output", "schema": s["schema"], "strict": True}}
    if "effort" in s:
        body["reasoning"] = {"effort": s["effort"]}
    if s.get("stream"):
        body["stream"] = True
    return body


def read_responses(body, path=None):
    b, s = Body(body), Story()
    model = b.take("model")
    system = b.take("instructions")
    s.system = [system] if system else []
    for item in b.take("input", []):
        kind = item.get("type", "message")
        if kind == "function_call":
            s.call(item["call_id"], item["name"], item["arguments"])
        elif kind == "function_call_output":
            s.result(item["call_id"], item["output"])
        else:
            need(kind == "message", f"item {kind}")
            for p in item["content"]:
                s.add(item["role"], data_url(p["image_url"]) if p["type"] == "input_image" else ("text", p["text"]))
    s.say("max", b.take("max_output_tokens"))
    s.say("temperature", b.take("temperature"))
    s.say("tools", [(t["name"], t["description"], t["parameters"]) for t in b.take("tools") or []] or None)
    s.say("choice", "any" if b.take("tool_choice") == "required" else None)
    form = b.take("text")
    s.say("schema", form and form["format"]["schema"])
    s.say("effort", b.inner("reasoning").take("effort"))
    s.say("stream", b.take("stream") or None)
    need(b.take("store") is False, "store")
    b.done()
    return model, s.read()


def answer_responses(a):
    text, thought, calls = "", "", []
    for item in a["output"]:
        if item["type"] == "message":
            text += "".join(p.get("text") or p.get("refusal") for p in item["content"])
        elif item["type"] == "function_call":
            need(item["call_id"], "a call without an id")
            calls.append((item["name"], json.loads(item["arguments"])))
        elif item["type"] == "reasoning":
            parts = (item.get("content") or []) + (item.get("summary") or [])
            thought += "".join(p["text"] for p in parts)
    need(a["status"] in ("completed", "incomplete"), f"status {a['status']}")
    finish = "tools" if calls else "stop"
    if a["status"] == "incomplete":
        finish = {"max_output_tokens": "length", "content_filter": "filter"}[a["incomplete_details"]["reason"]]
    return text, thought, calls, finish, a["usage"]["input_tokens"], a["usage"]["output_tokens"]


# --- Anthropic messages.


def write_anthropic(s, model):
    messages = []
    for role, parts in s["turns"]:
        blocks = []
        for p in parts:
            if p[0] == "text":
                blocks.append({"type": "text", "text": p[1]})
            elif p[0] == "image":
                blocks.append({"type": "image", "source": {"type": "base64", "media_type": p[1], "data": p[2]}})
            elif p[0] == "call":
                blocks.append({"type": "tool_use", "id": p[1], "name": p[2], "input": p[3]})
            else:
                blocks.append({"type": "tool_result", "tool_use_id": p[1], "content": p[3]})
        messages.append({"role": role, "content": blocks})
    body = {"model": model, "messages": messages, "max_tokens": s["max"]}
    if "system" in s:
        body["system"] = s["system"]
    if "stop" in s:
        body["stop_sequences"] = s["stop"]
    if "tools" in s:
        body["tools"] = [{"name": n, "description": d, "input_schema": p} for n, d, p in s["tools"]]
    if "choice" in s:
        body["tool_choice"] = {"type": "any"}
    if "schema" in s:
        body["output_config"] = {"format": {"type": "json_schema", "schema": s["schema"]}}
    if "effort" in s:
        body["thinking"] = {"type": "enabled", "budget_tokens": 2048}
    if s.get("stream"):
        body["stream"] = True
    return body


def texts(value):
    return value if isinstance(value, str) else "".join(b["text"] for b in value or [])


def anthropic_thinking(s, b):
    """Either way to say how hard to think."""
    thinking, output = b.take("thinking"), b.inner("output_config")
    form = output.take("format")
    effort = output.take("effort")
    output.done()
    if form:
        need(form["type"] == "json_schema", f"format {form}")
        s.say("schema", form["schema"])
    if thinking and thinking["type"] == "enabled":
        need(thinking["budget_tokens"] >= 1024, "budget_tokens")
        s.say("effort", effort_of(thinking["budget_tokens"], BUDGETS))
    elif thinking:
        need(thinking["type"] == "adaptive", f"thinking {thinking}")
        s.say("effort", effort)


def read_anthropic(body, path=None):
    b, s = Body(body), Story()
    model = b.take("model")
    s.system = [t for t in [texts(b.take("system"))] if t]
    before = None
    for i, m in enumerate(b.take("messages", [])):
        need(m["role"] in ("user", "assistant") and m["role"] != before, f"messages[{i}]: roles must alternate")
        before = m["role"]
        content = m["content"]
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            c = Body(block, f"messages[{i}].content")
            kind = c.take("type")
            if kind == "text":
                s.add(before, ("text", c.take("text")))
            elif kind == "image":
                source = c.take("source")
                need(source["type"] == "base64", "source")
                s.add(before, ("image", source["media_type"], source["data"]))
            elif kind == "tool_use":
                s.call(c.take("id"), c.take("name"), c.take("input"))
            else:
                need(kind == "tool_result", f"block {kind}")
                s.result(c.take("tool_use_id"), texts(c.take("content")))
                c.take("is_error")
            c.done()
    s.say("max", b.take("max_tokens"))
    s.say("temperature", b.take("temperature"))
    s.say("stop", b.take("stop_sequences"))
    tools = []
    for t in b.take("tools") or []:
        t = Body(t, "tools")
        tools.append((t.take("name"), t.take("description"), t.take("input_schema")))
        t.take("strict")
        t.done()
    s.say("tools", tools or None)
    choice = b.take("tool_choice")
    need(choice in (None, {"type": "auto"}, {"type": "any"}), f"tool_choice {choice}")
    s.say("choice", "any" if choice == {"type": "any"} else None)
    anthropic_thinking(s, b)
    s.say("stream", b.take("stream") or None)
    b.done()
    return model, s.read()


def answer_anthropic(a):
    text, thought, calls = "", "", []
    for block in a["content"]:
        if block["type"] == "text":
            text += block["text"]
        elif block["type"] == "thinking":
            thought += block["thinking"]
        elif block["type"] == "tool_use":
            need(block["id"], "a call without an id")
            calls.append((block["name"], block["input"]))
    u = a["usage"]
    finish = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tools", "refusal": "filter"}
    seen = u["input_tokens"] + (u.get("cache_creation_input_tokens") or 0) + (u.get("cache_read_input_tokens") or 0)
    return text, thought, calls, finish[a["stop_reason"]], seen, u["output_tokens"]


# --- Gemini generateContent.


def write_gemini(s, model):
    contents = []
    for role, parts in s["turns"]:
        out = []
        for p in parts:
            if p[0] == "text":
                out.append({"text": p[1]})
            elif p[0] == "image":
                out.append({"inlineData": {"mimeType": p[1], "data": p[2]}})
            elif p[0] == "call":
                out.append({"functionCall": {"name": p[2], "args": p[3]}})
            else:
                out.append({"functionResponse": {"name": p[2], "response": {"result": p[3]}}})
        contents.append({"role": "user" if role == "user" else "model", "parts": out})
    config = {}
    if "max" in s:
        config["maxOutputTokens"] = s["max"]
    if "temperature" in s:
        config["temperature"] = s["temperature"]
    if "stop" in s:
        config["stopSequences"] = s["stop"]
    if "schema" in s:
        config.update({"responseMimeType": "application/json", "responseJsonSchema": s["schema"]})
    if "effort" in s:
        config["thinkingConfig"] = {"thinkingBudget": 4096, "includeThoughts": True}
    body = {"contents": contents, "generationConfig": config}
    if "system" in s:
        body["systemInstruction"] = {"parts": [{"text": s["system"]}]}
    if "tools" in s:
        declared = [{"name": n, "description": d, "parametersJsonSchema": p} for n, d, p in s["tools"]]
        body["tools"] = [{"functionDeclarations": declared}]
    if "choice" in s:
        body["toolConfig"] = {"functionCallingConfig": {"mode": "ANY"}}
    return body


ORDINARY = str.maketrans("-_", "+/")  # of the URL's base64
OWN_NAMES = ("args", "response", "parametersJsonSchema", "responseJsonSchema", "properties")


def camel(value):
    """Google's Python SDK writes some members in snake_case, which its JSON allows. Names of ours are left alone."""
    if isinstance(value, list):
        return [camel(v) for v in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for name, v in value.items():
        first, *rest = name.split("_")
        name = first + "".join(w.capitalize() for w in rest)
        out[name] = v if name in OWN_NAMES else camel(v)
    return out


def read_gemini(body, path):
    b, s = Body(camel(body)), Story()
    model, _, verb = path.partition("?")[0].rpartition("/")[2].rpartition(":")
    system = b.inner("systemInstruction")
    s.system = [t for t in [texts(system.take("parts"))] if t]
    system.take("role")
    system.done()
    for i, c in enumerate(b.take("contents", [])):
        role = {"user": "user", "model": "assistant"}[c["role"]]
        for part in c["parts"]:
            p = Body(part, f"contents[{i}].parts")
            p.take("thoughtSignature")
            if "text" in part:
                s.add(role, ("text", p.take("text")))
            elif "inlineData" in part:
                data = p.take("inlineData")
                s.add(role, ("image", data["mimeType"], data["data"].translate(ORDINARY)))
            elif "functionCall" in part:
                call = p.take("functionCall")
                s.call(None, call["name"], call["args"])
            else:
                result = p.take("functionResponse")
                s.result_by_name(result["name"], result["response"])
            p.done()
    g = b.inner("generationConfig")
    s.say("max", g.take("maxOutputTokens"))
    s.say("temperature", g.take("temperature"))
    s.say("stop", g.take("stopSequences"))
    if g.take("responseMimeType"):
        schema = g.take("responseJsonSchema")
        s.say("schema", same_schema(schema or g.take("responseSchema")))
    thinking = g.take("thinkingConfig")
    if thinking:
        budget = thinking.get("thinkingBudget")
        s.say("effort", thinking["thinkingLevel"].lower() if budget is None else effort_of(budget, BUDGETS))
    g.done()
    tools = []
    for t in (b.take("tools") or [{}])[0].get("functionDeclarations", []):
        schema = t.get("parametersJsonSchema") or t.get("parameters")
        tools.append((t["name"], t["description"], same_schema(schema)))
    s.say("tools", tools or None)
    mode = b.take("toolConfig", {"functionCallingConfig": {"mode": "AUTO"}})["functionCallingConfig"]["mode"]
    need(mode in ("AUTO", "ANY"), f"mode {mode}")
    s.say("choice", "any" if mode == "ANY" else None)
    need(verb != "streamGenerateContent" or path.endswith("?alt=sse"), "the stream's framing")
    s.say("stream", True if verb == "streamGenerateContent" else None)
    b.done()
    return model, s.read()


def answer_gemini(a):
    c, u = a["candidates"][0], a["usageMetadata"]
    text, thought, calls = "", "", []
    for p in (c.get("content") or {}).get("parts") or []:
        if p.get("functionCall"):
            calls.append((p["functionCall"]["name"], p["functionCall"]["args"]))
        elif p.get("thought"):
            thought += p["text"]
        else:
            text += p.get("text") or ""
    finish = {"STOP": "tools" if calls else "stop", "MAX_TOKENS": "length", "SAFETY": "filter"}[c["finishReason"]]
    seen = u["promptTokenCount"] + (u.get("toolUsePromptTokenCount") or 0)
    return text, thought, calls, finish, seen, (u.get("candidatesTokenCount") or 0) + (u.get("thoughtsTokenCount") or 0)


# --- Cohere v2.


def write_cohere(s, model):
    messages = [{"role": "system", "content": s["system"]}] if "system" in s else []
    for role, parts in s["turns"]:
        text = "".join(p[1] for p in parts if p[0] == "text")
        calls = [p for p in parts if p[0] == "call"]
        images = [p for p in parts if p[0] == "image"]
        for _, ident, _, result in (p for p in parts if p[0] == "result"):
            messages.append({"role": "tool", "tool_call_id": ident, "content": result})
        if calls:
            message = {"role": "assistant", "tool_calls": []}
            for _, i, n, a in calls:
                function = {"name": n, "arguments": json.dumps(a, ensure_ascii=False)}
                message["tool_calls"].append({"id": i, "type": "function", "function": function})
            if text:
                message["tool_plan"] = text
            messages.append(message)
        elif images:
            content = [{"type": "text", "text": text}]
            content += [{"type": "image_url", "image_url": {"url": f"data:{t};base64,{d}"}} for _, t, d in images]
            messages.append({"role": role, "content": content})
        elif text:
            messages.append({"role": role, "content": text})
    body = {"model": model, "messages": messages}
    if "max" in s:
        body["max_tokens"] = s["max"]
    if "temperature" in s:
        body["temperature"] = s["temperature"]
    if "stop" in s:
        body["stop_sequences"] = s["stop"]
    if "tools" in s:
        body["tools"] = [
            {"type": "function", "function": {"name": n, "description": d, "parameters": p}} for n, d, p in s["tools"]
        ]
    if "choice" in s:
        body["tool_choice"] = "REQUIRED"
    if "schema" in s:
        body["response_format"] = {"type": "json_object", "json_schema": s["schema"]}
    if "effort" in s:
        body["thinking"] = {"type": "enabled", "token_budget": 4096}
    if s.get("stream"):
        body["stream"] = True
    return body


def read_cohere(body, path=None):
    b, s = Body(body), Story()
    model = b.take("model")
    for i, m in enumerate(b.take("messages", [])):
        m = Body(m, f"messages[{i}]")
        role, content, plan = m.take("role"), m.take("content"), m.take("tool_plan")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        if role == "system":
            s.system.append(texts(content))
        elif role == "tool":
            s.result(m.take("tool_call_id"), texts(content))
        else:
            if plan:
                s.add(role, ("text", plan))
            for p in parts:
                s.add(role, data_url(p["image_url"]["url"]) if p["type"] == "image_url" else ("text", p["text"]))
            for c in m.take("tool_calls") or []:
                s.call(c["id"], c["function"]["name"], c["function"]["arguments"])
        m.done()
    s.say("max", b.take("max_tokens"))
    s.say("temperature", b.take("temperature"))
    s.say("stop", b.take("stop_sequences"))
    tools = [(f["name"], f["description"], f["parameters"]) for f in (t["function"] for t in b.take("tools") or [])]
    s.say("tools", tools or None)
    s.say("choice", "any" if b.take("tool_choice") == "REQUIRED" else None)
    form = b.take("response_format")
    if form:
        need(form["type"] == "json_object", f"response_format {form}")
        s.say("schema", form["json_schema"])
    thinking = b.take("thinking")
    if thinking:
        s.say("effort", effort_of(thinking["token_budget"], BUDGETS))
    s.say("stream", b.take("stream") or None)
    b.done()
    return model, s.read()


def answer_cohere(a):
    m, tokens = a["message"], a["usage"]["tokens"]
    content = m.get("content") or []
    text = (m.get("tool_plan") or "") + "".join(c["text"] for c in content if c["type"] == "text")
    thought = "".join(c["thinking"] for c in content if c["type"] == "thinking")
    calls = [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in m.get("tool_calls") or []]
    finish = {"COMPLETE": "stop", "STOP_SEQUENCE": "stop", "MAX_TOKENS": "length", "TOOL_CALL": "tools"}
    return text, thought, calls, finish[a["finish_reason"]], int(tokens["input_tokens"]), int(tokens["output_tokens"])


# --- Bedrock Converse.


def write_converse(s, model):
    messages = []
    for role, parts in s["turns"]:
        blocks = []
        for p in parts:
            if p[0] == "text":
                blocks.append({"text": p[1]})
            elif p[0] == "image":
                blocks.append({"image": {"format": p[1].rpartition("/")[2], "source": {"bytes": p[2]}}})
            elif p[0] == "call":
                blocks.append({"toolUse": {"toolUseId": p[1], "name": p[2], "input": p[3]}})
            else:
                blocks.append({"toolResult": {"toolUseId": p[1], "content": [{"text": p[3]}], "status": "success"}})
        messages.append({"role": role, "content": blocks})
    config = {}
    if "max" in s:
        config["maxTokens"] = s["max"]
    if "temperature" in s:
        config["temperature"] = s["temperature"]
    if "stop" in s:
        config["stopSequences"] = s["stop"]
    body = {"messages": messages, "inferenceConfig": config}
    if "system" in s:
        body["system"] = [{"text": s["system"]}]
    if "tools" in s:
        specs = [{"toolSpec": {"name": n, "description": d, "inputSchema": {"json": p}}} for n, d, p in s["tools"]]
        body["toolConfig"] = {"tools": specs, **({"toolChoice": {"any": {}}} if "choice" in s else {})}
    if "schema" in s:
        schema = {"schema": json.dumps(s["schema"]), "name": "output"}
        body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}
    if "effort" in s:
        body["additionalModelRequestFields"] = {"thinking": {"type": "enabled", "budget_tokens": 2048}}
    return body


def read_converse(body, path):
    b, s = Body(body), Story()
    model, _, verb = path.removeprefix("/model/").rpartition("/")
    s.system = [t for t in [texts(b.take("system"))] if t]
    for i, m in enumerate(b.take("messages", [])):
        for block in m["content"]:
            c = Body(block, f"messages[{i}].content")
            if "text" in block:
                s.add(m["role"], ("text", c.take("text")))
            elif "image" in block:
                image = c.take("image")
                s.add(m["role"], ("image", "image/" + image["format"], image["source"]["bytes"]))
            elif "toolUse" in block:
                use = c.take("toolUse")
                s.call(use["toolUseId"], use["name"], use["input"])
            else:
                result = c.take("toolResult")
                need(result.get("status", "success") == "success", "status")
                (content,) = result["content"]
                s.result(result["toolUseId"], content["text"] if "text" in content else content["json"])
            c.done()
    g = b.inner("inferenceConfig")
    s.say("max", g.take("maxTokens"))
    s.say("temperature", g.take("temperature"))
    s.say("stop", g.take("stopSequences"))
    g.done()
    config = b.inner("toolConfig")
    tools = []
    for t in (t["toolSpec"] for t in config.take("tools", [])):
        tools.append((t["name"], t["description"], t["inputSchema"]["json"]))
    s.say("tools", tools or None)
    choice = config.take("toolChoice")
    need(choice in (None, {"auto": {}}, {"any": {}}), f"toolChoice {choice}")
    s.say("choice", "any" if choice == {"any": {}} else None)
    config.done()
    form = b.take("outputConfig")
    if form:
        s.say("schema", json.loads(form["textFormat"]["structure"]["jsonSchema"]["schema"]))
    more = b.inner("additionalModelRequestFields")
    anthropic_thinking(s, more)
    more.done()
    s.say("stream", True if verb == "converse-stream" else None)
    b.done()
    return model.replace("%3A", ":"), s.read()


def answer_converse(a):
    text, thought, calls = "", "", []
    for block in a["output"]["message"]["content"]:
        if "text" in block:
            text += block["text"]
        elif "toolUse" in block:
            calls.append((block["toolUse"]["name"], block["toolUse"]["input"]))
        elif "reasoningContent" in block:
            thought += block["reasoningContent"].get("reasoningText", {}).get("text", "")
    u = a["usage"]
    finish = {
        "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tools",
        "content_filtered": "filter", "guardrail_intervened": "filter",
    }  # fmt: skip
    seen = u["inputTokens"] + (u.get("cacheReadInputTokens") or 0) + (u.get("cacheWriteInputTokens") or 0)
    return text, thought, calls, finish[a["stopReason"]], seen, u["outputTokens"]


WRITE = {
    "openai": write_openai, "mistral": write_mistral, "responses": write_responses, "anthropic": write_anthropic,
    "gemini": write_gemini, "cohere": write_cohere, "converse": write_converse,
}  # fmt: skip
READ = {
    "openai": read_openai, "mistral": read_mistral, "responses": read_responses, "anthropic": read_anthropic,
    "gemini": read_gemini, "cohere": read_cohere, "converse": read_converse,
}  # fmt: skip
ANSWER = {
    "openai": answer_openai, "mistral": answer_openai, "responses": answer_responses, "anthropic": answer_anthropic,
    "gemini": answer_gemini, "cohere": answer_cohere, "converse": answer_converse,
}  # fmt: skip
