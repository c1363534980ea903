//! The hardware addresses of this machine's neighbours, and on which link each was seen: what a magic packet needs.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6, UdpSocket},
    str::FromStr,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    entry::{Address, Neighbour, Presence, Route, To},
    known,
    network::{Network, Tables},
    socket::Dumper,
    tables,
};

/// The port of a magic packet: "discard", as most programs send it. Nobody listens there, and no network card looks at it.
const PORT: u16 = 9;

/// An Ethernet address of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac([u8; 6]);

/// A link, by what tells it from others of the same addresses: who is the router there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The network of this machine's own address on it.
    #[serde(with = "as_text")]
    pub network: IpNet,
    /// The router of the default route, where there is one and it is known.
    pub router: Option<Mac>,
}

/// Where a machine was seen, and by which hardware address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Station {
    /// Its own.
    pub mac: Mac,
    /// The link that it is on.
    pub link: Link,
}

/// The links that this machine is on at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links(Vec<(u32, Link)>);

impl Mac {
    /// That of six bytes, if a single machine can have it.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        /// The group bit (IEEE 802).
        const GROUP: u8 = 1;
        let bytes: [u8; 6] = bytes.try_into().ok()?;
        (bytes[0] & GROUP == 0 && bytes != [0; 6]).then_some(Self(bytes))
    }

    /// Six times 0xff, and sixteen times the address: what wakes its network card (AMD's white paper 20213).
    pub(super) fn magic_packet(self) -> Vec<u8> {
        [[0xff; 6].as_slice(), &self.0.repeat(16)].concat()
    }
}

impl Links {
    /// Of what the kernel tells: one for each network of this machine's own. A link-local network of IPv6 is on every
    /// link, and tells none from another.
    pub(super) fn of(tables: &Tables, neighbours: &[Neighbour]) -> Self {
        let is_usable = |index| {
            let mut links = tables.links.iter();
            links.any(|link| link.index == index && link.usable)
        };
        let mut links = Vec::new();
        for Address {
            interface, network, ..
        } in &tables.addresses
        {
            let network = network.trunc();
            let address = network.addr();
            let is_everywhere = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
            if address.is_loopback() || is_everywhere || !is_usable(*interface) {
                continue;
            }
            let router = router(*interface, &tables.routes);
            let router = router.and_then(|router| mac(router, *interface, neighbours));
            let link = (*interface, Link { network, router });
            if !links.contains(&link) {
                links.push(link);
            }
        }
        Self(links)
    }

    /// The index of the interface that leads to `link`, where this machine is on it.
    pub fn interface(&self, link: &Link) -> Option<u32> {
        let mut links = self.0.iter();
        links.find_map(|(interface, here)| (here == link).then_some(*interface))
    }

    /// The link of a neighbour at `address` behind `interface`.
    fn around(&self, address: IpAddr, interface: u32) -> Option<&Link> {
        let around = self
            .0
            .iter()
            .filter(|(index, link)| *index == interface && link.network.contains(&address));
        around
            .map(|(_, link)| link)
            .max_by_key(|link| link.network.prefix_len())
    }

    #[cfg(test)]
    pub(crate) fn only(interface: u32, link: Link) -> Self {
        Self(vec![(interface, link)])
    }
}

/// The links that this machine is on now.
///
/// # Errors
/// Netlink is not permitted.
pub fn links_now() -> io::Result<Links> {
    let mut dumper = Dumper::new()?;
    let tables = tables(&mut dumper)?;
    Ok(Links::of(&tables, &known(&mut dumper)?))
}

/// Who is at `address`, as the kernel has it now; nothing where that is not on a link of this machine's own, or where the
/// router answers for it.
///
/// # Errors
/// Netlink is not permitted.
pub fn station_now(address: IpAddr) -> io::Result<Option<Station>> {
    let mut dumper = Dumper::new()?;
    let tables = tables(&mut dumper)?;
    Ok(station(address, tables, &known(&mut dumper)?))
}

fn station(address: IpAddr, tables: Tables, neighbours: &[Neighbour]) -> Option<Station> {
    let address = address.to_canonical();
    let links = Links::of(&tables, neighbours);
    let interface = Network::new(tables).link(address)?;
    let mac = mac(address, interface, neighbours)?;
    let link = links.around(address, interface)?.clone();
    (link.router != Some(mac)).then_some(Station { mac, link })
}

/// Sends the magic packet for `mac` to everybody on the link behind `interface`: by IPv4 to the broadcast address of each
/// of its networks, by IPv6 to all nodes (RFC 4291 2.7.1).
///
/// # Errors
/// It could be sent to nobody.
pub fn wake(mac: Mac, interface: u32) -> io::Result<()> {
    let packet = mac.magic_packet();
    let addresses = tables(&mut Dumper::new()?)?.addresses;
    let own = addresses.iter().filter(|it| it.interface == interface);
    let mut sent = Err(io::ErrorKind::AddrNotAvailable.into());
    for address in own {
        let result = match address.network {
            // Nobody else is in a network of one or two addresses (RFC 3021).
            IpNet::V4(network) if network.prefix_len() < 31 => to_v4(&packet, network.broadcast()),
            IpNet::V6(network) if network.addr().is_unicast_link_local() => {
                to_all_nodes(&packet, interface)
            }
            IpNet::V4(_) | IpNet::V6(_) => continue,
        };
        if sent.is_err() {
            sent = result;
        }
    }
    sent
}

fn to_v4(packet: &[u8], broadcast: Ipv4Addr) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_broadcast(true)?;
    socket.send_to(packet, (broadcast, PORT)).map(drop)
}

fn to_all_nodes(packet: &[u8], interface: u32) -> io::Result<()> {
    const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    let to = SocketAddrV6::new(ALL_NODES, PORT, 0, interface);
    socket.send_to(packet, to).map(drop)
}

/// The router of the default route out of `interface`, of IPv4 where that has one.
fn router(interface: u32, routes: &[Route]) -> Option<IpAddr> {
    let routers = routes.iter().filter_map(|route| match route.to {
        To::Hop {
            interface: index,
            gateway: Some(gateway),
        } if index == interface && route.destination.prefix_len() == 0 => {
            Some((gateway.is_ipv6(), route.metric, gateway))
        }
        To::Hop { .. } | To::Here { .. } | To::Refused => None,
    });
    routers.min().map(|(.., gateway)| gateway)
}

fn mac(address: IpAddr, interface: u32, neighbours: &[Neighbour]) -> Option<Mac> {
    let mut seen = neighbours.iter().filter(|it| {
        (it.address, it.interface, it.presence) == (address, interface, Presence::Seen)
    });
    seen.find_map(|neighbour| neighbour.mac)
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = NotAMac;

    fn from_str(text: &str) -> Result<Self, NotAMac> {
        let bytes = text.split(':').map(|part| {
            let is_byte = part.len() == 2 && part.bytes().all(|c| c.is_ascii_hexdigit());
            is_byte.then(|| u8::from_str_radix(part, 16).ok()).flatten()
        });
        let bytes: Option<Vec<u8>> = bytes.take(7).collect();
        bytes.and_then(|bytes| Self::of(&bytes)).ok_or(NotAMac)
    }
}

/// It is no Ethernet address of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no hardware address of a machine, such as 52:54:00:12:34:56")]
pub struct NotAMac;

impl TryFrom<String> for Mac {
    type Error = NotAMac;

    fn try_from(text: String) -> Result<Self, NotAMac> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

mod as_text {
    use ipnet::IpNet;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(net: &IpNet, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(net)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<IpNet, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
