// SPDX-License-Identifier: Apache-2.0

//! The files that the components of the node read.

use std::path::Path;

/// Name of the node, and of its control group.
pub(crate) const NAME: &str = "messaging-e2e";
/// The node's own address.
pub(super) const ADDRESS: &str = "10.77.0.1";
/// Addresses of Services; the first is the API server's.
const SERVICE_NETWORK: &str = "10.96.0.0/16";
/// Address of the Service `kubernetes`.
pub(super) const API_SERVICE: &str = "10.96.0.1";
const POD_NETWORK: &str = "10.244.0.0/24";
/// The node's address among the pods: where pods reach what runs beside the cluster.
const POD_GATEWAY: &str = "10.244.0.1";
/// The image that holds a pod's namespaces.
pub(super) const PAUSE_IMAGE: &str = "localhost/pause:1";

/// All files by name.
pub(super) fn files(folder: &Path, tools: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("node.env", environment()),
        ("containerd.toml", containerd(folder, tools)),
        ("cni/10-bridge.conflist", pod_network()),
        ("resolv.conf", format!("nameserver {ADDRESS}\n")),
        ("kubelet.yaml", kubelet(folder)),
        ("kube-proxy.yaml", kube_proxy(folder)),
        ("Corefile", coredns(folder)),
        ("audit-policy.yaml", AUDIT_POLICY.to_owned()),
    ]
}

const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ['system:apiserver']
- level: Metadata
";

fn environment() -> String {
    format!("NODE_NAME={NAME}\nNODE_ADDRESS={ADDRESS}\nSERVICE_NETWORK={SERVICE_NETWORK}\nPOD_GATEWAY={POD_GATEWAY}\n")
}

/// `restrict_oom_score_adj`: without the right to lower a score, which containers of CI machines lack, no pod would start.
fn containerd(folder: &Path, tools: &Path) -> String {
    let (folder, tools) = (folder.display(), tools.display());
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{tools}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"#
    )
}

fn pod_network() -> String {
    serde_json::json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipMasq": false,
            "ipam": {
                "type": "host-local", "dataDir": "/run/cni",
                "ranges": [[{ "subnet": POD_NETWORK }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    })
    .to_string()
}

/// Images are never collected: what was imported could not be pulled again.
fn kubelet(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /{NAME}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {folder}/certificates/authority.crt}}}}
authorization: {{mode: Webhook}}
clusterDomain: cluster.local
clusterDNS: [{ADDRESS}]
resolvConf: {folder}/resolv.conf
seccompDefault: true
imageGCHighThresholdPercent: 100
imageMinimumGCAge: 24h
evictionHard: {{memory.available: 100Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%, imagefs.inodesFree: 0%}}
failSwapOn: false
nodeStatusUpdateFrequency: 5s
shutdownGracePeriod: 0s
"
    )
}

/// The limits of connection tracking belong to the machine's first network namespace, so they are left alone.
fn kube_proxy(folder: &Path) -> String {
    format!(
        "\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: {NAME}
clientConnection: {{kubeconfig: {}/kube-proxy.kubeconfig}}
clusterCIDR: {POD_NETWORK}
conntrack: {{maxPerCore: 0, min: 0}}
",
        folder.display()
    )
}

fn coredns(folder: &Path) -> String {
    format!(
        "\
.:53 {{
  bind {ADDRESS}
  errors
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {}/coredns.kubeconfig
    ttl 5
  }}
}}
",
        folder.display()
    )
}
