// SPDX-License-Identifier: Apache-2.0

//! Examples, made to run: what a person has to replace in them, replaced.

use std::path::Path;

use anyhow::{Context, Result, bail};
use digital_messaging_contract::account::AuthenticationMethod;
use kube::{ResourceExt, api::DynamicObject};
use serde_json::{Value, json};

use crate::{
    manifests::Manifests,
    reference_manager::{ManagerAccount, OpensAccounts},
};

const DISPLAY_NAME_BEFORE_ADOPTION: &str = "Made by hand";

/// A folder of examples, ready to be applied to one namespace.
#[derive(Debug)]
pub struct Example {
    /// What to apply.
    pub manifests: Manifests,
    /// The accounts that were made for it at the manager, one for each `ManagerCredential`.
    pub accounts: Vec<ManagerAccount>,
}

impl Example {
    /// Reads `path` and replaces endpoint, Manager ID and Manager Key by those of an account made for it at `manager`.
    /// What it wants to adopt is made at the manager, with the IDs put into `adoption`.
    ///
    /// # Errors
    /// When the example cannot be read, or has parts that do not fit together.
    pub async fn prepare(path: &Path, namespace: &str, manager: &impl OpensAccounts) -> Result<Self> {
        let mut manifests = Manifests::read(path)?.in_namespace(namespace);
        let mut accounts = Vec::new();
        let credentials: Vec<_> = of_kind(&manifests, "ManagerCredential").map(DynamicObject::clone).collect();
        for credential in credentials {
            let account = open_account(&mut manifests, &credential, manager).await?;
            make_what_is_adopted(&mut manifests, &credential.name_any(), &account).await?;
            accounts.push(account);
        }
        Ok(Self { manifests, accounts })
    }
}

async fn open_account(
    manifests: &mut Manifests,
    credential: &DynamicObject,
    manager: &impl OpensAccounts,
) -> Result<ManagerAccount> {
    let name = credential.name_any();
    let method = match text(&credential.data, "/spec/authentication/method") {
        Some("APIKey") => AuthenticationMethod::ApiKey,
        Some("JWT") | None => AuthenticationMethod::Jwt,
        Some(other) => bail!("{name} has the unknown method {other}"),
    };
    let secret = text(&credential.data, "/spec/authentication/secretRef/name")
        .with_context(|| format!("{name} names no Secret"))?
        .to_owned();
    let issued = manager.create_credential(method)?;
    let account = manager.account(&issued)?;

    let target = find(manifests, "ManagerCredential", &name)?
        .data
        .pointer_mut("/spec/manager/digitalMessaging")
        .and_then(Value::as_object_mut)
        .with_context(|| format!("{name} names no manager"))?;
    target.insert("endpoint".to_owned(), manager.url().into());
    if target.contains_key("region") {
        target.insert("region".to_owned(), account.identity().await?.region.into());
    }

    let values = find(manifests, "Secret", &secret)?
        .data
        .get_mut("stringData")
        .and_then(Value::as_object_mut)
        .with_context(|| format!("Secret {secret} has no stringData"))?;
    values.insert("managerId".to_owned(), issued.manager_id.clone().into());
    values.insert("managerKey".to_owned(), issued.manager_key.expose().into());
    Ok(account)
}

/// Interfaces first: a connection made by hand needs one.
async fn make_what_is_adopted(manifests: &mut Manifests, credential: &str, account: &ManagerAccount) -> Result<()> {
    let interfaces: Vec<_> = of_kind(manifests, "DigitalMessagingInterface")
        .map(DynamicObject::clone)
        .collect();
    for interface in interfaces {
        let uses = text(&interface.data, "/spec/credentialRef/name") == Some(credential);
        if !uses || interface.data.pointer("/spec/adoption").is_none() {
            continue;
        }
        // `Match` adopts only what does not differ.
        let spec = json!({
            "displayName": text(&interface.data, "/spec/displayName"),
            "templateOperator": text(&interface.data, "/spec/templateOperator"),
            "baseUrl": text(&interface.data, "/spec/baseUrl"),
        });
        let made = account.create_interface(&serde_json::from_value(spec)?).await?;
        replace_id(find(manifests, "DigitalMessagingInterface", &interface.name_any())?, &made.id);

        let connections: Vec<_> = of_kind(manifests, "ChannelConnection").map(DynamicObject::clone).collect();
        for connection in connections {
            let uses = text(&connection.data, "/spec/interfaceRef/name") == Some(&interface.name_any());
            if !uses || connection.data.pointer("/spec/adoption").is_none() {
                continue;
            }
            let channel = connection.data.pointer("/spec/channel").unwrap_or(&Value::Null);
            let spec = connection_made_by_hand(&made.id, channel)?;
            let made = account.create_connection(&serde_json::from_value(spec)?).await?;
            replace_id(
                find(manifests, "ChannelConnection", &connection.name_any())?,
                &made.connection.id,
            );
        }
    }
    Ok(())
}

fn connection_made_by_hand(interface_id: &str, channel: &Value) -> Result<Value> {
    let (channel, secrets) = if channel.get("webMessaging").is_some() {
        (json!({ "type": "webMessaging" }), json!({}))
    } else if let Some(Value::Object(sms)) = channel.get("sms") {
        let mut channel = sms.clone();
        channel.remove("secretRef");
        channel.insert("type".to_owned(), "sms".into());
        (Value::Object(channel), json!({ "authToken": "made-by-hand" }))
    } else {
        bail!("adoption of {channel} is not prepared here");
    };
    Ok(json!({
        "interfaceId": interface_id,
        "displayName": DISPLAY_NAME_BEFORE_ADOPTION,
        "channel": channel,
        "secrets": secrets,
    }))
}

fn replace_id(object: &mut DynamicObject, id: &str) {
    if let Some(current) = object.data.pointer_mut("/spec/adoption/id") {
        *current = id.into();
    }
}

fn of_kind<'a>(manifests: &'a Manifests, kind: &'a str) -> impl Iterator<Item = &'a DynamicObject> {
    manifests.objects().iter().filter(move |object| has_kind(object, kind))
}

fn find<'a>(manifests: &'a mut Manifests, kind: &str, name: &str) -> Result<&'a mut DynamicObject> {
    manifests
        .objects_mut()
        .iter_mut()
        .find(|object| has_kind(object, kind) && object.name_any() == name)
        .with_context(|| format!("the example has no {kind} {name}"))
}

fn has_kind(object: &DynamicObject, kind: &str) -> bool {
    object.types.as_ref().is_some_and(|types| types.kind == kind)
}

fn text<'a>(data: &'a Value, pointer: &str) -> Option<&'a str> {
    data.pointer(pointer).and_then(Value::as_str)
}
