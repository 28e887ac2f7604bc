// SPDX-License-Identifier: Apache-2.0

//! Which remote object a resource holds.
//!
//! The mark at the manager decides, not the status: `status.id` is a cache that anyone with the right verb can forge or a
//! restore can lose. An object is ours if its reference is ours; there is one resource of a name at a time, so a claimant
//! that is not us is a former incarnation of the name, and its object is free to take.

use std::sync::Arc;

use crate::manager::{
    observed::{Claim, ObservedConnection, ObservedInterface},
    values::{Mark, RemoteId},
};

use super::Refusal;

/// A remote object that can be held.
pub trait Holdable {
    /// Its ID.
    fn id(&self) -> &RemoteId;
    /// Whose it says it is.
    fn claim(&self) -> &Claim;
}

impl Holdable for ObservedInterface {
    fn id(&self) -> &RemoteId {
        &self.id
    }
    fn claim(&self) -> &Claim {
        &self.claim
    }
}

impl Holdable for ObservedConnection {
    fn id(&self) -> &RemoteId {
        &self.id
    }
    fn claim(&self) -> &Claim {
        &self.claim
    }
}

/// Everything that is known about which object might be ours.
#[derive(Clone, Debug)]
pub struct Evidence<T> {
    /// The object that carries our reference.
    pub by_reference: Option<Arc<T>>,
    /// The ID in the status, and the object that has it.
    pub remembered: Option<(RemoteId, Option<Arc<T>>)>,
    /// What `spec.adoption` asks for.
    pub adoption: Option<Adoption<T>>,
    /// The object that has our natural key.
    pub same_natural_key: Option<Arc<T>>,
    /// Whether that one was ours, and not only observed.
    pub was_held: bool,
    /// The lost ID that `recreate` allows to replace.
    pub recreate: Option<RemoteId>,
    /// The ID that `take-over` allows to take from another installation.
    pub take_over: Option<RemoteId>,
}

/// What `spec.adoption` asks for.
#[derive(Clone, Debug)]
pub struct Adoption<T> {
    /// The object it names, if it is there.
    pub target: Option<Arc<T>>,
    /// Adopt only what already is as desired.
    pub only_if_equal: bool,
}

/// What is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holding<T> {
    /// Nothing yet: to be created.
    Nothing,
    /// This one.
    Held(Arc<T>),
    /// This one, once our mark is on it.
    ToAdopt {
        /// The object.
        target: Arc<T>,
        /// Adopt only if nothing would change.
        only_if_equal: bool,
    },
}

/// Whether the resource behind a reference is alive, as far as this installation can know.
pub trait Claimants {
    /// Whether `reference` belongs to a resource that exists in the watched namespaces of this installation.
    fn is_alive(&self, reference: &str) -> bool;
    /// Whether `reference` was made by this installation, for a namespace that it watches.
    fn is_ours(&self, reference: &str) -> bool;
}

