// SPDX-License-Identifier: Apache-2.0

//! The operator as a process, with the rights that are shipped for it.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::authorization::v1::{SelfSubjectRulesReview, SelfSubjectRulesReviewSpec};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, PostParams},
};
use serde_json::Value;

use crate::{
    control_plane::ControlPlane,
    kubeconfig,
    manifests::Manifests,
    port::free_port,
    process::{Launch, Process},
    program::{project, workspace_binary},
    run::Run,
    waiting::wait_for,
};

const START_DEADLINE: Duration = Duration::from_mins(1);

/// The account and the rights that are shipped, for all namespaces.
const RIGHTS: &[&str] = &[
    "deploy/base/serviceaccount.yaml",
    "deploy/base/rbac-own-namespace.yaml",
    "deploy/overlays/cluster-wide/rbac-watched.yaml",
];

/// Applies the rights that are shipped with `namespace` as the operator's own, and returns a kubeconfig that has these
/// rights and no others, once they are in effect.
///
/// # Errors
/// When the manifests cannot be applied or have no `ServiceAccount`.
pub async fn grant_operator_rights(control_plane: &ControlPlane, namespace: &str) -> Result<PathBuf> {
    let mut rights = Manifests::default();
    for file in RIGHTS {
        rights = rights.and(Manifests::read(&project().join(file))?);
    }
    let rights = rights.in_namespace(namespace);
    let account = rights
        .objects()
        .iter()
        .find(|object| object.types.as_ref().is_some_and(|types| types.kind == "ServiceAccount"))
        .context("deploy/ has no ServiceAccount")?
        .name_any();
    rights.apply(&control_plane.client().await?).await?;
    let kubeconfig = control_plane.kubeconfig_for_service_account(namespace, &account).await?;

    // The API server learns of new rights by a watch of its own.
    let reviews: Api<SelfSubjectRulesReview> = Api::all(kubeconfig::client(&kubeconfig).await?);
    let spec = SelfSubjectRulesReviewSpec {
        namespace: Some(namespace.to_owned()),
    };
    let review = SelfSubjectRulesReview {
        spec,
        ..SelfSubjectRulesReview::default()
    };
    let expected: BTreeSet<String> = rights.objects().iter().flat_map(api_groups).collect();
    wait_for("the rights to take effect", START_DEADLINE, async || {
        let answer = reviews.create(&PostParams::default(), &review).await?;
        let rules = answer.status.map(|status| status.resource_rules).unwrap_or_default();
        let granted: BTreeSet<String> = rules
            .into_iter()
            .flat_map(|rule| rule.api_groups.unwrap_or_default())
            .collect();
        let missing: Vec<_> = expected.difference(&granted).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            bail!("no rights yet in {missing:?}")
        }
    })
    .await?;
    Ok(kubeconfig)
}

/// The API groups in the rules of a role.
fn api_groups(role: &DynamicObject) -> Vec<String> {
    let rules = role.data.get("rules").and_then(Value::as_array).into_iter().flatten();
    let groups = rules.filter_map(|rule| rule.get("apiGroups")?.as_array()).flatten();
    groups.filter_map(|group| group.as_str().map(ToOwned::to_owned)).collect()
}

/// A running `digital-messaging-operator run`.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    url: String,
}

impl Operator {
    /// Starts it with the rights of a kubeconfig, on a free loopback port, and lets it talk to managers on loopback by
    /// http. `args` are added to `digital-messaging-operator run`.
    ///
    /// It may still be on its way to [`Self::wait_until_ready`].
    ///
    /// # Errors
    /// When it is not built.
    pub fn start(run: &Run, kubeconfig: &Path, args: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Self> {
        Self::start_with(run, kubeconfig, args, &[])
    }

    /// The same, with these environment variables.
    ///
    /// # Errors
    /// When it is not built.
    pub fn start_with(
        run: &Run,
        kubeconfig: &Path,
        args: impl IntoIterator<Item = impl Into<OsString>>,
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let launch = Launch::new("operator", workspace_binary("digital-messaging-operator")?)
            .env("KUBECONFIG", kubeconfig)
            .args([
                "run",
                "--allow-insecure-endpoints",
                "--allow-private-hosts",
                "--listen",
                &address,
            ])
            .args(args);
        let launch = environment
            .iter()
            .fold(launch, |launch, (name, value)| launch.env(*name, *value));
        Ok(Self {
            process: run.spawn(launch)?,
            url: format!("http://{address}"),
        })
    }

    /// Where it serves `/livez`, `/readyz` and `/metrics`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The process, to be killed, stopped and restarted.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits until `/readyz` is fine.
    ///
    /// # Errors
    /// When it ends or takes longer than a minute; the message has the end of its log.
    pub async fn wait_until_ready(&self) -> Result<()> {
        let ready = wait_for("the operator to be ready", START_DEADLINE, async || {
            if self.process.exit_status().is_some() {
                return Ok(false);
            }
            self.get("/readyz").await.map(|_| true)
        })
        .await;
        match ready {
            Ok(true) => Ok(()),
            Ok(false) => bail!("the operator ended during its start\n{}", self.process.log_tail()),
            Err(error) => bail!("{error:#}\n{}", self.process.log_tail()),
        }
    }

    /// Reads `/metrics`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<String> {
        self.get("/metrics").await
    }

    async fn get(&self, path: &str) -> Result<String> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()?;
        let answer = client
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .context("ask the operator")?;
        let status = answer.status();
        let text = answer.text().await?;
        if status.is_success() {
            Ok(text)
        } else {
            bail!("{path} answered {status}: {text}")
        }
    }
}
