// SPDX-License-Identifier: Apache-2.0

//! Values that people set, alone and together. Everything that is rendered anywhere is rendered by one of them.

use serde_json::{Value, json};

/// A digest.
pub const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Name and values; `namespace` is watched where namespaces are named.
pub fn all(namespace: &str) -> Vec<(&'static str, Value)> {
    let mut combinations = vec![
        ("nothing set", json!({})),
        ("namespaces", json!({ "watchNamespaces": [namespace] })),
        ("no roles", json!({ "rbac": { "create": false } })),
        (
            "somebody else's account",
            json!({ "serviceAccount": { "create": false, "name": "theirs" } }),
        ),
        ("two replicas", json!({ "replicas": 2 })),
        (
            "two replicas without budget",
            json!({ "replicas": 2, "podDisruptionBudget": { "enabled": false } }),
        ),
        ("none at all", json!({ "replicas": 0 })),
        (
            "a share may go",
            json!({ "replicas": 3, "podDisruptionBudget": { "maxUnavailable": "34%" } }),
        ),
        ("network policy", json!({ "networkPolicy": { "enabled": true } })),
        ("service monitor", json!({ "serviceMonitor": { "enabled": true } })),
        ("alerts", json!({ "prometheusRule": { "enabled": true } })),
        ("dashboard", json!({ "dashboard": { "enabled": true } })),
        ("approval", json!({ "approvalPolicy": { "enabled": true } })),
        (
            "no test",
            json!({ "test": { "enabled": false }, "networkPolicy": { "enabled": true } }),
        ),
        ("IPv6", json!({ "http": { "address": "::", "port": 9090 } })),
        (
            "no security contexts",
            json!({ "pod": { "securityContext": null }, "securityContext": null }),
        ),
        (
            "manager without security contexts",
            json!({ "manager": { "enabled": true }, "pod": { "securityContext": null }, "securityContext": null }),
        ),
        (
            "assigned users",
            json!({ "pod": { "securityContext": { "runAsUser": null, "runAsGroup": null } } }),
        ),
        (
            "no resources",
            json!({ "resources": null, "pod": { "topologySpreadConstraints": [], "nodeSelector": null } }),
        ),
        ("manager", json!({ "manager": { "enabled": true } })),
        (
            "manager without volume",
            json!({ "manager": { "enabled": true, "persistence": { "enabled": false } } }),
        ),
        (
            "manager with a claim",
            json!({ "manager": { "enabled": true, "persistence": { "existingClaim": "claim" } } }),
        ),
        (
            "manager with TLS",
            json!({ "manager": { "enabled": true, "tlsSecretName": "manager-tls" } }),
        ),
        (
            "names",
            json!({ "nameOverride": "dmo", "fullnameOverride": "a-name-that-is-longer-than-what-the-names-of-services-can-hold-at-all" }),
        ),
    ];
    combinations.push(("everything", everything(namespace)));
    combinations
}

/// Everything at once.
pub fn everything(namespace: &str) -> Value {
    json!({
        "watchNamespaces": [namespace],
        "installation": "production",
        "managers": { "allowedHosts": ["manager.example", "*.eu.example"], "allowPrivateHosts": true, "allowedPrivateNetworks": ["10.20.0.0/16", "fd00::/8"], "allowInsecureEndpoints": true },
        "recheckInterval": "1h30m",
        "leaderElection": { "leaseDuration": "30s", "renewDeadline": "20s", "retryPeriod": "5s" },
        "maxKubernetesRequests": 128,
        "log": { "format": "human", "filter": "info,kube=debug" },
        "tracing": { "otlpEndpoint": "http://collector.monitoring:4318" },
        "http": { "address": "0.0.0.0", "port": 9090 },
        "extraEnv": [{ "name": "HTTPS_PROXY", "value": "http://proxy.example:3128" }],
        "replicas": 3,
        "image": { "repository": "registry.example/operator", "tag": "ignored", "digest": DIGEST, "pullPolicy": "Always" },
        "imagePullSecrets": [{ "name": "registry" }],
        "commonLabels": { "team": "messaging", "app.kubernetes.io/name": "not-ours" },
        "commonAnnotations": { "example.com/owner": "messaging" },
        "serviceAccount": { "name": "operator", "annotations": { "example.com/role": "x" } },
        "deployment": { "annotations": { "example.com/deployment": "x" }, "strategy": { "type": "Recreate", "rollingUpdate": null } },
        "pod": {
            "labels": { "zone": "a", "app.kubernetes.io/component": "not-ours" },
            "annotations": { "example.com/pod": "x" },
            "priorityClassName": "system-cluster-critical",
            "tolerations": [{ "key": "dedicated", "operator": "Exists" }],
            "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
                { "matchExpressions": [{ "key": "kubernetes.io/arch", "operator": "In", "values": ["amd64", "arm64"] }] }] } } },
            "extraVolumes": [{ "name": "authorities", "configMap": { "name": "authorities" } }],
            "extraVolumeMounts": [{ "name": "authorities", "mountPath": "/etc/ssl/certs", "readOnly": true }],
        },
        "networkPolicy": {
            "enabled": true,
            "metrics": { "from": [{ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "monitoring" } } }] },
            "dns": { "to": [{ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "kube-system" } } }], "port": 5353 },
            "apiServer": { "to": [{ "ipBlock": { "cidr": "10.0.0.1/32" } }], "ports": [443] },
            "managers": { "to": [{ "ipBlock": { "cidr": "203.0.113.0/24" } }], "ports": [443, 8443] },
            "extraEgress": [{ "to": [{ "ipBlock": { "cidr": "192.0.2.1/32" } }], "ports": [{ "port": 3128 }] }],
        },
        "serviceMonitor": {
            "enabled": true, "interval": "30s", "scrapeTimeout": "10s", "labels": { "release": "prometheus" },
            "relabelings": [{ "targetLabel": "cluster", "replacement": "one" }],
            "metricRelabelings": [{ "action": "drop", "sourceLabels": ["__name__"], "regex": "go_.*" }],
        },
        "prometheusRule": {
            "enabled": true, "labels": { "release": "prometheus" }, "alertLabels": { "team": "messaging" },
            "runbookUrl": "https://docs.example/runbooks.html", "disabled": ["DigitalMessagingPlanWaiting"],
        },
        "dashboard": { "enabled": true, "labels": { "grafana_dashboard": "yes" }, "annotations": { "grafana_folder": "Messaging" } },
        "approvalPolicy": { "enabled": true, "roles": false },
        "manager": {
            "enabled": true,
            "image": { "repository": "registry.example/manager", "digest": DIGEST },
            "publicUrl": "https://manager.example",
            "tlsSecretName": "manager-tls",
            "extraArgs": ["--region=eu"],
            "extraEnv": [{ "name": "RUST_LOG", "value": "debug" }],
            "persistence": { "storageClassName": "fast", "accessModes": ["ReadWriteOncePod"], "size": "2Gi" },
        },
    })
}
