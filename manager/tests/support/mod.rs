// SPDX-License-Identifier: Apache-2.0

//! A manager in the process, and a client that signs as the contract says.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod process;

use std::{path::PathBuf, time::Duration};

use digital_messaging_contract::{account::AuthenticationMethod, header, problem::Problem, secret::SecretValue, signing};
use jiff::Timestamp;
use messaging_manager::{
    Manager,
    config::Config,
    credentials::{IssuedCredential, NewCredential},
    faults::Faults,
    journal::Journal,
    server::Running,
};
use reqwest::{Method, header::HeaderMap};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

/// How long a test waits for what must happen.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A manager on a free port, with one account.
pub struct Fixture {
    pub running: Running,
    pub client: Client,
    pub faults: Faults,
    pub journal: Journal,
    pub folder: TempDir,
}

impl Fixture {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (faults, journal) = (Faults::new(), Journal::new());
        let mut config = Config::new(folder.path().join("manager.sqlite"));
        config.faults = Some(faults.clone());
        config.journal = Some(journal.clone());
        change(&mut config);
        let manager = Manager::open(config).await.unwrap();
        let issued = manager
            .credentials()
            .create(NewCredential::new(AuthenticationMethod::Jwt))
            .await
            .unwrap();
        let running = manager.start("127.0.0.1:0").await.unwrap();
        let client = Client::new(running.url().clone(), issued);
        Self {
            running,
            client,
            faults,
            journal,
            folder,
        }
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("manager.sqlite")
    }

    /// A client of another account.
    pub async fn other_account(&self, method: AuthenticationMethod) -> Client {
        let issued = self
            .running
            .manager()
            .credentials()
            .create(NewCredential::new(method))
            .await
            .unwrap();
        Client::new(self.running.url().clone(), issued)
    }
}

/// Sends signed requests.
#[derive(Clone)]
pub struct Client {
    pub http: reqwest::Client,
    pub url: Url,
    pub manager_id: String,
    pub key: SecretValue,
    pub method: AuthenticationMethod,
}

impl Client {
    pub fn new(url: Url, issued: IssuedCredential) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(DEADLINE)
            .build()
            .unwrap();
        Self {
            http,
            url,
            manager_id: issued.manager_id,
            key: issued.manager_key,
            method: issued.method,
        }
    }

    pub fn with_key(&self, key: &SecretValue) -> Self {
        Self {
            key: key.clone(),
            ..self.clone()
        }
    }

    pub fn by(&self, method: AuthenticationMethod) -> Self {
        Self { method, ..self.clone() }
    }

    pub fn call(&self, method: Method, path: &str) -> Call<'_> {
        Call {
            client: self,
            method,
            path: path.to_owned(),
            body: Vec::new(),
            headers: Vec::new(),
            at: Timestamp::now(),
        }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path).send().await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.call(Method::POST, path).json(body).send().await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.call(Method::PATCH, path).json(body).send().await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.call(Method::DELETE, path).send().await
    }

    /// Makes an interface and gives its ID.
    pub async fn interface(&self) -> String {
        self.post("/v1/interfaces", &interface()).await.expect(201).text("/id")
    }

    /// Makes a connection and gives its ID.
    pub async fn connection(&self, body: &Value) -> String {
        self.post("/v1/connections", body).await.expect(201).text("/id")
    }

    pub fn token(&self, method: &str, path: &str, body: &[u8], at: Timestamp) -> String {
        let audience = self.url.origin().ascii_serialization();
        let request = signing::Request {
            method,
            url: &format!("{audience}{path}"),
            audience: &audience,
            body,
        };
        signing::sign(&self.manager_id, &self.key, &request, at).unwrap()
    }
}

/// One request in the making.
pub struct Call<'a> {
    client: &'a Client,
    method: Method,
    path: String,
    body: Vec<u8>,
    headers: Vec<(&'static str, String)>,
    at: Timestamp,
}

