//! The addresses of the test desktop, and the right to use them.

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};

use crate::{Result, error::Context, eventually};

/// Where the test desktop is.
pub const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 15, 6));
/// Where it is after it moved.
pub const MOVED: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 15, 7));
/// The cache's port, as nix-serve has it.
pub const CACHE_PORT: u16 = 5000;
/// The SSH server's port.
pub const SSH_PORT: u16 = 2222;

/// Long enough for every other test that needs the fixed addresses.
const PATIENCE: Duration = Duration::from_secs(300);

/// The right to use the fixed ports of 127.0.15.6 and 127.0.15.7, held by one test of this machine
/// at a time. It is a lock file: nextest runs tests as processes and `cargo test` as threads, and
/// both must agree.
#[derive(Debug)]
pub struct Ground(#[expect(dead_code, reason = "the lock lasts as long as the file is open")] File);

impl Ground {
    /// Waits for the right.
    ///
    /// # Errors
    /// When the lock file can't be made, or somebody holds it for five minutes.
    pub async fn take() -> Result<Self> {
        Self::take_file(&std::env::temp_dir().join("offload-tests.lock")).await
    }

    /// The cache's address.
    pub const fn cache(&self) -> SocketAddr {
        SocketAddr::new(HERE, CACHE_PORT)
    }

    /// The SSH server's address.
    pub const fn ssh(&self) -> SocketAddr {
        SocketAddr::new(HERE, SSH_PORT)
    }

    async fn take_file(path: &Path) -> Result<Self> {
        // Read-only, so that a file that another user made will do.
        let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = open(path, flags, Mode::from_raw_mode(0o644)).context(path.display())?;
        let file = File::from(file);
        eventually(PATIENCE, "the fixed ports are free", async || {
            flock(&file, FlockOperation::NonBlockingLockExclusive).ok()
        })
        .await?;
        Ok(Self(file))
    }
}

/// A free port of the test desktop, for tests that do not need the fixed ones.
///
/// # Errors
/// When none can be bound.
pub fn free_address() -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((HERE, 0)).context("a port of 127.0.15.6")?;
    listener.local_addr().context("the bound port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_ground_has_one_holder_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let first = Ground::take_file(&path).await.unwrap();

        let second = Ground::take_file(&path);
        tokio::pin!(second);
        let waited = tokio::time::timeout(Duration::from_millis(60), &mut second).await;
        assert!(waited.is_err(), "two hold the ground at once");

        drop(first);
        tokio::time::timeout(Duration::from_secs(5), second)
            .await
            .unwrap()
            .unwrap();
    }
}
