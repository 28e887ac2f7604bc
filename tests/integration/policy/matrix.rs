//! The table of policies × events: what the operator does in each cell, at the manager and in the status.
//!
//! [`expected`] is the table. Every cell is a test of its own, and `docs/policies.md` shows the same table.

use std::fmt::Write;

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, Plan, annotation::ROTATE_SECRET};
use kube::api::DeleteParams;
use rstest::rstest;
use sandbox::ManagerAccount;
use serde_json::{Value, json};

use super::{APPROVE, plan_that_waits};
use crate::{
    lifecycle::channel_secret,
    scene::{Scene, assert_serves, connection, expect, sms, web},
};

const NUMBER: &str = "+14155550100";
const NAME: &str = "texts";

/// A row: what the policy of a connection says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Full,
    FullDelete,
    Required,
    RequiredDelete,
    Observe,
    Suspended,
}

impl Row {
    const ALL: [Self; 6] = [
        Self::Full,
        Self::FullDelete,
        Self::Required,
        Self::RequiredDelete,
        Self::Observe,
        Self::Suspended,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Full => "`Full`, `NotRequired`, `Orphan` (the default)",
            Self::FullDelete => "`Full`, `NotRequired`, `Delete`",
            Self::Required => "`Full`, `Required`, `Orphan`",
            Self::RequiredDelete => "`Full`, `Required`, `Delete`",
            Self::Observe => "`Observe`",
            Self::Suspended => "`suspend: true` (with `Full`, `NotRequired`, `Delete`)",
        }
    }

    fn policy(self) -> Value {
        match self {
            Self::Full => json!({ "management": "Full", "approval": "NotRequired", "deletion": "Orphan" }),
            Self::FullDelete | Self::Suspended => {
                json!({ "management": "Full", "approval": "NotRequired", "deletion": "Delete" })
            }
            Self::Required => json!({ "management": "Full", "approval": "Required", "deletion": "Orphan" }),
            Self::RequiredDelete => json!({ "management": "Full", "approval": "Required", "deletion": "Delete" }),
            Self::Observe => json!({ "management": "Observe" }),
        }
    }
}

/// A column: what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Creation,
    Adoption,
    SpecChange,
    Replacement,
    ChannelSecret,
    RotateSecret,
    Drift,
    Missing,
    Recreate,
    Deletion,
    Abandon,
}

impl Event {
    const ALL: [Self; 11] = [
        Self::Creation,
        Self::Adoption,
        Self::SpecChange,
        Self::Replacement,
        Self::ChannelSecret,
        Self::RotateSecret,
        Self::Drift,
        Self::Missing,
        Self::Recreate,
        Self::Deletion,
        Self::Abandon,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Creation => "first creation",
            Self::Adoption => "adoption (`Override`) of what differs",
            Self::SpecChange => "spec changed",
            Self::Replacement => "spec changed in a field that needs a new object",
            Self::ChannelSecret => "channel secret changed",
            Self::RotateSecret => "`rotate-secret`",
            Self::Drift => "changed at the manager",
            Self::Missing => "deleted at the manager",
            Self::Recreate => "`recreate`, after that",
            Self::Deletion => "`kubectl delete`",
            Self::Abandon => "`kubectl delete` with `abandon`",
        }
    }
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// A new object at the manager.
    Made,
    /// One PATCH, and the manager holds what is declared.
    Changed,
    /// The same, and it is kept on record which drift that was.
    Corrected,
    /// The manager has made a new secret, and the outputs have it.
    Rotated,
    /// `RotationRefused`, and the secret is what it was.
    RotationRefused,
    /// The object at the manager is deleted, and the outputs with it.
    Deleted,
    /// The resource goes; its object stays and the outputs, and says that nobody claims it.
    LetGo,
    /// The resource goes, all else stays as it is.
    Left,
    /// The same as without approval, once the plan is approved; nothing before.
    OnApproval,
    /// `Differs`: named, and left as it is.
    Reported,
    /// `NothingToObserve`.
    NothingToObserve,
    /// `ReplaceRequired`.
    ReplaceRequired,
    /// `RemoteMissing`.
    RemoteMissing,
    /// Nothing at all.
    Nothing,
}

