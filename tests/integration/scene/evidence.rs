// SPDX-License-Identifier: Apache-2.0

//! What a test leaves behind to look at: logs, statuses, events, metrics. None of it may contain a secret.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{self, Write},
    sync::{Mutex, OnceLock, PoisonError},
};

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential};
use k8s_openapi::api::events::v1::Event;
use kube::{Api, Client, api::ListParams, core::DynamicObject, discovery::ApiResource};
use regex::Regex;
use sandbox::Condition;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// All log lines of this process, whichever scene they are of.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// How much of it has been looked through for what looks like a secret of any scene: once is enough.
static LOOKED_THROUGH: Mutex<usize> = Mutex::new(0);

struct ToLog;

impl Write for ToLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for ToLog {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        Self
    }
}

/// Records logs from now on, at the most talkative level that we write ourselves.
pub fn record_logs() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(
                "info,digital_messaging_operator=trace,messaging_manager=debug,kube=debug,hyper=info",
            ))
            .with_ansi(false)
            .with_writer(ToLog)
            .init();
    });
}

/// How long the log is now.
pub fn log_mark() -> usize {
    LOG.lock().unwrap().len()
}

fn log_since(mark: usize) -> String {
    let bytes = LOG.lock().unwrap()[mark..].to_vec();
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Prints the operator's log lines about a namespace, the last ones of those since then.
pub fn show_log(namespace: &str, mark: usize) {
    let log = log_since(mark);
    let about: Vec<&str> = log
        .lines()
        .filter(|line| line.contains(namespace) && line.contains("digital_messaging_operator"))
        .collect();
    eprintln!("the operator's log about {namespace}, last lines:");
    for line in about.iter().rev().take(40).rev() {
        eprintln!("  {line}");
    }
}

/// All our objects with their conditions, for the message of a failing test.
pub async fn describe(client: &Client, namespace: &str) -> String {
    let mut text = String::new();
    for object in objects(client, namespace).await {
        let kind = object.types.as_ref().map_or("", |types| types.kind.as_str());
        let _ = writeln!(text, "{kind} {}", object.metadata.name.as_deref().unwrap_or_default());
        for condition in Condition::all(&object) {
            let _ = writeln!(text, "    {condition}");
        }
    }
    text
}

async fn objects(client: &Client, namespace: &str) -> Vec<DynamicObject> {
    let mut all = Vec::new();
    for resource in [
        ApiResource::erase::<ManagerCredential>(&()),
        ApiResource::erase::<DigitalMessagingInterface>(&()),
        ApiResource::erase::<ChannelConnection>(&()),
    ] {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        match api.list(&ListParams::default()).await {
            Ok(found) => all.extend(found.items),
            // The test has taken the definitions away.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => panic!("cannot list {}: {error}", resource.plural),
        }
    }
    all
}

/// What the operators wrote that tests started as processes.
async fn operator_process_logs() -> String {
    let folder = sandbox::shared().await.run().logs();
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let of_operators = files.filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("operator") && name.ends_with(".log")
    });
    of_operators
        .map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned())
        .collect()
}

/// Fails if any of these values, or anything that looks like a key of the manager, is in a status, an event, a metric or a
/// log line since then.
pub async fn assert_no_secret(client: &Client, namespace: &str, metrics: &str, secrets: &BTreeSet<String>, mark: usize) {
    // Keys and secrets that the manager generates, and what `Scene::new_secret_value` makes: those of all scenes so far.
    // Half of one is enough. Fingerprints in a status are 22 characters of the same alphabet, and may have `mk_` in them.
    let anyones = Regex::new("(?:mk|whk)_[A-Za-z0-9_-]{20,}|confidential-[0-9a-f]{32}").unwrap();
    let others: BTreeSet<_> = secrets.iter().filter(|secret| !anyones.is_match(secret)).collect();
    let statuses = serde_json::to_string(&objects(client, namespace).await).unwrap();
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let events = serde_json::to_string(&events.list(&ListParams::default()).await.unwrap().items).unwrap();
    let processes = operator_process_logs().await;
    for (place, text) in [
        ("statuses", statuses.as_str()),
        ("events", &events),
        ("metrics", metrics),
        ("logs of operator processes", &processes),
    ] {
        assert_no_match(&anyones, place, text);
        assert_none_of(&others, place, text);
    }
    assert_new_log_has_no_match(&anyones);
    if !others.is_empty() {
        assert_none_of(&others, "logs", &log_since(mark));
    }
}

fn assert_new_log_has_no_match(looks_secret: &Regex) {
    let mut looked_through = LOOKED_THROUGH.lock().unwrap_or_else(PoisonError::into_inner);
    let log = log_since(*looked_through);
    assert_no_match(looks_secret, "logs", &log);
    *looked_through += log.len();
}

fn assert_none_of(secrets: &BTreeSet<&String>, place: &str, text: &str) {
    for secret in secrets {
        // Not the value in the message: it would end up in one more log.
        let length = secret.len();
        assert!(
            !text.contains(secret.as_str()),
            "a secret value of {length} bytes is in the {place}"
        );
    }
}

fn assert_no_match(looks_secret: &Regex, place: &str, text: &str) {
    assert!(
        !looks_secret.is_match(text),
        "something that looks like a secret value of some scene is in the {place}"
    );
}
