//! What is declared and deployed of a builder.

use super::{super::origins, DEFAULT_PORT, PlannedBuilder, host_keys::fingerprints, own_uri};
use crate::{
    drift::{Origin, Side},
    target::{Address, BuilderSpec, HostKeyRule, SpecKind, TargetSpec},
};

pub(super) fn of(builder: &PlannedBuilder<'_>) -> Origin {
    let uri = &builder.uri;
    let port = uri.port.unwrap_or(DEFAULT_PORT);
    let declared = builder.entry.map(|entry| {
        let own = own_uri(entry);
        let address = own.as_ref().map(|own| Address {
            host: own.host.clone(),
            port: own.port,
        });
        Side {
            keys: fingerprints(&entry.host_keys),
            user: own.and_then(|own| own.user),
            ..origins::declared(&entry.place, address, &entry.addresses, port)
        }
    });
    let deployed = builder.place.as_ref().map(|place| Side {
        keys: fingerprints(&builder.nix_keys()),
        user: uri.user.clone(),
        ..origins::deployed(&uri.host, port, place)
    });
    Origin {
        uri: builder.text.as_str().into(),
        declared,
        deployed,
        ..Origin::default()
    }
}

/// What Nix's ssh would have to know of a host key that only the configuration has.
pub(super) fn known_hosts_line(target: &TargetSpec) -> Option<String> {
    let SpecKind::Builder(BuilderSpec {
        host_keys: HostKeyRule::Pinned(keys),
        host,
        port,
        ..
    }) = &target.kind
    else {
        return None;
    };
    let key = keys.first()?.to_openssh().ok()?;
    Some(match port.filter(|port| *port != DEFAULT_PORT) {
        Some(port) => format!("[{host}]:{port} {key}"),
        None => format!("{host} {key}"),
    })
}

/// The line of the machines file that would make Nix use it.
pub(super) fn machines_line(target: &TargetSpec) -> Option<String> {
    match &target.kind {
        SpecKind::Builder(spec) => Some(spec.dispatch.first()?.line.clone()),
        SpecKind::Cache(_) => None,
    }
}
