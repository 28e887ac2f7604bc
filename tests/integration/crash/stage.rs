// SPDX-License-Identifier: Apache-2.0

//! Where rounds are played: a scene, and the names that a round uses.

use std::time::Duration;

use digital_messaging_contract::account::AuthenticationMethod;
use sandbox::{Credential, ManagerAccount};
use serde_json::{Value, json};

use super::References;
use crate::scene::{Scene, Whose, connection, interface, labelled_secret, manager_credential, manager_secret, web, whatsapp};

/// A scene in which round follows round.
pub struct Stage {
    pub scene: Scene,
    pub round: usize,
    /// What the objects of a round that makes its own are named like: `web-r7`. Empty if all rounds share theirs.
    pub suffix: String,
    /// The account that the objects live in.
    pub account: ManagerAccount,
    pub credential: Credential,
}

/// What is cut here is cut for good: nothing arrives late.
const SETTLES: Duration = Duration::from_secs(1);

/// The connections of a stage: one whose secret the manager makes, and one with secrets of its own.
pub const CONNECTIONS: [&str; 2] = ["web", "phone"];

impl Stage {
    pub async fn new(references: References) -> Self {
        Self::new_with(references, SETTLES).await
    }

    /// `settles`: how long an attempt without an answer may take to arrive.
    pub async fn new_with(references: References, settles: Duration) -> Self {
        let scene = Scene::with(
            |manager| manager.unique_references = references == References::Unique,
            |operator| operator.settles = settles,
        )
        .await;
        scene.wait_until_leading().await;
        let credential = scene.provision(AuthenticationMethod::Jwt).await;
        let account = scene.account(&credential);
        Self {
            scene,
            round: 0,
            suffix: String::new(),
            account,
            credential,
        }
    }

    /// Gives the round an account and names of its own.
    pub async fn on_its_own(&mut self) {
        self.suffix = format!("-r{}", self.round);
        self.credential = self.scene.provision(AuthenticationMethod::Jwt).await;
        self.account = self.scene.account(&self.credential);
    }

    /// What is of this round, among all that the operator does.
    pub fn whose(&self) -> Whose {
        Whose {
            round: self.round,
            manager_id: self.credential.manager_id.clone(),
        }
    }

    /// Waits until an operator that has just started waits for changes of an account that all rounds share: what it reads
    /// on its way there is not of the next round.
    pub async fn is_followed(&self) {
        let waits = async || {
            let seen = self.scene.wire.seen();
            seen.iter().find(|point| point.is_of_feed()).map(drop).ok_or("it is not")
        };
        if self.suffix.is_empty() {
            self.scene.eventually("the account is followed", waits).await;
        }
    }

    /// The name of an object in this round.
    pub fn name(&self, name: &str) -> String {
        format!("{name}{}", self.suffix)
    }

    /// The Secret with the token of the connection `phone`, with a new value.
    pub fn token(&self) -> Value {
        let values = json!({ "accessToken": self.scene.new_secret_value(), "appSecret": self.scene.new_secret_value() });
        labelled_secret(&self.name("token"), &values)
    }

    pub fn interface(&self) -> Value {
        interface(&self.name("support"), &self.name("acme"))
    }

    pub fn connections(&self) -> [Value; 2] {
        let support = self.name("support");
        let number = format!("+1415555{:04}", self.round);
        [
            connection(&self.name("web"), &support, &web()),
            connection(&self.name("phone"), &support, &whatsapp(&number, &self.name("token"))),
        ]
    }

    /// Everything that a customer applies.
    pub fn all(&self) -> Vec<Value> {
        let acme = self.name("acme");
        let credential = manager_credential(&acme, self.scene.manager_url(), AuthenticationMethod::Jwt);
        let mut all = vec![
            manager_secret(&acme, &self.credential),
            self.token(),
            credential,
            self.interface(),
        ];
        all.extend(self.connections());
        all
    }
}
