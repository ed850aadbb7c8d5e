#!/bin/sh
# Runs inside the emulated machine (bench/instr/run.py): reads lines "CONTESTANT CASE COUNT CLIENT-ARGUMENTS" from jobs, and for
# each starts the contestant under ./insn, sends COUNT requests, ends it, and says "counted CONTESTANT CASE COUNT INSTRUCTIONS".
cd "$(dirname "$0")" || exit 1
mkdir -p nginx
ln -sf /dev/null nginx/access.log
ulimit -n 20000
./ringway-mock --listen 127.0.0.1:9001 --quick >/dev/null &
mock=$!
failed=0
while read -r who what count args; do
    case $who in
    ringway) port=8001; set -- ./ringway serve --config ringway.yaml ;;
    accounts)
        port=8001
        mkdir -p /tmp/books
        mount -t tmpfs none /tmp/books
        cp prices /tmp/books/data.prices
        for kind in team tenant; do
            # shellcheck disable=SC2046
            ./ringway $kind set default $(cat team-limits) --config accounts.yaml >/dev/null || failed=1
        done
        set -- ./ringway serve --config accounts.yaml
        ;;
    floor) port=8002; set -- ./ringway-floor 127.0.0.1:8002 127.0.0.1:9001 ;;
    nginx) port=8003; set -- nginx -c "$PWD/nginx.conf" -g 'daemon off; master_process off;' ;;
    esac
    ./insn "$@" >server.out 2>server.err &
    server=$!
    # shellcheck disable=SC2086
    if ! timeout 60 ./client $port "$count" $args; then
        echo "failed $who $what"
        tail -n 5 server.out server.err
        failed=1
    fi
    kill -TERM $server
    wait $server
    [ "$who" != accounts ] || umount /tmp/books
    echo "counted $who $what $count $(sed -n 's/^insn: //p' server.err)"
done <jobs
kill $mock
exit $failed
