#!/bin/sh
# What `make bench` runs: bench/run.py on the programs of build/, with what it needs installed. QUICK=1: in a minute; ONLY=, WITH=,
# CORES=, GATES=no as run.py says.
set -eu
cd "$(dirname "$0")/.."
tests/lib/deps.sh bench
exec python3 bench/run.py "${BUILD:-build}" "$@"
