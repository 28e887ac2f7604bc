// SPDX-License-Identifier: Apache-2.0

//! How the accounts are, in sums: an account is nothing that may become a label, so what one of them contributes is taken
//! out of the sums again when it changes or goes.

use std::sync::{Arc, Mutex, PoisonError};

use super::metrics::Metrics;

/// How an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountState {
    /// Not known yet.
    Starting,
    /// Called as much as declared.
    Up,
    /// Called less than declared, because the manager asked for it.
    Throttled,
    /// Not reachable: only one attempt at a time, ever more slowly.
    Down,
    /// The manager refuses the credentials: only a change helps.
    Refused,
}

impl AccountState {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Throttled => "throttled",
            Self::Down => "down",
            Self::Refused => "refused",
        }
    }
}

/// What one account contributes to the sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// How it is.
    pub state: AccountState,
    /// Calls under way, observation apart.
    pub under_way: usize,
    /// Calls allowed at the same time for now.
    pub allowed: u32,
    /// Requests that wait for their turn.
    pub waiting: usize,
}

/// The contribution of one account; ends with its session.
pub struct AccountLoad {
    metrics: Arc<Metrics>,
    load: Mutex<Load>,
}

impl AccountLoad {
    /// An account that nothing is known of yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let load = Load {
            state: AccountState::Starting,
            under_way: 0,
            allowed: 0,
            waiting: 0,
        };
        metrics.add_load(&load, 1);
        Self {
            metrics,
            load: Mutex::new(load),
        }
    }

    /// Changes what it contributes.
    pub fn set(&self, change: impl FnOnce(&mut Load)) {
        let mut load = self.load.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *load;
        change(&mut load);
        if *load != before {
            self.metrics.add_load(&before, -1);
            self.metrics.add_load(&load, 1);
        }
    }
}

impl Drop for AccountLoad {
    fn drop(&mut self) {
        let load = *self.load.lock().unwrap_or_else(PoisonError::into_inner);
        self.metrics.add_load(&load, -1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_leaves_nothing_behind_in_the_sums() {
        let metrics = Arc::new(Metrics::default());
        let account = AccountLoad::new(metrics.clone());
        let other = AccountLoad::new(metrics.clone());
        account.set(|load| {
            load.state = AccountState::Down;
            load.under_way = 3;
            load.allowed = 32;
            load.waiting = 7;
        });
        other.set(|load| load.waiting = 1);
        let text = metrics.encode().unwrap();
        for expected in [
            "digital_messaging_accounts{state=\"down\"} 1",
            "digital_messaging_accounts{state=\"starting\"} 1",
            "digital_messaging_manager_requests_in_flight 3",
            "digital_messaging_manager_requests_allowed 32",
            "digital_messaging_manager_requests_waiting 8",
        ] {
            assert!(text.contains(expected), "no {expected} in {text}");
        }
        drop((account, other));
        let text = metrics.encode().unwrap();
        for expected in [
            "digital_messaging_accounts{state=\"down\"} 0",
            "digital_messaging_manager_requests_in_flight 0",
            "digital_messaging_manager_requests_allowed 0",
            "digital_messaging_manager_requests_waiting 0",
        ] {
            assert!(text.contains(expected), "no {expected} in {text}");
        }
    }
}
