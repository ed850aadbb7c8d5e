"""Goal: no secret is where it does not belong: keys of clients and of providers and the pepper are in no log, error answer, metric,
file of the data_dir or environment of a child, neither plain nor in base64, hex or URL encoding.

Method: keys are planted by every way in (configuration, environment, command line, import), used rightly and wrongly, and then
looked for everywhere. Before that the search has to find each of them in each form where it was put on purpose, and in the
answer where it belongs.
"""

import base64
import json
import os
import pathlib
import shutil
import signal
import subprocess
import urllib.parse

import pytest

import servers

CHAT = "/v1/chat/completions"
BODY = {"model": "up/mock", "messages": [{"role": "user", "content": "hi"}]}
# Characters that URL encoding changes are in them.
FILE_KEY = "rw-planted/file+key=0123456789abcdefghij"
ENV_KEY = "rw-planted/environment+key=0123456789abcdef"
IMPORTED_KEY = "sk-planted/imported+key=0123456789abcdef"
PROVIDER_KEY = "sk-planted/provider+key=0123456789abcdef"
WRONG_KEY = "rw-planted/wrong+key=0123456789abcdefghi"


def forms(secret):
    """A secret's bytes as they could be written somewhere. Base64 is looked for at all three places of a group of three bytes:
    without the characters that its neighbours have a part in.
    """
    raw = secret if isinstance(secret, bytes) else secret.encode()
    found = {"plain": raw, "hex": raw.hex().encode(), "HEX": raw.hex().upper().encode()}
    for shift in range(3):
        for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
            text = encode(b"\0" * shift + raw).rstrip(b"=")
            whole = (len(raw) + shift) * 8 // 6
            found[f"{name}+{shift}"] = text[(shift * 8 + 5) // 6 : whole]
    for name, safe in (("url", ""), ("url/", "/")):
        found[name] = urllib.parse.quote(raw, safe=safe).encode()
        found[f"{name} lower"] = found[name].replace(b"%2F", b"%2f").replace(b"%2B", b"%2b").replace(b"%3D", b"%3d")
    return found


def search(secrets, places):
    """[(secret's name, form, place)] of all that are found."""
    return [
        (name, form, place)
        for name, secret in secrets.items()
        for form, needle in forms(secret).items()
        for place, text in places.items()
        if needle in text
    ]


def files_under(folder):
    return {str(p): p.read_bytes() for p in pathlib.Path(folder).rglob("*") if p.is_file()}


def cli(server, *words):
    argv = [servers.RINGWAY, *words, "--config", str(server.config_path)]
    return subprocess.run(argv, capture_output=True, timeout=20, env=environment())


def environment():
    return {**os.environ, "PLANTED_KEY": ENV_KEY, "PLANTED_PROVIDER_KEY": PROVIDER_KEY}


def environments(pid):
    """Of the children of a process, and of theirs."""
    found = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found[f"environment of {child}"] = pathlib.Path(f"/proc/{child}/environ").read_bytes()
            found |= environments(int(child))
    return found


@pytest.fixture
def own(launch, backend, mock, tmp_path):
    provider = {"type": "openai", "api_key": "${PLANTED_PROVIDER_KEY}"}
    return launch(
        backend,
        env=environment(),
        data_dir=str(tmp_path / "data"),
        pepper_file=str(tmp_path / "pepper"),
        log={"access": str(tmp_path / "access.log"), "level": "debug"},
        keys=[{"name": "file", "key": FILE_KEY}, {"name": "env", "key": "${PLANTED_KEY}"}],
        providers={
            "up": {**provider, "base_url": f"http://127.0.0.1:{mock.port}/v1"},
            "gone": {**provider, "base_url": f"http://127.0.0.1:{servers.free_port()}/v1"},
        },
    )


def test_search__finds_what_was_planted(tmp_path):
    """In each form, within other bytes, in a file of a folder."""
    for form, needle in forms(FILE_KEY).items():
        (tmp_path / "planted").write_bytes(b"\xff some text " + needle + b" more\n")
        found = search({"file": FILE_KEY, "other": ENV_KEY}, files_under(tmp_path))
        assert ("file", form, str(tmp_path / "planted")) in found and {f[0] for f in found} == {"file"}
    for before in ("", "x", "xy"):
        text = base64.b64encode(f"{before}{FILE_KEY}yz".encode())
        assert search({"file": FILE_KEY}, {"basic": text}), "base64 in the middle of other text"


def ask_in_every_way(server, key):
    """Rightly and wrongly; what comes back."""
    raw = json.dumps(BODY).encode()
    quoted = urllib.parse.quote(key, safe="")
    headers = [
        [("authorization", f"Bearer {key}")],
        [("x-api-key", key)],
        [("api-key", key)],
        [("x-goog-api-key", key)],
        [("authorization", f"Basic {base64.b64encode(key.encode()).decode()}")],
        [("authorization", f"Bearer {key}"), ("x-api-key", WRONG_KEY)],
        [("authorization", f"Bearer {key} x")],
        [("authorization", f"Bearer {key}"), (key, "x")],
    ]
    answers = []
    for extra in headers:
        answers.append(server.ask("POST", CHAT, [("content-type", "application/json"), *extra], raw, key=None))
    bodies = [
        {"model": "up/mock:status=401"},
        {"model": "up/mock:status=500"},
        {"model": "gone/mock"},
        {"model": "nobody"},
        {"model": "up/mock:cut@1", "stream": True},
        {"stream": "no"},
    ]
    for change in bodies:
        with server.connect() as c:
            body = json.dumps({**BODY, **change}).encode()
            head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n"
            c.send(f"{head}authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
            answers.append(c.to_end())
    answers.append(server.ask("GET", f"/v1/models?key={quoted}", key=None))
    answers.append(server.ask("POST", f"/v1beta/models/mock:generateContent?key={quoted}", body=b"{}", key=None))
    answers.append(server.ask("POST", CHAT, [("content-type", "application/json")], b"not JSON", key=key))
    return answers


def bytes_of(answer):
    return answer if isinstance(answer, bytes) else answer.head + answer.body


def test_secrets__nowhere(own, mock, tmp_path):
    mock.reset()  # what other tests have sent may hold anything
    created = json.loads(cli(own, "key", "create", "--name", "made", "--output", "json").stdout)["key"]
    (tmp_path / "import.txt").write_text(f"{IMPORTED_KEY} imported\n")
    assert cli(own, "key", "import", str(tmp_path / "import.txt")).returncode == 0
    pepper = (tmp_path / "pepper").read_bytes()
    assert len(pepper) >= 32
    keys = {"file": FILE_KEY, "environment": ENV_KEY, "imported": IMPORTED_KEY, "created": created}
    secrets = {**keys, "provider": PROVIDER_KEY, "wrong": WRONG_KEY, "pepper": pepper}
    assert {f[0] for f in search(secrets, {"the test": repr(secrets).encode() + pepper})} == set(secrets)
    places, good = {}, 0
    for name, key in {**keys, "wrong": WRONG_KEY}.items():
        for i, answer in enumerate(ask_in_every_way(own, key)):
            places[f"answer {i} to the {name} key"] = bytes_of(answer)
            good += getattr(answer, "status", 0) == 200
    assert good >= 16, "the planted keys work"
    # The provider's key went where it belongs, and no client's went there.
    log = json.dumps(mock.log()).encode()
    assert PROVIDER_KEY.encode() in log
    assert not search(keys, {"what the provider was sent": log})
    for words in (["key", "list"], ["team", "show", "default"], ["usage", "--by", "key"], ["audit", "tail"]):
        done = cli(own, *words)
        assert done.returncode == 0, done
        places[" ".join(words)] = done.stdout + done.stderr
    places["metrics"] = own.metrics_text().body
    places["health"] = bytes_of(own.ask("GET", "/health/ready", key=None))
    places |= environments(own.pid)
    own.stop()
    own.restart()
    places["standard output and error"] = own.out() + own.err()
    places["access log"] = (tmp_path / "access.log").read_bytes()
    assert places["access log"].count(b"\n") > 40
    data = files_under(tmp_path / "data")
    assert any(p.endswith("data.mdb") for p in data)
    assert not search(secrets, places | data)


def test_check__explains_without_secrets(own):
    secrets = {"file": FILE_KEY, "environment": ENV_KEY, "provider": PROVIDER_KEY}
    for words in (["check"], ["check", "--explain"], ["doctor"]):
        done = cli(own, *words)
        assert not search(secrets, {" ".join(words): done.stdout + done.stderr})


# --- Core files.

PATTERN = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()


@pytest.fixture
def dumped(launch, backend, mock, tmp_path):
    """A function: a gateway with planted keys is asked for this and that and aborted; what its core file holds."""

    def run(**variables):
        if "/" in PATTERN or PATTERN.startswith("|"):
            pytest.skip(f"core files go to {PATTERN!r} on this machine: NOT TESTED")
        if servers.sanitised():
            pytest.skip("a sanitizer's shadow memory makes cores of terabytes: NOT TESTED")
        folder = tmp_path / f"core-{len(variables)}"
        folder.mkdir()
        script = 'ulimit -c unlimited || exit 9; cd "$0" && exec "$@"'
        server = launch(
            backend,
            prefix=("sh", "-c", script, str(folder)),
            env={**environment(), **variables},
            data_dir=str(folder / "data"),
            pepper_file=str(folder / "pepper"),
            keys=[{"name": "file", "key": FILE_KEY}, {"name": "env", "key": "${PLANTED_KEY}"}],
            providers={
                "up": {
                    "type": "openai",
                    "api_key": "${PLANTED_PROVIDER_KEY}",
                    "base_url": f"http://127.0.0.1:{mock.port}/v1",
                }
            },
        )
        for key in (FILE_KEY, ENV_KEY, WRONG_KEY):
            ask_in_every_way(server, key)
        held = server.connect()  # an idle connection, its request seen
        body = json.dumps({**BODY, "user": IMPORTED_KEY}).encode()
        assert held.ask("POST", CHAT, [("authorization", f"Bearer {FILE_KEY}")], body).status == 200
        server.expect_death = True
        server.signal(signal.SIGABRT)
        assert server.child.wait(60) == -signal.SIGABRT
        cores = list(folder.glob("core*"))
        assert len(cores) == 1, f"no core file in {list(folder.iterdir())}"
        return cores[0].read_bytes(), (folder / "pepper").read_bytes()

    return run


def test_core__holds_no_secret(dumped):
    core, pepper = dumped()
    assert core.startswith(b"\x7fELF")
    secrets = {"file": FILE_KEY, "environment": ENV_KEY, "provider": PROVIDER_KEY, "wrong": WRONG_KEY}
    secrets |= {"body": IMPORTED_KEY, "pepper": pepper}
    assert not search(secrets, {"core": core})


def test_core__the_search_would_find_them(dumped):
    """With all of the memory they are there."""
    core, _ = dumped(RINGWAY_CORE="full")
    found = {f[0] for f in search({"file": FILE_KEY, "environment": ENV_KEY, "provider": PROVIDER_KEY}, {"core": core})}
    assert found == {"file", "environment", "provider"}


def test_core__of_a_running_process(own, tmp_path):
    """As an administrator takes one."""
    if not shutil.which("gcore"):
        pytest.skip("there is no gcore on this machine: NOT TESTED")
    for key in (FILE_KEY, ENV_KEY):
        ask_in_every_way(own, key)
    done = subprocess.run(["gcore", "-o", str(tmp_path / "core"), str(own.pid)], capture_output=True, timeout=100)
    cores = list(tmp_path.glob("core.*"))
    if not cores:
        pytest.skip(f"gcore may not look at processes here: NOT TESTED ({done.stderr[-200:]!r})")
    secrets = {"file": FILE_KEY, "environment": ENV_KEY, "provider": PROVIDER_KEY}
    assert not search(secrets, {"core": cores[0].read_bytes()})
