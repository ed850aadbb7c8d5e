"""Goal: the admin API as its description says, by both doors: versions (ETag, If-Match), PUT said twice, paging, errors with
field and mend; over TCP with the token only, and by TLS
where that is set; every operation of /openapi.json called by schemathesis without a failure.

Method: the real binary; raw requests over the unix socket and TCP, Python's ssl for https; schemathesis with a fixed seed, its report read back.
"""

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import sys

import pytest

import rawhttp
import servers
import tlslab

TOKEN = "admin-token-0123456789abcdef"
V1 = "/admin/v1"
SECONDS = 30


def CONFIG(folder):
    return {"admin": {"address": f"127.0.0.1:{servers.free_port()}", "token": TOKEN}, "cors": {"origins": ["*"]}}


def door(gateway):
    host, _, port = gateway.config["admin"]["address"].rpartition(":")
    return (host, int(port))


def call(gateway, method, target, body=None, headers=(), token=TOKEN):
    fields = [("content-type", "application/json"), *headers]
    if token:
        fields.append(("authorization", f"Bearer {token}"))
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    with rawhttp.Connection(door(gateway)) as c:
        return c.ask(method, target, fields, data)


def error(answer, status):
    assert answer.status == status, answer
    e = answer.json()["error"]
    assert e["type"] == "gateway_error" and e["code"] == status and e["message"]
    return e


def test_tcp__only_with_the_token(gateway):
    assert "token" in error(call(gateway, "GET", f"{V1}/keys", token=None), 401)["mend"]
    assert error(call(gateway, "GET", f"{V1}/keys", token=servers.KEY), 401)
    assert error(call(gateway, "GET", "/nothing", token=TOKEN[:-1]), 401)
    assert call(gateway, "GET", f"{V1}/keys").status == 200
    with rawhttp.Connection(door(gateway)) as c:
        assert c.ask("GET", f"{V1}/keys", [("x-api-key", TOKEN)]).status == 200
    # What it describes is no secret.
    assert call(gateway, "GET", "/openapi.json", token=None).json()["openapi"] == "3.1.0"
    # The client port knows nothing of it.
    assert gateway.ask("GET", f"{V1}/keys", key=TOKEN).status in (401, 404)


def test_tcp__closed_without_a_token(launch, backend):
    own = launch(backend, admin={"address": f"127.0.0.1:{servers.free_port()}"})
    said = error(call(own, "GET", f"{V1}/keys", token=None), 403)
    assert "admin.token" in said["mend"]
    # The socket does not ask for one; a token that comes with a reload opens the door.
    with rawhttp.Connection(own.config["admin"]["socket"]) as c:
        assert c.ask("GET", f"{V1}/keys").status == 200
        own.config["admin"]["token"] = TOKEN
        own.write_config()
        assert c.ask("POST", f"{V1}/reload").json()["generation"] == 2
    assert call(own, "GET", f"{V1}/keys").status == 200


# --- TLS.


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    made = tlslab.Lab(tmp_path_factory.mktemp("tls-admin"))
    made.issue("admin", ["127.0.0.1"])
    made.issue("renewed", ["127.0.0.1"])
    made.root("client-ca")
    made.issue("operator", ["operator"], ca="client-ca", usage="clientAuth")
    made.issue("stranger", ["stranger"], usage="clientAuth")
    return made


def serial(lab, name):
    return int(tlslab.openssl("x509", "-in", lab.path(f"{name}.pem"), "-noout", "-serial").split(b"=")[1], 16)


def https(own, lab, identity=None, token=TOKEN):
    """(status, serial number of the server's certificate) of a call by TLS, on a connection of its own."""
    context = ssl.create_default_context(cafile=lab.ca)
    if identity:
        context.load_cert_chain(lab.path(f"{identity}.pem"), lab.path(f"{identity}.key"))
    with contextlib.closing(http.client.HTTPSConnection(*door(own), timeout=10, context=context)) as c:
        c.request("GET", f"{V1}/status", headers={"authorization": f"Bearer {token}"} if token else {})
        answer = c.getresponse()
        shown = int(c.sock.getpeercert()["serialNumber"], 16)
        assert answer.read()
        return answer.status, shown


def nothing_over_plain(own):
    with pytest.raises((rawhttp.BadAnswer, OSError)):
        call(own, "GET", f"{V1}/status")


@pytest.fixture
def secure(launch, backend, lab, tmp_path):
    """A server whose admin listener has the certificate `admin`, in files that can be replaced."""
    for end in ("pem", "key"):
        shutil.copy(lab.path(f"admin.{end}"), tmp_path / f"now.{end}")
    tls = {"certificate": str(tmp_path / "now.pem"), "key": str(tmp_path / "now.key")}

    def start(**more):
        address = f"127.0.0.1:{servers.free_port()}"
        return launch(backend, admin={"address": address, "token": TOKEN, "tls": {**tls, **more}})

    return start


