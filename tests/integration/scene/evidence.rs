//! What a test leaves behind to look at: logs, statuses, events, metrics. None of it may contain a secret.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{self, Write},
    sync::{Mutex, OnceLock},
};

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential};
use k8s_openapi::api::events::v1::Event;
use kube::{Api, Client, api::ListParams, core::DynamicObject, discovery::ApiResource};
use regex::Regex;
use sandbox::Condition;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// All log lines of this process, whichever scene they are of.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

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

fn log() -> String {
    String::from_utf8_lossy(&LOG.lock().unwrap()).into_owned()
}

/// Prints the operator's log lines about a namespace, the last ones.
pub fn show_log(namespace: &str) {
    let log = log();
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

/// Fails if any of these values, or anything that looks like a key of the manager, is in a status, an event, a metric or a log line.
pub async fn assert_no_secret(client: &Client, namespace: &str, metrics: &str, secrets: &BTreeSet<String>) {
    let statuses = serde_json::to_string(&objects(client, namespace).await).unwrap();
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let events = serde_json::to_string(&events.list(&ListParams::default()).await.unwrap().items).unwrap();
    let log = log();
    let processes = operator_process_logs().await;
    // Keys and secrets that the manager generates, and what `Scene::new_secret_value` makes: those of all scenes so far.
    let anyones = Regex::new("(mk|whk)_[A-Za-z0-9_-]{16,}|confidential-[0-9a-f]{32}").unwrap();
    for (place, text) in [
        ("statuses", statuses.as_str()),
        ("events", &events),
        ("metrics", metrics),
        ("logs", &log),
        ("logs of operator processes", &processes),
    ] {
        for secret in secrets {
            // Not the value in the message: it would end up in one more log.
            assert!(
                !text.contains(secret.as_str()),
                "a secret value of {} bytes is in the {place}",
                secret.len()
            );
        }
        assert!(
            !anyones.is_match(text),
            "something that looks like a secret value of some scene is in the {place}"
        );
    }
}
