// SPDX-License-Identifier: Apache-2.0

//! What a person can do about trouble with credentials. The manager's words say what is wrong, but not where it is set. Pure.

use crate::{
    api::{ManagerCredential, manager_credential::AuthenticationMethod},
    controller::{reason::Reason, trouble::Trouble},
};

/// Adds what to do to what is wrong.
pub(super) fn add(trouble: Trouble, credential: &ManagerCredential) -> Trouble {
    let authentication = &credential.spec.authentication;
    let secret = &authentication.secret_ref.name;
    let advice = match trouble.reason {
        Reason::InvalidCredentials => format!("check managerId and managerKey in Secret {secret}"),
        Reason::CredentialsRevoked => format!("put the present managerKey into Secret {secret}"),
        Reason::MethodNotConfigured => {
            let other = match authentication.method {
                AuthenticationMethod::Jwt => "APIKey",
                AuthenticationMethod::ApiKey => "JWT",
            };
            format!("set spec.authentication.method: {other}")
        }
        Reason::ClockSkew => "put the clock of the operator's node, or the manager's, right".to_owned(),
        Reason::TLSFailed => format!("the certificate of a private CA goes into key ca.crt of Secret {secret}"),
        _ => return trouble,
    };
    Trouble {
        retry: trouble.retry,
        ..Trouble::new(trouble.reason, format!("{}; {advice}", trouble.message))
    }
}
