//! A connection to this machine's nix-daemon, which forks a process of its own for it.

use std::path::Path;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::{
    wire::{Ended, Wire, number},
    worker::{self, Hello},
};

/// One end of its socket.
pub(super) struct Daemon(UnixStream);

impl Daemon {
    /// Connects, and goes to the point where Nix would ask for something; `None` where nobody answers so.
    pub(super) async fn connect(socket: &Path) -> Option<(Self, Hello)> {
        let mut daemon = Self(UnixStream::connect(socket).await.ok()?);
        daemon.write(&worker::greeting()).await;
        if number(&mut daemon, "magic").await != Ok(worker::MAGIC) {
            return None;
        }
        let hello = worker::greet(&mut daemon).await.ok()?;
        Some((daemon, hello))
    }
}

impl Wire for Daemon {
    async fn read(&mut self, into: &mut [u8]) -> Result<(), Ended> {
        self.0.read_exact(into).await.map(drop).map_err(|_| Ended)
    }

    async fn write(&mut self, bytes: &[u8]) {
        // Where it can't be written the answer does not come.
        let _ = self.0.write_all(bytes).await;
    }
}
