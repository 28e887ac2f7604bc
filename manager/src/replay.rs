// SPDX-License-Identifier: Apache-2.0

//! The memory of used tokens: each is good for one request.
//!
//! Bounded per account. A token is forgotten once it would be refused for its age, so the memory holds what an
//! account can send in six minutes. When it is full the account has to wait: fail closed, and only for itself.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::digest;

/// Tokens an account may have in memory.
const CAPACITY: usize = 250_000;

/// How many insertions pass between two looks for forgettable ones.
const SWEEP_EVERY: usize = 4096;

/// What the memory says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    First,
    Repeated,
    /// Not remembered: no room.
    NoRoom,
}

#[derive(Debug, Default)]
pub(crate) struct ReplayMemory {
    accounts: Mutex<HashMap<String, Used>>,
}

#[derive(Debug, Default)]
struct Used {
    until: HashMap<Vec<u8>, i64>,
    since_sweep: usize,
}

/// What is remembered of a token, whatever the length of its `jti`.
pub(crate) fn fingerprint(account: &str, jti: &str) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(account.as_bytes());
    context.update(&[0]);
    context.update(jti.as_bytes());
    context.finish().as_ref().to_vec()
}

impl ReplayMemory {
    /// Remembers a token until it expires. Times are in seconds since the epoch.
    pub(crate) fn remember(&self, account: &str, digest: Vec<u8>, expires_at: i64, now: i64) -> Use {
        self.remember_up_to(CAPACITY, account, digest, expires_at, now)
    }

    fn remember_up_to(&self, capacity: usize, account: &str, digest: Vec<u8>, expires_at: i64, now: i64) -> Use {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let used = accounts.entry(account.to_owned()).or_default();
        if used.until.contains_key(&digest) {
            return Use::Repeated;
        }
        used.since_sweep += 1;
        if used.since_sweep >= SWEEP_EVERY || used.until.len() >= capacity {
            used.until.retain(|_, until| *until >= now);
            used.since_sweep = 0;
        }
        if used.until.len() >= capacity {
            return Use::NoRoom;
        }
        used.until.insert(digest, expires_at);
        Use::First
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_once_per_account() {
        let memory = ReplayMemory::default();
        assert_eq!(memory.remember("a", fingerprint("a", "1"), 100, 0), Use::First);
        assert_eq!(memory.remember("a", fingerprint("a", "1"), 100, 0), Use::Repeated);
        assert_eq!(memory.remember("b", fingerprint("b", "1"), 100, 0), Use::First);
    }

    #[test]
    fn a_full_memory_refuses_until_tokens_expire() {
        let memory = ReplayMemory::default();
        let remember = |jti: &str, now| memory.remember_up_to(2, "a", fingerprint("a", jti), now + 10, now);
        assert_eq!(remember("1", 0), Use::First);
        assert_eq!(remember("2", 0), Use::First);
        assert_eq!(remember("3", 0), Use::NoRoom);
        assert_eq!(
            memory.remember_up_to(2, "b", fingerprint("b", "3"), 10, 0),
            Use::First,
            "another account has its own room"
        );
        assert_eq!(remember("3", 11), Use::First);
    }
}
