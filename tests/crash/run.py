"""kill -9 under load, over and over: no request is lost, none is counted twice, and budgets are what the ledger says.

    make test-crash [KILLS=1000] [SEED=7]           python3 tests/crash/run.py --kills 1000

Two ringways with two workers each share one data_dir, each on a port of its own. Clients send normal and streamed requests to
either; at random moments one of the two, or both, are killed and started again, so that journals are adopted now by a living
process and now by the next one. Some kills wait until the ledger's writer is in the middle of a commit.

Each request has a number, which goes as `user` through the gateway to the mock: so what clients got, what the ledger has and
what the provider was asked can be laid side by side.

  whole     every answer that a client got whole has exactly one record, with its id, status, tokens and money
  known     every other record is of a request that the mock was sent, and is marked crashed or cut; or it was complete in the
            ledger and was killed before its last bytes left; or it is of one that was refused, or failed in the gateway
  unseen    crashed records of requests that the mock never saw: killed between reservation and sending, at most one a worker
  lost      every request that the mock was sent has a record
  cells     while another process lives, at most one reservation a killed worker is too much, nothing too little; once the last
            one is gone and the next has started, no concurrency is held and the money counted is what the ledger says
"""

import argparse
import base64
import collections
import glob
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import rawhttp  # noqa: E402  (needs the path above)
import servers  # noqa: E402

RECORDS = os.environ.get("RINGWAY_RECORDS_BIN", str(servers.ROOT / "build/crash/records"))
WORKERS = 2
START_SECONDS = 60  # on a disk that others keep busy
CLIENTS = 14
PROMPT, COMPLETION = 11, 7  # that the mock says were used
PRICES = {"models": [{"provider": "openai", "model": "mock*", "mode": "chat", "input": 500, "output": 1000}]}
NANOS = PROMPT * 500_000 + COMPLETION * 1_000_000
USAGE = f"usage={PROMPT}/{COMPLETION}"
# Name of the model, what the mock does, streamed.
KINDS = [
    ("plain", f"mock:{USAGE}", False),
    ("slow", f"mock:{USAGE},delay=30ms", False),
    ("stream", f"mock:{USAGE},chunks={COMPLETION}", True),
    ("paced", f"mock:{USAGE},chunks={COMPLETION},pace=4ms", True),
]
BIG = "90000/second"
# Flags of `ringway key create`: limits of every kind, that are reached now and then or never.
KEYS = {
    "all": ["--requests", BIG, "--tokens", "9000000/second", "--concurrency", "6", "--usd-per-day", "100000"],
    "money": ["--usd-per-day", "100000", "--usd-per-month", "1000000"],
    "narrow": ["--concurrency", "2", "--rpm", "900", "--usd-per-day", "100000"],
}
# System calls of a commit: the writer's thread is in one of them.
COMMIT_CALLS = {"fdatasync", "pwrite64", "pwritev", "fsync", "msync", "writev"}
CALL_NUMBERS = {
    "x86_64": {75: "fdatasync", 18: "pwrite64", 296: "pwritev", 74: "fsync", 26: "msync", 20: "writev"},
    "aarch64": {83: "fdatasync", 68: "pwrite64", 70: "pwritev", 82: "fsync", 227: "msync", 66: "writev"},
}[os.uname().machine]


class Answer:
    """What a client got: whole, or nothing that can be said."""

    def __init__(self, number, kind):
        self.number = number
        self.kind = kind
        self.whole = False


def writer_call(pid):
    """The system call that the writer's thread of a process is in, or None."""
    for task in glob.glob(f"/proc/{pid}/task/*"):
        try:
            if pathlib.Path(task, "comm").read_text().strip() != "store-writer":
                continue
            number = pathlib.Path(task, "syscall").read_text().split()[0]
            return CALL_NUMBERS.get(int(number)) if number.isdigit() else None
        except OSError:
            return None
    return None


