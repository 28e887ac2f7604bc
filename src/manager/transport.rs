//! HTTP with the operator's rules: only allowed hosts, no redirects, bounded time and bodies.
//!
//! A `ManagerCredential` may be written by anyone with rights in a namespace, so its endpoint is hostile input. The host
//! is checked when the URL is read, and every address it resolves to is checked again by the very resolver that the
//! connection uses: a name that changes its address between check and use gains nothing.
//! Behind an HTTP proxy the proxy resolves, so there only the name is checked.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Mutex,
    time::Duration,
};

use http::{HeaderMap, StatusCode};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use secrecy::{ExposeSecret, SecretString};

use super::{
    error::{Class, Error, Outage},
    values::{Insecure, WebUrl},
};

/// Time for one ordinary call, connection included.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Time to get a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest body that is read; a page of 500 connections is about 1 MiB.
pub const MAX_BODY: usize = 16 * 1024 * 1024;

/// Which hosts the operator may call.
#[derive(Clone, Debug)]
pub struct HostPolicy {
    /// Names and suffixes (`*.example.com`); empty: any.
    pub allowed: Vec<String>,
    /// Whether addresses that are not public (loopback, link-local, private, metadata) are allowed.
    pub private: bool,
    /// Whether http is accepted.
    pub insecure: Insecure,
}

impl HostPolicy {
    /// Checks what can be checked without looking the name up.
    ///
    /// # Errors
    /// Class `NotAllowed`, with the flag that would allow it.
    pub fn check(&self, url: &WebUrl) -> Result<(), Error> {
        let host = url.host().to_ascii_lowercase();
        let allowed = self.allowed.is_empty()
            || self.allowed.iter().any(|pattern| {
                let pattern = pattern.to_ascii_lowercase();
                match pattern.strip_prefix("*.") {
                    Some(domain) => host
                        .strip_suffix(domain)
                        .is_some_and(|rest| rest.ends_with('.') && rest.len() > 1),
                    None => host == pattern,
                }
            });
        if !allowed {
            return Err(Error::new(
                Class::NotAllowed,
                format!("host {host} is not among the manager hosts this operator may call (--allowed-manager-hosts)"),
            ));
        }
        match url.address() {
            Some(address) if !self.private && !is_public(address) => Err(not_public(&host)),
            _ => Ok(()),
        }
    }
}

fn not_public(host: &str) -> Error {
    Error::new(
        Class::NotAllowed,
        format!("host {host} has an address that is not public; an operator started with --allow-private-hosts may call it"),
    )
}

/// Whether an address is reachable on the public Internet: not loopback, private, link-local (cloud metadata lives there),
/// shared, multicast, documentation or reserved; IPv4 addresses inside IPv6 ones count as what they are.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (b == 18 || b == 19))
                || (a == 192 && b == 0 && c == 0))
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            // NAT64 and 6to4 carry an IPv4 address that must not be smuggled past the rules above.
            let embedded = first == 0x0064 && second == 0xff9b || first == 0x2002;
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || embedded)
                && first & 0xe000 == 0x2000
                && !(first == 0x2001 && second == 0x0db8)
        }
    }
}

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
    policy: HostPolicy,
    clients: Mutex<HashMap<[u8; 32], reqwest::Client>>,
}

/// Sets of TLS material kept; more start over, so that rotating certificates cannot fill the memory.
const MAX_CLIENTS: usize = 256;

impl Transport {
    /// A transport with these rules.
    pub fn new(policy: HostPolicy) -> Self {
        Self {
            policy,
            clients: Mutex::default(),
        }
    }

