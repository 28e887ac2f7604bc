// SPDX-License-Identifier: Apache-2.0

//! The overlays of `deploy/`: up to date, equal to what Helm installs with the same values, taken by a cluster with
//! `kubectl apply -k`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sandbox::{
    ControlPlane,
    packaging::{self, CHART, NAMESPACE, Overlay, RELEASE, single_file, without_helm},
    program::{self, project},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    chart::{HELM, own_control_plane},
    life::{DEFINITIONS, wait_until_served},
};

/// kubectl with nothing of the caller's; `kubeconfig` may be none.
pub fn kubectl(kubeconfig: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program::tools().unwrap().join("kubectl"))
        .args(arguments)
        .current_dir(project())
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .env("KUBECACHEDIR", kubeconfig.with_extension("cache"))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "kubectl {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

type Objects = BTreeMap<String, Value>;

fn by_name(objects: impl IntoIterator<Item = Value>) -> Objects {
    let key = |object: &Value| {
        format!(
            "{} {} {}",
            object["kind"], object["metadata"]["namespace"], object["metadata"]["name"]
        )
    };
    objects.into_iter().map(|object| (key(&object), object)).collect()
}

fn parse(text: &str) -> Objects {
    let documents = serde_yaml::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap());
    by_name(documents.filter(|document| !document.is_null()))
}

