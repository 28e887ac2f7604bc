// SPDX-License-Identifier: Apache-2.0

//! `messaging-manager credentials …`: works on the database file, also while a manager serves it.

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use digital_messaging_contract::account::AuthenticationMethod;
use messaging_manager::{
    Manager,
    config::Config,
    credentials::{CredentialSummary, IssuedCredential, NewCredential},
};

use super::serve::seconds;

/// What to do with credentials.
#[derive(Debug, Subcommand)]
pub(crate) enum Credentials {
    /// Make a Manager ID and its Manager Key, and print both; the key is not shown again
    Create {
        #[command(flatten)]
        common: Common,
        /// The Manager ID; generated if absent
        #[arg(long)]
        manager_id: Option<String>,
        /// How its requests are authenticated
        #[arg(long, value_enum, default_value_t = Method::Jwt)]
        method: Method,
        /// What to call the account; default: the Manager ID
        #[arg(long)]
        name: Option<String>,
    },
    /// List Manager IDs; shows no key
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Make a new Manager Key and print it; the keys before stay valid for the grace period
    Rotate {
        #[command(flatten)]
        common: Common,
        /// The Manager ID
        #[arg(long)]
        manager_id: String,
        /// How long the keys before stay valid, in seconds or as 30s, 15m, 24h, 7d
        #[arg(long, default_value = "24h", value_parser = seconds)]
        grace: Duration,
    },
    /// End keys at once; what the account holds stays
    Revoke {
        #[command(flatten)]
        common: Common,
        /// The Manager ID
        #[arg(long)]
        manager_id: String,
        /// Only the keys before the newest one
        #[arg(long)]
        previous: bool,
    },
}

/// What all have in common.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The database file of the manager
    #[arg(long, env = "MESSAGING_MANAGER_DATABASE")]
    database: PathBuf,
    /// How to print
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Method {
    #[value(name = "JWT", alias = "jwt")]
    Jwt,
    #[value(name = "APIKey", aliases = ["apikey", "api-key"])]
    ApiKey,
}

impl From<Method> for AuthenticationMethod {
    fn from(method: Method) -> Self {
        match method {
            Method::Jwt => Self::Jwt,
            Method::ApiKey => Self::ApiKey,
        }
    }
}

impl Credentials {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create {
                common,
                manager_id,
                method,
                name,
            } => {
                let credentials = common.open().await?;
                let issued = credentials
                    .create(NewCredential {
                        manager_id,
                        name,
                        method: method.into(),
                    })
                    .await?;
                common.print_issued(&issued)
            }
            Self::List { common } => common.print_list(&common.open().await?.list().await?),
            Self::Rotate {
                common,
                manager_id,
                grace,
            } => common.print_issued(&common.open().await?.rotate(&manager_id, grace).await?),
            Self::Revoke {
                common,
                manager_id,
                previous,
            } => {
                let credentials = common.open().await?;
                if previous {
                    credentials.revoke_previous(&manager_id).await?;
                } else {
                    credentials.revoke(&manager_id).await?;
                }
                Ok(())
            }
        }
    }
}

impl Common {
    async fn open(&self) -> anyhow::Result<messaging_manager::credentials::Credentials> {
        let manager = Manager::open(Config::new(&self.database))
            .await
            .with_context(|| format!("database {}", self.database.display()))?;
        Ok(manager.credentials())
    }

    fn print_issued(&self, issued: &IssuedCredential) -> anyhow::Result<()> {
        let mut out = io::stdout();
        match self.output {
            Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(issued)?)?,
            Output::Text => {
                writeln!(out, "Manager ID:  {}", issued.manager_id)?;
                writeln!(out, "Manager Key: {}", issued.manager_key.expose())?;
                writeln!(out, "Method:      {}", issued.method.as_str())?;
            }
        }
        Ok(())
    }

    fn print_list(&self, credentials: &[CredentialSummary]) -> anyhow::Result<()> {
        let mut out = io::stdout();
        match self.output {
            Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(credentials)?)?,
            Output::Text => {
                writeln!(out, "{:<40} {:<8} {:<10} NAME", "MANAGER ID", "METHOD", "VALID KEYS")?;
                for one in credentials {
                    let method = one.method.as_str();
                    writeln!(out, "{:<40} {method:<8} {:<10} {}", one.manager_id, one.valid_keys, one.name)?;
                }
            }
        }
        Ok(())
    }
}
