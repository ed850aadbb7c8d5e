#!/usr/bin/env python3
"""How much of its parser each fuzz target reaches with the committed inputs alone.

    fuzz_coverage.py BUILD [--least PERCENT]

BUILD is a coverage build with its replay programs. Targets that share a parser (requests and answers, the readers of JSON) are
one row. Lines of MUST and UNREACHABLE cannot be told from others and count. Prints a table; exit 1 if a row is below PERCENT.
"""

import glob
import pathlib
import subprocess
import sys

from coverage import counts_of, option, ranges

# The targets of a row, and the files whose lines they are for.
ROWS = {
    "http": (["http_request", "http_response"], ["src/wire/http_parse.c", "src/wire/http_meaning.c", "src/wire/http_memo.c"]),
    "chunked": (["chunked"], ["src/wire/http_chunked.c"]),
    "json_scan": (["json_scan"], ["src/wire/json_scan.c", "src/wire/json_slow.h", "src/wire/json_fast.h", "src/wire/json_machine.h"]),
    "json_path": (["json_cursor", "embed"], ["src/wire/json_iter.c", "src/wire/json_string.c", "src/wire/json_number.c"]),
    "embed": (["embed"], ["providers/embed.c"]),
    "json_edit": (["json_edit"], ["src/wire/json_edit.c"]),
    "sse": (["sse"], ["src/wire/sse.c"]),
    "aws_event": (["aws_event"], ["src/wire/aws_event.c"]),
    "url": (["url"], ["src/wire/url.c"]),
    "proxy_protocol": (["proxy_protocol"], ["src/wire/proxy_protocol.c"]),
    "gzip": (["gzip"], ["src/wire/gzip.c"]),
    "pem": (["pem"], ["tls/tls_pem.c", "tls/tls_cert.c", "tls/tls_skey.c", "tls/tls_pbes.c", "tls/crypto_sign.c"]),
    "tls_record": (["tls_record"], ["tls/tls_record.c"]),
    "jwt": (["jwt"], ["src/policy/jwt.c"]),
    "jwks": (["jwks"], ["src/policy/jwt_keys.c"]),
    # Not config.c: it reads files and the environment, and hands the bytes to the rest.
    "config": (["config"], sorted(glob.glob("src/control/config_*.c"))),
}
SCALAR = ("src/wire/json_scalar.c", "src/wire/json_avx2.c", "src/wire/json_sse42.c", "src/wire/json_neon.c")


def reached(build, targets, files):
    """{path: {line: count}} after the replays of these targets, and of nothing else."""
    for count in build.glob("obj/**/*.gcda"):
        count.unlink()
    for target in targets:
        subprocess.run([build / "replay" / target, f"tests/data/fuzz/{target}"], check=True, stdout=subprocess.DEVNULL)
    sources = [f for f in files if f.endswith(".c")]
    if any(f.endswith(".h") for f in files):
        sources += [f for f in SCALAR if (build / "obj" / f"{f}.gcno").exists()]
    total = {}
    for source in sources:
        for path, lines in counts_of(build / "obj" / f"{source}.gcno").items():
            if path in files:
                into = total.setdefault(path, {})
                for number, count in lines.items():
                    into[number] = max(into.get(number, 0), count)
    return total


def main():
    build, least, bad = pathlib.Path(sys.argv[1]), float(option("--least", "90")), []
    for name, (targets, files) in ROWS.items():
        total = reached(build, targets, files)
        lines = sum(len(found) for found in total.values())
        never = {p: sorted(n for n, c in found.items() if c == 0) for p, found in total.items()}
        percent = 100 * (1 - sum(map(len, never.values())) / lines) if lines else 0
        print(f"{percent:6.1f} %  {lines:5} lines  {name:<16} {' '.join(targets)}")
        if percent < least:
            bad.append(name)
            print("".join(f"          {p}: {ranges(n)}\n" for p, n in never.items() if n), end="")
    print(f"fuzz-cov: {len(ROWS)} rows, at least {least:.0f} % wanted" + (f"; below: {' '.join(bad)}" if bad else ""))
    sys.exit(1 if bad else 0)


main()
