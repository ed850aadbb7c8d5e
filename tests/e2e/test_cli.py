"""Goal: the command line explains itself: every command has a help with an example and the exit status, completion and manual come
from the same list, tables, JSON and CSV say the same.

Method: the real binary; bash runs the completion it printed.
"""

import csv
import io
import json
import shutil
import subprocess

import pytest

import servers


def ringway(*words, status=0, config=None):
    more = ["--config", str(config)] if config else []
    done = subprocess.run([servers.RINGWAY, *words, *more], capture_output=True, text=True, timeout=20)
    assert done.returncode == status, (words, done.stdout, done.stderr)
    return done.stdout if status == 0 else done.stderr


def commands():
    lines = ringway("--help").split("Commands:\n")[1].split("\n\n")[0].splitlines()
    return [line[2:].split("  ")[0].strip() for line in lines]


def test_help__of_every_command():
    names = commands()
    assert len(names) > 30 and len(set(names)) == len(names)
    for name in names:
        text = ringway(*name.split(), "--help")
        assert f"Usage: ringway {name}" in text and f"ringway {name}" in text.split("Example: ", 1)[1], text
        assert "Exit status: 0 done, 1 failed, 2 wrong use" in text


def complete(script, *words):
    ask = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ringway; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", ask, script, *words], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_completion__bash(tmp_path):
    script = tmp_path / "ringway.bash"
    script.write_text(ringway("completion", "bash"))
    assert "key" in complete(str(script), "ringway", "") and complete(str(script), "ringway", "ba") == ["backup"]
    assert complete(str(script), "ringway", "key", "r") == ["rotate", "revoke"]
    assert complete(str(script), "ringway", "key", "create", "--te") == ["--team"]
    assert complete(str(script), "ringway", "usage", "--output", "") == ["table", "json", "csv"]
    assert complete(str(script), "ringway", "key", "set", "5", "--hard", "f") == ["false"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion__other_shells_have_every_command(shell, tmp_path):
    text = ringway("completion", shell)
    assert all(word in text for name in commands() for word in name.split())
    if shutil.which(shell):
        (tmp_path / "script").write_text(text)
        subprocess.run([shell, "-n", str(tmp_path / "script")], check=True)
    assert "bash, zsh and fish" in ringway("completion", "tcsh", status=2)


def test_man__every_command_and_option():
    page = ringway("man")
    assert page.startswith(".TH RINGWAY 1") and ".SH EXIT STATUS" in page
    for name in commands():
        assert f".SS \"ringway {name}".replace("-", "\\-") in page, name
    assert "\\fB\\-\\-overlap\\-hours\\fR" in page
    assert "strip_stage_prefix" in ringway("man", "ringway.yaml.5")
    ringway("man", "ringway.7", status=2)


def test_output__table_json_and_csv_say_the_same(launch, backend):
    own = launch(backend)
    config = own.config_path
    status = json.loads(ringway("status", "--output", "json", config=config))
    assert status["workers"] == 2 and status["data_dir"]
    (row,) = csv.DictReader(io.StringIO(ringway("status", "--output", "csv", config=config)))
    assert row["workers"] == "2" and row["version"] == status["version"] and set(row) == set(status)
    assert f"version         {status['version']}" in ringway("status", config=config)
    ringway("team", "create", "t", "--rpm", "5", config=config)
    rows = csv.DictReader(io.StringIO(ringway("limits", "--output", "csv", config=config)))
    assert [r["name"] for r in rows] == ["default", "t"]
    assert json.loads(ringway("reload", "--output", "json", config=config))["generation"] == 2
    own.expect_death = True
    own.stop()
    assert "ringway serve" in ringway("status", status=1, config=config)
