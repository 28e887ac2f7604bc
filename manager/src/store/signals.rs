// SPDX-License-Identifier: Apache-2.0

//! Wakes the long polls of an account the moment a write of it has been committed.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::watch;

/// One channel an account; it carries the newest revision.
#[derive(Debug, Default)]
pub(super) struct Signals {
    accounts: Mutex<HashMap<String, watch::Sender<u64>>>,
}

impl Signals {
    pub(super) fn subscribe(&self, account: &str) -> watch::Receiver<u64> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.entry(account.to_owned()).or_default().subscribe()
    }

    pub(super) fn announce(&self, account: &str, revision: u64) {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = accounts.get(account) {
            sender.send_replace(revision);
        }
    }
}
