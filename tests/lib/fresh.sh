#!/bin/sh
# What a stranger does: on a fresh Debian 12 with git and make and nothing else, clone, `make demo`, `make test`. Prints how long
# each took, and keeps their output in build/fresh-*.log. `make test` must be green in under 15 minutes on two cores.
#   fresh.sh [FOLDER]          FOLDER: where the fresh system goes, removed at the end (default: a temporary one)
# Needs root and a network with Debian's archive and PyPI; mmdebstrap is installed if it is missing. What is cloned is the
# present commit, not what is uncommitted.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$root/build"
TEST_MINUTES_MAX=15
suite=bookworm
[ "$(id -u)" = 0 ] || { echo "fresh: needs root (it makes a system of its own and changes into it)" >&2; exit 2; }
command -v mmdebstrap >/dev/null || apt-get install -q -y --no-install-recommends mmdebstrap >/dev/null
fresh=${1:-$(mktemp -d)}
mounted=

end() {
    status=$?
    trap - EXIT INT TERM
    for at in $mounted; do umount -l "$at" || true; done
    # Never across a mount that would not go.
    rm -rf --one-file-system "$fresh"
    exit $status
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

attach() {
    mount "$@"
    for last in "$@"; do :; done
    mounted="$last $mounted"
}

echo "fresh: making Debian $suite with git and make in $fresh"
mmdebstrap --quiet --variant=minbase --include=git,make,ca-certificates $suite "$fresh"
attach -t proc proc "$fresh/proc"
attach --bind /dev "$fresh/dev"
attach --bind /dev/pts "$fresh/dev/pts"
attach -t tmpfs tmpfs "$fresh/dev/shm"
attach -t tmpfs tmpfs "$fresh/tmp"
cp /etc/resolv.conf "$fresh/etc/resolv.conf"
# An installer writes this one.
printf '127.0.0.1 localhost\n::1 localhost\n' >"$fresh/etc/hosts"
# The machine's trust, where a proxy speaks TLS for it.
cp /etc/ssl/certs/ca-certificates.crt "$fresh/etc/ssl/certs/ca-certificates.crt"
# A bundle is all that crosses: no path, no setting, no ignored file.
git -C "$root" bundle create -q "$fresh/srv/ringway.bundle" HEAD

inside() {
    chroot "$fresh" env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
        PIP_CERT=/etc/ssl/certs/ca-certificates.crt NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt sh -c "$1"
}

# timed NAME COMMAND
timed() {
    begin=$(date +%s)
    status=0
    inside "$2" >"$root/build/fresh-$1.log" 2>&1 || status=$?
    seconds=$(($(date +%s) - begin))
    echo "fresh: $1 took $seconds s, exit $status (build/fresh-$1.log)"
    [ $status = 0 ] || { tail -n 40 "$root/build/fresh-$1.log"; exit 1; }
}

timed clone 'git clone -q /srv/ringway.bundle /srv/ringway && cd /srv/ringway && git log --oneline -1'
timed demo 'cd /srv/ringway && make demo'
timed test 'cd /srv/ringway && make test'
[ $seconds -lt $((TEST_MINUTES_MAX * 60)) ] || { echo "fresh: make test took longer than $TEST_MINUTES_MAX minutes"; exit 1; }
echo "fresh: all passed"
