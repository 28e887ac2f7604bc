#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the tools named on the command line from the Go modules pinned beside this script into build/tools/: without
# arguments those that `make test` needs, with `node` those that a node needs besides. One that was built from the same
# files, Go version and flags is left alone. monitoring-definitions is no program but a folder that a module brings along.
set -eu

# minutes: on two cores; group: built when that is asked for
# name                        folder           package                                                         versioned by                                        minutes  group
table='
etcd                          etcd             go.etcd.io/etcd/server/v3                                       -                                                   1
kube-apiserver                kubernetes       k8s.io/kubernetes/cmd/kube-apiserver                            k8s.io/kubernetes                                   5
kubectl                       kubernetes       k8s.io/kubernetes/cmd/kubectl                                   k8s.io/kubernetes                                   1
kube-controller-manager       kubernetes       k8s.io/kubernetes/cmd/kube-controller-manager                   k8s.io/kubernetes                                   5
kube-apiserver-1.33           kubernetes-1.33  k8s.io/kubernetes/cmd/kube-apiserver                            k8s.io/kubernetes                                   5        named
kube-controller-manager-1.33  kubernetes-1.33  k8s.io/kubernetes/cmd/kube-controller-manager                   k8s.io/kubernetes                                   5        named
helm                          helm             helm.sh/helm/v4/cmd/helm                                        helm.sh/helm/v4                                     2
helm-3                        helm-3           helm.sh/helm/v3/cmd/helm                                        helm.sh/helm/v3                                     2        named
promtool                      promtool         github.com/prometheus/prometheus/cmd/promtool                   github.com/prometheus/prometheus                    5
monitoring-definitions        monitoring       example/prometheus-operator-crd                                 github.com/prometheus-operator/prometheus-operator  1
kstatus                       kstatus          digitalmessaging.io/tools/kstatus                               github.com/fluxcd/cli-utils                         1
argocd                        argocd           github.com/argoproj/argo-cd/v3/cmd                              github.com/argoproj/argo-cd/v3                      10       named
kubelet                       kubernetes       k8s.io/kubernetes/cmd/kubelet                                   k8s.io/kubernetes                                   3        node
kube-scheduler                kubernetes       k8s.io/kubernetes/cmd/kube-scheduler                            k8s.io/kubernetes                                   1        node
kube-proxy                    kubernetes       k8s.io/kubernetes/cmd/kube-proxy                                k8s.io/kubernetes                                   1        node
kube-router                   kube-router      github.com/cloudnativelabs/kube-router/v2/cmd/kube-router       github.com/cloudnativelabs/kube-router/v2           3        node
coredns                       coredns          .                                                               github.com/coredns/coredns                          2        node
bridge                        cni              github.com/containernetworking/plugins/plugins/main/bridge      github.com/containernetworking/plugins              1        node
loopback                      cni              github.com/containernetworking/plugins/plugins/main/loopback    github.com/containernetworking/plugins              1        node
host-local                    cni              github.com/containernetworking/plugins/plugins/ipam/host-local  github.com/containernetworking/plugins              1        node
pause                         pause            .                                                               digitalmessaging.io/tools/pause                     1        node
'

here=$(cd "$(dirname "$0")" && pwd)
out=$here/../build/tools
say() { printf 'tools: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }

case ${1-} in
    '') group= wanted= ;;
    node) group=node wanted= ;;
    *) group= wanted=$* ;;
esac
wanted=${wanted:-$(printf %s "$table" | awk -v group="$group" 'NF && $6 == group { print $1 }')}
if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
    lacking=
    for name in $wanted; do
        if [ -x "$KUBEBUILDER_ASSETS/$name" ]; then continue; fi
        # The folders that people have usually lack these.
        case $name in
            etcd | kube-apiserver | kubectl) fail "KUBEBUILDER_ASSETS is $KUBEBUILDER_ASSETS, but $name is not there" ;;
            *) lacking="$lacking $name" ;;
        esac
    done
    say "using those in KUBEBUILDER_ASSETS ($KUBEBUILDER_ASSETS)"
    [ -n "$lacking" ] || exit 0
    wanted=$lacking
fi

command -v go >/dev/null || fail "Go is not installed; it builds these tools from source"
export CGO_ENABLED=0 GOWORK=off GOFLAGS='-mod=readonly -buildvcs=false'
mkdir -p "$out/stamps"
ticker=
trap '[ -z "$ticker" ] || kill "$ticker" 2>/dev/null' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

build() { # name, module folder, package, versioning module or "-", minutes
    name=$1 module=$here/$2 package=$3 flags='-s -w'
    selected=$(go -C "$module" list -m -f '{{.Version}}' "$([ "$4" = - ] && echo "$3" || echo "$4")")
    if [ "$4" = k8s.io/kubernetes ]; then
        major=${selected#v} minor=${selected#*.}
        flags="$flags -X k8s.io/component-base/version.gitVersion=$selected"
        flags="$flags -X k8s.io/component-base/version.gitMajor=${major%%.*}"
        flags="$flags -X k8s.io/component-base/version.gitMinor=${minor%%.*}"
    fi
    # As its releases: charts that ask for a Kubernetes of some age are refused otherwise.
    if [ "$name" = helm-3 ]; then
        client=$(go -C "$module" list -m -f '{{.Version}}' k8s.io/client-go) minor=${client#*.}
        for place in chartutil lint/rules; do
            flags="$flags -X helm.sh/helm/v3/pkg/$place.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/$place.k8sVersionMinor=${minor%%.*}"
        done
        flags="$flags -X helm.sh/helm/v3/internal/version.version=$selected"
    fi
    # Without all that finds targets in clouds.
    tags=$([ "$name" != promtool ] || echo remove_all_sd)
    stamp=$out/stamps/$name
    { go version; echo "$package $flags${tags:+ tags $tags}"; cat "$module/go.mod" "$module/go.sum"; find "$module" -name '*.go' -exec cat {} +; } >"$stamp.new"
    if [ -x "$out/$name" ] && cmp -s "$stamp" "$stamp.new"; then
        rm "$stamp.new"
        return
    fi
    say "building $name $selected: once, up to $5 min on two cores with nothing cached"
    start=$(date +%s)
    # Short sleeps, so that none outlives the script noticeably.
    (passed=0; while sleep 1; do passed=$((passed + 1)); [ $((passed % 15)) -ne 0 ] || say "… $name, $passed s"; done) &
    ticker=$!
    if [ "$name" = monitoring-definitions ]; then
        go -C "$module" mod download "$4"
        rm -rf "$out/$name" "$out/$name.new"
        mkdir "$out/$name.new"
        for kind in servicemonitors prometheusrules; do
            cp "$(go -C "$module" list -m -f '{{.Dir}}' "$4")/$package/monitoring.coreos.com_$kind.yaml" "$out/$name.new"
        done
    else
        go -C "$module" build -trimpath -tags "$tags" -ldflags "$flags" -o "$out/$name.new" "$package"
    fi
    kill "$ticker" 2>/dev/null || :
    wait "$ticker" 2>/dev/null || :
    ticker=
    mv "$out/$name.new" "$out/$name"
    mv "$stamp.new" "$stamp"
    say "built $name $selected in $(($(date +%s) - start)) s"
}

for name in $wanted; do
    row=$(printf %s "$table" | awk -v name="$name" '$1 == name')
    [ -n "$row" ] || fail "$name is not in the table of $0"
    # shellcheck disable=SC2086 # a row is a list of words
    build $row
done
