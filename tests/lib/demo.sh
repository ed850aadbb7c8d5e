#!/bin/sh
# Start the gateway on the built-in echo model, ask it once whole and once streamed, print both answers, stop it.
# Exit 0 only if all of that worked. Needs curl or python3. RINGWAY_BIN: the gateway (default build/ringway).
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
RINGWAY_BIN=${RINGWAY_BIN:-$root/build/ringway}
START_TENTHS_MAX=100
work=$(mktemp -d)
pid=

say() { printf '%s\n' "$*"; }

die() {
    say "demo: $*" >&2
    [ ! -s "$work/log" ] || { say "--- the gateway's log ---"; cat "$work/log"; } >&2
    exit 1
}

end() {
    status=$?
    trap - EXIT INT TERM
    [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
    rm -rf "$work"
    exit $status
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A port that nobody listens on now, read from the kernel's table so that no tool is needed.
free_port() {
    while :; do
        port=$((20000 + $(od -An -N2 -tu2 /dev/urandom) % 10000))
        cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -qi ":$(printf %04X $port) " || { echo $port; return; }
    done
}

# http METHOD PATH [BODY]: prints the answer's body; fails on any status but 200.
http() {
    if command -v curl >/dev/null; then
        curl -sS -f -N --noproxy '*' --max-time 10 -X "$1" -H "authorization: Bearer $key" \
            -H 'content-type: application/json' ${3:+--data "$3"} "http://127.0.0.1:$port$2"
    elif command -v python3 >/dev/null; then
        python3 - "$port" "$key" "$@" <<'PYTHON'
import http.client, sys
port, key, method, path, *body = sys.argv[1:]
c = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
c.request(method, path, body[0] if body else None, {"authorization": "Bearer " + key, "content-type": "application/json"})
r = c.getresponse()
sys.stdout.write(r.read().decode())
sys.exit(r.status != 200)
PYTHON
    else
        die "curl or python3 is needed to ask"
    fi
}

[ -x "$RINGWAY_BIN" ] || die "$RINGWAY_BIN is not built: run make"
port=$(free_port)
metrics_port=$(free_port)
[ "$metrics_port" != "$port" ] || metrics_port=$((port + 1))
key=rw-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
cat >"$work/ringway.yaml" <<YAML
listen:
  - address: 127.0.0.1:$port
metrics: { address: 127.0.0.1:$metrics_port }
workers: 1
data_dir: off
keys:
  - { name: demo, key: "$key" }
YAML
"$RINGWAY_BIN" serve --config "$work/ringway.yaml" >"$work/log" 2>&1 &
pid=$!
n=0
until http GET /health/ready >/dev/null 2>&1; do
    kill -0 "$pid" 2>/dev/null || { pid=; die "the gateway ended before it was ready"; }
    n=$((n + 1))
    [ $n -lt $START_TENTHS_MAX ] || die "the gateway was not ready in time"
    sleep 0.1
done

words="Bytes are moved, not copied."
ask="{\"model\":\"echo\",\"messages\":[{\"role\":\"user\",\"content\":\"$words\"}]"
say "Asked the model 'echo' at http://127.0.0.1:$port/v1: $words"
say
answer=$(http POST /v1/chat/completions "$ask}") || die "no answer: $answer"
say "Answered:"
say "$answer"
case $answer in *"$words"*) ;; *) die "the answer does not hold what was asked" ;; esac
say
stream=$(http POST /v1/chat/completions "$ask,\"stream\":true}") || die "no stream: $stream"
say "Streamed:"
say "$stream"
case $stream in *'data: [DONE]'*) ;; *) die "the stream has no end" ;; esac

kill -TERM "$pid"
n=0
while kill -0 "$pid" 2>/dev/null; do
    n=$((n + 1))
    [ $n -lt $START_TENTHS_MAX ] || die "the gateway did not stop in time"
    sleep 0.1
done
status=0
wait "$pid" || status=$?
pid=
[ $status = 0 ] || die "the gateway ended with status $status"
say
say "demo: done"
