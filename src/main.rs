// SPDX-License-Identifier: Apache-2.0

//! The command line: thin, everything it does is in the library.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is where the program talks to its caller"
)]

use std::{error::Error, process::ExitCode, sync::Arc, time::Duration};

use clap::Parser;
use digital_messaging_operator::{
    check,
    cli::{Check, Cli, Command, Run},
    generate,
    kubernetes::client::Clients,
    operator,
    telemetry::{
        Telemetry,
        logs::{self, LogFilter},
        traces::Traces,
    },
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(run) => return run_logged(&run),
        Command::Check(check) => check_installation(&check),
        Command::Crds => generate::crds().map(|manifests| print!("{manifests}")).map_err(Into::into),
        Command::Generate { root } => generate::write_files(&root).map_err(Into::into),
    };
    outcome.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
}

type AnyError = Box<dyn Error + Send + Sync>;

fn failed(error: &AnyError) -> ExitCode {
    eprintln!("digital-messaging-operator: {error}");
    ExitCode::FAILURE
}

/// Runs the operator. Why it ends is its last log line, in the format of all others.
#[tokio::main]
async fn run_logged(run: &Run) -> ExitCode {
    let traces = match run.otlp_endpoint.as_ref().map(Traces::to).transpose() {
        Ok(traces) => traces,
        Err(error) => return failed(&error.into()),
    };
    let filter = match logs::start(run.log_format, &run.log_filter, traces.as_ref()) {
        Ok(filter) => filter,
        Err(error) => return failed(&error.into()),
    };
    let ended = run_operator(run, filter).await;
    if let Some(traces) = traces {
        traces.end().await;
    }
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the operator ends");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn check_installation(options: &Check) -> Result<(), AnyError> {
    let config = kubernetes_config().await?;
    let namespace = options.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let clients = Clients::new(config, 8, "check", &Arc::default())?;
    let (scope, url) = (options.scope(), options.url.as_ref());
    check::run(&clients.general, &scope, &namespace, url, options.within).await?;
    println!("definitions and rights are there");
    if let Some(url) = url {
        println!("the operator at {url} is ready");
    }
    Ok(())
}

async fn kubernetes_config() -> Result<kube::Config, String> {
    let mut config = kube::Config::infer()
        .await
        .map_err(|error| format!("no way to a Kubernetes API found: {error}"))?;
    config.connect_timeout = Some(Duration::from_secs(5));
    Ok(config)
}

async fn run_operator(run: &Run, log_filter: LogFilter) -> Result<(), AnyError> {
    let config = kubernetes_config().await?;
    let settings = run.settings(&config.default_namespace)?;
    let metrics = Arc::default();
    let clients = Clients::new(config, run.max_kubernetes_requests.into(), &settings.identity, &metrics)?;
    let listener = TcpListener::bind(run.listen)
        .await
        .map_err(|error| format!("cannot listen on {} (--listen): {error}", run.listen))?;
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let asked = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        asked.cancel();
    });
    let telemetry = Telemetry {
        metrics,
        log_filter: Some(log_filter),
    };
    operator::run(settings, clients, listener, telemetry, stop).await?;
    Ok(())
}
