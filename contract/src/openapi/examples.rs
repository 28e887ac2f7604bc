// SPDX-License-Identifier: Apache-2.0

//! Values that a reader can copy. A test reads each as the type it stands for.

use serde_json::{Map, Value, json};

/// The body that makes an interface.
pub(super) fn interface_spec() -> Value {
    sorted(json!({
        "externalReference": "production/DigitalMessagingInterface/shop/assistant",
        "claimant": "1f2e3d4c-0000-4000-8000-000000000001",
        "displayName": "Acme assistant",
        "description": "Answers customers of the shop",
        "templateOperator": "dm-template",
        "baseUrl": "https://acme.example/prweb",
        "bot": { "languages": ["en", "de"], "escalation": { "afterNoMatches": 3 } },
    }))
}

/// The body that makes a connection.
pub(super) fn connection_spec() -> Value {
    sorted(json!({
        "interfaceId": "if_6f1f3b1e0d5c4a7f9a3b2c1d0e9f8a7b",
        "externalReference": "production/ChannelConnection/shop/sms",
        "claimant": "1f2e3d4c-0000-4000-8000-000000000002",
        "displayName": "SMS",
        "channel": {
            "type": "sms",
            "phoneNumber": "+4915112345678",
            "twilio": { "accountSid": "AC00000000000000000000000000000000" },
        },
        "secrets": { "authToken": "<Twilio auth token>" },
    }))
}

/// An update of a connection.
pub(super) fn connection_patch() -> Value {
    sorted(json!({
        "displayName": "SMS Germany",
        "channel": { "twilio": { "messagingServiceSid": null } },
        "secrets": { "authToken": "<new Twilio auth token>" },
    }))
}

/// A rotation of a connection's JWT secret.
pub(super) fn jwt_secret_rotation() -> Value {
    json!({ "token": "2026-11-22-quarterly" })
}

/// An update of an interface.
pub(super) fn interface_patch() -> Value {
    sorted(json!({ "description": null, "bot": { "escalation": { "afterNoMatches": 5 } } }))
}

/// The same value with its members in order of name: whether `serde_json` keeps the order of insertion depends on
/// what else is in the build, and the document must not.
pub(super) fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> = members.into_iter().map(|(name, member)| (name, sorted(member))).collect();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(members.into_iter().collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        connection::{ConnectionSpec, JwtSecretRotation},
        interface::InterfaceSpec,
    };

    #[test]
    fn examples_are_what_they_stand_for() {
        serde_json::from_value::<InterfaceSpec>(interface_spec()).unwrap();
        serde_json::from_value::<ConnectionSpec>(connection_spec()).unwrap();
        serde_json::from_value::<JwtSecretRotation>(jwt_secret_rotation()).unwrap();
    }
}
