"""Goal: no race lets one request more in than a budget or a limit allows, and none too few: with two workers, and with two
processes that share one data_dir.

Method: hundreds of requests at once against a budget for a part of them. Prices that make the worst case what it really costs
(the prompt is free, max_tokens is what the mock answers) make the number exact; others make the estimate three times too high,
or requests of mixed sizes. What the answers say they cost, what the ledger has and what the mock was asked is one sum.
"""

import collections
import concurrent.futures
import json
import subprocess
import time

import pytest

import servers

CHAT = "/v1/chat/completions"
CLIENTS = 64
OUTPUT = 10  # tokens of an answer
# USD per million tokens. Only the answer costs something.
PRICES = {"models": [{"provider": "openai", "model": "mock*", "mode": "chat", "input": 0, "output": 1000}]}
COST = OUTPUT * 1000e-6
BUDGET = 100


def cli(server, *words):
    done = subprocess.run(
        [servers.RINGWAY, *words, "--config", str(server.config_path), "--output", "json"],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return json.loads(done.stdout)


@pytest.fixture(params=["two workers", "two processes"])
def place(request, launch, backend, tmp_path):
    """The gateways that requests go to in turn."""
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps(PRICES))
    shared = {"data_dir": str(tmp_path / "data"), "pepper_file": str(tmp_path / "pepper"), "prices_file": str(prices)}
    count = 2 if request.param == "two processes" else 1
    return [launch(backend, workers=2, **shared) for _ in range(count)]


def ask_all(place, key, bodies):
    """All at once, over connections that are open already. The answers, in order."""

    def client(i):
        mine = []
        with place[i % len(place)].connect(timeout=30) as c:
            fields = [("content-type", "application/json"), ("authorization", f"Bearer {key}")]
            for body in bodies[i::CLIENTS]:
                mine.append(c.ask("POST", CHAT, fields, json.dumps(body).encode()))
        return mine

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        return [a for part in pool.map(client, range(min(CLIENTS, len(bodies)))) for a in part]


def body(tag, output=OUTPUT, max_tokens=None, **more):
    model = f"up/mock:usage=5/{output},tag={tag}" + "".join(f",{k}={v}" for k, v in more.items())
    message = [{"role": "user", "content": "hi"}]
    return {"model": model, "messages": message, "max_tokens": max_tokens or output}


def by_status(answers):
    return dict(collections.Counter(a.status for a in answers))


def cost_of(answers):
    """What the answers say they cost, each of which is what the mock billed."""
    total = 0
    for a in answers:
        if a.status != 200:
            continue
        nanos = round(float(a.header("x-ringway-cost-usd")) * 1e9)
        assert nanos == round(a.json()["usage"]["completion_tokens"] * COST / OUTPUT * 1e9), a
        total += nanos
    return total


def used(server, key):
    return {u["what"]: u["used"] for u in cli(server, "key", "show", key["id"])["used"]}


def check_books(place, key, answers, mock, tag, each=None):
    """The answers, the ledger, the cells and the mock say the same."""

    def ledger():
        rows = {r["key"]: r for r in cli(place[0], "usage", "--by", "key")["by_key"]}
        row = rows.get(key["name"])
        return row if row and row["requests"] == len(answers) else None

    row = servers.wait_for(ledger, 5, "the ledger has all")
    said = cost_of(answers)
    assert round(row["cost_usd"] * 1e9) == said, (row, said)
    billed = [r for r in mock.log() if f"tag={tag}" in r["model"]]
    assert len(billed) == by_status(answers).get(200, 0)
    if each:
        assert said == len(billed) * each
    return said


@pytest.mark.parametrize("period", ["day", "month"])
def test_budget__exact_estimates_exactly_the_budget(place, mock, tag, period):
    """500 requests at once of equal cost, a budget for 100."""
    key = cli(place[0], "key", "create", "--name", "k", f"--usd-per-{period}", f"{BUDGET * COST:.6f}")
    answers = ask_all(place, key["key"], [body(tag)] * 500)
    assert by_status(answers) == {200: BUDGET, 402: 400}
    spent = check_books(place, key, answers, mock, tag, each=round(COST * 1e9))
    assert round(used(place[0], key)[f"USD per {period}"] * 1e9) == spent


def test_budget__estimates_three_times_too_high_use_it_up(place, mock, tag):
    """Requests reserve three times what they cost, or what is left. In the end at least 95 % of the budget is spent, and never
    more than it.
    """
    budget = 60 * COST
    key = cli(place[0], "key", "create", "--name", "k", "--usd-per-day", f"{budget:.6f}")
    answers = []
    for _ in range(20):
        more = ask_all(place, key["key"], [body(tag, max_tokens=3 * OUTPUT)] * CLIENTS)
        answers += more
        if by_status(more).get(200, 0) == 0:
            break
    spent = check_books(place, key, answers, mock, tag)
    assert 0.95 * budget <= spent / 1e9 <= budget, (spent, budget, by_status(answers))


