// SPDX-License-Identifier: Apache-2.0

//! HTTP with the operator's rules: only allowed hosts, no redirects, bounded time and bodies.
//!
//! A `ManagerCredential` may be written by anyone with rights in a namespace, so its endpoint is hostile input. The host
//! is checked when the URL is read ([`hosts`]), and every address it resolves to is checked again by the very resolver that
//! the connection uses ([`names`]). Behind an HTTP proxy the proxy resolves, so there only the name is checked.

mod exchange;
mod hosts;
mod names;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};

use super::{
    error::{Class, Error},
    values::WebUrl,
};
pub use exchange::{Answer, Bounds, CALL_TIMEOUT, MAX_LIST, MAX_OBJECT, exchange};
pub use hosts::{HostPolicy, is_public};
pub use names::{Lookup, SystemLookup};

/// Time to get a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// TLS material of a credential: what its Secret may carry beside the key.
#[derive(Clone, Default)]
pub struct TlsMaterial {
    /// `ca.crt`: trusted instead of the system's certificates.
    pub ca: Option<String>,
    /// `tls.crt` and `tls.key`: the client certificate to show.
    pub client: Option<(String, SecretString)>,
}

/// HTTP clients, one for each set of TLS material: most credentials share one connection pool.
pub struct Transport {
    policy: Arc<HostPolicy>,
    lookup: Arc<dyn Lookup>,
    proxies: Arc<[String]>,
    clients: Mutex<HashMap<[u8; 32], reqwest::Client>>,
}

/// Sets of TLS material kept; more start over, so that rotating certificates cannot fill the memory.
const MAX_CLIENTS: usize = 256;

impl Transport {
    /// A transport with these rules, which finds addresses by `lookup`.
    pub fn new(policy: HostPolicy, lookup: Arc<dyn Lookup>) -> Self {
        Self {
            policy: Arc::new(policy),
            lookup,
            proxies: names::proxy_hosts(),
            clients: Mutex::default(),
        }
    }

    /// The rules.
    pub fn policy(&self) -> &HostPolicy {
        &self.policy
    }

    /// Checks what can be checked of a manager's URL without looking the name up.
    ///
    /// # Errors
    /// Class `NotAllowed`, with what would allow it.
    pub fn check(&self, url: &WebUrl) -> Result<(), Error> {
        self.policy.check(url)?;
        // The proxy's address is not checked, so under its name anything near could be called.
        if !self.policy.private && self.proxies.iter().any(|proxy| proxy == url.host()) {
            return Err(Error::new(
                Class::NotAllowed,
                format!(
                    "host {} is the HTTP proxy of this operator; an operator started with --allow-private-hosts may call it as a manager",
                    url.host()
                ),
            ));
        }
        Ok(())
    }

    /// The client for this TLS material.
    ///
    /// # Errors
    /// Class `Invalid` if the material is not PEM or does not fit together.
    pub fn client(&self, tls: &TlsMaterial) -> Result<reqwest::Client, Error> {
        let key = fingerprint(tls);
        let mut clients = self.clients.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = self.build(tls)?;
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }

    fn build(&self, tls: &TlsMaterial) -> Result<reqwest::Client, Error> {
        let invalid = |key: &str, what: &str| {
            Error::new(
                Class::Invalid {
                    field: Some(key.to_owned()),
                },
                format!("key {key} of the Secret is not {what} in PEM"),
            )
        };
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(50))
            .user_agent(concat!("digital-messaging-operator/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(names::CheckingResolver {
                policy: self.policy.clone(),
                lookup: self.lookup.clone(),
                proxies: self.proxies.clone(),
            });
        if let Some(ca) = &tls.ca {
            let certificates =
                reqwest::Certificate::from_pem_bundle(ca.as_bytes()).map_err(|_| invalid("ca.crt", "a certificate"))?;
            if certificates.is_empty() {
                return Err(invalid("ca.crt", "a certificate"));
            }
            builder = builder.tls_certs_only(certificates);
        }
        if let Some((certificate, key)) = &tls.client {
            let pem = format!("{certificate}\n{}", key.expose_secret());
            let identity = reqwest::Identity::from_pem(pem.as_bytes())
                .map_err(|_| invalid("tls.crt", "a certificate with its key in tls.key"))?;
            builder = builder.identity(identity);
        }
        builder.build().map_err(|error| {
            Error::new(
                Class::Invalid { field: None },
                format!("TLS settings do not work: {}", exchange::innermost(&error)),
            )
        })
    }
}

