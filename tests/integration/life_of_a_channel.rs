// SPDX-License-Identifier: Apache-2.0

//! docs/life-of-a-channel.md is true: its story is lived through again, and each thing that it shows has to be seen, in its
//! order, as real kubectl shows it. Only what is different in each run, such as times, may differ.

use std::{collections::VecDeque, fs};

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::api::{ChannelConnection, ManagerCredential};
use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use messaging_manager::faults::{Fault, Rule};
use regex::Regex;
use sandbox::{Condition, program};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

use crate::scene::{DEADLINE, Scene, connection, interface, labelled_secret, manager_credential, manager_secret, sms};

/// What the page has between two fences.
struct Block {
    is_console: bool,
    text: String,
}

/// The page, as far as it has not been lived through yet.
struct Story {
    scene: Scene,
    left: VecDeque<Block>,
    /// The events of the connection so far, one a line.
    told: Vec<String>,
    /// Of kubectl.
    folder: TempDir,
}

impl Story {
    async fn begin() -> Self {
        let page = fs::read_to_string(program::project().join("docs/life-of-a-channel.md")).unwrap();
        let blocks = page.split("```").skip(1).step_by(2).map(|block| {
            let (language, text) = block.split_once('\n').unwrap();
            Block {
                is_console: language == "console",
                text: text.to_owned(),
            }
        });
        let scene = Scene::new().await;
        let folder = tempfile::tempdir().unwrap();
        let text = fs::read_to_string(scene.control_plane().kubeconfig()).unwrap();
        let mut kubeconfig: Value = serde_yaml::from_str(&text).unwrap();
        kubeconfig["contexts"][0]["context"]["namespace"] = scene.namespace.clone().into();
        fs::write(folder.path().join("kubeconfig"), kubeconfig.to_string()).unwrap();
        Self {
            scene,
            left: blocks.collect(),
            told: Vec::new(),
            folder,
        }
    }

    fn next(&mut self, is_console: bool) -> String {
        let block = self.left.pop_front().expect("the page goes on");
        assert_eq!(block.is_console, is_console, "out of order: {}", block.text);
        block.text
    }

    /// The next thing on the page is an event: it comes, and the connection has had those of the page up to it and no others.
    async fn tells(&mut self, reason: &str) {
        let shown = self.next(false);
        let [kind, found, from, message] = columns(shown.trim_end())[..] else {
            panic!("no event: {shown}");
        };
        assert_eq!((found, from), (reason, "digital-messaging-operator"));
        self.told.push(format!("{kind} {reason} {message}"));
        self.scene
            .eventually(&format!("the events of acme-sms are {:#?}", self.told), async || {
                let told = self.events("ChannelConnection", "acme-sms").await?;
                same(&told.join("\n"), &self.told.join("\n"))
            })
            .await;
    }

    /// The events that an object has had, one a line.
    async fn events(&self, kind: &str, name: &str) -> Result<Vec<String>, String> {
        let events: Api<Event> = Api::namespaced(self.scene.client.clone(), &self.scene.namespace);
        let all = events.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let mut about: Vec<Event> = all
            .items
            .into_iter()
            .filter(|event| {
                let regarding = event.regarding.clone().unwrap_or_default();
                (regarding.kind.as_deref(), regarding.name.as_deref()) == (Some(kind), Some(name))
            })
            .collect();
        about.sort_by_key(|event| event.event_time.clone());
        let text = |part: Option<String>| part.unwrap_or_default();
        let line = |event: Event| format!("{} {} {}", text(event.type_), text(event.reason), text(event.note));
        Ok(about.into_iter().map(line).collect())
    }

    /// Waits until the events of an object begin like this, and there are no others.
    async fn has_told(&self, kind: &str, name: &str, expected: &[&str]) {
        self.scene
            .eventually(&format!("{name} has had the events {expected:#?}"), async || {
                let told = self.events(kind, name).await?;
                let are_the_same = told.iter().zip(expected).all(|(told, expected)| told.starts_with(expected));
                if are_the_same && told.len() == expected.len() {
                    Ok(())
                } else {
                    Err(format!("{told:#?}"))
                }
            })
            .await;
    }

    /// The next thing on the page are the connection's conditions.
    async fn says(&mut self) {
        let shown = self.next(false);
        let expected = self.comparable(&shown);
        let connections = self.scene.connections();
        self.scene
            .eventually("the conditions are those of the page", async || {
                let found = connections.get("acme-sms").await.map_err(|error| error.to_string())?;
                let lines = Condition::all(&found)
                    .into_iter()
                    .map(|it| format!("{}={} {}: {}\n", it.type_, it.status, it.reason, it.message));
                same(&self.comparable(&lines.collect::<String>()), &expected)
            })
            .await;
    }

    /// The next things on the page are commands, and what they write.
    async fn shows(&mut self) {
        let block = self.next(true);
        for shown in block.split("$ ").skip(1) {
            let (command, expected) = shown.split_once('\n').unwrap();
            let expected = self.comparable(expected);
            let seen = async || {
                let written = self.comparable(&self.run(command).await);
                // What comes first is left out of a long one.
                match expected.strip_prefix("…\n").and_then(|rest| rest.split_once('\n')) {
                    Some((first, rest)) => {
                        let found = written.split_once(&format!("\n{first}\n"));
                        same(found.map_or(&written, |(_, found)| found), rest)
                    }
                    None => same(&written, &expected),
                }
            };
            if command.contains(" delete ") {
                seen().await.unwrap();
            } else {
                self.scene.eventually(command, seen).await;
            }
        }
    }

