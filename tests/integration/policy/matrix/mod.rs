// SPDX-License-Identifier: Apache-2.0

//! The table of policies × events: what the operator does in each cell, at the manager and in the status.
//!
//! [`expected`] is the table, for all kinds that have a policy. Every [`cell`] is a test of its own, and `docs/policies.md`
//! shows the same table.

mod cell;
mod connection;
mod interface;

use std::fmt::Write;

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface};
use serde_json::{Value, json};

use cell::Governed;

/// A row: what the policy of an object says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Full,
    FullDelete,
    Required,
    RequiredDelete,
    Observe,
    Suspended,
}

impl Row {
    const ALL: [Self; 6] = [
        Self::Full,
        Self::FullDelete,
        Self::Required,
        Self::RequiredDelete,
        Self::Observe,
        Self::Suspended,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Full => "`Full`, `NotRequired`, `Orphan` (the default)",
            Self::FullDelete => "`Full`, `NotRequired`, `Delete`",
            Self::Required => "`Full`, `Required`, `Orphan`",
            Self::RequiredDelete => "`Full`, `Required`, `Delete`",
            Self::Observe => "`Observe`",
            Self::Suspended => "`suspend: true` (with `Full`, `NotRequired`, `Delete`)",
        }
    }

    fn policy(self) -> Value {
        match self {
            Self::Full => json!({ "management": "Full", "approval": "NotRequired", "deletion": "Orphan" }),
            Self::FullDelete | Self::Suspended => {
                json!({ "management": "Full", "approval": "NotRequired", "deletion": "Delete" })
            }
            Self::Required => json!({ "management": "Full", "approval": "Required", "deletion": "Orphan" }),
            Self::RequiredDelete => json!({ "management": "Full", "approval": "Required", "deletion": "Delete" }),
            Self::Observe => json!({ "management": "Observe" }),
        }
    }
}

/// A column: what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Creation,
    Adoption,
    SpecChange,
    Replacement,
    ChannelSecret,
    RotateSecret,
    Drift,
    Missing,
    Recreate,
    Deletion,
    Abandon,
}

impl Event {
    fn title(self) -> &'static str {
        match self {
            Self::Creation => "first creation",
            Self::Adoption => "adoption (`Override`) of what differs",
            Self::SpecChange => "spec changed",
            Self::Replacement => "spec changed in a field that needs a new object",
            Self::ChannelSecret => "channel secret changed",
            Self::RotateSecret => "`rotate-secret`",
            Self::Drift => "changed at the manager",
            Self::Missing => "deleted at the manager",
            Self::Recreate => "`recreate`, after that",
            Self::Deletion => "`kubectl delete`",
            Self::Abandon => "`kubectl delete` with `abandon`",
        }
    }
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// A new object at the manager.
    Made,
    /// One PATCH, and the manager holds what is declared.
    Changed,
    /// The same, and it is kept on record which drift that was.
    Corrected,
    /// The manager has made a new secret, and the outputs have it.
    Rotated,
    /// `RotationRefused`, and the secret is what it was.
    RotationRefused,
    /// The object at the manager is deleted, and the outputs with it, if it has some.
    Deleted,
    /// The resource goes; its object stays and the outputs, and says that nobody claims it.
    LetGo,
    /// The resource goes, all else stays as it is.
    Left,
    /// The same as without approval, once the plan is approved; nothing before.
    OnApproval,
    /// `Differs`: named, and left as it is.
    Reported,
    /// `NothingToObserve`.
    NothingToObserve,
    /// `ReplaceRequired`.
    ReplaceRequired,
    /// `RemoteMissing`.
    RemoteMissing,
    /// Nothing at all.
    Nothing,
}

impl Outcome {
    fn text<K: Governed>(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Changed => "changed",
            Self::Corrected => "put right",
            Self::Rotated => "a new secret, in the outputs as well",
            Self::RotationRefused => "refused: `RotationRefused`",
            Self::Deleted if K::OUTPUTS.is_none() => "deleted at the manager",
            Self::Deleted => "deleted at the manager, with its outputs",
            Self::LetGo => "left at the manager, free to be taken over",
            Self::Left => "left at the manager",
            Self::OnApproval => "waits for approval",
            Self::Reported => "reported: `Differs`, `Drifted`",
            Self::NothingToObserve => "`NothingToObserve`",
            Self::ReplaceRequired => "refused: `ReplaceRequired`",
            Self::RemoteMissing => "`RemoteMissing`",
            Self::Nothing => "nothing",
        }
    }
}

/// The table.
fn expected(row: Row, event: Event) -> Outcome {
    use Event::{
        Abandon, Adoption, ChannelSecret, Creation, Deletion, Drift, Missing, Recreate, Replacement, RotateSecret, SpecChange,
    };
    match (row, event) {
        // Nothing waits, so there is nothing to abandon.
        (Row::Full, Deletion | Abandon) => Outcome::LetGo,
        // Whatever the policy says about the manager, the resource can go without it.
        (_, Abandon) | (Row::Required | Row::Observe, Deletion) => Outcome::Left,
        (Row::FullDelete | Row::Suspended, Deletion) => Outcome::Deleted,
        (Row::Suspended, _) | (Row::Observe, ChannelSecret) => Outcome::Nothing,
        (Row::Observe, Creation | Missing | Recreate) => Outcome::NothingToObserve,
        (Row::Observe, Adoption | SpecChange | Replacement | Drift) => Outcome::Reported,
        (Row::Observe, RotateSecret) => Outcome::RotationRefused,
        (_, Replacement) => Outcome::ReplaceRequired,
        (_, Missing) => Outcome::RemoteMissing,
        (Row::Required | Row::RequiredDelete, _) => Outcome::OnApproval,
        (Row::Full | Row::FullDelete, Creation | Recreate) => Outcome::Made,
        (Row::Full | Row::FullDelete, Adoption | SpecChange | ChannelSecret) => Outcome::Changed,
        (Row::Full | Row::FullDelete, RotateSecret) => Outcome::Rotated,
        (Row::Full | Row::FullDelete, Drift) => Outcome::Corrected,
    }
}

#[test]
fn the_handbook_shows_the_table() {
    assert_shown::<ChannelConnection>("connections");
    assert_shown::<DigitalMessagingInterface>("interfaces");
}

fn assert_shown<K: Governed>(kind: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policies.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {kind}: begin -->\n"), format!("<!-- {kind}: end -->"));
    let (before, rest) = page.split_once(&begin).unwrap();
    let (shown, after) = rest.split_once(&end).unwrap();
    let table = table::<K>();
    if std::env::var_os("WRITE_POLICY_TABLE").is_some() {
        std::fs::write(&path, format!("{before}{begin}{table}{end}{after}")).unwrap();
    } else {
        assert!(
            shown == table,
            "docs/policies.md shows another table than the tests hold to: run this test with WRITE_POLICY_TABLE=1\n{table}"
        );
    }
}

/// One line an event, for there are more of them than policies.
fn table<K: Governed>() -> String {
    let mut table = String::from("| Event |");
    for row in Row::ALL {
        write!(table, " {} |", row.title()).unwrap();
    }
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(Row::ALL.len()));
    for event in K::EVENTS {
        write!(table, "\n| {} |", event.title()).unwrap();
        for row in Row::ALL {
            write!(table, " {} |", expected(row, *event).text::<K>()).unwrap();
        }
    }
    table.push('\n');
    table
}
