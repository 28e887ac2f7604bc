// SPDX-License-Identifier: Apache-2.0

//! The command line.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;
use url::Url;

use crate::{
    desired::pump::Scope,
    kubernetes::lease::{Timing, TimingError},
    manager::{
        transport::{CALL_TIMEOUT, HostPolicy, SystemLookup},
        values::Insecure,
    },
    operator::{Settings, default_identity},
    telemetry::logs::LogFormat,
};

/// Declares digital messaging: credentials, interfaces and channel connections of a messaging manager.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 120)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator.
    Run(Box<Run>),
    /// Check that the operator can work here, and that one does. What `helm test` runs.
    Check(Check),
    /// Print the custom resource definitions.
    Crds,
    /// Write the files of a checkout of this project that are generated from code: crds/, the chart with them, the tables in docs/.
    Generate {
        /// Root of the checkout.
        #[arg(long, default_value = ".")]
        root: PathBuf,
    },
}

/// Options of `run`. Each is also an environment variable.
#[derive(Args, Debug)]
pub struct Run {
    /// Namespaces to watch, separated by commas. Default: all.
    #[arg(long, env = "WATCH_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACE")]
    pub namespaces: Vec<String>,

    /// The operator's own namespace, for its Lease and its installation Secret. Default: that of its service account or kubeconfig.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// Name of this installation: the first part of every external reference at a manager. Default: generated once and kept
    /// in Secret digital-messaging-operator-installation. Changing it orphans what was made under the old name.
    #[arg(long, env = "INSTALLATION", value_name = "NAME", value_parser = parse_installation)]
    pub installation: Option<String>,

    /// Who this process is among the replicas. Default: the pod's name and a random part.
    #[arg(long, env = "LEADER_ELECTION_IDENTITY", value_name = "NAME")]
    pub identity: Option<String>,

    /// How long a lease lasts without renewal, in whole seconds: after a crash another replica takes over that much later.
    #[arg(long, env = "LEASE_DURATION", value_name = "DURATION", default_value = "15s", value_parser = parse_duration)]
    pub lease_duration: Duration,

    /// After this time without renewal the leader stops writing, and ends. What it has begun ends in the time that is left of
    /// the lease.
    #[arg(long, env = "LEASE_RENEW_DEADLINE", value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub lease_renew_deadline: Duration,

    /// How often the leader renews its lease. A standby looks twice as often.
    #[arg(long, env = "LEASE_RETRY_PERIOD", value_name = "DURATION", default_value = "2s", value_parser = parse_duration)]
    pub lease_retry_period: Duration,

    /// Manager hosts that may be called, separated by commas; `*.example.com` allows all names below it. Default: any public host.
    #[arg(long, env = "ALLOWED_MANAGER_HOSTS", value_delimiter = ',', value_name = "HOST")]
    pub allowed_manager_hosts: Vec<String>,

    /// Also call managers whose address is not public: loopback, private and link-local ranges.
    #[arg(long, env = "ALLOW_PRIVATE_HOSTS")]
    pub allow_private_hosts: bool,

    /// Networks that may be called although they are not public, separated by commas, e.g. 10.20.0.0/16. Narrower than
    /// --allow-private-hosts, which also opens the way to this machine and to the metadata of the cloud.
    #[arg(long, env = "ALLOWED_PRIVATE_NETWORKS", value_delimiter = ',', value_name = "CIDR")]
    pub allowed_private_networks: Vec<IpNet>,

    /// Also accept http where https is required. For tests and sandboxes only: keys travel unprotected.
    #[arg(long, env = "ALLOW_INSECURE_ENDPOINTS")]
    pub allow_insecure_endpoints: bool,

    /// How often something that waits is looked at again although nothing is known to have changed, e.g. 10m. From 10s.
    #[arg(long, env = "RECHECK_INTERVAL", value_name = "DURATION", default_value = "10m", value_parser = parse_period)]
    pub recheck_interval: Duration,

    /// How long an object may have work due without a reconcile coming to an end before a metric counts it and an event says so.
    /// What waits for a person does not count. From 10s.
    #[arg(long, env = "STALE_AFTER", value_name = "DURATION", default_value = "15m", value_parser = parse_period)]
    pub stale_after: Duration,

    /// How long nothing at all may be finished, while there is something to do, before /livez fails. From 1m, because a
    /// single call to a manager or to the Kubernetes API may take 20 s.
    #[arg(long, env = "WEDGED_AFTER", value_name = "DURATION", default_value = "10m", value_parser = parse_limit)]
    pub wedged_after: Duration,

    /// Requests to the Kubernetes API that may be under way at the same time.
    #[arg(long, env = "MAX_KUBERNETES_REQUESTS", value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u16).range(8..=1024))]
    pub max_kubernetes_requests: u16,

    /// Address for /livez, /readyz, /metrics and, from the loopback interface only, /log-filter.
    #[arg(long, env = "LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Collector that traces are sent to by OTLP over HTTP, e.g. `http://collector.monitoring:4318`. Default: none are made.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<Url>,

    /// How log lines look.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// Which log lines to write: a level (error, warn, info, debug, trace), also for single modules as in `info,kube=debug`.
    /// Can be changed while the operator runs: PUT another one to /log-filter.
    #[arg(long, env = "LOG_FILTER", value_name = "FILTER", default_value = "info")]
    pub log_filter: String,
}

