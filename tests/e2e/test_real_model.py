"""Goal: a real language model (llama.cpp on generated weights) answers through the gateway exactly as
it does directly.

Method: tests/lib/llm serves the toy model; the SDK asks it directly and through the gateway with
the same seed. Runs when tests/lib/llm/install.sh has been run (make demo-llm does); skipped loudly
otherwise.
"""

import os
import subprocess
import sys
import time

import openai
import pytest

from servers import KEY, ROOT, Process, wait_for

LLM = ROOT / "tests/lib/llm"
HOME = os.environ.get("LLM_HOME", str(ROOT / "build/llm"))
QUESTION = {
    "messages": [{"role": "user", "content": "Say something"}],
    "max_tokens": 40,
    "seed": 11,
    "temperature": 0.8,
}


@pytest.fixture(scope="module")
def model_url(folder):
    if not os.path.exists(f"{HOME}/node_modules/node-llama-cpp"):
        pytest.skip("the model server is not installed (tests/lib/llm/install.sh): NOT TESTED")
    weights = folder / "toy.gguf"
    subprocess.run(
        [sys.executable, LLM / "mkgguf.py", weights, "--width", "256", "--layers", "4"],
        check=True,
        timeout=60,
    )
    argv = ["node", LLM / "server.mjs", "--model", weights, "--modules", f"{HOME}/node_modules"]
    server = Process(argv, folder, "model")
    wait_for(lambda: b" at http" in server.out() or not server.alive(), 30, "the model server")
    assert server.alive(), server.said()
    yield server.out().decode().strip().rpartition(" ")[2]
    server.stop()


@pytest.fixture
def clients(model_url, launch, backend):
    own = launch(backend, providers={"local": {"type": "llamacpp", "base_url": model_url}}, models=[])
    with openai.OpenAI(base_url=own.url, api_key=KEY, max_retries=0) as through:
        with openai.OpenAI(base_url=model_url, api_key="none", max_retries=0) as direct:
            yield through, direct


def test_same_seed_same_text(clients):
    """Not streamed: the text through the gateway is the text of a direct call; the streamed text is
    the same again.
    """
    through, direct = clients
    wanted = direct.chat.completions.create(model="toy", **QUESTION)
    got = through.chat.completions.create(model="local/toy", **QUESTION)
    text = wanted.choices[0].message.content
    assert len(text) > 40 and got.choices[0].message.content == text and got.usage == wanted.usage
    stream = list(through.chat.completions.create(model="local/toy", stream=True, **QUESTION))
    assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == text
    other = through.chat.completions.create(model="local/toy", **{**QUESTION, "seed": 12})
    assert other.choices[0].message.content != text


def test_tokens_appear_as_they_are_made(clients):
    """The pieces of a streamed answer are spread over its time, not delivered at the end."""
    through, _ = clients
    times = []
    for chunk in through.chat.completions.create(
        model="local/toy", stream=True, **{**QUESTION, "max_tokens": 200}
    ):
        if chunk.choices and chunk.choices[0].delta.content:
            times.append(time.monotonic())
    gaps = sum(b - a > 0.0002 for a, b in zip(times, times[1:]))
    assert len(times) > 100 and gaps > len(times) // 2


def test_leaving_stops_the_model(clients):
    """Closing a stream of 1,500 tokens after five leaves the model free at once for the next question."""
    through, _ = clients
    stream = through.chat.completions.create(
        model="local/toy", stream=True, **{**QUESTION, "max_tokens": 1500}
    )
    for _, chunk in zip(range(5), stream):
        pass
    stream.close()
    begin = time.monotonic()
    assert through.chat.completions.create(model="local/toy", **{**QUESTION, "max_tokens": 1}).choices
    assert time.monotonic() - begin < 1.0