impl Outcome {
    fn text(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Changed => "changed",
            Self::Corrected => "put right",
            Self::Rotated => "a new secret, in the outputs as well",
            Self::RotationRefused => "refused: `RotationRefused`",
            Self::Deleted => "deleted at the manager, with its outputs",
            Self::LetGo => "left at the manager, free to be taken over",
            Self::Left => "left at the manager",
            Self::OnApproval => "waits for approval",
            Self::Reported => "reported: `Differs`, `Drifted`",
            Self::NothingToObserve => "`NothingToObserve`",
            Self::ReplaceRequired => "refused: `ReplaceRequired`",
            Self::RemoteMissing => "`RemoteMissing`",
            Self::Nothing => "nothing",
        }
    }
}

/// The table.
fn expected(row: Row, event: Event) -> Outcome {
    use Event::{
        Abandon, Adoption, ChannelSecret, Creation, Deletion, Drift, Missing, Recreate, Replacement, RotateSecret, SpecChange,
    };
    match (row, event) {
        // Nothing waits, so there is nothing to abandon.
        (Row::Full, Deletion | Abandon) => Outcome::LetGo,
        // Whatever the policy says about the manager, the resource can go without it.
        (_, Abandon) | (Row::Required | Row::Observe, Deletion) => Outcome::Left,
        (Row::FullDelete | Row::Suspended, Deletion) => Outcome::Deleted,
        (Row::Suspended, _) | (Row::Observe, ChannelSecret) => Outcome::Nothing,
        (Row::Observe, Creation | Missing | Recreate) => Outcome::NothingToObserve,
        (Row::Observe, Adoption | SpecChange | Replacement | Drift) => Outcome::Reported,
        (Row::Observe, RotateSecret) => Outcome::RotationRefused,
        (_, Replacement) => Outcome::ReplaceRequired,
        (_, Missing) => Outcome::RemoteMissing,
        (Row::Required | Row::RequiredDelete, _) => Outcome::OnApproval,
        (Row::Full | Row::FullDelete, Creation | Recreate) => Outcome::Made,
        (Row::Full | Row::FullDelete, Adoption | SpecChange | ChannelSecret) => Outcome::Changed,
        (Row::Full | Row::FullDelete, RotateSecret) => Outcome::Rotated,
        (Row::Full | Row::FullDelete, Drift) => Outcome::Corrected,
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
    let scene = Scene::new().await;
    let stage = Stage::set(scene, row, event).await;
    let calls = stage.scene.journal.len();
    stage.act(event).await;
    match expected(row, event) {
        Outcome::OnApproval => {
            stage.waits(event, calls).await;
            let without = if row == Row::Required { Row::Full } else { Row::FullDelete };
            stage.assert(expected(without, event), event, calls).await;
        }
        outcome => stage.assert(outcome, event, calls).await,
    }
    stage.scene.finish().await;
}

/// The channel of the connection.
#[derive(Clone, Copy)]
enum Channel {
    /// Has a secret of its owner.
    Sms,
    /// Has one that the manager makes.
    Web,
}

impl Channel {
    fn declared(self) -> Value {
        match self {
            Self::Sms => sms(NUMBER, "channels"),
            Self::Web => web(),
        }
    }

    /// What a person would give the manager for the same.
    fn by_hand(self, interface: &str, name: &str) -> Value {
        let (channel, secrets) = match self {
            Self::Sms => (
                json!({ "type": "sms", "phoneNumber": NUMBER, "twilio": { "accountSid": "AC0123456789abcdef0123456789abcdef" } }),
                json!({ "authToken": "by-hand" }),
            ),
            Self::Web => (json!({ "type": "webMessaging", "primaryColor": "#0b5cad" }), json!({})),
        };
        json!({ "interfaceId": interface, "displayName": name, "channel": channel, "secrets": secrets })
    }
}

/// A connection under a policy, before the event.
struct Stage {
    scene: Scene,
    account: ManagerAccount,
    row: Row,
    channel: Channel,
    /// The object at the manager, if there is one.
    id: Option<String>,
    /// What the outputs hold.
    jwt_secret: Option<String>,
    /// The plan that waited before.
    plan: Option<Plan>,
}

impl Stage {
    async fn set(scene: Scene, row: Row, event: Event) -> Self {
        let account = scene.ready_interface().await;
        // What needs a finalizer of its parents has to wait for that now, and not in the middle of what is counted.
        if row.policy()["deletion"] == "Delete" {
            let policy = json!({ "spec": { "policy": { "deletion": "Delete" } } });
            scene.patch::<DigitalMessagingInterface>("support", policy).await;
            scene.ready::<DigitalMessagingInterface>("support").await;
        }
        scene.apply(channel_secret(&scene, "channels")).await;
        let mut stage = Self {
            scene,
            account,
            row,
            channel: if event == Event::RotateSecret {
                Channel::Web
            } else {
                Channel::Sms
            },
            id: None,
            jwt_secret: None,
            plan: None,
        };
        match event {
            Event::Creation => {}
            Event::Adoption => stage.id = Some(stage.make_by_hand("Made by hand").await),
            Event::SpecChange
            | Event::Replacement
            | Event::ChannelSecret
            | Event::RotateSecret
            | Event::Drift
            | Event::Missing
            | Event::Deletion
            | Event::Abandon => stage.settle().await,
            Event::Recreate => {
                stage.settle().await;
                stage.lose().await;
                stage
                    .assert(expected(row, Event::Missing), Event::Missing, stage.scene.journal.len())
                    .await;
            }
        }
        if event == Event::RotateSecret {
            stage.jwt_secret = stage.handed_out().await;
        }
        stage
    }

    /// The connection is there and serves, under its policy.
    async fn settle(&mut self) {
        let scene = &self.scene;
        if self.row == Row::Observe {
            let id = self.make_by_hand(NAME).await;
            self.scene.apply(self.object(Some(&id))).await;
            self.id = Some(id);
            self.scene.ready::<ChannelConnection>(NAME).await;
            return;
        }
        let mut object = self.object(None);
        object["spec"]["suspend"] = false.into();
        scene.apply(object).await;
        if matches!(self.row, Row::Required | Row::RequiredDelete) {
            let plan = plan_that_waits::<ChannelConnection>(scene, NAME, None).await;
            scene.annotate::<ChannelConnection>(NAME, APPROVE, &plan.hash).await;
            self.plan = Some(plan);
        }
        scene.ready::<ChannelConnection>(NAME).await;
        self.id = Some(scene.connection_id(NAME).await);
        if self.row == Row::Suspended {
            scene
                .patch::<ChannelConnection>(NAME, json!({ "spec": { "suspend": true } }))
                .await;
            scene
                .condition::<ChannelConnection>(NAME, "Reconciling", "False", "Suspended")
                .await;
        }
    }

    fn object(&self, adopt: Option<&str>) -> Value {
        let mut object = connection(NAME, "support", &self.channel.declared());
        object["spec"]["displayName"] = NAME.into();
        object["spec"]["policy"] = self.row.policy();
        object["spec"]["suspend"] = (self.row == Row::Suspended).into();
        if let Some(id) = adopt {
            object["spec"]["adoption"] = json!({ "by": "ID", "id": id, "mode": "Override" });
        }
        object
    }

    async fn make_by_hand(&self, name: &str) -> String {
        let support = self
            .scene
            .interfaces()
            .get("support")
            .await
            .unwrap()
            .status
            .unwrap()
            .id
            .unwrap();
        let spec = self.channel.by_hand(&support, name);
        let spec = serde_json::from_value(spec).unwrap();
        self.account.create_connection(&spec).await.unwrap().connection.id
    }

    async fn lose(&self) {
        self.account.delete_connection(self.id.as_ref().unwrap()).await.unwrap();
    }

    async fn act(&self, event: Event) {
        let scene = &self.scene;
        match event {
            Event::Creation => scene.apply(self.object(None)).await,
            Event::Adoption => scene.apply(self.object(self.id.as_deref())).await,
            Event::SpecChange => self.patch(json!({ "displayName": "changed" })).await,
            Event::Replacement => {
                self.patch(json!({ "channel": { "sms": { "phoneNumber": "+14155550199" } } }))
                    .await;
            }
            Event::ChannelSecret => scene.apply(channel_secret(scene, "channels")).await,
            Event::RotateSecret => scene.annotate::<ChannelConnection>(NAME, ROTATE_SECRET, "one").await,
            Event::Drift => {
                let by_hand = json!({ "displayName": "changed by hand" });
                let id = self.id.as_ref().unwrap();
                self.account.patch_connection(id, &by_hand).await.unwrap();
            }
            Event::Missing => self.lose().await,
            Event::Recreate => {
                let lost = self.id.as_ref().unwrap();
                scene
                    .annotate::<ChannelConnection>(NAME, "digitalmessaging.io/recreate", lost)
                    .await;
            }
            Event::Deletion => drop(scene.connections().delete(NAME, &DeleteParams::default()).await.unwrap()),
            Event::Abandon => {
                scene
                    .annotate::<ChannelConnection>(NAME, "digitalmessaging.io/abandon", "true")
                    .await;
                drop(scene.connections().delete(NAME, &DeleteParams::default()).await.unwrap());
            }
        }
    }

    async fn patch(&self, spec: Value) {
        self.scene.patch::<ChannelConnection>(NAME, json!({ "spec": spec })).await;
    }

    /// The plan waits, a channel that serves goes on serving, and nothing is written before it is approved.
    async fn waits(&self, event: Event, calls: usize) {
        let scene = &self.scene;
        let plan = plan_that_waits::<ChannelConnection>(scene, NAME, self.plan.as_ref()).await;
        scene
            .condition::<ChannelConnection>(NAME, "Synced", "False", "AwaitingApproval")
            .await;
        scene.meanwhile().await;
        let object = scene.connections().get(NAME).await.unwrap();
        assert_eq!(object.status.as_ref().unwrap().plan.as_ref().unwrap().hash, plan.hash);
        assert_eq!(
            expect(&object, "Drifted", "True", "Differs").is_ok(),
            event == Event::Drift,
            "{object:?}"
        );
        assert_eq!(plan.changes.iter().any(|change| change.destructive), event == Event::Deletion);
        if !matches!(event, Event::Creation | Event::Adoption | Event::Recreate) {
            assert_serves(&object);
        }
        assert_eq!(scene.operator_manager_writes(calls), Vec::<String>::new());
        scene.annotate::<ChannelConnection>(NAME, APPROVE, &plan.hash).await;
    }

    async fn assert(&self, outcome: Outcome, event: Event, calls: usize) {
        let (scene, id) = (&self.scene, self.id.clone().unwrap_or_default());
        let writes: Vec<String> = match outcome {
            Outcome::Made => {
                scene.ready::<ChannelConnection>(NAME).await;
                let held = scene.connection_id(NAME).await;
                assert_ne!(held, id);
                assert_eq!(self.remote().await, [(held, NAME.to_owned())]);
                vec!["POST /v1/connections".to_owned()]
            }
            Outcome::Changed | Outcome::Corrected => vec![self.changed(outcome, event, calls).await],
            Outcome::Rotated => vec![self.rotated().await],
            Outcome::RotationRefused => {
                self.stopped("RotationRefused").await;
                assert_serves(&scene.connections().get(NAME).await.unwrap());
                assert_eq!(self.handed_out().await, self.jwt_secret);
                vec![]
            }
            Outcome::Deleted => {
                scene.gone::<ChannelConnection>(NAME).await;
                assert_eq!(self.remote().await, []);
                assert!(scene.secret(&format!("{NAME}-connection")).await.is_none());
                vec![format!("DELETE /v1/connections/{id}")]
            }
            Outcome::LetGo => {
                scene.gone::<ChannelConnection>(NAME).await;
                scene
                    .eventually("nobody claims it", async || {
                        let held = self.account.connections().await.map_err(|error| error.to_string())?.remove(0);
                        assert!(held.external_reference.is_some());
                        held.claimant.map_or(Ok(()), Err)
                    })
                    .await;
                assert_eq!(self.remote().await, [(id.clone(), NAME.to_owned())]);
                assert!(scene.secret(&format!("{NAME}-connection")).await.is_some());
                vec![format!("PATCH /v1/connections/{id}")]
            }
            Outcome::Left => {
                scene.gone::<ChannelConnection>(NAME).await;
                scene.meanwhile().await;
                assert_eq!(self.remote().await, [(id, NAME.to_owned())]);
                assert!(scene.secret(&format!("{NAME}-connection")).await.is_some());
                vec![]
            }
            Outcome::Reported => {
                self.stopped("Differs").await;
                let object = scene.connections().get(NAME).await.unwrap();
                expect(&object, "Drifted", "True", "Differs").unwrap();
                assert_serves(&object);
                vec![]
            }
            Outcome::ReplaceRequired => {
                self.stopped("ReplaceRequired").await;
                assert_serves(&scene.connections().get(NAME).await.unwrap());
                assert_eq!(self.remote().await, [(id, NAME.to_owned())]);
                vec![]
            }
            Outcome::RemoteMissing => {
                self.stopped("RemoteMissing").await;
                self.gone_at_the_manager("RemoteMissing").await;
                vec![]
            }
            Outcome::NothingToObserve => {
                self.stopped("NothingToObserve").await;
                self.gone_at_the_manager("NothingToObserve").await;
                vec![]
            }
            Outcome::Nothing => {
                let before = self.conditions().await;
                scene.meanwhile().await;
                if event == Event::RotateSecret {
                    assert_eq!(self.handed_out().await, self.jwt_secret);
                }
                assert_eq!(self.conditions().await, before);
                vec![]
            }
            Outcome::OnApproval => panic!("approved by now"),
        };
        assert_eq!(scene.operator_manager_writes(calls), writes);
    }

    /// One PATCH, which it returns, and the manager holds what is declared.
    async fn changed(&self, outcome: Outcome, event: Event, calls: usize) -> String {
        let (scene, id) = (&self.scene, self.id.clone().unwrap_or_default());
        let patch = format!("PATCH /v1/connections/{id}");
        scene
            .eventually("the change is made", async || {
                let writes = scene.operator_manager_writes(calls);
                if writes.contains(&patch) {
                    Ok(())
                } else {
                    Err(format!("{writes:?}"))
                }
            })
            .await;
        // The note of a call is there before the call is done.
        if outcome == Outcome::Corrected {
            self.correction_is_on_record().await;
        }
        scene.ready::<ChannelConnection>(NAME).await;
        let name = if event == Event::SpecChange { "changed" } else { NAME };
        assert_eq!(self.remote().await, [(id, name.to_owned())]);
        patch
    }

    /// One call, which it returns, and the outputs hold the new secret.
    async fn rotated(&self) -> String {
        let (scene, id) = (&self.scene, self.id.clone().unwrap_or_default());
        let held = scene
            .eventually("the outputs hold a new secret", async || {
                let held = self.handed_out().await;
                if held == self.jwt_secret {
                    Err("the old one")
                } else {
                    Ok(held)
                }
            })
            .await;
        scene.ready::<ChannelConnection>(NAME).await;
        let secret = self.account.jwt_secret(&id).await.unwrap();
        assert_eq!(held.as_deref(), Some(secret.jwt_secret.expose()));
        format!("POST /v1/connections/{id}/jwt-secret/rotate")
    }

    /// The generated secret that the outputs hold.
    async fn handed_out(&self) -> Option<String> {
        self.scene.outputs(NAME).await.remove("jwtSecret")
    }

    async fn correction_is_on_record(&self) {
        let scene = &self.scene;
        let last = scene
            .eventually("the correction is on record", async || {
                let object = scene.connections().get(NAME).await.map_err(|error| error.to_string())?;
                object.status.and_then(|status| status.last_drift).ok_or("none".to_owned())
            })
            .await;
        assert_eq!(last.fields, ["/displayName"]);
    }

    /// It says why it does no more, and does no more.
    async fn stopped(&self, reason: &str) {
        self.scene
            .condition::<ChannelConnection>(NAME, "Synced", "False", reason)
            .await;
        self.scene.meanwhile().await;
    }

    async fn gone_at_the_manager(&self, reason: &str) {
        let object = self.scene.connections().get(NAME).await.unwrap();
        expect(&object, "Ready", "False", reason).unwrap();
        assert_eq!(self.remote().await, []);
    }

    /// Status and reason of all conditions; a suspended one says that it is.
    async fn conditions(&self) -> Vec<(String, String, String)> {
        if self.row == Row::Suspended {
            self.scene
                .condition::<ChannelConnection>(NAME, "Reconciling", "False", "Suspended")
                .await;
        }
        let object = self.scene.connections().get(NAME).await.unwrap();
        let all = sandbox::Condition::all(&object).into_iter();
        all.map(|it| (it.type_, it.status, it.reason)).collect()
    }

    /// ID and name of all connections at the manager.
    async fn remote(&self) -> Vec<(String, String)> {
        let all = self.account.connections().await.unwrap().into_iter();
        all.map(|it| (it.id, it.display_name)).collect()
    }
}

#[test]
fn the_handbook_shows_the_table() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policies.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once("<!-- table: begin -->\n").unwrap();
    let (shown, after) = rest.split_once("<!-- table: end -->").unwrap();
    let table = table();
    if std::env::var_os("WRITE_POLICY_TABLE").is_some() {
        std::fs::write(
            &path,
            format!("{before}<!-- table: begin -->\n{table}<!-- table: end -->{after}"),
        )
        .unwrap();
    } else {
        assert!(
            shown == table,
            "docs/policies.md shows another table than the tests hold to: run this test with WRITE_POLICY_TABLE=1\n{table}"
        );
    }
}

/// One line an event, for there are more of them than policies.
fn table() -> String {
    let mut table = String::from("| Event |");
    for row in Row::ALL {
        write!(table, " {} |", row.title()).unwrap();
    }
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(Row::ALL.len()));
    for event in Event::ALL {
        write!(table, "\n| {} |", event.title()).unwrap();
        for row in Row::ALL {
            write!(table, " {} |", expected(row, event).text()).unwrap();
        }
    }
    table.push('\n');
    table
}
