// SPDX-License-Identifier: Apache-2.0

//! The channels a connection can carry. The vocabulary is that of the manager contract, field by field.

use std::fmt;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    reference::{LocalReference, SecretReference},
    schema::{self, HTTP_URL, LANGUAGE_TAG, PLAIN_URL},
};

const PHONE_NUMBER: &str = r"^\+[1-9][0-9]{6,14}$";
const NUMERIC_ID: &str = "^[0-9]{1,32}$";
const TWILIO_ACCOUNT_SID: &str = "^AC[0-9a-f]{32}$";
const TWILIO_MESSAGING_SERVICE_SID: &str = "^MG[0-9a-f]{32}$";
const COLOR: &str = "^#[0-9a-fA-F]{6}$";
const SITE_HOST: &str = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*(:[0-9]{1,5})?$";
const COOKIE_NAME: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";

/// The channel of a connection, and its settings.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::union)]
pub enum Channel {
    /// A chat widget on web sites. The manager generates a widget ID, a script URL and a JWT secret. Settings that are
    /// absent are left to the manager and not looked at.
    WebMessaging(WebMessaging),
    /// A channel of your own, by webhook. The manager generates a URL to post messages to and a JWT secret. The display
    /// name of the connection must be unique among the client channels of the account.
    ClientChannel(ClientChannel),
    /// Facebook Messenger. An administrator of the page may have to authorise it; until then it is
    /// `AwaitingAuthorization`.
    FacebookMessenger(FacebookMessenger),
    /// WhatsApp Business, by Twilio or by Meta's Cloud API.
    WhatsApp(WhatsApp),
    /// SMS, by Twilio.
    Sms(Sms),
    /// Apple Messages for Business.
    AppleMessages(AppleMessages),
    /// Direct messages on X (Twitter). Some managers have withdrawn it and then report `Unsupported`.
    TwitterDirectMessage(TwitterDirectMessage),
}

/// The channels, by the names of their members in [`Channel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    /// All channels, in the order of the API.
    pub const ALL: [Self; 7] = [
        Self::WebMessaging,
        Self::ClientChannel,
        Self::FacebookMessenger,
        Self::WhatsApp,
        Self::Sms,
        Self::AppleMessages,
        Self::TwitterDirectMessage,
    ];

    /// The name of the member in `spec.channel`.
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

impl fmt::Display for ChannelType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A chat widget on web sites.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebMessaging {
    /// Main colour of the widget, `#rrggbb`. Absent: the manager's default, not managed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 7), regex(pattern = COLOR))]
    pub primary_color: Option<String>,
    /// Heading of the chat window, one for each language, at most 32. Absent: not managed. Empty: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["language".to_owned()]))]
    pub headings: Option<Vec<Heading>>,
    /// URL of the logo, at most 1024 characters. https; http only where the operator was started with
    /// `--allow-insecure-endpoints`. No user information, query or fragment. Absent: not managed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = HTTP_URL))]
    #[x_kube(
        validation = Rule::new(PLAIN_URL)
            .message("logoUrl must be a URL without user information, query and fragment: every customer's browser loads it as it is. Write it like https://www.acme.example/logo.svg")
    )]
    pub logo_url: Option<String>,
    /// Host names of the web sites the widget loads on, in lower case and without scheme or path: `www.acme.example`,
    /// `*.acme.example` for all below it, `localhost:8080` with a port. At most 100. Empty: any. Absent: not managed, which
    /// is any for a connection that the operator makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 260), regex(pattern = SITE_HOST)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub allowed_domains: Option<Vec<String>>,
    /// Names of the cookies the widget may read, at most 100. Empty: none. Absent: not managed, which is none for a
    /// connection that the operator makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 128), regex(pattern = COOKIE_NAME)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub allowed_cookies: Option<Vec<String>>,
    /// Who starts a session. `Automatic`: the widget itself. `Controlled`: your own server, by a call signed with the JWT
    /// secret in the outputs. Absent: the manager's default, `Automatic`, not managed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_initialization: Option<SessionInitialization>,
    /// Where a customer may move to from the widget. Absent: not managed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switching: Option<Switching>,
}

/// Heading of the chat window in one language.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heading {
    /// The language, as a BCP 47 tag such as `en` or `pt-BR`.
    #[schemars(length(min = 2, max = 35), regex(pattern = LANGUAGE_TAG))]
    pub language: String,
    /// The heading, 1 to 200 characters.
    #[schemars(length(min = 1, max = 200))]
    pub text: String,
}

/// Who starts a session of the widget.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[schemars(transform = schema::undescribed)]
pub enum SessionInitialization {
    /// The widget itself.
    Automatic,
    /// The web site's own server.
    Controlled,
}

/// Where a customer may move to from the widget.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Switching {
    /// Where the choice is shown. `Menu`: in the menu at the top right. `Header`: in the header. Absent: the manager's
    /// default, `Menu`, not managed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<SwitchPlacement>,
    /// The `ChannelConnection`s of the same namespace and account that are offered, at most 16. One that does not exist
    /// yet is added as soon as it does; until then `Synced` says `SwitchTargetPending`, and the channel serves.
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub connections: Vec<LocalReference>,
}

