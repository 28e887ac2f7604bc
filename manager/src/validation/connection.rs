// SPDX-License-Identifier: Apache-2.0

//! Connections: channel settings, secrets, and what never changes in their life.

use std::collections::BTreeMap;

use digital_messaging_contract::{
    channel::{
        AppleMessages, Channel, ChannelType, ClientChannel, FacebookMessenger, Sms, TwitterDirectMessage, WebMessaging, WhatsApp,
        WhatsAppProvider,
    },
    connection::{Connection, ConnectionSpec},
    problem::Code,
    secret::SecretValue,
};
use serde_json::Value;

use super::{
    Rules,
    decode::decode,
    findings::Findings,
    interface::languages,
    text::{is_color, is_cookie_name, is_domain, is_e164, is_handle, is_numeric_id, is_twilio_sid},
};
use crate::http::problem::Refusal;

/// Longest secret, in bytes.
const MAX_SECRET: usize = 4096;

/// There is no provider behind the reference manager; this secret is refused as one would.
const REJECTED_SECRET: &str = "rejected-by-provider";

/// Reads and checks a connection.
pub(crate) fn connection(value: Value, rules: Rules) -> Result<ConnectionSpec, Refusal> {
    if let Some(channel) = value.get("channel") {
        check_channel_shape(channel)?;
    }
    let spec: ConnectionSpec = decode(value, "")?;
    let mut findings = Findings::default();
    findings.reference(spec.external_reference.as_ref(), spec.claimant.as_ref());
    findings.length("/interfaceId", &spec.interface_id, 1, 64);
    findings.length("/displayName", &spec.display_name, 1, 100);
    channel(&mut findings, &spec.channel, rules);
    secrets(&mut findings, &spec);
    findings.into_result(Code::ValidationFailed)?;
    let mut rejected = Findings::default();
    for (name, secret) in &spec.secrets {
        let is_rejected = *secret == SecretValue::from(REJECTED_SECRET);
        rejected.require(!is_rejected, format!("/secrets/{name}"), "the provider refused it");
    }
    rejected.into_result(Code::CredentialsRejected)?;
    Ok(spec)
}

/// Refuses a patch of what only a new connection could have.
pub(crate) fn refuse_replacement(current: &Connection, patch: &Value) -> Result<(), Refusal> {
    let mut findings = Findings::default();
    let changed = |value: Option<&Value>, held: &str| value.is_some_and(|value| value.as_str() != Some(held));
    let detail = "never changes in the life of a connection: make a new one";
    findings.require(
        !changed(patch.get("interfaceId"), &current.interface_id),
        "/interfaceId",
        detail,
    );
    let channel = patch.get("channel");
    let removes = channel.is_some_and(Value::is_null);
    let type_changed = changed(
        channel.and_then(|channel| channel.get("type")),
        current.channel.channel_type().as_str(),
    );
    findings.require(!removes && !type_changed, "/channel/type", detail);
    if !type_changed && let (Some(member), Some(key)) = (natural_key_member(&current.channel), current.channel.natural_key()) {
        let natural_key = channel.and_then(|channel| channel.get(member));
        findings.require(!changed(natural_key, key), format!("/channel/{member}"), detail);
    }
    findings.into_result(Code::ReplaceRequired)
}

/// When a patch changes who carries the messages, the secrets of the former one go, unless the patch gives them.
pub(crate) fn forget_unneeded_secrets(target: &mut Value, patch: &Value) {
    let Some(channel) = target
        .get("channel")
        .and_then(|channel| serde_json::from_value::<Channel>(channel.clone()).ok())
    else {
        return;
    };
    let given = patch.get("secrets").and_then(Value::as_object);
    if let Some(secrets) = target.get_mut("secrets").and_then(Value::as_object_mut) {
        secrets.retain(|name, _| {
            channel.required_secrets().contains(&name.as_str()) || given.is_some_and(|given| given.contains_key(name))
        });
    }
}

/// Where the body says what [`Connection`]s are unique by.
pub(crate) fn natural_key_pointer(channel: &Channel) -> String {
    natural_key_member(channel).map_or_else(|| "/displayName".to_owned(), |member| format!("/channel/{member}"))
}

fn natural_key_member(channel: &Channel) -> Option<&'static str> {
    match channel {
        Channel::WebMessaging(_) | Channel::ClientChannel(_) => None,
        Channel::FacebookMessenger(_) => Some("pageId"),
        Channel::WhatsApp(_) | Channel::Sms(_) => Some("phoneNumber"),
        Channel::AppleMessages(_) => Some("businessId"),
        Channel::TwitterDirectMessage(_) => Some("accountHandle"),
    }
}

/// Serde forgets where it is inside a tagged enum, so the settings are read by their own type first.
fn check_channel_shape(channel: &Value) -> Result<(), Refusal> {
    let Some(members) = channel.as_object() else { return Ok(()) };
    let mut settings = members.clone();
    let Some(Value::String(name)) = settings.remove("type") else {
        return Err(Refusal::field(
            Code::ValidationFailed,
            "/channel/type",
            "must be the name of a channel type",
        ));
    };
    let known = ChannelType::ALL
        .into_iter()
        .find(|channel_type| channel_type.as_str() == name);
    let Some(channel_type) = known else {
        return Err(Refusal::field(
            Code::ChannelUnsupported,
            "/channel/type",
            "this manager does not know this channel type",
        ));
    };
    let settings = Value::Object(settings);
    let base = "/channel";
    match channel_type {
        ChannelType::WebMessaging => decode::<WebMessaging>(settings, base).map(drop),
        ChannelType::ClientChannel => decode::<ClientChannel>(settings, base).map(drop),
        ChannelType::FacebookMessenger => decode::<FacebookMessenger>(settings, base).map(drop),
        ChannelType::WhatsApp => decode::<WhatsApp>(settings, base).map(drop),
        ChannelType::Sms => decode::<Sms>(settings, base).map(drop),
        ChannelType::AppleMessages => decode::<AppleMessages>(settings, base).map(drop),
        ChannelType::TwitterDirectMessage => decode::<TwitterDirectMessage>(settings, base).map(drop),
    }
}

