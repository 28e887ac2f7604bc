// SPDX-License-Identifier: Apache-2.0

//! The reference of conditions and their reasons.

use std::fmt::Write;

use super::markdown::{cell, code};
use crate::{
    api::ConditionType,
    controller::reason::{Gravity, Reason},
};

const TYPES: [ConditionType; 6] = [
    ConditionType::Ready,
    ConditionType::Synced,
    ConditionType::Authenticated,
    ConditionType::Reconciling,
    ConditionType::Stalled,
    ConditionType::Drifted,
];

/// Kinds, meaning of `True`, meaning of `False`.
fn explain(condition: ConditionType) -> [&'static str; 3] {
    match condition {
        ConditionType::Ready => [
            "all kinds",
            "It does what it is there for: the account can be used, the interface exists, the channel carries messages.",
            "It does not. What once served stays Ready while a later change waits or fails.",
        ],
        ConditionType::Synced => [
            "all kinds",
            "The manager holds exactly what is declared.",
            "Something is missing, waits or is refused; the reason says what.",
        ],
        ConditionType::Authenticated => [
            "`ManagerCredential`",
            "The manager accepts the credentials.",
            "It refuses them. Absent: it has not answered yet.",
        ],
        ConditionType::Reconciling => [
            "all kinds",
            "It waits for something that is still to come.",
            "Only with reason `Suspended`. Otherwise absent.",
        ],
        ConditionType::Stalled => [
            "all kinds",
            "A person must do something; the message says what.",
            "Never: absent instead.",
        ],
        ConditionType::Drifted => [
            "interface, connection",
            "Somebody changed it at the manager, and the policy does not let the operator put it right at once. `status.drift` lists the fields.",
            "Never: absent instead.",
        ],
    }
}

/// The page.
pub(super) fn page() -> String {
    let mut page = String::from(
        "# Conditions and reasons\n\n\
         Every resource reports in `status.conditions`, in the form that `kubectl wait` and kstatus know. `observedGeneration` tells \
         which version of the spec a condition speaks of, and `status.observedGeneration` which one was looked at last: -1 until the first look. Messages are for people and never contain a secret.\n\n\
         ## Conditions\n\n\
         | Type | On | `True` | `False` |\n|---|---|---|---|\n",
    );
    for condition in TYPES {
        let [kinds, holds, does_not] = explain(condition);
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| {} | {kinds} | {holds} | {does_not} |", code(condition.as_str()));
    }
    page.push_str(
        "\n## Reasons\n\n\
         The list is closed. *Waiting* (`Reconciling=True`): for something that is still to come. *Stalled* (`Stalled=True`): \
         something is wrong, and a person must put it right. Either way it goes on by itself when that has happened; nothing \
         needs a restart.\n\n\
         | Reason | On | State | Meaning |\n|---|---|---|---|\n",
    );
    for reason in Reason::ALL {
        let kinds: Vec<&str> = reason.kinds().iter().map(|kind| short(kind)).collect();
        let gravity = match reason.gravity() {
            Gravity::Fine => "fine",
            Gravity::Waiting => "waiting",
            Gravity::Stalled => "stalled",
        };
        let _ = writeln!(
            page,
            "| {} | {} | {gravity} | {} |",
            code(reason.as_str()),
            kinds.join(", "),
            cell(reason.meaning().trim())
        );
    }
    page
}

fn short(kind: &str) -> &str {
    match kind {
        "ManagerCredential" => "credential",
        "DigitalMessagingInterface" => "interface",
        "ChannelConnection" => "connection",
        other => other,
    }
}
