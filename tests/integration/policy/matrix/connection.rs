// SPDX-License-Identifier: Apache-2.0

//! The cells of connections: one with a secret of its owner, or, where the event is about that, with one of the manager.

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, annotation::ROTATE_SECRET};
use rstest::rstest;
use sandbox::ManagerAccount;
use serde_json::{Value, json};

use super::{
    Event, Row,
    cell::{Governed, Remote, Stage, assert_cell},
};
use crate::{
    lifecycle::channel_secret,
    scene::{Scene, connection, sms, web},
};

const NUMBER: &str = "+14155550100";

impl Governed for ChannelConnection {
    const EVENTS: &'static [Event] = &[
        Event::Creation,
        Event::Adoption,
        Event::SpecChange,
        Event::Replacement,
        Event::ChannelSecret,
        Event::RotateSecret,
        Event::Drift,
        Event::Missing,
        Event::Recreate,
        Event::Deletion,
        Event::Abandon,
    ];
    const NAME: &'static str = "texts";
    const PATH: &'static str = "/v1/connections";
    const OUTPUTS: Option<&'static str> = Some("texts-connection");

    async fn parents(scene: &Scene, row: Row) -> ManagerAccount {
        let account = scene.ready_interface().await;
        // What needs a finalizer of its parents has to wait for that now, and not in the middle of what is counted.
        if row.policy()["deletion"] == "Delete" {
            let policy = json!({ "spec": { "policy": { "deletion": "Delete" } } });
            scene.patch::<DigitalMessagingInterface>("support", policy).await;
            scene.ready::<DigitalMessagingInterface>("support").await;
        }
        scene.apply(channel_secret(scene, "channels")).await;
        account
    }

    fn declared(event: Event) -> Value {
        let channel = if event == Event::RotateSecret {
            web()
        } else {
            sms(NUMBER, "channels")
        };
        connection(Self::NAME, "support", &channel)
    }

    fn held(&self) -> Option<String> {
        self.status.as_ref()?.id.clone()
    }

    async fn remotes(account: &ManagerAccount) -> Vec<Remote> {
        let all = account.connections().await.unwrap().into_iter();
        all.map(|it| Remote {
            id: it.id,
            name: it.display_name,
            reference: it.external_reference,
            claimant: it.claimant,
        })
        .collect()
    }

    async fn make_by_hand(stage: &Stage<Self>, name: &str) -> String {
        let support = stage.scene.interfaces().get("support").await.unwrap().held();
        let (channel, secrets) = if stage.event == Event::RotateSecret {
            (json!({ "type": "webMessaging", "primaryColor": "#0b5cad" }), json!({}))
        } else {
            (
                json!({ "type": "sms", "phoneNumber": NUMBER, "twilio": { "accountSid": "AC0123456789abcdef0123456789abcdef" } }),
                json!({ "authToken": "by-hand" }),
            )
        };
        let spec = json!({ "interfaceId": support, "displayName": name, "channel": channel, "secrets": secrets });
        let spec = serde_json::from_value(spec).unwrap();
        stage.account.create_connection(&spec).await.unwrap().connection.id
    }

    async fn rename_by_hand(account: &ManagerAccount, id: &str, name: &str) {
        let by_hand = json!({ "displayName": name });
        account.patch_connection(id, &by_hand).await.unwrap();
    }

    async fn delete_by_hand(account: &ManagerAccount, id: &str) {
        account.delete_connection(id).await.unwrap();
    }

    async fn act(stage: &Stage<Self>) {
        let scene = &stage.scene;
        match stage.event {
            Event::Replacement => {
                let other = json!({ "channel": { "sms": { "phoneNumber": "+14155550199" } } });
                stage.patch(other).await;
            }
            Event::ChannelSecret => scene.apply(channel_secret(scene, "channels")).await,
            Event::RotateSecret => scene.annotate::<Self>(Self::NAME, ROTATE_SECRET, "one").await,
            event => panic!("{event:?} happens to all kinds"),
        }
    }

    async fn handed_out(stage: &Stage<Self>) -> Option<String> {
        if stage.event != Event::RotateSecret {
            return None;
        }
        stage.scene.outputs(Self::NAME).await.remove("jwtSecret")
    }

    async fn generated(stage: &Stage<Self>) -> Option<String> {
        let secret = stage.account.jwt_secret(stage.id.as_ref()?).await.unwrap();
        Some(secret.jwt_secret.expose().to_owned())
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn cell(
    #[values(
        Row::Full,
        Row::FullDelete,
        Row::Required,
        Row::RequiredDelete,
        Row::Observe,
        Row::Suspended
    )]
    row: Row,
    #[values(
        Event::Creation,
        Event::Adoption,
        Event::SpecChange,
        Event::Replacement,
        Event::ChannelSecret,
        Event::RotateSecret,
        Event::Drift,
        Event::Missing,
        Event::Recreate,
        Event::Deletion,
        Event::Abandon
    )]
    event: Event,
) {
    assert_cell::<ChannelConnection>(row, event).await;
}
