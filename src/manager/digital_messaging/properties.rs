// SPDX-License-Identifier: Apache-2.0

//! Whatever is desired, whatever was applied before, and whatever others did at the manager in between: applying the plan
//! brings about what is desired and nothing else, and planning again finds nothing to do.
//!
//! The manager is a model: the contract's own types fill in defaults, and a merge patch is merged as RFC 7396 says.

use std::sync::Arc;

use digital_messaging_contract as contract;
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::select,
};
use serde_json::{Map, Value, json};

use super::{CAPABILITIES, translate};
use crate::{
    manager::{
        capabilities::Support,
        observed::{ObservedConnection, ObservedInterface},
        settings::{
            AppleMessages, BotSettings, ChannelSettings, ClientChannel, ConnectionSettings, Escalation, FacebookMessenger,
            Heading, InterfaceSettings, MenuEntry, ResponseCommand, SessionInitialization, Sms, SwitchPlacement, Switching,
            SystemResponses, TwilioSms, TwitterDirectMessage, WebMessaging, WhatsApp, WhatsAppProvider,
        },
        values::{Insecure, Mark, Reference, RemoteId, WebUrl},
        write::{ChannelSecrets, ConnectionWrite, InterfaceWrite},
    },
    plan::{Intent, Refusal, connection, difference, identity::Holding, interface},
};

const SECRET: &str = "confidential-0123456789";

/// Short, often equal, sometimes awkward.
fn text() -> impl Strategy<Value = String> {
    select(vec![
        "a",
        "b",
        "Äpfel & \"Birnen\"",
        "~1/~0",
        "null",
        "  ",
        "\u{1f600}",
        "line\nbreak",
    ])
    .prop_map(str::to_owned)
}

fn url() -> impl Strategy<Value = WebUrl> {
    select(vec!["https://a.example", "https://b.example/x", "https://a.example:8443/x/y"])
        .prop_map(|raw| WebUrl::parse(raw, Insecure::Refused).unwrap())
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    vec(text(), 0..3)
}

fn remote_ids() -> impl Strategy<Value = Vec<RemoteId>> {
    vec(select(vec!["cn_1", "cn_2", "cn_3"]).prop_map(|id| id.parse().unwrap()), 0..3)
}

fn web_messaging() -> impl Strategy<Value = ChannelSettings> {
    let heading = (text(), text()).prop_map(|(language, text)| Heading { language, text });
    let placement = option::of(select(vec![SwitchPlacement::Menu, SwitchPlacement::Header]));
    let switching = (placement, remote_ids()).prop_map(|(placement, connections)| Switching { placement, connections });
    (
        option::of(select(vec!["#000000", "#0b5cad"]).prop_map(str::to_owned)),
        option::of(vec(heading, 0..3)),
        option::of(url()),
        option::of(texts()),
        option::of(texts()),
        option::of(select(vec![
            SessionInitialization::Automatic,
            SessionInitialization::Controlled,
        ])),
        option::of(switching),
    )
        .prop_map(
            |(primary_color, headings, logo_url, allowed_domains, allowed_cookies, session_initialization, switching)| {
                ChannelSettings::WebMessaging(WebMessaging {
                    primary_color,
                    headings,
                    logo_url,
                    allowed_domains,
                    allowed_cookies,
                    session_initialization,
                    switching,
                })
            },
        )
}

fn provider() -> impl Strategy<Value = WhatsAppProvider> {
    prop_oneof![
        text().prop_map(|account_sid| WhatsAppProvider::Twilio { account_sid }),
        (text(), text()).prop_map(|(phone_number_id, business_account_id)| WhatsAppProvider::CloudApi {
            phone_number_id,
            business_account_id,
        }),
    ]
}

