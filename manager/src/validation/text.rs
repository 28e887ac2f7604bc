// SPDX-License-Identifier: Apache-2.0

//! The shapes of single values.

/// An international phone number as E.164 writes it.
pub(super) fn is_e164(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0')
    })
}

/// A numeric ID as Meta gives them.
pub(super) fn is_numeric_id(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A Twilio ID: two letters that say what it is, and 32 hexadecimal digits.
pub(super) fn is_twilio_sid(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        rest.len() == 32
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

/// The form of a BCP 47 language tag. Whether it is registered is not looked at.
pub(super) fn is_language_tag(text: &str) -> bool {
    let mut parts = text.split('-');
    let primary = parts.next().unwrap_or_default();
    text.len() <= 35
        && (2..=8).contains(&primary.len())
        && primary.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// `#rrggbb`.
pub(super) fn is_color(text: &str) -> bool {
    text.strip_prefix('#')
        .is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A host name, with an optional leading `*.` and an optional port.
pub(super) fn is_domain(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let host = host.strip_prefix("*.").unwrap_or(host);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (1..=253).contains(&host.len()) && host.split('.').all(is_label) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// The name of a cookie (RFC 6265: a token).
pub(super) fn is_cookie_name(text: &str) -> bool {
    (1..=256).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte))
}

/// The handle of an X account, without the `@`.
pub(super) fn is_handle(text: &str) -> bool {
    (1..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shape_takes_what_it_should_and_nothing_else() {
        type Shape = fn(&str) -> bool;
        let sid = format!("AC{}", "0123456789abcdef".repeat(2));
        let cases: [(Shape, &[&str], &[&str]); 8] = [
            (
                is_e164,
                &["+4915112345678", "+1555010"],
                &["4915112345678", "+0151", "+49 151", "+", "+1234567890123456", "+49a5112345"],
            ),
            (
                is_numeric_id,
                &["1", "12345678901234567890"],
                &["", "12a", "123456789012345678901234567890123"],
            ),
            (
                |text| is_twilio_sid(text, "AC"),
                &[&sid],
                &[
                    "AC",
                    "MG0123456789abcdef0123456789abcdef",
                    "AC0123456789ABCDEF0123456789abcdef",
                ],
            ),
            (
                is_language_tag,
                &["en", "de-AT", "zh-Hant-TW"],
                &["", "e", "en-", "en_US", "12"],
            ),
            (is_color, &["#0b5cad", "#FFFFFF"], &["0b5cad", "#fff", "#gggggg"]),
            (
                is_domain,
                &["acme.example", "*.acme.example", "localhost:8080"],
                &["", "https://acme.example", "a b", "acme.example/x", "-a.example", "a:x"],
            ),
            (is_cookie_name, &["session", "a-b_c"], &["", "a b", "a=b", "a;b"]),
            (is_handle, &["acme_help"], &["", "@acme", "acme-help", "sixteen_letters_"]),
        ];
        for (shape, right, wrong) in cases {
            for text in right {
                assert!(shape(text), "{text}");
            }
            for text in wrong {
                assert!(!shape(text), "{text}");
            }
        }
    }
}
