// SPDX-License-Identifier: Apache-2.0

//! The templates of the chart with the definitions.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;

/// The manifest of a definition as a template, which adds the labels and annotations that the chart's values ask for.
pub(super) fn template(definition: &CustomResourceDefinition, manifest: &str) -> String {
    let name = format!("metadata:\n  name: {}\n", definition.name_any());
    let more = "  {{- include \"digital-messaging-operator-crds.metadata\" . | nindent 2 }}\n";
    // Braces in a description would be taken for a template.
    let text = manifest.replace("{{", r#"{{ "{{" }}"#);
    format!(
        "{{{{- /* Generated from src/api by `make generate`. Do not edit. */ -}}}}\n{}",
        text.replacen(&name, &format!("{name}{more}"), 1)
    )
}

#[cfg(test)]
mod tests {
    use crate::generate::{definitions, files};

    #[test]
    fn each_template_has_the_manifest_and_its_metadata_once() {
        let files = files().unwrap();
        for definition in definitions() {
            let plural = definition.spec.names.plural;
            let of = |path: String| files.iter().find(|file| file.path == path).unwrap().content.clone();
            let template = of(format!("charts/digital-messaging-operator-crds/templates/{plural}.yaml"));
            let manifest = of(format!("crds/{plural}.yaml"));
            let without = |text: &str, what: &str| -> Vec<String> {
                text.lines().filter(|line| !line.contains(what)).map(str::to_owned).collect()
            };
            assert_eq!(without(&template, "{{"), without(&manifest, "# Generated"));
            assert_eq!(template.matches("{{- include").count(), 1);
        }
    }
}
