"""Goal: limits and budgets hold: of keys, teams, tenants, plans, models and all; exactly as many requests are let in as may be,
on two workers at once; the SDK understands the refusals; each request leaves one record with its tokens and its money.

Method: the real binary with a data_dir, limits by the command line and by the configuration, the mock with prices of our own.
"""

import base64
import concurrent.futures
import json
import pathlib
import subprocess
import time

import openai
import pytest

import rawhttp
import servers

CHAT = "/v1/chat/completions"
USER = [{"role": "user", "content": "hi"}]
# USD per million tokens: high, so that a few requests use a budget up.
PRICES = {"models": [{"provider": "openai", "model": "mock*", "mode": "chat", "input": 500, "output": 1000}]}


def cli(server, *words, status=0):
    done = subprocess.run(
        [servers.RINGWAY, *words, "--config", str(server.config_path), "--output", "json"],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout) if status == 0 else done.stderr


@pytest.fixture
def prices(tmp_path):
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(PRICES))
    return str(path)


@pytest.fixture
def own(launch, backend, tmp_path, prices):
    return launch(backend, data_dir=str(tmp_path / "data"), workers=2, prices_file=prices)


def post(server, key, model="up/mock", **more):
    return server.post(CHAT, {"model": model, "messages": USER, **more}, key=key)


def statuses(server, key, n, at_once=16, **more):
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        seen = [a.status for a in pool.map(lambda _: post(server, key, **more), range(n))]
    return {s: seen.count(s) for s in sorted(set(seen))}


def records(server, n):
    """All records of today, once there are n."""
    servers.wait_for(
        lambda: sum(r["requests"] for r in cli(server, "usage", "--by", "key")["by_key"]) >= n, 5, f"{n} records"
    )
    return cli(server, "usage", "--by", "key")["by_key"]


def test_requests__exactly_the_burst(own):
    """600 a minute: of 700 at once 600 and what has flowed in meanwhile; the answers count down."""
    key = cli(own, "key", "create", "--name", "k", "--rpm", "600")["key"]
    first = post(own, key)
    assert first.header("x-ratelimit-limit-requests") == "600", first
    assert first.header("x-ratelimit-remaining-requests") == "599"
    begin = time.monotonic()
    seen = statuses(own, key, 700)
    more = int(10 * (time.monotonic() - begin)) + 1
    assert 599 <= seen[200] <= 599 + more and seen[200] + seen[429] == 700, seen


def test_requests__the_refusal_says_when(own):
    key = cli(own, "key", "create", "--name", "k", "--rpm", "1")["key"]
    assert post(own, key).status == 200
    refused = post(own, key)
    error = refused.json()["error"]
    assert refused.status == 429 and error["code"] == "rate_limit_exceeded" and error["type"] == "requests"
    assert "API key 'k'" in error["message"] and "1 requests per minute" in error["message"], error
    assert 50 <= int(refused.header("retry-after")) <= 60
    assert refused.header("x-ratelimit-remaining-requests") == "0"
    assert own.metrics().value("ringway_limited_total", level="key", limit="requests") == 1


@pytest.mark.parametrize("level", ["key", "team", "tenant", "plan"])
def test_levels__each_limits_its_own(own, level):
    """A limit of a team or a tenant is shared by its keys, one of a plan is not."""
    limit = ("--requests", "5/day")
    cli(own, "tenant", "create", "acme", *(limit if level == "tenant" else ()))
    cli(own, "team", "create", "red", "--tenant", "acme", *(limit if level == "team" else ()))
    if level == "plan":
        cli(own, "plan", "create", "small", *limit)
    own_limit = {"key": limit, "plan": ("--plan", "small")}.get(level, ())
    a, b = [cli(own, "key", "create", "--team", "red", "--name", n, *own_limit)["key"] for n in "ab"]
    other = cli(own, "key", "create", "--name", "other")["key"]
    seen = [statuses(own, k, 10) for k in (a, b, other)]
    if level in ("key", "plan"):
        assert seen == [{200: 5, 429: 5}, {200: 5, 429: 5}, {200: 10}]
    else:
        assert seen == [{200: 5, 429: 5}, {429: 10}, {200: 10}]


