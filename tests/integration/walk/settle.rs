// SPDX-License-Identifier: Apache-2.0

//! Has everything come to rest, and compares Kubernetes and the manager with the model.

use std::collections::BTreeMap;

use digital_messaging_operator::{
    api::{DigitalMessagingInterface, ManagerCredential},
    controller::reason::Reason,
};
use jiff::Timestamp;
use kube::{Api, ResourceExt};
use messaging_manager::journal::Entry;

use super::{
    model::{Deletion, Model, SLOTS},
    perform::{Stage, display_name, interface_name, is_of, name},
};
use crate::scene::{DEADLINE, Scene, expect};

/// The IDs at the manager, by slot: what was once known may change only by a deletion there.
pub type Ids = [Option<String>; SLOTS];

impl Stage {
    /// Ends all faults, has the operator run, and waits until everything is as `model` says. `ids` are those of the last
    /// time, without those that were deleted at the manager since.
    ///
    /// Nobody sets `retry`: no step takes so much of the account at once that a person has to look, and everything else the
    /// operator has to get over by itself.
    pub async fn settle(&mut self, model: &Model, ids: &mut Ids) {
        self.scene.faults.clear();
        if model.away {
            self.scene.start_operator().await;
        }
        let stage = &*self;
        let compare = async || stage.compare(model, ids).await;
        stage.scene.eventually("everything is as the model says", compare).await;
        // The last fault may not have been heard of yet: what the credential says must be true afterwards, too.
        self.has_the_account_looked_at().await;
        let stage = &*self;
        let compare = async || stage.compare(model, ids).await;
        *ids = stage.scene.eventually("everything stays as the model says", compare).await;
    }

    /// Changes something that is nobody's here, and waits until the operator has been told.
    async fn has_the_account_looked_at(&mut self) {
        let now = Timestamp::now();
        self.touch_foreign_interface().await;
        let is_told = |call: &Entry| call.is_change_feed() && call.status == Some(200) && call.answered > Some(now);
        let told = self
            .scene
            .journal
            .wait_until(DEADLINE, |calls| calls.iter().any(is_told))
            .await;
        told.expect("the operator looks at the account");
    }

    async fn compare(&self, model: &Model, known: &Ids) -> Result<Ids, String> {
        let scene = &self.scene;
        let credential: ManagerCredential = get(&scene.credentials(), "acme").await?;
        expect_done(&credential, "acme")?;
        self.expect_newest_key().await?;
        let interface: DigitalMessagingInterface = get(&scene.interfaces(), "support").await?;
        expect_done(&interface, "support")?;
        for (object, name) in [(&credential.metadata, "acme"), (&interface.metadata, "support")] {
            expect_finalizer(object, name, model.must_clean_up())?;
        }
        let held = self.account.connections().await.map_err(|error| format!("{error:#}"))?;
        let interfaces = self.account.interfaces().await.map_err(|error| format!("{error:#}"))?;
        let ending = format!("/DigitalMessagingInterface/{}/support", scene.namespace);
        let ours: Vec<_> = interfaces
            .iter()
            .filter(|it| it.spec.external_reference.as_ref().is_some_and(|it| it.ends_with(&ending)))
            .collect();
        match ours.as_slice() {
            [one] if one.spec.display_name == interface_name(model.interface_name) => {}
            others => return Err(format!("the interface at the manager: {others:?}")),
        }

        let mut ids = Ids::default();
        for slot in 0..SLOTS {
            ids[slot] = self
                .compare_slot(slot, model, &held, known[slot].as_deref())
                .await
                .map_err(|missing| format!("{}: {missing}", name(slot)))?;
        }
        let expected = model.foreign + model.slots.iter().filter(|slot| slot.remote).count();
        if held.len() != expected {
            return Err(format!(
                "{} connections at the manager instead of {expected}: {held:?}",
                held.len()
            ));
        }
        let by_id: BTreeMap<_, _> = held.iter().map(|it| (&it.id, it)).collect();
        for foreign in &self.foreign {
            if by_id.get(&foreign.id) != Some(&foreign) {
                return Err(format!(
                    "{} is not ours and was touched: {:?}",
                    foreign.id,
                    by_id.get(&foreign.id)
                ));
            }
        }
        Ok(ids)
    }

    /// The key that was issued last has been tried, and is the one that is kept.
    async fn expect_newest_key(&self) -> Result<(), String> {
        let proven = self.scene.secrets().get("acme-proven").await;
        let proven = proven.map_err(|error| error.to_string())?;
        let kept = proven.data.as_ref().and_then(|data| data.get("managerKey"));
        let newest = self.account.credential().manager_key.expose();
        if kept.is_some_and(|kept| kept.0 == newest.as_bytes()) {
            Ok(())
        } else {
            Err("acme: an older key is kept".to_owned())
        }
    }

    async fn version_of_channel_secrets(&self) -> Result<String, String> {
        let secrets = self.scene.secrets().get("channels").await;
        let version = secrets.map_err(|error| error.to_string())?.metadata.resource_version;
        version.ok_or("no version".to_owned())
    }

