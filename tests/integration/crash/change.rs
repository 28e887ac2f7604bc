// SPDX-License-Identifier: Apache-2.0

//! What is there is changed: by its owner, by somebody at the manager, with and without approval.

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface};
use rstest::rstest;
use serde_json::json;

use super::{
    References, Scenario,
    approval::Approval,
    end::{at_peace, get, is_sound, made, told},
    explore,
    stage::Stage,
};
use crate::scene::{Point, expect};

async fn all_ready(stage: &Stage) {
    stage.scene.apply_all(stage.all()).await;
    stage.scene.all_ready("acme", "support", "web").await;
    stage.scene.ready::<ChannelConnection>("phone").await;
    stage.scene.counted(2).await;
}

fn color(stage: &Stage) -> String {
    format!("#{:06x}", stage.round)
}

async fn remote_color(stage: &Stage) -> Result<String, String> {
    let held = told(stage.account.connections().await)?;
    let held = serde_json::to_value(&held).unwrap();
    let web = held
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["channel"]["type"] == "webMessaging");
    Ok(web.ok_or("no chat at the manager")?["channel"]["primaryColor"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

async fn has_color(stage: &Stage) -> Result<(), String> {
    let held = remote_color(stage).await?;
    if held == color(stage) {
        Ok(())
    } else {
        Err(format!("the chat is {held}, not {}", color(stage)))
    }
}

async fn set_color(stage: &Stage) {
    let change = json!({ "spec": { "channel": { "webMessaging": { "primaryColor": color(stage) } } } });
    stage.scene.patch::<ChannelConnection>("web", change).await;
}

#[derive(Default)]
pub struct SpecChange;

impl Scenario for SpecChange {
    const NAME: &'static str = "spec-change";
    const SCENES: u32 = 2;

    async fn begin(&mut self, stage: &mut Stage) {
        all_ready(stage).await;
    }

    async fn act(&mut self, stage: &Stage) {
        let named = json!({ "spec": { "displayName": format!("Round {}", stage.round) } });
        stage.scene.patch::<DigitalMessagingInterface>("support", named.clone()).await;
        stage.scene.patch::<ChannelConnection>("phone", named).await;
        set_color(stage).await;
    }

    async fn is_done(&self, stage: &Stage) -> Result<(), String> {
        let named = format!("Round {}", stage.round);
        has_color(stage).await?;
        let held = told(stage.account.connections().await)?;
        let interfaces = told(stage.account.interfaces().await)?;
        if !held.iter().any(|it| it.display_name == named) || interfaces[0].spec.display_name != named {
            return Err("the manager holds an older name".to_owned());
        }
        is_sound(stage).await
    }
}

/// What somebody changes at the manager is put right.
#[derive(Default)]
pub struct Drift;

impl Scenario for Drift {
    const NAME: &'static str = "drift";
    const SCENES: u32 = 1;

    async fn begin(&mut self, stage: &mut Stage) {
        all_ready(stage).await;
    }

    async fn act(&mut self, stage: &Stage) {
        let connections = stage.account.connections().await.unwrap();
        let web = connections.iter().find(|it| it.widget.is_some()).unwrap();
        let change = json!({ "channel": { "primaryColor": color(stage) } });
        stage.account.patch_connection(&web.id, &change).await.unwrap();
    }

    async fn is_done(&self, stage: &Stage) -> Result<(), String> {
        let held = remote_color(stage).await?;
        if held == color(stage) {
            return Err("still as somebody left it".to_owned());
        }
        is_sound(stage).await
    }
}

/// What somebody deletes at the manager is looked for, and missed.
#[derive(Default)]
pub struct Loss;

impl Scenario for Loss {
    const NAME: &'static str = "loss";
    const SCENES: u32 = 1;

    /// The interface counts its connections every few seconds at most.
    fn depends_on_timing(point: &Point) -> bool {
        point.label.contains("digitalmessaginginterfaces/") && point.is_of_status()
    }

    async fn begin(&mut self, _: &mut Stage) {}

    async fn prepare(&mut self, stage: &mut Stage) {
        stage.on_its_own().await;
        stage.scene.apply_all(stage.all()).await;
        stage.scene.ready::<ChannelConnection>(&stage.name("web")).await;
        stage.scene.ready::<ChannelConnection>(&stage.name("phone")).await;
    }

    async fn act(&mut self, stage: &Stage) {
        let lost = stage.scene.connection_id(&stage.name("web")).await;
        stage.account.delete_connection(&lost).await.unwrap();
    }

    async fn is_done(&self, stage: &Stage) -> Result<(), String> {
        at_peace::<ChannelConnection>(&stage.scene, &stage.name("phone")).await?;
        let web = get::<ChannelConnection>(&stage.scene, &stage.name("web")).await?;
        for condition in ["Ready", "Synced"] {
            expect(&web, condition, "False", "RemoteMissing")?;
        }
        match (made(stage).await, told(stage.account.connections().await)?.len()) {
            (3, 1) => Ok(()),
            other => Err(format!("made were and left are {other:?}")),
        }
    }
}

/// A change that waits for approval is made once it is approved.
#[derive(Default)]
pub struct Approved {
    /// The colour that the chat had before this round.
    former: String,
    /// How often the operator had changed the chat before this round.
    changed: usize,
    approval: Approval,
}

impl Approved {
    /// How often the operator has changed the chat.
    async fn changed(stage: &Stage) -> usize {
        let id = stage.scene.connection_id("web").await;
        let manager = stage.scene.manager.manager();
        let records = manager.write_records(&stage.credential.manager_id).await.unwrap();
        records.iter().filter(|it| it.id == id && it.epoch.is_some()).count()
    }

    async fn assert_changed_once(&self, stage: &Stage) {
        let changed = Self::changed(stage).await - self.changed;
        assert_eq!(changed, 1, "changes on the strength of one approval, round {}", stage.round);
    }
}

/// Gives the chat this colour at the manager, past the operator.
async fn color_by_hand(stage: &Stage, color: &str) {
    let id = stage.scene.connection_id("web").await;
    let change = json!({ "channel": { "primaryColor": color } });
    stage.account.patch_connection(&id, &change).await.unwrap();
}

impl Scenario for Approved {
    const NAME: &'static str = "approval";
    const SCENES: u32 = 2;

    async fn begin(&mut self, stage: &mut Stage) {
        all_ready(stage).await;
        let policy = json!({ "spec": { "policy": { "approval": "Required" } } });
        stage.scene.patch::<ChannelConnection>("web", policy).await;
        stage.scene.ready::<ChannelConnection>("web").await;
    }

    async fn prepare(&mut self, stage: &mut Stage) {
        self.former = remote_color(stage).await.unwrap();
        self.changed = Self::changed(stage).await;
        self.approval.forget();
    }

    async fn act(&mut self, stage: &Stage) {
        set_color(stage).await;
    }

    async fn is_done(&self, stage: &Stage) -> Result<(), String> {
        self.approval.give(stage, "web").await?;
        has_color(stage).await?;
        is_sound(stage).await
    }

    /// The approved difference is back, and so is the approval: the annotation is still there.
    async fn afterwards(&mut self, stage: &Stage) {
        self.assert_changed_once(stage).await;
        color_by_hand(stage, &self.former).await;
        let waits = async || {
            self.assert_changed_once(stage).await;
            self.approval.is_asked_for_again(stage, "web").await
        };
        stage.scene.eventually("what is back waits for another approval", waits).await;
        assert_eq!(remote_color(stage).await.as_ref(), Ok(&self.former));

        color_by_hand(stage, &color(stage)).await;
        let rests = async || at_peace::<ChannelConnection>(&stage.scene, "web").await.map(drop);
        stage.scene.eventually("nothing waits any more", rests).await;
        self.assert_changed_once(stage).await;
    }
}

/// New secrets of a channel reach the manager.
#[derive(Default)]
pub struct ChannelSecret {
    version: Option<String>,
}

impl Scenario for ChannelSecret {
    const NAME: &'static str = "channel-secret";
    const SCENES: u32 = 1;

    async fn begin(&mut self, stage: &mut Stage) {
        all_ready(stage).await;
    }

    async fn act(&mut self, stage: &Stage) {
        stage.scene.apply(stage.token()).await;
        self.version = stage.scene.secret("token").await.and_then(|it| it.metadata.resource_version);
    }

    async fn is_done(&self, stage: &Stage) -> Result<(), String> {
        let phone = get::<ChannelConnection>(&stage.scene, "phone").await?;
        let sent = phone
            .status
            .unwrap_or_default()
            .sent_secrets
            .map(|sent| sent.resource_version);
        let now = stage.scene.secret("token").await.and_then(|it| it.metadata.resource_version);
        if sent != now {
            return Err(format!("sent was version {sent:?}, there is {now:?}"));
        }
        is_sound(stage).await
    }
}

#[rstest]
#[case::unique_references(References::Unique)]
#[case::references_not_unique(References::NotUnique)]
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_of_a_change_ends_with_what_is_declared(#[case] references: References) {
    explore::<SpecChange>(references).await;
}

#[rstest]
#[case::unique_references(References::Unique)]
#[case::references_not_unique(References::NotUnique)]
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_of_putting_drift_right_ends_with_what_is_declared(#[case] references: References) {
    explore::<Drift>(references).await;
}

#[rstest]
#[case::unique_references(References::Unique)]
#[case::references_not_unique(References::NotUnique)]
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_of_missing_what_is_lost_makes_nothing_anew(#[case] references: References) {
    explore::<Loss>(references).await;
}

#[rstest]
#[case::unique_references(References::Unique)]
#[case::references_not_unique(References::NotUnique)]
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_of_an_approved_change_neither_loses_nor_repeats_the_approval(#[case] references: References) {
    explore::<Approved>(references).await;
}

#[rstest]
#[case::unique_references(References::Unique)]
#[case::references_not_unique(References::NotUnique)]
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_of_new_channel_secrets_ends_with_them_at_the_manager(#[case] references: References) {
    explore::<ChannelSecret>(references).await;
}