/// Settings of a channel of this number; natural keys are always the same, for they never change.
fn channel(kind: usize) -> BoxedStrategy<ChannelSettings> {
    let phone_number = || "+4930901820".parse().unwrap();
    match kind {
        0 => web_messaging().boxed(),
        1 => url()
            .prop_map(|webhook_url| ChannelSettings::ClientChannel(ClientChannel { webhook_url }))
            .boxed(),
        2 => Just(ChannelSettings::FacebookMessenger(FacebookMessenger {
            page_id: "1".to_owned(),
        }))
        .boxed(),
        3 => provider()
            .prop_map(move |provider| {
                ChannelSettings::WhatsApp(WhatsApp {
                    phone_number: phone_number(),
                    provider,
                })
            })
            .boxed(),
        4 => (text(), option::of(text()))
            .prop_map(move |(account_sid, messaging_service_sid)| {
                ChannelSettings::Sms(Sms {
                    phone_number: phone_number(),
                    twilio: TwilioSms {
                        account_sid,
                        messaging_service_sid,
                    },
                })
            })
            .boxed(),
        5 => option::of(text())
            .prop_map(|msp_id| {
                ChannelSettings::AppleMessages(AppleMessages {
                    business_id: "b".to_owned(),
                    msp_id,
                })
            })
            .boxed(),
        _ => Just(ChannelSettings::TwitterDirectMessage(TwitterDirectMessage {
            account_handle: "acme".to_owned(),
        }))
        .boxed(),
    }
}

fn connection_settings(kind: usize) -> impl Strategy<Value = ConnectionSettings> {
    (text(), channel(kind)).prop_map(|(display_name, channel)| ConnectionSettings { display_name, channel })
}

fn bot() -> impl Strategy<Value = BotSettings> {
    let responses = [(); 5].map(|()| option::of(text()));
    let responses = responses.prop_map(
        |[welcome, no_match, multiple_match, error, authentication_prompt]| SystemResponses {
            welcome,
            no_match,
            multiple_match,
            error,
            authentication_prompt,
        },
    );
    let entry = (text(), option::of(text())).prop_map(|(label, payload)| MenuEntry { label, payload });
    let command = (text(), texts(), texts(), vec(entry, 0..2)).prop_map(|(name, triggers, texts, menu)| ResponseCommand {
        name,
        triggers,
        texts,
        menu,
    });
    let escalation = option::of(1..5_u32).prop_map(|after_no_matches| Escalation { after_no_matches });
    (
        option::of(texts()),
        option::of(responses),
        option::of(vec(command, 0..2)),
        option::of(escalation),
    )
        .prop_map(|(languages, system_responses, response_commands, escalation)| BotSettings {
            languages,
            system_responses,
            response_commands,
            escalation,
        })
}

fn interface_settings() -> impl Strategy<Value = InterfaceSettings> {
    (text(), option::of(text()), text(), url(), option::of(bot())).prop_map(
        |(display_name, description, template_operator, base_url, bot)| InterfaceSettings {
            display_name,
            description,
            template_operator,
            base_url,
            bot,
        },
    )
}

/// What one resource goes through: what was applied first, what someone else made of it at the manager, what is desired now.
#[derive(Clone, Debug)]
struct Story<S> {
    applied: S,
    meddled: Option<S>,
    desired: S,
    /// Fields at the manager that this version does not know.
    unknown: Map<String, Value>,
}

fn story<S: std::fmt::Debug + Clone + 'static>(settings: impl Fn() -> BoxedStrategy<S>) -> impl Strategy<Value = Story<S>> {
    let unknown = btree_map("x[a-z]{2}", select(vec![json!(1), json!("y"), json!({ "z": [null] })]), 0..3);
    (settings(), option::of(settings()), settings(), unknown).prop_map(|(applied, meddled, desired, unknown)| Story {
        applied,
        meddled,
        desired,
        unknown: unknown.into_iter().collect(),
    })
}

fn connection_story() -> impl Strategy<Value = Story<ConnectionSettings>> {
    (0..7_usize).prop_flat_map(|kind| story(move || connection_settings(kind).boxed()))
}

fn mark() -> Mark {
    Mark {
        reference: Reference::new("test", "ChannelConnection", "shop", "web"),
        claimant: Some("uid".to_owned()),
    }
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, member) in members {
        if member.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut target[name], member);
        }
    }
}

/// Fills in the defaults; what the contract does not know stays as it is.
fn with_defaults<T: serde::de::DeserializeOwned + serde::Serialize>(document: &mut Value) {
    document.as_object_mut().unwrap().remove("secrets");
    let mut known = document.clone();
    known.as_object_mut().unwrap().retain(|name, _| !name.starts_with('x'));
    let typed: T = serde_json::from_value(known).unwrap();
    merge(document, &serde_json::to_value(typed).unwrap());
}

