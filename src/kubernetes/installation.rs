// SPDX-License-Identifier: Apache-2.0

//! What this installation keeps for itself: its name and its fingerprint key, in one Secret of its own namespace.
//!
//! Created by the operator, never by a chart: one that is made again with every rendering would make every secret look changed.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, Client, api::PostParams, core::ObjectMeta};
use thiserror::Error;

/// Name of the Secret.
pub const SECRET: &str = "digital-messaging-operator-installation";
const NAME: &str = "installation";
const KEY: &str = "fingerprintKey";

/// Why the installation's Secret cannot be used.
#[derive(Debug, Error)]
pub enum InstallationError {
    /// The Kubernetes API does not let us.
    #[error("cannot read or create Secret {SECRET} in namespace {namespace}: {source}")]
    Api {
        /// Own namespace.
        namespace: String,
        /// The error.
        #[source]
        source: Box<kube::Error>,
    },
    /// It lacks the name of the installation, by which the manager knows what is ours.
    #[error(
        "Secret {SECRET} in namespace {namespace} lacks key {NAME}; restore it from a backup, or delete the Secret to start over"
    )]
    Nameless {
        /// Own namespace.
        namespace: String,
    },
}

/// This installation.
pub struct Installation {
    /// Its name: the first part of every external reference.
    pub name: String,
    /// Its fingerprints.
    pub fingerprint: Fingerprint,
}

/// Fingerprints of secrets: keyed, so that nobody can test guesses against them.
pub struct Fingerprint {
    key: hmac::Key,
    id: String,
}

impl Fingerprint {
    fn new(key: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let id = encode(&hmac::sign(&key, b"key id"), 6);
        Self { key, id }
    }

    /// Tells keys apart: a fingerprint by another key cannot be compared.
    pub fn key_id(&self) -> &str {
        &self.id
    }

    /// The fingerprint of `parts` for the object `scope`: equal secrets of two objects have different ones.
    pub fn of<'a>(&self, scope: &str, parts: impl IntoIterator<Item = &'a [u8]>) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        let mut add = |part: &[u8]| {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        };
        add(scope.as_bytes());
        parts.into_iter().for_each(&mut add);
        encode(&context.sign(), 16)
    }
}

fn encode(tag: &hmac::Tag, bytes: usize) -> String {
    URL_SAFE_NO_PAD.encode(tag.as_ref().iter().take(bytes).copied().collect::<Vec<_>>())
}

/// Reads this installation's Secret, or creates it. `name` overrides the name in it.
///
/// # Errors
/// See [`InstallationError`].
pub async fn load(client: &Client, namespace: &str, name: Option<&str>) -> Result<Installation, InstallationError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let failed = |source| InstallationError::Api {
        namespace: namespace.to_owned(),
        source: Box::new(source),
    };
    let secret = match api.get_opt(SECRET).await.map_err(failed)? {
        Some(secret) => secret,
        None => match api.create(&PostParams::default(), &fresh()).await {
            Ok(secret) => secret,
            // Another replica was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => api.get(SECRET).await.map_err(failed)?,
            Err(error) => return Err(failed(error)),
        },
    };
    let nameless = || InstallationError::Nameless {
        namespace: namespace.to_owned(),
    };
    let stored = value(&secret, NAME).ok_or_else(nameless)?;
    let stored = String::from_utf8(stored.to_vec()).map_err(|_| nameless())?;
    let key = match value(&secret, KEY) {
        Some(key) => key.to_vec(),
        None => renew_key(&api, secret).await.map_err(failed)?,
    };
    Ok(Installation {
        name: name.map_or(stored, str::to_owned),
        fingerprint: Fingerprint::new(&key),
    })
}

fn value<'a>(secret: &'a Secret, key: &str) -> Option<&'a [u8]> {
    let value = secret.data.as_ref()?.get(key)?;
    Some(value.0.as_slice()).filter(|value| !value.is_empty())
}

/// The key can be done without: fingerprints by another one count as unknown, and are made anew from what has not changed.
async fn renew_key(api: &Api<Secret>, mut secret: Secret) -> kube::Result<Vec<u8>> {
    tracing::warn!("Secret {SECRET} lacks key {KEY}; a new one is made");
    let key = random_key();
    secret
        .data
        .get_or_insert_default()
        .insert(KEY.to_owned(), ByteString(key.to_vec()));
    match api.replace(SECRET, &PostParams::default(), &secret).await {
        Ok(_) => Ok(key.to_vec()),
        // Another replica was faster.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let secret = api.get(SECRET).await?;
            Ok(value(&secret, KEY).unwrap_or(&key).to_vec())
        }
        Err(error) => Err(error),
    }
}

fn random_key() -> [u8; 32] {
    let mut key = [0_u8; 32];
    rand::Rng::fill(&mut rand::rng(), &mut key);
    key
}

fn fresh() -> Secret {
    let name = uuid::Uuid::new_v4().simple().to_string();
    Secret {
        metadata: ObjectMeta {
            name: Some(SECRET.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(
            [
                (NAME.to_owned(), ByteString(name.into_bytes())),
                (KEY.to_owned(), ByteString(random_key().to_vec())),
            ]
            .into_iter()
            .collect(),
        ),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_depend_on_key_scope_and_parts() {
        let (one, two) = (Fingerprint::new(b"one"), Fingerprint::new(b"two"));
        let print = one.of("uid", [b"a".as_slice(), b"b"]);
        assert_eq!(print, one.of("uid", [b"a".as_slice(), b"b"]));
        for other in [
            two.of("uid", [b"a".as_slice(), b"b"]),
            one.of("other", [b"a".as_slice(), b"b"]),
            one.of("uid", [b"ab".as_slice()]),
            one.of("uid", [b"b".as_slice(), b"a"]),
        ] {
            assert_ne!(print, other);
        }
        assert_ne!(one.key_id(), two.key_id());
    }
}
