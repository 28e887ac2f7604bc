// SPDX-License-Identifier: Apache-2.0

//! Logs: for people or for machines, on standard error. Which lines are written can be changed while the process runs.

use std::{
    io::IsTerminal,
    sync::{Arc, Mutex, PoisonError},
};

use clap::ValueEnum;
use thiserror::Error;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::LevelFilter,
    layer::SubscriberExt,
    reload,
    util::{SubscriberInitExt, TryInitError},
};

use super::traces::Traces;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Human,
}

/// Why a filter is not taken.
#[derive(Debug, Error)]
pub enum FilterError {
    /// A word that is neither a level nor a module with one. Taken for a module, it would silence everything else.
    #[error("{0} is no level: use error, warn, info, debug, trace or off, alone or after a module as in info,kube=debug")]
    NoLevel(String),
    /// It cannot be parsed.
    #[error("not a filter like info,kube=debug: {0}")]
    Parse(#[from] tracing_subscriber::filter::ParseError),
    /// Logging has ended.
    #[error("the filter cannot be changed any more: {0}")]
    Gone(#[from] reload::Error),
}

/// Why logging cannot be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// The filter is not taken.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// It was started before.
    #[error(transparent)]
    Started(#[from] TryInitError),
}

/// Which log lines are written.
#[derive(Clone)]
pub struct LogFilter {
    handle: reload::Handle<EnvFilter, Registry>,
    text: Arc<Mutex<String>>,
}

impl LogFilter {
    /// The filter, as it was given.
    pub fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes another one. The process starts with the one of its command line again.
    ///
    /// # Errors
    /// If it is none; then the last one stays.
    pub fn set(&self, filter: &str) -> Result<(), FilterError> {
        let parsed = parse(filter)?;
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        self.handle.reload(parsed)?;
        filter.trim().clone_into(&mut text);
        Ok(())
    }
}

/// Starts logging, and collecting spans if `traces` are to be sent. `filter` as in `RUST_LOG`, e.g.
/// `info,digital_messaging_operator=debug`.
///
/// # Errors
/// If the filter cannot be parsed, or logging was started before.
pub fn start(format: LogFormat, filter: &str, traces: Option<&Traces>) -> Result<LogFilter, StartError> {
    let (reloadable, handle) = reload::Layer::new(parse(filter)?);
    let lines = match format {
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr)
            .boxed(),
        LogFormat::Human => tracing_subscriber::fmt::layer()
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr)
            .boxed(),
    };
    let mut layers = vec![lines.with_filter(reloadable).boxed()];
    layers.extend(traces.map(Traces::layer));
    tracing_subscriber::registry().with(layers).try_init()?;
    Ok(LogFilter {
        handle,
        text: Arc::new(Mutex::new(filter.trim().to_owned())),
    })
}

fn parse(filter: &str) -> Result<EnvFilter, FilterError> {
    let words = filter.split(',').map(str::trim).filter(|word| !word.is_empty());
    let mut plain = words.filter(|word| !word.contains(['=', '[']));
    if let Some(word) = plain.find(|word| word.parse::<LevelFilter>().is_err()) {
        return Err(FilterError::NoLevel(word.to_owned()));
    }
    Ok(EnvFilter::try_new(filter.trim())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_does_not_silence_the_log() {
        for filter in [
            "info",
            "debug,kube=warn",
            " TRACE ",
            "off",
            "warn,digital_messaging_operator[span]=debug",
            "",
        ] {
            assert!(parse(filter).is_ok(), "{filter}");
        }
        for filter in ["debg", "info,kube", "kube=loud"] {
            assert!(parse(filter).is_err(), "{filter}");
        }
        let said = parse("debg").unwrap_err().to_string();
        assert!(
            said.contains("debg is no level") && said.contains("info,kube=debug"),
            "{said}"
        );
    }
}
