// SPDX-License-Identifier: Apache-2.0

//! Raw spec to settings that cannot hold an invalid value. Pure.

use crate::{
    api::{Channel, ChannelConnection, channel as api},
    controller::{
        reason::Reason,
        trouble::{Stop, Trouble},
    },
    manager::{
        settings::{
            AppleMessages, ChannelSettings, ClientChannel, ConnectionSettings, FacebookMessenger, Heading, SessionInitialization,
            Sms, SwitchPlacement, Switching, TwilioSms, TwitterDirectMessage, WebMessaging, WhatsApp, WhatsAppProvider,
        },
        values::{Insecure, InvalidValue, PhoneNumber, WebUrl},
    },
};

use super::dereference::{References, Targets};

pub(super) fn settings(
    connection: &ChannelConnection,
    references: &References,
    insecure: Insecure,
) -> Result<ConnectionSettings, Stop> {
    Ok(channel(&connection.spec.channel, &references.targets, insecure)
        .map(|channel| ConnectionSettings {
            display_name: connection.display_name().into_owned(),
            channel,
        })
        .map_err(|(field, error)| Trouble::new(Reason::InvalidSpec, format!("spec.channel.{field} {error}")))?)
}

type Wrong = (&'static str, InvalidValue);

fn channel(channel: &Channel, targets: &Targets, insecure: Insecure) -> Result<ChannelSettings, Wrong> {
    let url = |field, raw: &str| WebUrl::parse(raw, insecure).map_err(|error| (field, error));
    let phone = |field, raw: &str| raw.parse::<PhoneNumber>().map_err(|error| (field, error));
    Ok(match channel {
        Channel::WebMessaging(it) => ChannelSettings::WebMessaging(WebMessaging {
            primary_color: it.primary_color.clone(),
            headings: it.headings.as_ref().map(|headings| headings.iter().map(heading).collect()),
            logo_url: it
                .logo_url
                .as_deref()
                .map(|raw| url("webMessaging.logoUrl", raw))
                .transpose()?,
            allowed_domains: it.allowed_domains.clone(),
            allowed_cookies: it.allowed_cookies.clone(),
            session_initialization: it.session_initialization.map(|it| match it {
                api::SessionInitialization::Automatic => SessionInitialization::Automatic,
                api::SessionInitialization::Controlled => SessionInitialization::Controlled,
            }),
            switching: it.switching.as_ref().map(|switching| self::switching(switching, targets)),
        }),
        Channel::ClientChannel(it) => ChannelSettings::ClientChannel(ClientChannel {
            webhook_url: url("clientChannel.webhookUrl", &it.webhook_url)?,
        }),
        Channel::FacebookMessenger(it) => ChannelSettings::FacebookMessenger(FacebookMessenger {
            page_id: it.page_id.clone(),
        }),
        Channel::WhatsApp(it) => ChannelSettings::WhatsApp(WhatsApp {
            phone_number: phone("whatsApp.phoneNumber", &it.phone_number)?,
            provider: provider(it)?,
        }),
        Channel::Sms(it) => ChannelSettings::Sms(Sms {
            phone_number: phone("sms.phoneNumber", &it.phone_number)?,
            twilio: TwilioSms {
                account_sid: it.twilio.account_sid.clone(),
                messaging_service_sid: it.twilio.messaging_service_sid.clone(),
            },
        }),
        Channel::AppleMessages(it) => ChannelSettings::AppleMessages(AppleMessages {
            business_id: it.business_id.clone(),
            msp_id: it.msp_id.clone(),
        }),
        Channel::TwitterDirectMessage(it) => ChannelSettings::TwitterDirectMessage(TwitterDirectMessage {
            account_handle: it.account_handle.clone(),
        }),
    })
}

fn heading(heading: &api::Heading) -> Heading {
    Heading {
        language: heading.language.clone(),
        text: heading.text.clone(),
    }
}

/// In the order of the spec, without those that do not exist yet.
fn switching(switching: &api::Switching, targets: &Targets) -> Switching {
    Switching {
        placement: switching.placement.map(|it| match it {
            api::SwitchPlacement::Menu => SwitchPlacement::Menu,
            api::SwitchPlacement::Header => SwitchPlacement::Header,
        }),
        connections: switching
            .connections
            .iter()
            .filter_map(|target| targets.found.get(&target.name).cloned())
            .collect(),
    }
}

fn provider(channel: &api::WhatsApp) -> Result<WhatsAppProvider, Wrong> {
    match (&channel.twilio, &channel.cloud_api) {
        (Some(twilio), None) => Ok(WhatsAppProvider::Twilio {
            account_sid: twilio.account_sid.clone(),
        }),
        (None, Some(cloud)) => Ok(WhatsAppProvider::CloudApi {
            phone_number_id: cloud.phone_number_id.clone(),
            business_account_id: cloud.business_account_id.clone(),
        }),
        _ => Err((
            "whatsApp",
            InvalidValue("needs exactly one of twilio and cloudApi".to_owned()),
        )),
    }
}
