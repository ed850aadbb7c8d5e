"""Users with keys, for locust: most stream, all think between two questions.

    pip install locust
    RINGWAY_KEYS=key1,key2 RINGWAY_MODEL=gpt-4o-mini \\
        locust -f bench/locustfile.py --host http://127.0.0.1:8080 --headless -u 200 -r 20 -t 60s

Streams are reported as "stream" (until the head of the answer), "stream: first token", "stream: event gap" (between two events) and
"stream: whole". Without --headless a web page on port 8089 shows the same. The summary ends the run; exit status
1 if more than RINGWAY_FAIL_PERCENT (1) per cent of the requests failed.
"""
import itertools
import json
import os
import random
import time

from locust import FastHttpUser, between, events, task

KEYS = itertools.cycle(os.environ.get("RINGWAY_KEYS", "rw-bench-key-0123456789abcdef").split(","))
MODEL = os.environ.get("RINGWAY_MODEL", "gpt-4o-mini")
FAIL_PERCENT = float(os.environ.get("RINGWAY_FAIL_PERCENT", "1"))
PATH = "/v1/chat/completions"
QUESTIONS = ["Summarise the following text for me please.", "Translate this to German.", "Write a haiku about proxies.", "Why?"]


class Person(FastHttpUser):
    wait_time = between(0.5, 3)

    def on_start(self):
        self.headers = {"Authorization": f"Bearer {next(KEYS)}", "User-Agent": "OpenAI/Python 1.40.0"}
        self.messages = [{"role": "system", "content": "You are helpful."}]

    def body(self, stream):
        # A conversation grows until it is started anew.
        if len(self.messages) > 12:
            del self.messages[1:]
        self.messages.append({"role": "user", "content": random.choice(QUESTIONS) + " " + "word " * random.randrange(200)})
        body = {"model": MODEL, "messages": self.messages, "stream": stream}
        if stream:
            body["stream_options"] = {"include_usage": True}
        return body

    def fire(self, name, seconds, size=0):
        events.request.fire(request_type="SSE", name=name, response_time=seconds * 1000, response_length=size, exception=None)

    @task(3)
    def streamed(self):
        begun = time.monotonic()
        with self.client.post(PATH, json=self.body(True), headers=self.headers, stream=True, catch_response=True, name="stream") as r:
            if r.status_code != 200:
                r.failure(f"status {r.status_code}")
                return
            said, last, done, size = "", None, False, 0
            for line in self.lines(r):
                if not line.startswith("data: "):
                    continue
                now = time.monotonic()
                size += len(line)
                if line == "data: [DONE]":
                    done = True
                    break
                for choice in json.loads(line[6:]).get("choices", []):
                    content = choice.get("delta", {}).get("content")
                    if content and not said:
                        self.fire("stream: first token", now - begun)
                    said += content or ""
                if last is not None:
                    self.fire("stream: event gap", now - last, len(line))
                last = now
            if not done:
                r.failure("the stream ended without [DONE]")
            else:
                r.success()
                self.fire("stream: whole", time.monotonic() - begun, size)
            self.messages.append({"role": "assistant", "content": said[:500]})

    @staticmethod
    def lines(response):
        # read() would wait until it has all that it asked for.
        while line := response.stream.readline(b"\n"):
            yield line.decode().rstrip("\r\n")

    @task(1)
    def whole(self):
        with self.client.post(PATH, json=self.body(False), headers=self.headers, catch_response=True, name="whole") as r:
            if r.status_code != 200:
                r.failure(f"status {r.status_code}")
                return
            self.messages.append({"role": "assistant", "content": r.json()["choices"][0]["message"]["content"][:500]})


@events.quitting.add_listener
def judge(environment, **_):
    total = environment.stats.total
    if total.num_requests == 0 or total.fail_ratio * 100 > FAIL_PERCENT:
        environment.process_exit_code = 1
