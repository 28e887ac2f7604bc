// SPDX-License-Identifier: Apache-2.0

//! What the policy says about a plan: go, wait for approval, or only report. Pure.

use std::collections::BTreeMap;

use crate::{
    api::{self, Approval, EffectivePolicy, Management, annotation},
    manager::{error::one_line, values::RemoteId},
    plan::{Change, sha256_hex},
};

use super::{Subject, reason::Reason, trouble::Trouble};

/// What a plan is computed against: it is approved against exactly that.
#[derive(Clone, Copy, Debug)]
pub struct Basis<'a> {
    /// The account.
    pub account: &'a str,
    /// Version of the remote object.
    pub revision: Option<u64>,
    /// Fingerprint of the secrets.
    pub secrets: Option<&'a str>,
    /// Hash of all that is desired: a plan shows values cut, and not all of them.
    pub intent: Option<&'a str>,
    /// The plan that was approved last: what makes an approval work once.
    pub last_approved: Option<&'a str>,
}

/// Looks whether changes may be made. Returns the approval that is used up with that: it works no second time.
///
/// One that is found where nothing waits for it is used up as well: the changes that it was for may have been made by an
/// operator that ended before it could remember that.
///
/// # Errors
/// Why not; with the plan if it waits for approval.
pub fn gate(
    policy: EffectivePolicy,
    changes: &[Change],
    subject: &Subject,
    basis: Basis<'_>,
    annotations: Option<&BTreeMap<String, String>>,
) -> Result<Option<String>, Trouble> {
    let given = annotations.and_then(|annotations| annotations.get(annotation::APPROVE));
    let used_up = || given.filter(|hash| is_hash(hash)).cloned();
    if changes.is_empty() {
        return Ok(used_up());
    }
    if policy.management == Management::Observe {
        let message = format!("the manager holds something else in: {}", list(changes));
        return Err(Trouble::new(Reason::Differs, message));
    }
    if policy.approval == Approval::NotRequired {
        return Ok(used_up());
    }
    let hash = plan_hash(&subject.uid, subject.generation, &basis, changes);
    if given == Some(&hash) {
        return Ok(Some(hash));
    }
    let message = format!(
        "waits for approval of {} change(s): kubectl annotate {} --namespace {} {} --overwrite {}={hash}",
        changes.len(),
        subject.node.kind.as_str().to_lowercase(),
        subject.node.namespace,
        subject.node.name,
        annotation::APPROVE,
    );
    Err(Trouble {
        plan: Some(Box::new(show(hash, changes))),
        ..Trouble::new(Reason::AwaitingApproval, message)
    })
}

/// The change that deletion makes, as a plan shows it.
pub fn deletion(id: &RemoteId) -> [Change; 1] {
    [Change {
        field: "/".to_owned(),
        from: Some(one_line(id.as_str(), api::plan::MAX_VALUE_LENGTH)),
        to: Some("deleted".to_owned()),
        destructive: true,
    }]
}

/// Hash of a plan. Approving it approves exactly these changes against exactly this state.
fn plan_hash(uid: &str, generation: i64, basis: &Basis<'_>, changes: &[Change]) -> String {
    let changes: Vec<_> = changes
        .iter()
        .map(|change| (&change.field, &change.from, &change.to, change.destructive))
        .collect();
    let parts = serde_json::json!([
        uid,
        generation,
        basis.account,
        basis.revision,
        basis.secrets,
        basis.intent,
        basis.last_approved,
        changes
    ]);
    sha256_hex(parts.to_string().as_bytes())
}

