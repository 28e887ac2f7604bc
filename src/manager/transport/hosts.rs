// SPDX-License-Identifier: Apache-2.0

//! Which hosts may be called: by name, and by the addresses that a name leads to.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::manager::{
    error::{Class, Error},
    values::{Insecure, WebUrl},
};

/// Which hosts the operator may call.
#[derive(Clone, Debug)]
pub struct HostPolicy {
    /// Names and suffixes (`*.example.com`); empty: any.
    pub allowed: Vec<String>,
    /// Whether addresses that are not public (loopback, link-local, private, metadata) are allowed, all of them.
    pub private: bool,
    /// Networks that are allowed although they are not public.
    pub networks: Vec<IpNet>,
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
        if !self.is_listed(&host) {
            return Err(Error::new(
                Class::NotAllowed,
                format!("host {host} is not among the manager hosts this operator may call (--allowed-manager-hosts)"),
            ));
        }
        match url.address() {
            Some(address) => self.check_address(&host, address),
            None if self.networks.is_empty() && !self.private && is_local_name(&host) => Err(not_public(&host)),
            None => Ok(()),
        }
    }

    fn is_listed(&self, host: &str) -> bool {
        self.allowed.is_empty()
            || self.allowed.iter().any(|pattern| {
                let pattern = pattern.to_ascii_lowercase();
                match pattern.strip_prefix("*.") {
                    Some(domain) => host
                        .strip_suffix(domain)
                        .is_some_and(|rest| rest.ends_with('.') && rest.len() > 1),
                    None => host == pattern,
                }
            })
    }

    /// Checks an address that `host` is or leads to.
    ///
    /// # Errors
    /// Class `NotAllowed`, with the flags that would allow it. The address is not told: whoever may only name a host is not
    /// to learn where it lies.
    pub fn check_address(&self, host: &str, address: IpAddr) -> Result<(), Error> {
        let address = address.to_canonical();
        let allowed = self.private || is_public(address) || self.networks.iter().any(|network| network.contains(&address));
        if allowed { Ok(()) } else { Err(not_public(host)) }
    }
}

fn not_public(host: &str) -> Error {
    Error::new(
        Class::NotAllowed,
        format!(
            "host {host} has an address that is not public; an operator started with --allow-private-hosts, or with its \
             network in --allowed-private-networks, may call it"
        ),
    )
}

/// Whether a name can only mean something near: it lacks a dot, or its last label is reserved for local use. Looking it up
/// would find that out as well, but behind an HTTP proxy it is the proxy that does.
fn is_local_name(host: &str) -> bool {
    match host.rsplit_once('.') {
        None => true,
        Some((rest, last)) => {
            matches!(last, "localhost" | "local" | "localdomain" | "internal" | "svc")
                || (last == "arpa" && rest.ends_with("home"))
        }
    }
}

/// Whether an address is reachable on the public Internet: not loopback, private, link-local (cloud metadata lives there),
/// shared, multicast, documentation or reserved; IPv4 addresses inside IPv6 ones count as what they are.
///
/// The ranges are those of the IANA special-purpose address registries, and the one public address behind which a cloud
/// hides its metadata.
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
                || (a == 192 && b == 0 && c == 0)
                // Relays of 6to4, out of use.
                || (a == 192 && b == 88 && c == 99)
                // Azure's WireServer, which hands out configuration and secrets of the machine.
                || v4.octets() == [168, 63, 129, 16])
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            let is_global = first & 0xe000 == 0x2000;
            // Teredo, ORCHID and others of 2001::/23, and 6to4: some carry an IPv4 address that must not be smuggled past
            // the rules above. NAT64 is not within 2000::/3.
            let is_special = first == 0x2001 && second < 0x0200 || first == 0x2002;
            let is_documentation = first == 0x2001 && second == 0x0db8 || first == 0x3fff && second < 0x1000;
            is_global && !is_special && !is_documentation
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allowed: &[&str], private: bool, networks: &[&str]) -> HostPolicy {
        HostPolicy {
            allowed: allowed.iter().copied().map(str::to_owned).collect(),
            private,
            networks: networks.iter().map(|network| network.parse().unwrap()).collect(),
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
            "127.255.255.254",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            // Other spellings of IPv4 addresses.
            "2130706433",
            "0x7f.1",
            "0x7f000001",
            "0177.0.0.1",
            "127.1",
            "127.0.0.1.",
            "%31%32%37.0.0.1",
            "①②⑦.⓪.⓪.①",
            "127。0。0。1",
            "[::]",
            "[::1]",
            "[::127.0.0.1]",
            "[fe80::1]",
            "[fec0::1]",
            "[fc00::1]",
            "[fd00:ec2::254]",
            "[ff02::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a9fe:a9fe]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b:1::a9fe:a9fe]",
            "[2001::1]",
            "[2001:0:a9fe:a9fe::]",
            "[2001:2::1]",
            "[2001:10::1]",
            "[2001:db8::1]",
            "[2002:7f00:1::]",
            "[3fff::1]",
            "[5f00::1]",
            "[100::1]",
            // Names that can only mean something near.
            "localhost",
            "LOCALHOST",
            "metadata",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "metadata.google.internal",
            "any.localhost",
            "router.home.arpa",
        ] {
            let error = check(&policy(&[], false, &[]), &format!("https://{bad}")).unwrap_err();
            assert_eq!(error.class, Class::NotAllowed, "{bad}");
        }
        for good in [
            "8.8.8.8",
            "[2606:4700::1111]",
            "[2001:4860::8888]",
            "[::ffff:8.8.8.8]",
            "manager.example",
            "internal.example",
        ] {
            assert!(check(&policy(&[], false, &[]), &format!("https://{good}")).is_ok(), "{good}");
        }
    }

    #[test]
    fn private_addresses_can_be_allowed_all_or_by_network() {
        for private in ["127.0.0.1", "10.1.2.3", "[fd00::1]", "localhost"] {
            assert!(
                check(&policy(&[], true, &[]), &format!("https://{private}")).is_ok(),
                "{private}"
            );
        }
        let near = policy(&[], false, &["10.1.0.0/16", "fd00:1::/32"]);
        for good in ["10.1.2.3", "[::ffff:10.1.2.3]", "[fd00:1::7]", "8.8.8.8", "manager.internal"] {
            assert!(check(&near, &format!("https://{good}")).is_ok(), "{good}");
        }
        for bad in ["10.2.0.1", "127.0.0.1", "169.254.169.254", "[fd00:ec2::254]"] {
            assert!(check(&near, &format!("https://{bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_list_of_hosts_is_the_whole_list() {
        let policy = policy(&["manager.example", "*.eu.example"], false, &[]);
        for good in ["manager.example", "MANAGER.example", "a.eu.example", "a.b.eu.example"] {
            assert!(check(&policy, &format!("https://{good}")).is_ok(), "{good}");
        }
        for bad in [
            "eu.example",
            "xeu.example",
            "manager.example.evil.test",
            "manager.example.",
            "manager.example@evil.test",
            "manager.example%2eevil.test",
            "other.example",
        ] {
            assert!(check(&policy, &format!("https://{bad}")).is_err(), "{bad}");
        }
    }
}
