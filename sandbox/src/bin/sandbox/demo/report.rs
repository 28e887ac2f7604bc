// SPDX-License-Identifier: Apache-2.0

//! The tables at the end of the demo.

use anyhow::{Context, Result};
use digital_messaging_contract::connection::ConnectionState;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use sandbox::ManagerAccount;

use super::resources::{Resource, Resources};
use crate::terminal::{heading, line, table};

/// What may be shown of the outputs; everything else is a secret.
const PUBLIC_OUTPUTS: [&str; 4] = ["connectionId", "scriptUrl", "webhookUrl", "widgetId"];

pub(crate) fn resources(resources: &Resources) {
    heading("Resources and their conditions");
    let rows: Vec<_> = resources
        .iter()
        .map(|resource| {
            let conditions: Vec<_> = resource
                .conditions
                .iter()
                .map(|condition| format!("{}={} ({})", condition.type_, condition.status, condition.reason))
                .collect();
            [
                resource.namespace.clone(),
                resource.kind.to_owned(),
                resource.name.clone(),
                conditions.join(" "),
            ]
        })
        .collect();
    table(["NAMESPACE", "KIND", "NAME", "CONDITIONS"], &rows);
}

pub(crate) fn reasons(resources: &Resources) {
    heading("Not Ready");
    for resource in resources.iter().filter(|resource| !resource.is_ready()) {
        line(&format!("  {}: {}", resource.label(), resource.state()));
    }
}

/// Asked of the manager itself, with requests that are signed here.
pub(crate) async fn held_by_the_manager(namespace: &str, url: &str, account: &ManagerAccount) -> Result<()> {
    let credential = account.credential();
    let (id, method) = (&credential.manager_id, credential.method.as_str());
    heading(&format!(
        "Held by the manager at {url} for Manager ID {id} ({method}, namespace {namespace})"
    ));
    let interfaces = account.interfaces().await?.into_iter().map(|interface| {
        let reference = interface.spec.external_reference.unwrap_or_default();
        [
            "interface".to_owned(),
            interface.id,
            interface.spec.display_name,
            String::new(),
            reference,
        ]
    });
    let connections = account.connections().await?.into_iter().map(|connection| {
        let state = match connection.state {
            ConnectionState::Active => "active",
            ConnectionState::PendingAuthorization => "pending authorization",
            ConnectionState::Failed => "failed",
        };
        let reference = connection.external_reference.unwrap_or_default();
        let kind = connection.channel.channel_type().as_str().to_owned();
        [kind, connection.id, connection.display_name, state.to_owned(), reference]
    });
    table(
        ["WHAT", "ID", "NAME", "STATE", "REFERENCE"],
        &interfaces.chain(connections).collect::<Vec<_>>(),
    );
    Ok(())
}

pub(crate) async fn outputs(client: &Client, resources: &Resources) -> Result<()> {
    heading("Generated outputs");
    let mut rows = Vec::new();
    for resource in resources.iter() {
        if let Some(secret) = &resource.output_secret {
            rows.extend(output_rows(client, resource, secret).await?);
        }
    }
    table(["SECRET", "KEY", "VALUE"], &rows);
    Ok(())
}

async fn output_rows(client: &Client, resource: &Resource, name: &str) -> Result<Vec<[String; 3]>> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &resource.namespace);
    let secret = secrets
        .get(name)
        .await
        .with_context(|| format!("read the outputs of {}", resource.label()))?;
    let rows = secret.data.into_iter().flatten().map(|(key, value)| {
        let shown = if PUBLIC_OUTPUTS.contains(&key.as_str()) {
            String::from_utf8_lossy(&value.0).into_owned()
        } else {
            format!("******** ({} bytes)", value.0.len())
        };
        [format!("{}/{name}", resource.namespace), key, shown]
    });
    Ok(rows.collect())
}
