// SPDX-License-Identifier: Apache-2.0

//! What differs between desired and observed settings, field by field.
//!
//! Works on the serialised form, so one mechanism serves interfaces, all channels and every adapter. Objects are compared
//! member by member; lists and scalars as a whole. What is not desired is not compared: it is the manager's.

use serde::Serialize;
use serde_json::Value;

use super::{Change, Intent, sha256_hex};

/// Longest value shown in a change, in characters.
const SHOWN: usize = 64;

/// The serialised form of settings.
pub fn tree(settings: &impl Serialize) -> Value {
    serde_json::to_value(settings).unwrap_or_default()
}

/// The intent behind desired settings.
pub fn intent(desired: &Value) -> Intent {
    let mut fields = Vec::new();
    leaves(desired, &mut String::new(), &mut |pointer, _| fields.push(pointer.to_owned()));
    Intent {
        hash: sha256_hex(desired.to_string().as_bytes()),
        fields,
    }
}

/// What must change at the manager: desired fields that differ, then fields that we set once (`owned`) and that are
/// no longer desired. Those return to the manager's default.
pub fn changes(desired: &Value, observed: &Value, owned: &[String]) -> Vec<Change> {
    let mut changes = Vec::new();
    leaves(desired, &mut String::new(), &mut |pointer, wanted| {
        let present = observed.pointer(pointer).filter(|value| !value.is_null());
        if present != Some(wanted) {
            changes.push(Change {
                field: pointer.to_owned(),
                from: present.map(show),
                to: Some(show(wanted)),
                destructive: false,
            });
        }
    });
    changes.extend(cleared(desired, observed, owned).into_iter().map(|field| Change {
        from: observed.pointer(&field).map(show),
        field,
        to: None,
        destructive: false,
    }));
    changes
}

/// Fields that we set once and that are no longer desired. What is owned is read from a status, which others may have
/// written: only what is a single setting at the manager can be cleared, not a whole branch, nor what is no setting at all.
pub fn cleared(desired: &Value, observed: &Value, owned: &[String]) -> Vec<String> {
    let is_set = |pointer: &str| {
        let present = observed.pointer(pointer);
        present.is_some_and(|value| !value.is_object() && !value.is_null())
    };
    owned
        .iter()
        .filter(|pointer| desired.pointer(pointer).is_none() && is_set(pointer))
        .cloned()
        .collect()
}

/// Calls `found` with the pointer and value of every field that is a scalar or a list.
fn leaves(value: &Value, pointer: &mut String, found: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let before = pointer.len();
                pointer.push('/');
                pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
                leaves(member, pointer, found);
                pointer.truncate(before);
            }
        }
        Value::Null => {}
        leaf => found(pointer, leaf),
    }
}

fn show(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    crate::manager::error::one_line(&text, SHOWN)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(changes: &[Change]) -> Vec<&str> {
        changes.iter().map(|change| change.field.as_str()).collect()
    }

    #[test]
    fn only_desired_fields_are_compared() {
        let observed = json!({ "a": 1, "b": { "c": [1, 2], "d": "x" }, "e": true });
        assert!(changes(&json!({ "a": 1, "b": { "d": "x" } }), &observed, &[]).is_empty());
        let found = changes(&json!({ "a": 2, "b": { "c": [1], "d": "x" } }), &observed, &[]);
        assert_eq!(fields(&found), ["/a", "/b/c"]);
        assert_eq!(
            (found[1].from.as_deref(), found[1].to.as_deref()),
            (Some("[1,2]"), Some("[1]"))
        );
    }

    #[test]
    fn a_field_that_was_ours_and_is_not_desired_any_more_returns_to_the_default() {
        let observed = json!({ "a": 1, "b": 2 });
        let found = changes(&json!({ "a": 1 }), &observed, &["/a".to_owned(), "/b".to_owned()]);
        assert_eq!(fields(&found), ["/b"]);
        assert_eq!(found[0].to, None);
    }

    #[test]
    fn the_intent_depends_on_values_and_lists_fields() {
        let one = intent(&json!({ "a": 1, "b": { "c": ["x"] } }));
        assert_eq!(one.fields, ["/a", "/b/c"]);
        assert_ne!(one.hash, intent(&json!({ "a": 2, "b": { "c": ["x"] } })).hash);
        assert_eq!(one, intent(&json!({ "b": { "c": ["x"] }, "a": 1 })));
    }
}
