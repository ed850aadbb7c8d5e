#!/bin/sh
# Run what was cross-compiled for AArch64 on a real AArch64 kernel in an emulated machine: unit tests, simulator, and the gateway
# itself in front of the echo model and of the mock, on io_uring and on epoll.
#   arm64-test.sh BUILD [SEEDS]
# BUILD: folder of the cross-compiled programs. Needs Debian (tests/lib/arm64-vm says what for).
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$1
seeds=${2:-20}
SECONDS_MAX=1500
job=$(mktemp -d)
trap 'rm -rf "$job"' EXIT
mkdir -p "$job/unit" "$job/build" "$job/tests/lib" "$job/tests/data" "$job/packaging"
cp "$build"/unit/test_* "$job/unit"
cp "$build/ringway" "$build/ringway-mock" "$build/ringway-sim" "$job/build"
cp "$root/tests/lib/run-programs.sh" "$root/tests/lib/demo.sh" "$root/tests/lib/arm64-guest.sh" "$job/tests/lib"
cp -r "$root/tests/data/contracts" "$job/tests/data"
cp -r "$root/packaging/config" "$job/packaging"
# Symbols are most of the bytes, and the machine's disk is memory.
aarch64-linux-gnu-strip "$job"/unit/* "$job"/build/*
"$root/tests/lib/arm64-vm" --pkg curl,libcmocka0 --mem 2048 --timeout $SECONDS_MAX --env SEEDS="$seeds" "$job" -- \
    sh tests/lib/arm64-guest.sh
