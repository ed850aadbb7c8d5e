"""Goal: a full disk stops no request: the error is said in the log and in a metric, and when there is room again the ledger is
exact. What an administrator asks for meanwhile is refused, and nothing is stored half.

Method: the data_dir is a small tmpfs in a mount namespace of the gateway's own, which the test fills and empties through
/proc/PID/root.
"""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

import rawhttp
import servers

CHAT = "/v1/chat/completions"
PRICES = {"models": [{"provider": "openai", "model": "mock*", "mode": "chat", "input": 500, "output": 1000}]}
BODY = {"model": "up/mock", "messages": [{"role": "user", "content": "hi"}]}
REQUESTS = 600
PIECE = 1 << 16


def namespace(folder):
    """The command line before the gateway's that gives it a tmpfs there; None: this machine does not let us."""
    script = f'mount -t tmpfs -o size=64m tmpfs "{folder}" && exec "$@"'
    argv = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh"]
    if not shutil.which("unshare") or subprocess.run([*argv, "true"], capture_output=True).returncode != 0:
        return None
    return argv


@pytest.fixture
def on_disk(launch, backend, tmp_path):
    """Starts a gateway on a small disk of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    prefix = namespace(disk)
    if not prefix:
        pytest.skip("no tmpfs can be mounted here: NOT TESTED")
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps(PRICES))

    def start(**more):
        config = {"workers": 2, "data_dir": str(disk / "data"), "prices_file": str(prices), **more}
        gateway = launch(backend, prefix=prefix, **config)
        gateway.disk = disk
        return gateway

    return start


@pytest.fixture
def own(on_disk):
    return on_disk()


def inside(server):
    return pathlib.Path(f"/proc/{server.pid}/root{server.disk}")


def fill(server):
    """To the last byte."""
    with open(inside(server) / "filler", "wb", buffering=0) as f:
        piece = PIECE
        while piece:
            try:
                if f.write(b"x" * piece) < piece:
                    piece //= 2
            except OSError:
                piece //= 2


def empty(server):
    os.unlink(inside(server) / "filler")


def cli(server, *words):
    argv = [servers.RINGWAY, *words, "--config", str(server.config_path), "--output", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return json.loads(done.stdout)


def load(server, key, n=REQUESTS):
    """What they cost, in nano-dollars."""
    fields = [("content-type", "application/json"), ("authorization", f"Bearer {key}")]
    total = 0
    with server.connect() as c:
        for _ in range(n):
            answer = c.ask("POST", CHAT, fields, json.dumps(BODY).encode())
            assert answer.status == 200, answer
            total += round(float(answer.header("x-ringway-cost-usd")) * 1e9)
    return total


def ledger(server):
    """(requests, nano-dollars)"""
    rows = cli(server, "usage", "--by", "key")["by_key"]
    return sum(r["requests"] for r in rows), round(sum(r["cost_usd"] for r in rows) * 1e9)


def trouble(server):
    return server.metrics().value("ringway_ledger_trouble")


def test_full__requests_go_on_and_the_ledger_is_exact_afterwards(own):
    key = cli(own, "key", "create", "--name", "k", "--usd-per-day", "1000")
    cost = load(own, key["key"], 20)
    servers.wait_for(lambda: ledger(own) == (20, cost), 5, "the ledger has them")
    assert trouble(own) == 0
    fill(own)
    cost += load(own, key["key"])
    servers.wait_for(lambda: trouble(own) == 1, 5, "the metric says so")
    servers.wait_for(lambda: b"the ledger in" in own.err() and b"cannot be written" in own.err(), 5, "so does the log")
    assert own.metrics().value("ringway_ledger_waiting") > 0
    assert ledger(own)[0] < 20 + REQUESTS
    # Budgets go on counting what is not in the ledger yet.
    (money,) = cli(own, "key", "show", key["id"])["used"]
    assert round(money["used"] * 1e9) == cost
    empty(own)
    servers.wait_for(lambda: ledger(own) == (20 + REQUESTS, cost), 10, "the ledger is exact")
    servers.wait_for(lambda: trouble(own) == 0, 5, "the trouble is over")
    servers.wait_for(lambda: b"the ledger is written again" in own.err(), 5, "the log says so")
    cost += load(own, key["key"], 20)
    servers.wait_for(lambda: ledger(own) == (40 + REQUESTS, cost), 5, "and goes on")


# With tags of this length a request takes six slots of the journal.
TAGS = ",".join(f"{i}={'x' * 120}" for i in range(8))
JOURNAL_REQUESTS = 65536 // 6


def until_refused(server, most):
    """How many of so many requests, sent in one go each hundred, were served; and the answer that was not."""
    body = json.dumps({"model": "quick", "messages": []}).encode()
    fields = [("content-type", "application/json"), ("authorization", f"Bearer {servers.KEY}"), ("x-ringway-tags", TAGS)]
    one = rawhttp.request("POST", CHAT, fields, body)
    served = 0
    with server.connect() as c:
        while served < most:
            c.send(one * 100)
            for _ in range(100):
                answer = c.answer()
                if answer.status != 200:
                    return served, answer
                served += 1
    return served, None


@pytest.mark.parametrize("mode", ["refuse", "count_only"])
def test_full__longer_than_the_journal_lasts(on_disk, mode):
    """refuse: 503 and a text that says why, until there is room. count_only: requests go on, those without a record counted."""
    echo = {"name": "quick", "targets": [{"provider": "test", "model": "echo"}]}
    providers = {"test": {"type": "echo"}}
    own = on_disk(workers=1, usage={"on_ledger_full": mode}, providers=providers, models=[echo])
    load_one = lambda: own.post(CHAT, {"model": "quick", "messages": []})  # noqa: E731
    assert load_one().status == 200
    servers.wait_for(lambda: ledger(own)[0] == 1, 5, "the ledger has it")
    fill(own)
    served, refused = until_refused(own, JOURNAL_REQUESTS + 500)
    full = own.metrics().value("ringway_ledger_full_total")
    if mode == "refuse":
        assert JOURNAL_REQUESTS - 100 < served < JOURNAL_REQUESTS + 400, served
        assert refused.status == 503 and "ledger cannot be written" in refused.json()["error"]["message"], refused
        assert until_refused(own, 10)[0] == 0 and full > 0
    else:
        assert refused is None and 100 < full < 1000, (served, full)
    empty(own)
    servers.wait_for(lambda: trouble(own) == 0, 10, "the trouble is over")
    servers.wait_for(lambda: load_one().status == 200, 5, "served again")
    kept = served if mode == "refuse" else served - full
    servers.wait_for(lambda: ledger(own)[0] > kept, 10, "the ledger has all that had a place")


def test_full__answers_that_wait_for_their_record_go_on(on_disk):
    """usage.sync_interval 0: a ledger that cannot be written is not waited for; when it can be again, it is."""
    own = on_disk(usage={"sync_interval": 0})
    cost = load(own, servers.KEY, 20)
    assert ledger(own) == (20, cost)
    fill(own)
    # The first ones still find room among pages that are free.
    cost += load(own, servers.KEY)
    assert trouble(own) == 1
    empty(own)
    servers.wait_for(lambda: ledger(own) == (20 + REQUESTS, cost), 10, "the ledger is exact")
    servers.wait_for(lambda: trouble(own) == 0, 5, "the trouble is over")
    for i in range(1, 6):
        cost += load(own, servers.KEY, 1)
        assert ledger(own) == (20 + REQUESTS + i, cost)


def test_full__a_key_is_not_made_half(own):
    """An administrative act that cannot be written is refused with a reason, and works when there is room."""
    fill(own)
    argv = [servers.RINGWAY, "key", "create", "--config", str(own.config_path), "--output", "json"]
    refusals = 0
    for i in range(200):
        done = subprocess.run([*argv, "--name", f"k{i}"], capture_output=True, text=True, timeout=20)
        if done.returncode:
            refusals += 1
            assert done.returncode == 1 and done.stderr.strip(), done
            break
    assert refusals, "the disk was never full for the accounts"
    listed = len(cli(own, "key", "list")["data"])
    empty(own)
    key = cli(own, "key", "create", "--name", "after")
    assert len(cli(own, "key", "list")["data"]) == listed + 1
    load(own, key["key"], 3)
    assert cli(own, "audit", "verify")["whole"] is True
