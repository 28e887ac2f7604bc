#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the image twice, from copies of what is checked in, in folders and with homes of Cargo whose paths differ, and compares
# the digests. PROFILE as for `make image`.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
say() { printf 'reproducible: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }
home=${CARGO_HOME:-$HOME/.cargo}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

build() { # folder of the copy, home of Cargo
    mkdir -p "$1" "$2"
    (cd "$here" && git ls-files -z | tar --null --files-from=- --ignore-failed-read -c) | tar -x -C "$1"
    # What is downloaded already, under another path.
    [ ! -e "$home/registry" ] || cp -al "$home/registry" "$2/" 2>/dev/null || cp -a "$home/registry" "$2/"
    (cd "$1" && unset CARGO_TARGET_DIR && CARGO_HOME=$2 make --no-print-directory image) >&2
    cat "$1/build/image.digest"
    mv "$1/target/x86_64-unknown-linux-gnu/${PROFILE:-release}" "$1.programs"
    rm -rf "$1"
}

one=$(build "$folder/one" "$folder/home")
other=$(build "$folder/another/folder" "$folder/another/home")
if [ "$one" = "$other" ]; then
    say "the same image in both folders: $one"
    exit 0
fi
for program in digital-messaging-operator messaging-manager; do
    cmp "$folder/one.programs/$program" "$folder/another/folder.programs/$program" || :
done
fail "two images: $one and $other"