def test_limits__of_the_configuration(launch, backend, tmp_path, prices):
    """keys[].limits, models[].limits and global.limits."""
    quota = lambda n: {"rates": [{"window": "day", "requests": n}]}  # noqa: E731
    own = launch(
        backend,
        data_dir=str(tmp_path / "data"),
        prices_file=prices,
        workers=2,
        keys=[
            {"name": "a", "key": "rw-e2e-limited-key-aaaaaaaa", "limits": quota(6)},
            {"name": "b", "key": "rw-e2e-limited-key-bbbbbbbb"},
        ],
        models=[
            {"name": "m", "targets": [{"provider": "up", "model": "mock"}], "limits": quota(10)},
            {"name": "free", "targets": [{"provider": "up", "model": "mock"}]},
        ],
        **{"global": {"limits": quota(30)}},
    )
    assert statuses(own, "rw-e2e-limited-key-aaaaaaaa", 8, model="m") == {200: 6, 429: 2}
    assert statuses(own, "rw-e2e-limited-key-bbbbbbbb", 8, model="m") == {200: 4, 429: 4}
    assert statuses(own, "rw-e2e-limited-key-bbbbbbbb", 15, model="free") == {200: 15}
    records(own, 31)
    # Thrown away and filled from the ledger.
    own.kill()
    (pathlib.Path(own.config["data_dir"]) / "cells").unlink()
    own.restart()
    assert statuses(own, "rw-e2e-limited-key-aaaaaaaa", 2, model="free") == {429: 2}
    assert statuses(own, "rw-e2e-limited-key-bbbbbbbb", 2, model="m") == {429: 2}
    assert statuses(own, "rw-e2e-limited-key-bbbbbbbb", 10, model="free") == {200: 5, 429: 5}


def test_team__its_limits_hold_for_keys_of_the_file(own):
    """A key that stands in the configuration belongs to a team whose rules stand in the store."""
    file_key = servers.KEY
    assert statuses(own, file_key, 4) == {200: 4}
    records(own, 4)
    cli(own, "team", "set", "default", "--requests", "6/day")
    assert statuses(own, file_key, 4) == {200: 2, 429: 2}
    cli(own, "team", "set", "default", "--requests", "none", "--models", "up/other")
    assert statuses(own, file_key, 2) == {404: 2}
    cli(own, "team", "set", "default", "--models", "none")
    assert statuses(own, file_key, 2) == {200: 2}
    cli(own, "tenant", "set", "default", "--disabled", "true")
    assert statuses(own, file_key, 2) == {401: 2}


def test_end_users__each_his_own(launch, backend, tmp_path, prices):
    """By header and by the body's user; two tenants' users of one name are two."""
    own = launch(
        backend,
        data_dir=str(tmp_path / "data"),
        prices_file=prices,
        workers=2,
        end_users={"limits": {"rates": [{"window": "hour", "requests": 3}], "concurrency": 2}},
    )
    cli(own, "tenant", "create", "acme")
    cli(own, "team", "create", "red", "--tenant", "acme")
    a, b = cli(own, "key", "create", "--name", "a")["key"], cli(own, "key", "create", "--team", "red")["key"]
    assert statuses(own, a, 5, at_once=1, user="ann") == {200: 3, 429: 2}
    assert statuses(own, a, 5, at_once=1, user="bob") == {200: 3, 429: 2}
    assert statuses(own, b, 5, at_once=1, user="ann") == {200: 3, 429: 2}
    assert statuses(own, a, 5) == {200: 5}
    for user, status in (("ann", 429), ("eve", 200)):
        answer = own.post(CHAT, {"model": "up/mock", "messages": USER}, [("x-ringway-user", user)], key=a)
        assert answer.status == status, answer
    assert "this end user" in post(own, a, user="ann").json()["error"]["message"]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        slow = "up/mock:delay=600ms"
        seen = sorted(pool.map(lambda _: post(own, a, model=slow, user="tom").status, range(3)))
    assert seen == [200, 200, 429]


