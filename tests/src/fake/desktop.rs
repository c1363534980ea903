//! A whole fake desktop: cache and builder at one address, with one switch.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{Cache, Fault, SshServer};
use crate::{Result, error::Context, keys};

/// A cache and an SSH server that move, stop and break together.
#[derive(Debug)]
pub struct Desktop {
    /// Its cache.
    pub cache: Cache,
    /// Its builder.
    pub ssh: SshServer,
    user_key: PathBuf,
    _directory: TempDir,
}

impl Desktop {
    /// Starts both, and makes a user key that the SSH server lets in.
    ///
    /// # Errors
    /// When an address can't be bound.
    pub async fn start(cache: SocketAddr, ssh: SocketAddr) -> Result<Self> {
        let directory = tempfile::tempdir().context("a directory for the user's key")?;
        let user_key = directory.path().join("builder_ed25519");
        let key = keys::ed25519()?;
        keys::write(&key, &user_key)?;
        Ok(Self {
            cache: Cache::start(cache).await?,
            ssh: SshServer::start(ssh, key.public_key().clone()).await?,
            user_key,
            _directory: directory,
        })
    }

    /// The private key that is let in.
    pub fn user_key(&self) -> &Path {
        &self.user_key
    }

    /// Switches both.
    ///
    /// # Errors
    /// As [`super::Control::set`].
    pub async fn set(&self, fault: Fault) -> Result<()> {
        self.cache.set(fault).await?;
        self.ssh.set(fault).await
    }

    /// Moves both to another host address; their ports stay.
    ///
    /// # Errors
    /// As [`super::Control::move_to`].
    pub async fn move_to(&self, host: IpAddr) -> Result<()> {
        for control in [&*self.cache, &*self.ssh] {
            control
                .move_to(SocketAddr::new(host, control.address().port()))
                .await?;
        }
        Ok(())
    }
}