def test_tls__and_nothing_else(secure, lab, tmp_path):
    own = secure()
    assert https(own, lab) == (200, serial(lab, "admin"))
    assert https(own, lab, token=None)[0] == 401 and https(own, lab, token=TOKEN[:-1])[0] == 401
    nothing_over_plain(own)
    # The command line goes by the socket.
    with rawhttp.Connection(own.config["admin"]["socket"]) as c:
        assert c.ask("GET", f"{V1}/status").status == 200
    assert f"administration on https://{own.config['admin']['address']}" in own.said()
    assert f'ringway_certificate_expires_timestamp_seconds{{file="{str(tmp_path / "now.pem")[-128:]}"}}' in (
        own.metrics_text().body.decode()
    )


def test_tls__follows_its_file_and_the_configuration(secure, lab, tmp_path):
    own = secure()
    assert https(own, lab)[1] == serial(lab, "admin")
    for end in ("pem", "key"):
        shutil.copy(lab.path(f"renewed.{end}"), tmp_path / f"new.{end}")
        os.replace(tmp_path / f"new.{end}", tmp_path / f"now.{end}")
    servers.wait_for(lambda: https(own, lab)[1] == serial(lab, "renewed"), 10, "the new certificate", pause=0.2)
    tls = own.config["admin"].pop("tls")
    with rawhttp.Connection(own.config["admin"]["socket"]) as c:

        def reload():
            own.write_config()
            return c.ask("POST", f"{V1}/reload").status

        assert reload() == 200
        assert call(own, "GET", f"{V1}/status").status == 200
        own.config["admin"]["tls"] = {**tls, "client_ca": tls["key"]}
        assert reload() == 409 and "admin.tls: client_ca" in own.said()
        assert call(own, "GET", f"{V1}/status").status == 200
        own.config["admin"]["tls"] = tls
        assert reload() == 200
    nothing_over_plain(own)
    assert https(own, lab)[0] == 200


def test_tls__a_client_certificate_and_the_token(secure, lab):
    own = secure(client_ca=str(lab.path("client-ca.pem")))
    assert https(own, lab, "operator")[0] == 200
    assert https(own, lab, "operator", token=None)[0] == 401
    for who in (None, "stranger"):
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.BadStatusLine)):
            https(own, lab, who)


def test_tls__check_reads_the_files(lab, tmp_path):
    path = tmp_path / "c.yaml"
    tls = {"certificate": str(lab.path("admin.pem")), "key": str(lab.path("renewed.key"))}
    path.write_text(json.dumps({"admin": {"tls": tls}}))
    done = subprocess.run([servers.RINGWAY, "check", "--config", path], capture_output=True, text=True)
    assert done.returncode == 2 and "admin.tls: certificate" in done.stderr, done.stderr


# --- Both doors.


def test_reload__a_bad_file_changes_nothing(launch, backend):
    own = launch(backend, admin={"address": f"127.0.0.1:{servers.free_port()}", "token": TOKEN})
    before = call(own, "GET", f"{V1}/status").json()
    assert before["generation"] == 1 and before["workers"] == 2 and before["config"] == str(own.config_path)
    own.write_config("listen: nonsense\n")
    said = error(call(own, "POST", f"{V1}/reload"), 409)
    assert "line 1" in said["message"] and "ringway check" in said["mend"]
    assert call(own, "GET", f"{V1}/status").json()["generation"] == 1


def test_versions__a_change_does_not_overwrite_what_it_has_not_seen(gateway):
    made = call(gateway, "PUT", f"{V1}/teams/versions", {"limits": {"rpm": 60}})
    assert made.status == 201
    first = made.header("etag")
    same = call(gateway, "PUT", f"{V1}/teams/versions", {"limits": {"rpm": 60}})
    assert (same.status, same.header("etag"), same.json()) == (200, first, made.json())
    assert call(gateway, "GET", f"{V1}/teams/versions", headers=[("if-none-match", f"W/{first}")]).status == 304
    changed = call(gateway, "PATCH", f"{V1}/teams/versions", {"limits": {"tpm": 5}}, [("if-match", f'"x", {first}')])
    assert changed.status == 200 and changed.json()["limits"] == {"rpm": 60, "tpm": 5}
    assert changed.header("etag") != first
    late = error(call(gateway, "PATCH", f"{V1}/teams/versions", {"limits": {"rpm": 1}}, [("if-match", first)]), 412)
    assert "read it again" in late["mend"]
    error(call(gateway, "DELETE", f"{V1}/teams/versions", headers=[("if-match", first)]), 412)
    error(call(gateway, "PUT", f"{V1}/teams/versions", {}, [("if-none-match", "*")]), 412)
    # PUT says what the record is, not what of it changes.
    assert call(gateway, "PUT", f"{V1}/teams/versions", {}).json()["limits"] == {}
    assert call(gateway, "DELETE", f"{V1}/teams/versions", headers=[("if-match", "*")]).json() == {"deleted": True}
    error(call(gateway, "GET", f"{V1}/teams/versions"), 404)


