"""Goal: what clients of the gateways before this one rely on: routes, shapes and words of /health, /v1/models, /v1/chat, /v1/usage
and /admin/keys.

Method: each case of tests/data/golden/native.json, which was written from the contract and not by the code, against the real
binary.
"""

import json
import re
import time

import pytest

import rawhttp
import servers

GOLDEN = json.loads((servers.ROOT / "tests/data/golden/native.json").read_text())["cases"]
TOKEN = "admin-token-0123456789abcdef"
TIGHT = "rw-tight-0123456789abcdef0123456789abcdef"
TYPES = {
    "<string>": lambda v: isinstance(v, str),
    "<int>": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "<number>": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "<list>": lambda v: isinstance(v, list),
    "<object>": lambda v: isinstance(v, dict),
    "<time>": lambda v: re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", v),
    "<date>": lambda v: re.fullmatch(r"\d{4}-\d\d-\d\d", v),
    "<llm>": lambda v: re.fullmatch(r"llm-[0-9a-f]{32}", v),
    "<usd6>": lambda v: isinstance(v, float),
}


def CONFIG(folder):
    return {
        "admin": {"address": f"127.0.0.1:{servers.free_port()}", "token": TOKEN},
        "keys": [{"name": "ci", "key": servers.KEY}, {"name": "tight", "key": TIGHT, "limits": {"rpm": 1}}],
        "default_model": "echo",
        "strip_stage_prefix": True,
    }


@pytest.fixture(scope="module")
def native(folder, mock, backend):
    config = servers.plain_config(mock.port, backend, **CONFIG(folder))
    config["providers"]["echo"] = {"type": "echo"}
    config["providers"]["gone"] = {"type": "openai", "api_key": "sk-none", "base_url": f"http://127.0.0.1:{servers.free_port()}/v1"}
    config["models"] = [
        {"name": "gpt-4o-mini", "targets": [{"provider": "up", "model": "gpt-4o-mini"}]},
        {"name": "broken", "targets": [{"provider": "gone", "model": "x"}]},
        {"name": "echo", "targets": [{"provider": "echo", "model": "echo"}]},
    ]
    server = servers.Gateway(folder, config, f"native-{backend}")
    yield server
    server.stop()
    assert not server.complaint_of_the_end(), server.complaint_of_the_end()


def differs(want, got, path="$"):
    """What is not as it should be, or None."""
    if isinstance(want, str) and want in TYPES:
        return None if TYPES[want](got) else f"{path}: {got!r} is no {want}"
    if isinstance(want, dict):
        if not isinstance(got, dict):
            return f"{path}: {got!r} is no object"
        missing = [k for k in want if k not in got and k != "..."]
        more = [k for k in got if k not in want] if "..." not in want else []
        if missing or more:
            return f"{path}: missing {missing}, too many {more}"
        return next(filter(None, (differs(v, got[k], f"{path}.{k}") for k, v in want.items() if k != "...")), None)
    if isinstance(want, list):
        if not isinstance(got, list) or len(got) != len(want):
            return f"{path}: {got!r} has not {len(want)} items"
        return next(filter(None, (differs(w, g, f"{path}[{i}]") for i, (w, g) in enumerate(zip(want, got)))), None)
    return None if want == got else f"{path}: {got!r} is not {want!r}"


def ask(native, case):
    method, target, *body = case["request"]
    data = b"" if not body else body[0].encode() if isinstance(body[0], str) else json.dumps(body[0]).encode()
    key = {"none": None, "wrong": "rw-wrong-0123456789", "tight": TIGHT}.get(case.get("key"), servers.KEY)
    address = native.address
    if case.get("on") == "admin":
        host, _, port = native.config["admin"]["address"].rpartition(":")
        address, key = (host, int(port)), TOKEN
    fields = [("content-type", "application/json")] + ([("x-api-key", key)] if key else [])
    with rawhttp.Connection(address) as c:
        return c.ask(method, target, fields, data)


def golden(native, case):
    if case.get("twice"):
        assert ask(native, case).status == 200
    answer = ask(native, case)
    assert answer.status == case["status"], answer
    if "allow" in case:
        assert answer.header("allow") == case["allow"]
    if "stream" in case:
        lines = [l[6:] for l in answer.body.decode().split("\n\n") if l]
        tail = [l if l == "[DONE]" else json.loads(l) for l in lines][-len(case["stream"]) :]
        assert not differs(case["stream"], tail), (differs(case["stream"], tail), tail)
        return
    if case.get("body", {}).get("gateway_metadata"):
        assert re.search(rb'"cost_usd":\d+\.\d{6},', answer.body), answer.body
    got = answer.json()
    if "body" in case:
        assert not differs(case["body"], got), (differs(case["body"], got), got)
    if "says" in case:
        error = got["error"]
        assert (error["type"], error["code"]) == ("gateway_error", case["status"]), got
        assert all(word in error["message"] for word in case["says"]), error


@pytest.mark.parametrize("case", GOLDEN, ids=[c["name"] for c in GOLDEN])
def test_golden(native, case):
    golden(native, case)


def test_base_path__behind_a_stage(launch, backend):
    own = launch(backend, base_path="/api", strip_stage_prefix=True)
    assert own.ask("GET", "/dev/api/v1/models").status == own.ask("GET", "/api/v1/models").status == 200
    assert own.ask("GET", "/v1/models").status == own.ask("GET", "/dev/v1/models").status == 404
    plain = launch(backend, "plain")
    assert plain.ask("GET", "/prod/v1/models").status == 404


def test_chat__defaults_and_what_goes_up(native, mock, tag):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"mock:tag={tag}"}]}
    answer = native.post("/v1/chat", body)
    assert answer.status == 200 and answer.json()["gateway_metadata"]["provider"] == "up"
    line = native.access_line(answer.header("x-request-id"))
    assert line["dialect"] == "native" and line["model"] == "gpt-4o-mini"


def test_keys__those_it_made_work_and_are_listed(native):
    made = ask(native, {"on": "admin", "request": ["POST", "/admin/keys", {"team_id": "smoke", "rate_limit_rpm": 2}]}).json()
    body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
    if time.time() % 60 > 57:
        time.sleep(60.2 - time.time() % 60)  # a window that ends in the middle would let a third one through
    answers = [native.post("/v1/chat", body, key=made["api_key"]) for _ in range(3)]
    assert [a.status for a in answers] == [200, 200, 429]
    assert answers[0].json()["gateway_metadata"]["team_id"] == "smoke"
    rows = ask(native, {"on": "admin", "request": ["GET", "/admin/keys"]}).json()["keys"]
    row = next(r for r in rows if r["team_id"] == "smoke")
    assert row["api_key_prefix"] == made["api_key"][:12] + "…"
    want = {"api_key_prefix": "<string>", "team_id": "smoke", "team_name": "smoke", "rate_limit_rpm": 2, "is_active": True, "created_at": "<time>"}
    assert not differs(want, row)
    second = ask(native, {"on": "admin", "request": ["POST", "/admin/keys", {"team_id": "smoke"}]}).json()["api_key"]
    assert native.ask("GET", "/v1/usage?days=1", key=second).json()["team_id"] == "smoke"
