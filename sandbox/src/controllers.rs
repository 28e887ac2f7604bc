// SPDX-License-Identifier: Apache-2.0

//! The real controllers of Kubernetes that deletion needs: one empties namespaces that are being deleted, one collects
//! garbage.

use std::{path::Path, time::Duration};

use anyhow::{Result, anyhow, bail};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::DeleteParams};

use crate::{
    control_plane::ControlPlane,
    process::{Launch, Process},
    program,
    run::Run,
    waiting::wait_for,
};

/// The namespace controller alone waits five seconds before it looks at a namespace that is being deleted.
const START_DEADLINE: Duration = Duration::from_secs(90);

/// kube-controller-manager with those controllers and no others.
#[derive(Debug)]
pub(crate) struct Controllers {
    process: Process,
}

impl Controllers {
    pub(crate) fn start(run: &Run, kubeconfig: &Path) -> Result<Self> {
        let launch = Launch::new("kube-controller-manager", program::controller_manager()?)
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args([
                "--controllers=namespace-controller,garbage-collector-controller",
                // Each controller has its own name in the audit log, and the rights that a cluster gives it.
                "--use-service-account-credentials=true",
                "--leader-elect=false",
                // It serves nothing that is needed here.
                "--secure-port=0",
                "--profiling=false",
            ]);
        Ok(Self {
            process: run.spawn(launch)?,
        })
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Waits until a namespace that is deleted goes: that it serves health says less.
    pub(crate) async fn wait_until_working(&self, control_plane: &ControlPlane) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(control_plane.client().await?);
        let name = control_plane.create_namespace("probe").await?;
        namespaces.delete(&name, &DeleteParams::default()).await?;
        let gone = wait_for("a deleted namespace to go", START_DEADLINE, async || {
            if self.process.exit_status().is_some() {
                return Ok(false);
            }
            match namespaces.get_opt(&name).await? {
                None => Ok(true),
                Some(_) => Err(anyhow!("namespace {name} is still there")),
            }
        })
        .await;
        match gone {
            Ok(true) => Ok(()),
            Ok(false) => bail!("kube-controller-manager ended during its start\n{}", self.process.log_tail()),
            Err(error) => bail!("{error:#}\n{}", self.process.log_tail()),
        }
    }
}
