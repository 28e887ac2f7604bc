#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The first process of the node, in namespaces of its own (network, mounts, processes, host name, IPC): when it ends, the
# kernel ends everything else that is in them, with its mounts, links and firewall rules.
#
# Arguments: the node's folder, the folder of the built tools. Settings come from node.env in the node's folder.
set -euo pipefail
folder=$1 tools=$2
# shellcheck source=/dev/null # written for each node
. "$folder/node.env"
log=$folder/log certificates=$folder/certificates
ctr='ctr --address /run/containerd/containerd.sock --namespace k8s.io'
kubectl="$tools/kubectl --kubeconfig $folder/administrator.kubeconfig"

hostname "$NODE_NAME"

# Nothing is written to the machine's own folders.
mount -t tmpfs tmpfs /run
mount --bind "$folder/var/lib" /var/lib
mount --bind "$folder/var/log" /var/log
mkdir -p /run/lock /run/netns /run/etcd /var/lib/kubelet /var/lib/containerd /var/log/pods

# The kubelet sets these; it gets files to write to that are not the kernel's.
mkdir /run/kernel
while read -r name value; do
    copy=/run/kernel/${name//\//_}
    echo "$value" >"$copy"
    mount --bind "$copy" "/proc/sys/$name"
done <<SETTINGS
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
SETTINGS
mount --make-rshared /

# The node's address is on one end of a pair of virtual links. There is no way out.
ip link set lo up
ip link add node type veth peer name node-peer
ip link set node-peer up
ip address add "$NODE_ADDRESS/24" dev node
ip link set node up
# Services are reached from the node itself, too.
ip route add "$SERVICE_NETWORK" dev node
ip link add cni0 type bridge
ip address add "$POD_GATEWAY/24" dev cni0
ip link set cni0 up
echo 1 >/proc/sys/net/ipv4/ip_forward
[ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables

# The kubelet wants its control group to exist: one, or one for each controller, of which cpuset needs its values.
[ ! -e /sys/fs/cgroup/cgroup.controllers ] || mkdir -p "/sys/fs/cgroup/$NODE_NAME"
for hierarchy in /sys/fs/cgroup/*/; do
    [ -e "$hierarchy/tasks" ] || continue
    mkdir -p "$hierarchy$NODE_NAME"
    if [ -e "$hierarchy/cpuset.cpus" ]; then
        cat "$hierarchy/cpuset.cpus" >"$hierarchy$NODE_NAME/cpuset.cpus"
        cat "$hierarchy/cpuset.mems" >"$hierarchy$NODE_NAME/cpuset.mems"
    fi
done

# Starts a component, and again whenever it has ended.
keep() { # name, command…
    local name=$1 code
    shift
    (
        while :; do
            "$@" >>"$log/$name.log" 2>&1 </dev/null &
            echo $! >"$folder/processes/$name"
            code=0
            wait $! || code=$?
            echo "$(date -Is) $name ended with code $code" >>"$log/ended"
            sleep 0.5
        done
    ) &
}

wait_for() { # what, seconds, command…
    local what=$1 tries=$(($2 * 10))
    shift 2
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { echo "$what did not come up"; exit 1; }
        sleep 0.1
    done
}

keep containerd containerd --config "$folder/containerd.toml" --log-level info
keep etcd "$tools/etcd" --data-dir /run/etcd --unsafe-no-fsync --log-level warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380
keep kube-apiserver "$tools/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
    --advertise-address="$NODE_ADDRESS" --secure-port=6443 --service-cluster-ip-range="$SERVICE_NETWORK" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
    --client-ca-file="$certificates/authority.crt" --tls-cert-file="$certificates/server.crt" --tls-private-key-file="$certificates/server.key" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$certificates/service-account.pub" --service-account-signing-key-file="$certificates/service-account.key" \
    --kubelet-client-certificate="$certificates/kubelet-client.crt" --kubelet-client-key="$certificates/kubelet-client.key" \
    --kubelet-preferred-address-types=InternalIP --cert-dir=/run/kube-apiserver --profiling=false \
    --audit-policy-file="$folder/audit-policy.yaml" --audit-log-path="$folder/audit.log" --audit-log-mode=blocking \
    --audit-log-maxsize=0

wait_for containerd 120 $ctr version
for image in "$folder"/images/*.tar; do
    $ctr images import "$image" >>"$log/images.log" 2>&1
done
# A pull would have made it known by digest, too.
$ctr images list | while read -r image _ digest _; do
    case $image in localhost/*:*) $ctr images tag --force "$image" "${image%:*}@$digest" >>"$log/images.log" 2>&1 ;; esac
done
# shellcheck disable=SC2086 # words
wait_for kube-apiserver 120 $kubectl get --raw /readyz

keep kube-controller-manager "$tools/kube-controller-manager" --kubeconfig="$folder/controllers.kubeconfig" \
    --leader-elect=false --use-service-account-credentials=true --secure-port=0 --profiling=false \
    --service-account-private-key-file="$certificates/service-account.key" --root-ca-file="$certificates/authority.crt" \
    --kube-api-qps=500 --kube-api-burst=1000
keep kube-scheduler "$tools/kube-scheduler" --kubeconfig="$folder/scheduler.kubeconfig" --leader-elect=false --secure-port=0 --profiling=false
keep kubelet "$tools/kubelet" --config="$folder/kubelet.yaml" --kubeconfig="$folder/kubelet.kubeconfig" \
    --hostname-override="$NODE_NAME" --node-ip="$NODE_ADDRESS" --runtime-cgroups="/$NODE_NAME"
keep kube-proxy "$tools/kube-proxy" --config="$folder/kube-proxy.yaml"
keep coredns "$tools/coredns" -conf "$folder/Corefile"

# shellcheck disable=SC2086 # words
{
    wait_for 'the node' 120 $kubectl wait --for=condition=Ready "node/$NODE_NAME" --timeout=0s
    wait_for 'the default service account' 120 $kubectl get serviceaccount default
}
# Nothing of it but what enforces network policies. It wants the node to be there.
keep kube-router "$tools/kube-router" --kubeconfig="$folder/kube-router.kubeconfig" --hostname-override="$NODE_NAME" \
    --run-firewall=true --run-router=false --run-service-proxy=false --service-cluster-ip-range="$SERVICE_NETWORK" --health-port=0
wait_for kube-router 60 iptables --list KUBE-ROUTER-FORWARD --numeric --wait
touch "$folder/started"
# Bash collects what ends, as the first process must.
while :; do wait || :; sleep 1; done