def test_budget__of_mixed_sizes_never_over(place, mock, tag):
    """Sizes below the least to which max_tokens is clamped, which the mock would not heed."""
    budget = 100 * COST
    key = cli(place[0], "key", "create", "--name", "k", "--usd-per-day", f"{budget:.6f}")
    sizes = [1, 7, 14, 3, 15, 9, 2, 12]
    answers = ask_all(place, key["key"], [body(tag, output=sizes[i % len(sizes)]) for i in range(400)])
    spent = check_books(place, key, answers, mock, tag)
    assert spent / 1e9 <= budget
    assert spent / 1e9 > budget - max(sizes) * 1000e-6, "one more would have fitted"


def test_budget__of_a_team_of_many_keys(place, mock, tag):
    """Two keys of a team run against its budget."""
    cli(place[0], "team", "create", "red", "--usd-per-day", f"{BUDGET * COST:.6f}")
    keys = [cli(place[0], "key", "create", "--team", "red", "--name", n)["key"] for n in "ab"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        parts = list(pool.map(lambda key: ask_all(place, key, [body(tag)] * 200), keys))
    assert by_status(parts[0] + parts[1]) == {200: BUDGET, 402: 300}


def test_requests__exactly_as_many(place, mock, tag):
    """A bucket of 100 a minute: 100, and what flows in meanwhile; a quota of the day: exactly."""
    key = cli(place[0], "key", "create", "--name", "k", "--rpm", "100")
    begin = time.monotonic()
    seen = by_status(ask_all(place, key["key"], [body(tag)] * 400))
    flowed = int((time.monotonic() - begin) * 100 / 60) + 1
    assert 100 <= seen[200] <= 100 + flowed and seen[200] + seen[429] == 400, seen
    key = cli(place[0], "key", "create", "--name", "quota", "--requests", "100/day")
    assert by_status(ask_all(place, key["key"], [body(tag)] * 400)) == {200: 100, 429: 300}


def test_tokens__settle_to_what_was_used(place, mock, tag):
    """A quota in tokens: estimates may refuse early, but in the end it is used, and what was let in by estimate can exceed it
    by what those in flight used beyond theirs only.
    """
    each = 5 + OUTPUT
    key = cli(place[0], "key", "create", "--name", "k", "--tokens", f"{100 * each}/day")
    answers = []
    for _ in range(20):
        more = ask_all(place, key["key"], [body(tag)] * CLIENTS)
        answers += more
        if by_status(more).get(200, 0) == 0:
            break
    good = by_status(answers)[200]
    assert 0.9 * 100 <= good <= 100 + CLIENTS, by_status(answers)
    servers.wait_for(lambda: used(place[0], key)["tokens per day"] == good * each, 3, "the cells have what was used")


def test_concurrency__never_more_at_once(place, mock, tag):
    key = cli(place[0], "key", "create", "--name", "k", "--concurrency", "7")
    answers = ask_all(place, key["key"], [body(tag, delay="300ms")] * CLIENTS)
    assert by_status(answers) == {200: 7, 429: CLIENTS - 7}
    assert used(place[0], key)["concurrent requests"] == 0
    assert by_status(ask_all(place, key["key"], [body(tag)])) == {200: 1}


def test_concurrency__given_back_whatever_the_end(place, mock, tag):
    """Good ones, errors of the provider, broken streams and clients that leave: nothing stays held."""
    key = cli(place[0], "key", "create", "--name", "k", "--concurrency", "50", "--usd-per-day", "1000")
    bodies = []
    for i in range(60):
        fault = [{}, {"status": 500}, {"status": 429}, {"delay": "20ms"}][i % 4]
        bodies.append(body(tag, **fault) | ({"stream": True} if i % 3 == 0 else {}))
    for i in range(4):
        bodies.append({**body(tag), "stream": True, "model": f"up/mock:chunks=9,cut@{i},tag={tag}"})
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        good = pool.submit(ask_leniently, place, key["key"], bodies)
        gone = pool.submit(leave_early, place, key["key"], tag)
        good.result(), gone.result()
    servers.wait_for(lambda: used(place[0], key)["concurrent requests"] == 0, 5, "nothing is held")

    def balanced():
        rows = {r["key"]: r for r in cli(place[0], "usage", "--by", "key")["by_key"]}
        return round(rows["k"]["cost_usd"] * 1e9) == round(used(place[0], key)["USD per day"] * 1e9)

    servers.wait_for(balanced, 5, "the money in the cells is what the ledger says")


def ask_leniently(place, key, bodies):
    for i, one in enumerate(bodies):
        with place[i % len(place)].connect() as c:
            raw = json.dumps(one).encode()
            c.send(head(key, len(raw)) + raw)
            c.sock.settimeout(3)
            c.until(b"\r\n\r\n")


def head(key, n):
    return (
        f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n"
        f"authorization: Bearer {key}\r\ncontent-length: {n}\r\n\r\n"
    ).encode()


def leave_early(place, key, tag):
    for i in range(20):
        with place[i % len(place)].connect() as c:
            raw = json.dumps({**body(tag, delay="200ms"), "stream": i % 2 == 0}).encode()
            c.send(head(key, len(raw)) + raw[: len(raw) if i % 3 else 10])
            time.sleep(0.01)
