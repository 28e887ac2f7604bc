// SPDX-License-Identifier: Apache-2.0

//! The settable part of interfaces and connections, in the words of the resources.
//!
//! The same types say what is desired and what is observed. Desired ones leave out what the user left out
//! (the manager's default, not managed); observed ones are complete. Serialised, their JSON Pointers are those
//! of the resource's `spec`, which is how plans, drift and error messages name a field.

use serde::Serialize;

use super::{
    capabilities::ChannelKind,
    values::{PhoneNumber, RemoteId, WebUrl},
};

/// Settings of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceSettings {
    /// Name for people.
    pub display_name: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The account that is the template for the account of each end customer.
    pub template_operator: String,
    /// Root of the messaging application.
    pub base_url: WebUrl,
    /// The bot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bot: Option<BotSettings>,
}

/// Settings of the bot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BotSettings {
    /// BCP 47 tags, the default language first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub languages: Option<Vec<String>>,
    /// Texts the bot says on its own account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_responses: Option<SystemResponses>,
    /// What the bot does on command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_commands: Option<Vec<ResponseCommand>>,
    /// When to hand over to a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalation: Option<Escalation>,
}

/// Texts the bot says on its own account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemResponses {
    /// At the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub welcome: Option<String>,
    /// When nothing matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_match: Option<String>,
    /// When more than one thing matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiple_match: Option<String>,
    /// When the bot fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the customer must sign in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication_prompt: Option<String>,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseCommand {
    /// Unique in the interface.
    pub name: String,
    /// What sets it off.
    pub triggers: Vec<String>,
    /// The answers.
    pub texts: Vec<String>,
    /// Choices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub menu: Vec<MenuEntry>,
}

/// One choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MenuEntry {
    /// What the customer sees.
    pub label: String,
    /// What is sent; the label if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

/// When to hand over to a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Escalation {
    /// After this many messages in a row that match nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_no_matches: Option<u32>,
}

/// Settings of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionSettings {
    /// Name for people.
    pub display_name: String,
    /// The channel.
    pub channel: ChannelSettings,
}

/// Settings of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ChannelSettings {
    /// See [`WebMessaging`].
    WebMessaging(WebMessaging),
    /// See [`ClientChannel`].
    ClientChannel(ClientChannel),
    /// See [`FacebookMessenger`].
    FacebookMessenger(FacebookMessenger),
    /// See [`WhatsApp`].
    WhatsApp(WhatsApp),
    /// See [`Sms`].
    Sms(Sms),
    /// See [`AppleMessages`].
    AppleMessages(AppleMessages),
    /// See [`TwitterDirectMessage`].
    TwitterDirectMessage(TwitterDirectMessage),
}

impl ChannelSettings {
    /// The channel type.
    pub fn kind(&self) -> ChannelKind {
        match self {
            Self::WebMessaging(_) => ChannelKind::WebMessaging,
            Self::ClientChannel(_) => ChannelKind::ClientChannel,
            Self::FacebookMessenger(_) => ChannelKind::FacebookMessenger,
            Self::WhatsApp(_) => ChannelKind::WhatsApp,
            Self::Sms(_) => ChannelKind::Sms,
            Self::AppleMessages(_) => ChannelKind::AppleMessages,
            Self::TwitterDirectMessage(_) => ChannelKind::TwitterDirectMessage,
        }
    }
}

impl ConnectionSettings {
    /// What the outside world knows the channel by: page, number, business ID, handle, or the name of a client channel.
    pub fn natural_key(&self) -> Option<NaturalKey> {
        let value = match &self.channel {
            ChannelSettings::WebMessaging(_) => return None,
            ChannelSettings::ClientChannel(_) => &self.display_name,
            ChannelSettings::FacebookMessenger(channel) => &channel.page_id,
            ChannelSettings::WhatsApp(channel) => channel.phone_number.as_str(),
            ChannelSettings::Sms(channel) => channel.phone_number.as_str(),
            ChannelSettings::AppleMessages(channel) => &channel.business_id,
            ChannelSettings::TwitterDirectMessage(channel) => &channel.account_handle,
        };
        Some(NaturalKey {
            channel: self.channel.kind(),
            value: value.to_owned(),
        })
    }
}

/// What the outside world knows a channel by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NaturalKey {
    /// The namespace of the value: a number may have WhatsApp and SMS.
    pub channel: ChannelKind,
    /// Page ID, phone number, business ID, handle or name.
    pub value: String,
}

/// A chat widget on web sites.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebMessaging {
    /// `#rrggbb`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_color: Option<String>,
    /// One per language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headings: Option<Vec<Heading>>,
    /// URL of the logo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo_url: Option<WebUrl>,
    /// Hosts the widget loads on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_domains: Option<Vec<String>>,
    /// Cookies the widget may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_cookies: Option<Vec<String>>,
    /// Who starts a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_initialization: Option<SessionInitialization>,
    /// Where a customer may move to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switching: Option<Switching>,
}

/// Heading in one language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Heading {
    /// BCP 47 tag.
    pub language: String,
    /// The heading.
    pub text: String,
}

/// Who starts a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum SessionInitialization {
    /// The widget.
    Automatic,
    /// The web site's server.
    Controlled,
}

/// Where a customer may move to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Switching {
    /// Where the choice is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<SwitchPlacement>,
    /// The other connections.
    pub connections: Vec<RemoteId>,
}

/// Where the choice is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum SwitchPlacement {
    /// Menu at the top right.
    Menu,
    /// Header.
    Header,
}

/// A channel of the customer's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientChannel {
    /// Where the manager delivers messages.
    pub webhook_url: WebUrl,
}

/// Facebook Messenger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FacebookMessenger {
    /// Numeric.
    pub page_id: String,
}

/// WhatsApp.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WhatsApp {
    /// The number.
    pub phone_number: PhoneNumber,
    /// Who carries the messages.
    #[serde(flatten)]
    pub provider: WhatsAppProvider,
}

/// Who carries WhatsApp messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum WhatsAppProvider {
    /// Twilio.
    Twilio {
        /// `AC…`
        account_sid: String,
    },
    /// Meta's Cloud API.
    CloudApi {
        /// Meta's ID of the number.
        phone_number_id: String,
        /// WhatsApp Business Account.
        business_account_id: String,
    },
}

/// SMS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sms {
    /// The number.
    pub phone_number: PhoneNumber,
    /// The Twilio account.
    pub twilio: TwilioSms,
}

/// Twilio account for SMS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TwilioSms {
    /// `AC…`
    pub account_sid: String,
    /// `MG…`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messaging_service_sid: Option<String>,
}

/// Apple Messages for Business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppleMessages {
    /// From Apple's register.
    pub business_id: String,
    /// Messaging service provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msp_id: Option<String>,
}

/// X (Twitter) direct messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TwitterDirectMessage {
    /// Without the `@`.
    pub account_handle: String,
}
