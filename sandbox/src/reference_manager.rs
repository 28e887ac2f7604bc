// SPDX-License-Identifier: Apache-2.0

//! The reference messaging manager as a process, and what a person does at it by hand.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use digital_messaging_contract::{
    account::{Account, AuthenticationMethod},
    change::Page,
    connection::{Connection, ConnectionSpec, CreatedConnection, JwtSecret, JwtSecretRotation, RotatedConnection},
    header,
    interface::{Interface, InterfaceSpec},
    secret::SecretValue,
    signing,
};
use jiff::Timestamp;
use reqwest::{Client, Method, StatusCode, Url};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    port::free_port,
    process::{Launch, Process},
    program::workspace_binary,
    run::Run,
    waiting::wait_for,
};

const START_DEADLINE: Duration = Duration::from_secs(30);

/// A running `messaging-manager serve` with its database in the run's folder.
#[derive(Debug)]
pub struct ReferenceManager {
    process: Process,
    binary: PathBuf,
    database: PathBuf,
    address_file: PathBuf,
    url: String,
}

/// A Manager ID with its Manager Key, as `messaging-manager credentials create` prints them.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// The Manager ID.
    pub manager_id: String,
    /// The Manager Key.
    pub manager_key: SecretValue,
    /// How requests with it are authenticated.
    pub method: AuthenticationMethod,
}

impl ReferenceManager {
    /// Starts it on a free loopback port, where it stays when it is restarted. http is allowed in the URLs it is given.
    ///
    /// # Errors
    /// When it is not built or does not start; the message has the end of its log.
    pub async fn start(run: &Run) -> Result<Self> {
        Self::start_with(run, &[]).await
    }