impl Call<'_> {
    pub fn json(mut self, body: &Value) -> Self {
        self.body = serde_json::to_vec(body).unwrap();
        let is_update = self.method == Method::PATCH;
        self.header(
            "content-type",
            if is_update {
                header::MERGE_PATCH_JSON
            } else {
                "application/json"
            },
        )
    }

    pub fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// As if the client's clock said this.
    pub fn at(mut self, at: Timestamp) -> Self {
        self.at = at;
        self
    }

    pub async fn try_send(self) -> reqwest::Result<Reply> {
        let url = self.client.url.join(&self.path).unwrap();
        let mut request = self.client.http.request(self.method.clone(), url);
        request = match self.client.method {
            AuthenticationMethod::Jwt => {
                request.bearer_auth(self.client.token(self.method.as_str(), &self.path, &self.body, self.at))
            }
            AuthenticationMethod::ApiKey => request
                .header("authorization", format!("ApiKey {}", self.client.key.expose()))
                .header(header::MANAGER_ID, &self.client.manager_id),
        };
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let response = request.body(self.body).send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await?;
        Ok(Reply {
            status,
            headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        })
    }

    pub async fn send(self) -> Reply {
        self.try_send().await.unwrap()
    }
}

/// One answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Reply {
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    /// Asserts a problem document with this code, and gives it.
    #[track_caller]
    pub fn problem(self, code: &str) -> Problem {
        assert_eq!(self.body["code"], code, "{} {}", self.status, self.body);
        assert_eq!(self.header("content-type"), header::PROBLEM_JSON);
        let problem: Problem = serde_json::from_value(self.body).unwrap();
        assert_eq!(problem.status, self.status);
        assert_eq!(problem.code.status(), self.status);
        assert_eq!(problem.problem_type, format!("urn:digitalmessaging:problem:{code}"));
        problem
    }

    #[track_caller]
    pub fn text(&self, pointer: &str) -> String {
        self.body
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no {pointer} in {}", self.body))
            .to_owned()
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no header {name}"))
            .to_str()
            .unwrap()
    }

    pub fn parse<T: DeserializeOwned>(&self) -> T {
        serde_json::from_value(self.body.clone()).unwrap()
    }

    pub fn revision(&self) -> u64 {
        self.body["revision"].as_u64().unwrap()
    }
}

/// The pointers of a problem's errors.
pub fn pointers(problem: &Problem) -> Vec<&str> {
    problem.errors.iter().map(|error| error.pointer.as_str()).collect()
}

pub fn interface() -> Value {
    json!({
        "displayName": "Acme self-service",
        "templateOperator": "dm-template",
        "baseUrl": "https://acme.example/prweb",
    })
}

pub fn sms(interface_id: &str, phone_number: &str) -> Value {
    json!({
        "interfaceId": interface_id,
        "displayName": "SMS",
        "channel": {
            "type": "sms",
            "phoneNumber": phone_number,
            "twilio": { "accountSid": format!("AC{}", "0".repeat(32)) },
        },
        "secrets": { "authToken": "twilio-token" },
    })
}

pub fn web_messaging(interface_id: &str) -> Value {
    json!({ "interfaceId": interface_id, "displayName": "Chat", "channel": { "type": "webMessaging" } })
}

pub fn client_channel(interface_id: &str, name: &str) -> Value {
    json!({
        "interfaceId": interface_id,
        "displayName": name,
        "channel": { "type": "clientChannel", "webhookUrl": "https://acme.example/hook" },
    })
}

/// A body of each channel type.
pub fn each_channel(interface_id: &str) -> Vec<Value> {
    let connection = |channel: Value, secrets: Value| json!({ "interfaceId": interface_id, "displayName": channel["type"], "channel": channel, "secrets": secrets });
    vec![
        web_messaging(interface_id),
        client_channel(interface_id, "Kiosk"),
        connection(
            json!({ "type": "facebookMessenger", "pageId": "1234567890" }),
            json!({ "pageAccessToken": "a", "appId": "b", "appSecret": "c" }),
        ),
        connection(
            json!({
                "type": "whatsApp", "phoneNumber": "+4915112345678",
                "provider": { "type": "cloudApi", "phoneNumberId": "1", "businessAccountId": "2" },
            }),
            json!({ "accessToken": "a", "appSecret": "b" }),
        ),
        sms(interface_id, "+4915112345678"),
        connection(
            json!({ "type": "appleMessages", "businessId": "acme-biz" }),
            json!({ "apiSecret": "a" }),
        ),
        connection(
            json!({ "type": "twitterDirectMessage", "accountHandle": "acme_help" }),
            json!({ "consumerKey": "a", "consumerSecret": "b", "accessToken": "c", "accessTokenSecret": "d" }),
        ),
    ]
}
