"""What is measured: each case is run for every contestant in windows of random order, and gives one row of figures."""
import random
import statistics
import time
from dataclasses import dataclass, field

from lib import measure

KIB = 1024
SIZES = {"1 KiB": KIB, "16 KiB": 16 * KIB, "256 KiB": 256 * KIB, "1 MiB": 1024 * KIB}


def answer_model(size):
    return f"mock:lean,bytes={size}"


SMALL = answer_model(700)
TOGETHER = "mock:lean,chunks=50"
EVENTS_TOGETHER = 50
# Streams that outlast a window: no start falls into it.
PACED = "mock:lean,stamp,chunks=4000,pace=5ms"
DELAYED = "mock:lean,stamp,chunks=400,pace=50ms"
OPEN = "mock:lean,chunks=120,pace=1s"
# More than the kernel's buffers on the way take.
ENDLESS = "mock:lean,chunks=100000"

# What a cache is asked for, and how many different requests there are.
KEPT = {"1 KiB": KIB, "64 KiB": 64 * KIB}
ENTRIES, ENTRIES_QUICK = 10000, 1000

MODELS = [answer_model(64 * KIB), *(answer_model(size) for size in SIZES.values()), SMALL, TOGETHER, PACED, DELAYED, OPEN, ENDLESS]


@dataclass
class Plan:
    quick: bool
    connections: list = field(default_factory=lambda: [16, 64, 256])
    seconds: float = 2
    windows: int = 5
    many_windows: int = 9
    idle_connections: int = 10000
    settle_seconds: float = 10

    @staticmethod
    def of(quick):
        if quick:
            return Plan(True, [64], 1, 3, 5, 2000, 3)
        return Plan(False)


@dataclass
class Row:
    case: str
    unit: str  # of value
    figures: dict  # contestant: {"value": …, …}


