// SPDX-License-Identifier: Apache-2.0

//! The chart of the operator, rendered, and questions to what comes out.

use std::{sync::LazyLock, time::Duration};

use kube::{
    Client,
    api::{DynamicObject, Patch, PatchParams},
};
use sandbox::{
    ControlPlane, Run,
    manifests::api_for,
    packaging::{CHART, Helm},
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// How long a test waits for what must happen.
pub const DEADLINE: Duration = Duration::from_mins(2);
/// The release that tests render.
pub const RELEASE: &str = "release";

/// Helm without a cluster.
pub static HELM: LazyLock<Helm> = LazyLock::new(|| Helm::new(&Run::new().unwrap()).unwrap());

/// A control plane that tests of this binary may put cluster-wide objects into and take them away again.
pub async fn own_control_plane() -> &'static ControlPlane {
    static OWN: OnceCell<ControlPlane> = OnceCell::const_new();
    OWN.get_or_init(async || ControlPlane::start().await.unwrap()).await
}

/// An argument as the kubelet hands it to a container of a pod in this namespace.
pub fn expanded(argument: &str, namespace: &str) -> String {
    argument.replace("$(POD_NAMESPACE)", namespace)
}

/// What the chart renders.
#[derive(Clone, Debug)]
pub struct Objects(pub Vec<Value>);

/// The chart with these values over its own.
pub fn render(values: &Value) -> Objects {
    render_in("messaging", values)
}

/// The chart in a namespace.
pub fn render_in(namespace: &str, values: &Value) -> Objects {
    let rendered = HELM.template(CHART, RELEASE, namespace, values).unwrap();
    Objects(
        rendered
            .into_iter()
            .map(|rendered| serde_json::to_value(rendered.object).unwrap())
            .collect(),
    )
}

/// Why the chart does not render with these values.
pub fn refusal(values: &Value) -> String {
    match HELM.template(CHART, RELEASE, "messaging", values) {
        Ok(_) => panic!("{values} is taken"),
        Err(error) => format!("{error:#}"),
    }
}

impl Objects {
    /// All of a kind.
    pub fn of_kind(&self, kind: &str) -> Vec<&Value> {
        self.0.iter().filter(|object| object["kind"] == kind).collect()
    }

    /// The only one of a kind.
    pub fn one(&self, kind: &str) -> &Value {
        match self.of_kind(kind)[..] {
            [object] => object,
            ref found => panic!("{} of {kind}: {found:?}", found.len()),
        }
    }

    /// The kinds, each once, in order of the alphabet.
    pub fn kinds(&self) -> Vec<&str> {
        let mut kinds: Vec<&str> = self.0.iter().map(|object| object["kind"].as_str().unwrap()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// The operator's container.
    pub fn container(&self) -> &Value {
        &self.one("Deployment")["spec"]["template"]["spec"]["containers"][0]
    }

    /// The arguments of the operator's container.
    pub fn arguments(&self) -> Vec<&str> {
        let arguments = self.container()["args"].as_array().unwrap();
        arguments.iter().map(|argument| argument.as_str().unwrap()).collect()
    }

    /// The pods, as their controllers or hooks make them: name and pod.
    pub fn pods(&self) -> Vec<(String, Value)> {
        self.0
            .iter()
            .filter_map(|object| {
                let (metadata, spec) = match object["kind"].as_str().unwrap() {
                    "Pod" => (&object["metadata"], &object["spec"]),
                    "Deployment" | "StatefulSet" => {
                        let template = &object["spec"]["template"];
                        (&template["metadata"], &template["spec"])
                    }
                    _ => return None,
                };
                let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec });
                for field in ["name", "namespace"] {
                    pod["metadata"][field] = object["metadata"][field].clone();
                }
                for claim in object["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
                    let name = &claim["metadata"]["name"];
                    let volume = json!({ "name": name, "persistentVolumeClaim": { "claimName": name } });
                    match pod["spec"]["volumes"].as_array_mut() {
                        Some(volumes) => volumes.push(volume),
                        None => pod["spec"]["volumes"] = json!([volume]),
                    }
                }
                Some((object["metadata"]["name"].as_str().unwrap().to_owned(), pod))
            })
            .collect()
    }
}

/// What the server says to an object, which it does not keep: unknown fields are errors.
pub async fn dry_run(client: &Client, object: &Value) -> Result<(), String> {
    let name = object["metadata"]["name"].as_str().unwrap();
    let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
    let api = api_for(client, &object).await.map_err(|error| format!("{error:#}"))?;
    let params = PatchParams::apply("tests").force().dry_run().validation_strict();
    let answer = api.patch(name, &params, &Patch::Apply(&object)).await;
    answer.map(drop).map_err(|error| error.to_string())
}
