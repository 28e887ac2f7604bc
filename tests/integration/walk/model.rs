// SPDX-License-Identifier: Apache-2.0

//! What must hold after each step, as plain data, and which steps make sense next. Knows neither Kubernetes nor HTTP.

use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};

/// How many connections a walk plays with.
pub const SLOTS: usize = 4;

/// What `policy.deletion` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    Orphan,
    Delete,
}

impl Deletion {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Orphan => "Orphan",
            Self::Delete => "Delete",
        }
    }
}

/// One step of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Applies the connection of a slot.
    Create { slot: usize, deletion: Deletion },
    /// Gives it another display name, made from this number.
    Rename { slot: usize, name: u32 },
    /// Applies it once more as it is.
    Reapply { slot: usize },
    /// Switches its deletion policy.
    Switch { slot: usize, deletion: Deletion },
    /// Deletes it in Kubernetes.
    Delete { slot: usize },
    /// Takes its status away, as a restore from a backup does.
    WipeStatus { slot: usize },
    /// Deletes the Secret with its outputs.
    DeleteOutputs { slot: usize },
    /// Renames it at the manager, past the operator.
    Drift { slot: usize, name: u32 },
    /// Deletes it at the manager, past the operator.
    Vanish { slot: usize },
    /// Asks for a new one in place of one that was deleted at the manager.
    Recreate { slot: usize },
    /// Makes a connection at the manager that is nobody's here.
    MakeForeign,
    /// Renames the interface.
    RenameInterface { name: u32 },
    /// A new Manager Key, which the Secret gets; the old one is good for a while.
    RotateKey,
    /// New values for the channels' secrets.
    RotateChannelSecrets,
    /// Something goes wrong with this many requests to the manager.
    Fail { how: Failure, times: u32 },
    /// Stops the operator in good order and starts another.
    Restart,
    /// Ends the operator where it stands and starts another.
    Crash,
    /// Ends the operator; what follows happens while nobody watches.
    Leave { crash: bool },
    /// Starts it again.
    Return,
}

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Carried out, but nobody hears of it.
    LostReply,
    /// 503.
    Unavailable,
    /// 429 with `Retry-After: 1`.
    TooMany,
    /// Half a second late.
    Late,
    /// Never answered until the walk settles.
    Silence,
    /// 503 to every request until the walk settles. An operator that is there has noticed before the next step.
    Outage,
}

/// A connection as it is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    pub name: u32,
    pub deletion: Deletion,
}

/// One connection, in Kubernetes and at the manager.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// What Kubernetes is to hold.
    pub declared: Option<Declared>,
    /// Whether the manager is to hold a connection of this name.
    pub remote: bool,
    /// Whether the Secret with the outputs is to be there.
    pub outputs: bool,
    /// Whether somebody deleted it at the manager, so that the resource waits to be told what to do.
    pub missing: bool,
    phase: Phase,
}

/// What is still under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Nothing that matters for what may come next.
    #[default]
    Settled,
    /// The operator may not have come round to the last step yet: deleting it now could end in either way.
    Fresh,
    /// A deletion: the name is not free yet.
    Going,
}

impl Slot {
    /// Whether it is declared and at the manager, and nothing is under way.
    fn serves(&self) -> bool {
        self.declared.is_some() && self.remote && self.phase == Phase::Settled
    }
}

/// What must hold once everything has settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub slots: [Slot; SLOTS],
    pub interface_name: u32,
    /// How many connections nobody here has to touch.
    pub foreign: usize,
    /// Whether there is no operator.
    pub away: bool,
    /// Whether requests to the manager fail.
    failing: bool,
}

impl Model {
    /// The next step: one that makes sense now.
    pub fn next(&self, random: &mut StdRng) -> Action {
        loop {
            let action = candidate(random);
            if self.allows(&action) {
                return action;
            }
        }
    }

    fn allows(&self, action: &Action) -> bool {
        use Action as A;
        let at = |slot: &usize| &self.slots[*slot];
        match action {
            A::Create { slot, .. } => at(slot).declared.is_none() && at(slot).phase == Phase::Settled,
            A::Rename { slot, .. } | A::Reapply { slot } => at(slot).declared.is_some(),
            A::Switch { slot, deletion } => !at(slot).missing && at(slot).declared.is_some_and(|it| it.deletion != *deletion),
            A::Delete { slot } | A::WipeStatus { slot } => at(slot).declared.is_some() && at(slot).phase == Phase::Settled,
            A::DeleteOutputs { slot } => at(slot).serves(),
            A::Vanish { slot } => at(slot).serves() && !self.failing,
            A::Recreate { slot } => at(slot).missing && at(slot).phase == Phase::Settled,
            // The walk's own calls would meet the faults as well.
            A::Drift { slot, .. } => at(slot).remote && at(slot).phase == Phase::Settled && !self.failing,
            A::MakeForeign => !self.failing && self.foreign < 3,
            A::Fail { .. } => !self.failing,
            A::Restart | A::Crash | A::Leave { .. } => !self.away,
            A::Return => self.away,
            A::RenameInterface { .. } | A::RotateKey | A::RotateChannelSecrets => true,
        }
    }

