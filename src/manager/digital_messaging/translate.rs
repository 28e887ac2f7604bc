// SPDX-License-Identifier: Apache-2.0

//! Wire types of the contract to types of the port, and back.

use std::sync::Arc;

use contract::{channel as wire, interface as wire_interface};
use digital_messaging_contract as contract;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::call::LenientAccount;
use crate::manager::{
    capabilities::{ChannelKind, Support},
    error::{Class, Error, Outage, one_line},
    observed::{Claim, ConnectionState, Identity, ObservedConnection, ObservedInterface, Widget},
    settings::{
        AppleMessages, BotSettings, ChannelSettings, ClientChannel, ConnectionSettings, Escalation, FacebookMessenger, Heading,
        InterfaceSettings, MenuEntry, ResponseCommand, SessionInitialization, Sms, SwitchPlacement, Switching, SystemResponses,
        TwilioSms, TwitterDirectMessage, WebMessaging, WhatsApp, WhatsAppProvider,
    },
    values::{Insecure, InvalidValue, Mark, RemoteId, RotationToken, WebUrl},
    write::ChannelSecrets,
};

pub(super) fn identity(account: LenientAccount) -> Identity {
    let channels = account
        .channels
        .into_iter()
        .filter_map(|offer| serde_json::from_value::<contract::account::ChannelOffer>(offer).ok())
        .map(|offer| (channel_kind(offer.channel_type), support(offer.support)))
        .collect();
    Identity {
        manager_id: account.manager_id,
        name: one_line(&account.name, 100),
        region: one_line(&account.region, 64),
        api_version: one_line(&account.api_version, 32),
        channels,
        unique_references: account.unique_references.unwrap_or(true),
    }
}

fn support(support: contract::account::ChannelSupport) -> Support {
    match support {
        contract::account::ChannelSupport::Create => Support::Create,
        contract::account::ChannelSupport::AdoptOnly => Support::AdoptOnly,
        contract::account::ChannelSupport::Unsupported => Support::Unsupported,
    }
}

fn channel_kind(channel: wire::ChannelType) -> ChannelKind {
    match channel {
        wire::ChannelType::WebMessaging => ChannelKind::WebMessaging,
        wire::ChannelType::ClientChannel => ChannelKind::ClientChannel,
        wire::ChannelType::FacebookMessenger => ChannelKind::FacebookMessenger,
        wire::ChannelType::WhatsApp => ChannelKind::WhatsApp,
        wire::ChannelType::Sms => ChannelKind::Sms,
        wire::ChannelType::AppleMessages => ChannelKind::AppleMessages,
        wire::ChannelType::TwitterDirectMessage => ChannelKind::TwitterDirectMessage,
    }
}

fn unusable(field: &str, error: &InvalidValue) -> Error {
    Error::new(
        Class::Unavailable(Outage::UnexpectedResponse),
        format!("the manager reports a value of {field} that cannot be: {error}"),
    )
}

fn remote_id(raw: &str) -> Result<RemoteId, Error> {
    raw.parse().map_err(|error| unusable("id", &error))
}

/// What is observed may be http: someone allowed it at the manager.
fn web_url(field: &str, raw: &str) -> Result<WebUrl, Error> {
    WebUrl::parse(raw, Insecure::Allowed).map_err(|error| unusable(field, &error))
}

pub(super) fn interface(wire: wire_interface::Interface) -> Result<Arc<ObservedInterface>, Error> {
    let spec = wire.spec;
    Ok(Arc::new(ObservedInterface {
        id: remote_id(&wire.id)?,
        claim: Claim {
            reference: spec.external_reference,
            claimant: spec.claimant,
        },
        settings: InterfaceSettings {
            display_name: spec.display_name,
            description: spec.description,
            template_operator: spec.template_operator,
            base_url: web_url("baseUrl", &spec.base_url)?,
            bot: Some(bot(spec.bot)),
        },
        callback_url: one_line(&wire.callback_url, 1024),
        revision: wire.revision,
    }))
}