fn observed_connection(document: &Value) -> Arc<ObservedConnection> {
    let mut wire = document.clone();
    merge(
        &mut wire,
        &json!({
            "id": "cn_1", "state": "active", "hasJwtSecret": false, "revision": 1,
            "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
        }),
    );
    translate::connection(serde_json::from_value(wire).unwrap()).unwrap()
}

fn observed_interface(document: &Value) -> Arc<ObservedInterface> {
    let mut wire = document.clone();
    wire.as_object_mut().unwrap().retain(|name, _| !name.starts_with('x'));
    merge(
        &mut wire,
        &json!({
            "id": "if_1", "callbackUrl": "https://a.example/callback", "revision": 1,
            "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
        }),
    );
    translate::interface(serde_json::from_value(wire).unwrap()).unwrap()
}

fn new_connection(settings: &ConnectionSettings) -> Value {
    let interface: RemoteId = "if_1".parse().unwrap();
    let mut document = translate::new_connection(&interface, &mark(), settings, &ChannelSecrets::new());
    with_defaults::<contract::connection::ConnectionSpec>(&mut document);
    document
}

fn new_interface(settings: &InterfaceSettings) -> Value {
    let mut document = translate::new_interface(&mark(), settings);
    with_defaults::<contract::interface::InterfaceSpec>(&mut document);
    document
}

/// What every plan owes, once it was applied. Members below `units` go and come as a whole.
fn assert_reached(desired: &Value, owned: &[String], before: &Value, after: &Value, fresh: &Value, units: &[&str]) {
    let Intent { fields, .. } = difference::intent(desired);
    for field in &fields {
        assert_eq!(after.pointer(field), desired.pointer(field), "{field} is as desired");
    }
    for field in owned.iter().filter(|field| !fields.contains(field)) {
        assert_eq!(
            after.pointer(field),
            fresh.pointer(field),
            "{field} has the manager's default again"
        );
    }
    let of_a_unit = |field: &str| units.iter().any(|unit| field.starts_with(unit));
    for field in difference::intent(before).fields {
        if !fields.contains(&field) && !owned.contains(&field) && !of_a_unit(&field) {
            assert_eq!(after.pointer(&field), before.pointer(&field), "{field} is not ours");
        }
    }
}

/// Nothing that people see, and nothing that may be logged, holds a secret.
fn assert_no_secret(shown: &impl std::fmt::Debug) {
    let shown = format!("{shown:?}");
    assert!(!shown.contains(SECRET), "{shown}");
}

