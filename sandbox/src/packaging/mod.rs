// SPDX-License-Identifier: Apache-2.0

//! What users install, made from the charts: the kustomize overlays in `deploy/`, the single file of a release, and the
//! charts' tables of values. The charts are the only source but for the admission policies, of which they have a copy;
//! `make manifests` writes the rest, and a test compares it. What Argo CD has to know is made beside it, from scripts.

mod argocd;
mod helm;
mod kustomize;
mod values;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::json;

pub use argocd::{ARGOCD_APPLICATION_SETTINGS, ARGOCD_SETTINGS};
pub use helm::{Helm, Rendered};
pub use kustomize::{Overlay, without_helm};

use crate::program::project;

/// The chart of the operator.
pub const CHART: &str = "charts/digital-messaging-operator";
/// The chart of the custom resource definitions.
pub const DEFINITIONS_CHART: &str = "charts/digital-messaging-operator-crds";
/// The release that manifests are rendered as.
pub const RELEASE: &str = "digital-messaging-operator";
/// The namespace that manifests are rendered for.
pub const NAMESPACE: &str = "digital-messaging";

/// What the chart has a copy of, because a chart cannot read what lies outside of it.
const APPROVAL: [(&str, &str); 2] = [
    ("deploy/approval/approval.yaml", "files/approval.yaml"),
    ("deploy/approval/roles.yaml", "files/approval-roles.yaml"),
];

/// A file of the repository that is made from the charts.
#[derive(Debug)]
pub struct MadeFile {
    /// Where it lies, from the root of the repository.
    pub path: PathBuf,
    /// What is in it.
    pub content: String,
}

/// All files that are made from the charts, and from the scripts for Argo CD.
///
/// # Errors
/// When a chart does not render, or a value has no comment.
pub fn files(helm: &Helm) -> Result<Vec<MadeFile>> {
    let mut files = kustomize::files(helm)?;
    files.extend(argocd::files()?);
    for chart in [CHART, DEFINITIONS_CHART] {
        let read = |name: &str| {
            let path = project().join(chart).join(name);
            fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
        };
        let content =
            values::put_table(&read("README.md")?, &read("values.yaml")?).with_context(|| format!("{chart}/values.yaml"))?;
        files.push(MadeFile {
            path: Path::new(chart).join("README.md"),
            content,
        });
    }
    for (source, copy) in APPROVAL {
        let path = project().join(source);
        let content = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let path = Path::new(CHART).join(copy);
        files.push(MadeFile { path, content });
    }
    Ok(files)
}

/// Everything in one file: the namespace, the definitions, the operator for all namespaces from this image; without one, from
/// that of the chart.
///
/// # Errors
/// When a chart does not render, or the image has neither tag nor digest.
pub fn single_file(helm: &Helm, image: Option<&str>) -> Result<String> {
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": NAMESPACE, "labels": { "pod-security.kubernetes.io/enforce": "restricted" } },
    });
    let mut text = format!(
        "# digital-messaging-operator {} with its definitions, for all namespaces.\n\
         # kubectl apply --server-side -f install.yaml\n\
         # Do not `kubectl delete -f` this file: with the definitions go all custom resources. See docs/install.md.\n",
        env!("CARGO_PKG_VERSION")
    );
    let values = match image {
        Some(image) => json!({ "image": image_values(image)? }),
        None => json!({}),
    };
    let objects = helm
        .template(DEFINITIONS_CHART, RELEASE, NAMESPACE, &json!({}))?
        .into_iter()
        .chain(helm.template(CHART, RELEASE, NAMESPACE, &values)?)
        .filter(|rendered| !rendered.is_hook())
        .map(|rendered| without_helm(rendered.object));
    for object in std::iter::once(serde_yaml::to_value(namespace)?).chain(objects) {
        text.push_str("---\n");
        text.push_str(&serde_yaml::to_string(&object)?);
    }
    Ok(text)
}

/// The chart's values for `repository@digest` or `repository:tag`.
fn image_values(image: &str) -> Result<serde_json::Value> {
    if let Some((repository, digest)) = image.split_once('@') {
        return Ok(json!({ "repository": repository, "digest": digest }));
    }
    // The port of a registry comes after a colon, too.
    let (repository, tag) = image
        .rsplit_once(':')
        .filter(|(_, tag)| !tag.contains('/'))
        .with_context(|| format!("{image} has neither tag nor digest"))?;
    Ok(json!({ "repository": repository, "tag": tag }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    #[test]
    fn an_image_is_taken_apart_at_its_digest_or_tag() {
        let of = |image: &str| image_values(image).unwrap();
        assert_eq!(
            of("registry.example:5000/operator@sha256:0123"),
            json!({ "repository": "registry.example:5000/operator", "digest": "sha256:0123" })
        );
        assert_eq!(
            of("registry.example:5000/operator:1.2.3"),
            json!({ "repository": "registry.example:5000/operator", "tag": "1.2.3" })
        );
        let error = image_values("registry.example:5000/operator").unwrap_err();
        assert!(error.to_string().contains("neither tag nor digest"), "{error}");
    }
}
