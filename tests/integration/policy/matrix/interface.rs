// SPDX-License-Identifier: Apache-2.0

//! The cells of interfaces. They have no secrets, and no field that would need another object.

use digital_messaging_operator::api::DigitalMessagingInterface;
use rstest::rstest;
use sandbox::ManagerAccount;
use serde_json::{Value, json};

use super::{
    Event, Row,
    cell::{Governed, Remote, Stage, assert_cell},
};
use crate::scene::{Scene, interface};

impl Governed for DigitalMessagingInterface {
    const EVENTS: &'static [Event] = &[
        Event::Creation,
        Event::Adoption,
        Event::SpecChange,
        Event::Drift,
        Event::Missing,
        Event::Recreate,
        Event::Deletion,
        Event::Abandon,
    ];
    const NAME: &'static str = "support";
    const PATH: &'static str = "/v1/interfaces";
    const OUTPUTS: Option<&'static str> = None;

    async fn parents(scene: &Scene, _: Row) -> ManagerAccount {
        scene.ready_credential().await
    }

    fn declared(_: Event) -> Value {
        interface(Self::NAME, "acme")
    }

    fn held(&self) -> Option<String> {
        self.status.as_ref()?.id.clone()
    }

    async fn remotes(account: &ManagerAccount) -> Vec<Remote> {
        let all = account.interfaces().await.unwrap().into_iter();
        all.map(|it| Remote {
            id: it.id,
            name: it.spec.display_name,
            reference: it.spec.external_reference,
            claimant: it.spec.claimant,
        })
        .collect()
    }

    async fn make_by_hand(stage: &Stage<Self>, name: &str) -> String {
        let spec = json!({ "displayName": name, "templateOperator": "dm-template", "baseUrl": "https://acme.example/prweb" });
        let spec = serde_json::from_value(spec).unwrap();
        stage.account.create_interface(&spec).await.unwrap().id
    }

    async fn rename_by_hand(account: &ManagerAccount, id: &str, name: &str) {
        let by_hand = json!({ "displayName": name });
        account.patch_interface(id, &by_hand).await.unwrap();
    }

    async fn delete_by_hand(account: &ManagerAccount, id: &str) {
        account.delete_interface(id).await.unwrap();
    }

    async fn act(stage: &Stage<Self>) {
        panic!("{:?} does not happen to interfaces", stage.event);
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
        Event::Drift,
        Event::Missing,
        Event::Recreate,
        Event::Deletion,
        Event::Abandon
    )]
    event: Event,
) {
    assert_cell::<DigitalMessagingInterface>(row, event).await;
}
