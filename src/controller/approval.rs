//! What the policy says about a plan: go, wait for approval, or only report. Pure.

use std::collections::BTreeMap;

use crate::{
    api::{self, Approval, EffectivePolicy, Management, annotation},
    plan::{Change, Plan, plan_hash},
};

use super::{Subject, reason::Reason, trouble::Trouble};

/// What may be done with a plan.
#[derive(Debug)]
pub enum Gate {
    /// Apply it.
    Go,
    /// Do not, and show this.
    Held(Box<Held>),
}

/// A plan that is not applied.
#[derive(Debug)]
pub struct Held {
    /// Why.
    pub trouble: Trouble,
    /// The plan to show, if it waits for approval.
    pub plan: Option<api::Plan>,
}

/// What a plan is computed against: it is approved against exactly that.
#[derive(Clone, Copy, Debug)]
pub struct Basis<'a> {
    /// The account.
    pub account: &'a str,
    /// Version of the remote object.
    pub revision: Option<u64>,
    /// Fingerprint of the secrets.
    pub secrets: Option<&'a str>,
}

/// Looks whether a plan may be applied.
pub fn gate<W>(
    policy: EffectivePolicy,
    plan: &Plan<W>,
    subject: &Subject,
    basis: Basis<'_>,
    annotations: Option<&BTreeMap<String, String>>,
) -> Gate {
    if plan.write.is_none() {
        return Gate::Go;
    }
    if policy.management == Management::Observe {
        let trouble = Trouble::new(
            Reason::Differs,
            format!("the manager holds something else in: {}", list(&plan.changes)),
        );
        return Gate::Held(Box::new(Held { trouble, plan: None }));
    }
    if policy.approval == Approval::NotRequired {
        return Gate::Go;
    }
    let hash = plan_hash(
        &subject.uid,
        subject.generation,
        basis.account,
        basis.revision,
        basis.secrets,
        &plan.changes,
    );
    if annotations.and_then(|annotations| annotations.get(annotation::APPROVE)) == Some(&hash) {
        return Gate::Go;
    }
    let message = format!(
        "waits for approval of {} change(s): kubectl annotate {} --namespace {} {} --overwrite {}={hash}",
        plan.changes.len(),
        subject.node.kind.as_str().to_lowercase(),
        subject.node.namespace,
        subject.node.name,
        annotation::APPROVE,
    );
    let shown = show(hash, &plan.changes);
    Gate::Held(Box::new(Held {
        trouble: Trouble::new(Reason::AwaitingApproval, message),
        plan: Some(shown),
    }))
}

/// Pointers for people, a few of them.
pub fn list(changes: &[Change]) -> String {
    let mut fields: Vec<&str> = changes.iter().take(10).map(|change| change.field.as_str()).collect();
    if changes.len() > fields.len() {
        fields.push("…");
    }
    fields.join(", ")
}

fn show(hash: String, changes: &[Change]) -> api::Plan {
    let shown = changes.iter().take(api::plan::MAX_CHANGES).map(|change| api::PlannedChange {
        field: change.field.clone(),
        from: change.from.clone(),
        to: change.to.clone(),
        destructive: change.destructive,
    });
    let more = changes.len().saturating_sub(api::plan::MAX_CHANGES);
    api::Plan {
        hash,
        changes: shown.collect(),
        truncated: u32::try_from(more).ok().filter(|more| *more > 0),
    }
}