def test_put__a_key_is_made_and_shown_once(gateway):
    made = call(gateway, "PUT", f"{V1}/keys/terraform", {"limits": {"rpm": 60}})
    assert made.status == 201 and made.json()["key"].startswith("rw-")
    again = call(gateway, "PUT", f"{V1}/keys/terraform", {"limits": {"rpm": 60}, "team": "default"})
    assert again.status == 200 and "key" not in again.json() and again.json()["id"] == made.json()["id"]
    fixed = error(call(gateway, "PATCH", f"{V1}/keys/terraform", {"key": "another-text"}), 409)
    assert fixed["field"] == "key"
    rotated = call(gateway, "POST", f"{V1}/keys/terraform/rotate", {"overlap_hours": 1}, [("if-match", made.header("etag"))])
    assert rotated.status == 200 and rotated.json()["key"] != made.json()["key"]
    assert call(gateway, "POST", f"{V1}/keys/terraform/revoke").json()["revoked"] is True
    assert call(gateway, "DELETE", f"{V1}/keys/terraform").status == 200


def test_lists__pages(gateway):
    for i in range(5):
        assert call(gateway, "PUT", f"{V1}/plans/page-{i}", {}).status == 201
    names, after = [], 0
    while after is not None:
        page = call(gateway, "GET", f"{V1}/plans?limit=2&after={after}").json()
        assert len(page["data"]) <= 2
        names += [p["name"] for p in page["data"]]
        after = page["next"]
    assert names == ["staging", "production"] + [f"page-{i}" for i in range(5)]
    audit = call(gateway, "GET", f"{V1}/audit?limit=3").json()
    older = call(gateway, "GET", f"{V1}/audit?limit=3&before={audit['next']}").json()
    assert audit["data"][0]["actor"].startswith("admin token from 127.0.0.1")
    assert older["data"][0]["sequence"] == audit["data"][-1]["sequence"] - 1
    assert call(gateway, "GET", f"{V1}/audit/state").json()["whole"] is True
    rows, after = [], ""
    while after is not None:
        page = call(gateway, "GET", f"{V1}/prices?prefix=openai/&limit=20&after={after}").json()
        rows += [p["model"] for p in page["data"]]
        after = page["next"]
    assert len(rows) > 20 and rows == sorted(set(rows)) and all(r.startswith("openai/") for r in rows)


def test_errors__field_and_mend(gateway):
    cases = [
        ("POST", f"{V1}/teams", {"name": "t", "limits": {"rpm": "x"}}, 400, "limits.rpm"),
        ("POST", f"{V1}/teams", {}, 400, "name"),
        ("POST", f"{V1}/teams", {"name": "t", "cidrs": ["x"]}, 400, "x"),
        ("POST", f"{V1}/teams", {"name": "t", "tenant": "nobody"}, 404, "tenant"),
        ("POST", f"{V1}/teams", {"name": "t", "plan": "nothing"}, 404, "plan"),
        ("GET", f"{V1}/keys?limit=0", None, 400, "limit"),
        ("GET", f"{V1}/usage?group_by=weather", None, 400, "group_by"),
    ]
    for method, path, body, status, field in cases:
        said = error(call(gateway, method, path, body), status)
        assert said["field"] == field and said["mend"], (path, said)
    assert "one of GET, HEAD, POST" in error(call(gateway, "DELETE", f"{V1}/keys"), 405)["mend"]
    assert call(gateway, "DELETE", f"{V1}/keys").header("allow") == "GET, HEAD, POST"
    assert "openapi.json" in error(call(gateway, "GET", f"{V1}/nothing"), 404)["mend"]
    error(call(gateway, "POST", f"{V1}/teams", b"{"), 400)
    error(call(gateway, "POST", f"{V1}/teams", b'{"name":"' + b"x" * (1 << 20) + b'"}'), 413)