def test_end_users__their_quotas_outlive_the_process(launch, backend, tmp_path, prices):
    """Also one that is killed in the middle of a request."""
    quota = {"rates": [{"window": "day", "requests": 5}], "usd_per_day": 1000, "concurrency": 1}
    own = launch(backend, data_dir=str(tmp_path / "data"), prices_file=prices, end_users={"limits": quota})
    assert [post(own, servers.KEY, user="ann", max_tokens=7).status for _ in range(3)] == [200] * 3
    with own.connect() as c:
        fields = [("content-type", "application/json"), ("authorization", f"Bearer {servers.KEY}")]
        body = {"model": "up/mock:chunks=50,pace=50ms", "stream": True, "user": "ann", "messages": USER, "max_tokens": 7}
        c.send(rawhttp.request("POST", CHAT, fields, json.dumps(body).encode()))
        c.until(b"data:")
        own.kill()
    own.restart()
    assert [post(own, servers.KEY, user="ann", max_tokens=7).status for _ in range(2)] == [200, 429]
    assert post(own, servers.KEY, user="bob", max_tokens=7).status == 200


def test_concurrency__as_many_as_may_be(own):
    key = cli(own, "key", "create", "--name", "k", "--concurrency", "5")["key"]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        seen = list(pool.map(lambda _: post(own, key, model="up/mock:delay=800ms").status, range(20)))
    assert seen.count(200) == 5 and seen.count(429) == 15, seen
    assert statuses(own, key, 1) == {200: 1}


def test_changed__from_the_next_request_on(own):
    key = cli(own, "key", "create", "--name", "k", "--requests", "3/day")
    assert statuses(own, key["key"], 5) == {200: 3, 429: 2}
    cli(own, "key", "set", key["id"], "--requests", "8/day")
    assert statuses(own, key["key"], 8) == {200: 5, 429: 3}
    cli(own, "key", "set", key["id"], "--requests", "none")
    assert statuses(own, key["key"], 8) == {200: 8}


def test_changed__a_new_quota_knows_the_day(own):
    """Set in the middle of a day, for a key, its team and by a plan: what was used since midnight counts."""
    cli(own, "team", "create", "red")
    cli(own, "plan", "create", "p", "--requests", "100000/day")
    key, other = [cli(own, "key", "create", "--team", "red", "--name", n) for n in ("k", "other")]
    assert statuses(own, key["key"], 6) == {200: 6} and statuses(own, other["key"], 4) == {200: 4}
    records(own, 10)
    cli(own, "key", "set", key["id"], "--requests", "8/day")
    assert statuses(own, key["key"], 4) == {200: 2, 429: 2}
    records(own, 14)
    cli(own, "team", "set", "red", "--requests", "15/day")
    assert statuses(own, other["key"], 5) == {200: 3, 429: 2}  # 12 before; refused ones do not count
    records(own, 19)
    cli(own, "team", "set", "red", "--requests", "none")
    cli(own, "key", "set", other["id"], "--plan", "p")
    cli(own, "plan", "set", "p", "--requests", "9/day")
    assert statuses(own, other["key"], 9) == {200: 2, 429: 7}


def test_key__of_the_configuration_is_changed_there(own):
    said = cli(own, "key", "set", "ci", "--rpm", "1", status=1)
    assert "configuration file" in said
    assert "configuration file" in cli(own, "key", "revoke", "ci", status=1)


def last(mock, tag):
    """The body of the newest request that the mock saw with this tag."""
    return json.loads(base64.b64decode(mock.log(tag)[-1]["body"]))


def one_costs(server, key):
    answer = post(server, key, max_tokens=7)
    assert answer.status == 200, answer
    usage = answer.json()["usage"]
    cost = 500e-6 * usage["prompt_tokens"] + 1000e-6 * usage["completion_tokens"]
    assert abs(float(answer.header("x-ringway-cost-usd")) - cost) < 1e-9
    return cost


def test_budget__never_exceeded_and_402(own):
    """A hard budget: what the ledger sums up to never exceeds it, and the refusal is one that SDKs do not repeat."""
    free = cli(own, "key", "create", "--name", "free")["key"]
    cost = one_costs(own, free)
    budget = 40 * cost
    key = cli(own, "key", "create", "--name", "k", "--usd-per-day", f"{budget:.6f}")["key"]
    seen = statuses(own, key, 100, max_tokens=7)
    asked = 101
    while post(own, key, max_tokens=7).status == 200:
        seen[200] += 1
        asked += 1
    # The last ones would fit, but could cost more: a token for each byte of the body.
    left = budget - seen[200] * cost
    assert set(seen) == {200, 402} and 0 <= left < 0.1, (seen, cost)
    refused = post(own, key, max_tokens=7)
    error = refused.json()["error"]
    assert error["code"] == "insufficient_quota" and "USD per day" in error["message"], error
    n = seen[200]
    spent = {r["key"]: r for r in records(own, asked + 2)}["k"]["cost_usd"]
    assert abs(spent - n * cost) < 1e-6, (spent, n, cost)
    client = openai.OpenAI(api_key=key, base_url=own.url, max_retries=2)
    before = own.metrics().value("ringway_limited_total", level="key", limit="money")
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="up/mock", messages=[{"role": "user", "content": "hi" * 200}], max_tokens=7)
    assert caught.value.status_code == 402
    assert own.metrics().value("ringway_limited_total", level="key", limit="money") == before + 1


