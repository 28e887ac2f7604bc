// SPDX-License-Identifier: Apache-2.0

//! A person who approves a plan once, and is not asked again because of a crash.

use std::sync::Mutex;

use digital_messaging_operator::api::{ChannelConnection, annotation};
use kube::ResourceExt;

use super::{end::get, stage::Stage};
use crate::scene::expect;

/// The approval of a round.
#[derive(Default)]
pub struct Approval {
    plan: Mutex<Option<String>>,
}

impl Approval {
    /// Another round begins.
    pub fn forget(&mut self) {
        *self.plan.get_mut().unwrap() = None;
    }

    /// Approves what waits if it is the first plan that does. Fails if a second one waits: in a round nothing changes but
    /// what was approved, so after a crash it is still the same, and the annotation is still there.
    pub async fn give(&self, stage: &Stage, connection: &str) -> Result<(), String> {
        let object = get::<ChannelConnection>(&stage.scene, connection).await?;
        let stands = object.annotations().get(annotation::APPROVE).cloned();
        let Some(shown) = object.status.unwrap_or_default().plan else {
            return Ok(());
        };
        {
            let mut first = self.plan.lock().unwrap();
            let first = first.get_or_insert_with(|| shown.hash.clone());
            assert_eq!(*first, shown.hash, "a second plan waits in round {}", stage.round);
        }
        if stands.as_ref() != Some(&shown.hash) {
            stage
                .scene
                .annotate::<ChannelConnection>(connection, annotation::APPROVE, &shown.hash)
                .await;
        }
        Ok(())
    }

    /// Fails unless another plan waits than the one that was approved.
    pub async fn is_asked_for_again(&self, stage: &Stage, connection: &str) -> Result<(), String> {
        let object = get::<ChannelConnection>(&stage.scene, connection).await?;
        expect(&object, "Synced", "False", "AwaitingApproval")?;
        let shown = object.status.unwrap_or_default().plan.ok_or("no plan")?;
        assert_ne!(Some(shown.hash), *self.plan.lock().unwrap(), "round {}", stage.round);
        Ok(())
    }
}