/// Finds out what is held.
///
/// # Errors
/// Why nothing can be held for now.
pub fn hold<T: Holdable>(mark: &Mark, evidence: Evidence<T>, claimants: &impl Claimants) -> Result<Holding<T>, Refusal> {
    let is_ours = |object: &Arc<T>| object.claim().reference.as_deref() == Some(mark.reference.as_str());
    // Should a manager hold two objects with our reference, it is the one that was held before.
    let remembered = evidence.remembered.as_ref().and_then(|(_, object)| object.clone());
    if let Some(object) = remembered.into_iter().chain(evidence.by_reference).find(is_ours) {
        return Ok(Holding::Held(object));
    }
    // What was only observed so far, and is to be adopted now, is remembered without being ours. What was ours is not taken
    // back unasked: two installations that both declare it would take it from each other for ever.
    let adopts = |id: &RemoteId| {
        if evidence.was_held {
            return false;
        }
        let target = evidence.adoption.as_ref().and_then(|adoption| adoption.target.as_ref());
        target.is_some_and(|target| target.id() == id)
    };
    if let Some((id, object)) = evidence.remembered.filter(|(id, _)| !adopts(id)) {
        return match object {
            Some(object) => Err(Refusal::ClaimLost { id: object.id().clone() }),
            None if evidence.recreate.as_ref() == Some(&id) => Ok(Holding::Nothing),
            None => Err(Refusal::RemoteMissing { id }),
        };
    }
    if let Some(adoption) = evidence.adoption {
        let target = adoption.target.ok_or(Refusal::AdoptionTargetNotFound)?;
        let free = match target.claim().reference.as_deref() {
            None => true,
            Some(other) if claimants.is_ours(other) => !claimants.is_alive(other),
            // Elsewhere: whether that resource lives cannot be seen from here. An installation that lets go takes its claimant off.
            Some(_) => target.claim().claimant.is_none() || evidence.take_over.as_ref() == Some(target.id()),
        };
        return if free {
            Ok(Holding::ToAdopt {
                target,
                only_if_equal: adoption.only_if_equal,
            })
        } else {
            Err(Refusal::AlreadyClaimed {
                holder: target.id().clone(),
                unmarked: false,
            })
        };
    }
    match evidence.same_natural_key {
        Some(other) => Err(Refusal::AlreadyClaimed {
            holder: other.id().clone(),
            unmarked: other.claim().reference.is_none(),
        }),
        None => Ok(Holding::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manager::values::Reference;

    #[derive(Debug, PartialEq, Eq)]
    struct Object(RemoteId, Claim);

    impl Holdable for Object {
        fn id(&self) -> &RemoteId {
            &self.0
        }
        fn claim(&self) -> &Claim {
            &self.1
        }
    }

    struct Alive(&'static [&'static str]);

    impl Claimants for Alive {
        fn is_alive(&self, reference: &str) -> bool {
            self.0.contains(&reference)
        }
        fn is_ours(&self, reference: &str) -> bool {
            reference.starts_with("test/")
        }
    }

    fn id(id: &str) -> RemoteId {
        id.parse().unwrap()
    }

    fn object(name: &str, reference: Option<&str>) -> Arc<Object> {
        Arc::new(Object(
            id(name),
            Claim {
                reference: reference.map(str::to_owned),
                claimant: Some("other-uid".to_owned()),
            },
        ))
    }

    fn mark() -> Mark {
        Mark {
            reference: Reference::new("test", "ChannelConnection", "shop", "web"),
            claimant: Some("uid".to_owned()),
        }
    }

    const OURS: &str = "test/ChannelConnection/shop/web";

    fn nothing() -> Evidence<Object> {
        Evidence {
            by_reference: None,
            remembered: None,
            was_held: false,
            adoption: None,
            same_natural_key: None,
            recreate: None,
            take_over: None,
        }
    }

    fn adopt(target: Option<Arc<Object>>, only_if_equal: bool) -> Evidence<Object> {
        Evidence {
            adoption: Some(Adoption { target, only_if_equal }),
            ..nothing()
        }
    }

    #[test]
    fn an_object_with_our_reference_is_ours_whoever_claimed_it_before() {
        let held = object("cn_1", Some(OURS));
        let evidence = Evidence {
            by_reference: Some(held.clone()),
            ..nothing()
        };
        assert_eq!(hold(&mark(), evidence, &Alive(&[])), Ok(Holding::Held(held)));
    }

    #[test]
    fn of_two_objects_with_our_reference_the_one_held_before_stays_held() {
        let held = object("cn_2", Some(OURS));
        let evidence = Evidence {
            by_reference: Some(object("cn_1", Some(OURS))),
            remembered: Some((id("cn_2"), Some(held.clone()))),
            ..nothing()
        };
        assert_eq!(hold(&mark(), evidence, &Alive(&[])), Ok(Holding::Held(held)));
    }

    #[test]
    fn without_any_trace_it_is_to_be_created() {
        assert_eq!(hold(&mark(), nothing(), &Alive(&[])), Ok(Holding::Nothing));
    }

    #[test]
    fn a_forged_status_gives_no_hold_on_a_foreign_object() {
        for reference in [
            None,
            Some("test/ChannelConnection/victim/web"),
            Some("elsewhere/ChannelConnection/shop/web"),
        ] {
            let evidence = Evidence {
                remembered: Some((id("cn_2"), Some(object("cn_2", reference)))),
                ..nothing()
            };
            assert_eq!(
                hold(&mark(), evidence, &Alive(&[])),
                Err(Refusal::ClaimLost { id: id("cn_2") })
            );
        }
    }

    #[test]
    fn what_was_held_and_is_gone_is_recreated_only_on_demand_for_that_very_id() {
        let lost = |recreate| Evidence {
            remembered: Some((id("cn_1"), None)),
            recreate,
            ..nothing()
        };
        let missing = Err(Refusal::RemoteMissing { id: id("cn_1") });
        assert_eq!(hold(&mark(), lost(None), &Alive(&[])), missing);
        assert_eq!(hold(&mark(), lost(Some(id("cn_0"))), &Alive(&[])), missing);
        assert_eq!(hold(&mark(), lost(Some(id("cn_1"))), &Alive(&[])), Ok(Holding::Nothing));
    }

    #[test]
    fn adoption_takes_what_nobody_holds() {
        assert_eq!(
            hold(&mark(), adopt(None, true), &Alive(&[])),
            Err(Refusal::AdoptionTargetNotFound)
        );
        for (reference, only_if_equal) in [(None, true), (Some("test/ChannelConnection/shop/gone"), true)] {
            let target = object("cn_3", reference);
            let adopted = hold(&mark(), adopt(Some(target.clone()), only_if_equal), &Alive(&[]));
            assert_eq!(adopted, Ok(Holding::ToAdopt { target, only_if_equal }));
        }
    }

    #[test]
    fn adoption_does_not_take_what_someone_holds() {
        let alive = Alive(&["test/ChannelConnection/shop/other"]);
        for (reference, only_if_equal) in [
            ("test/ChannelConnection/shop/other", false),
            ("elsewhere/x", true),
            ("elsewhere/x", false),
        ] {
            let refused = hold(&mark(), adopt(Some(object("cn_3", Some(reference))), only_if_equal), &alive);
            assert_eq!(
                refused,
                Err(Refusal::AlreadyClaimed {
                    holder: id("cn_3"),
                    unmarked: false
                })
            );
        }
    }

    #[test]
    fn another_installation_keeps_what_it_holds_until_it_lets_go_or_is_overruled_by_id() {
        let held = || object("cn_3", Some("elsewhere/x"));
        let let_go = Arc::new(Object(
            id("cn_3"),
            Claim {
                reference: Some("elsewhere/x".to_owned()),
                claimant: None,
            },
        ));
        let adopted = |target: Arc<Object>, take_over: Option<&str>| {
            let evidence = Evidence {
                take_over: take_over.map(id),
                ..adopt(Some(target), true)
            };
            hold(&mark(), evidence, &Alive(&[])).is_ok()
        };
        assert!(adopted(let_go, None));
        assert!(!adopted(held(), None));
        assert!(!adopted(held(), Some("cn_2")));
        assert!(adopted(held(), Some("cn_3")));
    }

    #[test]
    fn what_was_ours_and_was_taken_is_not_taken_back() {
        let taken = object("cn_3", Some("elsewhere/x"));
        let evidence = Evidence {
            remembered: Some((id("cn_3"), Some(taken.clone()))),
            was_held: true,
            take_over: Some(id("cn_3")),
            ..adopt(Some(taken), false)
        };
        let lost = hold(&mark(), evidence, &Alive(&[]));
        assert_eq!(lost, Err(Refusal::ClaimLost { id: id("cn_3") }));
    }

    #[test]
    fn what_was_only_observed_can_be_adopted() {
        let target = object("cn_3", None);
        let evidence = Evidence {
            remembered: Some((id("cn_3"), Some(target.clone()))),
            ..adopt(Some(target.clone()), true)
        };
        let adopted = hold(&mark(), evidence, &Alive(&[]));
        assert_eq!(
            adopted,
            Ok(Holding::ToAdopt {
                target,
                only_if_equal: true
            })
        );
    }

    #[test]
    fn a_taken_natural_key_stops_creation() {
        let evidence = Evidence {
            same_natural_key: Some(object("cn_4", None)),
            ..nothing()
        };
        assert_eq!(
            hold(&mark(), evidence, &Alive(&[])),
            Err(Refusal::AlreadyClaimed {
                holder: id("cn_4"),
                unmarked: true
            })
        );
    }
}