/// Where the choice of another channel is shown.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[schemars(transform = schema::undescribed)]
pub enum SwitchPlacement {
    /// In the menu at the top right.
    Menu,
    /// In the header.
    Header,
}

/// A channel of your own, by webhook.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientChannel {
    /// Where the manager delivers messages, at most 1024 characters. https, and reachable from the manager; http only
    /// where the operator was started with `--allow-insecure-endpoints`. No user information,
    /// query or fragment.
    #[schemars(length(min = 1, max = 1024), regex(pattern = HTTP_URL))]
    #[x_kube(
        validation = Rule::new(PLAIN_URL)
            .message("webhookUrl must be a URL without user information, query and fragment: the manager signs its calls with the JWT secret, nothing else is needed to trust them. Write it like https://chat.acme.example/messages")
    )]
    pub webhook_url: String,
}

/// Facebook Messenger.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FacebookMessenger {
    /// Numeric ID of the Facebook page. Another one means another connection: the change is refused (`ReplaceRequired`).
    #[schemars(length(min = 1, max = 32), regex(pattern = NUMERIC_ID))]
    pub page_id: String,
    /// The Secret with the keys `pageAccessToken`, `appId` and `appSecret`.
    pub secret_ref: SecretReference,
}

/// WhatsApp Business.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.twilio) != has(self.cloudApi)")
        .message("exactly one of twilio and cloudApi must be set: a number is carried by one provider. Keep the one you have an account with and remove the other")
)]
pub struct WhatsApp {
    /// The business phone number in E.164 form: `+`, country code and number, 7 to 15 digits, such as `+14155550100`.
    /// Another one means another connection: the change is refused (`ReplaceRequired`).
    #[schemars(length(max = 16), regex(pattern = PHONE_NUMBER))]
    pub phone_number: String,
    /// Twilio carries the messages. Either this or `cloudApi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub twilio: Option<TwilioWhatsApp>,
    /// Meta's Cloud API carries the messages. Either this or `twilio`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud_api: Option<CloudApi>,
    /// The Secret: with `twilio` the key `authToken`, with `cloudApi` the keys `accessToken` and `appSecret`.
    pub secret_ref: SecretReference,
}

/// The Twilio account that carries WhatsApp messages.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TwilioWhatsApp {
    /// SID of the Twilio account: `AC` and 32 hexadecimal digits.
    #[schemars(length(max = 34), regex(pattern = TWILIO_ACCOUNT_SID))]
    pub account_sid: String,
}

/// The account at Meta's Cloud API that carries WhatsApp messages.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CloudApi {
    /// Meta's numeric ID of the phone number.
    #[schemars(length(max = 32), regex(pattern = NUMERIC_ID))]
    pub phone_number_id: String,
    /// Numeric ID of the WhatsApp Business Account.
    #[schemars(length(max = 32), regex(pattern = NUMERIC_ID))]
    pub business_account_id: String,
}

/// SMS.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sms {
    /// The phone number in E.164 form: `+`, country code and number, 7 to 15 digits, such as `+14155550100`.
    /// Another one means another connection: the change is refused (`ReplaceRequired`).
    #[schemars(length(max = 16), regex(pattern = PHONE_NUMBER))]
    pub phone_number: String,
    /// The Twilio account that carries the messages.
    pub twilio: TwilioSms,
    /// The Secret with the key `authToken`.
    pub secret_ref: SecretReference,
}

/// The Twilio account that carries SMS.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TwilioSms {
    /// SID of the Twilio account: `AC` and 32 hexadecimal digits.
    #[schemars(length(max = 34), regex(pattern = TWILIO_ACCOUNT_SID))]
    pub account_sid: String,
    /// SID of the Twilio messaging service, if one is used: `MG` and 32 hexadecimal digits. Absent: not managed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 34), regex(pattern = TWILIO_MESSAGING_SERVICE_SID))]
    pub messaging_service_sid: Option<String>,
}

/// Apple Messages for Business.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppleMessages {
    /// Business ID from Apple's register, 1 to 128 characters. Another one means another connection: the change is
    /// refused (`ReplaceRequired`).
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^\S+$"))]
    pub business_id: String,
    /// ID of the messaging service provider at Apple, 1 to 128 characters. Absent: not managed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^\S+$"))]
    pub msp_id: Option<String>,
    /// The Secret with the key `apiSecret`.
    pub secret_ref: SecretReference,
}

/// Direct messages on X (Twitter).
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TwitterDirectMessage {
    /// Handle of the account without the `@`: 1 to 15 letters, digits and underscores. Another one means another
    /// connection: the change is refused (`ReplaceRequired`).
    #[schemars(length(min = 1, max = 15), regex(pattern = "^[A-Za-z0-9_]+$"))]
    pub account_handle: String,
    /// The Secret with the keys `consumerKey`, `consumerSecret`, `accessToken` and `accessTokenSecret`.
    pub secret_ref: SecretReference,
}

impl Channel {
    /// Which channel it is.
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

