// SPDX-License-Identifier: Apache-2.0

//! The channel types and their settings. Secrets are apart: see [`crate::connection::ConnectionSpec::secrets`].

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The channel types of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ChannelType {
    /// A chat widget on web sites.
    WebMessaging,
    /// A channel of the customer's own, by webhook.
    ClientChannel,
    /// Facebook Messenger.
    FacebookMessenger,
    /// WhatsApp Business.
    WhatsApp,
    /// SMS.
    Sms,
    /// Apple Messages for Business.
    AppleMessages,
    /// X (Twitter) direct messages.
    TwitterDirectMessage,
}

impl ChannelType {
    /// All types, in the order of the contract.
    pub const ALL: [Self; 7] = [
        Self::WebMessaging,
        Self::ClientChannel,
        Self::FacebookMessenger,
        Self::WhatsApp,
        Self::Sms,
        Self::AppleMessages,
        Self::TwitterDirectMessage,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WebMessaging => "webMessaging",
            Self::ClientChannel => "clientChannel",
            Self::FacebookMessenger => "facebookMessenger",
            Self::WhatsApp => "whatsApp",
            Self::Sms => "sms",
            Self::AppleMessages => "appleMessages",
            Self::TwitterDirectMessage => "twitterDirectMessage",
        }
    }
}

/// The settings of a connection's channel. The type never changes in the life of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Channel {
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

impl Channel {
    /// The type of this channel.
    pub fn channel_type(&self) -> ChannelType {
        match self {
            Self::WebMessaging(_) => ChannelType::WebMessaging,
            Self::ClientChannel(_) => ChannelType::ClientChannel,
            Self::FacebookMessenger(_) => ChannelType::FacebookMessenger,
            Self::WhatsApp(_) => ChannelType::WhatsApp,
            Self::Sms(_) => ChannelType::Sms,
            Self::AppleMessages(_) => ChannelType::AppleMessages,
            Self::TwitterDirectMessage(_) => ChannelType::TwitterDirectMessage,
        }
    }

    /// What the outside world knows this channel by; only one connection of an account may have it.
    ///
    /// A phone number, a page ID, a business ID or a handle. None for Web Messaging, and none for a client channel,
    /// whose unique name is the connection's display name.
    pub fn natural_key(&self) -> Option<&str> {
        match self {
            Self::WebMessaging(_) | Self::ClientChannel(_) => None,
            Self::FacebookMessenger(channel) => Some(&channel.page_id),
            Self::WhatsApp(channel) => Some(&channel.phone_number),
            Self::Sms(channel) => Some(&channel.phone_number),
            Self::AppleMessages(channel) => Some(&channel.business_id),
            Self::TwitterDirectMessage(channel) => Some(&channel.account_handle),
        }
    }

    /// Names of the secrets a connection of this channel needs, as members of `secrets`.
    pub fn required_secrets(&self) -> &'static [&'static str] {
        match self {
            Self::WebMessaging(_) | Self::ClientChannel(_) => &[],
            Self::FacebookMessenger(_) => &["pageAccessToken", "appId", "appSecret"],
            Self::WhatsApp(channel) => match channel.provider {
                WhatsAppProvider::Twilio { .. } => &["authToken"],
                WhatsAppProvider::CloudApi { .. } => &["accessToken", "appSecret"],
            },
            Self::Sms(_) => &["authToken"],
            Self::AppleMessages(_) => &["apiSecret"],
            Self::TwitterDirectMessage(_) => &["consumerKey", "consumerSecret", "accessToken", "accessTokenSecret"],
        }
    }

    /// Whether the manager generates a JWT secret for connections of this channel.
    pub fn has_jwt_secret(&self) -> bool {
        matches!(self, Self::WebMessaging(_) | Self::ClientChannel(_))
    }
}

