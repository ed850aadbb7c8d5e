#!/bin/bash
# What a new administrator would type: the first key, a team with a budget, a client until it is refused, what that cost, one
# request explained, a key rotated and revoked, a backup, and the same gateway elsewhere. Fails if anything does.
# The provider is ringway-mock, which answers as OpenAI does; RECORD=FILE writes the session there.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=$(mktemp -d)
dir=$(mktemp -d)
ln -s "$(realpath "${RINGWAY_BIN:-$root/build/ringway}")" "$bin/ringway"
mock=$(realpath "${RINGWAY_MOCK_BIN:-$root/build/ringway-mock}")
export PATH=$bin:$PATH
unset RINGWAY_CONFIG STATE_DIRECTORY CONFIGURATION_DIRECTORY RUNTIME_DIRECTORY
pids=()
session=$dir/session
# shellcheck disable=SC2317 # called by the trap
end() {
    for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
    for p in "${pids[@]}"; do wait "$p" 2>/dev/null || true; done
    rm -rf "$dir" "$bin"
}
trap end EXIT
cd "$dir"

say() { printf '%s\n' "$*" | tee -a "$session"; }
remark() { say ""; say "# $*"; }
# Shows a command as it would be typed, and does it. Keys are shown by their beginning only.
run() {
    say "\$ $*"
    local status=0
    bash -c "$*" >out 2>&1 || status=$?
    sed -E -e 's/(rw-[A-Za-z0-9_-]{9})[A-Za-z0-9_-]{34}/\1.../g' -e "s#$dir/##g" out | tee -a "$session"
    return $status
}
fail() { echo "tour: $*" >&2; [ ! -f log ] || tail -5 log >&2; exit 1; }
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
until_it() { for _ in $(seq 100); do eval "$1" >/dev/null 2>&1 && return; sleep 0.05; done; fail "not in time: $1"; }

upstream=$(port) here=$(port) there=$(port)
"$mock" --listen "127.0.0.1:$upstream" --fixtures "$root/tests/data/contracts/openai" >mock.log 2>&1 &
pids+=($!)
until_it 'grep -q listening mock.log'
config() { # PORT FOLDER
    cat <<EOF
listen: [ { address: "127.0.0.1:$1" } ]
admin: { address: off, socket: $dir/$2/admin.sock }
metrics: { address: off }
log: { access: off }
data_dir: $dir/$2/data
pepper_file: $dir/$2/pepper
workers: 1
providers:
  openai: { type: openai, base_url: "http://127.0.0.1:$upstream/v1", api_key: "\${OPENAI_API_KEY}" }
models:
  - { name: gpt-4o-mini, targets: [ { provider: openai, model: gpt-4o-mini } ] }
EOF
}
config "$here" a >ringway.yaml
config "$there" b >elsewhere.yaml
export OPENAI_API_KEY=sk-of-the-provider RINGWAY_CONFIG=ringway.yaml URL=http://127.0.0.1:$here/v1/chat/completions

remark "A provider and a model are in ringway.yaml; start."
run "ringway check"
say '$ ringway serve &'
ringway serve >log 2>&1 &
pids+=($!)
until_it 'ringway status --output json'
remark "Nobody had a key: the first one is in a file, since this is no terminal."
run "cut -c1-12 a/first-key"
run "ringway key list"

remark "A team that may spend a hundredth of a cent a day, and a key for its application."
run "ringway team create research --usd-per-day 0.0001 --models gpt-4o-mini"
run "ringway key create --team research --name app --rpm 600"
APP=$(ringway key rotate app --overlap-hours 0 --output json | sed -E 's/.*"key":"([^"]+)".*/\1/')
export APP

remark "The application asks until its team's budget is used up."
body='{"model":"gpt-4o-mini","max_tokens":20,"messages":[{"role":"user","content":"Say hello."}]}'
export body
ask() { curl -s -o answer -D head -w '%{http_code}' "$URL" -H "Authorization: Bearer $APP" -H 'Content-Type: application/json' -d "$body"; }
say "\$ curl \$URL -H \"Authorization: Bearer \$APP\" -d '$body'"
good=0 status=$(ask)
[ "$status" = 200 ] || fail "the first answer is $status: $(cat answer)"
cut -c1-110 answer | head -3 | tee -a "$session"
id=$(tr -d '\r' <head | sed -n 's/^x-request-id: //p')
while [ "$status" = 200 ]; do
    good=$((good + 1))
    [ "$good" -lt 200 ] || fail "never refused"
    status=$(ask)
done
[ "$status" = 402 ] || fail "refused with $status: $(cat answer)"
say "... and after $good answers: status $status"
tee -a "$session" <answer; say ""

remark "What it cost, what is left, and one request explained."
until_it "ringway usage --output json | grep -q '\"total_requests\":[1-9]' && ringway explain $id"
run "ringway usage --days 1 --by team"
run "ringway team show research"
run "ringway explain $id"

remark "The key was seen by somebody: a new text, the old one stays good for an hour. Then it goes for good."
run "ringway key rotate app --overlap-hours 1"
run "ringway key revoke app"
[ "$(ask)" = 401 ] || fail "a revoked key is answered"
say "... status 401"
run "ringway audit tail --count 4"
run "ringway audit verify"

remark "A backup with the secret that keys are hashed with, and the same gateway elsewhere."
run "ringway backup ringway.backup --with-pepper"
run "ringway restore ringway.backup --config elsewhere.yaml"
say '$ ringway serve --config elsewhere.yaml &'
ringway serve --config elsewhere.yaml >log2 2>&1 &
pids+=($!)
until_it 'ringway status --config elsewhere.yaml'
run "ringway team list --config elsewhere.yaml"
URL=http://127.0.0.1:$there/v1/chat/completions APP=$(cat a/first-key)
[ "$(ask)" = 200 ] || fail "the first key is not known elsewhere: $(cat answer)"
say "... and the first key works there: status 200"

if [ -n "${RECORD:-}" ]; then
    {
        echo '# A tour for administrators'
        echo
        echo 'Recorded by `RECORD=packaging/doc/tour.md make tour`, which types it and fails if anything does. Keys are cut.'
        echo
        echo '```console'
        sed -e 's/[[:space:]]*$//' "$session"
        echo '```'
    } >"$root/$RECORD"
fi
