// SPDX-License-Identifier: Apache-2.0

//! Pieces of schema that several kinds share.

use schemars::Schema;
use serde_json::{Map, Value, json};

/// Name of a Kubernetes object (DNS subdomain).
pub(super) const OBJECT_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// An http or https URL. That http needs a flag of the operator is checked when it is used.
pub(super) const HTTP_URL: &str = r"^https?://[^/?#\s]+([/?#]\S*)?$";

/// Rule for a URL that is stored or called as it is: nothing in it that hides a secret or gets in the way of a path.
pub(super) const PLAIN_URL: &str =
    "isURL(self) && !self.contains('?') && !self.contains('#') && !self.matches('^[^:]+://[^/]*@')";

/// BCP 47 language tag.
pub(super) const LANGUAGE_TAG: &str = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$";

/// Turns the schema of an externally tagged enum into that of a union: an object with one optional property for each
/// member, a rule that exactly one is set, and one that it stays the same.
///
/// kube's own rewriter would make it `oneOf` with `required`. The API server answers to that with
/// "must validate one and only one schema (oneOf)" and claims that the first member is required, and having said that
/// it evaluates no rule. So the union is expressed by rules alone, whose messages can be acted on.
pub(super) fn union(schema: &mut Schema) {
    let mut properties = Map::new();
    for variant in schema
        .remove("oneOf")
        .as_ref()
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        for (name, property) in variant.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let mut property = property.clone();
            if let (Some(property), Some(description)) = (property.as_object_mut(), variant.get("description")) {
                property.insert("description".to_owned(), description.clone());
            }
            properties.insert(name.clone(), property);
        }
    }
    let mut names: Vec<String> = properties.keys().cloned().collect();
    names.sort();
    let rules = union_rules(&names);
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Value::Object(properties));
    schema.insert("x-kubernetes-validations".to_owned(), rules);
}

/// Leaves a type's own description out of its schema: `Option` would put it in the place of the field's.
pub(super) fn undescribed(schema: &mut Schema) {
    schema.remove("description");
}

fn union_rules(names: &[String]) -> Value {
    let each = |expression: &dyn Fn(&String) -> String, separator: &str| {
        names.iter().map(expression).collect::<Vec<_>>().join(separator)
    };
    let message = match names {
        [only] => format!("{only} must be set, with its settings below it: it is the only choice at present"),
        _ => format!(
            "exactly one of {} must be set, with its settings below it: add the one you want, or remove the others",
            names.join(", ")
        ),
    };
    let exactly_one = json!({
        "rule": format!("[{}].exists_one(member, member)", each(&|name| format!("has(self.{name})"), ", ")),
        "message": message,
        "reason": "FieldValueInvalid",
    });
    if names.len() < 2 {
        return json!([exactly_one]);
    }
    let same = json!({
        "rule": each(&|name| format!("has(self.{name}) == has(oldSelf.{name})"), " && "),
        "message": "which member is set cannot be changed: what the manager holds is of one kind for life, and replacing it would lose its customers and IDs. Create another object for the other kind",
        "reason": "FieldValueForbidden",
    });
    json!([exactly_one, same])
}
