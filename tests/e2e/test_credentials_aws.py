"""Goal: without keys in the configuration, Bedrock's requests are signed with those that AWS's own tools would find: environment,
profile files, container endpoint, metadata service, in that order; those that expire are renewed in time.

Method: a gateway for each environment. tests/lib/cloud.py stands in for what AWS hands keys out from, tests/lib/dialect_mock.py
checks every signature and takes only keys that are still good.
"""

import os
import time

import pytest

import cloud as clouds
import dialect_mock
import servers

SAY = [{"role": "user", "content": "Greet me from Zürich."}]
CHAT = "/v1/chat/completions"
FIXED = {"AKIDENV": ("e/1", None), "AKIDSESSION": ("e/2", "tok=="), "AKIDPROFILE": ("p/1", "ptok=="), "AKIDCONFIG": ("c/1", None)}


@pytest.fixture(scope="module")
def cloud():
    server = clouds.Cloud()
    server.aws.more = FIXED
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def providers(cloud):
    server = dialect_mock.DialectMock()
    server.aws = cloud.aws
    yield server
    server.shutdown()


@pytest.fixture(autouse=True)
def fresh(providers, cloud):
    providers.take()
    providers.refused.clear()
    cloud.refused.clear()
    cloud.asked.clear()
    cloud.failing, cloud.lifetime = False, 3600


@pytest.fixture
def start(tmp_path, providers, backend):
    """Starts the gateway in an environment that has nothing of AWS's but what is given."""
    if backend != "io_uring":
        pytest.skip("a server for each environment; nothing in it depends on the back end")
    running = []

    def begin(**variables):
        (tmp_path / ".aws").mkdir(exist_ok=True)
        env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        env |= {"HOME": str(tmp_path), "AWS_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true", **variables}
        provider = {"type": "bedrock", "base_url": f"http://127.0.0.1:{providers.port}"}
        config = servers.plain_config(1, backend, providers={"aws": provider}, models=[])
        running.append(servers.Gateway(tmp_path, config, f"aws-{len(running)}", env=env))
        return running[-1]

    yield begin
    for server in running:
        server.stop()
        assert not server.complaint_of_the_end(), server.complaint_of_the_end()


def ask(server):
    answer = server.post(CHAT, {"model": "aws/text", "messages": SAY})
    return answer.status, answer.json().get("error", {}).get("code")


def key_of(providers):
    return providers.take()[-1]["headers"]["authorization"].split("Credential=")[1].split("/")[0]


ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "e/1"}
CREDENTIALS = """[default]
aws_access_key_id = AKIDWRONG
aws_secret_access_key = no
[team]
aws_access_key_id=AKIDPROFILE
aws_secret_access_key = p/1  # of ours
aws_session_token = ptok==
"""
CONFIG = "[default]\nregion = us-east-1\n[profile other]\naws_access_key_id = AKIDCONFIG\naws_secret_access_key = c/1\n"


@pytest.mark.parametrize(
    ("variables", "key"),
    [
        (ENVIRONMENT, "AKIDENV"),
        ({"AWS_ACCESS_KEY_ID": "AKIDSESSION", "AWS_SECRET_ACCESS_KEY": "e/2", "AWS_SESSION_TOKEN": "tok=="}, "AKIDSESSION"),
        ({"AWS_PROFILE": "team"}, "AKIDPROFILE"),
        ({"AWS_PROFILE": "other"}, "AKIDCONFIG"),
        ({"AWS_PROFILE": "team", **ENVIRONMENT}, "AKIDENV"),
    ],
    ids=["environment", "session", "profile", "config", "order"],
)
def test_fixed_keys(start, providers, tmp_path, variables, key):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(CREDENTIALS)
    (tmp_path / ".aws/config").write_text(CONFIG)
    server = start(**variables)
    assert ask(server) == (200, None), (server.said(), providers.refused)
    assert key_of(providers) == key and not providers.refused


@pytest.mark.parametrize("by", ["token", "file"])
def test_container(start, providers, cloud, tmp_path, by):
    """A profile without keys leaves the word to the container."""
    (tmp_path / "token").write_text(cloud.container_token + "\n")
    (tmp_path / "config").write_text(CONFIG)
    token = {"token": {"AWS_CONTAINER_AUTHORIZATION_TOKEN": cloud.container_token},
             "file": {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token")}}  # fmt: skip
    server = start(AWS_CONTAINER_CREDENTIALS_FULL_URI=cloud.url + "/container", AWS_CONFIG_FILE="~/config", **token[by])
    assert ask(server) == (200, None), (server.said(), cloud.refused, providers.refused)
    assert key_of(providers).startswith("ASIACONTAINER") and cloud.asked == ["GET /container"]
    assert server.metrics().value("ringway_credential_expires_timestamp_seconds", provider="aws") > time.time() + 3500


def test_metadata__expiry_in_the_middle_of_a_run(start, providers, cloud):
    """Keys live for two to three seconds: none that has ended ever signs. Then the service fails: the last is used to its end."""
    cloud.lifetime = 3
    server = start(AWS_EC2_METADATA_DISABLED="false", AWS_EC2_METADATA_SERVICE_ENDPOINT=cloud.url + "/")
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        assert ask(server) == (200, None), (server.said(), cloud.refused, providers.refused)
        time.sleep(0.02)
    used = {r["headers"]["authorization"].split("/")[0] for r in providers.take()}
    assert len(used) >= 2 and not providers.refused and not cloud.refused
    assert cloud.asked[0] == "PUT /latest/api/token"
    cloud.failing = True
    asked = len(cloud.asked)
    servers.wait_for(lambda: len(cloud.asked) > asked, 3, "a renewal that fails")
    assert ask(server) == (200, None)
    servers.wait_for(lambda: ask(server) == (502, "no_credentials"), 4, "the end of the last keys")
    assert b"cannot be renewed" in server.err() and b"answered 503" in server.err()
    cloud.failing = False
    servers.wait_for(lambda: ask(server) == (200, None), 8, "keys again")
    assert b"were renewed" in server.err() and not providers.refused


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, b"found no AWS_ACCESS_KEY_ID, no keys of profile default in ~/.aws, no AWS_CONTAINER_CREDENTIALS_*_URI; EC2's "
             b"metadata service: turned off by AWS_EC2_METADATA_DISABLED. Set one of them, or access_key_id or api_key of the"),
        ({"AWS_ACCESS_KEY_ID": "A"}, b"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together"),
        ({"AWS_PROFILE": "nobody"}, b"AWS_PROFILE names nobody, which is not in ~/.aws/credentials"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/x"}, b"http:// is for loopback and the addresses of ECS and EKS"),
    ],
    ids=["nothing", "half", "profile", "address"],
)  # fmt: skip
def test_none(start, providers, variables, said):
    server = start(**variables)
    assert ask(server) == (502, "no_credentials") and not providers.take()
    assert said in server.err(), server.err()
