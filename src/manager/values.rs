// SPDX-License-Identifier: Apache-2.0

//! Newtypes that cannot hold an invalid value: raw text is parsed once, at the border.

use std::{fmt, net::IpAddr, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, Serializer};
use thiserror::Error;
use url::Url;

/// Why a raw value is refused. The text says what, why and how to put it right; it never repeats the value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidValue(pub String);

/// ID of an object at the manager.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteId(String);

impl RemoteId {
    /// The ID as the manager made it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RemoteId {
    type Err = InvalidValue;

    /// Takes what is safe in a path segment and in a status: 1 to 128 characters of `A-Z a-z 0-9 - _ . ~`.
    fn from_str(raw: &str) -> Result<Self, InvalidValue> {
        let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
        if raw.is_empty() || raw.len() > 128 || raw == "." || raw == ".." || !raw.chars().all(safe) {
            return Err(InvalidValue(
                "an ID has 1 to 128 letters, digits, '-', '_', '.' or '~'".to_owned(),
            ));
        }
        Ok(Self(raw.to_owned()))
    }
}

impl fmt::Display for RemoteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RemoteId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// What names an account at a manager: it travels in a header or a token, and is part of what `status.account` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagerId(String);

impl ManagerId {
    /// The ID as text.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl FromStr for ManagerId {
    type Err = InvalidValue;

    fn from_str(raw: &str) -> Result<Self, InvalidValue> {
        let sendable = raw.chars().all(|c| c.is_ascii_graphic() && c != '/');
        if (1..=128).contains(&raw.len()) && sendable {
            Ok(Self(raw.to_owned()))
        } else {
            Err(InvalidValue(
                "must have 1 to 128 visible ASCII characters without spaces and slashes".to_owned(),
            ))
        }
    }
}

/// Longest Manager Key, in bytes: what a header can carry anywhere.
const MAX_KEY: usize = 4096;

/// Checks a Manager Key that travels in a header as it is.
///
/// # Errors
/// If it has other characters than visible ASCII, or too many of them.
pub fn check_sent_key(key: &str) -> Result<(), InvalidValue> {
    if key.len() <= MAX_KEY && key.chars().all(|c| c.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(InvalidValue(format!(
            "must have at most {MAX_KEY} visible ASCII characters without spaces: as an API key it is sent in a header"
        )))
    }
}

/// Checks a Manager Key that only signs.
///
/// # Errors
/// If it is too long to be one.
pub fn check_signing_key(key: &str) -> Result<(), InvalidValue> {
    if key.len() <= MAX_KEY {
        Ok(())
    } else {
        Err(InvalidValue(format!("must have at most {MAX_KEY} bytes")))
    }
}

/// Phone number in E.164: `+` and 7 to 15 digits, no leading zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// The number with its `+`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PhoneNumber {
    type Err = InvalidValue;

    fn from_str(raw: &str) -> Result<Self, InvalidValue> {
        let digits = raw.strip_prefix('+').unwrap_or_default();
        let valid = (7..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
        if valid {
            Ok(Self(raw.to_owned()))
        } else {
            Err(InvalidValue(
                "must be a phone number in E.164, e.g. +4930901820: '+', country code, number, no spaces".to_owned(),
            ))
        }
    }
}

/// Whether `http` URLs are accepted beside `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insecure {
    /// Tests and sandboxes: the operator was started with `--allow-insecure-endpoints`.
    Allowed,
    /// Only https.
    Refused,
}

/// An absolute web URL with a host and without user information, query and fragment; no trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebUrl(Url);

impl WebUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// If it is not an absolute https URL (or http where that is allowed), or carries user information, a query or a fragment.
    pub fn parse(raw: &str, insecure: Insecure) -> Result<Self, InvalidValue> {
        let url = Url::parse(raw).map_err(|error| InvalidValue(format!("must be an absolute https URL: {error}")))?;
        match (url.scheme(), insecure) {
            ("https", _) | ("http", Insecure::Allowed) => {}
            ("http", Insecure::Refused) => {
                return Err(InvalidValue(
                    "must be https; http is only for tests, with an operator started with --allow-insecure-endpoints".to_owned(),
                ));
            }
            _ => return Err(InvalidValue("must be an https URL".to_owned())),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidValue("must not contain a user name or password".to_owned()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidValue("must not contain a query ('?') or a fragment ('#')".to_owned()));
        }
        match url.host_str() {
            None | Some("") => Err(InvalidValue("must contain a host".to_owned())),
            // The same host by another name: whoever compares names must not see two.
            Some(host) if host.ends_with('.') => Err(InvalidValue("must not have a dot at the end of its host".to_owned())),
            Some(_) => Ok(Self(url)),
        }
    }

    /// The URL without a trailing slash.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// Scheme, host and port, as in the `Origin` header.
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// The path, without a trailing slash; empty for the root.
    pub fn path(&self) -> &str {
        self.0.path().trim_end_matches('/')
    }

    /// Host name or address, without brackets.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default().trim_matches(['[', ']'])
    }

    /// The address, if the host is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self.0.host()? {
            url::Host::Ipv4(address) => Some(address.into()),
            url::Host::Ipv6(address) => Some(address.into()),
            url::Host::Domain(_) => None,
        }
    }
}

