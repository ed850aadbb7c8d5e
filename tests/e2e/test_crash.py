"""Goal: killed at any moment, no request is lost or counted twice, and budgets are what the ledger says.

Method: `make test-crash` (tests/crash/run.py) with a few kills.
"""

import pathlib
import sys

import servers

sys.path.insert(0, str(pathlib.Path(servers.ROOT) / "tests/crash"))

import run as crash  # noqa: E402  (needs the path above)

KILLS = 24


def test_crash__every_request_in_the_ledger_once(tmp_path, backend):
    good, it = crash.run(tmp_path, KILLS, seed=1, backend=backend, seconds=0.05)
    print(it.table())
    assert good, it.troubles
    for moment in ("kills with open slots", "kills with final slots", "answers that came whole"):
        assert it.counts[moment] > 0, it.table()
