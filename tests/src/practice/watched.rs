//! What the daemon is told to watch: the practice desktop, at intervals for people who look on.

use std::{net::IpAddr, time::Duration};

use offloadd::{
    config::{BuilderEntry, CacheEntry, NixImport, Poll},
    target::Address,
};
use russh::keys::PublicKey;

use crate::{
    Result,
    error::Context,
    fake::Desktop,
    ground::{HERE, MOVED},
};

/// The desktop's name.
pub const NAME: &str = "desktop";
/// Who builds there.
const USER: &str = "nix-builder";

/// Each verdict within some seconds.
pub fn poll() -> Poll {
    Poll {
        interval: Duration::from_secs(1),
        fast_interval: Duration::from_millis(300),
        down_max_interval: Duration::from_secs(2),
        timeout: Duration::from_secs(1),
        deep_timeout: Duration::from_secs(2),
        deep_interval: Duration::from_secs(2),
        ..Poll::default()
    }
}

/// Nothing of this machine's own configuration: practice dials the practice desktop alone.
pub fn nix() -> NixImport {
    NixImport {
        import: false,
        conf: "/etc/nix/nix.conf".into(),
        exclude: Vec::new(),
    }
}

/// The desktop's cache.
pub fn cache(desktop: &Desktop) -> CacheEntry {
    CacheEntry {
        name: NAME.into(),
        url: Some(desktop.cache.url()),
        addresses: candidates(),
        public_keys: vec![desktop.cache.public_key()],
        sample: Some(desktop.cache.store_path()),
        host: Some(NAME.into()),
        place: Default::default(),
    }
}

/// The desktop's builder.
///
/// # Errors
/// When its host key can't be read.
pub fn builder(desktop: &Desktop) -> Result<BuilderEntry> {
    let key = PublicKey::from_openssh(desktop.ssh.host_key()).map_err(std::io::Error::other);
    Ok(BuilderEntry {
        name: NAME.into(),
        uri: Some(desktop.ssh.uri(USER)),
        addresses: candidates(),
        ssh_key: Some(desktop.user_key().to_owned()),
        host_keys: vec![key.context("the practice desktop's host key")?],
        systems: vec!["x86_64-linux".into()],
        features: vec!["kvm".into(), "big-parallel".into()],
        place: Default::default(),
    })
}

/// Where it may be, best first.
fn candidates() -> Vec<Address> {
    let address = |ip: IpAddr| Address {
        host: ip.to_string(),
        port: None,
    };
    vec![address(HERE), address(MOVED)]
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[tokio::test]
    async fn only_the_practice_desktop_is_watched() {
        let any = SocketAddr::new(HERE, 0);
        let desktop = Desktop::start(any, any).await.unwrap();
        assert!(!nix().import);
        let (cache, builder) = (cache(&desktop), builder(&desktop).unwrap());
        for address in cache.addresses.iter().chain(&builder.addresses) {
            assert!(["127.0.15.6", "127.0.15.7"].contains(&address.host.as_str()));
        }
        assert_eq!(
            builder.host_keys[0].to_openssh().unwrap(),
            desktop.ssh.host_key()
        );
    }
}