/// Options of `check`.
#[derive(Args, Debug)]
pub struct Check {
    /// Namespaces that are watched, separated by commas. Default: all.
    #[arg(long, env = "WATCH_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACE")]
    pub namespaces: Vec<String>,

    /// The operator's own namespace. Default: that of the service account or kubeconfig.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// Address of the /readyz of an operator that is to be ready, too. Default: none is asked.
    #[arg(long, value_name = "URL")]
    pub url: Option<Url>,

    /// How long that operator may take to be ready, e.g. 30s.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub within: Duration,
}

impl Check {
    /// What is watched.
    pub fn scope(&self) -> Scope {
        scope(&self.namespaces)
    }
}

/// All namespaces if none is named.
fn scope(namespaces: &[String]) -> Scope {
    let names: BTreeSet<String> = namespaces
        .iter()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    if names.is_empty() {
        Scope::Cluster
    } else {
        Scope::Namespaces(names)
    }
}

impl Run {
    /// The settings; `default_namespace` is that of the service account or kubeconfig.
    ///
    /// # Errors
    /// If options do not make sense together.
    pub fn settings(&self, default_namespace: &str) -> Result<Settings, TimingError> {
        let lease = Timing::new(self.lease_duration, self.lease_renew_deadline, self.lease_retry_period)?;
        Ok(Settings {
            scope: scope(&self.namespaces),
            namespace: self.namespace.clone().unwrap_or_else(|| default_namespace.to_owned()),
            installation: self.installation.clone(),
            identity: self.identity.clone().unwrap_or_else(default_identity),
            lease,
            hosts: HostPolicy {
                allowed: self
                    .allowed_manager_hosts
                    .iter()
                    .map(|host| host.trim().to_owned())
                    .filter(|host| !host.is_empty())
                    .collect(),
                private: self.allow_private_hosts,
                networks: self.allowed_private_networks.clone(),
                insecure: if self.allow_insecure_endpoints {
                    Insecure::Allowed
                } else {
                    Insecure::Refused
                },
            },
            lookup: Arc::new(SystemLookup),
            recheck: self.recheck_interval,
            stale_after: self.stale_after,
            wedged_after: self.wedged_after,
            settles: CALL_TIMEOUT,
        })
    }
}

fn parse_installation(raw: &str) -> Result<String, String> {
    let valid = (1..=63).contains(&raw.len()) && raw.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if valid {
        Ok(raw.to_owned())
    } else {
        Err("must have 1 to 63 characters of a-z, 0-9 and '-'".to_owned())
    }
}

fn parse_duration(raw: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = raw
        .parse()
        .map_err(|error| format!("must be a duration like 90s or 10m: {error}"))?;
    Duration::try_from(span).map_err(|_| "must not be negative".to_owned())
}

fn parse_period(raw: &str) -> Result<Duration, String> {
    parse_from(raw, Duration::from_secs(10), "10s")
}

fn parse_limit(raw: &str) -> Result<Duration, String> {
    parse_from(raw, Duration::from_mins(1), "1m")
}

fn parse_from(raw: &str, least: Duration, least_text: &str) -> Result<Duration, String> {
    let duration = parse_duration(raw)?;
    if duration < least {
        Err(format!("must be at least {least_text}"))
    } else {
        Ok(duration)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn run(arguments: &[&str]) -> Run {
        let all = ["digital-messaging-operator", "run"].iter().chain(arguments);
        match Cli::try_parse_from(all).unwrap().command {
            Command::Run(run) => *run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn everything_dangerous_is_off_by_default() {
        let settings = run(&[]).settings("messaging").unwrap();
        assert_eq!(settings.scope, Scope::Cluster);
        assert_eq!(settings.namespace, "messaging");
        assert!(settings.hosts.networks.is_empty());
        assert!(!settings.hosts.private && settings.hosts.insecure == Insecure::Refused && settings.hosts.allowed.is_empty());
    }

    #[test]
    fn lists_are_separated_by_commas() {
        let settings = run(&["--namespaces", "a, b,", "--allowed-manager-hosts", "m.example,*.eu.example"])
            .settings("x")
            .unwrap();
        assert_eq!(settings.scope, Scope::Namespaces(["a".to_owned(), "b".to_owned()].into()));
        assert_eq!(settings.hosts.allowed, ["m.example", "*.eu.example"]);
    }

    #[test]
    fn durations_of_the_lease_must_make_sense_together() {
        assert_eq!(run(&[]).settings("x").unwrap().lease, Timing::default());
        let shorter = run(&["--lease-duration", "8s"]).settings("x").unwrap_err().to_string();
        assert!(shorter.contains("--lease-renew-deadline"), "{shorter}");
    }

    #[test]
    fn bad_values_are_refused_with_what_would_be_good() {
        for (flag, value, expected) in [
            ("--installation", "a/b", "a-z"),
            ("--allowed-private-networks", "10.0.0.0", "CIDR"),
            ("--recheck-interval", "1s", "at least 10s"),
            ("--recheck-interval", "soon", "90s"),
            ("--lease-duration", "soon", "90s"),
            ("--stale-after", "9s", "at least 10s"),
            ("--wedged-after", "59s", "at least 1m"),
            ("--max-kubernetes-requests", "1", "8"),
        ] {
            let error = Cli::try_parse_from(["digital-messaging-operator", "run", flag, value])
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