impl Serialize for WebUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The unique name by which the manager remembers whose an object is: `<installation>/<kind>/<namespace>/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference(String);

impl Reference {
    /// Puts a reference together. No part may contain a slash, which Kubernetes names never do.
    pub fn new(installation: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self(format!("{installation}/{kind}/{namespace}/{name}"))
    }

    /// The reference as the manager stores it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Our claim on a remote object: the reference, and the UID of the resource that claims it at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Whose it is.
    pub reference: Reference,
    /// UID of the claiming resource, to tell two incarnations of a name apart. None: it has let go.
    pub claimant: Option<String>,
}

/// Names one rotation of a generated secret to the manager. Follows from what was asked for, and says nothing about it:
/// whatever a person wrote, it is short and safe to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationToken(String);

impl RotationToken {
    /// The token of a request for the object with this mark. An object that is applied again, or restored, asks by the same one.
    pub fn of(mark: &Mark, request: &str) -> Self {
        let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        for part in [mark.reference.as_str(), "\n", request] {
            hash.update(part.as_bytes());
        }
        let digest = hash.finish();
        Self(URL_SAFE_NO_PAD.encode(digest.as_ref()))
    }

    /// The token as it is sent: 43 characters of `A-Z a-z 0-9 - _`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phone_numbers_are_e164() {
        assert!("+4930901820".parse::<PhoneNumber>().is_ok());
        for bad in ["", "4930901820", "+0301234567", "+49 30 901820", "+123", "+1234567890123456"] {
            assert!(bad.parse::<PhoneNumber>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_are_safe_in_paths() {
        assert!("cn_01-a.b~c".parse::<RemoteId>().is_ok());
        for bad in ["", "a/b", "..", "a b", "a%2fb", "a\nb", &"x".repeat(129)] {
            assert!(bad.parse::<RemoteId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_sent_in_a_header_breaks_no_line() {
        assert!("mgr-1.a~b".parse::<ManagerId>().is_ok());
        for bad in ["", "a b", "a/b", "a\r\nx: y", "a\u{1b}[31m", "ä", &"x".repeat(129)] {
            assert!(bad.parse::<ManagerId>().is_err(), "{bad}");
        }
        assert!(check_sent_key("mk_0123+/=").is_ok());
        for bad in ["a b", "a\r\nx: y", "a\nb", "a\0b", "ä", &"x".repeat(MAX_KEY + 1)] {
            assert!(check_sent_key(bad).is_err(), "{bad}");
        }
        assert!(check_signing_key("any text\nat all: ä").is_ok());
        assert!(check_signing_key(&"x".repeat(MAX_KEY + 1)).is_err());
    }

    #[test]
    fn a_rotation_token_is_of_one_object_and_one_request_and_bounded() {
        let mark = |name: &str, claimant: &str| Mark {
            reference: Reference::new("test", "ChannelConnection", "shop", name),
            claimant: Some(claimant.to_owned()),
        };
        let token = RotationToken::of(&mark("web", "uid"), "1");
        assert_eq!(token, RotationToken::of(&mark("web", "another uid"), "1"));
        assert_ne!(token, RotationToken::of(&mark("web", "uid"), "2"));
        assert_ne!(token, RotationToken::of(&mark("sms", "uid"), "1"));
        let hostile = RotationToken::of(&mark("web", "uid"), &"\r\n😀".repeat(100_000));
        assert_eq!(hostile.as_str().len(), 43);
        assert!(hostile.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
    }

    #[test]
    fn urls_are_https_unless_allowed() {
        assert_eq!(
            WebUrl::parse("https://a.example/x/", Insecure::Refused).unwrap().as_str(),
            "https://a.example/x"
        );
        assert!(
            WebUrl::parse("http://a.example", Insecure::Refused)
                .unwrap_err()
                .0
                .contains("--allow-insecure-endpoints")
        );
        assert!(WebUrl::parse("http://a.example", Insecure::Allowed).is_ok());
        for bad in [
            "ftp://a.example",
            "https://u:p@a.example",
            "https://a.example/?x",
            "https://a.example/#x",
            "a.example",
            "https://",
            "https://a.example./",
        ] {
            assert!(WebUrl::parse(bad, Insecure::Allowed).is_err(), "{bad}");
        }
        let url = WebUrl::parse("https://[::1]:8443/x", Insecure::Refused).unwrap();
        assert_eq!((url.host(), url.origin().as_str()), ("::1", "https://[::1]:8443"));
        assert!(url.address().unwrap().is_loopback());
    }
}