def test_budget__a_shorter_answer_near_the_end(own, mock, tag):
    """Without max_tokens the model's maximum would not fit: what fits goes up, and the answer says so. Also into
    another field, and where the client asked for more than fits.
    """
    key = cli(own, "key", "create", "--name", "k", "--usd-per-request", "1")["key"]
    for more, field in (
        ({}, "max_completion_tokens"),
        ({"max_tokens": 100_000}, "max_tokens"),
        ({"max_completion_tokens": 100_000}, "max_completion_tokens"),
    ):
        answer = post(own, key, model=f"up/mock:tag={tag}", **more)
        sent = last(mock, tag)
        clamped = int(answer.header("x-ringway-clamped"))
        assert answer.status == 200 and 800 < clamped < 1000 and sent[field] == clamped, (answer, sent)
    small = post(own, key, model=f"up/mock:tag={tag}", max_tokens=7)
    assert small.status == 200 and small.header("x-ringway-clamped") is None
    assert last(mock, tag)["max_tokens"] == 7
    refused = own.post(CHAT, {"model": "up/mock", "messages": [{"role": "user", "content": "x" * 2500}]}, key=key)
    assert refused.status == 402 and "max_tokens" in refused.json()["error"]["message"]


def test_sdk__waits_for_the_limit(own):
    """The SDK reads retry-after of a 429 and comes again then."""
    key = cli(own, "key", "create", "--name", "k", "--requests", "1/second")["key"]
    client = openai.OpenAI(api_key=key, base_url=own.url, max_retries=2)
    begin = time.monotonic()
    for _ in range(3):
        assert client.chat.completions.create(model="up/mock", messages=USER).choices
    assert time.monotonic() - begin > 1.5


def test_ledger__one_record_each(own, tag):
    """Good ones, refused ones, streams, errors of the provider, a client that leaves: one record each, with the
    provider's tokens where there are any.
    """
    key = cli(own, "key", "create", "--name", "k", "--requests", "6/day")["key"]
    assert post(own, key).status == 200
    streamed = post(own, key, model="up/mock:chunks=5", stream=True)
    assert streamed.status == 200 and b"[DONE]" in streamed.body
    assert post(own, key, model="up/mock:status=500").status >= 500
    assert post(own, key, model="nobody").status == 404
    with own.connect() as c:
        body = json.dumps({"model": "up/mock:delay=5s", "messages": USER}).encode()
        c.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            + f"authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        time.sleep(0.3)
    assert post(own, key).status == 200
    assert post(own, key).status == 429
    row = {r["key"]: r for r in records(own, 7)}["k"]
    assert row["requests"] == 7, row


def test_usage__of_the_own_team(own):
    """GET /v1/usage: the team's own sums, day by day and by what was asked; other teams' are not in them."""
    cli(own, "team", "create", "red")
    a, b = cli(own, "key", "create", "--team", "red", "--name", "a")["key"], cli(own, "key", "create")["key"]
    costs = [float(post(own, k, max_tokens=5).header("x-ringway-cost-usd")) for k in (a, a, a, b)]
    records(own, 4)
    got = own.ask("GET", "/v1/usage?days=7&group_by=key", key=a).json()
    assert got["team_name"] == "red" and got["period"]["days"] == 7
    assert got["summary"]["total_requests"] == 3, got
    assert abs(got["summary"]["total_cost_usd"] - sum(costs[:3])) < 1e-6
    assert [r["requests"] for r in got["daily"]] == [3] and len(got["by_key"]) == 1
    by_model = own.ask("GET", "/v1/usage", key=b).json()["by_model"]
    assert [(r["model"], r["requests"]) for r in by_model] == [("up/mock", 1)]
    for query in ("days=0", "days=x", "group_by=tenant", "group_by=nonsense"):
        refused = own.ask("GET", f"/v1/usage?{query}", key=a)
        assert refused.status == 400 and refused.json()["error"]["type"] == "gateway_error"
    assert own.ask("GET", "/v1/usage", key=None).status == 401 and own.ask("POST", "/v1/usage", key=a).status == 405


