// SPDX-License-Identifier: Apache-2.0

//! What comes first: something is made, adopted, or made anew.

use digital_messaging_operator::api::{ChannelConnection, annotation};
use rstest::rstest;
use serde_json::json;

use super::{
    References, Scenario,
    approval::Approval,
    end::{at_peace, get, is_sound, made},
    explore,
    stage::Stage,
};
use crate::{policy::required, scene::Point};

/// What is applied at once waits for one another, and a status says so if that takes long enough.
fn waits_for_another(point: &Point) -> bool {
    point.is_of_status() && point.number > 1
}

#[derive(Default)]
pub struct FirstCreation;

impl Scenario for FirstCreation {
    const NAME: &'static str = "first-creation";
    const SCENES: u32 = 4;

    fn depends_on_timing(point: &Point) -> bool {
        waits_for_another(point)
    }

    async fn begin(&mut self, _: &mut Stage) {}

    async fn prepare(&mut self, stage: &mut Stage) {
        stage.on_its_own().await;
    }

    async fn act(&mut self, stage: &Stage) {
        stage.scene.apply_all(stage.all()).await;
    }

    async fn is_done(&self, stage: &Stage) -> Result<(), String> {
        is_sound(stage).await?;
        match made(stage).await {
            3 => Ok(()),
            other => Err(format!("{other} objects were made at the manager")),
        }
    }
}

#[derive(Default)]
pub struct Adoption {
    ids: [String; 3],
}

impl Scenario for Adoption {
    const NAME: &'static str = "adoption";
    const SCENES: u32 = 3;

    fn depends_on_timing(point: &Point) -> bool {
        waits_for_another(point)
    }

    async fn begin(&mut self, _: &mut Stage) {}

    async fn prepare(&mut self, stage: &mut Stage) {
        stage.on_its_own().await;
        let account = &stage.account;
        let by_hand = json!({ "displayName": "By hand", "templateOperator": "other", "baseUrl": "https://acme.example/prweb" });
        let interface = account
            .create_interface(&serde_json::from_value(by_hand).unwrap())
            .await
            .unwrap();
        let channels = [
            json!({ "interfaceId": interface.id, "displayName": "By hand", "channel": { "type": "webMessaging" } }),
            json!({ "interfaceId": interface.id, "displayName": "By hand", "secrets": { "accessToken": "by-hand", "appSecret": "by-hand" },
                    "channel": { "type": "whatsApp", "phoneNumber": format!("+1415555{:04}", stage.round),
                                 "provider": { "type": "cloudApi", "phoneNumberId": "1", "businessAccountId": "2" } } }),
        ];
        let mut ids = vec![interface.id];
        for channel in channels {
            let made = account
                .create_connection(&serde_json::from_value(channel).unwrap())
                .await
                .unwrap();
            ids.push(made.connection.id);
        }
        self.ids = ids.try_into().unwrap();
    }

    async fn act(&mut self, stage: &Stage) {
        let mut all = stage.all();
        let start = all.len() - 3;
        for (object, id) in all[start..].iter_mut().zip(&self.ids) {
            object["spec"]["adoption"] = json!({ "by": "ID", "id": id, "mode": "Override" });
        }
        stage.scene.apply_all(all).await;
    }

    async fn is_done(&self, stage: &Stage) -> Result<(), String> {
        is_sound(stage).await?;
        let web = get::<ChannelConnection>(&stage.scene, &stage.name("web")).await?;
        if web.status.unwrap_or_default().id.as_ref() != Some(&self.ids[1]) {
            return Err("another connection than the one to adopt is held".to_owned());
        }
        match made(stage).await {
            0 => Ok(()),
            other => Err(format!("{other} objects were made at the manager")),
        }
    }
}

#[derive(Default)]
pub struct MadeAnew {
    lost: String,
    /// Objects made in earlier rounds.
    made: usize,
}

impl Scenario for MadeAnew {
    const NAME: &'static str = "recreate";
    const SCENES: u32 = 2;

    /// The interface counts its connections every few seconds at most: it may not have noticed that one was missing.
    fn depends_on_timing(point: &Point) -> bool {
        point.label.contains("digitalmessaginginterfaces/") && point.is_of_status()
    }

