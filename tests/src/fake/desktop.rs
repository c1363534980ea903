//! A whole fake desktop: cache and builder at one address, with one switch.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use tokio::sync::Mutex;

use super::{Cache, Fault, SshServer, port::Nobody};
use crate::{
    Result,
    error::Context,
    ground::{HERE, MOVED},
    keys,
};

/// A cache and an SSH server that move, stop and break together.
#[derive(Debug)]
pub struct Desktop {
    /// Its cache.
    pub cache: Cache,
    /// Its builder.
    pub ssh: SshServer,
    /// What stands at its other address while it is off the network.
    elsewhere: Mutex<Vec<Nobody>>,
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
            elsewhere: Mutex::default(),
            user_key,
            _directory: directory,
        })
    }

    /// The private key that is let in.
    pub fn user_key(&self) -> &Path {
        &self.user_key
    }

    /// Switches both. A network without the desktop ([`Fault::BlackHole`]) is silent at both of its
    /// addresses: this machine's own would refuse.
    ///
    /// # Errors
    /// As [`super::Control::set`].
    pub async fn set(&self, fault: Fault) -> Result<()> {
        self.cache.set(fault).await?;
        self.ssh.set(fault).await?;
        self.leave_elsewhere().await
    }

    /// Moves both to another host address; their ports stay.
    ///
    /// # Errors
    /// As [`super::Control::move_to`].
    pub async fn move_to(&self, host: IpAddr) -> Result<()> {
        self.elsewhere.lock().await.clear();
        for control in [&*self.cache, &*self.ssh] {
            control
                .move_to(SocketAddr::new(host, control.address().port()))
                .await?;
        }
        self.leave_elsewhere().await
    }

    async fn leave_elsewhere(&self) -> Result<()> {
        // The old ones first: the new ones may be bound where they stand.
        self.elsewhere.lock().await.clear();
        let mut elsewhere = Vec::new();
        for control in [&*self.cache, &*self.ssh] {
            let here = control.address();
            if control.fault() == Fault::BlackHole {
                let other = if here.ip() == MOVED { HERE } else { MOVED };
                elsewhere.push(Nobody::at(SocketAddr::new(other, here.port())).await?);
            }
        }
        *self.elsewhere.lock().await = elsewhere;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::ErrorKind, time::Duration};

    use tokio::{net::TcpStream, time::timeout};

    use super::*;
    use crate::ground::free_address;

    #[tokio::test]
    async fn off_the_network_neither_address_answers() {
        let [cache, ssh] = [free_address().unwrap(), free_address().unwrap()];
        let desktop = Desktop::start(cache, ssh).await.unwrap();
        let dial = async |port: u16| {
            let dialled = TcpStream::connect((MOVED, port));
            timeout(Duration::from_millis(300), dialled).await
        };
        for port in [cache.port(), ssh.port()] {
            let refused = dial(port).await.unwrap().unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        }
        desktop.set(Fault::BlackHole).await.unwrap();
        for port in [cache.port(), ssh.port()] {
            dial(port).await.unwrap_err();
        }
        // It comes back at the other address.
        desktop.move_to(MOVED).await.unwrap();
        desktop.set(Fault::Healthy).await.unwrap();
        for port in [cache.port(), ssh.port()] {
            dial(port).await.unwrap().unwrap();
        }
    }
}
