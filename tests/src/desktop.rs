//! The test desktop as Nix knows it: a cache, a builder, and what the laptop's `/etc/nix` says of both.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::{
    Ground, Laptop, Namespace, Nginx, NixConf, Result, Sshd,
    ground::{CACHE_PORT, HERE, SSH_PORT},
};

/// A running desktop, where nix.conf and the machines file say that it is.
#[derive(Debug)]
pub struct Desktop {
    /// Its cache.
    pub nginx: Nginx,
    /// Its builder.
    pub sshd: Sshd,
    /// The laptop's Nix.
    pub nix: NixConf,
    /// Where the laptop is; that of the tests unless there is a network of its own.
    netns: Option<String>,
    _ground: Option<Ground>,
}

impl Desktop {
    /// At 127.0.15.6.
    ///
    /// # Errors
    /// When a part of it does not come up.
    pub async fn start() -> Result<Self> {
        let ground = Ground::take().await?;
        let desktop = Self::start_at(HERE, [None, None]).await?;
        Ok(Self {
            _ground: Some(ground),
            ..desktop
        })
    }

    /// At `address`, at the desktop's end of `network`'s cable.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_inside(network: &Namespace, address: Ipv4Addr) -> Result<Self> {
        let ends = [network.desktop(), network.laptop()];
        Self::start_at(address.into(), ends.map(Some)).await
    }

    async fn start_at(address: IpAddr, [desktop, laptop]: [Option<&str>; 2]) -> Result<Self> {
        let at = |port| SocketAddr::new(address, port);
        let nginx = Nginx::start_inside(at(CACHE_PORT), desktop).await?;
        let sshd = Sshd::start_inside(at(SSH_PORT), desktop).await?;
        Ok(Self {
            nix: NixConf::for_desktop(&nginx, &sshd)?,
            nginx,
            sshd,
            netns: laptop.map(str::to_owned),
            _ground: None,
        })
    }

    /// A laptop that watches it, with `config` beside what Nix says; its targets need not be ready yet.
    ///
    /// # Errors
    /// As [`Laptop::start`].
    pub async fn laptop(&self, config: &str) -> Result<Laptop> {
        Laptop::start_inside(&self.nix, config, self.netns.as_deref()).await
    }

    /// The same, once both are ready.
    ///
    /// # Errors
    /// As [`Laptop::start`] and [`Laptop::until_ready`].
    pub async fn watched(&self, config: &str) -> Result<Laptop> {
        let laptop = self.laptop(config).await?;
        laptop.until_ready().await?;
        Ok(laptop)
    }
}