    async fn begin(&mut self, stage: &mut Stage) {
        stage.scene.apply_all(stage.all()).await;
        stage.scene.all_ready("acme", "support", "web").await;
        stage.scene.ready::<ChannelConnection>("phone").await;
        self.lost = stage.scene.connection_id("web").await;
    }

    async fn prepare(&mut self, stage: &mut Stage) {
        self.lost = stage.scene.connection_id("web").await;
        stage.account.delete_connection(&self.lost).await.unwrap();
        stage
            .scene
            .condition::<ChannelConnection>("web", "Synced", "False", "RemoteMissing")
            .await;
        self.made = made(stage).await;
    }

    async fn act(&mut self, stage: &Stage) {
        stage
            .scene
            .annotate::<ChannelConnection>("web", annotation::RECREATE, &self.lost)
            .await;
    }

    async fn is_done(&self, stage: &Stage) -> Result<(), String> {
        at_peace::<ChannelConnection>(&stage.scene, "web").await?;
        is_sound(stage).await?;
        match made(stage).await - self.made {
            1 => Ok(()),
            other => Err(format!("{other} objects were made at the manager")),
        }
    }
}

/// A connection that waits for approval before it is made.
#[derive(Default)]
pub struct ApprovedCreation {
    approval: Approval,
}

impl Scenario for ApprovedCreation {
    const NAME: &'static str = "approved-creation";
    const SCENES: u32 = 2;

    async fn begin(&mut self, _: &mut Stage) {}

    async fn prepare(&mut self, stage: &mut Stage) {
        stage.on_its_own().await;
        let mut all = stage.all();
        all.retain(|object| object["metadata"]["name"] != stage.name("web"));
        stage.scene.apply_all(all).await;
        stage.scene.ready::<ChannelConnection>(&stage.name("phone")).await;
        self.approval.forget();
    }

    async fn act(&mut self, stage: &Stage) {
        let [web, _] = stage.connections();
        stage.scene.apply(required(web)).await;
    }

    async fn is_done(&self, stage: &Stage) -> Result<(), String> {
        self.approval.give(stage, &stage.name("web")).await?;
        is_sound(stage).await
    }

    /// It is deleted at the manager and asked for anew: a plan without any object to hold it against, like the first one.
    async fn afterwards(&mut self, stage: &Stage) {
        let (scene, web) = (&stage.scene, stage.name("web"));
        assert_eq!(made(stage).await, 3, "round {}", stage.round);
        let lost = scene.connection_id(&web).await;
        stage.account.delete_connection(&lost).await.unwrap();
        scene
            .condition::<ChannelConnection>(&web, "Synced", "False", "RemoteMissing")
            .await;
        scene.annotate::<ChannelConnection>(&web, annotation::RECREATE, &lost).await;
        let waits = async || {
            assert_eq!(made(stage).await, 3, "the approval was good twice, round {}", stage.round);
            self.approval.is_asked_for_again(stage, &web).await
        };
        scene
            .eventually("what is to be made anew waits for another approval", waits)
            .await;
    }
}

#[rstest]
#[case::unique_references(References::Unique)]
#[case::references_not_unique(References::NotUnique)]
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_of_a_first_creation_makes_nothing_twice_and_loses_nothing(#[case] references: References) {
    explore::<FirstCreation>(references).await;
}

#[rstest]
#[case::unique_references(References::Unique)]
#[case::references_not_unique(References::NotUnique)]
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_of_an_adoption_ends_with_the_adopted_object(#[case] references: References) {
    explore::<Adoption>(references).await;
}

#[rstest]
#[case::unique_references(References::Unique)]
#[case::references_not_unique(References::NotUnique)]
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_of_making_a_lost_connection_anew_makes_one(#[case] references: References) {
    explore::<MadeAnew>(references).await;
}

#[rstest]
#[case::unique_references(References::Unique)]
#[case::references_not_unique(References::NotUnique)]
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_of_an_approved_creation_leaves_no_approval_for_another(#[case] references: References) {
    explore::<ApprovedCreation>(references).await;
}