def test_limits__what_is_used(gateway):
    call(gateway, "PUT", f"{V1}/teams/metered", {"limits": {"rpm": 60}})
    key = call(gateway, "POST", f"{V1}/keys", {"team": "metered"}).json()["key"]
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
    assert gateway.post("/v1/chat/completions", body, key=key).status == 200
    rows = {r["name"]: r for r in call(gateway, "GET", f"{V1}/limits?kind=team").json()["data"]}
    assert [u["used"] for u in rows["metered"]["used"]] == [1] and "used" not in rows["default"]


@pytest.mark.timeout(6 * SECONDS)
def test_schemathesis__every_operation_and_no_failure(launch, tmp_path, backend):
    if backend == "io_uring":
        pytest.skip("once is enough: the API is the same on both")
    door = {"address": f"127.0.0.1:{servers.free_port()}", "token": TOKEN}
    own = launch(backend, admin=door, cache={"enabled": True})
    answer = own.post("/v1/chat/completions", {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]})
    request_id = answer.header("x-request-id")
    servers.wait_for(lambda: call(own, "GET", f"{V1}/explain/{request_id}").status == 200, 5, "the record")
    # What is called here need not be met by chance: bodies that name a team and a plan that there are.
    above = {("get", "/openapi.json")}
    for word in ("tenants", "teams", "plans", "keys"):
        assert call(own, "PUT", f"{V1}/{word}/1t", {}).status == 201
        assert call(own, "PATCH", f"{V1}/{word}/1t", {}).status == 200
        assert call(own, "POST", f"{V1}/{word}", {"name": "2t"}).status == 201
        above |= {("put", f"{V1}/{word}/{{id}}"), ("patch", f"{V1}/{word}/{{id}}"), ("post", f"{V1}/{word}")}
    # What no schema says: lists and names that are too long in bytes, limits that do not go together, a version that is gone.
    more = '"412", "413", "422"'
    (tmp_path / "st.toml").write_text(
        'continue-on-failure = true\n'
        '[phases.coverage]\nunexpected-methods = ["TRACE", "DELETE"]\n'
        "[checks]\n"
        f'positive_data_acceptance.expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", {more}]\n'
        f'negative_data_rejection.expected-statuses = ["400", "401", "403", "404", "405", "409", {more}]\n'
        + "".join(
            # What runs for keys runs for the others: a few examples are enough for those.
            f'[[operations]]\ninclude-operation-id = "{word}_{verb}"\nphases.coverage.enabled = false\n'
            for word in ("tenant", "team", "plan")
            for verb in ("create", "put", "change")
        )
        + "".join(
            f'[[operations]]\ninclude-name = "{name}"\nparameters = {{ id = "{value}" }}\n'
            for name, value in [
                (f"GET {V1}/explain/{{id}}", request_id),
                *[(f"GET {V1}/{w}s/{{id}}", "1t") for w in ("tenant", "team", "key", "plan")],
                (f"PATCH {V1}/keys/{{id}}", "1t"),
                *[(f"POST {V1}/keys/{{id}}/{verb}", "1t") for verb in ("rotate", "revoke")],
            ]
        )
    )
    (tmp_path / "rw_hooks.py").write_text(
        "import schemathesis\nfrom hypothesis import strategies as st\n"
        "schemathesis.openapi.format('cidr', st.sampled_from(['10.0.0.0/8', '2001:db8::/32', '192.168.1.7', '::/0']))\n"
    )
    url = f"http://{own.config['admin']['address']}/openapi.json"
    done = subprocess.run(
        [pathlib.Path(sys.executable).parent / "schemathesis", "--config-file", str(tmp_path / "st.toml"), "run", url]
        + ["-H", f"Authorization: Bearer {TOKEN}", "--max-examples", "2", "--seed", "7", "--phases", "coverage,fuzzing"]
        + ["--generation-database", "none", "--report", "har", "--report-har-path", str(tmp_path / "st.har"), "--no-color"],
        env={**os.environ, "SCHEMATHESIS_HOOKS": "rw_hooks", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=5 * SECONDS,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    description = call(own, "GET", "/openapi.json").json()
    missing = wanted(description) - succeeded(json.loads((tmp_path / "st.har").read_text()), description) - above
    assert not missing


def wanted(description):
    return {(method, path) for path, methods in description["paths"].items() for method in methods}


def succeeded(har, description):
    """The operations that were answered with success at least once."""
    seen = set()
    for entry in har["log"]["entries"]:
        if not 200 <= entry["response"]["status"] < 300:
            continue
        path = entry["request"]["url"].split("?")[0].split("/", 3)[3]
        words = ("/" + path).split("/")
        for template in description["paths"]:
            parts = template.split("/")
            if len(parts) == len(words) and all(p in ("{id}", w) for p, w in zip(parts, words)):
                seen.add((entry["request"]["method"].lower(), template))
    return seen