#[test]
fn what_is_made_from_the_charts_is_up_to_date() {
    let made = packaging::files(&HELM).unwrap();
    for file in &made {
        let present = fs::read_to_string(project().join(&file.path)).unwrap_or_default();
        assert!(
            present == file.content,
            "{} differs from charts/: run `make manifests`",
            file.path.display()
        );
    }
    // What is there and would not be made any more.
    let mut expected: BTreeSet<PathBuf> = made.into_iter().map(|file| file.path).collect();
    expected.extend(
        Overlay::ALL
            .iter()
            .map(|overlay| Path::new(&overlay.folder()).join("values.yaml")),
    );
    for folder in fs::read_dir(project().join("deploy/overlays"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .chain([project().join("deploy/base")])
    {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let path = path.strip_prefix(project()).unwrap();
            assert!(expected.contains(path), "{} is not made by `make manifests`", path.display());
        }
    }
}

#[test]
fn each_overlay_is_what_helm_installs_with_its_values() {
    for overlay in Overlay::ALL {
        let built = parse(&kubectl(Path::new("/dev/null"), &["kustomize", &overlay.folder()]));
        let rendered = HELM.template(CHART, RELEASE, NAMESPACE, &overlay.values().unwrap()).unwrap();
        let expected = by_name(
            rendered
                .into_iter()
                .filter(|rendered| !rendered.is_hook())
                .map(|rendered| serde_json::to_value(without_helm(rendered.object)).unwrap()),
        );
        assert_eq!(
            built.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>(),
            "{}",
            overlay.name
        );
        for (name, object) in &expected {
            assert_eq!(&built[name], object, "{}: {name}", overlay.name);
        }
    }
}

/// No argument keeps the namespace that the overlay was rendered for, and what the kubelet puts in its place is defined.
fn moves_along(pod: &Value) {
    for container in pod["containers"].as_array().unwrap() {
        let arguments = container["args"].to_string().replace(RELEASE, "");
        assert!(!arguments.contains(NAMESPACE), "{container}");
        let defined = container["env"].to_string().contains("POD_NAMESPACE");
        assert!(defined || !arguments.contains("$(POD_NAMESPACE)"), "{container}");
    }
}

#[test]
fn an_overlay_of_ones_own_moves_everything_to_another_namespace_and_image() {
    let folder = tempfile::tempdir_in(project().join("target")).unwrap();
    let mut seen = BTreeSet::new();
    for overlay in Overlay::ALL {
        let own = format!(
            "namespace: elsewhere\nresources: [../../{}, ../../crds]\n\
             images: [{{ name: digital-messaging-operator, newName: registry.example/operator, newTag: '1' }}]\n",
            overlay.folder()
        );
        fs::write(folder.path().join("kustomization.yaml"), own).unwrap();
        let built = parse(&kubectl(
            Path::new("/dev/null"),
            &["kustomize", folder.path().to_str().unwrap()],
        ));
        for object in built.values() {
            let namespace = &object["metadata"]["namespace"];
            assert!(namespace.is_null() || namespace == "elsewhere", "{object}");
            for subject in object["subjects"].as_array().into_iter().flatten() {
                assert_eq!(subject["namespace"], "elsewhere", "{object}");
            }
            if let Some(pod) = object.pointer("/spec/template/spec") {
                assert_eq!(pod["containers"][0]["image"], "registry.example/operator:1");
                moves_along(pod);
            }
            seen.insert(object["kind"].as_str().unwrap().to_owned());
        }
    }
    for kind in [
        "CustomResourceDefinition",
        "ClusterRoleBinding",
        "RoleBinding",
        "Deployment",
        "StatefulSet",
    ] {
        assert!(seen.contains(kind), "no {kind} in {seen:?}");
    }
}

#[test]
fn the_own_namespace_is_watched_by_a_name_that_moves_along() {
    let rendered = HELM
        .template(
            CHART,
            RELEASE,
            NAMESPACE,
            &json!({ "watchNamespaces": [NAMESPACE, "another"] }),
        )
        .unwrap();
    let deployment = rendered.iter().find(|rendered| rendered.kind() == "Deployment").unwrap();
    let deployment = serde_json::to_value(&deployment.object).unwrap();
    let arguments = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    assert_eq!(arguments[1], "--namespaces=$(POD_NAMESPACE),another");
}

async fn namespace_for_the_overlays(control_plane: &ControlPlane) {
    let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {NAMESPACE} }}\n");
    let client = control_plane.client().await.unwrap();
    sandbox::Manifests::parse(&namespace).unwrap().apply(&client).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_applies_each_overlay_and_takes_it_away_again() {
    // The single file has the same objects.
    let _alone = DEFINITIONS.lock().await;
    let control_plane = own_control_plane().await;
    namespace_for_the_overlays(control_plane).await;
    let kubeconfig = control_plane.kubeconfig();
    for overlay in Overlay::ALL {
        let folder = overlay.folder();
        let said = kubectl(
            kubeconfig,
            &[
                "apply",
                "-k",
                &folder,
                "--server-side",
                "--dry-run=server",
                "--validate=strict",
            ],
        );
        assert!(
            said.contains("deployment.apps/digital-messaging-operator serverside-applied (server dry run)"),
            "{said}"
        );
        kubectl(kubeconfig, &["apply", "-k", &folder]);
        let again = kubectl(kubeconfig, &["apply", "-k", &folder]);
        let mut lines = again.lines();
        // A budget's selector and the templates of claims are replaced as a whole, which kubectl cannot tell from a change.
        let replaced = |line: &str| line.starts_with("poddisruptionbudget") || line.starts_with("statefulset");
        let unchanged = |line: &str| line.ends_with("unchanged") || replaced(line);
        assert!(lines.all(unchanged), "{}: {again}", overlay.name);
        let present = kubectl(kubeconfig, &["get", "-k", &folder, "--output", "name"]);
        kubectl(kubeconfig, &["delete", "-k", &folder, "--timeout=60s"]);
        let left = kubectl(kubeconfig, &["get", "-k", &folder, "--ignore-not-found", "--output", "name"]);
        assert!(!present.is_empty() && left.is_empty(), "{}: {left}", overlay.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_single_file_of_a_release_installs_everything() {
    let _alone = DEFINITIONS.lock().await;
    let control_plane = own_control_plane().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("install.yaml");
    fs::write(&file, single_file(&HELM, None).unwrap()).unwrap();
    let said = kubectl(
        control_plane.kubeconfig(),
        &["apply", "--server-side", "--force-conflicts", "-f", file.to_str().unwrap()],
    );
    for object in [
        "namespace/digital-messaging",
        "channelconnections.digitalmessaging.io",
        "clusterrole",
        "deployment.apps/digital-messaging-operator",
    ] {
        assert!(said.contains(object), "no {object} in {said}");
    }
    assert!(!said.contains("pod/"), "{said}");
    let definitions = ["managercredentials", "digitalmessaginginterfaces", "channelconnections"]
        .map(|name| format!("{name}.digitalmessaging.io"));
    let [a, b, c] = &definitions;
    wait_until_served(&control_plane.client().await.unwrap()).await;
    kubectl(control_plane.kubeconfig(), &["delete", "crd", a, b, c, "--timeout=2m"]);
}
