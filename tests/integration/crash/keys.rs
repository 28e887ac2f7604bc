// SPDX-License-Identifier: Apache-2.0

//! A new Manager Key takes over; the manager makes a new secret for a connection.

use std::time::Duration;

use digital_messaging_operator::api::{ChannelConnection, ManagerCredential, annotation::ROTATE_SECRET};
use sandbox::Credential;

use rstest::rstest;

use super::{
    References, Scenario,
    end::{get, is_sound},
    explore,
    stage::Stage,
};
use crate::scene::manager_secret;

#[derive(Default)]
pub struct KeyRotation {
    key: Option<String>,
}

impl Scenario for KeyRotation {
    const NAME: &'static str = "key-rotation";
    const SCENES: u32 = 1;

    async fn begin(&mut self, stage: &mut Stage) {
        stage.scene.apply_all(stage.all()).await;
        stage.scene.ready::<ManagerCredential>("acme").await;
        stage.scene.ready::<ChannelConnection>("phone").await;
        stage.scene.ready::<ChannelConnection>("web").await;
        stage.scene.counted(2).await;
    }

    async fn prepare(&mut self, stage: &mut Stage) {
        let keys = stage.scene.manager.manager().credentials();
        let issued = keys
            .rotate(&stage.credential.manager_id, Duration::from_hours(1))
            .await
            .unwrap();
        self.key = Some(stage.scene.secret_value(issued.manager_key.expose()));
        stage.credential = Credential {
            manager_key: issued.manager_key,
            ..stage.credential.clone()
        };
        stage.account = stage.scene.account(&stage.credential);
    }

    async fn act(&mut self, stage: &Stage) {
        stage.scene.apply(manager_secret("acme", &stage.credential)).await;
    }

    async fn is_done(&self, stage: &Stage) -> Result<(), String> {
        let proven = stage.scene.secret("acme-proven").await.ok_or("no proven key")?;
        let key = proven.data.as_ref().and_then(|data| data.get("managerKey"));
        if key.map(|key| key.0.as_slice()) != self.key.as_deref().map(str::as_bytes) {
            return Err("the key that is kept is another one".to_owned());
        }
        is_sound(stage).await
    }
}

/// A person asks for a new secret of the connection `web`.
#[derive(Default)]
pub struct SecretRotation {
    id: String,
    /// Secrets that the manager had made before this round.
    made: usize,
}

impl Scenario for SecretRotation {
    const NAME: &'static str = "rotate-secret";
    const SCENES: u32 = 1;

    async fn begin(&mut self, stage: &mut Stage) {
        stage.scene.apply_all(stage.all()).await;
        stage.scene.ready::<ChannelConnection>("phone").await;
        stage.scene.ready::<ChannelConnection>("web").await;
        stage.scene.counted(2).await;
        self.id = stage.scene.connection_id("web").await;
    }

    async fn prepare(&mut self, stage: &mut Stage) {
        self.made = self.made_by_now(stage).await;
    }

    async fn act(&mut self, stage: &Stage) {
        let request = format!("round {}", stage.round);
        stage
            .scene
            .annotate::<ChannelConnection>("web", ROTATE_SECRET, &request)
            .await;
    }

    async fn is_done(&self, stage: &Stage) -> Result<(), String> {
        let web = get::<ChannelConnection>(&stage.scene, "web").await?;
        let handled = web.status.unwrap_or_default().last_handled_rotation;
        if handled != Some(format!("round {}", stage.round)) {
            return Err(format!("last handled is {handled:?}"));
        }
        match self.made_by_now(stage).await - self.made {
            1 => is_sound(stage).await,
            other => Err(format!("{other} secrets were made")),
        }
    }
}

impl SecretRotation {
    async fn made_by_now(&self, stage: &Stage) -> usize {
        let manager = stage.scene.manager.manager();
        let records = manager.write_records(&stage.credential.manager_id).await.unwrap();
        let of_web = records.iter().filter(|it| it.method == "POST" && it.id == self.id);
        of_web.count()
    }
}

#[rstest]
#[case::unique_references(References::Unique)]
#[case::references_not_unique(References::NotUnique)]
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_of_a_key_rotation_ends_with_the_new_key_kept(#[case] references: References) {
    explore::<KeyRotation>(references).await;
}

#[rstest]
#[case::unique_references(References::Unique)]
#[case::references_not_unique(References::NotUnique)]
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_of_a_secret_rotation_makes_one_secret_and_hands_it_out(#[case] references: References) {
    explore::<SecretRotation>(references).await;
}
