// SPDX-License-Identifier: Apache-2.0

//! Loopback ports for servers that cannot pick and tell one themselves.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};
use rand::Rng;

/// Below what Linux (32768) and macOS (49152) hand to outgoing connections: a port that such a connection may take
/// meanwhile would make the restart of a server fail now and then.
const RANGE: std::ops::Range<u16> = 16_000..32_000;

/// A loopback port that is free now. Another process may still take it first, so a start that fails for an address in
/// use has to be repeated with another port.
///
/// # Errors
/// When 100 tries find none.
pub fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let port = rand::rng().random_range(RANGE);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("found no free loopback port in {RANGE:?}")
}
