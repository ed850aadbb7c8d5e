"""Ask a model through Ringway and directly, and compare; the check behind demo-llm.sh.

1. A streamed answer through the gateway is printed as it arrives; it must come in many pieces,
spread over the time it takes. 2. An answer that is not streamed, with a seed, must be the same text
through the gateway as from the model itself, and the same as the streamed text.

With --tls the gateway's certificate is verified, and one of ours shown (mutual TLS); it also stands for the key, so that a
request without one is answered.

Uses the official openai SDK if it is installed, else plain HTTP.
"""

import argparse
import json
import ssl
import sys
import time
import urllib.request

PROMPT = "The capital of France is"
SECONDS_MAX = 120
context = None  # of TLS, for the gateway

try:
    import openai
except ImportError:
    openai = None


def question(model):
    return {
        "model": model,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": 48,
        "seed": 42,
        "temperature": 0.7,
    }


def post(base, key, body):
    fields = {"content-type": "application/json"}
    if key:
        fields["authorization"] = f"Bearer {key}"
    request = urllib.request.Request(base + "/chat/completions", json.dumps(body).encode(), fields)
    return urllib.request.urlopen(request, timeout=SECONDS_MAX, context=context if base.startswith("https") else None)


def sdk(base, key):
    web = openai.DefaultHttpxClient(verify=context) if context and base.startswith("https") else None
    return openai.OpenAI(base_url=base, api_key=key, timeout=SECONDS_MAX, max_retries=0, http_client=web)


def whole_text(base, key, model):
    if openai:
        return sdk(base, key).chat.completions.create(**question(model)).choices[0].message.content
    with post(base, key, question(model)) as answer:
        return json.load(answer)["choices"][0]["message"]["content"]


def pieces(base, key, model):
    """The streamed pieces of text, as they arrive."""
    if openai:
        for chunk in sdk(base, key).chat.completions.create(**question(model), stream=True):
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content
        return
    with post(base, key, {**question(model), "stream": True}) as answer:
        for line in answer:
            data = line.decode().strip()
            if data.startswith("data: {"):
                delta = json.loads(data[6:])["choices"][0]["delta"]
                if delta.get("content"):
                    yield delta["content"]


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("gateway", "direct", "key", "model"):
        args.add_argument("--" + name, required=True)
    args.add_argument("--tls", metavar="FOLDER", help="with ca.pem, person.pem and person.key")
    arg = args.parse_args()
    if arg.tls:
        global context
        context = ssl.create_default_context(cafile=f"{arg.tls}/ca.pem")
        context.load_cert_chain(f"{arg.tls}/person.pem", f"{arg.tls}/person.key")
    ours = "local/" + arg.model

    print(f"> {PROMPT}")
    times, streamed = [], ""
    for piece in pieces(arg.gateway, arg.key, ours):
        times.append(time.monotonic())
        streamed += piece
        print(piece, end="", flush=True)
    print()
    if len(times) < 8:
        return f"the streamed answer came in {len(times)} pieces only"
    moments = sum(1 for a, b in zip(times, times[1:]) if b - a > 0.0002)
    if moments < len(times) // 2:
        return f"{len(times)} pieces arrived in {moments + 1} bursts: something holds them back"

    through = whole_text(arg.gateway, arg.key, ours)
    direct = whole_text(arg.direct, "none", arg.model)
    if through != direct:
        return f"the same seed, other texts:\n  through the gateway: {through!r}\n  directly: {direct!r}"
    if through != streamed:
        return f"streamed and whole text differ:\n  streamed: {streamed!r}\n  whole:    {through!r}"
    if arg.tls:
        with post(arg.gateway, None, question(ours)) as answer:
            if json.load(answer)["choices"][0]["message"]["content"] != direct:
                return "the certificate instead of a key: another text"
    took = times[-1] - times[0]
    how = f"openai SDK {openai.__version__}" if openai else "plain HTTP"
    print(f"ok: {len(times)} pieces over {took:.2f} s; whole, streamed and direct texts are equal ({how}{', mutual TLS' if arg.tls else ''})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
