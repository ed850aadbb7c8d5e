#!/bin/sh
# Install what is missing on a Debian system, by apt, for the given purposes: build, test, lint, demo, llm, arm64, bench.
# Silent and without network when nothing is missing. Without root and sudo it says what to install and fails. Elsewhere
# than on Debian it says that nothing can be checked and goes on: the build will name what it misses.
set -eu

build="gcc libc6-dev make git pkgconf liburing-dev libbearssl-dev liblmdb-dev libyaml-dev libc-ares-dev zlib1g-dev libxxhash-dev"
test="libcmocka-dev"
lint="clang-14 clang-tidy-14 clang-format-14 cppcheck libclang-rt-14-dev"
arm64="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-system-arm"

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    [ -n "${DEPS_QUIET:-}" ] || echo "deps: not a Debian system; needed are the equivalents of: $build" >&2
    exit 0
fi

wanted=
for purpose in "$@"; do
    case $purpose in
    build) wanted="$wanted $build" ;;
    # Programs that may come from elsewhere than Debian are looked for by what they can do.
    test) wanted="$wanted $test"; python3 -c 'import venv, ensurepip' 2>/dev/null || wanted="$wanted python3-venv" ;;
    lint) wanted="$wanted $lint"; command -v python3 >/dev/null || wanted="$wanted python3" ;;
    llm)
        command -v curl >/dev/null || wanted="$wanted curl"
        python3 -c 'import venv, ensurepip' 2>/dev/null || wanted="$wanted python3-venv"
        { command -v node && command -v npm; } >/dev/null || wanted="$wanted nodejs npm"
        ;;
    arm64) wanted="$wanted $arm64" ;;
    bench)
        for tool in nginx:nginx-light haproxy:haproxy wrk:wrk valgrind:valgrind; do
            command -v "${tool%:*}" >/dev/null || [ -x "/usr/sbin/${tool%:*}" ] || wanted="$wanted ${tool#*:}"
        done
        ;;
    demo) command -v curl >/dev/null || command -v python3 >/dev/null || wanted="$wanted curl" ;;
    *) echo "deps: unknown purpose $purpose (build, test, lint, demo, llm, arm64, bench)" >&2; exit 2 ;;
    esac
done

missing=
for package in $wanted; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null; then
        as_root=sudo
    else
        echo "deps: missing packages and no root. Install them, then go on:" >&2
        echo "  apt-get install --no-install-recommends$missing" >&2
        exit 1
    fi
fi

echo "deps: installing$missing" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086
if ! { $as_root apt-get -q update &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $missing; } >"$log" 2>&1; then
    cat "$log" >&2
    echo "deps: apt-get failed; needed are:$missing" >&2
    exit 1
fi
