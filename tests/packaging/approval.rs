// SPDX-License-Identifier: Apache-2.0

//! The switch for the admission policies of `deploy/approval/`: the same text, once more as a part of the release.

use std::fs;

use sandbox::program::project;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::chart::render;

fn shipped(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(project().join("deploy/approval").join(file)).unwrap();
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

fn without_labels(objects: &[&Value]) -> Vec<Value> {
    let bare = objects.iter().map(|object| {
        let mut bare = (*object).clone();
        bare["metadata"].as_object_mut().unwrap().remove("labels");
        bare
    });
    bare.collect()
}

#[test]
fn the_switch_adds_the_shipped_policies_and_roles_and_nothing_else() {
    let before = render(&json!({}));
    for (roles, files) in [(true, vec!["approval.yaml", "roles.yaml"]), (false, vec!["approval.yaml"])] {
        let after = render(&json!({ "approvalPolicy": { "enabled": true, "roles": roles } }));
        let added: Vec<&Value> = after.0.iter().filter(|object| !before.0.contains(object)).collect();
        assert!(
            added
                .iter()
                .all(|object| object["metadata"]["labels"]["app.kubernetes.io/component"] == "approval"),
            "{added:?}"
        );
        let key = |object: &Value| format!("{} {}", object["kind"], object["metadata"]["name"]);
        let mut found = without_labels(&added);
        let mut expected: Vec<Value> = files.iter().flat_map(|file| shipped(file)).collect();
        found.sort_by_key(key);
        expected.sort_by_key(key);
        assert_eq!(found, expected);
        assert_eq!(after.0.len(), before.0.len() + expected.len());
    }
}