fn fingerprint(tls: &TlsMaterial) -> [u8; 32] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in [
        tls.ca.as_deref(),
        tls.client.as_ref().map(|(certificate, _)| certificate.as_str()),
        tls.client.as_ref().map(|(_, key)| key.expose_secret()),
    ] {
        let part = part.unwrap_or_default();
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut key = [0; 32];
    for (to, from) in key.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    key
}

#[cfg(test)]
mod tests {
    use std::{io, net::IpAddr};

    use futures::future::BoxFuture;

    use super::*;
    use crate::manager::values::Insecure;

    fn policy(private: bool) -> HostPolicy {
        HostPolicy {
            allowed: vec![],
            private,
            networks: vec![],
            insecure: Insecure::Allowed,
        }
    }

    /// Every name has these addresses.
    #[derive(Debug)]
    struct Fixed(Vec<IpAddr>);

    impl Lookup for Fixed {
        fn lookup(&self, _name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
            let found = self.0.clone();
            Box::pin(async move { Ok(found) })
        }
    }

    const BOUNDS: Bounds = Bounds {
        wait: Duration::ZERO,
        body: MAX_OBJECT,
    };

    async fn call(transport: &Transport, url: &str) -> Error {
        let client = transport.client(&TlsMaterial::default()).unwrap();
        let request = client.get(url).build().unwrap();
        exchange(&client, request, BOUNDS).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_loopback_is_refused_at_connection_time() {
        let transport = Transport::new(policy(false), Arc::new(SystemLookup));
        let error = call(&transport, "http://localhost:1/").await;
        assert_eq!(error.class, Class::NotAllowed, "{error}");
    }

    #[tokio::test]
    async fn one_private_address_among_public_ones_is_enough_to_refuse_a_name() {
        let found = ["8.8.8.8", "::ffff:10.0.0.1"].map(|address| address.parse().unwrap());
        let transport = Transport::new(policy(false), Arc::new(Fixed(found.into())));
        let error = call(&transport, "http://manager.example:1/").await;
        assert_eq!(error.class, Class::NotAllowed, "{error}");
        assert!(!error.message.contains("10.0.0.1"), "{error}");
    }

    #[test]
    fn the_proxy_is_no_manager() {
        let mut transport = Transport::new(policy(false), Arc::new(SystemLookup));
        transport.proxies = vec!["proxy.corp.example".to_owned()].into();
        let url = |raw| WebUrl::parse(raw, Insecure::Allowed).unwrap();
        let refused = transport.check(&url("https://PROXY.corp.example:8443/x")).unwrap_err();
        assert_eq!(refused.class, Class::NotAllowed);
        assert!(transport.check(&url("https://manager.corp.example")).is_ok());
    }

    #[test]
    fn broken_tls_material_names_the_key_and_never_its_content() {
        let transport = Transport::new(policy(true), Arc::new(SystemLookup));
        let ca = TlsMaterial {
            ca: Some("rubbish".to_owned()),
            client: None,
        };
        assert!(transport.client(&ca).unwrap_err().message.contains("ca.crt"));
        let client = TlsMaterial {
            ca: None,
            client: Some(("rubbish".to_owned(), "hush".to_owned().into())),
        };
        let message = transport.client(&client).unwrap_err().message;
        assert!(message.contains("tls.crt") && !message.contains("hush"), "{message}");
    }
}
