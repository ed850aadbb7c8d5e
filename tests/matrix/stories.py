"""The cases of the matrix: what a client asks, what the provider plays for it, and what the client must therefore see; with the
list of cells that are refused, each with the rule of translation that says so.
"""

import json

import dialect_mock
import wire

FOLDER = {
    "openai": "openai", "responses": "openai_responses", "mistral": "mistral", "anthropic": "anthropic", "gemini": "gemini",
    "cohere": "cohere", "converse": "bedrock_converse",
}  # fmt: skip
# What the providers' models are called: what may be asked of a model follows its name in some dialects.
MODEL = {
    "openai": "gpt-4o-mini", "responses": "gpt-4o-mini", "mistral": "mistral-large-latest", "anthropic": "claude-sonnet-4-6",
    "gemini": "gemini-2.5-flash", "cohere": "command-a-reasoning-08-2025", "converse": "anthropic.claude-sonnet-4-5-20250929-v1:0",
}  # fmt: skip

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
CITY = {"type": "object", "properties": {"city": {"type": "string"}, "unit": {"type": "string"}}, "required": ["city"]}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
TOOLS = [("get_weather", "Weather of a city", CITY)]


def ask(*turns, **more):
    return {"turns": list(turns), "max": 64, **more}


def user(*parts):
    return ("user", [("text", p) if isinstance(p, str) else p for p in parts])


def model(*parts):
    return ("assistant", [("text", p) if isinstance(p, str) else p for p in parts])


GREET = user("Greet me from Zürich ☀️ — 你好, 😀 \u2028 \"quoted\" \\ and\ttab.")
WEATHER = user("Compare the weather in Zürich and Oslo.")
CALLS = [("call", "aB3dE6gH9", "get_weather", {"city": "Zürich", "unit": "celsius"}), ("call", "Zy8xW7vU6", "get_weather", {"city": "Oslo"})]
RESULTS = user(("result", "aB3dE6gH9", "get_weather", "21 °C"), ("result", "Zy8xW7vU6", "get_weather", '{"temp":9}'), "And now?")
PLAIN = ask(GREET, temperature=0.5)
STREAM = {**PLAIN, "stream": True}
TOOL, TOOL_STREAM = ask(WEATHER, tools=TOOLS), ask(WEATHER, tools=TOOLS, stream=True)

# name -> (what is asked, what is played)
CASES = {
    "plain": (PLAIN, "text"),
    "system": (ask(GREET, system="You are terse: Grüße."), "text"),
    "multi-turn": (ask(user("Hi."), model("Hello."), GREET, system="You are terse."), "text"),
    "stream": (STREAM, "text"),
    "stream, bytes": (STREAM, "text,cut=1"),
    "stream, 7 bytes": (STREAM, "text,cut=7"),
    "tool": (TOOL, "tool_single"),
    "tool, forced": (ask(WEATHER, tools=TOOLS, choice="any"), "tool_single"),
    "tool, stream": (TOOL_STREAM, "tool_single"),
    "parallel tools": (TOOL, "tool_parallel"),
    "parallel tools, stream": (TOOL_STREAM, "tool_parallel,cut=5"),
    "tool results": (ask(WEATHER, model("I'll check.", *CALLS), RESULTS, tools=TOOLS), "text"),
    "image": (ask(user("What colour?", ("image", "image/png", PIXEL))), "image_base64"),
    "schema": (ask(user("Give a person."), schema=PERSON), "json_schema"),
    "thinking": (ask(user("What is 6*7?"), effort="medium", max=8000), "thinking"),
    "thinking, stream": (ask(user("What is 6*7?"), effort="medium", max=8000, stream=True), "thinking"),
    "stop sequence": (ask(GREET, stop=["END"]), "stop_sequence"),
    "length": (PLAIN, "length"),
    "error 400": (PLAIN, "error_400"),
    "error 401": (PLAIN, "error_401"),
    "error 404": (PLAIN, "error_404"),
    "error 429": (PLAIN, "error_429"),
    "error 429, stream": (STREAM, "error_429"),
    "overloaded": (PLAIN, "error_503"),
    "error in a stream": (STREAM, "midstream_error"),
    "stream cut": (STREAM, "text,break=700"),
}
# Where a provider's recorded story has another name.
OTHER = {
    ("converse", "thinking"): "reasoning",
    ("openai", "thinking"): "reasoning",
    ("responses", "thinking"): "reasoning",
    ("anthropic", "error_503"): "error_529",
    ("mistral", "error_400"): "error_400_tool_call_id",
    ("converse", "error_401"): "error_403_signature",
}


def exists(provider, name):
    return any((dialect_mock.DATA / FOLDER[provider]).glob(f"{name}.*"))


def play(provider, case):
    """What the mock is told to play: the recorded story, or the plain text where this provider has none."""
    story, name = CASES[case]
    name, comma, options = name.partition(",")
    name = OTHER.get((provider, name), name)
    suffix = (".stream.bin" if provider == "converse" else ".stream.sse") if story.get("stream") else ".response.json"
    if not name.startswith("error_") and not (dialect_mock.DATA / FOLDER[provider] / f"{name}{suffix}").exists():
        name = "text"
    return name + comma + options


def fixture(provider, name):
    return json.loads((dialect_mock.DATA / FOLDER[provider] / name).read_text())


# Streams of which no whole answer was recorded: text, thought, calls, finish, tokens.
ONLY_STREAMED = {
    ("cohere", "thinking"): ("42", "6*7 is 42.", [], "stop", 198, 20),
    ("responses", "reasoning"): ("42", "Adding numbers.", [], "stop", 20, 130),
}


def told(provider, played):
    """What the provider says, read by the reader of its dialect."""
    name = played.partition(",")[0]
    if (provider, name) in ONLY_STREAMED:
        return ONLY_STREAMED[provider, name]
    return wire.ANSWER[provider](fixture(provider, f"{name}.response.json"))


def error_told(provider, played):
    """(status, text, retry-after) of a recorded error; of one that the mock makes up only the status."""
    path = dialect_mock.DATA / FOLDER[provider] / f"{played}.json"
    if not path.exists():
        status = int(played.removeprefix("error_"))
        return status, f"This is what {status} says.", None
    story = json.loads(path.read_text())
    body = story["body"]
    error = body.get("error", body)
    text = error.get("message") or error.get("detail") or error.get("Message") or ""
    return story["status"], text, story["headers"].get("retry-after")


# (client dialects, provider, cases, the rule)
REFUSED = []


def refused(client, provider, case):
    for clients, to, cases, rule in REFUSED:
        if client in clients and provider in to and case in cases:
            return rule
    return None


def asked(client, provider, case):
    """What the provider must have been asked: what the client could say of the story, in the provider's reading."""
    story = dict(CASES[case][0])
    if client == "anthropic":
        story.pop("temperature", None)  # its SDK has none
    if client == "responses":
        story.pop("stop", None)  # nor has this dialect
    return wire.canonical(story)
