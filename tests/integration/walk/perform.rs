// SPDX-License-Identifier: Apache-2.0

//! Takes the steps of a walk on the real parts.

use std::time::Duration;

use digital_messaging_contract::{connection::Connection, problem::Code};
use digital_messaging_operator::{
    api::{ChannelConnection, ManagerCredential, annotation},
    controller::reason::Reason,
};
use kube::api::DeleteParams;
use messaging_manager::faults::{Fault, Rule};
use sandbox::{Credential, ManagerAccount};
use serde_json::{Value, json};

use super::model::{Action, Declared, Failure, Model};
use crate::{
    lifecycle::{channel_secret, one_of_a_mix},
    scene::{Scene, interface, manager_secret},
};

/// The real parts of a walk.
pub struct Stage {
    pub scene: Scene,
    pub account: ManagerAccount,
    /// Connections that are nobody's here, as the manager answered when they were made.
    pub foreign: Vec<Connection>,
    foreign_interface: Option<String>,
}

/// The name of a slot's connection.
pub fn name(slot: usize) -> String {
    format!("mixed-{slot}")
}

/// The connection of a slot as a user would apply it. Each slot has another channel, some with secrets.
pub fn manifest(slot: usize, declared: Declared) -> Value {
    let mut object = one_of_a_mix(slot, "support", "channels");
    object["spec"]["displayName"] = json!(display_name(slot, declared.name));
    object["spec"]["policy"] = json!({ "deletion": declared.deletion.as_str() });
    object
}

/// What a connection is called at the manager.
pub fn display_name(slot: usize, name: u32) -> String {
    format!("Walk {slot} {name}")
}

pub fn interface_name(name: u32) -> String {
    format!("Walking {name}")
}

impl Stage {
    /// Credential, interface and the channels' secrets are there.
    pub async fn set() -> Self {
        let scene = Scene::new().await;
        let account = scene.ready_credential().await;
        scene.apply(channel_secret(&scene, "channels")).await;
        let stage = Self {
            scene,
            account,
            foreign: Vec::new(),
            foreign_interface: None,
        };
        stage.apply_interface(0).await;
        stage
    }

    async fn apply_interface(&self, name: u32) {
        let mut object = interface("support", "acme");
        object["spec"]["displayName"] = json!(interface_name(name));
        self.scene.apply(object).await;
    }

    /// Takes a step; `model` has taken it already.
    pub async fn perform(&mut self, action: &Action, model: &Model) {
        use Action as A;
        match action {
            A::Create { slot, .. } | A::Rename { slot, .. } | A::Reapply { slot } | A::Switch { slot, .. } => {
                let declared = model.slots[*slot].declared.unwrap();
                self.scene.apply(manifest(*slot, declared)).await;
            }
            A::Delete { slot } => self.scene.ask_to_delete::<ChannelConnection>(&name(*slot)).await,
            A::WipeStatus { slot } => self.scene.wipe_status::<ChannelConnection>(&name(*slot)).await,
            A::DeleteOutputs { slot } => {
                let outputs = format!("{}-connection", name(*slot));
                // The operator may not have put it back since the last time.
                let _ = self.scene.secrets().delete(&outputs, &DeleteParams::default()).await;
            }
            A::Drift { slot, name } => self.drift(*slot, *name).await,
            A::Vanish { slot } => {
                let found = self.at_the_manager(*slot).await.unwrap();
                self.account.delete_connection(&found.id).await.unwrap();
            }
            A::Recreate { slot } => {
                let lost = self.scene.connection_id(&name(*slot)).await;
                self.scene
                    .annotate::<ChannelConnection>(&name(*slot), annotation::RECREATE, &lost)
                    .await;
            }
            A::MakeForeign => self.make_foreign().await,
            A::RenameInterface { name } => self.apply_interface(*name).await,
            A::RotateKey => self.rotate_key().await,
            A::RotateChannelSecrets => self.scene.apply(channel_secret(&self.scene, "channels")).await,
            A::Fail {
                how: Failure::Outage, ..
            } => {
                self.scene.faults.push(rule(Failure::Outage));
                if !model.away {
                    self.is_told_that_the_manager_is_down().await;
                }
            }
            A::Fail { how, times } => self.scene.faults.push(rule(*how).times(*times)),
            A::Restart => self.scene.restart_operator().await,
            A::Crash => {
                self.scene.crash_operator().await;
                self.scene.start_operator().await;
            }
            A::Leave { crash: true } => self.scene.crash_operator().await,
            A::Leave { crash: false } => self.scene.stop_operator().await,
            A::Return => self.scene.start_operator().await,
        }
    }

