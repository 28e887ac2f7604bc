#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs a command in a network of its own that has nothing but loopback, so that nothing it serves is seen outside, and
# nothing that it does gets out. Where no such network can be made, it says so and runs the command as it is.
set -eu

[ $# -gt 0 ] || { echo "usage: $0 COMMAND…" >&2; exit 2; }
up='ip link set lo up && exec "$@"'
for unshare in 'unshare --net' 'unshare --user --map-root-user --net'; do
    # shellcheck disable=SC2086 # words
    if $unshare -- sh -c 'ip link set lo up' >/dev/null 2>&1; then
        exec $unshare -- sh -c "$up" sh "$@"
    fi
done
echo 'own-network: none can be made here (it takes Linux with unshare and ip, and root or user namespaces): tests that need one are skipped'
exec "$@"
