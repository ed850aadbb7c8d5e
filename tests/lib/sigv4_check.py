"""AWS Signature Version 4 as who receives a request checks it: written from AWS's description alone, so that it shares nothing with
the signer under test."""

import hashlib
import hmac
import re
import urllib.parse

FORM = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)


def quote(text):
    return urllib.parse.quote(text, safe="-_.~")


def digest(data):
    return hashlib.sha256(data).hexdigest()


def canonical(method, target, headers, names, payload_hash, service):
    path, _, query = target.partition("?")
    if service != "s3":
        path = "/".join(quote(segment) for segment in path.split("/"))
    pairs = sorted(
        (quote(urllib.parse.unquote(k)), quote(urllib.parse.unquote(v)))
        for k, _, v in (one.partition("=") for one in query.split("&") if one)
    )
    lines = "".join(f"{n}:{' '.join(headers[n].split())}\n" for n in names)
    return "\n".join([method, path or "/", "&".join(f"{k}={v}" for k, v in pairs), lines, ";".join(names), payload_hash])


def sign(secret, date, region, service, canonical_request):
    key = ("AWS4" + secret).encode()
    for part in (date[:8], region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    scope = f"{date[:8]}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, digest(canonical_request.encode())])
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def problem(method, target, headers, body, secrets):
    """None, or what is wrong. headers: names in lower case; secrets: access key -> (secret, session token or None)."""
    found = FORM.fullmatch(headers.get("authorization", ""))
    if not found:
        return "IncompleteSignature"
    access, day, region, service, signed, signature = found.groups()
    if access not in secrets:
        return f"UnrecognizedClient: {access}"
    secret, token = secrets[access]
    names, date = signed.split(";"), headers.get("x-amz-date", "")
    must = {"host"} | {n for n in headers if n.startswith("x-amz-")} | ({"content-type"} & set(headers))
    if not must <= set(names) or names != sorted(names):
        return f"SignedHeaders: {signed} without {sorted(must - set(names))}"
    if date[:8] != day:
        return "date and scope differ"
    if headers.get("x-amz-security-token") != token:
        return "security token"
    request = canonical(method, target, headers, names, digest(body), service)
    if not hmac.compare_digest(sign(secret, date, region, service, request), signature):
        return f"SignatureDoesNotMatch; expected for:\n{request}"
    return None