    /// Runs a command as a person would, and returns all that it writes.
    async fn run(&self, command: &str) -> String {
        let path = format!("{}:{}", program::tools().unwrap().display(), std::env::var("PATH").unwrap());
        let output = Command::new("bash")
            .args(["-c", &format!("{command} 2>&1")])
            .env_clear()
            .env("PATH", path)
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .env("KUBECACHEDIR", self.folder.path().join("cache"))
            .kill_on_drop(true)
            .output();
        let output = timeout(DEADLINE, output).await.expect(command).unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Without what is different in each run, and as if no column were wider than what is in it.
    fn comparable(&self, text: &str) -> String {
        let mut text = text.replace(&self.scene.namespace, "shop");
        for (differs, instead) in [
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
            (r"127\.0\.0\.1:\d+", "MANAGER"),
            ("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID"),
            ("[0-9a-f]{32}", "HASH"),
            (r"\b(?:\d+m)?\d+s\b|\b\d+m\b", "AGE"),
            (r"((?:Content Hash|Key Id|Resource Version): +)\S+", "${1}VALUE"),
            (r"(Hmac: +)[\w-]+", "${1}VALUE"),
            (" +", " "),
            (" ?\n ?", "\n"),
        ] {
            text = Regex::new(differs).unwrap().replace_all(&text, instead).into_owned();
        }
        text.trim().to_owned()
    }

    /// Has the connection be as declared.
    async fn ready(&self) {
        self.scene.ready::<ChannelConnection>("acme-sms").await;
    }

    async fn change(&self, spec: Value) {
        self.scene
            .patch::<ChannelConnection>("acme-sms", json!({ "spec": spec }))
            .await;
    }

    fn secret_of_the_channel(&self) -> Value {
        let token = self.scene.new_secret_value();
        labelled_secret("twilio", &json!({ "authToken": token }))
    }
}

/// Columns have two blanks between them; the last one may have anything in it.
fn columns(line: &str) -> Vec<&str> {
    let between = Regex::new("  +").unwrap();
    between.splitn(line, 4).map(str::trim).collect()
}

fn same(found: &str, expected: &str) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{found}\n\nand on the page:\n\n{expected}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_of_the_page_can_be_lived_through_as_it_is_told() {
    let mut story = Story::begin().await;

    // It waits for what is missing.
    let mut declared = connection("acme-sms", "acme-support", &sms("+14155550100", "twilio"));
    declared["spec"]["policy"] = json!({ "deletion": "Delete" });
    story.scene.apply(declared).await;
    story
        .scene
        .condition::<ChannelConnection>("acme-sms", "Ready", "False", "InterfaceNotFound")
        .await;
    story.has_told("ChannelConnection", "acme-sms", &[]).await;
    let credential = story.scene.provision(AuthenticationMethod::Jwt).await;
    let account = story.scene.account(&credential);
    story.scene.apply(manager_secret("acme-manager", &credential)).await;
    let url = story.scene.manager_url().to_owned();
    story
        .scene
        .apply_all([
            manager_credential("acme-manager", &url, AuthenticationMethod::Jwt),
            interface("acme-support", "acme-manager"),
        ])
        .await;
    story.tells("SecretNotFound").await;
    story.scene.apply(story.secret_of_the_channel()).await;
    story.tells("Synced").await;
    story.shows().await;

    // Somebody changes it at the manager.
    let id = account.connections().await.unwrap().remove(0).id;
    account
        .patch_connection(&id, &json!({ "displayName": "Changed by hand" }))
        .await
        .unwrap();
    story.tells("DriftCorrected").await;
    story.shows().await;

    // A change waits for approval.
    story
        .change(json!({ "policy": { "approval": "Required" }, "displayName": "Acme text messages" }))
        .await;
    story.tells("AwaitingApproval").await;
    story.says().await;
    let waiting = story.scene.connections().get("acme-sms").await.unwrap();
    let message = Condition::of(&waiting, "Synced").unwrap().message;
    let (_, command) = message.split_once(": ").unwrap();
    story.run(command).await;
    story.ready().await;
    assert_eq!(account.connections().await.unwrap()[0].display_name, "Acme text messages");

    // Something is asked that would do damage.
    story
        .change(json!({ "channel": { "sms": { "phoneNumber": "+14155550199" } } }))
        .await;
    story.tells("ReplaceRequired").await;
    story
        .change(json!({ "channel": { "sms": { "phoneNumber": "+14155550100" } } }))
        .await;
    story.ready().await;

    // The manager does not answer.
    story.scene.faults.push(Rule::new(Fault::NeverAnswer));
    story
        .scene
        .condition::<ManagerCredential>("acme-manager", "Ready", "False", "ManagerTimeout")
        .await;
    story.shows().await;
    story.scene.faults.clear();
    story.scene.ready::<ManagerCredential>("acme-manager").await;
    story
        .has_told(
            "ManagerCredential",
            "acme-manager",
            &["Warning ManagerTimeout ", "Normal Synced "],
        )
        .await;

    // The whole story.
    story.shows().await;

    // The end.
    story.change(json!({ "policy": { "approval": "NotRequired" } })).await;
    story.ready().await;
    story.shows().await;
    assert!(account.connections().await.unwrap().is_empty());
    assert!(story.left.is_empty(), "the page goes on: {}", story.left[0].text);
    story.has_told("DigitalMessagingInterface", "acme-support", &[]).await;
    story.scene.finish().await;
}