    async fn is_told_that_the_manager_is_down(&self) {
        let reason = Reason::ManagerUnavailable.as_str();
        self.scene
            .condition::<ManagerCredential>("acme", "Synced", "False", reason)
            .await;
    }

    /// Whatever carries the slot's reference at the manager.
    async fn at_the_manager(&self, slot: usize) -> Option<Connection> {
        let ending = self.reference_ending(slot);
        let held = self.account.connections().await.unwrap();
        held.into_iter().find(|it| is_of(it, &ending))
    }

    async fn drift(&self, slot: usize, to: u32) {
        let found = self.at_the_manager(slot).await.unwrap();
        let patch = json!({ "displayName": format!("Drifted {to}") });
        // Somebody else may be faster: then there is nothing left to change.
        let _ = self.account.patch_connection(&found.id, &patch).await;
    }

    /// The end of the external reference of a slot's connection.
    pub fn reference_ending(&self, slot: usize) -> String {
        format!("/ChannelConnection/{}/{}", self.scene.namespace, name(slot))
    }

    /// The interface that is nobody's here.
    async fn foreign_interface(&mut self) -> String {
        if let Some(id) = &self.foreign_interface {
            return id.clone();
        }
        let spec =
            json!({ "displayName": "Foreign", "templateOperator": "dm-template", "baseUrl": "https://acme.example/prweb" });
        let spec = serde_json::from_value(spec).unwrap();
        let made = self.account.create_interface(&spec).await.unwrap();
        self.foreign_interface.insert(made.id).clone()
    }

    /// Somebody changes the interface that is nobody's here.
    pub async fn touch_foreign_interface(&mut self) {
        let id = self.foreign_interface().await;
        let patch = json!({ "description": uuid::Uuid::new_v4().to_string() });
        self.account.patch_interface(&id, &patch).await.unwrap();
    }

    async fn make_foreign(&mut self) {
        let interface = self.foreign_interface().await;
        let number = self.foreign.len();
        let spec = json!({
            "interfaceId": interface,
            "displayName": format!("Foreign {number}"),
            "externalReference": (number > 0).then(|| format!("somebody/else/{number}")),
            "channel": { "type": "webMessaging" },
        });
        let made = self
            .account
            .create_connection(&serde_json::from_value(spec).unwrap())
            .await
            .unwrap();
        self.foreign.push(made.connection);
    }

    async fn rotate_key(&mut self) {
        let former = self.account.credential().clone();
        let issued = self
            .scene
            .manager
            .manager()
            .credentials()
            .rotate(&former.manager_id, Duration::from_mins(10))
            .await
            .unwrap();
        self.scene.secret_value(issued.manager_key.expose());
        let credential = Credential {
            manager_key: issued.manager_key,
            ..former
        };
        self.account = self.scene.account(&credential);
        self.scene.apply(manager_secret("acme", &credential)).await;
    }
}

/// Whether a connection at the manager carries a reference with this ending.
pub fn is_of(connection: &Connection, ending: &str) -> bool {
    let reference = connection.external_reference.as_deref();
    reference.is_some_and(|reference| reference.ends_with(ending))
}

fn rule(how: Failure) -> Rule {
    Rule::new(match how {
        Failure::LostReply => Fault::DropReply,
        Failure::Unavailable | Failure::Outage => Fault::Problem(Code::Unavailable, None),
        Failure::TooMany => Fault::Problem(Code::RateLimited, Some(1)),
        Failure::Late => Fault::Latency(Duration::from_millis(500)),
        Failure::Silence => Fault::NeverAnswer,
    })
}
