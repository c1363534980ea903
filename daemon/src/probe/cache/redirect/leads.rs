//! Whom a redirect may lead to.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use super::bare;
use crate::target::{SpecKind, TargetSpec};

/// The hosts of the caches among `targets`, and of all addresses where they are looked for.
pub fn hosts(targets: &[TargetSpec]) -> BTreeSet<String> {
    let mut hosts = BTreeSet::new();
    for target in targets {
        if let SpecKind::Cache(cache) = &target.kind {
            let addresses = target.addresses.iter().map(|address| &address.host);
            let all = addresses.chain([&cache.host]);
            hosts.extend(all.map(|host| bare(host).to_ascii_lowercase()));
        }
    }
    hosts
}

/// Whether who answers at `peer` may send us to `to`.
pub(in crate::probe::cache) fn may_lead(peer: SocketAddr, to: SocketAddr) -> bool {
    let (here, there) = (peer.ip().to_canonical(), to.ip().to_canonical());
    let mut same = peer;
    same.set_port(to.port());
    same == to || here.is_loopback() || !is_of_this_machine(there)
}

/// Whether `address` is this machine, whoever uses it, or means another machine on each link.
fn is_of_this_machine(address: IpAddr) -> bool {
    let is_link_local = match address {
        // All of 0.0.0.0/8 is "this network" (RFC 791), and 0.0.0.0 is this machine.
        IpAddr::V4(v4) => v4.is_link_local() || v4.octets()[0] == 0 || v4 == Ipv4Addr::BROADCAST,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    is_link_local || address.is_loopback() || address.is_unspecified() || address.is_multicast()
}
