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
        transport::{HostPolicy, TlsMaterial},
        values::{Insecure, WebUrl},
    },
};

pub(super) fn access(credential: &ManagerCredential, secret: &SecretData, context: &Context) -> Result<Access, Stop> {
    let endpoint = endpoint(credential, context.transport.policy())?;
    let name = &credential.spec.authentication.secret_ref.name;
    let manager_id = value(secret, name, api::SECRET_MANAGER_ID)?.expose_secret().to_owned();
    let sendable = (1..=128).contains(&manager_id.len()) && manager_id.chars().all(|c| c.is_ascii_graphic() && c != '/');
    if !sendable {
        let message =
            format!("key managerId of Secret {name} must have 1 to 128 visible ASCII characters without spaces and slashes");
        return Err(Trouble::new(Reason::SecretKeyMissing, message).into());
    }
    let client = match (secret.get(api::SECRET_CLIENT_CERTIFICATE), secret.get(api::SECRET_CLIENT_KEY)) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate.expose_secret().to_owned(), key.clone())),
        (Some(_), None) => return Err(half_a_pair(name, api::SECRET_CLIENT_CERTIFICATE, api::SECRET_CLIENT_KEY).into()),
        (None, Some(_)) => return Err(half_a_pair(name, api::SECRET_CLIENT_KEY, api::SECRET_CLIENT_CERTIFICATE).into()),
    };
    Ok(Access {
        endpoint,
        method: match credential.spec.authentication.method {
            api::AuthenticationMethod::Jwt => AuthenticationMethod::Jwt,
            api::AuthenticationMethod::ApiKey => AuthenticationMethod::ApiKey,
        },
        manager_id,
        manager_key: value(secret, name, api::SECRET_MANAGER_KEY)?.clone(),
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

fn endpoint(credential: &ManagerCredential, policy: &HostPolicy) -> Result<WebUrl, Trouble> {
    let api::Manager::DigitalMessaging(manager) = &credential.spec.manager;
    let parsed = WebUrl::parse(&manager.endpoint, policy.insecure).map_err(|error| {
        let is_http = policy.insecure == Insecure::Refused && WebUrl::parse(&manager.endpoint, Insecure::Allowed).is_ok();
        let reason = if is_http {
            Reason::InsecureEndpoint
        } else {
            Reason::InvalidSpec
        };
        Trouble::new(reason, format!("spec.manager.digitalMessaging.endpoint {error}"))
    })?;
    policy.check(&parsed).map_err(|error| {
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