    /// The Secret with the channel's secrets. Channels whose secrets the manager generates have none.
    pub fn secret_ref(&self) -> Option<&SecretReference> {
        match self {
            Self::WebMessaging(_) | Self::ClientChannel(_) => None,
            Self::FacebookMessenger(channel) => Some(&channel.secret_ref),
            Self::WhatsApp(channel) => Some(&channel.secret_ref),
            Self::Sms(channel) => Some(&channel.secret_ref),
            Self::AppleMessages(channel) => Some(&channel.secret_ref),
            Self::TwitterDirectMessage(channel) => Some(&channel.secret_ref),
        }
    }

    /// Keys that Secret must have.
    pub fn required_secrets(&self) -> &'static [&'static str] {
        match self {
            Self::WebMessaging(_) | Self::ClientChannel(_) => &[],
            Self::FacebookMessenger(_) => &["pageAccessToken", "appId", "appSecret"],
            Self::WhatsApp(WhatsApp { cloud_api: Some(_), .. }) => &["accessToken", "appSecret"],
            Self::WhatsApp(_) | Self::Sms(_) => &["authToken"],
            Self::AppleMessages(_) => &["apiSecret"],
            Self::TwitterDirectMessage(_) => &["consumerKey", "consumerSecret", "accessToken", "accessTokenSecret"],
        }
    }

    /// What the outside world knows the channel by, which is what only one connection of an account may have.
    ///
    /// None for Web Messaging, and none for a client channel, whose unique name is the connection's display name.
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

    /// The connections that customers of this channel may move to.
    pub fn switch_targets(&self) -> &[LocalReference] {
        match self {
            Self::WebMessaging(WebMessaging {
                switching: Some(switching),
                ..
            }) => &switching.connections,
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use digital_messaging_contract::channel as contract;
    use serde_json::{Value, json};

    use super::*;

    const SID: &str = "AC00000000000000000000000000000000";

    /// Each channel as it is declared, and as the contract has it.
    fn examples() -> Vec<(Value, Value)> {
        let secret = json!({ "name": "secret" });
        let cloud = json!({ "phoneNumberId": "1", "businessAccountId": "2" });
        vec![
            (json!({ "webMessaging": {} }), json!({ "type": "webMessaging" })),
            (
                json!({ "clientChannel": { "webhookUrl": "https://a.example" } }),
                json!({ "type": "clientChannel", "webhookUrl": "https://a.example" }),
            ),
            (
                json!({ "facebookMessenger": { "pageId": "1", "secretRef": secret } }),
                json!({ "type": "facebookMessenger", "pageId": "1" }),
            ),
            (
                json!({ "whatsApp": { "phoneNumber": "+14155550100", "twilio": { "accountSid": SID }, "secretRef": secret } }),
                json!({ "type": "whatsApp", "phoneNumber": "+14155550100", "provider": { "type": "twilio", "accountSid": SID } }),
            ),
            (
                json!({ "whatsApp": { "phoneNumber": "+14155550100", "cloudApi": cloud, "secretRef": secret } }),
                json!({
                    "type": "whatsApp",
                    "phoneNumber": "+14155550100",
                    "provider": { "type": "cloudApi", "phoneNumberId": "1", "businessAccountId": "2" },
                }),
            ),
            (
                json!({ "sms": { "phoneNumber": "+14155550100", "twilio": { "accountSid": SID }, "secretRef": secret } }),
                json!({ "type": "sms", "phoneNumber": "+14155550100", "twilio": { "accountSid": SID } }),
            ),
            (
                json!({ "appleMessages": { "businessId": "b", "secretRef": secret } }),
                json!({ "type": "appleMessages", "businessId": "b" }),
            ),
            (
                json!({ "twitterDirectMessage": { "accountHandle": "acme", "secretRef": secret } }),
                json!({ "type": "twitterDirectMessage", "accountHandle": "acme" }),
            ),
        ]
    }

    #[test]
    fn the_vocabulary_is_that_of_the_contract() {
        let names = ChannelType::ALL.map(ChannelType::as_str);
        assert_eq!(names, contract::ChannelType::ALL.map(contract::ChannelType::as_str));
        for (declared, of_contract) in examples() {
            let declared: Channel = serde_json::from_value(declared).unwrap();
            let of_contract: contract::Channel = serde_json::from_value(of_contract).unwrap();
            assert_eq!(declared.channel_type().as_str(), of_contract.channel_type().as_str());
            assert_eq!(declared.required_secrets(), of_contract.required_secrets());
            assert_eq!(declared.natural_key(), of_contract.natural_key());
            assert_eq!(declared.secret_ref().is_some(), !declared.required_secrets().is_empty());
        }
    }

    #[test]
    fn the_names_of_channels_are_those_of_the_members() {
        for (declared, _) in examples() {
            let channel: Channel = serde_json::from_value(declared.clone()).unwrap();
            assert_eq!(
                serde_json::to_value(channel.channel_type()).unwrap(),
                channel.channel_type().as_str()
            );
            assert!(declared.get(channel.channel_type().as_str()).is_some());
            assert_eq!(serde_json::to_value(&channel).unwrap(), declared);
        }
    }
}
