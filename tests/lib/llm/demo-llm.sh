#!/bin/sh
# Show that a real model answers through Ringway, and prove that nothing is lost on the way: a streamed answer
# appears token by token, and the answer to a request with a seed is the same through the gateway as from the
# model directly. Exit 0 or 1.
# Which model: see common.sh (LLM_URL=, GGUF=, LLM=real, TOY=1). TLS=1: with TLS on both sides.
. "$(dirname "$0")/common.sh"

start_model
ask_name
start_gateway "$work/gateway.log"
say "gateway $gateway_url in front of $upstream_url"
if ! "$PYTHON" "$here/demo.py" --gateway "$gateway_url" --direct "$model_url" --key "$key" \
    --model "$model" ${tls_listen:+--tls "$work"}; then
    say "--- the gateway's log ---"
    tail -n 40 "$work/gateway.log" >&2
    exit 1
fi
