// SPDX-License-Identifier: Apache-2.0

//! One cell: an object under a policy, an event, and what comes of it. What differs between kinds is [`Governed`].

use digital_messaging_operator::api::Plan;
use kube::{Api, api::DeleteParams};
use sandbox::{Condition, ManagerAccount};
use serde_json::{Value, json};

use super::{Event, Outcome, Row, expected};
use crate::{
    policy::{APPROVE, HasStatus, Shown, plan_that_waits},
    scene::{Conditioned, Scene, assert_serves, expect},
};

/// A kind of object that has a policy.
pub trait Governed: Conditioned + HasStatus {
    /// What happens to objects of this kind.
    const EVENTS: &'static [Event];
    /// What the object of a cell is called, in Kubernetes and at the manager.
    const NAME: &'static str;
    /// Where its kind is at the manager.
    const PATH: &'static str;
    /// The Secret with its outputs.
    const OUTPUTS: Option<&'static str>;

    /// What has to be there before.
    async fn parents(scene: &Scene, row: Row) -> ManagerAccount;

    /// The object as it is declared, but for its policy.
    fn declared(event: Event) -> Value;

    /// What the status says which object at the manager it is.
    fn held(&self) -> Option<String>;

    /// All there are of this kind at the manager.
    async fn remotes(account: &ManagerAccount) -> Vec<Remote>;

    /// Somebody makes what is declared at the manager, past the operator, under this name. Returns its ID.
    async fn make_by_hand(stage: &Stage<Self>, name: &str) -> String;

    async fn rename_by_hand(account: &ManagerAccount, id: &str, name: &str);

    async fn delete_by_hand(account: &ManagerAccount, id: &str);

    /// Has happen what happens only to this kind.
    async fn act(stage: &Stage<Self>);

    /// The secret in the outputs that the manager has made, where the event is about that.
    async fn handed_out(_stage: &Stage<Self>) -> Option<String> {
        None
    }

    /// The one that the manager holds.
    async fn generated(_stage: &Stage<Self>) -> Option<String> {
        None
    }
}

/// What a test looks at of an object at the manager.
pub struct Remote {
    pub id: String,
    pub name: String,
    pub reference: Option<String>,
    pub claimant: Option<String>,
}

/// Tries one cell.
pub async fn assert_cell<K: Governed>(row: Row, event: Event) {
    let scene = Scene::new().await;
    let stage = Stage::<K>::set(scene, row, event).await;
    let calls = stage.scene.journal.len();
    stage.act().await;
    match expected(row, event) {
        Outcome::OnApproval => {
            stage.waits(calls).await;
            let without = if row == Row::Required { Row::Full } else { Row::FullDelete };
            stage.assert(expected(without, event), calls).await;
        }
        outcome => stage.assert(outcome, calls).await,
    }
    stage.scene.finish().await;
}

/// An object under a policy, before the event.
pub struct Stage<K> {
    pub scene: Scene,
    pub account: ManagerAccount,
    pub row: Row,
    pub event: Event,
    /// The object at the manager, if there is one.
    pub id: Option<String>,
    /// The secret that was handed out.
    handed_out: Option<String>,
    /// The plan that waited before.
    plan: Option<Plan>,
    api: Api<K>,
}