fn channel(findings: &mut Findings, channel: &Channel, rules: Rules) {
    match channel {
        Channel::WebMessaging(channel) => web_messaging(findings, channel, rules),
        Channel::ClientChannel(channel) => {
            findings.url("/channel/webhookUrl", &channel.webhook_url, rules);
        }
        Channel::FacebookMessenger(channel) => {
            findings.require(
                is_numeric_id(&channel.page_id),
                "/channel/pageId",
                "must be the numeric ID of a page",
            );
        }
        Channel::WhatsApp(channel) => {
            phone_number(findings, &channel.phone_number);
            whats_app_provider(findings, &channel.provider);
        }
        Channel::Sms(channel) => {
            phone_number(findings, &channel.phone_number);
            twilio_sid(findings, "/channel/twilio/accountSid", &channel.twilio.account_sid, "AC");
            if let Some(sid) = &channel.twilio.messaging_service_sid {
                twilio_sid(findings, "/channel/twilio/messagingServiceSid", sid, "MG");
            }
        }
        Channel::AppleMessages(channel) => {
            findings.length("/channel/businessId", &channel.business_id, 1, 128);
            findings.optional_length("/channel/mspId", channel.msp_id.as_ref(), 1, 128);
        }
        Channel::TwitterDirectMessage(channel) => {
            let detail = "must be a handle of at most 15 letters, digits and '_', without the @";
            findings.require(is_handle(&channel.account_handle), "/channel/accountHandle", detail);
        }
    }
}

fn web_messaging(findings: &mut Findings, channel: &WebMessaging, rules: Rules) {
    findings.require(
        is_color(&channel.primary_color),
        "/channel/primaryColor",
        "must be a colour as #rrggbb",
    );
    findings.count("/channel/headings", &channel.headings, 0, 32);
    let tags = channel
        .headings
        .iter()
        .enumerate()
        .map(|(index, heading)| (format!("/{index}/language"), &heading.language));
    languages(findings, "/channel/headings", tags);
    for (index, heading) in channel.headings.iter().enumerate() {
        findings.length(format!("/channel/headings/{index}/text"), &heading.text, 1, 200);
    }
    if let Some(url) = &channel.logo_url {
        findings.url("/channel/logoUrl", url, rules);
    }
    findings.count("/channel/allowedDomains", &channel.allowed_domains, 0, 100);
    for (index, domain) in channel.allowed_domains.iter().enumerate() {
        let pointer = format!("/channel/allowedDomains/{index}");
        findings.require(
            is_domain(domain),
            pointer,
            "must be a host name, e.g. acme.example or *.acme.example",
        );
    }
    findings.count("/channel/allowedCookies", &channel.allowed_cookies, 0, 100);
    for (index, cookie) in channel.allowed_cookies.iter().enumerate() {
        findings.require(
            is_cookie_name(cookie),
            format!("/channel/allowedCookies/{index}"),
            "must be the name of a cookie",
        );
    }
    if let Some(switching) = &channel.switching {
        findings.count("/channel/switching/connectionIds", &switching.connection_ids, 0, 16);
    }
}

fn whats_app_provider(findings: &mut Findings, provider: &WhatsAppProvider) {
    match provider {
        WhatsAppProvider::Twilio { account_sid } => twilio_sid(findings, "/channel/provider/accountSid", account_sid, "AC"),
        WhatsAppProvider::CloudApi {
            phone_number_id,
            business_account_id,
        } => {
            for (member, id) in [("phoneNumberId", phone_number_id), ("businessAccountId", business_account_id)] {
                findings.require(
                    is_numeric_id(id),
                    format!("/channel/provider/{member}"),
                    "must be a numeric ID",
                );
            }
        }
    }
}

fn phone_number(findings: &mut Findings, number: &str) {
    let detail = "must be an international number in E.164 form, e.g. +4915112345678";
    findings.require(is_e164(number), "/channel/phoneNumber", detail);
}

fn twilio_sid(findings: &mut Findings, pointer: &str, sid: &str, prefix: &str) {
    findings.require(
        is_twilio_sid(sid, prefix),
        pointer,
        format!("must be {prefix} and 32 hexadecimal digits"),
    );
}

fn secrets(findings: &mut Findings, spec: &ConnectionSpec) {
    let (secrets, channel): (&BTreeMap<_, _>, _) = (&spec.secrets, &spec.channel);
    let required = channel.required_secrets();
    let type_name = channel.channel_type().as_str();
    for name in required {
        let detail = format!("missing: {type_name} needs it");
        findings.require(secrets.contains_key(*name), format!("/secrets/{name}"), detail);
    }
    for (name, secret) in secrets {
        let pointer = format!("/secrets/{}", name.replace('~', "~0").replace('/', "~1"));
        let is_known = required.contains(&name.as_str());
        findings.require(is_known, pointer.clone(), format!("{type_name} has no such secret"));
        let fits = (1..=MAX_SECRET).contains(&secret.expose().len());
        findings.require(fits, pointer, format!("must have 1 to {MAX_SECRET} bytes"));
    }
}