class Runner:
    def __init__(self, bench, contestants, plan, progress):
        self.bench, self.contestants, self.plan, self.progress = bench, contestants, plan, progress
        self.rows = []

    def interleaved(self, case, one, windows, warm, also=()):
        """one(contestant) -> Window; warm(contestant): a moment of the same, so that connections are there and the mock knows the
        answer; also: further contestants (None: the mock without anybody in between)."""
        everybody = [*self.contestants, *also]
        found = {who: [] for who in everybody}
        for who in everybody:
            warm(who)
        for turn in range(windows):
            for who in random.sample(everybody, len(everybody)):
                found[who].append(one(who))
                self.progress(case, turn, windows, name_of(who))
        return found

    def add(self, case, unit, found, value, **more):
        figures = {}
        for who, windows in found.items():
            figures[name_of(who)] = {
                "value": measure.median(windows, value),
                "noise": statistics.median(w.noise for w in measure.quiet(windows)),
                **{key: measure.median(windows, function) for key, function in more.items()}}
        self.rows.append(Row(case, unit, figures))
        self.progress(case, None, None, figures)
        return figures

    def warm(self, model, connections=64, stream=False, **options):
        """-> a function for interleaved(). connections: as many as the case has at most."""
        return lambda who: self.bench.load("closed", who, model, connections, stream=stream, seconds=0.2, **options)

    def cpu(self, case, one, windows, warm, per=lambda w: w.answers, unit="us CPU/request"):
        return self.add(case, unit, self.interleaved(case, one, windows, warm), lambda w: w.cpu_seconds * 1e6 / per(w),
                        share=lambda w: w.share, per_second=lambda w: per(w) / w.seconds)

    def mean_row(self, case, rows):
        figures = {name: {key: statistics.geometric_mean(max(row[name][key], 1e-9) for row in rows)
                          for key in ("value", "share", "per_second", "noise")} for name in rows[0]}
        self.rows.append(Row(case, "us CPU/request", figures))
        self.progress(case, None, None, figures)

    # --- The cases.

    def answers(self, names):
        plan, bench = self.plan, self.bench
        for name in names:
            model = answer_model(SIZES[name])
            rows = [self.cpu(f"answer {name}, {n} connections", lambda who: bench.wrk(who, model, n, plan.seconds), plan.windows,
                             self.warm(model, n))
                    for n in plan.connections]
            self.mean_row(f"answer {name}", rows)

    def requests(self, names):
        plan, bench = self.plan, self.bench
        for name in names:
            self.cpu(f"request {name}", lambda who: bench.wrk(who, SMALL, 64, plan.seconds, body=SIZES[name]), plan.windows,
                     self.warm(SMALL, body=SIZES[name]))

    def sdk_head(self):
        plan, bench = self.plan, self.bench
        self.cpu("SDK head, answer 1 KiB", lambda who: bench.wrk(who, answer_model(KIB), 64, plan.seconds, head="sdk"), plan.windows,
                 self.warm(answer_model(KIB)))

    def streams(self):
        plan, bench = self.plan, self.bench
        self.cpu("stream of 50 events together", lambda who: bench.wrk(who, TOGETHER, 64, plan.seconds, stream=True), plan.windows,
                 self.warm(TOGETHER, stream=True), unit="us CPU/stream")
        with bench.real_time(self.contestants):
            self.cpu("stream, an event per 5 ms",
                     lambda who: bench.load("streams", who, PACED, 50, stream=True, seconds=plan.seconds, spread=0.2),
                     plan.windows, self.warm(TOGETHER, stream=True), per=lambda w: w.events, unit="us CPU/event")

    def delays(self, counts):
        plan, bench = self.plan, self.bench
        for n in counts:
            with bench.real_time(self.contestants):
                found = self.interleaved(f"delay of an event, {n} streams",
                                         lambda who: bench.load("streams", who, DELAYED, n, stream=True, seconds=plan.seconds + 1.2,
                                                                spread=1, skip=1.2),
                                         plan.many_windows, self.warm(TOGETHER, stream=True), also=[None])
            for key in ("p50", "p99"):
                self.add(f"delay of an event, {n} streams, {key}", "us", found, lambda w: w.seen[f"{key}_us"])

    def unloaded(self):
        plan, bench = self.plan, self.bench
        with bench.real_time(self.contestants):
            found = self.interleaved("latency, 1 connection",
                                     lambda who: bench.load("closed", who, SMALL, 1, seconds=plan.seconds / 2),
                                     plan.many_windows, self.warm(SMALL, 1), also=[None])
        self.add("latency, 1 connection, p50", "us", found, lambda w: w.seen["p50_us"])

    def equal_rate(self):
        plan, bench = self.plan, self.bench
        nginx = next(row for row in self.rows if row.case == "answer 1 KiB, 64 connections").figures["nginx"]
        rate = int(nginx["per_second"] * 0.6)
        found = self.interleaved("equal rate", lambda who: bench.load("open", who, answer_model(KIB), 64, rate=rate,
                                                                      seconds=plan.seconds), plan.windows,
                                 self.warm(answer_model(KIB)))
        case = f"60 % of nginx's rate ({rate}/s)"
        self.add(f"{case}", "us CPU/request", found, lambda w: w.cpu_seconds * 1e6 / w.answers, share=lambda w: w.share,
                 per_second=lambda w: w.answers / w.seconds)
        self.add(f"{case}, p99 latency", "us", found, lambda w: w.seen["p99_us"])

    def cached(self, stage):
        """Hits beside nginx's proxy_cache; ours with a key, limits and the ledger. Each request is asked once before."""
        plan, entries = self.plan, ENTRIES_QUICK if self.plan.quick else ENTRIES
        with stage.contestant("cached") as ours, stage.contestant("nginx") as nginx:
            ours.name, others = "ringway", self.contestants
            self.contestants = [ours, nginx]
            for name, size in KEPT.items():
                model = answer_model(size)

                def fill(who, model=model):
                    asked = 0
                    while asked < 2 * entries:
                        asked += self.bench.wrk(who, model, 64, 2, entries=entries).answers
                        time.sleep(0.5)  # what is not written yet is

                self.cpu(f"cache hit {name}", lambda who, model=model: self.bench.wrk(who, model, 64, plan.seconds, entries=entries),
                         plan.windows, fill)
            self.contestants = others

    def memory(self, stage):
        """Each contestant alone and fresh."""
        plan = self.plan
        idle, held = {}, {}
        for name in [c.name for c in self.contestants]:
            with stage.contestant(name) as fresh:
                time.sleep(0.5)
                idle[name] = {"value": self.bench.held("idle", fresh, TOGETHER, plan.idle_connections, plan.settle_seconds)}
                self.progress("memory of idle connections", 0, 1, name)
            if plan.quick:
                continue
            with stage.contestant(name) as fresh:
                time.sleep(0.5)
                held[name] = {"value": self.bench.held("held", fresh, OPEN, 1000, min(3, plan.settle_seconds))}
                self.progress("memory of open streams", 0, 1, name)
        for case, figures in ((f"memory, {plan.idle_connections} idle connections", idle), ("memory, 1000 open streams", held)):
            if figures:
                self.rows.append(Row(case, "bytes each", figures))
                self.progress(case, None, None, figures)


    def unread(self, stage):
        """Streams whose clients stop reading: who holds the answer?"""
        figures = {}
        for name in [c.name for c in self.contestants if c.name != "floor"]:
            with stage.contestant(name) as fresh:
                # The pools of buffers are filled before, or they would be counted with so few streams.
                self.bench.load("closed", fresh, TOGETHER, 256, stream=True, seconds=1)
                time.sleep(0.5)
                figures[name] = {"value": self.bench.unread(fresh, ENDLESS, 20, 2)}
        self.rows.append(Row("memory, fast streams that nobody reads", "bytes each", figures))
        self.progress(self.rows[-1].case, None, None, figures)

    def balance(self, stage):
        """Connections are spread anew each time; the worst counts."""
        worst = 0
        for turn in range(5):
            with stage.contestant("ringway", workers=2) as fresh:
                worst = max(worst, self.bench.spread(fresh, SMALL, 64, 1))
                self.progress("balance", turn, 5, "ringway")
        self.rows.append(Row("64 connections on 2 workers", "busier/other", {"ringway": {"value": worst}}))
        self.progress(self.rows[-1].case, None, None, self.rows[-1].figures)


def name_of(who):
    return who.name if who else "direct"