/// A chat widget on web sites. The manager generates the widget ID, the script URL and a JWT secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebMessaging {
    /// `#rrggbb`. Default `#0b5cad`.
    #[serde(default = "default_primary_color")]
    #[schema(pattern = "^#[0-9a-fA-F]{6}$")]
    pub primary_color: String,
    /// Heading of the chat window, one per language.
    #[serde(default)]
    #[schema(max_items = 32)]
    pub headings: Vec<Heading>,
    /// https URL of the logo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = Uri, max_length = 1024)]
    pub logo_url: Option<String>,
    /// Hosts the widget loads on; empty: any.
    #[serde(default)]
    #[schema(max_items = 100)]
    pub allowed_domains: Vec<String>,
    /// Names of the cookies the widget may read.
    #[serde(default)]
    #[schema(max_items = 100)]
    pub allowed_cookies: Vec<String>,
    /// Who starts a session. Default `automatic`.
    #[serde(default)]
    pub session_initialization: SessionInitialization,
    /// Other connections of the same account that a customer may move to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switching: Option<Switching>,
}

fn default_primary_color() -> String {
    "#0b5cad".to_owned()
}

/// Heading of the chat window in one language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Heading {
    /// BCP 47 tag.
    #[schema(min_length = 2, max_length = 35)]
    pub language: String,
    /// The heading.
    #[schema(min_length = 1, max_length = 200)]
    pub text: String,
}

/// Who starts a session of the widget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum SessionInitialization {
    /// The widget itself.
    #[default]
    Automatic,
    /// The web site's own server, by a signed call.
    Controlled,
}

/// Where a customer may move to from the widget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Switching {
    /// Where the choice is shown. Default `menu`.
    #[serde(default)]
    pub placement: SwitchPlacement,
    /// IDs of connections of the same account.
    #[serde(default)]
    #[schema(max_items = 16)]
    pub connection_ids: Vec<String>,
}

/// Where the choice of another channel is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum SwitchPlacement {
    /// In the menu at the top right.
    #[default]
    Menu,
    /// In the header.
    Header,
}

/// A channel of the customer's own. The manager generates a URL to post messages to and a JWT secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientChannel {
    /// Where the manager delivers messages. https.
    #[schema(format = Uri, max_length = 1024)]
    pub webhook_url: String,
}

/// Facebook Messenger. Secrets: `pageAccessToken`, `appId`, `appSecret`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FacebookMessenger {
    /// Numeric ID of the page.
    #[schema(pattern = "^[0-9]{1,32}$")]
    pub page_id: String,
}

/// WhatsApp. Secrets: `authToken` (Twilio) or `accessToken`, `appSecret` (Cloud API).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WhatsApp {
    /// E.164.
    #[schema(pattern = r"^\+[1-9][0-9]{6,14}$")]
    pub phone_number: String,
    /// Who carries the messages.
    pub provider: WhatsAppProvider,
}

/// Who carries WhatsApp messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum WhatsAppProvider {
    /// Twilio.
    #[serde(rename_all = "camelCase")]
    Twilio {
        /// `AC` and 32 hexadecimal digits.
        #[schema(pattern = "^AC[0-9a-f]{32}$")]
        account_sid: String,
    },
    /// Meta's Cloud API.
    #[serde(rename_all = "camelCase")]
    CloudApi {
        /// Meta's ID of the phone number.
        #[schema(pattern = "^[0-9]{1,32}$")]
        phone_number_id: String,
        /// ID of the WhatsApp Business Account.
        #[schema(pattern = "^[0-9]{1,32}$")]
        business_account_id: String,
    },
}

/// SMS by Twilio. Secret: `authToken`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sms {
    /// E.164.
    #[schema(pattern = r"^\+[1-9][0-9]{6,14}$")]
    pub phone_number: String,
    /// Twilio account.
    pub twilio: TwilioSms,
}

/// The Twilio account that carries SMS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TwilioSms {
    /// `AC` and 32 hexadecimal digits.
    #[schema(pattern = "^AC[0-9a-f]{32}$")]
    pub account_sid: String,
    /// `MG` and 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^MG[0-9a-f]{32}$")]
    pub messaging_service_sid: Option<String>,
}

/// Apple Messages for Business. Secret: `apiSecret`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppleMessages {
    /// Business ID from Apple's register.
    #[schema(min_length = 1, max_length = 128)]
    pub business_id: String,
    /// ID of the messaging service provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 128)]
    pub msp_id: Option<String>,
}

/// X (Twitter) direct messages. Secrets: `consumerKey`, `consumerSecret`, `accessToken`, `accessTokenSecret`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TwitterDirectMessage {
    /// Without the `@`.
    #[schema(pattern = "^[A-Za-z0-9_]{1,15}$")]
    pub account_handle: String,
}
