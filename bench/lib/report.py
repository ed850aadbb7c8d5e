"""The table, the gates, the files and the plot of a run."""
import datetime
import json
import os
import pathlib
import platform
import subprocess

from lib import svg
from lib.contestants import ROOT

ORDER = ["ringway", "nginx", "haproxy", "envoy", "floor", "direct"]
# Above this share of nginx the floor leaves no room for the plain gate: the kernel's part is too large on such a machine.
FLOOR_HIGH = 0.70


def number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"


def columns(rows):
    present = {name for row in rows for name in row.figures}
    return [name for name in ORDER if name in present]


def cell(row, name):
    """The value, its ratio to nginx, the share of its core that was used."""
    figure = row.figures.get(name)
    if not figure:
        return ""
    text = number(figure["value"])
    base = row.figures.get("nginx", {}).get("value")
    if base and base > 0:
        text += f" {figure['value'] / base:5.2f}x"
    if "share" in figure:
        text += f" {figure['share'] * 100:3.0f}%"
    return text


def table(rows):
    names = columns(rows)
    lines = [f"{'':48}{'unit':>16}" + "".join(f"{name:>20}" for name in names) + f"{'noise':>8}"]
    for row in rows:
        noise = max((figure.get("noise", 0) for figure in row.figures.values()), default=0)
        lines.append(f"{row.case:48}{row.unit:>16}" + "".join(f"{cell(row, name):>20}" for name in names)
                     + (f"{noise * 100:7.0f}%" if noise else ""))
    lines.append("value, multiple of nginx, share of its core used (100 %: saturated); noise: share of both cores that others took")
    return "\n".join(lines)


class Gates:
    """Each a line "pass" or "FAIL" with both sides."""

    def __init__(self, rows):
        self.rows = {row.case: row.figures for row in rows}
        self.lines, self.failed = [], 0

    def say(self, good, text):
        self.lines.append(f"{'pass' if good else 'FAIL'}  {text}")
        self.failed += not good

    def value(self, case, name):
        return self.rows[case][name]["value"]

    def at_most(self, case, factor):
        if case not in self.rows:
            return
        ours, nginx = self.value(case, "ringway"), self.value(case, "nginx")
        self.say(ours <= factor * nginx, f"{case}: {ours / nginx:.3f} x nginx, at most {factor:.2f}")

    def with_floor(self, case, factor):
        if case not in self.rows:
            return
        ours, nginx, floor = (self.value(case, name) for name in ("ringway", "nginx", "floor"))
        room = nginx - floor
        if floor > FLOOR_HIGH * nginx:
            limit = (floor + 0.5 * room) / nginx
            self.say(ours / nginx <= limit, f"{case}: {ours / nginx:.3f} x nginx, at most {limit:.3f} "
                     f"(the floor is {floor / nginx:.2f}: half of what nginx has above it)")
            return
        self.at_most(case, factor)
        above = (ours - floor) / room
        self.say(above <= 0.5, f"{case}: above the floor {above:.3f} of what nginx has above it, at most 0.50")

    def bytes_each(self, case, limit):
        if case in self.rows:
            ours = self.value(case, "ringway")
            self.say(ours <= limit, f"{case}: {ours:,.0f} bytes each, at most {limit:,}")

    def most(self, case, limit):
        if case in self.rows:
            ours = self.value(case, "ringway")
            self.say(ours <= limit, f"{case}: {ours:.3f}, at most {limit:.2f}")

    def all(self, plan, names):
        if {"ringway", "nginx", "floor"} <= set(names):
            self.ratios()
        if "ringway" in names:
            self.bytes_each(f"memory, {plan.idle_connections} idle connections", 2 * 1024)
            self.bytes_each("memory, 1000 open streams", 20 * 1024)
            self.bytes_each("memory, fast streams that nobody reads", 128 * 1024)
            self.most("64 connections on 2 workers", 1.25)
        return self.lines

    def ratios(self):
        for name in ("1 KiB", "16 KiB"):
            self.with_floor(f"answer {name}", 0.85)
        for name in ("256 KiB", "1 MiB"):
            self.at_most(f"answer {name}", 1.0)
        self.at_most("stream of 50 events together", 1.0)
        self.at_most("stream, an event per 5 ms", 0.9)
        for name in ("1 KiB", "64 KiB"):
            self.at_most(f"cache hit {name}", 1.0)
        for n in (200, 1000):
            for key in ("p50", "p99"):
                self.at_most(f"delay of an event, {n} streams, {key}", 1.05)
        self.at_most("latency, 1 connection, p50", 1.05)


def commit():
    def git(*words):
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True).stdout.strip()
    return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "--", "src", "io", "tls") else "")


def machine():
    cpu = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith(("model name", "CPU part"))), platform.machine())
    return {"cpu": cpu, "cores": os.cpu_count(), "architecture": platform.machine(), "kernel": platform.release(),
            "commit": commit(), "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")}


def versions():
    found = {}
    for name, words in {"nginx": ["nginx", "-v"], "haproxy": ["haproxy", "-v"], "wrk": ["wrk", "-v"]}.items():
        try:
            done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"})
            found[name] = (done.stdout + done.stderr).strip().splitlines()[0]
        except OSError:
            pass
    return found


def write(folder, rows, gates, plan):
    folder.mkdir(parents=True, exist_ok=True)
    about = machine()
    stem = about["time"][:16].replace(":", "") + "-" + about["commit"].rstrip("+")
    data = {"machine": about, "versions": versions(), "quick": plan.quick, "gates": gates,
            "rows": [{"case": row.case, "unit": row.unit, "figures": row.figures} for row in rows]}
    (folder / f"{stem}.json").write_text(json.dumps(data, indent=1) + "\n")
    title = f"CPU and time as multiples of nginx; {about['cpu']}, kernel {about['kernel']}, commit {about['commit']}"
    (folder / f"{stem}.svg").write_text(svg.bars(rows, columns(rows), "nginx", title))
    return folder / stem