def slots_of(journals):
    """How many slots of these journals are open, and how many final: the first byte of each slot is its state."""
    states = b""
    for path in journals:
        try:
            states += pathlib.Path(path).read_bytes()[4096::256]
        except OSError:
            continue  # adopted already
    return states.count(1), states.count(2)


class Run:
    def __init__(self, folder, kills, seed, backend, say, seconds):
        self.folder = pathlib.Path(folder)
        self.kills_wanted = kills
        self.seed = seed
        self.random = random.Random(seed)
        self.say = say
        self.seconds = seconds  # between kills, at most
        self.backend = backend
        self.data_dir = self.folder / "data"
        self.mock_log = self.folder / "mock.log"
        self.counts = collections.Counter()
        self.answers = []
        self.lock = threading.Lock()
        self.number = 0
        self.going = threading.Event()
        self.ending = False
        self.busy = 0
        self.troubles = []
        self.killed_since_alone = 0
        self.alive = []

    # --- Processes.

    def begin(self):
        prices = self.folder / "prices.json"
        prices.write_text(json.dumps(PRICES))
        self.mock_port = servers.free_port()
        argv = [servers.MOCK, "--listen", f"127.0.0.1:{self.mock_port}", "--log", self.mock_log]
        self.mock = servers.Process([*argv, "--fixtures", servers.FIXTURES], self.folder, "mock")
        servers.wait_for(lambda: b"listening" in self.mock.out(), 10, "the mock")
        models = [{"name": n, "targets": [{"provider": "up", "model": m}]} for n, m, _ in KINDS]
        self.gateways = []
        for name in "ab":
            config = servers.plain_config(
                self.mock_port,
                self.backend,
                workers=WORKERS,
                data_dir=str(self.data_dir),
                pepper_file=str(self.folder / "pepper"),
                prices_file=str(prices),
                models=models,
                admin={"socket": f"{tempfile.mkdtemp(prefix='rw-')}/admin.sock"},
            )
            gateway = servers.Gateway(self.folder, config, name, wait=False)
            self.gateways.append(gateway)
            servers.wait_for(gateway.ready, START_SECONDS, "gateway ready")
        self.alive = list(self.gateways)
        self.keys = {}
        self.cli(self.gateways[0], "team", "create", "red", "--usd-per-day", "1000000", "--concurrency", "9")
        for name, flags in KEYS.items():
            made = self.cli(self.gateways[0], "key", "create", "--team", "red", "--name", name, *flags)
            self.keys[name] = made
        self.going.set()
        self.threads = [threading.Thread(target=self.client, args=(i,)) for i in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def cli(self, gateway, *words):
        argv = [servers.RINGWAY, *words, "--config", str(gateway.config_path), "--output", "json"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def end(self):
        self.ending = True
        self.going.set()
        for thread in self.threads:
            thread.join(30)
        for gateway in self.gateways:
            if gateway.alive():
                gateway.stop()
        self.mock.stop()

    # --- Clients.

    def client(self, i):
        dice = random.Random(self.seed * 1000 + i)
        connection, gateway = None, None
        keys = list(self.keys)
        while not self.ending:
            if not self.going.is_set():
                self.going.wait(0.5)
                continue
            with self.lock:
                self.busy += 1
            try:
                if connection is None or gateway not in self.alive or dice.random() < 0.02:
                    if connection:
                        connection.close()
                    connection, gateway = None, dice.choice(self.alive or self.gateways)
                    connection = rawhttp.Connection(gateway.address, timeout=20)
                self.one(connection, dice, dice.choice(keys))
            except (OSError, rawhttp.BadAnswer):
                if connection:
                    connection.close()
                connection = None
                time.sleep(0.01)
            finally:
                with self.lock:
                    self.busy -= 1
            time.sleep(dice.random() * 0.03)
        if connection:
            connection.close()

    def one(self, connection, dice, key):
        model, _, stream = dice.choice(KINDS)
        with self.lock:
            self.number += 1
            answer = Answer(f"n{self.number}", model)
            self.answers.append(answer)
        body = {"model": model, "messages": [{"role": "user", "content": "hi" * dice.randint(1, 40)}]}
        body |= {"user": answer.number, "max_tokens": COMPLETION}
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        fields = [("content-type", "application/json"), ("authorization", f"Bearer {self.keys[key]['key']}")]
        got = connection.ask("POST", "/v1/chat/completions", fields, json.dumps(body).encode())
        if stream and got.status == 200 and b"[DONE]" not in got.body:
            return
        answer.status = got.status
        answer.id = got.header("x-request-id")
        answer.cost = got.header("x-ringway-cost-usd")
        answer.key = key
        answer.stream = stream
        answer.whole = True
        if got.closes:
            raise rawhttp.BadAnswer("the gateway closes")

    def pause(self):
        """No request is under way."""
        self.going.clear()
        servers.wait_for(lambda: self.busy == 0, 30, "clients are done")

    # --- Killing.

    def journals_of(self, gateway):
        """The journals that a process holds."""
        files = set()
        for fd in glob.glob(f"/proc/{gateway.pid}/fd/*"):
            try:
                target = os.readlink(fd)
            except OSError:
                continue
            if target.endswith(".journal"):
                files.add(target)
        return files

    def wait_for_moment(self, victim):
        """Some kills come while the ledger is committed."""
        time.sleep(self.random.uniform(0.01, self.seconds))
        if self.random.random() > 0.3:
            return
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            if writer_call(victim.pid) in COMMIT_CALLS:
                break

    def kill(self, victim):
        files = self.journals_of(victim)
        call = writer_call(victim.pid)
        victim.child.kill()
        victim.child.wait()
        self.counts["kills"] += 1
        self.killed_since_alone += 1
        if call in COMMIT_CALLS:
            self.counts["kills in a commit"] += 1
        opened, final = slots_of(files)
        self.counts["kills with open slots"] += opened > 0
        self.counts["kills with final slots"] += final > 0
        self.counts["open slots at a kill"] += opened
        self.counts["final slots at a kill"] += final

    def start(self, gateway):
        if not any(g.alive() for g in self.gateways):
            self.killed_since_alone = 0
            self.counts["starts alone"] += 1
        else:
            self.counts["starts beside another"] += 1
        begin = time.monotonic()
        gateway.start()
        servers.wait_for(gateway.ready, START_SECONDS, "gateway ready again")
        self.counts["ms of starts"] += int(1000 * (time.monotonic() - begin))
        found = servers.BROKEN.search(gateway.err())
        if found:
            self.trouble(f"the log of {gateway.err_path} says {found[0]!r}")

    def round(self):
        victim = self.random.choice(self.alive)
        self.wait_for_moment(victim)
        what = self.random.random()
        victims = list(self.alive) if what < 0.15 else [victim]
        for one in victims:
            self.alive = [g for g in self.alive if g is not one]
            self.kill(one)
            if len(victims) > 1:
                self.counts["kills of both at once"] += 1
        if what > 0.6 and self.alive:
            return  # the other goes on alone for a while
        for gateway in self.gateways:
            if not gateway.alive():
                self.start(gateway)
        self.alive = list(self.gateways)

    def trouble(self, text):
        self.troubles.append(text)
        self.say("TROUBLE " + text)

    def go(self):
        begin = last = time.monotonic()
        checked = 0
        while self.counts["kills"] < self.kills_wanted:
            self.round()
            if self.counts["kills"] - checked >= max(15, self.kills_wanted // 20) and self.alive:
                checked = self.counts["kills"]
                self.check_survivor()
            if time.monotonic() - last > 5:
                last = time.monotonic()
                self.say(
                    f"{self.counts['kills']:5} kills  {self.number:7} requests  {int(last - begin):4} s  "
                    f"{len(self.troubles)} troubles"
                )
        self.pause()
        for gateway in self.gateways:
            if gateway.alive():
                gateway.stop()
        self.start(self.gateways[0])
        self.alive = [self.gateways[0]]
        self.counts["seconds"] = int(time.monotonic() - begin)

    # --- What the cells say.

    def used(self, kind, name, gateway):
        shown = self.cli(gateway, kind, "show", name)
        return {u["what"]: u["used"] for u in shown["used"]}

    def spent(self, records):
        spent = collections.Counter()
        for r in records:
            spent[r["key"]] += r["nanos"]
        return spent

    def check_survivor(self):
        """While a process lives, what the dead held is given back but for one reservation a worker."""
        self.pause()
        gateway = self.alive[0]
        time.sleep(2.2)  # the writer looks for journals of the dead once a second
        spent = self.spent(self.records())
        # A reservation is the worst case: a token a byte of the body, and max_tokens.
        most = self.killed_since_alone * WORKERS
        for name, made in self.keys.items():
            used = self.used("key", made["id"], gateway)
            held = used.get("concurrent requests", 0)
            over = round(used["USD per day"] * 1e9) - spent[int(made["id"])]
            self.counts["most concurrency too much"] = max(self.counts["most concurrency too much"], held)
            self.counts["most nanos too much"] = max(self.counts["most nanos too much"], over)
            if held > most:
                self.trouble(f"{held} places of key {name} are held after {self.killed_since_alone} kills")
            if over < 0:
                self.trouble(f"key {name}: {-over} nano-dollars fewer are counted than the ledger has")
            if over > most * 1_000_000 * 1000:
                self.trouble(f"key {name}: {over} nano-dollars too much after {self.killed_since_alone} kills")
        self.counts["looks at survivors"] += 1
        self.going.set()

    def check_cells(self, records):
        gateway, spent = self.alive[0], self.spent(records)
        for name, made in self.keys.items():
            used = self.used("key", made["id"], gateway)
            if used.get("concurrent requests", 0) != 0:
                self.trouble(f"key {name}: {used} is held though nothing is under way")
            if round(used["USD per day"] * 1e9) != spent[int(made["id"])]:
                self.trouble(f"key {name}: {used} in the cells, {spent[int(made['id'])]} nanos in the ledger")
        used = self.used("team", "red", gateway)
        if used["concurrent requests"] != 0 or round(used["USD per day"] * 1e9) != sum(spent.values()):
            self.trouble(f"team red: {used} in the cells, {sum(spent.values())} nanos in the ledger")

    # --- The ledger.

    def records(self):
        done = subprocess.run([RECORDS, str(self.data_dir)], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def sent(self):
        """The numbers of the requests that the mock was sent."""
        numbers = collections.Counter()
        with open(self.mock_log) as log:
            for line in log:
                body = json.loads(line)["body"]
                if body:
                    try:
                        numbers[json.loads(base64.b64decode(body)).get("user")] += 1
                    except ValueError:
                        self.counts["requests cut on their way to the mock"] += 1
        return numbers

    def check_whole(self, answer, records):
        self.counts["answers that came whole"] += 1
        if len(records) != 1:
            self.trouble(f"{answer.number} ({answer.status}) came whole and has {len(records)} records")
            return
        r = records[0]
        right = r["id"] == answer.id and r["status"] == answer.status
        right = right and r["key"] == int(self.keys[answer.key]["id"])
        if answer.status == 200:
            right = right and (r["input"], r["output"], r["nanos"]) == (PROMPT, COMPLETION, NANOS)
            right = right and not {"crashed", "cut", "estimated", "failed"} & set(r["flags"])
            right = right and (answer.stream or round(float(answer.cost) * 1e9) == r["nanos"])
        else:
            self.counts[f"of them refused with {answer.status}"] += 1
        if not right:
            self.trouble(f"{answer.number} came whole: {vars(answer)}; the ledger has {r}")

    def check_other(self, record, sent):
        """Of one that did not come whole."""
        flags = set(record["flags"])
        if "crashed" in flags:
            self.counts["records marked crashed"] += 1
            if record["user"] not in sent:
                self.counts["of them never sent"] += 1
        elif "cut" in flags:
            self.counts["records marked cut"] += 1
        elif record["status"] == 200 and record["nanos"] == NANOS and record["user"] in sent:
            self.counts["settled, and killed before the last bytes"] += 1
        elif record["status"] >= 400 and record["nanos"] == 0:
            self.counts["refused, and killed before the answer left"] += 1
        else:
            self.trouble(f"a record that nobody can explain: {record}")

    def check(self):
        records = self.records()
        sent = self.sent()
        by_user = collections.defaultdict(list)
        for r in records:
            by_user[r["user"]].append(r)
        self.counts["records"] = len(records)
        self.counts["requests"] = self.number
        self.counts["requests that the mock was sent"] = sum(sent.values())
        whole = {a.number for a in self.answers if a.whole}
        by_id = {r["id"]: r for r in records}
        if len(by_id) != len(records):
            self.trouble(f"{len(records) - len(by_id)} ids twice")
        for answer in self.answers:
            if not answer.whole:
                continue
            # One that was refused before its target was known has no number in its record.
            mine = by_user.get(answer.number) or [r for r in [by_id.get(answer.id)] if r and not r["user"]]
            self.check_whole(answer, mine)
        ids = {a.id for a in self.answers if a.whole}
        for r in records:
            if r["user"] not in whole and r["id"] not in ids:
                self.check_other(r, sent)
        for number in sent:
            if number and number not in by_user:
                self.trouble(f"{number} was sent to the provider and has no record")
        for number, found in by_user.items():
            if number and len(found) > 1:
                self.trouble(f"{number} has {len(found)} records: {found}")
        if self.counts["of them never sent"] > self.counts["kills"] * WORKERS:
            self.trouble(f"{self.counts['of them never sent']} crashed records of what was never sent")
        self.check_sums(records)
        self.check_cells(records)
        bad = glob.glob(str(self.data_dir / "journal/*.bad"))
        if bad:
            self.trouble(f"journals set aside: {bad}")
        return not self.troubles

    def check_sums(self, records):
        """The sums are those of the records."""
        rows = self.cli(self.alive[0], "usage", "--by", "key")["by_key"]
        sums = (sum(r["requests"] for r in rows), round(sum(r["cost_usd"] for r in rows) * 1e9))
        raw = (len(records), sum(r["nanos"] for r in records))
        if sums != raw:
            self.trouble(f"the sums say {sums} requests and nano-dollars, the records {raw}")

    def table(self):
        width = max(len(n) for n in self.counts)
        return "\n".join(f"  {n:<{width}}  {c:>12}" for n, c in self.counts.items())


def run(folder, kills, seed, backend="auto", say=print, seconds=0.2):
    """True: all is as it should be. The counts and the troubles are in the second."""
    it = Run(folder, kills, seed, backend, say, seconds)
    it.begin()
    try:
        it.go()
        good = it.check()
    finally:
        it.end()
    return good, it


def main():
    parser = argparse.ArgumentParser(description="kill -9 under load")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--keep", action="store_true", help="leave the folder for a look")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="rw-crash-")
    print(f"seed {options.seed}, folder {folder}", flush=True)
    say = lambda text: print(text, flush=True)  # noqa: E731
    good, it = run(folder, options.kills, options.seed, options.backend, say)
    print(it.table())
    for text in it.troubles[:20]:
        print("TROUBLE", text)
    print(f"{'good' if good else 'BAD'}: {options.kills} kills, seed {options.seed}, {len(it.troubles)} troubles")
    if good and not options.keep:
        shutil.rmtree(folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
