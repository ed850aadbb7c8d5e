#!/usr/bin/env python3
"""Includes follow src/LAYERS: strictly downward, no cycle, vendor headers in their one folder, private headers at home.

    layers.py [--root DIR]

The table is checked too: what a folder may include must lie on a lower level. bench/ stands on the libraries like src/ itself but
may not see the gateway; tests may include everything; nothing includes bench/ or tests/.
"""

import re
import sys

import source

VENDOR = {  # header: (the folder that may see it, what using it looks like)
    "liburing.h": ("io", r"\bio_uring|\bIORING_|\bIOSQE_"),
    "ares.h": ("io", r"\bares_|\bARES_"),
    "bearssl.h": ("tls", r"\bbr_|\bBR_"),
    "lmdb.h": ("store", r"\bmdb_|\bMDB_"),
    "yaml.h": ("src/control", r"\byaml_|\bYAML_"),
    "zlib.h": ("src/wire", r"\binflate|\bdeflate|\bz_stream|\bcrc32"),
    "xxhash.h": (None, r"\bXXH"),
}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
BENCH_LEVEL = 4


def read_table(root):
    table, levels, findings = {"bench": None}, {"bench": BENCH_LEVEL}, []
    for number, line in enumerate((root / "src/LAYERS").read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        level, folder, *below = line.split()
        table[folder], levels[folder] = below, int(level)
    for folder, below in table.items():
        for other in below or []:
            owner = other.rsplit("/", 1)[0] if other.endswith(".h") else other
            if owner not in levels:
                findings.append(source.Finding("layers", "src/LAYERS", 1, f"{folder}: no such folder: {other}"))
            elif levels[owner] >= levels[folder]:
                findings.append(source.Finding("layers", "src/LAYERS", 1, f"{folder} may not see {other}: not below it"))
    table["bench"] = [f for f, level in levels.items() if level < BENCH_LEVEL]
    return table, findings


def home(path, table):
    """The folder of the table that a file belongs to."""
    folder = path.rsplit("/", 1)[0] if "/" in path else ""
    if folder.startswith("bench"):
        return "bench"
    return folder if folder in table else None


def resolve(name, root):
    """The path in the tree of an include written from the root of the include paths."""
    for prefix in ("src/", ""):
        if (root / (prefix + name)).is_file():
            return prefix + name
    return None


def judge_own(path, here, target, table):
    """Why an include of a file of ours is wrong; None if it is not."""
    there = home(target, table)
    if target.startswith("tests/"):
        return f"{here} includes {target}: nothing includes tests"
    if target.endswith("_priv.h") and there != here:
        return f"{target} is private to {there}"
    if there == here:
        return None
    if there is None or (there not in table[here] and target not in table[here]):
        return f"{here} may not include {target} (see src/LAYERS)"
    return None


def judge_vendor(here, name, text):
    folder, use = next((v for k, v in VENDOR.items() if name == k or (k == "bearssl.h" and name.startswith("bearssl"))), (0, 0))
    if folder == 0:
        return None
    if folder and here != folder:
        return f"{name} is seen in {folder}/ only"
    if not re.search(use, text):
        return f"{name} is included and not used"
    return None


def cycles(edges):
    """Each cycle once, as a list of files."""
    found, done, path = [], set(), []

    def visit(node):
        if node in path:
            found.append(path[path.index(node) :] + [node])
            return
        if node in done:
            return
        path.append(node)
        for other in sorted(edges.get(node, ())):
            visit(other)
        path.pop()
        done.add(node)

    sys.setrecursionlimit(10000)
    for node in sorted(edges):
        visit(node)
    return found


def main():
    root = source.root_of(sys.argv)
    table, findings = read_table(root)
    edges = {}
    paths = source.files(root, source.CODE_FOLDERS, (".c", ".h", ".S"))
    for path in paths:
        here = home(path, table)
        if here is None:
            findings.append(source.Finding("layers", path, 1, "its folder is not in src/LAYERS"))
            continue
        text = (root / path).read_text()
        code = source.blank(text)
        for number, line in enumerate(text.splitlines(), 1):
            m = INCLUDE.match(line)
            if not m:
                continue
            name = m.group(2)
            own = resolve(name, root)
            if m.group(1) == '"' and own is None:
                why = f'"{name}" is not in the tree; includes are written from the root ("base/span.h", "io/io.h")'
            elif own is None:
                why = judge_vendor(here, name, code)
            else:
                why = judge_own(path, here, own, table)
                edges.setdefault(path, set()).add(own)
            if why:
                findings.append(source.Finding("layers", path, number, why))
    for cycle in cycles(edges):
        findings.append(source.Finding("layers", cycle[0], 1, "cycle: " + " -> ".join(cycle)))
    source.report("layers", findings, f"{len(paths)} files")


main()