impl<K: Governed> Stage<K> {
    async fn set(scene: Scene, row: Row, event: Event) -> Self {
        let account = K::parents(&scene, row).await;
        let mut stage = Self {
            api: Api::namespaced(scene.client.clone(), &scene.namespace),
            scene,
            account,
            row,
            event,
            id: None,
            handed_out: None,
            plan: None,
        };
        match event {
            Event::Creation => {}
            Event::Adoption => stage.id = Some(K::make_by_hand(&stage, "Made by hand").await),
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
                let calls = stage.scene.journal.len();
                stage.assert(expected(row, Event::Missing), calls).await;
            }
        }
        stage.handed_out = K::handed_out(&stage).await;
        stage
    }

    /// The object is there and serves, under its policy.
    async fn settle(&mut self) {
        if self.row == Row::Observe {
            let id = K::make_by_hand(self, K::NAME).await;
            self.scene.apply(self.declared(Some(&id))).await;
            self.id = Some(id);
            self.scene.ready::<K>(K::NAME).await;
            return;
        }
        let mut object = self.declared(None);
        object["spec"]["suspend"] = false.into();
        self.scene.apply(object).await;
        if matches!(self.row, Row::Required | Row::RequiredDelete) {
            let plan = plan_that_waits::<K>(&self.scene, K::NAME, None).await;
            self.scene.annotate::<K>(K::NAME, APPROVE, &plan.hash).await;
            self.plan = Some(plan);
        }
        self.id = self.scene.ready::<K>(K::NAME).await.held();
        if self.row == Row::Suspended {
            self.patch(json!({ "suspend": true })).await;
            self.scene.condition::<K>(K::NAME, "Reconciling", "False", "Suspended").await;
        }
    }

    fn declared(&self, adopt: Option<&str>) -> Value {
        let mut object = K::declared(self.event);
        object["spec"]["displayName"] = K::NAME.into();
        object["spec"]["policy"] = self.row.policy();
        object["spec"]["suspend"] = (self.row == Row::Suspended).into();
        if let Some(id) = adopt {
            object["spec"]["adoption"] = json!({ "by": "ID", "id": id, "mode": "Override" });
        }
        object
    }

    async fn object(&self) -> K {
        self.api.get(K::NAME).await.unwrap()
    }

    async fn lose(&self) {
        K::delete_by_hand(&self.account, self.id.as_ref().unwrap()).await;
    }

    async fn act(&self) {
        let scene = &self.scene;
        match self.event {
            Event::Creation => scene.apply(self.declared(None)).await,
            Event::Adoption => scene.apply(self.declared(self.id.as_deref())).await,
            Event::SpecChange => self.patch(json!({ "displayName": "changed" })).await,
            Event::Replacement | Event::ChannelSecret | Event::RotateSecret => K::act(self).await,
            Event::Drift => K::rename_by_hand(&self.account, self.id.as_ref().unwrap(), "changed by hand").await,
            Event::Missing => self.lose().await,
            Event::Recreate => {
                let lost = self.id.as_ref().unwrap();
                scene.annotate::<K>(K::NAME, "digitalmessaging.io/recreate", lost).await;
            }
            Event::Deletion => self.delete().await,
            Event::Abandon => {
                scene.annotate::<K>(K::NAME, "digitalmessaging.io/abandon", "true").await;
                self.delete().await;
            }
        }
    }

    async fn delete(&self) {
        drop(self.api.delete(K::NAME, &DeleteParams::default()).await.unwrap());
    }

    pub async fn patch(&self, spec: Value) {
        self.scene.patch::<K>(K::NAME, json!({ "spec": spec })).await;
    }

    /// The plan waits, what serves goes on serving, and nothing is written before it is approved.
    async fn waits(&self, calls: usize) {
        let (scene, event) = (&self.scene, self.event);
        let plan = plan_that_waits::<K>(scene, K::NAME, self.plan.as_ref()).await;
        scene.condition::<K>(K::NAME, "Synced", "False", "AwaitingApproval").await;
        scene.meanwhile().await;
        let object = self.object().await;
        let shown = object.shown().and_then(Shown::plan);
        assert_eq!(shown.map(|plan| &plan.hash), Some(&plan.hash));
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
        scene.annotate::<K>(K::NAME, APPROVE, &plan.hash).await;
    }

    async fn assert(&self, outcome: Outcome, calls: usize) {
        let (scene, id) = (&self.scene, self.id.clone().unwrap_or_default());
        let writes: Vec<String> = match outcome {
            Outcome::Made => {
                let held = scene.ready::<K>(K::NAME).await.held().unwrap();
                assert_ne!(held, id);
                assert_eq!(self.remote().await, [(held, K::NAME.to_owned())]);
                vec![format!("POST {}", K::PATH)]
            }
            Outcome::Changed | Outcome::Corrected => vec![self.changed(outcome, calls).await],
            Outcome::Rotated => vec![self.rotated().await],
            Outcome::RotationRefused => {
                self.stopped("RotationRefused").await;
                assert_serves(&self.object().await);
                assert_eq!(K::handed_out(self).await, self.handed_out);
                vec![]
            }
            Outcome::Deleted => {
                scene.gone::<K>(K::NAME).await;
                assert_eq!(self.remote().await, []);
                self.assert_outputs(false).await;
                vec![format!("DELETE {}/{id}", K::PATH)]
            }
            Outcome::LetGo => {
                scene.gone::<K>(K::NAME).await;
                scene
                    .eventually("nobody claims it", async || {
                        let held = K::remotes(&self.account).await.remove(0);
                        assert!(held.reference.is_some());
                        held.claimant.map_or(Ok(()), Err)
                    })
                    .await;
                assert_eq!(self.remote().await, [(id.clone(), K::NAME.to_owned())]);
                self.assert_outputs(true).await;
                vec![format!("PATCH {}/{id}", K::PATH)]
            }
            Outcome::Left => {
                scene.gone::<K>(K::NAME).await;
                scene.meanwhile().await;
                assert_eq!(self.remote().await, [(id, K::NAME.to_owned())]);
                self.assert_outputs(true).await;
                vec![]
            }
            Outcome::Reported => {
                self.stopped("Differs").await;
                let object = self.object().await;
                expect(&object, "Drifted", "True", "Differs").unwrap();
                assert_serves(&object);
                vec![]
            }
            Outcome::ReplaceRequired => {
                self.stopped("ReplaceRequired").await;
                assert_serves(&self.object().await);
                assert_eq!(self.remote().await, [(id, K::NAME.to_owned())]);
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
                assert_eq!(K::handed_out(self).await, self.handed_out);
                assert_eq!(self.conditions().await, before);
                vec![]
            }
            Outcome::OnApproval => panic!("approved by now"),
        };
        assert_eq!(scene.operator_manager_writes(calls), writes);
    }

    /// One PATCH, which it returns, and the manager holds what is declared.
    async fn changed(&self, outcome: Outcome, calls: usize) -> String {
        let (scene, id) = (&self.scene, self.id.clone().unwrap_or_default());
        let patch = format!("PATCH {}/{id}", K::PATH);
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
        scene.ready::<K>(K::NAME).await;
        let name = if self.event == Event::SpecChange { "changed" } else { K::NAME };
        assert_eq!(self.remote().await, [(id, name.to_owned())]);
        patch
    }

    /// One call, which it returns, and the outputs hold the new secret.
    async fn rotated(&self) -> String {
        let (scene, id) = (&self.scene, self.id.clone().unwrap_or_default());
        let held = scene
            .eventually("the outputs hold a new secret", async || {
                let held = K::handed_out(self).await;
                if held == self.handed_out {
                    Err("the old one")
                } else {
                    Ok(held)
                }
            })
            .await;
        scene.ready::<K>(K::NAME).await;
        assert_eq!(held, K::generated(self).await);
        format!("POST {}/{id}/jwt-secret/rotate", K::PATH)
    }

    async fn correction_is_on_record(&self) {
        let fields = self
            .scene
            .eventually("the correction is on record", async || {
                let object = serde_json::to_value(self.object().await).unwrap();
                match &object["status"]["lastDrift"]["fields"] {
                    Value::Null => Err("none"),
                    fields => Ok(fields.clone()),
                }
            })
            .await;
        assert_eq!(fields, json!(["/displayName"]));
    }

    /// It says why it does no more, and does no more.
    async fn stopped(&self, reason: &str) {
        self.scene.condition::<K>(K::NAME, "Synced", "False", reason).await;
        self.scene.meanwhile().await;
    }

    async fn gone_at_the_manager(&self, reason: &str) {
        expect(&self.object().await, "Ready", "False", reason).unwrap();
        assert_eq!(self.remote().await, []);
    }

    async fn assert_outputs(&self, are_there: bool) {
        if let Some(outputs) = K::OUTPUTS {
            assert_eq!(self.scene.secret(outputs).await.is_some(), are_there);
        }
    }

    /// Status and reason of all conditions; a suspended one says that it is.
    async fn conditions(&self) -> Vec<(String, String, String)> {
        if self.row == Row::Suspended {
            self.scene.condition::<K>(K::NAME, "Reconciling", "False", "Suspended").await;
        }
        let all = Condition::all(&self.object().await).into_iter();
        all.map(|it| (it.type_, it.status, it.reason)).collect()
    }

    /// ID and name of all objects of this kind at the manager.
    async fn remote(&self) -> Vec<(String, String)> {
        let all = K::remotes(&self.account).await.into_iter();
        all.map(|it| (it.id, it.name)).collect()
    }
}