fn bot(wire: wire_interface::Bot) -> BotSettings {
    let responses = wire.system_responses;
    BotSettings {
        languages: Some(wire.languages),
        system_responses: Some(SystemResponses {
            welcome: responses.welcome,
            no_match: responses.no_match,
            multiple_match: responses.multiple_match,
            error: responses.error,
            authentication_prompt: responses.authentication_prompt,
        }),
        response_commands: Some(
            wire.response_commands
                .into_iter()
                .map(|command| ResponseCommand {
                    name: command.name,
                    triggers: command.triggers,
                    texts: command.texts,
                    menu: command
                        .menu
                        .into_iter()
                        .map(|entry| MenuEntry {
                            label: entry.label,
                            payload: entry.payload,
                        })
                        .collect(),
                })
                .collect(),
        ),
        escalation: Some(Escalation {
            after_no_matches: Some(wire.escalation.after_no_matches),
        }),
    }
}

pub(super) fn connection(wire: contract::connection::Connection) -> Result<Arc<ObservedConnection>, Error> {
    Ok(Arc::new(ObservedConnection {
        id: remote_id(&wire.id)?,
        interface_id: remote_id(&wire.interface_id)?,
        claim: Claim {
            reference: wire.external_reference,
            claimant: wire.claimant,
        },
        settings: ConnectionSettings {
            display_name: wire.display_name,
            channel: channel(wire.channel)?,
        },
        state: match wire.state {
            contract::connection::ConnectionState::Active => ConnectionState::Active,
            contract::connection::ConnectionState::PendingAuthorization => ConnectionState::PendingAuthorization,
            contract::connection::ConnectionState::Failed => ConnectionState::Failed,
        },
        state_message: wire.state_message.map(|message| one_line(&message, 512)),
        webhook_url: wire.webhook_url.map(|url| one_line(&url, 1024)),
        widget: wire.widget.map(|widget| Widget {
            id: one_line(&widget.id, 128),
            script_url: one_line(&widget.script_url, 1024),
        }),
        has_generated_secret: wire.has_jwt_secret,
        rotation: wire.jwt_secret_rotation.map(|token| one_line(&token, 128)),
        revision: wire.revision,
    }))
}

fn channel(wire: wire::Channel) -> Result<ChannelSettings, Error> {
    Ok(match wire {
        wire::Channel::WebMessaging(it) => ChannelSettings::WebMessaging(WebMessaging {
            primary_color: Some(it.primary_color),
            headings: Some(
                it.headings
                    .into_iter()
                    .map(|it| Heading {
                        language: it.language,
                        text: it.text,
                    })
                    .collect(),
            ),
            logo_url: it.logo_url.map(|url| web_url("logoUrl", &url)).transpose()?,
            allowed_domains: Some(it.allowed_domains),
            allowed_cookies: Some(it.allowed_cookies),
            session_initialization: Some(match it.session_initialization {
                wire::SessionInitialization::Automatic => SessionInitialization::Automatic,
                wire::SessionInitialization::Controlled => SessionInitialization::Controlled,
            }),
            switching: it.switching.as_ref().map(switching).transpose()?,
        }),
        wire::Channel::ClientChannel(it) => ChannelSettings::ClientChannel(ClientChannel {
            webhook_url: web_url("webhookUrl", &it.webhook_url)?,
        }),
        wire::Channel::FacebookMessenger(it) => ChannelSettings::FacebookMessenger(FacebookMessenger { page_id: it.page_id }),
        wire::Channel::WhatsApp(it) => ChannelSettings::WhatsApp(WhatsApp {
            phone_number: it.phone_number.parse().map_err(|error| unusable("phoneNumber", &error))?,
            provider: match it.provider {
                wire::WhatsAppProvider::Twilio { account_sid } => WhatsAppProvider::Twilio { account_sid },
                wire::WhatsAppProvider::CloudApi {
                    phone_number_id,
                    business_account_id,
                } => WhatsAppProvider::CloudApi {
                    phone_number_id,
                    business_account_id,
                },
            },
        }),
        wire::Channel::Sms(it) => ChannelSettings::Sms(Sms {
            phone_number: it.phone_number.parse().map_err(|error| unusable("phoneNumber", &error))?,
            twilio: TwilioSms {
                account_sid: it.twilio.account_sid,
                messaging_service_sid: it.twilio.messaging_service_sid,
            },
        }),
        wire::Channel::AppleMessages(it) => ChannelSettings::AppleMessages(AppleMessages {
            business_id: it.business_id,
            msp_id: it.msp_id,
        }),
        wire::Channel::TwitterDirectMessage(it) => ChannelSettings::TwitterDirectMessage(TwitterDirectMessage {
            account_handle: it.account_handle,
        }),
    })
}