/// Whether a text may be the hash of a plan. Any other approves nothing, and is not worth being remembered.
fn is_hash(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Pointers for people, a few of them.
fn list(changes: &[Change]) -> String {
    let mut fields: Vec<&str> = changes.iter().take(10).map(|change| change.field.as_str()).collect();
    if changes.len() > fields.len() {
        fields.push("…");
    }
    fields.join(", ")
}

/// The plan as the status shows it: bounded, and what is destroyed never left out for lack of room.
fn show(hash: String, changes: &[Change]) -> api::Plan {
    let (destructive, harmless): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.destructive);
    let mut room = api::plan::MAX_BYTES;
    let shown: Vec<_> = destructive
        .into_iter()
        .chain(harmless)
        .take(api::plan::MAX_CHANGES)
        .map(|change| api::PlannedChange {
            field: one_line(&change.field, api::plan::MAX_FIELD_LENGTH),
            from: change.from.clone(),
            to: change.to.clone(),
            destructive: change.destructive,
        })
        .take_while(|change| {
            let size = serde_json::to_vec(change).map_or(usize::MAX, |json| json.len().saturating_add(1));
            let left = room.checked_sub(size);
            room = left.unwrap_or_default();
            left.is_some()
        })
        .collect();
    let more = changes.len().saturating_sub(shown.len());
    api::Plan {
        hash,
        changes: shown,
        truncated: u32::try_from(more).ok().filter(|more| *more > 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::Deletion,
        desired::node::{Kind, Node},
    };

    fn subject() -> Subject {
        Subject {
            node: Node::new(Kind::Connection, "shop", "web"),
            uid: "uid".to_owned(),
            generation: 1,
        }
    }

    const BASIS: Basis<'static> = Basis {
        account: "a",
        revision: Some(7),
        secrets: None,
        intent: Some("i"),
        last_approved: None,
    };

    fn changes() -> Vec<Change> {
        vec![Change {
            field: "/displayName".to_owned(),
            from: Some("a".to_owned()),
            to: Some("b".to_owned()),
            destructive: false,
        }]
    }

    fn policy(approval: Approval) -> EffectivePolicy {
        EffectivePolicy {
            management: Management::Full,
            approval,
            deletion: Deletion::Orphan,
        }
    }

    fn ask(basis: Basis<'_>, approve: Option<&str>) -> Result<Option<String>, Trouble> {
        let annotations = approve.map(|hash| BTreeMap::from([(annotation::APPROVE.to_owned(), hash.to_owned())]));
        gate(
            policy(Approval::Required),
            &changes(),
            &subject(),
            basis,
            annotations.as_ref(),
        )
    }

    #[test]
    fn nothing_to_change_needs_no_approval() {
        assert_eq!(gate(policy(Approval::Required), &[], &subject(), BASIS, None).unwrap(), None);
        assert_eq!(
            gate(policy(Approval::NotRequired), &changes(), &subject(), BASIS, None).unwrap(),
            None
        );
    }

    #[test]
    fn an_approval_that_nothing_waits_for_is_used_up_and_anything_else_ignored() {
        let look = |approve: &str| {
            let annotations = BTreeMap::from([(annotation::APPROVE.to_owned(), approve.to_owned())]);
            gate(policy(Approval::Required), &[], &subject(), BASIS, Some(&annotations)).unwrap()
        };
        let hash = ask(BASIS, None).unwrap_err().plan.unwrap().hash;
        assert_eq!(look(&hash), Some(hash.clone()));
        assert_eq!(look("yes, please"), None);
        let after = Basis {
            last_approved: Some(&hash),
            ..BASIS
        };
        assert!(ask(after, Some(&hash)).is_err());
    }

    #[test]
    fn exactly_the_plan_that_was_shown_can_be_approved() {
        let waiting = ask(BASIS, None).unwrap_err();
        assert_eq!(waiting.reason, Reason::AwaitingApproval);
        let hash = waiting.plan.unwrap().hash;
        assert!(waiting.message.contains(&hash));
        assert_eq!(ask(BASIS, Some(&hash)).unwrap(), Some(hash.clone()));
        assert!(ask(BASIS, Some("another")).is_err());
    }

    #[test]
    fn an_approval_is_void_once_either_side_has_changed_or_it_was_used() {
        let hash = ask(BASIS, None).unwrap_err().plan.unwrap().hash;
        for changed in [
            Basis {
                revision: Some(8),
                ..BASIS
            },
            Basis { account: "b", ..BASIS },
            Basis {
                secrets: Some("x"),
                ..BASIS
            },
            Basis {
                intent: Some("j"),
                ..BASIS
            },
            Basis {
                last_approved: Some(&hash),
                ..BASIS
            },
        ] {
            assert!(ask(changed, Some(&hash)).is_err(), "{changed:?}");
        }
    }

    #[test]
    fn an_approval_is_of_one_object_one_spec_and_these_changes_in_this_order() {
        let change = |field: &str, to: &str, destructive| Change {
            field: field.to_owned(),
            from: Some("a".to_owned()),
            to: Some(to.to_owned()),
            destructive,
        };
        let (one, two) = (change("/displayName", "b", false), change("/channel", "b", false));
        let hash = |uid: &str, generation, changes: &[Change]| plan_hash(uid, generation, &BASIS, changes);
        let shown = hash("uid", 1, &[one.clone(), two.clone()]);
        let others = [
            hash("another", 1, &[one.clone(), two.clone()]),
            hash("uid", 2, &[one.clone(), two.clone()]),
            hash("uid", 1, &[two.clone(), one.clone()]),
            hash("uid", 1, std::slice::from_ref(&one)),
            hash("uid", 1, &[change("/displayName", "c", false), two.clone()]),
            hash("uid", 1, &[change("/displayName", "b", true), two.clone()]),
        ];
        assert!(others.iter().all(|other| *other != shown), "{others:?}");
        assert_eq!(shown, hash("uid", 1, &[one, two]));
    }

    #[test]
    fn a_plan_stays_small_whatever_changes_and_shows_what_it_destroys() {
        let value = || Some("\u{1F980}".repeat(api::plan::MAX_VALUE_LENGTH));
        let mut changes: Vec<Change> = (0..1000)
            .map(|number| Change {
                field: format!("/{}/{number}", "\"".repeat(300)),
                from: value(),
                to: value(),
                destructive: false,
            })
            .collect();
        changes.extend(deletion(&"cn_1".parse().unwrap()));
        let plan = show("h".repeat(32), &changes);
        assert!(plan.changes.len() <= api::plan::MAX_CHANGES && !plan.changes.is_empty());
        assert!(serde_json::to_vec(&plan).unwrap().len() < 8 * 1024);
        assert_eq!(plan.changes.len() + plan.truncated.unwrap() as usize, changes.len());
        assert!(plan.changes[0].destructive);
    }
}
