// SPDX-License-Identifier: Apache-2.0

//! A way to a server that can be cut: a TCP proxy on loopback, for tests of what happens when the network fails.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

use crate::certificates::write_private;

/// A way to one server. Dropping it cuts it for good.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    server: SocketAddr,
    state: watch::Sender<State>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    mode: Mode,
    /// Connections made so far.
    connections: u64,
    /// Connections before this one are silent for good.
    silent_before: u64,
    /// Connections before this one are closed.
    closed_before: u64,
    /// What the client has sent and does not get through for now, by connection.
    held: BTreeMap<u64, Vec<u8>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Open,
    Refused,
    Silent,
}

impl State {
    fn lets_through(&self, connection: u64) -> bool {
        self.mode == Mode::Open && connection >= self.silent_before
    }

    fn closes(&self, connection: u64) -> bool {
        self.mode == Mode::Refused || connection < self.closed_before
    }
}

impl Link {
    /// A way to the server at this address.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn to(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("listen on loopback")?;
        let address = listener.local_addr()?;
        let state = watch::Sender::default();
        let accepting = tokio::spawn(accept(listener, server, state.clone()));
        Ok(Self {
            address,
            server,
            state,
            accepting,
        })
    }

    /// Where to connect instead of the server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections, and every new one at once: the server is down.
    pub fn refuse(&self) {
        self.state.send_modify(|state| {
            state.mode = Mode::Refused;
            state.closed_before = state.connections;
        });
    }

    /// Nothing gets through any more, and nobody is told: packets are lost. What was sent meanwhile arrives after
    /// [`Self::restore`].
    pub fn silence(&self) {
        self.state.send_modify(|state| state.mode = Mode::Silent);
    }

    /// The same for the connections there are, for good; new ones work: something on the way has forgotten them.
    pub fn silence_present_connections(&self) {
        self.state.send_modify(|state| state.silent_before = state.connections);
    }

    /// Lets everything through again.
    pub fn restore(&self) {
        self.state.send_modify(|state| state.mode = Mode::Open);
    }

    /// On how many connections the client has sent something that begins like this, and does not get through for now.
    #[must_use]
    pub fn held(&self, beginning: &[u8]) -> usize {
        let state = self.state.borrow();
        state.held.values().filter(|sent| sent.starts_with(beginning)).count()
    }

    /// A copy of a kubeconfig of this server that goes this way.
    ///
    /// # Errors
    /// When it cannot be read or written, or is of another server.
    pub fn kubeconfig(&self, of_server: &Path) -> Result<PathBuf> {
        let text = fs::read_to_string(of_server).with_context(|| format!("read {}", of_server.display()))?;
        let (server, link) = (format!("https://{}", self.server), format!("https://{}", self.address));
        anyhow::ensure!(text.contains(&server), "{} is not of {server}", of_server.display());
        let path = of_server.with_extension(format!("by-{}.kubeconfig", self.address.port()));
        write_private(&path, &text.replace(&server, &link))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
        self.refuse();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, state: watch::Sender<State>) {
    while let Ok((client, _)) = listener.accept().await {
        let mut connection = 0;
        state.send_modify(|state| {
            connection = state.connections;
            state.connections += 1;
        });
        tokio::spawn(serve(client, server, connection, state.clone()));
    }
}

/// Ends when one side closes, or the connection is refused; both sides are closed then.
async fn serve(client: TcpStream, server: SocketAddr, connection: u64, state: watch::Sender<State>) {
    let mut watched = state.subscribe();
    // What `wait_for` gives locks the state: nothing of it may live on while the rest is dropped.
    let refused = async { drop(watched.wait_for(|state| state.closes(connection)).await) };
    let carried = async {
        let mut open = state.subscribe();
        open.wait_for(|state| state.lets_through(connection)).await.ok()?;
        let server = TcpStream::connect(server).await.ok()?;
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::join!(
            carry(from_client, to_server, connection, &state, true),
            carry(from_server, to_client, connection, &state, false),
        );
        Some(())
    };
    tokio::select! {
        _ = carried => {}
        () = refused => {}
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    connection: u64,
    state: &watch::Sender<State>,
    is_from_client: bool,
) {
    let mut open = state.subscribe();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        let bytes = buffer.get(..read).unwrap_or_default();
        if !open.borrow_and_update().lets_through(connection) {
            // Delivered later.
            let _held = is_from_client.then(|| Held::new(state, connection, bytes));
            if open.wait_for(|state| state.lets_through(connection)).await.is_err() {
                return;
            }
        }
        if bytes.is_empty() {
            return drop(to.shutdown().await);
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

/// Lists something as held for as long as it is.
struct Held<'a> {
    state: &'a watch::Sender<State>,
    connection: u64,
}

impl<'a> Held<'a> {
    fn new(state: &'a watch::Sender<State>, connection: u64, bytes: &[u8]) -> Self {
        state.send_modify(|state| drop(state.held.insert(connection, bytes.to_owned())));
        Self { state, connection }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.state.send_modify(|state| drop(state.held.remove(&self.connection)));
    }
}
