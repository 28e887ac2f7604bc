#!/bin/sh
# The two halves of a release:
#   release.sh files FOLDER     writes what is attached to it: charts, manifests, what the image tool left, checksums
#   release.sh publish FOLDER   pushes and signs image and charts, and makes the release with the files
# DRY_RUN=1 has `publish` print each command that would reach out, and run none of them.
# SANDBOX names the program that makes manifests; REGISTRY where image and charts go.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
say() { printf 'release: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }
[ $# -eq 2 ] || fail "usage: $0 files|publish FOLDER"
step=$1 folder=$2
name=digital-messaging-operator
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$here/Cargo.toml" | head -n 1)
[ -n "$version" ] || fail 'Cargo.toml has no version'

# Reaches out: not in a dry run.
out() {
    if [ -n "${DRY_RUN:-}" ]; then say "would run: $*"; else "$@"; fi
}

files() {
    helm=${HELM:-$here/build/tools/helm}
    sandbox=${SANDBOX:?names the program that makes manifests}
    for chart in "$name" "$name-crds"; do
        said=$(sed -n 's/^version: *//p' "$here/charts/$chart/Chart.yaml")
        [ "$said" = "$version" ] || fail "charts/$chart has version $said, Cargo.toml $version"
    done
    grep -q "^## $version\( \|\$\)" "$here/CHANGELOG.md" || [ -n "${DRY_RUN:-}" ] ||
        fail "CHANGELOG.md has no section $version"
    rm -rf "$folder"
    mkdir -p "$folder"
    for chart in "$name" "$name-crds"; do
        "$helm" package "$here/charts/$chart" --destination "$folder" >/dev/null
    done
    "$sandbox" manifests --single "$folder/install.yaml"
    for kind in managercredentials digitalmessaginginterfaces channelconnections; do
        echo '---'
        cat "$here/crds/$kind.yaml"
    done >"$folder/crds.yaml"
    cp "$here/deploy/argocd/argocd-cm.yaml" "$here/contract/openapi.yaml" "$folder/"
    # `make image` leaves a list of what is in the image beside it.
    for list in "$here"/build/*.spdx.json "$here"/build/*.cdx.json; do
        [ ! -e "$list" ] || cp "$list" "$folder/"
    done
    (cd "$folder" && sha256sum -- * >.sums && mv .sums SHA256SUMS)
    say "$(find "$folder" -type f | wc -l) files of $version in $folder"
}

publish() {
    (cd "$folder" && sha256sum --quiet --check SHA256SUMS) || fail "$folder is not what SHA256SUMS says"
    registry=${REGISTRY:?where image and charts go, such as ghcr.io/example}
    image=$registry/$name
    out skopeo copy --digestfile "$folder/image.digest" "oci-archive:$here/build/image.tar" "docker://$image:$version"
    digest=$([ -n "${DRY_RUN:-}" ] && echo 'sha256:…' || cat "$folder/image.digest")
    out cosign sign --yes "$image@$digest"
    for list in "$folder"/*.spdx.json; do
        [ ! -e "$list" ] || out cosign attest --yes --type spdxjson --predicate "$list" "$image@$digest"
    done
    for chart in "$folder/$name-$version.tgz" "$folder/$name-crds-$version.tgz"; do
        [ -e "$chart" ] || fail "$chart is missing"
        out "${HELM:-$here/build/tools/helm}" push "$chart" "oci://$registry/charts"
    done
    for chart in "$name" "$name-crds"; do
        out cosign sign --yes "$registry/charts/$chart:$version"
    done
    out cosign sign-blob --yes --bundle "$folder/SHA256SUMS.sigstore.json" "$folder/SHA256SUMS"
    out gh release create "v$version" --title "$version" --notes "See CHANGELOG.md." "$folder"/*
}

case $step in
    files) files ;;
    publish) publish ;;
    *) fail "usage: $0 files|publish FOLDER" ;;
esac
