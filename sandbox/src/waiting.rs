// SPDX-License-Identifier: Apache-2.0

//! Waiting for something to become true, with a deadline and a message that says what was still missing.

use std::{
    fmt::{Debug, Display},
    time::Duration,
};

use anyhow::{Result, anyhow, bail};
use futures::StreamExt;
use kube::{
    Api,
    runtime::{WatchStreamExt, watcher},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Repeats `check` until it succeeds; its error says what is still missing.
///
/// The pause between two checks grows from 10 ms to 500 ms.
///
/// # Errors
/// After `within`, with the last thing that was missing.
pub async fn wait_for<T, E: Display>(
    what: impl Display,
    within: Duration,
    mut check: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    let mut pause = Duration::from_millis(10);
    let mut missing = None;
    loop {
        match timeout_at(deadline, check()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => missing = Some(format!("{error:#}")),
            Err(_) => {}
        }
        if Instant::now() + pause > deadline {
            let missing = missing.unwrap_or_else(|| "no check ended in time".to_owned());
            bail!("waited {within:?} for {what}; last: {missing}");
        }
        sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_millis(500));
    }
}

/// Watches one object until `check` succeeds on it (or on its absence); the error of `check` says what is missing.
///
/// # Errors
/// After `within`, with the last thing that was missing.
pub async fn wait_for_object<K, T, E: Display>(
    api: &Api<K>,
    name: &str,
    what: impl Display,
    within: Duration,
    mut check: impl FnMut(Option<&K>) -> Result<T, E>,
) -> Result<T>
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut missing = "no event".to_owned();
    let watched = async {
        let mut states = std::pin::pin!(watcher::watch_object(api.clone(), name).default_backoff());
        while let Some(state) = states.next().await {
            match state {
                Ok(object) => match check(object.as_ref()) {
                    Ok(value) => return Ok(value),
                    Err(error) => missing = format!("{error:#}"),
                },
                Err(error) => missing = format!("watch: {error}"),
            }
        }
        Err(anyhow!("the watch of {name} ended"))
    };
    match timeout(within, watched).await {
        Ok(outcome) => outcome,
        Err(_) => bail!("waited {within:?} for {what} ({name}); last: {missing}"),
    }
}

/// Watches one object until its condition has this status, and returns the condition.
///
/// # Errors
/// After `within`, with the condition as it was then.
pub async fn wait_for_condition<K>(
    api: &Api<K>,
    name: &str,
    condition_type: &str,
    status: &str,
    within: Duration,
) -> Result<Condition>
where
    K: kube::Resource + Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
{
    let what = format!("condition {condition_type}={status}");
    wait_for_object(api, name, what, within, |object| {
        let object = object.ok_or_else(|| anyhow!("the object does not exist"))?;
        let found = Condition::of(object, condition_type).ok_or_else(|| anyhow!("no condition {condition_type}"))?;
        let current = found.observed_generation.is_none() || found.observed_generation == object.meta().generation;
        if found.status == status && current {
            Ok(found)
        } else {
            Err(anyhow!("{found}"))
        }
    })
    .await
}

/// A status condition, as any kind has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Such as `Ready`.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word for machines.
    #[serde(default)]
    pub reason: String,
    /// One sentence for people.
    #[serde(default)]
    pub message: String,
    /// The generation of the spec that it speaks of.
    pub observed_generation: Option<i64>,
}

impl Condition {
    /// All conditions in `status.conditions`.
    pub fn all(object: &impl Serialize) -> Vec<Self> {
        let object = serde_json::to_value(object).unwrap_or_default();
        object
            .pointer("/status/conditions")
            .and_then(|conditions| serde_json::from_value(conditions.clone()).ok())
            .unwrap_or_default()
    }

    /// The condition of this type, if the object has it.
    pub fn of(object: &impl Serialize, type_: &str) -> Option<Self> {
        Self::all(object).into_iter().find(|condition| condition.type_ == type_)
    }
}

impl Display for Condition {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}={} {}: {}", self.type_, self.status, self.reason, self.message)
    }
}
