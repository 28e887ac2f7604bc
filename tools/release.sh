#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The two halves of a release:
#   release.sh files FOLDER     writes what is attached to it: charts, manifests, what the image tool left, checksums
#   release.sh publish FOLDER   pushes and signs image and charts, and makes the release with the files
# DRY_RUN=1 has `publish` print each command that would reach out, and run none of them; `files` then does without an image.
# SANDBOX names the program that makes manifests; REGISTRY where image and charts go; IMAGE what `make image` wrote, without
# the ending.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
say() { printf 'release: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }
[ $# -eq 2 ] || fail "usage: $0 files|publish FOLDER"
step=$1 folder=$2
name=digital-messaging-operator
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$here/Cargo.toml" | head -n 1)
[ -n "$version" ] || fail 'Cargo.toml has no version'
if [ -n "${GITHUB_REF_NAME:-}" ] && [ "$GITHUB_REF_NAME" != "v$version" ]; then
    fail "Cargo.toml has version $version, and the tag is $GITHUB_REF_NAME"
fi
# Names of images have no capitals, names of their owners may.
registry=$(printf %s "${REGISTRY:?where image and charts go, such as ghcr.io/example}" | tr '[:upper:]' '[:lower:]')
repository=$registry/$name
helm=${HELM:-$here/build/tools/helm}
image=${IMAGE:-$here/build/image}
bill=$name-$version.cdx.json

# Reaches out: not in a dry run.
out() {
    if [ -n "${DRY_RUN:-}" ]; then say "would run: $*"; else "$@"; fi
}

# The digest that `make image` left, and nothing in a dry run without an image.
digest() {
    if [ -e "$image.digest" ]; then
        cat "$image.digest"
    elif [ -z "${DRY_RUN:-}" ]; then
        fail "$image.digest is missing: run make release-image"
    fi
}

# A chart with the name of the published image in its values.
pack() { # chart, digest
    copy=$scratch/$1
    cp -R "$here/charts/$1" "$copy"
    if [ "$1" = "$name" ]; then
        sed -i "s|^  repository: $name\$|  repository: $repository|" "$copy/values.yaml"
        # The first one is the operator's image.
        sed -i "0,/^  digest: \"\"\$/s||  digest: \"$2\"|" "$copy/values.yaml"
        sed -i -e "s#^| .image.repository. | [^|]*|#| \`image.repository\` | \`\"$repository\"\` |#" \
            -e "s#^| .image.digest. | [^|]*|#| \`image.digest\` | \`\"$2\"\` |#" "$copy/README.md"
    fi
    "$helm" package "$copy" --destination "$folder" >/dev/null
}

files() {
    sandbox=${SANDBOX:?names the program that makes manifests}
    for chart in "$name" "$name-crds"; do
        said=$(sed -n 's/^version: *//p' "$here/charts/$chart/Chart.yaml")
        [ "$said" = "$version" ] || fail "charts/$chart has version $said, Cargo.toml $version"
    done
    grep -q "^## $version\( \|\$\)" "$here/CHANGELOG.md" || [ -n "${DRY_RUN:-}" ] ||
        fail "CHANGELOG.md has no section $version"
    digest=$(digest)
    rm -rf "$folder"
    mkdir -p "$folder"
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    for chart in "$name" "$name-crds"; do pack "$chart" "$digest"; done
    reference=$repository${digest:+@$digest}
    [ -n "$digest" ] || reference=$repository:$version
    "$sandbox" manifests --single "$folder/install.yaml" --image "$reference"
    for kind in managercredentials digitalmessaginginterfaces channelconnections; do
        echo '---'
        cat "$here/crds/$kind.yaml"
    done >"$folder/crds.yaml"
    cp "$here/deploy/argocd/argocd-cm.yaml" "$here/deploy/argocd/argocd-cm-applications.yaml" "$here/contract/openapi.yaml" "$folder/"
    cp "$here/deploy/approval/approval.yaml" "$folder/approval.yaml"
    cp "$here/deploy/approval/roles.yaml" "$folder/approval-roles.yaml"
    if [ -e "$image.cdx.json" ]; then
        cp "$image.cdx.json" "$folder/$bill"
    elif [ -n "${DRY_RUN:-}" ]; then
        say "no bill of materials: $image.cdx.json is missing"
    else
        fail "$image.cdx.json is missing: run make release-image"
    fi
    (cd "$folder" && sha256sum -- * >.sums && mv .sums SHA256SUMS)
    say "$(find "$folder" -type f | wc -l) files of $version in $folder"
}

# Pushes a chart and signs what was pushed.
push() { # chart
    archive=$folder/$1-$version.tgz
    if [ -n "${DRY_RUN:-}" ]; then
        out "$helm" push "$archive" "oci://$registry/charts"
        pushed='sha256:…'
    else
        said=$("$helm" push "$archive" "oci://$registry/charts" 2>&1) || fail "$said"
        pushed=$(printf '%s\n' "$said" | sed -n 's/^Digest: *\(sha256:[0-9a-f]\{64\}\)$/\1/p')
        [ -n "$pushed" ] || fail "helm push names no digest: $said"
    fi
    out cosign sign --yes "$registry/charts/$1@$pushed"
}

publish() {
    (cd "$folder" && sha256sum --quiet --check SHA256SUMS) || fail "$folder is not what SHA256SUMS says"
    for needed in "$name-$version.tgz" "$name-crds-$version.tgz" "$bill"; do
        [ -e "$folder/$needed" ] || [ -n "${DRY_RUN:-}" ] || fail "$folder/$needed is missing"
    done
    digest=$(digest)
    out skopeo copy --preserve-digests "oci-archive:$image.tar" "docker://$repository:$version"
    subject=$repository@${digest:-sha256:…}
    out cosign sign --yes "$subject"
    out cosign attest --yes --type cyclonedx --predicate "$folder/$bill" "$subject"
    for chart in "$name" "$name-crds"; do push "$chart"; done
    out cosign sign-blob --yes --bundle "$folder/SHA256SUMS.sigstore.json" "$folder/SHA256SUMS"
    out gh release create "v$version" --verify-tag --title "$version" --notes "See CHANGELOG.md." "$folder"/*
}

case $step in
    files) files ;;
    publish) publish ;;
    *) fail "usage: $0 files|publish FOLDER" ;;
esac