    /// What must hold after this step.
    pub fn take(&mut self, action: &Action) {
        use Action as A;
        match action {
            A::Create { slot, deletion } => {
                let slot = &mut self.slots[*slot];
                slot.declared = Some(Declared {
                    name: 0,
                    deletion: *deletion,
                });
                (slot.remote, slot.outputs, slot.phase) = (true, true, Phase::Fresh);
            }
            A::Rename { slot, name } => {
                if let Some(declared) = &mut self.slots[*slot].declared {
                    declared.name = *name;
                }
            }
            A::Switch { slot, deletion } => {
                let slot = &mut self.slots[*slot];
                if let Some(declared) = &mut slot.declared {
                    declared.deletion = *deletion;
                }
                slot.phase = Phase::Fresh;
            }
            A::Delete { slot } => {
                let slot = &mut self.slots[*slot];
                (slot.phase, slot.missing) = (Phase::Going, false);
                if slot.declared.take().is_some_and(|it| it.deletion == Deletion::Delete) {
                    (slot.remote, slot.outputs) = (false, false);
                }
            }
            A::DeleteOutputs { slot } => self.slots[*slot].phase = Phase::Fresh,
            A::Vanish { slot } => {
                let slot = &mut self.slots[*slot];
                (slot.remote, slot.missing, slot.phase) = (false, true, Phase::Fresh);
            }
            // What has forgotten that there was one makes one as well.
            A::Recreate { slot } | A::WipeStatus { slot } => {
                let slot = &mut self.slots[*slot];
                (slot.remote, slot.missing, slot.phase) = (true, false, Phase::Fresh);
            }
            A::MakeForeign => self.foreign += 1,
            A::RenameInterface { name } => self.interface_name = *name,
            A::Fail { .. } => self.failing = true,
            A::Leave { .. } => self.away = true,
            A::Return => self.away = false,
            A::Reapply { .. } | A::Drift { .. } | A::RotateKey | A::RotateChannelSecrets | A::Restart | A::Crash => {}
        }
    }

    /// Everything is as it is to be: faults are over, the operator is there, nothing is under way.
    pub fn settle(&mut self) {
        (self.failing, self.away) = (false, false);
        for slot in &mut self.slots {
            slot.phase = Phase::Settled;
        }
    }

    /// Whether a connection that must be cleaned up is declared.
    pub fn must_clean_up(&self) -> bool {
        self.slots
            .iter()
            .any(|slot| slot.declared.is_some_and(|it| it.deletion == Deletion::Delete))
    }
}

fn candidate(random: &mut StdRng) -> Action {
    use Action as A;
    let slot = random.random_range(0..SLOTS);
    let name = random.random_range(1..1000);
    let deletion = if random.random() { Deletion::Delete } else { Deletion::Orphan };
    let times = random.random_range(1..4);
    let how = *[
        Failure::LostReply,
        Failure::LostReply,
        Failure::Unavailable,
        Failure::TooMany,
        Failure::Late,
        Failure::Silence,
        Failure::Outage,
        Failure::Outage,
    ]
    .choose(random)
    .unwrap();
    match random.random_range(0..44) {
        0..8 => A::Create { slot, deletion },
        8..13 => A::Rename { slot, name },
        13..18 => A::Delete { slot },
        18 => A::Reapply { slot },
        19..21 => A::Switch { slot, deletion },
        21 => A::WipeStatus { slot },
        22 => A::DeleteOutputs { slot },
        23..26 => A::Drift { slot, name },
        26 => A::MakeForeign,
        27 => A::RenameInterface { name },
        28 => A::RotateKey,
        29 => A::RotateChannelSecrets,
        30..35 => A::Fail { how, times },
        35 => A::Restart,
        36 => A::Crash,
        37 => A::Leave { crash: random.random() },
        38..40 => A::Vanish { slot },
        40..42 => A::Recreate { slot },
        _ => A::Return,
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn walk(seed: u64) -> (Vec<Action>, Model) {
        let (mut random, mut model) = (StdRng::seed_from_u64(seed), Model::default());
        let actions = (0..500).map(|step| {
            let action = model.next(&mut random);
            model.take(&action);
            if step % 6 == 5 {
                model.settle();
            }
            action
        });
        (actions.collect(), model)
    }

    #[test]
    fn a_seed_leads_to_the_same_walk_and_another_seed_to_another() {
        assert_eq!(walk(7), walk(7));
        assert_ne!(walk(7).0, walk(8).0);
    }

    #[test]
    fn every_kind_of_step_happens() {
        let (actions, _) = walk(1);
        let kinds: std::collections::BTreeSet<_> = actions
            .iter()
            .map(|action| format!("{action:?}").split([' ', '{']).next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(kinds.len(), 19, "{kinds:?}");
    }
}