def test_ledger__a_translated_stream_that_is_cut_is_not_free(own):
    """Anthropic's client, OpenAI's provider, which names its usage at the end only: who leaves before it pays for what
    went by, as an estimate.
    """
    key = cli(own, "key", "create", "--name", "k")["key"]
    body = {"model": "up/mock:chunks=200,pace=10ms", "max_tokens": 500, "stream": True, "messages": USER}
    with own.connect() as c:
        fields = [("x-api-key", key), ("content-type", "application/json"), ("anthropic-version", "2023-06-01")]
        c.send(rawhttp.request("POST", "/v1/messages", fields, json.dumps(body).encode()))
        time.sleep(1)
    row = {r["key"]: r for r in records(own, 1)}["k"]
    assert row["requests"] == 1 and row["output_tokens"] >= 20 and row["cost_usd"] > 0, row


def test_restart__budgets_are_what_the_ledger_says(own):
    """kill -9, and the cells thrown away: the day's quota and the money are there again."""
    key = cli(own, "key", "create", "--name", "k", "--requests", "10/day", "--usd-per-day", "100")["key"]
    assert statuses(own, key, 6, max_tokens=7) == {200: 6}
    records(own, 6)
    own.kill()
    (pathlib.Path(own.config["data_dir"]) / "cells").unlink()
    own.restart()
    assert statuses(own, key, 10, max_tokens=7) == {200: 4, 429: 6}


def test_show__says_what_was_used(own):
    """`ringway key show`: of each limit what was used until now; of a team and a tenant likewise."""
    cli(own, "team", "create", "red", "--usd-per-day", "100")
    key = cli(own, "key", "create", "--team", "red", "--name", "k", "--requests", "10/day", "--concurrency", "5")
    assert statuses(own, key["key"], 3, max_tokens=7) == {200: 3}
    shown = cli(own, "key", "show", key["id"])["used"]
    assert shown == [
        {"what": "concurrent requests", "used": 0, "limit": 5},
        {"what": "requests per day", "used": 3, "limit": 10},
    ]
    (money,) = cli(own, "team", "show", "red")["used"]
    assert money["what"] == "USD per day" and money["limit"] == 100
    assert abs(money["used"] - 3 * one_costs(own, key["key"])) < 1e-9
    table = subprocess.run(
        [servers.RINGWAY, "key", "show", key["id"], "--config", str(own.config_path)], capture_output=True, text=True
    ).stdout
    assert "0 of 5 concurrent requests, 4 of 10 requests per day" in table, table


def test_restart__limits_of_the_configuration_too(launch, backend, tmp_path, prices):
    """Money and quotas that stand in the file are not renewed by a restart."""
    key = "rw-e2e-limited-key-aaaaaaaa"
    quota = lambda n: {"rates": [{"window": "day", "requests": n}]}  # noqa: E731
    own = launch(
        backend,
        data_dir=str(tmp_path / "data"),
        prices_file=prices,
        workers=2,
        keys=[{"name": "a", "key": key, "limits": quota(9)}, {"name": "b", "key": servers.KEY}],
        models=[
            {"name": "m", "targets": [{"provider": "up", "model": "mock"}], "limits": quota(4)},
            {"name": "free", "targets": [{"provider": "up", "model": "mock"}]},
        ],
        **{"global": {"limits": {**quota(15), "usd_per_month": 1000}}},
    )
    assert statuses(own, key, 3, model="m") == {200: 3}
    assert statuses(own, key, 3, model="free") == {200: 3}
    assert statuses(own, servers.KEY, 4, model="free") == {200: 4}
    records(own, 10)
    own.kill()
    own.restart()
    assert statuses(own, key, 3, model="m") == {200: 1, 429: 2}
    assert statuses(own, key, 4, model="free") == {200: 2, 429: 2}
    assert statuses(own, servers.KEY, 4, model="free") == {200: 2, 429: 2}
