// SPDX-License-Identifier: Apache-2.0

//! Raw spec and Secret to an [`Access`] that cannot hold an invalid value. Pure.

use digital_messaging_contract::account::AuthenticationMethod;
use secrecy::ExposeSecret;

use crate::{
    api::{ManagerCredential, manager_credential as api},
    controller::{
        Context,
        parent::value,
        reason::Reason,
        trouble::{Stop, Trouble},
    },
    kubernetes::secrets::SecretData,
    manager::{
        connect::{Access, AccountKey},
        transport::{TlsMaterial, Transport},
        values::{Insecure, InvalidValue, ManagerId, WebUrl, check_sent_key, check_signing_key},
    },
};

pub(super) fn access(credential: &ManagerCredential, secret: &SecretData, context: &Context) -> Result<Access, Stop> {
    let endpoint = endpoint(credential, &context.transport)?;
    let name = &credential.spec.authentication.secret_ref.name;
    let wrong =
        |key: &str, error: InvalidValue| Trouble::new(Reason::SecretKeyMissing, format!("key {key} of Secret {name} {error}"));
    let manager_id: ManagerId = value(secret, name, api::SECRET_MANAGER_ID)?
        .expose_secret()
        .parse()
        .map_err(|error| wrong(api::SECRET_MANAGER_ID, error))?;
    let (method, check_key): (_, fn(&str) -> _) = match credential.spec.authentication.method {
        api::AuthenticationMethod::Jwt => (AuthenticationMethod::Jwt, check_signing_key),
        api::AuthenticationMethod::ApiKey => (AuthenticationMethod::ApiKey, check_sent_key),
    };
    let manager_key = value(secret, name, api::SECRET_MANAGER_KEY)?.clone();
    check_key(manager_key.expose_secret()).map_err(|error| wrong(api::SECRET_MANAGER_KEY, error))?;
    let client = match (secret.get(api::SECRET_CLIENT_CERTIFICATE), secret.get(api::SECRET_CLIENT_KEY)) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate.expose_secret().to_owned(), key.clone())),
        (Some(_), None) => return Err(half_a_pair(name, api::SECRET_CLIENT_CERTIFICATE, api::SECRET_CLIENT_KEY).into()),
        (None, Some(_)) => return Err(half_a_pair(name, api::SECRET_CLIENT_KEY, api::SECRET_CLIENT_CERTIFICATE).into()),
    };
    Ok(Access {
        endpoint,
        method,
        manager_id: manager_id.into_string(),
        manager_key,
        tls: TlsMaterial {
            ca: secret.get(api::SECRET_CA_CERTIFICATE).map(|ca| ca.expose_secret().to_owned()),
            client,
        },
    })
}

fn half_a_pair(name: &str, there: &str, missing: &str) -> Trouble {
    Trouble::new(
        Reason::SecretKeyMissing,
        format!("Secret {name} has key {there} but not {missing}; a client certificate needs both"),
    )
}

fn endpoint(credential: &ManagerCredential, transport: &Transport) -> Result<WebUrl, Trouble> {
    let api::Manager::DigitalMessaging(manager) = &credential.spec.manager;
    let insecure = transport.policy().insecure;
    let parsed = WebUrl::parse(&manager.endpoint, insecure).map_err(|error| {
        let is_http = insecure == Insecure::Refused && WebUrl::parse(&manager.endpoint, Insecure::Allowed).is_ok();
        let reason = if is_http {
            Reason::InsecureEndpoint
        } else {
            Reason::InvalidSpec
        };
        Trouble::new(reason, format!("spec.manager.digitalMessaging.endpoint {error}"))
    })?;
    transport.check(&parsed).map_err(|error| {
        Trouble::new(
            Reason::HostNotAllowed,
            format!("spec.manager.digitalMessaging.endpoint: {error}"),
        )
    })?;
    Ok(parsed)
}

/// The IDs in use are tied to an account; another Manager ID in the Secret must not lead them astray.
pub(super) fn same_account(credential: &ManagerCredential, access: &Access) -> Result<(), Stop> {
    let status = credential.status.as_ref();
    let pinned = status.and_then(|status| status.account.as_deref());
    let account = AccountKey::new(&access.endpoint, &access.manager_id);
    match pinned {
        Some(pinned) if pinned != account.as_str() => Err(Trouble::new(
            Reason::AccountChanged,
            format!(
                "Secret {} now holds another Manager ID than the one in use ({}). Put that one back; for another account create another ManagerCredential",
                credential.spec.authentication.secret_ref.name,
                status.and_then(|status| status.manager_id.as_deref()).unwrap_or(pinned),
            ),
        )
        .into()),
        _ => Ok(()),
    }
}