fn config() -> ProptestConfig {
    ProptestConfig {
        // A failing input is printed, and small: it becomes a test of its own.
        failure_persistence: None,
        ..ProptestConfig::with_cases(512)
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_connection_becomes_what_is_desired_and_stays_it(story in connection_story(), rotates in any::<bool>()) {
        let mark = mark();
        let before = difference::intent(&difference::tree(&story.applied));
        let mut document = new_connection(story.meddled.as_ref().unwrap_or(&story.applied));
        document.as_object_mut().unwrap().extend(story.unknown.clone());
        let observed = observed_connection(&document);
        let secrets: ChannelSecrets = [("authToken".to_owned(), SECRET.into())].into();
        let wanted = connection::Desired {
            mark: &mark,
            settings: &story.desired,
            secrets: if rotates { connection::Secrets::ToSend(&secrets) } else { connection::Secrets::Sent },
            support: Support::Create,
            owned: &before.fields,
            applied: Some(&before.hash),
            rotation: None,
        };
        let planned = connection::plan(&wanted, Holding::Held(observed.clone()), &CAPABILITIES).unwrap();
        assert_no_secret(&planned);
        prop_assert_eq!(planned.write.is_none(), planned.changes.is_empty());
        let settings_change = planned.changes.iter().any(|change| !change.field.ends_with("/secretRef"));
        prop_assert_eq!(planned.drift, settings_change && planned.intent == before, "only what nobody asked for is drift");
        if let Some(ConnectionWrite::Update { observed, settings, cleared, secrets, mark }) = &planned.write {
            let patch = translate::connection_patch(observed, settings, cleared, secrets.as_ref(), mark.as_ref());
            prop_assert_eq!(patch.get("secrets").is_some(), rotates);
            merge(&mut document, &patch);
            with_defaults::<contract::connection::ConnectionSpec>(&mut document);
        }
        for (name, value) in &story.unknown {
            prop_assert_eq!(document.get(name), Some(value), "unknown fields survive");
        }
        prop_assert_eq!(&document["interfaceId"], "if_1");
        prop_assert_eq!(&document["externalReference"], mark.reference.as_str());
        let after = observed_connection(&document);
        let tree = |settings: &ConnectionSettings| difference::tree(settings);
        let fresh = observed_connection(&new_connection(&story.desired));
        let units = ["/channel/webMessaging/switching/", "/channel/whatsApp/"];
        assert_reached(&tree(&story.desired), &before.fields, &tree(&observed.settings), &tree(&after.settings), &tree(&fresh.settings), &units);

        let again = connection::Desired {
            secrets: connection::Secrets::Sent,
            owned: &planned.intent.fields,
            applied: Some(&planned.intent.hash),
            ..wanted
        };
        let again = connection::plan(&again, Holding::Held(after), &CAPABILITIES).unwrap();
        prop_assert_eq!(&again.changes, &vec![]);
        prop_assert!(again.write.is_none() && !again.drift);
        prop_assert_eq!(again.intent, planned.intent);
    }

    #[test]
    fn an_interface_becomes_what_is_desired_and_stays_it(story in story(|| interface_settings().boxed())) {
        let mark = mark();
        let before = difference::intent(&difference::tree(&story.applied));
        let mut document = new_interface(story.meddled.as_ref().unwrap_or(&story.applied));
        document.as_object_mut().unwrap().extend(story.unknown.clone());
        let observed = observed_interface(&document);
        let wanted = interface::Desired {
            mark: &mark,
            settings: &story.desired,
            owned: &before.fields,
            applied: Some(&before.hash),
        };
        let planned = interface::plan(&wanted, Holding::Held(observed.clone()), &CAPABILITIES).unwrap();
        prop_assert_eq!(planned.write.is_none(), planned.changes.is_empty());
        if let Some(InterfaceWrite::Update { observed, settings, cleared, mark }) = &planned.write {
            merge(&mut document, &translate::interface_patch(observed, settings, cleared, mark.as_ref()));
            with_defaults::<contract::interface::InterfaceSpec>(&mut document);
        }
        for (name, value) in &story.unknown {
            prop_assert_eq!(document.get(name), Some(value), "unknown fields survive");
        }
        let after = observed_interface(&document);
        let tree = |settings: &InterfaceSettings| difference::tree(settings);
        let fresh = observed_interface(&new_interface(&story.desired));
        assert_reached(&tree(&story.desired), &before.fields, &tree(&observed.settings), &tree(&after.settings), &tree(&fresh.settings), &[]);

        let again = interface::Desired {
            owned: &planned.intent.fields,
            applied: Some(&planned.intent.hash),
            ..wanted
        };
        let again = interface::plan(&again, Holding::Held(after), &CAPABILITIES).unwrap();
        prop_assert_eq!(&again.changes, &vec![]);
        prop_assert!(again.write.is_none() && !again.drift);
    }

    #[test]
    fn what_was_created_needs_no_second_write(settings in (0..7_usize).prop_flat_map(connection_settings)) {
        let mark = mark();
        let wanted = connection::Desired {
            mark: &mark,
            settings: &settings,
            secrets: connection::Secrets::Sent,
            support: Support::Create,
            owned: &[],
            applied: None,
            rotation: None,
        };
        let created = connection::plan(&wanted, Holding::Nothing, &CAPABILITIES).unwrap();
        let is_create = matches!(created.write, Some(ConnectionWrite::Create { .. }));
        prop_assert!(is_create);
        let held = observed_connection(&new_connection(&settings));
        let owned = connection::Desired { owned: &created.intent.fields, applied: Some(&created.intent.hash), ..wanted };
        let again = connection::plan(&owned, Holding::Held(held), &CAPABILITIES).unwrap();
        prop_assert_eq!(&again.changes, &vec![]);
    }

    #[test]
    fn adoption_by_match_changes_nothing_but_the_mark(story in connection_story()) {
        let stranger = Mark { reference: Reference::new("other", "ChannelConnection", "shop", "web"), claimant: Some("x".to_owned()) };
        let mark = mark();
        let target = observed_connection(&new_connection(&story.applied));
        let wanted = connection::Desired {
            mark: &stranger,
            settings: &story.desired,
            secrets: connection::Secrets::Sent,
            support: Support::Create,
            owned: &[],
            applied: None,
            rotation: None,
        };
        let holding = Holding::ToAdopt { target: target.clone(), only_if_equal: true };
        match connection::plan(&wanted, holding, &CAPABILITIES) {
            Ok(plan) => {
                let fields: Vec<_> = plan.changes.iter().map(|change| change.field.as_str()).collect();
                prop_assert_eq!(fields, ["/"]);
                let Some(ConnectionWrite::Update { observed, settings, cleared, secrets, mark: Some(claimed) }) = &plan.write else {
                    return Err(TestCaseError::fail("no claim"));
                };
                let patch = translate::connection_patch(observed, settings, cleared, secrets.as_ref(), Some(claimed));
                let names: Vec<_> = patch.as_object().unwrap().keys().map(String::as_str).collect();
                prop_assert_eq!(names, ["claimant", "externalReference"]);
            }
            Err(Refusal::AdoptionMismatch { fields }) => prop_assert!(!fields.is_empty()),
            Err(other) => return Err(TestCaseError::fail(format!("{other:?} {mark:?}"))),
        }
    }

    #[test]
    fn another_channel_is_never_a_write(pair in (0..7_usize, 0..7_usize).prop_filter("two kinds", |(one, two)| one != two)
        .prop_flat_map(|(one, two)| (connection_settings(one), connection_settings(two))))
    {
        let mark = mark();
        let wanted = connection::Desired {
            mark: &mark,
            settings: &pair.0,
            secrets: connection::Secrets::Sent,
            support: Support::Create,
            owned: &[],
            applied: None,
            rotation: None,
        };
        let held = observed_connection(&new_connection(&pair.1));
        let refused = connection::plan(&wanted, Holding::Held(held), &CAPABILITIES);
        let is_refused = matches!(refused, Err(Refusal::ReplaceRequired { .. }));
        prop_assert!(is_refused);
    }

    #[test]
    fn forged_memories_clear_settings_and_nothing_else(story in connection_story(), forged in vec(select(vec![
        "/externalReference", "/claimant", "/interfaceId", "/channel", "/secrets", "/displayName", "", "/", "//", "x", "/channel/type",
        "/channel/webMessaging", "/channel/sms/twilio", "/channel/whatsApp/provider", "/id",
    ]), 0..6)) {
        let mark = mark();
        let forged: Vec<String> = forged.into_iter().map(str::to_owned).collect();
        let mut document = new_connection(&story.applied);
        let observed = observed_connection(&document);
        let wanted = connection::Desired {
            mark: &mark,
            settings: &story.desired,
            secrets: connection::Secrets::Sent,
            support: Support::Create,
            owned: &forged,
            applied: None,
            rotation: None,
        };
        let Ok(planned) = connection::plan(&wanted, Holding::Held(observed), &CAPABILITIES) else { return Ok(()) };
        if let Some(ConnectionWrite::Update { observed, settings, cleared, secrets, mark }) = &planned.write {
            let patch = translate::connection_patch(observed, settings, cleared, secrets.as_ref(), mark.as_ref());
            for kept in ["/externalReference", "/claimant", "/interfaceId", "/secrets", "/id", "/channel/type"] {
                prop_assert_eq!(patch.pointer(kept), None, "{}", patch);
            }
            prop_assert!(patch.get("channel").is_none_or(Value::is_object), "{}", patch);
            merge(&mut document, &patch);
            with_defaults::<contract::connection::ConnectionSpec>(&mut document);
        }
        prop_assert_eq!(&document["externalReference"], mark.reference.as_str());
    }
}
