// SPDX-License-Identifier: Apache-2.0

//! Kubernetes events: only when something turns into trouble or out of it, and never waited for.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::sync::mpsc;

use super::lease::Leadership;
use crate::telemetry::metrics::Metrics;

/// Events that may wait to be sent. They are for people; when more happens at once, later ones say the same.
const QUEUE: usize = 256;

/// Takes events and sends them in the background.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<(ObjectReference, Event)>,
    metrics: Arc<Metrics>,
}

impl Events {
    /// Starts sending. The future ends when all handles are dropped.
    pub fn new(
        client: Client,
        instance: String,
        leadership: Arc<Leadership>,
        metrics: Arc<Metrics>,
    ) -> (Self, impl Future<Output = ()>) {
        let (queue, mut waiting) = mpsc::channel::<(ObjectReference, Event)>(QUEUE);
        let reporter = Reporter {
            controller: "digital-messaging-operator".to_owned(),
            instance: Some(instance),
        };
        let recorder = Recorder::new(client, reporter);
        let counted = metrics.clone();
        let send = async move {
            while let Some((regarding, event)) = waiting.recv().await {
                if leadership.permit().is_none() {
                    continue;
                }
                let result = match recorder.publish(&event, &regarding).await {
                    Ok(()) => "ok",
                    Err(error) => {
                        tracing::debug!(%error, "an event was not taken");
                        "error"
                    }
                };
                counted.kubernetes_write("events", "create", result);
            }
        };
        (Self { queue, metrics }, send)
    }

    /// Sends an event about an object.
    pub fn publish(&self, regarding: ObjectReference, warning: bool, reason: &str, note: &str) {
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_owned(),
            note: Some(crate::manager::error::one_line(note, 900)),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if self.queue.try_send((regarding, event)).is_err() {
            self.metrics.event_dropped();
        }
    }
}