    /// The rules.
    pub fn policy(&self) -> &HostPolicy {
        &self.policy
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
            .dns_resolver(PublicResolver {
                private: self.policy.private,
                proxies: proxy_hosts(),
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
                format!("TLS settings do not work: {}", chain(&error)),
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

/// Hosts of the proxies in the environment: those may have private addresses, they were set by whoever runs the operator.
fn proxy_hosts() -> Vec<String> {
    [
        "HTTPS_PROXY",
        "https_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
    ]
    .iter()
    .filter_map(|name| std::env::var(name).ok())
    .filter_map(|value| proxy_host(&value))
    .collect()
}

/// The host of a proxy setting, which may lack the scheme.
fn proxy_host(value: &str) -> Option<String> {
    let with_scheme = if value.contains("://") {
        value.to_owned()
    } else {
        format!("http://{value}")
    };
    url::Url::parse(&with_scheme).ok()?.host_str().map(str::to_ascii_lowercase)
}

struct PublicResolver {
    private: bool,
    proxies: Vec<String>,
}

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let unrestricted = self.private || self.proxies.iter().any(|proxy| proxy == name.as_str());
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if !unrestricted && found.iter().any(|address| !is_public(address.ip())) {
                return Err(Box::new(not_public(name.as_str())) as Box<dyn std::error::Error + Send + Sync>);
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// An answer, read completely.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, at most [`MAX_BODY`].
    pub body: Vec<u8>,
}

/// Sends one request and reads the answer. `extra` is added to the time limit, for calls that are meant to wait.
///
/// # Errors
/// Class `Unavailable` or `NotAllowed`.
pub async fn exchange(client: &reqwest::Client, request: reqwest::Request, extra: Duration) -> Result<Answer, Error> {
    tokio::time::timeout(CALL_TIMEOUT.saturating_add(extra), async {
        let mut response = client.execute(request).await.map_err(|error| broken(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
            if body.len().saturating_add(chunk.len()) > MAX_BODY {
                return Err(Error::new(
                    Class::Unavailable(Outage::UnexpectedResponse),
                    format!("the manager's answer is larger than {} MiB", MAX_BODY / 1024 / 1024),
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status: response.status(),
            headers: response.headers().clone(),
            body,
        })
    })
    .await
    .unwrap_or_else(|_| {
        Err(Error::new(
            Class::Unavailable(Outage::Timeout),
            "the manager did not answer in time",
        ))
    })
}

fn broken(error: &reqwest::Error) -> Error {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(cause) = source {
        if let Some(refused) = cause.downcast_ref::<Error>() {
            return refused.clone();
        }
        if let Some(failed) = cause.downcast_ref::<rustls::Error>() {
            return Error::new(
                Class::Unavailable(Outage::Tls),
                format!("TLS with the manager failed: {failed}"),
            );
        }
        // An I/O error passes over what it wraps when it is asked for its source, and it may wrap another one.
        source = match cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    if error.is_timeout() {
        return Error::new(Class::Unavailable(Outage::Timeout), "the manager did not answer in time");
    }
    Error::new(
        Class::Unavailable(Outage::Unreachable),
        format!("cannot reach the manager: {}", chain(error)),
    )
}

/// The innermost cause in words: outer ones of an HTTP library only repeat the URL.
fn chain(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allowed: &[&str], private: bool) -> HostPolicy {
        HostPolicy {
            allowed: allowed.iter().copied().map(str::to_owned).collect(),
            private,
            insecure: Insecure::Allowed,
        }
    }

    fn check(policy: &HostPolicy, url: &str) -> Result<(), Error> {
        let url = WebUrl::parse(url, Insecure::Allowed).map_err(|error| Error::new(Class::NotAllowed, error.0))?;
        policy.check(&url)
    }

    #[test]
    fn only_public_addresses_by_default() {
        for bad in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "[::1]",
            "[fe80::1]",
            "[fd00::1]",
            "[::ffff:127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "224.0.0.1",
            "255.255.255.255",
            "2130706433",
            "0x7f.1",
        ] {
            let error = check(&policy(&[], false), &format!("https://{bad}")).unwrap_err();
            assert_eq!(error.class, Class::NotAllowed, "{bad}");
            assert!(check(&policy(&[], true), &format!("https://{bad}")).is_ok(), "{bad}");
        }
        for good in ["8.8.8.8", "[2606:4700::1111]", "manager.example"] {
            assert!(check(&policy(&[], false), &format!("https://{good}")).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_proxy_is_known_by_its_host_with_and_without_a_scheme() {
        for value in [
            "proxy.corp.example:3128",
            "http://proxy.corp.example:3128",
            "http://user:word@PROXY.corp.example/",
        ] {
            assert_eq!(proxy_host(value).as_deref(), Some("proxy.corp.example"), "{value}");
        }
    }

    #[test]
    fn a_list_of_hosts_is_the_whole_list() {
        let policy = policy(&["manager.example", "*.eu.example"], false);
        for good in ["manager.example", "MANAGER.example", "a.eu.example", "a.b.eu.example"] {
            assert!(check(&policy, &format!("https://{good}")).is_ok(), "{good}");
        }
        for bad in ["eu.example", "xeu.example", "manager.example.evil.test", "other.example"] {
            assert!(check(&policy, &format!("https://{bad}")).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_loopback_is_refused_at_connection_time() {
        let transport = Transport::new(policy(&[], false));
        let client = transport.client(&TlsMaterial::default()).unwrap();
        let request = client.get("http://localhost:1/").build().unwrap();
        let error = exchange(&client, request, Duration::ZERO).await.unwrap_err();
        assert_eq!(error.class, Class::NotAllowed, "{error}");
    }

    #[test]
    fn broken_tls_material_names_the_key_and_never_its_content() {
        let transport = Transport::new(policy(&[], true));
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