    /// Starts it with further arguments of `messaging-manager serve`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(run: &Run, args: &[&str]) -> Result<Self> {
        let binary = workspace_binary("messaging-manager")?;
        let folder = run.subfolder("manager")?;
        let database = folder.join("manager.db");
        let address_file = folder.join("address");
        let mut tries = 5;
        loop {
            tries -= 1;
            let address = format!("127.0.0.1:{}", free_port()?);
            let launch = Launch::new("messaging-manager", &binary)
                .args(["serve", "--listen", &address, "--allow-insecure-urls", "--database"])
                .arg(&database)
                .arg("--address-file")
                .arg(&address_file)
                .args(args.iter().copied());
            let scheme = if args.contains(&"--tls-cert") { "https" } else { "http" };
            let manager = Self {
                process: run.spawn(launch)?,
                binary: binary.clone(),
                database: database.clone(),
                address_file: address_file.clone(),
                url: format!("{scheme}://{address}"),
            };
            match manager.wait_until_listening().await {
                Ok(()) => return Ok(manager),
                // Another process was faster with the port.
                Err(error) if tries > 0 && format!("{error:#}").contains("in use") => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Its address for clients, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The database file.
    #[must_use]
    pub fn database(&self) -> &Path {
        &self.database
    }

    /// The process, to be killed or stopped.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Kills it if it runs, and starts it again on the same address and database.
    ///
    /// # Errors
    /// When it does not listen again.
    pub async fn restart(&self) -> Result<()> {
        self.process.kill()?;
        let _ = fs::remove_file(&self.address_file);
        self.process.restart()?;
        self.wait_until_listening().await
    }

    async fn wait_until_listening(&self) -> Result<()> {
        let listening = wait_for("messaging-manager to listen", START_DEADLINE, async || {
            if self.process.exit_status().is_some() {
                return Ok(false);
            }
            if self.address_file.exists() {
                Ok(true)
            } else {
                bail!("no address yet")
            }
        })
        .await;
        match listening {
            Ok(true) => Ok(()),
            Ok(false) => bail!("messaging-manager ended during its start\n{}", self.process.log_tail()),
            Err(error) => bail!("{error:#}\n{}", self.process.log_tail()),
        }
    }

    /// Makes a Manager ID and its Manager Key, as the manager's administrator would.
    ///
    /// # Errors
    /// When the command fails.
    pub fn create_credential(&self, method: AuthenticationMethod) -> Result<Credential> {
        let answer = self.credentials(&["create", "--output", "json", "--method", method.as_str()])?;
        serde_json::from_str(&answer).context("read the new credential")
    }

    /// Makes a new Manager Key; the old one stays valid for `grace`, such as `24h` or `0s`.
    ///
    /// # Errors
    /// When the command fails.
    pub fn rotate_credential(&self, manager_id: &str, grace: &str) -> Result<Credential> {
        let answer = self.credentials(&["rotate", "--output", "json", "--manager-id", manager_id, "--grace", grace])?;
        serde_json::from_str(&answer).context("read the rotated credential")
    }

    /// Ends all keys of a Manager ID at once.
    ///
    /// # Errors
    /// When the command fails.
    pub fn revoke_credential(&self, manager_id: &str) -> Result<()> {
        self.credentials(&["revoke", "--manager-id", manager_id]).map(drop)
    }

    fn credentials(&self, args: &[&str]) -> Result<String> {
        let output = Command::new(&self.binary)
            .arg("credentials")
            .args(args)
            .arg("--database")
            .arg(&self.database)
            .stdin(Stdio::null())
            .output()
            .context("start messaging-manager credentials")?;
        if !output.status.success() {
            bail!(
                "messaging-manager credentials: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The manager as a client with this credential sees it.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn account(&self, credential: &Credential) -> Result<ManagerAccount> {
        ManagerAccount::new(&self.url, credential.clone())
    }
}

/// A manager at which accounts can be opened.
pub trait OpensAccounts {
    /// Its address for clients, without a slash at the end.
    fn url(&self) -> &str;

    /// Makes a Manager ID and its Manager Key, as the manager's administrator would.
    ///
    /// # Errors
    /// When the manager refuses.
    fn create_credential(&self, method: AuthenticationMethod) -> Result<Credential>;

    /// The manager as a client with this credential sees it.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    fn account(&self, credential: &Credential) -> Result<ManagerAccount>;
}

impl OpensAccounts for ReferenceManager {
    fn url(&self) -> &str {
        Self::url(self)
    }

    fn create_credential(&self, method: AuthenticationMethod) -> Result<Credential> {
        Self::create_credential(self, method)
    }

    fn account(&self, credential: &Credential) -> Result<ManagerAccount> {
        Self::account(self, credential)
    }
}

/// One account at a manager, over HTTP with signed requests and nothing of the operator's own code.
#[derive(Debug)]
pub struct ManagerAccount {
    client: Client,
    url: String,
    credential: Credential,
}

impl ManagerAccount {
    /// An account at the manager at `url`, which has no slash at its end.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(url: &str, credential: Credential) -> Result<Self> {
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
        Ok(Self::with_client(client, url, credential))
    }

    /// The same with a client that knows more: an authority to trust, or where a name is found.
    #[must_use]
    pub fn with_client(client: Client, url: &str, credential: Credential) -> Self {
        Self {
            client,
            url: url.to_owned(),
            credential,
        }
    }

    /// The credential that it is opened with.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// What the manager says of the account and its offer.
    ///
    /// # Errors
    /// When the manager cannot be reached or refuses.
    pub async fn identity(&self) -> Result<Account> {
        self.call(Method::GET, "/v1/manager", None::<&Value>).await
    }

    /// All interfaces.
    ///
    /// # Errors
    /// When the manager cannot be reached or refuses.
    pub async fn interfaces(&self) -> Result<Vec<Interface>> {
        self.list("/v1/interfaces").await
    }

    /// All connections.
    ///
    /// # Errors
    /// When the manager cannot be reached or refuses.
    pub async fn connections(&self) -> Result<Vec<Connection>> {
        self.list("/v1/connections").await
    }

    /// Makes an interface by hand.
    ///
    /// # Errors
    /// When the manager cannot be reached or refuses.
    pub async fn create_interface(&self, spec: &InterfaceSpec) -> Result<Interface> {
        self.call(Method::POST, "/v1/interfaces", Some(spec)).await
    }

    /// Changes an interface by hand with a merge patch.
    ///
    /// # Errors
    /// When the manager cannot be reached or refuses.
    pub async fn patch_interface(&self, id: &str, patch: &Value) -> Result<Interface> {
        self.call(Method::PATCH, &format!("/v1/interfaces/{id}"), Some(patch)).await
    }

    /// Makes a connection by hand.
    ///
    /// # Errors
    /// When the manager cannot be reached or refuses.
    pub async fn create_connection(&self, spec: &ConnectionSpec) -> Result<CreatedConnection> {
        self.call(Method::POST, "/v1/connections", Some(spec)).await
    }

    /// Changes a connection by hand with a merge patch.
    ///
    /// # Errors
    /// When the manager cannot be reached or refuses.
    pub async fn patch_connection(&self, id: &str, patch: &Value) -> Result<Connection> {
        self.call(Method::PATCH, &format!("/v1/connections/{id}"), Some(patch)).await
    }

    /// Deletes a connection by hand.
    ///
    /// # Errors
    /// When the manager cannot be reached or refuses.
    pub async fn delete_connection(&self, id: &str) -> Result<()> {
        self.send(Method::DELETE, &format!("/v1/connections/{id}"), None::<&Value>)
            .await
            .map(drop)
    }

    /// The JWT secret of a connection.
    ///
    /// # Errors
    /// When the manager cannot be reached or refuses.
    pub async fn jwt_secret(&self, id: &str) -> Result<JwtSecret> {
        self.call(Method::GET, &format!("/v1/connections/{id}/jwt-secret"), None::<&Value>)
            .await
    }

    /// Rotates the JWT secret of a connection by hand.
    ///
    /// # Errors
    /// When the manager cannot be reached or refuses.
    pub async fn rotate_jwt_secret(&self, id: &str, token: &str) -> Result<RotatedConnection> {
        let body = JwtSecretRotation { token: token.to_owned() };
        self.call(Method::POST, &format!("/v1/connections/{id}/jwt-secret/rotate"), Some(&body))
            .await
    }

    /// Deletes an interface by hand.
    ///
    /// # Errors
    /// When the manager cannot be reached or refuses.
    pub async fn delete_interface(&self, id: &str) -> Result<()> {
        self.send(Method::DELETE, &format!("/v1/interfaces/{id}"), None::<&Value>)
            .await
            .map(drop)
    }

    async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>> {
        let mut items = Vec::new();
        let mut page_path = path.to_owned();
        loop {
            let page: Page<T> = self.call(Method::GET, &page_path, None::<&Value>).await?;
            items.extend(page.items);
            match page.next_cursor {
                Some(cursor) => page_path = format!("{path}?cursor={cursor}"),
                None => return Ok(items),
            }
        }
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<T> {
        let answer = self.send(method.clone(), path, body).await?;
        serde_json::from_slice(&answer).with_context(|| format!("read the answer to {method} {path}"))
    }

    async fn send(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<Vec<u8>> {
        let url: Url = format!("{}{path}", self.url)
            .parse()
            .with_context(|| format!("the URL of {path}"))?;
        let has_body = body.is_some();
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let key = &self.credential.manager_key;
        let mut request = self.client.request(method.clone(), url.clone());
        request = match self.credential.method {
            AuthenticationMethod::ApiKey => request
                .header(header::MANAGER_ID, &self.credential.manager_id)
                .header("authorization", format!("ApiKey {}", key.expose())),
            AuthenticationMethod::Jwt => {
                let audience = url.origin().ascii_serialization();
                let signed = signing::Request {
                    method: method.as_str(),
                    url: url.as_str(),
                    audience: &audience,
                    body: &body,
                };
                let token = signing::sign(&self.credential.manager_id, key, &signed, Timestamp::now())?;
                request.bearer_auth(token)
            }
        };
        if has_body {
            let media_type = if method == Method::PATCH {
                header::MERGE_PATCH_JSON
            } else {
                "application/json"
            };
            request = request.header("content-type", media_type).body(body);
        }
        let answer = request.send().await.with_context(|| format!("{method} {path}"))?;
        let status = answer.status();
        let text = answer.bytes().await.with_context(|| format!("{method} {path}"))?;
        if !status.is_success() {
            return Err(Refusal {
                status,
                body: String::from_utf8_lossy(&text).into_owned(),
            })
            .with_context(|| format!("{method} {path}"));
        }
        Ok(text.to_vec())
    }
}

/// An answer of the manager that is no success.
#[derive(Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// The problem document, as it came.
    pub body: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.status, self.body)
    }
}

impl std::error::Error for Refusal {}
