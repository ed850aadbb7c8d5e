"""Read and judge Prometheus' text format 0.0.4, as `promtool check metrics` would, without the tool."""

import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \d+)?")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)')
TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}


class BadMetrics(Exception):
    pass


class Metrics:
    def __init__(self):
        self.types = {}  # family → type
        self.helps = {}
        self.samples = {}  # (name, ((label, value), …)) → float

    def value(self, name, **labels):
        """The sum of all samples of this name that carry these labels; None if there is none."""
        found = [v for (n, ls), v in self.samples.items() if n == name and labels.items() <= dict(ls).items()]
        return sum(found) if found else None

    def gauges(self):
        """Name → sum over labels, of every gauge."""
        out = {}
        for (name, _), value in self.samples.items():
            if self.types.get(name) == "gauge":
                out[name] = out.get(name, 0) + value
        return out


def number(text):
    if text in ("+Inf", "-Inf", "NaN"):
        return float(text.replace("Inf", "inf"))
    return float(text)


def labels_of(text, line):
    out, at = [], 0
    while at < len(text):
        found = LABEL.match(text, at)
        if not found:
            raise BadMetrics(f"labels of {line!r}")
        out.append((found[1], found[2]))
        at = found.end()
    if len({n for n, _ in out}) != len(out):
        raise BadMetrics(f"a label twice in {line!r}")
    return tuple(sorted(out))


def family_of(name, types):
    for suffix in ("_bucket", "_sum", "_count"):
        base = name.removesuffix(suffix)
        if base != name and types.get(base) in ("histogram", "summary"):
            return base
    return name


def parse(text):
    """Metrics, or BadMetrics naming the first line that promtool would not like."""
    if not text.endswith("\n"):
        raise BadMetrics("the last line has no line feed")
    out, current, done = Metrics(), None, set()
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP ") or line.startswith("# TYPE "):
            kind, name, rest = line[2:].split(" ", 2)
            if not NAME.fullmatch(name):
                raise BadMetrics(f"name in {line!r}")
            table = out.helps if kind == "HELP" else out.types
            if name in table:
                raise BadMetrics(f"second {kind} of {name}")
            if kind == "TYPE" and rest not in TYPES:
                raise BadMetrics(f"type in {line!r}")
            table[name] = rest
        elif line.startswith("#"):
            continue
        else:
            found = SAMPLE.fullmatch(line)
            if not found:
                raise BadMetrics(f"line {line!r}")
            family = family_of(found[1], out.types)
            if family != current:
                if family in done:
                    raise BadMetrics(f"samples of {family} do not stand together")
                done.add(family)
                current = family
            if family not in out.types or not out.helps.get(family):
                raise BadMetrics(f"{found[1]} has no TYPE or HELP before it")
            if (
                out.types[family] == "counter"
                and not family.endswith("_total")
                and not family.startswith("omni_llm_")
            ):
                raise BadMetrics(f"counter {family} does not end with _total")
            if out.types[family] != "counter" and family.endswith("_total"):
                raise BadMetrics(f"{family} ends with _total and is no counter")
            key = (found[1], labels_of(found[2] or "", line))
            if key in out.samples:
                raise BadMetrics(f"sample twice: {line!r}")
            out.samples[key] = number(found[3])
    check_histograms(out)
    return out


def check_histograms(metrics):
    series = {}
    for (name, labels), value in metrics.samples.items():
        family = family_of(name, metrics.types)
        if metrics.types[family] != "histogram":
            continue
        rest = tuple(p for p in labels if p[0] != "le")
        part = series.setdefault((family, rest), {"buckets": []})
        if name == family + "_bucket":
            part["buckets"].append((number(dict(labels)["le"]), value))
        else:
            part[name.removeprefix(family + "_")] = value
    for (family, labels), part in series.items():
        buckets = part["buckets"]
        where = f"{family}{dict(labels)}"
        if buckets != sorted(buckets) or [v for _, v in buckets] != sorted(v for _, v in buckets):
            raise BadMetrics(f"buckets of {where} are not cumulative and in order")
        if not buckets or buckets[-1][0] != float("inf"):
            raise BadMetrics(f"{where} has no +Inf bucket")
        if part.get("count") != buckets[-1][1] or "sum" not in part:
            raise BadMetrics(f"{where}: _count is not the +Inf bucket, or _sum is missing")
