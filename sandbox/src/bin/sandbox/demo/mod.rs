// SPDX-License-Identifier: Apache-2.0

//! `sandbox demo`: everything on one machine, from nothing to messaging that is enabled.

mod report;
mod resources;

use std::{
    collections::BTreeMap,
    fs,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use kube::Client;
use sandbox::{
    ControlPlane, Example, ManagerAccount, Manifests, Operator, Process, ReferenceManager, grant_operator_rights, packaging,
    program,
};

use crate::{
    exec::code_of_signal,
    interrupt::Interrupts,
    terminal::{line, progress, step},
};
use resources::{Kinds, Resources};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Leave when everything is Ready, with a non-zero exit code and the reasons if it is not
    #[arg(long)]
    exit: bool,
    /// How long everything may take to become Ready, in seconds
    #[arg(long, default_value_t = 120)]
    within: u64,
}

pub(crate) async fn run(arguments: &Arguments, mut interrupts: Interrupts) -> Result<ExitCode> {
    let demo = tokio::select! {
        demo = Demo::start() => demo?,
        signal = interrupts.next() => return Ok(code_of_signal(signal)),
    };
    let outcome = tokio::select! {
        outcome = demo.show(Duration::from_secs(arguments.within)) => outcome?,
        signal = interrupts.next() => return Ok(code_of_signal(signal)),
    };
    if arguments.exit {
        return Ok(if outcome.all_ready() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    demo.tell_how_to_look_around()?;
    tokio::select! {
        failure = demo.until_a_part_ends() => Err(failure),
        _ = interrupts.next() => Ok(ExitCode::SUCCESS),
    }
}

struct Demo {
    operator: Operator,
    manager: ReferenceManager,
    control_plane: ControlPlane,
    client: Client,
    /// By the namespace whose `ManagerCredential` opens it.
    accounts: Vec<(String, ManagerAccount)>,
}

impl Demo {
    async fn start() -> Result<Self> {
        let control_plane = step("etcd and kube-apiserver", ControlPlane::start()).await?;
        let client = control_plane.client().await?;
        let manager = step("reference manager", ReferenceManager::start(control_plane.run())).await?;
        let operator = step("custom resource definitions, rights, operator", async {
            Manifests::read(&program::project().join("crds"))?.apply(&client).await?;
            start_operator(&control_plane, &client).await
        })
        .await?;
        let accounts = step("examples applied, one namespace each", apply_examples(&client, &manager)).await?;
        Ok(Self {
            operator,
            manager,
            control_plane,
            client,
            accounts,
        })
    }

    /// Waits and reports, whatever came of it.
    async fn show(&self, within: Duration) -> Result<Resources> {
        let resources = self.wait_until_ready(within).await?;
        report::resources(&resources);
        for (namespace, account) in &self.accounts {
            report::held_by_the_manager(namespace, self.manager.url(), account).await?;
        }
        report::outputs(&self.client, &resources).await?;
        if !resources.all_ready() {
            report::reasons(&resources);
        }
        Ok(resources)
    }

    /// Tells each change of an object's state once.
    async fn wait_until_ready(&self, within: Duration) -> Result<Resources> {
        let kinds = Kinds::discover(&self.client).await?;
        let start = Instant::now();
        let mut heartbeat = start;
        let mut told = BTreeMap::new();
        loop {
            let resources = Resources::list(&kinds).await?;
            for resource in resources.iter() {
                let state = resource.state();
                if told.get(&resource.label()) != Some(&state) {
                    progress(&format!(
                        "{:5.1} s  {}: {state}",
                        start.elapsed().as_secs_f32(),
                        resource.label()
                    ));
                    told.insert(resource.label(), state);
                }
            }
            if resources.all_ready() || start.elapsed() > within {
                return Ok(resources);
            }
            if heartbeat.elapsed() > Duration::from_secs(10) {
                heartbeat = Instant::now();
                let waiting = resources.iter().filter(|resource| !resource.is_ready()).count();
                progress(&format!("{:5.1} s  … {waiting} not Ready yet", start.elapsed().as_secs_f32()));
            }
            if let Some(failure) = self.ended_part() {
                return Err(failure);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn tell_how_to_look_around(&self) -> Result<()> {
        line("\nLook around in another terminal:");
        line(&format!("  export KUBECONFIG={}", self.control_plane.kubeconfig().display()));
        line(&format!("  alias kubectl={}", program::tools()?.join("kubectl").display()));
        line("  kubectl get messaging --all-namespaces");
        line(&format!("\n  manager   {}", self.manager.url()));
        line(&format!("  operator  {}/metrics", self.operator.url()));
        line(&format!("  logs      {}", self.control_plane.run().logs().display()));
        line("\nCtrl-C ends everything and leaves nothing behind.");
        Ok(())
    }

    async fn until_a_part_ends(&self) -> anyhow::Error {
        loop {
            if let Some(failure) = self.ended_part() {
                return failure;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn ended_part(&self) -> Option<anyhow::Error> {
        let own = [self.control_plane.etcd(), self.control_plane.api_server()];
        let parts = own
            .into_iter()
            .flatten()
            .chain([self.manager.process(), self.operator.process()]);
        parts
            .filter(|part: &&Process| part.exit_status().is_some())
            .map(|part| anyhow::anyhow!("{} has ended\n{}", part.name(), part.log_tail()))
            .next()
    }
}

/// With the rights that are shipped and no others.
async fn start_operator(control_plane: &ControlPlane, client: &Client) -> Result<Operator> {
    create_namespace(client, packaging::NAMESPACE).await?;
    let kubeconfig = grant_operator_rights(control_plane, packaging::NAMESPACE).await?;
    let operator = Operator::start(control_plane.run(), &kubeconfig, Vec::<String>::new())?;
    operator.wait_until_ready().await?;
    Ok(operator)
}

/// Each folder in a namespace of its name, with an account of its own at the manager.
async fn apply_examples(client: &Client, manager: &ReferenceManager) -> Result<Vec<(String, ManagerAccount)>> {
    let folder = program::project().join("examples");
    let entries = fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
    let mut folders: Vec<_> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    folders.retain(|folder| folder.is_dir());
    folders.sort();
    if folders.is_empty() {
        bail!("{} is empty", folder.display());
    }
    let mut accounts = Vec::new();
    for folder in folders {
        let namespace = folder
            .file_name()
            .context("a folder without name")?
            .to_string_lossy()
            .into_owned();
        let example = Example::prepare(&folder, &namespace, manager).await?;
        create_namespace(client, &namespace).await?;
        example.manifests.apply(client).await?;
        accounts.extend(example.accounts.into_iter().map(|account| (namespace.clone(), account)));
    }
    Ok(accounts)
}

async fn create_namespace(client: &Client, name: &str) -> Result<()> {
    let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {name} }}");
    Manifests::parse(&namespace)?.apply(client).await.map(drop)
}
