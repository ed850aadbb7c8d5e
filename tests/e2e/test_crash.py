"""Goal: killed at any moment, no request is lost or counted twice, and budgets are what the ledger says.

Method: `make test-crash` (tests/crash/run.py) with a few kills; and one kill at a known moment.
"""

import json
import pathlib
import subprocess
import sys

import servers

sys.path.insert(0, str(pathlib.Path(servers.ROOT) / "tests/crash"))

import run as crash  # noqa: E402  (needs the path above)

KILLS = 16


def test_crash__every_request_in_the_ledger_once(tmp_path, backend):
    good, it = crash.run(tmp_path, KILLS, seed=1, backend=backend, seconds=0.05)
    print(it.table())
    assert good, it.troubles
    for moment in ("kills with open slots", "kills with final slots", "answers that came whole"):
        assert it.counts[moment] > 0, it.table()


def cli(server, *words):
    argv = [servers.RINGWAY, *words, "--config", str(server.config_path), "--output", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return json.loads(done.stdout)


def test_kill__a_living_process_gives_back_what_was_held(launch, backend, tmp_path):
    """Five requests are under way in a process that dies: the other one, which shares its cells, gives back their places and
    charges them at their estimates.
    """
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps(crash.PRICES))
    shared = {"data_dir": str(tmp_path / "data"), "pepper_file": str(tmp_path / "pepper"), "prices_file": str(prices)}
    lives, dies = [launch(backend, workers=2, **shared) for _ in range(2)]
    key = cli(lives, "key", "create", "--name", "k", "--concurrency", "5", "--usd-per-day", "100")

    def used():
        shown = cli(lives, "key", "show", key["id"])["used"]
        return shown[0]["used"], round(shown[1]["used"] * 1e9)

    body = json.dumps({"model": "up/mock:delay=30s", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})
    fields = [("content-type", "application/json"), ("authorization", f"Bearer {key['key']}")]
    request = servers.rawhttp.request("POST", "/v1/chat/completions", fields, body.encode())
    connections = [dies.connect().send(request) for _ in range(5)]
    servers.wait_for(lambda: used()[0] == 5, 5, "five are under way")
    reserved = used()[1]
    assert lives.ask("POST", "/v1/chat/completions", fields[:1], body.encode(), key=key["key"]).status == 429
    dies.expect_death = True
    dies.kill()
    servers.wait_for(lambda: used()[0] == 0, 5, "their places are given back")
    assert used()[1] == reserved > 0
    (row,) = cli(lives, "usage", "--by", "key")["by_key"]
    assert (row["requests"], round(row["cost_usd"] * 1e9)) == (6, reserved)
    for c in connections:
        c.close()
