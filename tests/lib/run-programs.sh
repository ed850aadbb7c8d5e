#!/bin/sh
# Run test programs, as many at a time as there are cores, and print each one's output whole when it ends.
#   run-programs.sh LOG PROGRAM...
# All output also goes to LOG. Exit 1 if any program fails; its last lines name them. A program may take TEST_SECONDS (120).
set -eu
if [ "$1" = --one ]; then
    out=$(mktemp)
    status=0
    timeout "${TEST_SECONDS:-120}" "$2" >"$out" 2>&1 || status=$?
    # One write, so that outputs do not mix.
    text=$(printf '== %s\n' "$2"; cat "$out"; [ $status = 0 ] || printf 'FAILED (exit %s): %s\n' $status "$2")
    printf '%s\n' "$text"
    rm -f "$out"
    exit 0
fi
log=$1
shift
[ $# -gt 0 ] || { echo "no test programs: NOT TESTED"; exit 0; }
printf '%s\n' "$@" | xargs -P "$(nproc)" -n 1 "$0" --one | tee "$log"
failed=$(grep -c '^FAILED (exit' "$log" || true)
ran=$(grep -c '^== ' "$log" || true)
if [ "$failed" != 0 ]; then
    echo "$ran test programs, $failed failed:"
    grep '^FAILED (exit' "$log"
    exit 1
fi
[ "$ran" = $# ] || { echo "$ran of $# test programs ran"; exit 1; }
echo "$ran test programs, none failed"
