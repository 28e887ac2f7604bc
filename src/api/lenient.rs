// SPDX-License-Identifier: Apache-2.0

//! Deserialisers for status members: what does not fit counts as absent.
//!
//! A status is a cache of what can be found out again. One that another version of the operator wrote, or a person,
//! must never make the object unreadable.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

/// A member that falls back to its default.
pub(super) fn member<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    Ok(T::deserialize(Value::deserialize(deserializer)?).unwrap_or_default())
}

/// A list that leaves out the items that do not fit.
pub(super) fn items<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    Ok(match Value::deserialize(deserializer)? {
        Value::Array(items) => items.into_iter().filter_map(|item| T::deserialize(item).ok()).collect(),
        _ => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use crate::api::{ChannelConnectionStatus, ConditionType};

    #[test]
    fn a_status_keeps_what_fits_and_forgets_the_rest() {
        let status: ChannelConnectionStatus = serde_json::from_value(serde_json::json!({
            "id": "con_1",
            "account": 7,
            "type": "carrierPigeon",
            "state": "Resting",
            "widget": "none",
            "plan": { "hash": ["?"] },
            "fromTheFuture": true,
            "conditions": [
                { "type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z" },
                { "type": "Levitating", "status": "True", "reason": "Up", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z" },
                { "type": "Synced", "status": "Perhaps", "reason": "?", "message": "", "lastTransitionTime": "yesterday" },
                "nonsense",
            ],
        }))
        .unwrap();
        assert_eq!(status.id.as_deref(), Some("con_1"));
        assert_eq!(
            status.conditions.iter().map(|condition| condition.type_).collect::<Vec<_>>(),
            [ConditionType::Ready]
        );
        let rest = ChannelConnectionStatus {
            id: None,
            conditions: Vec::new(),
            ..status
        };
        assert_eq!(rest, ChannelConnectionStatus::default());
    }

    #[test]
    fn a_status_that_fits_survives_unchanged() {
        let text = serde_json::json!({
            "id": "con_1",
            "type": "webMessaging",
            "state": "Active",
            "widget": { "id": "w_1", "scriptUrl": "https://manager.example/w.js" },
            "drift": { "fields": ["/displayName"], "since": "2026-01-01T00:00:00Z" },
        });
        let status: ChannelConnectionStatus = serde_json::from_value(text.clone()).unwrap();
        assert_eq!(serde_json::to_value(status).unwrap(), text);
    }
}
