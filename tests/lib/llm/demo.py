"""Ask a model through Ringway and directly, and compare; the check behind demo-llm.sh.

1. A streamed answer through the gateway is printed as it arrives; it must come in many pieces,
spread over the time it takes. 2. An answer that is not streamed, with a seed, must be the same text
through the gateway as from the model itself, and the same as the streamed text.

Uses the official openai SDK if it is installed, else plain HTTP.
"""

import argparse
import json
import sys
import time
import urllib.request

PROMPT = "The capital of France is"
SECONDS_MAX = 120

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
    request = urllib.request.Request(
        base + "/chat/completions",
        json.dumps(body).encode(),
        {"content-type": "application/json", "authorization": f"Bearer {key}"},
    )
    return urllib.request.urlopen(request, timeout=SECONDS_MAX)


def whole_text(base, key, model):
    if openai:
        client = openai.OpenAI(base_url=base, api_key=key, timeout=SECONDS_MAX, max_retries=0)
        return client.chat.completions.create(**question(model)).choices[0].message.content
    with post(base, key, question(model)) as answer:
        return json.load(answer)["choices"][0]["message"]["content"]


def pieces(base, key, model):
    """The streamed pieces of text, as they arrive."""
    if openai:
        client = openai.OpenAI(base_url=base, api_key=key, timeout=SECONDS_MAX, max_retries=0)
        for chunk in client.chat.completions.create(**question(model), stream=True):
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
    arg = args.parse_args()
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
    took = times[-1] - times[0]
    how = f"openai SDK {openai.__version__}" if openai else "plain HTTP"
    print(f"ok: {len(times)} pieces over {took:.2f} s; whole, streamed and direct texts are equal ({how})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