    async fn compare_slot(
        &self,
        slot: usize,
        model: &Model,
        held: &[digital_messaging_contract::connection::Connection],
        known: Option<&str>,
    ) -> Result<Option<String>, String> {
        let expected = &model.slots[slot];
        let ending = self.reference_ending(slot);
        let found: Vec<_> = held.iter().filter(|it| is_of(it, &ending)).collect();
        let found = match found.as_slice() {
            [] => None,
            [one] => Some(*one),
            more => return Err(format!("duplicates at the manager: {more:?}")),
        };
        if found.is_some() != expected.remote {
            return Err(format!(
                "is there to be one at the manager: {}; there is: {found:?}",
                expected.remote
            ));
        }
        let id = found.map(|it| it.id.clone());
        if let Some(known) = known
            && id.as_deref() != Some(known)
        {
            return Err(format!("its ID was {known} and is {id:?}"));
        }

        let outputs = format!("{}-connection", name(slot));
        let secret = self
            .scene
            .secrets()
            .get_opt(&outputs)
            .await
            .map_err(|error| error.to_string())?;
        if secret.is_some() != expected.outputs {
            return Err(format!(
                "are there to be outputs: {}; there are: {}",
                expected.outputs,
                secret.is_some()
            ));
        }
        if let (Some(secret), Some(id)) = (secret, &id) {
            let value = secret.data.and_then(|mut data| data.remove("connectionId"));
            let value = value.map(|value| String::from_utf8_lossy(&value.0).into_owned());
            if value.as_ref() != Some(id) {
                return Err(format!("the outputs say {value:?} instead of {id}"));
            }
        }

        let object = self
            .scene
            .connections()
            .get_opt(&name(slot))
            .await
            .map_err(|error| error.to_string())?;
        match (object, expected.declared) {
            (None, None) => {}
            (None, Some(_)) => return Err("it is gone".to_owned()),
            (Some(object), None) => return Err(format!("it is still there: {:?}", object.finalizers())),
            (Some(object), Some(_)) if expected.missing => {
                let reason = Reason::RemoteMissing.as_str();
                let found = expect(&object, "Synced", "False", reason)?;
                if found.observed_generation != object.metadata.generation {
                    return Err(format!("of an older generation: {found}"));
                }
            }
            (Some(object), Some(declared)) => {
                expect_done(&object, &name(slot))?;
                let status = object.status.as_ref().and_then(|status| status.id.as_ref());
                if status != id.as_ref() {
                    return Err(format!("its status says {status:?} instead of {id:?}"));
                }
                expect_finalizer(&object.metadata, &name(slot), declared.deletion == Deletion::Delete)?;
                let called = found.map(|it| it.display_name.clone());
                let wanted = display_name(slot, declared.name);
                if called.as_ref() != Some(&wanted) {
                    return Err(format!("the manager calls it {called:?} instead of {wanted}"));
                }
                let sent = object.status.and_then(|status| status.sent_secrets);
                if let Some(sent) = sent
                    && sent.resource_version != self.version_of_channel_secrets().await?
                {
                    return Err("the manager has older secrets of the channel".to_owned());
                }
            }
        }
        Ok(id)
    }
}

impl Scene {
    /// Fails if the operator writes anything while nothing happens.
    pub async fn assert_at_rest(&self) {
        let (calls, writes) = (self.journal.len(), self.audit_mark());
        self.time_passes(4).await;
        assert_eq!(self.manager_writes(calls), Vec::<String>::new(), "nothing has changed");
        // The interface counts its connections a few seconds later.
        let mut writes = self.operator_writes(writes);
        writes.retain(|write| write.resource != "digitalmessaginginterfaces");
        assert_eq!(writes, [], "nothing has changed");
    }
}

async fn get<K>(api: &Api<K>, name: &str) -> Result<K, String>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    api.get(name).await.map_err(|error| error.to_string())
}

/// Ready and synced, for the present spec.
fn expect_done(object: &(impl serde::Serialize + kube::Resource), name: &str) -> Result<(), String> {
    for kind in ["Ready", "Synced"] {
        let found = expect(object, kind, "True", kind).map_err(|found| format!("{name}: {found}"))?;
        if found.observed_generation != object.meta().generation {
            return Err(format!("{name}: of an older generation: {found}"));
        }
    }
    Ok(())
}

fn expect_finalizer(meta: &kube::core::ObjectMeta, name: &str, wanted: bool) -> Result<(), String> {
    let ours = digital_messaging_operator::api::FINALIZER;
    let found = meta.finalizers.iter().flatten().any(|it| it == ours);
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{name}: is the finalizer wanted: {wanted}; is it there: {found}"))
    }
}

/// Keeps the IDs that are still good, and those alone.
pub fn forget_deleted(ids: &mut Ids, model: &Model) {
    for (id, slot) in ids.iter_mut().zip(&model.slots) {
        if !slot.remote {
            *id = None;
        }
    }
}
