#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests on a node take from the system, on Debian and its like, as root. Where that cannot be, it says
# so in one line and ends with code 3.
set -eu
skip() { echo "tests on a node: skipped: $*"; exit 3; }
[ "$(uname -s)" = Linux ] || skip 'they need Linux'
[ "$(id -u)" = 0 ] || skip 'they need root'
missing=
for pair in containerd:containerd runc:runc nft:nftables iptables:iptables ipset:ipset ip:iproute2 unshare:util-linux; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
[ -n "$missing" ] || exit 0
command -v apt-get >/dev/null || skip "they need$missing, and there is no apt-get"
echo "tests on a node: installing$missing"
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends $missing >/dev/null