fn switching(wire: &wire::Switching) -> Result<Switching, Error> {
    Ok(Switching {
        placement: Some(match wire.placement {
            wire::SwitchPlacement::Menu => SwitchPlacement::Menu,
            wire::SwitchPlacement::Header => SwitchPlacement::Header,
        }),
        connections: wire.connection_ids.iter().map(|id| remote_id(id)).collect::<Result<_, _>>()?,
    })
}

pub(super) fn new_interface(mark: &Mark, settings: &InterfaceSettings) -> Value {
    with_mark(interface_body(settings), Some(mark))
}

pub(super) fn interface_patch(
    observed: &ObservedInterface,
    settings: &InterfaceSettings,
    cleared: &[String],
    mark: Option<&Mark>,
) -> Value {
    let mut patch = difference(interface_body(settings), &interface_body(&observed.settings));
    clear(&mut patch, cleared);
    with_mark(patch, mark)
}

/// The words of the resource are those of the contract here.
fn interface_body(settings: &InterfaceSettings) -> Value {
    tree(settings)
}

pub(super) fn new_connection(
    interface: &RemoteId,
    mark: &Mark,
    settings: &ConnectionSettings,
    secrets: &ChannelSecrets,
) -> Value {
    let mut body = with_mark(connection_body(settings), Some(mark));
    insert(&mut body, "interfaceId", json!(interface));
    with_secrets(body, Some(secrets))
}

pub(super) fn connection_patch(
    observed: &ObservedConnection,
    settings: &ConnectionSettings,
    cleared: &[String],
    secrets: Option<&ChannelSecrets>,
    mark: Option<&Mark>,
) -> Value {
    let mut patch = difference(connection_body(settings), &connection_body(&observed.settings));
    let cleared: Vec<String> = cleared
        .iter()
        .filter_map(|pointer| cleared_on_the_wire(pointer, settings))
        .collect();
    clear(&mut patch, &cleared);
    with_secrets(with_mark(patch, mark), secrets)
}

pub(super) fn rotation(token: &RotationToken) -> Value {
    json!({ "token": token.as_str() })
}

/// Where a setting of a connection that returns to the manager's default is on the wire, if it is for itself there.
fn cleared_on_the_wire(pointer: &str, settings: &ConnectionSettings) -> Option<String> {
    let Some(inner) = pointer.strip_prefix(&format!("/channel/{}/", settings.channel.kind())) else {
        return Some(pointer.to_owned());
    };
    match &settings.channel {
        // The contract has the provider as one tagged member, which the other provider replaces.
        ChannelSettings::WhatsApp(_) => None,
        // And the targets of switching under another name; without a target there is no switching.
        ChannelSettings::WebMessaging(web) if inner.starts_with("switching/") => match (&web.switching, inner) {
            (None, _) => Some("/channel/switching".to_owned()),
            (Some(_), "switching/placement") => Some("/channel/switching/placement".to_owned()),
            (Some(_), _) => None,
        },
        _ => Some(format!("/channel/{inner}")),
    }
}

/// The contract tags the channel with a `type` beside its settings, where the resource names a member after the type.
fn connection_body(settings: &ConnectionSettings) -> Value {
    let mut channel = match &settings.channel {
        ChannelSettings::WebMessaging(it) => {
            let mut body = tree(&WebMessaging {
                session_initialization: None,
                switching: None,
                ..it.clone()
            });
            if let Some(initialization) = it.session_initialization {
                let word = match initialization {
                    SessionInitialization::Automatic => "automatic",
                    SessionInitialization::Controlled => "controlled",
                };
                insert(&mut body, "sessionInitialization", json!(word));
            }
            if let Some(switching) = &it.switching {
                let mut target = json!({ "connectionIds": switching.connections });
                if let Some(placement) = switching.placement {
                    let word = match placement {
                        SwitchPlacement::Menu => "menu",
                        SwitchPlacement::Header => "header",
                    };
                    insert(&mut target, "placement", json!(word));
                }
                insert(&mut body, "switching", target);
            }
            body
        }
        ChannelSettings::WhatsApp(it) => {
            let provider = match &it.provider {
                WhatsAppProvider::Twilio { account_sid } => json!({ "type": "twilio", "accountSid": account_sid }),
                WhatsAppProvider::CloudApi {
                    phone_number_id,
                    business_account_id,
                } => {
                    json!({ "type": "cloudApi", "phoneNumberId": phone_number_id, "businessAccountId": business_account_id })
                }
            };
            json!({ "phoneNumber": it.phone_number, "provider": provider })
        }
        ChannelSettings::ClientChannel(it) => tree(it),
        ChannelSettings::FacebookMessenger(it) => tree(it),
        ChannelSettings::Sms(it) => tree(it),
        ChannelSettings::AppleMessages(it) => tree(it),
        ChannelSettings::TwitterDirectMessage(it) => tree(it),
    };
    insert(&mut channel, "type", json!(settings.channel.kind()));
    json!({ "displayName": settings.display_name, "channel": channel })
}

