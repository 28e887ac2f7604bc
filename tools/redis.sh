#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Puts Redis, which Argo CD needs, into build/tools/: the one that is installed, or that of Debian's packages, taken apart and
# not installed. Where there is neither Redis nor apt-get it says so in one line and ends with code 3.
set -eu

out=$(cd "$(dirname "$0")/.." && pwd)/build/tools
packages='redis-server redis-tools libjemalloc2 liblzf1'
say() { printf 'tools: %s\n' "$*"; }

mkdir -p "$out"
if [ -x "$out/redis-server" ] && "$out/redis-server" --version >/dev/null 2>&1; then exit 0; fi
if installed=$(command -v redis-server); then
    ln -sf "$installed" "$out/redis-server"
    exit 0
fi
command -v apt-get >/dev/null && command -v dpkg >/dev/null || {
    echo 'tests on a node: skipped: there is no redis-server, and no apt-get'
    exit 3
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder" # apt-get downloads as another user
# shellcheck disable=SC2086 # a list of words
download() { (cd "$folder" && apt-get download -qq $packages >/dev/null 2>&1); }
# A new machine may never have heard of any package.
download || { apt-get update -qq >/dev/null 2>&1 && download; } || {
    say "no redis-server: apt-get download $packages did not work"
    exit 1
}
rm -rf "$out/redis"
mkdir "$out/redis"
for package in "$folder"/*.deb; do dpkg -x "$package" "$out/redis"; done
cat >"$out/redis-server" <<'SCRIPT'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")/redis
LD_LIBRARY_PATH=$(echo "$here"/usr/lib/*-linux-gnu) exec "$here/usr/bin/redis-server" "$@"
SCRIPT
chmod +x "$out/redis-server"
say "$("$out/redis-server" --version | cut -c1-30)"
