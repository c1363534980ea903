//! Addresses that no resolver is needed for: `192.0.2.6`, `fe80::1%eth0`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use rustix::net::{AddressFamily, SocketType, netdevice, socket};

use super::Unresolved;

/// What a literal address stands for; `None` where `host` is a name.
pub(in crate::probe) fn literal(host: &str, port: u16) -> Option<Result<SocketAddr, Unresolved>> {
    if let Some((address, zone)) = host.split_once('%') {
        let address: Ipv6Addr = address.parse().ok()?;
        let scope = scope_id(zone);
        return Some(scope.map(|scope| SocketAddrV6::new(address, port, 0, scope).into()));
    }
    let address: IpAddr = host.parse().ok()?;
    Some(Ok(SocketAddr::new(address, port)))
}

/// RFC 4007, 11.2: a zone is an interface's name or, as on Linux, its number.
fn scope_id(zone: &str) -> Result<u32, Unresolved> {
    if let Ok(number) = zone.parse() {
        return Ok(number);
    }
    socket(AddressFamily::INET, SocketType::DGRAM, None)
        .and_then(|any| netdevice::name_to_index(any, zone))
        .map_err(|errno| Unresolved::Interface {
            zone: zone.to_owned(),
            source: errno.into(),
        })
}
