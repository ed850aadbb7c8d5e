#!/bin/sh
# Start a real model and Ringway in front of it, in the foreground; print a curl line. Ctrl-C ends both.
# Which model: see common.sh (LLM_URL=, GGUF=, LLM=real, TOY=1). PORT= fixes the gateway's port.
. "$(dirname "$0")/common.sh"

start_model
ask_name
start_gateway "$work/gateway.log"
cat <<TEXT
Ringway answers at $gateway_url with the model local/$model ($model_url). Try it:

  curl -N $gateway_url/chat/completions \\
    -H 'authorization: Bearer $key' -H 'content-type: application/json' \\
    -d '{"model":"local/$model","stream":true,"max_tokens":64,
         "messages":[{"role":"user","content":"The capital of France is"}]}'

Ctrl-C ends it.
TEXT
tail -n +1 -f "$work/gateway.log" &
tail_pid=$!
wait "$gateway_pid"
