// SPDX-License-Identifier: Apache-2.0

//! From JSON to a type, with a pointer to what does not fit.

use digital_messaging_contract::problem::{Code, FieldProblem};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::http::problem::Refusal;

/// Decodes a value; unknown members are problems as well.
pub(super) fn decode<T: DeserializeOwned>(value: Value, base: &str) -> Result<T, Refusal> {
    let mut unknown = Vec::new();
    let mut track = serde_path_to_error::Track::new();
    let mut note = |path: serde_ignored::Path<'_>| {
        let pointer = format!("{base}/{}", path.to_string().replace('.', "/"));
        unknown.push(FieldProblem {
            pointer,
            detail: "unknown member".to_owned(),
        });
    };
    let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
    let decoded = T::deserialize(serde_ignored::Deserializer::new(tracked, &mut note));
    match decoded {
        Ok(decoded) if unknown.is_empty() => Ok(decoded),
        Ok(_) => Err(Refusal::fields(Code::ValidationFailed, unknown)),
        Err(error) => {
            let message = error.to_string();
            let (member, detail) = explain(&message);
            let mut pointer = base.to_owned();
            for segment in &track.path() {
                push(&mut pointer, segment);
            }
            if let Some(member) = member {
                let last = format!("/{member}");
                if !pointer.ends_with(&last) {
                    pointer.push_str(&last);
                }
            }
            Err(Refusal::field(Code::ValidationFailed, pointer, detail))
        }
    }
}

fn push(pointer: &mut String, segment: &Segment) {
    match segment {
        Segment::Seq { index } => pointer.extend(["/", &index.to_string()]),
        Segment::Map { key } => pointer.extend(["/", &key.replace('~', "~0").replace('/', "~1")]),
        Segment::Enum { .. } | Segment::Unknown => {}
    }
}

/// What to say for an error of serde, and the member it names. The values that it quotes are left out.
fn explain(message: &str) -> (Option<&str>, String) {
    if let Some(member) = message
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next())
    {
        return (Some(member), "missing".to_owned());
    }
    if let Some(member) = message
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split('`').next())
    {
        return (Some(member), "unknown member".to_owned());
    }
    let expected = message
        .rsplit_once(", expected ")
        .map(|(_, expected)| format!("must be {expected}"));
    (
        None,
        expected.unwrap_or_else(|| "does not have the form that the contract describes".to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use digital_messaging_contract::{channel, interface::InterfaceSpec};
    use serde_json::json;

    use super::*;

    fn pointer<T: DeserializeOwned>(value: Value) -> String {
        format!("{:?}", decode::<T>(value, "").err().unwrap())
    }

    #[test]
    fn the_pointer_names_the_member() {
        let fine = json!({"displayName": "A", "templateOperator": "t", "baseUrl": "https://a.example"});
        assert!(decode::<InterfaceSpec>(fine.clone(), "").is_ok());
        let with = |key: &str, value: Value| {
            let mut body = fine.clone();
            body[key] = value;
            pointer::<InterfaceSpec>(body)
        };
        assert!(pointer::<InterfaceSpec>(json!({"displayName": "A"})).contains("\"/templateOperator\""));
        assert!(with("typo", json!(1)).contains("\"/typo\""));
        assert!(with("displayName", json!(1)).contains("\"/displayName\""));
        assert!(with("bot", json!({"escalation": {"afterNoMatches": "x"}})).contains("\"/bot/escalation/afterNoMatches\""));
        assert!(with("bot", json!({"languages": ["en", 2]})).contains("\"/bot/languages/1\""));
        assert!(pointer::<channel::ClientChannel>(json!({"webhookUrl": "x", "typo": 1})).contains("\"/typo\""));
    }

    #[test]
    fn no_text_quotes_a_value() {
        for body in [
            json!({"displayName": {"s3cret": "s3cret"}}),
            json!({"bot": "s3cret"}),
            json!("s3cret"),
        ] {
            assert!(!pointer::<InterfaceSpec>(body).contains("s3cret"));
        }
    }
}
