// SPDX-License-Identifier: Apache-2.0

//! Name resolution that checks what it finds.
//!
//! The check is part of the resolver that connections use: what it returns is what is connected to, so a name that changes
//! its address between check and use gains nothing.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::hosts::HostPolicy;

/// Finds the addresses of a name.
pub trait Lookup: fmt::Debug + Send + Sync {
    /// The addresses of `name`, in the order of preference.
    fn lookup(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The way of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// The resolver of all connections to managers, and to the HTTP proxy if there is one.
pub(super) struct CheckingResolver {
    pub(super) policy: Arc<HostPolicy>,
    pub(super) lookup: Arc<dyn Lookup>,
    /// See [`proxy_hosts`].
    pub(super) proxies: Arc<[String]>,
}

impl Resolve for CheckingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let is_proxy = self.proxies.iter().any(|proxy| proxy == name.as_str());
        let (policy, found) = (self.policy.clone(), self.lookup.lookup(name.as_str()));
        Box::pin(async move {
            let found = found.await?;
            if !is_proxy {
                for address in &found {
                    policy.check_address(name.as_str(), *address)?;
                }
            }
            let addresses = found.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

/// Hosts of the proxies in the environment: those may have private addresses, they were set by whoever runs the operator.
pub(super) fn proxy_hosts() -> Arc<[String]> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
