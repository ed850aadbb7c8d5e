"""A million requests over two workers: what the provider billed, what was settled, what budgets count and what the ledger has are
the same, to the last nano-dollar.

    make test-sum [REQUESTS=1000000]           python3 tests/crash/sum.py --requests 100000

Sixteen clients send as many requests each, one after the other, with four keys that have budgets at all levels; each asks for a
model of its own, which the mock bills with a usage of its own. Nothing is estimated and nobody leaves, so the sums are known
beforehand. The table is printed; any difference fails.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import servers  # noqa: E402  (needs the path above)

RECORDS = os.environ.get("RINGWAY_RECORDS_BIN", str(servers.ROOT / "build/crash/records"))
CLIENT = os.environ.get("RINGWAY_CLIENT_BIN", str(servers.ROOT / "build/instr/client"))
CLIENTS = 16
KEYS = 4
WAIT_SECONDS = 60
# USD per million tokens: such that a token costs no whole number of nano-dollars.
INPUT, OUTPUT = 0.1237, 0.7891
PRICES = {"models": [{"provider": "openai", "model": "mock*", "mode": "chat", "input": INPUT, "output": OUTPUT}]}
BUDGET = ("--usd-per-day", "1000000", "--requests", "1000000000/day")


def nanos(prompt, completion):
    """Of one request: rounded up once."""
    picos = prompt * round(INPUT * 1e6) + completion * round(OUTPUT * 1e6)
    return -(-picos // 1000)


def cli(server, *words):
    argv = [servers.RINGWAY, *words, "--config", str(server.config_path), "--output", "json"]
    return json.loads(subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout)


def money(usd):
    return round(usd * 1e9)


def load(server, keys, each):
    """(requests, input, output, nano-dollars) that the mock was told to bill."""
    running, billed = [], [0, 0, 0, 0]
    for i in range(CLIENTS):
        prompt, completion = 50 + 37 * i, 3 + 11 * i
        words = [f"model=up/mock:lean,bytes=700,usage={prompt}/{completion}", f"key={keys[i % KEYS]}"]
        running.append(subprocess.Popen([CLIENT, str(server.address[1]), str(each), *words]))
        for k, n in enumerate((1, prompt, completion, nanos(prompt, completion))):
            billed[k] += each * n
    statuses = [child.wait() for child in running]
    assert not any(statuses), f"clients ended with {statuses}"
    return tuple(billed)


def of_ledger(server):
    total = cli(server, "usage")["summary"]
    return (
        total["total_requests"],
        total["total_input_tokens"],
        total["total_output_tokens"],
        money(total["total_cost_usd"]),
    )


def of_records(server):
    sums = [0, 0, 0, 0]
    with subprocess.Popen([RECORDS, server.config["data_dir"]], stdout=subprocess.PIPE) as child:
        for line in child.stdout:
            r = json.loads(line)
            assert r["status"] == 200 and r["end"] == "ok" and not r["flags"], r
            for k, n in enumerate((1, r["input"], r["output"], r["nanos"])):
                sums[k] += n
    return tuple(sums)


def of_metrics(server):
    found = server.metrics()
    tokens = [round(found.value("ringway_tokens_total", **{"class": c})) for c in ("input", "output")]
    return (None, *tokens, money(found.value("ringway_cost_usd_total")))


def of_budget(shown):
    used = {u["what"]: u["used"] for u in shown["used"]}
    return used["requests per day"], None, None, money(used["USD per day"])


def of_keys(server):
    each = [of_budget(cli(server, "key", "show", f"k{i}")) for i in range(KEYS)]
    return sum(e[0] for e in each), None, None, sum(e[3] for e in each)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--requests", type=int, default=1_000_000)
    each = options.parse_args().requests // CLIENTS
    with tempfile.TemporaryDirectory(prefix="ringway-sum-") as name:
        folder = pathlib.Path(name)
        (folder / "prices").write_text(json.dumps(PRICES))
        mock = servers.Mock(folder)
        everybody = {"limits": {"usd_per_day": 1000000, "rates": [{"window": "day", "requests": 1000000000}]}}
        more = {"workers": 2, "prices_file": str(folder / "prices"), "data_dir": str(folder / "data"), "global": everybody}
        server = servers.Gateway(folder, servers.plain_config(mock.port, **more), "sum")
        try:
            return run(server, mock, each)
        finally:
            server.stop()
            mock.stop()


def run(server, mock, each):
    for kind in ("team", "tenant"):
        cli(server, kind, "set", "default", *BUDGET)
    keys = [cli(server, "key", "create", "--name", f"k{i}", *BUDGET)["key"] for i in range(KEYS)]
    began = time.monotonic()
    billed = load(server, keys, each)
    seconds = time.monotonic() - began
    servers.wait_for(lambda: of_ledger(server)[0] >= billed[0], WAIT_SECONDS, "all records are committed", 0.5)
    rows = [
        ("the provider billed", billed),
        ("the provider saw", (mock.stats()["requests_total"], None, None, None)),
        ("settled (metrics)", of_metrics(server)),
        ("budgets of the keys", of_keys(server)),
        ("budget of the team", of_budget(cli(server, "team", "show", "default"))),
        ("budget of the tenant", of_budget(cli(server, "tenant", "show", "default"))),
        ("ledger, sums", of_ledger(server)),
        ("ledger, records", of_records(server)),
    ]
    bad = 0
    print(f"{'':<22}{'requests':>12}{'input tokens':>16}{'output tokens':>16}{'nano-USD':>20}")
    for name, got in rows:
        same = all(g is None or g == b for g, b in zip(got, billed))
        bad += not same
        figures = "".join(f"{'' if g is None else g:>{w}}" for g, w in zip(got, (12, 16, 16, 20)))
        print(f"{name:<22}{figures}  {'ok' if same else 'BAD'}")
    print(f"{billed[0]} requests over 2 workers in {seconds:.0f} s; {'all the same' if not bad else 'DIFFERENT'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
