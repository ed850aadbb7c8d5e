"""make matrix: the vendors' own SDKs as clients, providers of every dialect behind, the cases of stories.py.

A cell passes if the SDK's parsed answer is the recorded story, and if the body that the provider got, read to its last member,
is what the client said. Every SDK is first put in front of the mock itself, which proves the mock. One gateway, one mock.

    python tests/matrix/run.py [--client WORD] [--provider WORD] [--case WORD] [--doc FILE] [--node FOLDER]
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
    os.environ.pop(variable, None)

import clients  # noqa: E402  (needs the path above)
import dialect_mock  # noqa: E402
import servers  # noqa: E402
import stories  # noqa: E402
import wire  # noqa: E402

PROVIDERS = {  # dialect -> (type of the provider, its base_url behind the mock's address)
    "openai": ("openai", "/v1"),
    "mistral": ("mistral", "/mistral/v1"),
    "anthropic": ("anthropic", ""),
    "gemini": ("gemini", ""),
    "cohere": ("cohere", ""),
    "converse": ("bedrock", ""),
}


class Bad(Exception):
    """The cell fails, and why."""


def must(condition, text):
    if not condition:
        raise Bad(text)


def must_equal(what, is_, wanted):
    must(is_ == wanted, f"{what}:\n      is     {is_!r}\n      wanted {wanted!r}")


def reads_as(provider, client):
    """A client of responses is served by OpenAI's provider in its own dialect."""
    return "responses" if provider == "openai" and client == "responses" else provider


class Matrix:
    def __init__(self, folder, node):
        self.mock = dialect_mock.DialectMock()
        url = f"http://127.0.0.1:{self.mock.port}"
        providers = {
            d: {"type": kind, "base_url": url + path, "api_key": servers.UPSTREAM_KEY} for d, (kind, path) in PROVIDERS.items()
        }
        models = [{"name": f"to-{d}", "targets": [{"provider": d, "model": stories.MODEL[d]}]} for d in PROVIDERS]
        config = servers.plain_config(1, providers=providers, models=models)
        self.gateway = servers.Gateway(folder, config, "matrix")
        self.through = clients.all_clients(self.gateway.url.removesuffix("/v1"), servers.KEY, node)
        self.direct = clients.all_clients(url, servers.UPSTREAM_KEY, node)
        for c in self.direct:
            if c.dialect == "mistral":
                c.sdk.sdk_configuration.server_url = f"{url}/mistral"

    def stop(self):
        self.gateway.stop()
        must(not self.gateway.complaint_of_the_end(), self.gateway.complaint_of_the_end())
        self.mock.shutdown()

    def cell(self, client, provider, case, direct):
        """Runs one; gives back "ok" or the rule by which it is refused."""
        reader = reads_as(provider, client.dialect)
        played = stories.play(reader, case)
        story, model = stories.CASES[case][0], stories.MODEL[provider] if direct else f"to-{provider}"
        self.mock.play = played
        self.mock.take()
        self.mock.refused.clear()
        body = wire.WRITE[client.dialect](story, model)
        if client.dialect in ("gemini", "converse"):
            body.update({"model": model, "stream": story.get("stream", False)})
        rule = None if direct else stories.refused(client.dialect, provider, case)
        try:
            answer, error = client.ask(body), None
        except clients.Failed as e:
            answer, error = None, e
        if rule:
            must(error and error.status == 400 and not self.mock.seen, f"not refused, though {rule}: {error or answer}")
            return rule
        self.check_asked(client, provider, reader, case, direct)
        if played.startswith("error_"):
            self.check_error(client, reader, played, error, direct)
        elif played.startswith("midstream") or "break=" in played:
            must(error, f"passed off as whole: {answer}")
            must(stories.told(reader, "text")[0].startswith(error.said), f"said before the error: {error.said!r}")
        else:
            must(not error, f"failed: {error}")
            self.check_answer(client, reader, played, answer, model, story)
        return "ok"

    def check_asked(self, client, provider, reader, case, direct):
        must(not self.mock.refused, f"the provider refuses the request: {self.mock.refused}")
        seen = self.mock.take()
        must(len(seen) == 1, f"{len(seen)} requests reached the provider")
        headers, path = seen[0]["headers"], seen[0]["path"]
        must("json" in headers.get("content-type", ""), f"content-type {headers.get('content-type')}")
        must(direct or servers.KEY not in json.dumps(headers), "the client's key reached the provider")
        must(servers.UPSTREAM_KEY in json.dumps(headers), "the provider's key is missing")
        model, story = wire.READ[reader](json.loads(seen[0]["body"]), path)
        must_equal("the provider's model", model, stories.MODEL[provider])
        must_equal("the provider was asked", story, stories.asked(client.dialect, provider, case))

    def check_answer(self, client, reader, played, answer, model, story):
        wanted = stories.told(reader, played)
        got = wire.ANSWER[client.dialect](answer)
        if not client.sees_thoughts or (story.get("stream") and not client.keeps_streamed_thoughts):
            got, wanted = (got[0], "", *got[2:]), (wanted[0], "", *wanted[2:])
        must_equal("the SDK's answer", got, wanted)
        if answer.get("model") and client.dialect != reader:
            must_equal("the model in the answer", answer["model"], model)

    def check_error(self, client, reader, played, error, direct):
        status, text, retry_after = stories.error_told(reader, played)
        must(error, "no error")
        if not direct:
            credentials = status == 401 or played == "error_403_signature"
            status = client.credentials if credentials else client.overloaded if status in (503, 529) else status
            text = "credentials" if credentials else text
            must_equal("its class", error.name, client.errors[status])
        must_equal("the status", error.status, status)
        must(direct or text[:40] in error.text.replace('\\"', '"'), f"the text {error.text!r} has nothing of {text!r}")
        if retry_after and client.sees_retry_after:
            must_equal("retry-after", error.retry_after, retry_after)