/// Settings serialise into maps of strings; that cannot fail.
fn tree(settings: &impl Serialize) -> Value {
    serde_json::to_value(settings).unwrap_or_default()
}

fn insert(body: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = body {
        members.insert(name.to_owned(), value);
    }
}

fn with_mark(mut body: Value, mark: Option<&Mark>) -> Value {
    if let Some(mark) = mark {
        insert(&mut body, "externalReference", json!(mark.reference.as_str()));
        insert(&mut body, "claimant", json!(mark.claimant));
    }
    body
}

fn with_secrets(mut body: Value, secrets: Option<&ChannelSecrets>) -> Value {
    if let Some(secrets) = secrets.filter(|secrets| !secrets.is_empty()) {
        let members: Map<String, Value> = secrets
            .iter()
            .map(|(name, value)| (name.clone(), json!(value.expose_secret())))
            .collect();
        insert(&mut body, "secrets", members.into());
    }
    body
}

/// The merge patch that brings `observed` to `desired`: members of `desired` that differ.
///
/// A union member (`type` differs) is sent whole, with `null` for the members of the old kind.
fn difference(desired: Value, observed: &Value) -> Value {
    let (Value::Object(desired), Value::Object(observed)) = (desired, observed) else {
        return Value::Object(Map::new());
    };
    let switches_kind = desired.get("type") != observed.get("type");
    let mut patch = Map::new();
    if switches_kind {
        patch.extend(
            observed
                .keys()
                .filter(|name| !desired.contains_key(*name))
                .map(|name| (name.clone(), Value::Null)),
        );
    }
    for (name, wanted) in desired {
        match observed.get(&name) {
            Some(present) if *present == wanted => {}
            Some(present @ Value::Object(_)) if wanted.is_object() => {
                let inner = difference(wanted, present);
                if inner.as_object().is_some_and(|inner| !inner.is_empty()) {
                    patch.insert(name, inner);
                }
            }
            _ => {
                patch.insert(name, wanted);
            }
        }
    }
    Value::Object(patch)
}

