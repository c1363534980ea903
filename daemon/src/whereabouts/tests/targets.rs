//! What is watched in the tests of this and of the driver, and networks that lead there.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    net::{Reach, Way},
    nix::{netrc::Login, version::NixVersion},
    target::{Address, BuilderSpec, CacheSpec, SpecKind, TargetId, TargetSpec},
    whereabouts::Routes,
};

/// Networks that lead to what stands here, and by which interface; nowhere else.
#[derive(Clone, Default)]
pub(crate) struct Ways(pub(crate) BTreeMap<IpAddr, (Reach, u32)>);

impl Ways {
    pub(crate) fn to<const N: usize>(ways: [(&str, Reach, u32); N]) -> Self {
        let ways = ways.map(|(ip, reach, interface)| (ip.parse().unwrap(), (reach, interface)));
        Self(ways.into())
    }
}

impl Routes for Ways {
    fn way(&self, address: IpAddr) -> Option<Way> {
        let (_, interface) = self.0.get(&address)?;
        Some(Way {
            interface: *interface,
            gateway: None,
            prefix: 24,
        })
    }

    fn reach(&self, address: IpAddr) -> Reach {
        self.0
            .get(&address)
            .map_or(Reach::Nowhere, |(reach, _)| *reach)
    }

    fn is_alone(&self) -> bool {
        self.0.is_empty()
    }
}

/// The builder `desktop` at `addresses`.
pub(crate) fn builder(addresses: &[&str]) -> TargetSpec {
    TargetSpec {
        addresses: parsed(addresses),
        ..desktop()
    }
}

/// The cache `desktop` at `addresses`, on the same machine as the builder `host`.
pub(crate) fn cache(addresses: &[&str], host: Option<&str>) -> TargetSpec {
    TargetSpec {
        id: TargetId::cache("desktop"),
        uri: "http://desktop:5000".into(),
        addresses: parsed(addresses),
        kind: SpecKind::Cache(CacheSpec {
            tls: false,
            host: "desktop".into(),
            port: 5000,
            path: String::new(),
            store_dir: "/nix/store".into(),
            nix_version: NixVersion::default(),
            ssl_cert_file: None,
            proxy: None,
            login: Login::None,
            netrc_file: "/etc/nix/netrc".into(),
            public_keys: Vec::new(),
            unread: None,
            has_own_keys: false,
            require_sigs: true,
            sample: None,
            substituter: None,
            negative_ttl: 3600,
            positive_ttl: 30 * 24 * 3600,
            host_builder: host.map(str::to_owned),
        }),
    }
}

fn parsed(addresses: &[&str]) -> Vec<Address> {
    addresses.iter().map(|text| text.parse().unwrap()).collect()
}

/// A builder that nobody dials.
pub(crate) fn desktop() -> TargetSpec {
    TargetSpec {
        id: TargetId::builder("desktop"),
        uri: "ssh-ng://desktop".into(),
        addresses: vec![Address {
            host: "desktop".into(),
            port: None,
        }],
        kind: SpecKind::Builder(BuilderSpec::bare("desktop")),
    }
}