def table(client, cases, results):
    names = list(PROVIDERS)
    head = "| " + " | ".join(["case", *names]) + " |"
    lines = [f"### {client.name}: {client.version}, {client.dialect}", "", head, "| --- " * (len(names) + 1) + "|"]
    for case in cases:
        cells = []
        for p in names:
            r = results.get((client.name, p, case), "")
            cells.append(r if r in ("ok", "FAILS", "") else "refused")
        lines.append("| " + " | ".join([case, *cells]) + " |")
    return "\n".join([*lines, ""])


def main():
    a = argparse.ArgumentParser()
    for name in ("client", "provider", "case", "doc", "node"):
        a.add_argument(f"--{name}", default="")
    a.add_argument("--direct", action="store_true", help="only the SDKs against the mock")
    a = a.parse_args()
    node = clients.Node(pathlib.Path(a.node)) if a.node else None
    begun, bad, results, direct = time.monotonic(), [], {}, 0
    cases = [c for c in stories.CASES if a.case in c]
    with tempfile.TemporaryDirectory(prefix="rw-matrix-") as folder:
        m = Matrix(pathlib.Path(folder), node)
        for proving in (True, False):
            for client in m.direct if proving else m.through:
                own = "openai" if client.dialect == "responses" else client.dialect
                for provider in [own] if proving else PROVIDERS:
                    for case in cases if a.client in client.name and a.provider in provider else []:
                        try:
                            verdict = m.cell(client, provider, case, proving)
                        except (Bad, wire.Wrong, KeyError, TypeError, ValueError, AttributeError, IndexError) as e:
                            verdict = "FAILS"
                            where = "the mock itself" if proving else provider
                            bad.append(f"{client.name} ({client.version}) -> {where}, {case}: {type(e).__name__} {e}")
                            print(f"FAILS {bad[-1]}", flush=True)
                        direct += proving
                        if not proving:
                            results[client.name, provider, case] = verdict
            if proving and bad:
                print("the mock is not proven; what follows may be its fault")
            if a.direct:
                break
        m.stop()
        if node:
            node.close()
    refusals = {k: v for k, v in results.items() if v not in ("ok", "FAILS")}
    ok = sum(v == "ok" for v in results.values())
    text = "\n".join(table(c, cases, results) for c in m.through)
    print(text)
    summary = f"{len(results)} cells: {ok} pass, {len(refusals)} refused by rule, {len(results) - ok - len(refusals)} fail"
    print(f"{summary}; {direct} against the mock itself; {time.monotonic() - begun:.0f} s")
    few = len(refusals) <= 0.15 * max(1, len(results))
    if not few:
        print("more than 15 % are refused")
    if a.doc and not bad:
        rules = sorted({(k[1], k[2], v) for k, v in refusals.items()})
        lines = [f"- {case}, to {provider}: {rule}" for provider, case, rule in rules]
        pathlib.Path(a.doc).write_text((HERE / "doc-head.md").read_text() + f"\n{summary}.\n\n" + "\n".join([*lines, "", text]))
    return 1 if bad or not few else 0


if __name__ == "__main__":
    sys.exit(main())
