//! One target: its fake, and what is done to it.

use std::net::{IpAddr, SocketAddr};

use offload_client::{Kind, names};

use super::faults::{ANY, Act, BUILDER, CACHE, Injection, SECURED};
use crate::{
    Result,
    fake::{Cache, Certificate, Control, Fault, SshServer, port::Nobody},
    keys,
};

/// A target that is watched.
pub(super) struct Lane {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    fake: Fake,
    /// Its two addresses.
    homes: [IpAddr; 2],
    /// What stands at the other one while neither answers.
    elsewhere: Option<Nobody>,
    entry: String,
    /// What was done to it last.
    pub(super) now: Option<Injection>,
    /// It may have been cut off as sshd cuts off whose logins have failed: then no check is made for a while.
    pub(super) is_punished: bool,
}

enum Fake {
    Cache(Cache),
    Builder(SshServer),
}

impl Lane {
    /// A cache, behind TLS where there is a certificate.
    pub(super) async fn cache(
        name: &'static str,
        homes: [IpAddr; 2],
        certificate: Option<&Certificate>,
    ) -> Result<Self> {
        let address = SocketAddr::new(homes[0], 0);
        let cache = match certificate {
            Some(certificate) => Cache::start_secured(address, certificate).await?,
            None => Cache::start(address).await?,
        };
        let entry = format!(
            "[[cache]]\nname = \"{name}\"\nurl = \"{}\"\npublic_keys = [\"{}\"]\nsample = \"{}\"\n",
            cache.url(),
            cache.public_key(),
            cache.store_path()
        );
        Ok(Self::new(
            name,
            Kind::Cache,
            Fake::Cache(cache),
            homes,
            entry,
        ))
    }

    /// A builder that lets the owner of the key at `key_path` in.
    pub(super) async fn builder(
        name: &'static str,
        homes: [IpAddr; 2],
        key_path: &std::path::Path,
    ) -> Result<Self> {
        let key = keys::ed25519()?;
        keys::write(&key, key_path)?;
        let address = SocketAddr::new(homes[0], 0);
        let server = SshServer::start(address, key.public_key().clone()).await?;
        let entry = format!(
            "[[builder]]\nname = \"{name}\"\nuri = \"{}\"\nssh_key = \"{}\"\nhost_key = \"{}\"\n\
             systems = [\"x86_64-linux\"]\nfeatures = [\"kvm\"]\n",
            server.uri("nix-builder"),
            key_path.display(),
            server.host_key()
        );
        let fake = Fake::Builder(server);
        Ok(Self::new(name, Kind::Builder, fake, homes, entry))
    }

    fn new(name: &'static str, kind: Kind, fake: Fake, homes: [IpAddr; 2], entry: String) -> Self {
        let addresses = format!("addresses = [\"{}\", \"{}\"]\n", homes[0], homes[1]);
        Self {
            name,
            kind,
            fake,
            homes,
            elsewhere: None,
            entry: entry + &addresses,
            now: None,
            is_punished: false,
        }
    }

    /// Its entry in the configuration.
    pub(super) fn entry(&self) -> &str {
        &self.entry
    }

    /// Its object on the bus.
    pub(super) fn path(&self) -> String {
        names::target_path(self.kind, self.name)
    }

    /// How people name it.
    pub(super) fn label(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    /// Where it is.
    pub(super) fn address(&self) -> String {
        self.control().address().to_string()
    }

    /// What may happen to it.
    pub(super) fn injections(&self) -> Vec<Injection> {
        let own = match self.kind {
            Kind::Builder => BUILDER,
            Kind::Cache if self.name == "secured" => SECURED,
            Kind::Cache => CACHE,
        };
        ANY.iter().chain(own).copied().collect()
    }

    /// Does it, as far as it is done at once.
    ///
    /// # Errors
    /// When an address can't be bound.
    pub(super) async fn act(&mut self, act: Act) -> Result<()> {
        self.elsewhere = None;
        let control = self.control().clone();
        match act {
            Act::Set(fault) => control.set(fault).await,
            Act::Mute => control.set(Fault::BlackHole).await,
            Act::Vanish => {
                control.set(Fault::BlackHole).await?;
                self.elsewhere = Some(Nobody::at(self.other()).await?);
                Ok(())
            }
            Act::Move => {
                let to = self.other();
                control.move_to(to).await?;
                control.set(Fault::Healthy).await
            }
            Act::Flap | Act::Hiccup => control.set(Fault::Healthy).await,
        }
    }

    fn other(&self) -> SocketAddr {
        let here = self.control().address();
        let [first, second] = self.homes;
        let other = if here.ip() == first { second } else { first };
        SocketAddr::new(other, here.port())
    }

    fn control(&self) -> &Control {
        match &self.fake {
            Fake::Cache(cache) => cache,
            Fake::Builder(builder) => builder,
        }
    }
}