/// Sets the members at these pointers to `null`: back to the manager's default.
fn clear(patch: &mut Value, pointers: &[String]) {
    for pointer in pointers {
        let mut place = &mut *patch;
        let mut names = pointer.split('/').skip(1).peekable();
        while let Some(name) = names.next() {
            let Value::Object(members) = place else { break };
            let last = names.peek().is_none();
            let slot = members.entry(name.to_owned()).or_insert_with(|| Value::Object(Map::new()));
            if last {
                *slot = Value::Null;
            }
            place = slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whatsapp(number: &str, provider: WhatsAppProvider) -> ConnectionSettings {
        ConnectionSettings {
            display_name: "Support".to_owned(),
            channel: ChannelSettings::WhatsApp(WhatsApp {
                phone_number: number.parse().unwrap(),
                provider,
            }),
        }
    }

    fn observed(settings: ConnectionSettings) -> ObservedConnection {
        ObservedConnection {
            id: "cn_1".parse().unwrap(),
            interface_id: "if_1".parse().unwrap(),
            claim: Claim::default(),
            settings,
            state: ConnectionState::Active,
            state_message: None,
            webhook_url: None,
            widget: None,
            has_generated_secret: false,
            rotation: None,
            revision: 1,
        }
    }

    #[test]
    fn a_patch_holds_what_differs_and_nothing_else() {
        let twilio = || WhatsAppProvider::Twilio {
            account_sid: "AC1".to_owned(),
        };
        let before = observed(whatsapp("+4930901820", twilio()));
        let mut after = whatsapp("+4930901820", twilio());
        assert_eq!(connection_patch(&before, &after, &[], None, None), json!({}));
        after.display_name = "Help".to_owned();
        assert_eq!(
            connection_patch(&before, &after, &[], None, None),
            json!({ "displayName": "Help" })
        );
    }

    #[test]
    fn a_provider_is_switched_as_a_whole() {
        let before = observed(whatsapp(
            "+4930901820",
            WhatsAppProvider::Twilio {
                account_sid: "AC1".to_owned(),
            },
        ));
        let provider = WhatsAppProvider::CloudApi {
            phone_number_id: "1".to_owned(),
            business_account_id: "2".to_owned(),
        };
        let patch = connection_patch(&before, &whatsapp("+4930901820", provider), &[], None, None);
        let expected = json!({ "channel": { "provider":
            { "type": "cloudApi", "phoneNumberId": "1", "businessAccountId": "2", "accountSid": null } } });
        assert_eq!(patch, expected);
    }

    #[test]
    fn a_cleared_field_is_null_at_its_place_on_the_wire() {
        let web = |logo: Option<&str>| ConnectionSettings {
            display_name: "Web".to_owned(),
            channel: ChannelSettings::WebMessaging(WebMessaging {
                logo_url: logo.map(|url| WebUrl::parse(url, Insecure::Refused).unwrap()),
                ..WebMessaging::default()
            }),
        };
        let before = observed(web(Some("https://acme.example/logo.png")));
        let patch = connection_patch(&before, &web(None), &["/channel/webMessaging/logoUrl".to_owned()], None, None);
        assert_eq!(patch, json!({ "channel": { "logoUrl": null } }));
    }

    #[test]
    fn removed_switching_is_removed_as_a_whole() {
        let web = |switching: Option<Switching>| ConnectionSettings {
            display_name: "Web".to_owned(),
            channel: ChannelSettings::WebMessaging(WebMessaging {
                switching,
                ..WebMessaging::default()
            }),
        };
        let switching = |placement| Switching {
            placement,
            connections: vec!["cn_2".parse().unwrap()],
        };
        let before = observed(web(Some(switching(Some(SwitchPlacement::Header)))));
        let placement = "/channel/webMessaging/switching/placement".to_owned();
        let both = ["/channel/webMessaging/switching/connections".to_owned(), placement.clone()];
        let patch = connection_patch(&before, &web(None), &both, None, None);
        assert_eq!(patch, json!({ "channel": { "switching": null } }));
        let patch = connection_patch(&before, &web(Some(switching(None))), &[placement], None, None);
        assert_eq!(patch, json!({ "channel": { "switching": { "placement": null } } }));
    }

    #[test]
    fn the_former_provider_of_whatsapp_is_not_cleared_beside_the_new_one() {
        let twilio = WhatsAppProvider::Twilio {
            account_sid: "AC1".to_owned(),
        };
        let cloud = WhatsAppProvider::CloudApi {
            phone_number_id: "1".to_owned(),
            business_account_id: "2".to_owned(),
        };
        let before = observed(whatsapp("+4930901820", twilio));
        let cleared = ["/channel/whatsApp/twilio/accountSid".to_owned()];
        let patch = connection_patch(&before, &whatsapp("+4930901820", cloud), &cleared, None, None);
        assert_eq!(patch["channel"].as_object().unwrap().keys().collect::<Vec<_>>(), ["provider"]);
    }

    #[test]
    fn wire_and_port_agree_on_every_channel() {
        let samples = json!([
            { "type": "webMessaging", "primaryColor": "#0b5cad", "headings": [{ "language": "en", "text": "Hi" }], "allowedDomains": ["a.example"],
              "allowedCookies": [], "sessionInitialization": "controlled", "switching": { "placement": "header", "connectionIds": ["cn_2"] } },
            { "type": "clientChannel", "webhookUrl": "https://acme.example/hook" },
            { "type": "facebookMessenger", "pageId": "1234" },
            { "type": "whatsApp", "phoneNumber": "+4930901820", "provider": { "type": "twilio", "accountSid": "AC1" } },
            { "type": "whatsApp", "phoneNumber": "+4930901820", "provider": { "type": "cloudApi", "phoneNumberId": "1", "businessAccountId": "2" } },
            { "type": "sms", "phoneNumber": "+4930901820", "twilio": { "accountSid": "AC1", "messagingServiceSid": "MG1" } },
            { "type": "appleMessages", "businessId": "b", "mspId": "m" },
            { "type": "twitterDirectMessage", "accountHandle": "acme" },
        ]);
        for sample in samples.as_array().unwrap() {
            let parsed: wire::Channel = serde_json::from_value(sample.clone()).unwrap();
            let settings = ConnectionSettings {
                display_name: "x".to_owned(),
                channel: channel(parsed).unwrap(),
            };
            assert_eq!(connection_body(&settings)["channel"], *sample);
        }
    }
}
