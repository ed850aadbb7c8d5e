#!/bin/sh
# Install the model server's library (llama.cpp, prebuilt, from npm) into build/llm; versions are pinned by
# package-lock.json. No install scripts run, nothing is compiled, nothing outside build/llm is touched. 85 MB.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
home=${LLM_HOME:-$(cd "$here/../../.." && pwd)/build/llm}
version=3.22.1

mkdir -p "$home"
command -v npm >/dev/null || { echo "install.sh: node and npm (20 or newer) are needed" >&2; exit 1; }
if cmp -s "$here/package-lock.json" "$home/installed"; then
    exit 0
fi
echo "installing node-llama-cpp $version (prebuilt, 85 MB) into $home" >&2
rm -f "$home/installed"
cp "$here/package.json" "$here/package-lock.json" "$home/"
# npm ci would refuse the lock file, which leaves out the optional libraries for other systems; npm i takes its
# versions and hashes too. --force: the lock file names the x86-64 library; on another processor npm would
# refuse it rather than ignore it.
quiet="--no-audit --no-fund --loglevel=error"
# shellcheck disable=SC2086
(cd "$home" && npm i --ignore-scripts --omit=optional --force $quiet >&2)
if [ "$(uname -m)" = aarch64 ]; then
    # shellcheck disable=SC2086
    (cd "$home" && npm i --no-save --ignore-scripts --omit=optional --force $quiet \
        "@node-llama-cpp/linux-arm64@$version" >&2)
fi
cp "$here/package-lock.json" "$home/installed"
