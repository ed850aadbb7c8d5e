#!/usr/bin/env python3
"""Every symbol an archive exports begins with a prefix of its folder (nm). A prefix belongs to one folder.

    prefixes.py build/libbase.a ...
"""

import pathlib
import re
import subprocess
import sys

import source

# What a reader of a call may conclude from the name: the folder it lives in.
PREFIXES = {
    "base": "arena budget check clock end fmt list logring map metric metrics pool prng rw span trace",
    "wire": "gzip http json multipart proxy sse url utf8 ws aws_event",
    "io": "io fiber scope",
    "tls": "tls crypto sigv4",
    "store": "store",
    "net": "net h1 h2 call up ws_conn",
    "policy": "policy limit price estimate breaker retry budget_policy jwt",
    "providers": "provider chat dialect embed",
    "feature": "feature guard usage cost rag mcp",
    "gateway": "access_log account answer ask cache credential echo exchange flight flights gateway inform meter once"
    " principal principals relay request revoke route translate worker",
    "control": "control admin books cli config crash credentials doctor file_keys first_key log metrics_page plan prices process"
    " prometheus serve",
}
# Made by the compiler's instrumentation or by the linker, not by us.
FOREIGN = re.compile(r"^(__asan|__tsan|__ubsan|__gcov|_GLOBAL_|__odr_asan|DW\.ref|__x86\.get_pc)")


def main():
    findings = []
    owner = {}
    for folder, words in PREFIXES.items():
        for word in words.split():
            if word in owner:
                findings.append(source.Finding("prefixes", "tests/lint/prefixes.py", 1, f"{word}_: {owner[word]} and {folder}"))
            owner[word] = folder
    checked = 0
    for archive in sys.argv[1:]:
        folder = re.sub(r"^lib|\.a$", "", pathlib.Path(archive).name)
        if folder not in PREFIXES:
            findings.append(source.Finding("prefixes", archive, 1, "no prefixes known: add a line to tests/lint/prefixes.py"))
            continue
        own = re.compile("^(" + "|".join(PREFIXES[folder].split()) + ")(_|$)")
        member = "?"
        listing = subprocess.run(["nm", "-g", "--defined-only", archive], check=True, capture_output=True, text=True).stdout
        for line in listing.splitlines():
            fields = line.split()
            if line.endswith(":"):
                member = line[:-1].removesuffix(".o")
            elif len(fields) == 3 and not FOREIGN.match(fields[2]):
                checked += 1
                if not own.match(fields[2]):
                    wanted = " ".join(w + "_" for w in PREFIXES[folder].split())
                    findings.append(source.Finding("prefixes", f"{folder}/{member}", 1, f"{fields[2]}: not one of {wanted}"))
    source.report("prefixes", findings, f"{checked} symbols")


main()
