"""Goal: providers are reached through an egress proxy: with CONNECT for https, with the whole address in the request line
for http; the proxy's refusals are told apart from the provider's; its password is shown nowhere.

Method: a small proxy that knows names which nobody else knows, so that an answer proves the way it came.
"""

import json
import os
import signal
import subprocess

import pytest

import proxy
import servers
import tlslab

CHAT = "/v1/chat/completions"
SECRET = "pr0xy-p%40ss-word"  # with an '@' in it, percent-encoded
PLAIN = "egress:pr0xy-p@ss-word"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    made = tlslab.Lab(tmp_path_factory.mktemp("tls"))
    made.issue("provider", ["api.provider.test"])
    return made


@pytest.fixture(scope="module")
def front(lab, mock):
    made = tlslab.Front(lab, mock.port, lab.path("provider.pem"), lab.path("provider.key"))
    yield made
    made.stop()


@pytest.fixture
def start_proxy(front, mock):
    made = []

    def start(**more):
        hosts = {"api.provider.test:443": front.port, "plain.provider.test": mock.port, "plain.provider.test:81": 1}
        made.append(proxy.Proxy(hosts, **more))
        return made[-1]

    yield start
    for p in made:
        p.stop()


def secure(lab, **more):
    return {"type": "openai", "base_url": "https://api.provider.test/v1", "ca_file": str(lab.ca),
            "api_key": servers.UPSTREAM_KEY, **more}  # fmt: skip


def plain(**more):
    return {"type": "openai", "base_url": "http://plain.provider.test/v1", "api_key": servers.UPSTREAM_KEY, **more}


def chat(gateway, model="up/mock", stream=False):
    body = {"model": model, "messages": [{"role": "user", "content": "a"}], **({"stream": True} if stream else {})}
    return gateway.post(CHAT, body)


def at(p, user=""):
    return f"http://{user}127.0.0.1:{p.port}"


def start(launch, backend, providers, **more):
    return launch(backend, providers=providers, models=[], workers=1, **more)


def test_https__by_connect_with_a_password_that_nobody_sees(launch, backend, lab, start_proxy):
    p = start_proxy(user=PLAIN)
    gateway = start(launch, backend, {"up": secure(lab, proxy=at(p, f"egress:{SECRET}@"))}, log={"level": "debug"})
    assert chat(gateway).status == 200
    streamed = chat(gateway, "up/mock:chunks=5", stream=True)
    assert streamed.status == 200 and streamed.body.rstrip().endswith(b"[DONE]")
    # Nothing in a tunnel can be read by the proxy. There are two if the second request came before the first had given its back.
    assert len(p.asked) <= 2 and {a[:2] for a in p.asked} == {("CONNECT", "api.provider.test:443")}
    assert p.asked[0][2]["host"] == "api.provider.test:443"
    assert servers.UPSTREAM_KEY.encode() not in p.carried and b"messages" not in p.carried
    explained = subprocess.run(
        [servers.RINGWAY, "check", "--explain", "--config", gateway.config_path], capture_output=True, text=True
    )
    assert "providers.up.proxy" in explained.stdout, explained
    said = explained.stdout + explained.stderr + gateway.said() + gateway.metrics_text().body.decode()
    for word in ("pr0xy-p", p.wanted.split()[1]):
        assert word not in said


def test_https__an_answer_to_connect_in_pieces(launch, backend, lab, start_proxy):
    gateway = start(launch, backend, {"up": secure(lab, proxy=at(start_proxy(how="slow")))})
    assert chat(gateway).status == 200


def test_http__the_whole_address_in_the_request_line(launch, backend, start_proxy, mock, tag):
    """The proxy of the top level. Connections to it are kept, and the provider does not see its password."""
    p = start_proxy(user=PLAIN)
    gateway = start(launch, backend, {"up": plain()}, proxy=at(p, f"egress:{SECRET}@"))
    for _ in range(2):
        assert chat(gateway, f"up/mock:tag={tag}").status == 200
    assert [a[:2] for a in p.asked] == [("POST", "http://plain.provider.test/v1/chat/completions")] * 2
    assert len(p.open) == 1
    for entry in mock.log(tag):
        fields = {n.lower(): v for n, v in entry["headers"]}
        assert fields["host"] == "plain.provider.test" and "proxy-authorization" not in fields


def test_environment__https_proxy_and_no_proxy(launch, backend, lab, start_proxy, mock):
    p = start_proxy()
    env = {**os.environ, "HTTPS_PROXY": f"127.0.0.1:{p.port}", "http_proxy": at(p), "NO_PROXY": "other.test, .never.test"}
    local = {"type": "openai", "base_url": f"http://127.0.0.1:{mock.port}/v1"}
    never = {"type": "openai", "base_url": "http://x.never.test/v1"}
    providers = {"up": secure(lab), "plain": plain(), "local": local, "never": never, "off": plain(proxy="off")}
    gateway = start(launch, backend, providers, env=env)
    assert chat(gateway).status == 200
    assert chat(gateway, "plain/mock").status == 200
    assert [a[0] for a in p.asked] == ["CONNECT", "POST"]
    # Straight: what is here, what NO_PROXY names (a name that nobody else knows), what is told off.
    assert chat(gateway, "local/mock").status == 200
    for name in ("never", "off"):
        answer = chat(gateway, f"{name}/mock")
        assert answer.status == 502 and "proxy" not in answer.body.decode()
    assert len(p.asked) == 2


