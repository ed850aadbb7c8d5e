"""Who hands out credentials in the clouds, in one process: Google's token endpoint, token exchange and metadata server, AWS's
container endpoint and EC2's metadata service (IMDSv2), each as its documentation has it and as strict.

Everything that was handed out is remembered with its end: valid() says whether it may still be used.
"""

import base64
import http.server
import itertools
import json
import pathlib
import threading
import time
import urllib.parse

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

KEY_FILE = pathlib.Path(__file__).resolve().parents[1] / "data/jwt/rsa.key"
EMAIL = "gateway@my-project.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def unpad(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, value, content_type="application/json"):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_one(self, method):
        cloud = self.server
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        path, _, query = self.path.partition("?")
        cloud.asked.append(f"{method} {path}")
        if cloud.failing:
            return self.answer(503, {"error": "unavailable", "error_description": "try again"})
        form = dict(urllib.parse.parse_qsl(body.decode(), strict_parsing=True)) if body else {}
        route = getattr(cloud, ("put" if method == "PUT" else "serve") + path.replace("/", "_").replace("-", "_").replace(".", "_"), None)
        try:
            assert route, path
            status, value = route(self.headers, form or dict(urllib.parse.parse_qsl(query)))
        except (AssertionError, KeyError, ValueError) as e:
            cloud.refused.append(f"{path}: {e!r}")
            status, value = 400, {"error": "invalid_grant", "error_description": f"{e!r}"}
        self.answer(status, value)

    def do_GET(self):
        self.handle_one("GET")

    def do_POST(self):
        self.handle_one("POST")

    def do_PUT(self):
        self.handle_one("PUT")


class AwsKeys:
    """What requests may be signed with now, for sigv4_check.problem()."""

    def __init__(self, cloud):
        self.cloud, self.more = cloud, {}

    def __contains__(self, access):
        return access in self.more or self.cloud.valid(access)

    def __getitem__(self, access):
        return self.more.get(access) or (f"secret/{access}", f"session={access}")


class Cloud(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]
        self.asked, self.refused, self.ends = [], [], {}
        self.aws, self.container_token = AwsKeys(self), "Basic c2VjcmV0"
        self.lifetime, self.failing, self.number = 3600, False, itertools.count(1)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def token(self, kind):
        name = f"{kind}-{next(self.number)}"
        self.ends[name] = time.time() + self.lifetime
        return name

    def valid(self, token):
        return self.ends.get(token, 0) > time.time()

    def bearer(self, kind):
        return 200, {"access_token": self.token(kind), "expires_in": self.lifetime, "token_type": "Bearer"}

    # --- Google.

    def service_account(self, path, **more):
        """The file of an account whose tokens are had here."""
        value = {
            "type": "service_account", "project_id": "my-project", "private_key_id": "k1", "private_key": KEY_FILE.read_text(),
            "client_email": EMAIL, "token_uri": self.url + "/google/token", **more,
        }  # fmt: skip
        path.write_text(json.dumps(value))
        return str(path)

    def serve_google_token(self, headers, form):
        if form["grant_type"] == "refresh_token":
            assert (form["client_id"], form["client_secret"], form["refresh_token"]) == ("id", "s&=", "1//r")
            return self.bearer("user")
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        head, claims, signature = form["assertion"].split(".")
        key = serialization.load_pem_private_key(KEY_FILE.read_bytes(), None).public_key()
        key.verify(unpad(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
        assert json.loads(unpad(head)) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
        said = json.loads(unpad(claims))
        assert (said["iss"], said["scope"], said["aud"]) == (EMAIL, SCOPE, self.url + "/google/token")
        assert abs(said["iat"] - time.time()) < 60 and said["exp"] == said["iat"] + 3600
        return self.bearer("google")

    def serve_google_sts(self, headers, form):
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange" and form["scope"] == SCOPE
        assert form["audience"] == "//iam/pool" and form["subject_token"] == "other issuer's token"
        assert form["subject_token_type"] == "urn:ietf:params:oauth:token-type:jwt"
        return self.bearer("workload")

    def serve_computeMetadata_v1_instance_service_accounts_default_token(self, headers, form):
        assert headers["metadata-flavor"] == "Google"
        return self.bearer("metadata")

    # --- AWS.

    def keys(self, kind, **more):
        access = "ASIA" + kind.upper() + str(next(self.number))
        self.ends[access] = int(time.time() + self.lifetime)
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.ends[access]))
        secret, token = f"secret/{access}", f"session={access}"
        return 200, {"AccessKeyId": access, "SecretAccessKey": secret, "Token": token, "Expiration": end, **more}

    def serve_container(self, headers, form):
        assert headers["authorization"] == self.container_token
        return self.keys("container", RoleArn="arn:aws:iam::1:role/task")

    def put_latest_api_token(self, headers, form):
        assert 1 <= int(headers["x-aws-ec2-metadata-token-ttl-seconds"]) <= 21600
        return 200, b"session-of-imds=="

    def serve_latest_meta_data_iam_security_credentials_(self, headers, form):
        assert headers["x-aws-ec2-metadata-token"] == "session-of-imds=="
        return 200, b"my-role\n"

    def serve_latest_meta_data_iam_security_credentials_my_role(self, headers, form):
        assert headers["x-aws-ec2-metadata-token"] == "session-of-imds=="
        return self.keys("machine", Code="Success", Type="AWS-HMAC", LastUpdated="2026-01-01T00:00:00Z")
