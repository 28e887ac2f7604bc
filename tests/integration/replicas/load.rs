// SPDX-License-Identifier: Apache-2.0

//! Changes of specs, all the time.

use std::{collections::BTreeMap, time::Duration};

use digital_messaging_operator::api::ChannelConnection;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{CONNECTIONS, Pair};

/// The pause between two changes of one connection.
const PACE: Duration = Duration::from_millis(300);

/// Changes each connection again and again, past all links.
pub struct Load {
    stop: CancellationToken,
    changing: JoinSet<(String, usize)>,
}

impl Load {
    /// Starts it, and waits until it has an effect at the manager.
    pub async fn start(pair: &Pair) -> Self {
        let stop = CancellationToken::new();
        let mut changing = JoinSet::new();
        for name in CONNECTIONS {
            let api = Api::namespaced(pair.scene.client.clone(), &pair.scene.namespace);
            let stop = stop.clone();
            changing.spawn(async move { (name.to_owned(), change(&api, name, &stop).await) });
        }
        pair.writes_go_on(CONNECTIONS.len()).await;
        pair.assert_the_first_leads().await;
        Self { stop, changing }
    }

    /// Stops it. How often each connection was changed at the most: what was asked while the API server was away may
    /// not have happened.
    pub async fn stop(self) -> BTreeMap<String, usize> {
        self.stop.cancel();
        self.changing.join_all().await.into_iter().collect()
    }
}

async fn change(api: &Api<ChannelConnection>, name: &str, stop: &CancellationToken) -> usize {
    let mut changes = 0;
    loop {
        changes += 1;
        let patch = Patch::Merge(json!({ "spec": { "displayName": format!("Change {changes}") } }));
        let _ = timeout(Duration::from_secs(5), api.patch(name, &PatchParams::default(), &patch)).await;
        if stop.run_until_cancelled(sleep(PACE)).await.is_none() {
            return changes;
        }
    }
}