REFUSALS = {
    "407": ({"user": PLAIN}, "credentials"),
    "403": ({"refuse": 403}, "forbid"),
    "405": ({"refuse": 405}, "CONNECT"),
    "502": ({"refuse": 502}, "cannot reach"),
    "504": ({"refuse": 504}, "in time"),
    "302": ({"refuse": 302}, "refused"),
    "close": ({"how": "close"}, "closed the connection"),
    "garbage": ({"how": "garbage"}, "HTTP proxy"),
    "silent": ({"how": "silent"}, "timeouts.connect"),
}


def test_refused__by_the_proxy_not_the_provider(launch, backend, lab, start_proxy):
    providers = {}
    for name, (more, _) in REFUSALS.items():
        providers[f"p{name}"] = secure(lab, proxy=at(start_proxy(**more)), timeouts={"connect": "500ms"})
    providers["nobody"] = secure(lab, proxy=f"http://127.0.0.1:{servers.free_port()}")
    gateway = start(launch, backend, providers)
    for name, word in [*((f"p{n}", w) for n, (_, w) in REFUSALS.items()), ("nobody", "was refused")]:
        answer = chat(gateway, f"{name}/mock")
        text = answer.body.decode()
        assert answer.status == 502 and "egress proxy" in text and word in text, (name, answer)
        assert gateway.access_line(answer.header("x-request-id"))["end"] == "upstream_proxy"
    counted = [line for line in gateway.metrics_text().body.decode().splitlines() if 'end="upstream_proxy"' in line]
    assert sum(int(line.split()[-1]) for line in counted) == len(REFUSALS) + 1, counted


def test_refused__a_password_that_http_wants(launch, backend, start_proxy):
    gateway = start(launch, backend, {"up": plain(proxy=at(start_proxy(user=PLAIN), "egress:wrong@"))})
    answer = chat(gateway)
    assert answer.status == 502 and "egress proxy" in answer.body.decode() and "407" in answer.body.decode(), answer


def test_refused__by_the_provider_through_the_proxy(launch, backend, lab, start_proxy):
    """What the provider says stays what the provider says."""
    gateway = start(launch, backend, {"up": secure(lab, proxy=at(start_proxy()))})
    answer = chat(gateway, "up/mock:status=403")
    assert answer.status == 502 and "proxy" not in answer.body.decode(), answer
    assert gateway.access_line(answer.header("x-request-id"))["end"] == "upstream_auth"


def test_pools__one_for_each_way(launch, backend, lab, start_proxy):
    """A tunnel that one provider's credentials opened is not lent to another's; a reload leads elsewhere."""
    one, other = start_proxy(), start_proxy()
    providers = {
        "a": secure(lab, proxy=at(one, "a:1@")),
        "b": secure(lab, proxy=at(one, "b:1@")),
        "c": secure(lab, proxy=at(other)),
    }
    gateway = start(launch, backend, providers)
    for name in "aabbcc":
        assert chat(gateway, f"{name}/mock").status == 200
    assert len({a[2]["proxy-authorization"] for a in one.asked}) == 2 and len(one.asked) == 2
    assert len(other.asked) == 1
    gateway.config["providers"]["a"]["proxy"] = at(other)
    gateway.write_config()
    gateway.signal(signal.SIGHUP)
    servers.wait_for(lambda: b"configuration loaded" in gateway.err(), 5, "reload")
    assert chat(gateway, "a/mock").status == 200
    assert len(one.asked) == 2


BAD = [
    ({"proxy": "socks5://x:1"}, "only http://"),
    ({"proxy": "proxy.test:3128"}, "must begin with http://"),
    ({"proxy": "http://hidden@proxy.test:3128"}, "without a password"),
    ({"proxy": "http://proxy.test:3128/path"}, "no path"),
    ({"proxy": "http://proxy.test:3128", "connect_to": "127.0.0.1:1"}, "contradict"),
]


@pytest.mark.parametrize("more, word", BAD)
def test_check__says_what_is_wrong(tmp_path, more, word):
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps({"providers": {"up": plain(**more)}}))
    done = subprocess.run([servers.RINGWAY, "check", "--config", path], capture_output=True, text=True)
    assert done.returncode == 2 and word in done.stderr and "hidden" not in done.stderr, done.stderr


def test_check__a_variable_that_cannot_be_used(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps({"providers": {"up": plain()}}))
    env = {**os.environ, "HTTP_PROXY": "socks5://hidden:word@x:1"}
    done = subprocess.run([servers.RINGWAY, "check", "--config", path], capture_output=True, text=True, env=env)
    assert done.returncode == 2 and "HTTP_PROXY" in done.stderr and "hidden" not in done.stderr, done.stderr


def test_tls_check__through_the_proxy(tmp_path, lab, start_proxy):
    path = tmp_path / "c.yaml"
    for p, status, word in ((start_proxy(user="u:p"), 0, "through"), (start_proxy(refuse=403), 1, "forbid")):
        path.write_text(json.dumps({"providers": {"up": secure(lab, proxy=at(p, "u:p@"))}}))
        done = subprocess.run(
            [servers.RINGWAY, "tls-check", "up", "--config", path], capture_output=True, text=True, timeout=20
        )
        assert done.returncode == status and word in done.stdout + done.stderr, done
