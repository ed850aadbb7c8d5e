#!/bin/sh
# Runs inside the emulated machine (arm64-test.sh), in the folder that was copied in.
set -u
failed=
ulimit -n 8192
uname -srm

# step NAME COMMAND...
step() {
    name=$1
    shift
    echo "== $name"
    "$@" || failed="$failed [$name]"
}

ready() {
    n=0
    until curl -s -o /dev/null "$1"; do
        n=$((n + 1))
        [ $n -lt 100 ] || { echo "$1: nobody answers"; return 1; }
        sleep 0.2
    done
}

# ask MODEL STREAM WANTED: the answer must hold WANTED.
ask() {
    answer=$(curl -s -S -N --max-time 60 -H 'authorization: Bearer rw-arm64-key-0123456789abcdef' \
        -H 'content-type: application/json' http://127.0.0.1:8080/v1/chat/completions \
        --data "{\"model\":\"$1\",\"stream\":$2,\"messages\":[{\"role\":\"user\",\"content\":\"seven words\"}]}") || return 1
    case $answer in *"$3"*) ;; *) echo "not in the answer: $3"; echo "$answer"; return 1 ;; esac
}

# gateway BACKEND: the mock and the echo model asked through it, whole and streamed; it ends with 0 on SIGTERM.
gateway() {
    cat >ringway.yaml <<YAML
listen: [{ address: "127.0.0.1:8080" }]
metrics: { address: "127.0.0.1:9464" }
workers: 2
io: $1
providers:
  up: { type: openai, base_url: "http://127.0.0.1:9001/v1", api_key: sk-upstream }
  own: { type: echo }
models: [{ name: small, targets: [{ provider: up, model: "mock:chunks=3" }] }]
keys: [{ name: arm64, key: rw-arm64-key-0123456789abcdef }]
drain: { idle: 100ms, timeout: 20s }
YAML
    build/ringway serve --config ringway.yaml >gateway.log 2>&1 &
    pid=$!
    status=0
    ready http://127.0.0.1:8080/health/ready || status=1
    ask own/echo false '"seven words"' || status=1
    ask own/echo true 'data: [DONE]' || status=1
    ask small false '"t0 t1 t2 "' || status=1
    ask small true 'data: [DONE]' || status=1
    ask none false model_not_found || status=1
    curl -s http://127.0.0.1:9464/metrics | grep -q "backend=\"$1\"" || { echo "not on $1"; status=1; }
    kill -TERM $pid
    wait $pid || { echo "it ended with $?"; status=1; }
    [ $status = 0 ] || cat gateway.log
    return $status
}

# shellcheck disable=SC2046
step unit env TEST_SECONDS=600 tests/lib/run-programs.sh unit.log $(ls unit/test_*)
step sim build/ringway-sim --seeds "$SEEDS"
step doctor build/ringway doctor
step demo tests/lib/demo.sh
build/ringway-mock --listen 127.0.0.1:9001 --fixtures tests/data/contracts/openai >mock.log 2>&1 &
mock=$!
ready http://127.0.0.1:9001/__stats || failed="$failed [mock]"
step 'gateway on io_uring' gateway io_uring
step 'gateway on epoll' gateway epoll
kill -TERM $mock
wait $mock || failed="$failed [mock's end]"
[ -z "$failed" ] && echo "arm64: all passed" || { echo "arm64: FAILED:$failed"; exit 1; }
