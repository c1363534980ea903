//! What the kernel tells of interfaces, addresses, routes and neighbours: rtnetlink(7).

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    station::Mac,
    wire::{Attributes, Malformed, Message, aligned, u8_at, u16_at, u32_at},
};

/// The kinds of messages (linux/rtnetlink.h): those that tell, and those that ask for all.
pub(super) const NEW_LINK: u16 = 16;
pub(super) const GET_LINK: u16 = 18;
pub(super) const NEW_ADDRESS: u16 = 20;
pub(super) const GET_ADDRESS: u16 = 22;
pub(super) const NEW_ROUTE: u16 = 24;
pub(super) const GET_ROUTE: u16 = 26;
pub(super) const NEW_NEIGHBOUR: u16 = 28;
pub(super) const GET_NEIGHBOUR: u16 = 30;

/// The tables that every machine has (`enum rt_class_t`, linux/rtnetlink.h).
pub(super) const TABLE_DEFAULT: u32 = 253;
pub(super) const TABLE_MAIN: u32 = 254;
pub(super) const TABLE_LOCAL: u32 = 255;

const INET: u8 = 2;
const INET6: u8 = 10;

/// A network interface (`struct ifinfomsg`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    /// Whether it is up and takes traffic (`IFF_UP`, `IFF_RUNNING`: netdevice(7) and the kernel's
    /// Documentation/networking/operstates.rst; a pulled cable takes away the second).
    pub(super) usable: bool,
}

/// An address of this machine (`struct ifaddrmsg`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) interface: u32,
    /// The network it is in, host bits and all.
    pub(super) network: IpNet,
    /// Whether IPv6 still asks if somebody else has it, or has learned that: nothing is sent from
    /// it (`IFA_F_TENTATIVE`, `IFA_F_DADFAILED`).
    pub(super) tentative: bool,
}

/// One way of a route (`struct rtmsg`): a route of several ways is several of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) destination: IpNet,
    pub(super) table: u32,
    pub(super) metric: u32,
    pub(super) to: To,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// To this machine itself.
    Here { interface: u32 },
    /// Out of an interface, to a router or to the neighbour itself.
    Hop {
        interface: u32,
        gateway: Option<IpAddr>,
    },
    /// Nowhere: `unreachable`, `blackhole` or `prohibit`.
    Refused,
}

/// An entry of the neighbour table (`struct ndmsg`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Neighbour {
    pub(super) address: IpAddr,
    /// The index of the interface that it is behind.
    pub(super) interface: u32,
    /// What is known of it.
    pub(super) presence: Presence,
    /// Its hardware address, where that is Ethernet's and known.
    pub(super) mac: Option<Mac>,
}

/// What a neighbour's state says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// It has answered, or has spoken of itself, and was not missed since.
    Seen,
    /// It does not answer.
    Missed,
    /// It is being asked for, and has not answered so far.
    Asked,
    /// It needs no asking.
    Untold,
}

/// Reads a `RTM_NEWLINK`.
pub(super) fn link(message: &Message<'_>, found: &mut Vec<Link>) -> Result<(), Malformed> {
    const UP: u32 = 0x1;
    const RUNNING: u32 = 0x40;
    let flags = u32_at(message.body, 8)?;
    // A bridge tells of its ports in a family of its own: the same interfaces once more.
    if u8_at(message.body, 0)? == 0 {
        found.push(Link {
            index: u32_at(message.body, 4)?,
            usable: flags & UP != 0 && flags & RUNNING != 0,
        });
    }
    Ok(())
}

/// Reads a `RTM_NEWADDR`.
pub(super) fn address(message: &Message<'_>, found: &mut Vec<Address>) -> Result<(), Malformed> {
    const FIXED: usize = 8;
    const ADDRESS: u16 = 1;
    const FLAGS: u16 = 8;
    const TENTATIVE: u32 = 0x40;
    const DAD_FAILED: u32 = 0x08;
    let body = message.body;
    let family = u8_at(body, 0)?;
    let prefix = u8_at(body, 1)?;
    // The first eight flags; the attribute has them all.
    let mut flags = u32::from(u8_at(body, 2)?);
    let interface = u32_at(body, 4)?;
    if !is_ip(family) {
        return Ok(());
    }
    // Of a point-to-point link, the prefix is that of the other end, and that is `IFA_ADDRESS`.
    let mut network = None;
    for (kind, value) in Attributes::after(body, FIXED) {
        match kind {
            ADDRESS => network = Some(net(family, value, prefix)?),
            FLAGS => flags = u32_at(value, 0)?,
            _ => {}
        }
    }
    found.extend(network.map(|network| Address {
        interface,
        network,
        tentative: flags & (TENTATIVE | DAD_FAILED) != 0,
    }));
    Ok(())
}

/// Reads a `RTM_NEWROUTE`. What is no way of unicast packets is left out, and so is the cache.
pub(super) fn route(message: &Message<'_>, found: &mut Vec<Route>) -> Result<(), Malformed> {
    const FIXED: usize = 12;
    const DESTINATION: u16 = 1;
    const INTERFACE: u16 = 4;
    const GATEWAY: u16 = 5;
    const METRIC: u16 = 6;
    const MULTIPATH: u16 = 9;
    const TABLE: u16 = 15;
    const VIA: u16 = 18;
    const CLONED: u32 = 0x200;
    let body = message.body;
    let family = u8_at(body, 0)?;
    let prefix = u8_at(body, 1)?;
    let mut table = u32::from(u8_at(body, 4)?);
    let kind = Kind::of(u8_at(body, 7)?);
    let flags = u32_at(body, 8)?;
    if !is_ip(family) || flags & CLONED != 0 {
        return Ok(());
    }
    let Some(kind) = kind else { return Ok(()) };
    let unspecified: &[u8] = if family == INET { &[0; 4] } else { &[0; 16] };
    let mut destination = unspecified;
    let mut metric = 0;
    let mut hop = Hop {
        flags,
        ..Hop::default()
    };
    let mut hops = None;
    for (kind, value) in Attributes::after(body, FIXED) {
        match kind {
            DESTINATION => destination = value,
            INTERFACE => hop.interface = Some(u32_at(value, 0)?),
            GATEWAY => hop.gateway = Some(ip(family, value)?),
            VIA => hop.gateway = via(value)?,
            METRIC => metric = u32_at(value, 0)?,
            TABLE => table = u32_at(value, 0)?,
            MULTIPATH => hops = Some(value),
            _ => {}
        }
    }
    let destination = net(family, destination, prefix)?.trunc();
    let mut add = |to| {
        found.push(Route {
            destination,
            table,
            metric,
            to,
        });
    };
    match kind {
        Kind::Refused => add(To::Refused),
        Kind::Local => {
            let interface = hop.interface.unwrap_or_default();
            add(To::Here { interface });
        }
        Kind::Unicast => {
            let hops = match hops {
                Some(hops) => next_hops(family, hops)?,
                None => vec![hop],
            };
            hops.into_iter().filter_map(Hop::to).for_each(add);
        }
    }
    Ok(())
}

/// Reads a `RTM_NEWNEIGH`. Groups are nobody's address.
pub(super) fn neighbour(
    message: &Message<'_>,
    found: &mut Vec<Neighbour>,
) -> Result<(), Malformed> {
    const FIXED: usize = 12;
    const DESTINATION: u16 = 1;
    const HARDWARE: u16 = 2;
    /// `NUD_REACHABLE`, `NUD_STALE`, `NUD_DELAY`, `NUD_PROBE`, `NUD_PERMANENT`.
    const SEEN: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x80;
    const INCOMPLETE: u16 = 0x01;
    const FAILED: u16 = 0x20;
    let body = message.body;
    let family = u8_at(body, 0)?;
    let interface = u32_at(body, 4)?;
    let state = u16_at(body, 8)?;
    let presence = match state {
        state if state & FAILED != 0 => Presence::Missed,
        state if state & SEEN != 0 => Presence::Seen,
        state if state & INCOMPLETE != 0 => Presence::Asked,
        _ => Presence::Untold,
    };
    let is_unicast = u8_at(body, 11)? == Kind::UNICAST;
    if !is_ip(family) || !is_unicast {
        return Ok(());
    }
    let (mut address, mut mac) = (None, None);
    for (kind, value) in Attributes::after(body, FIXED) {
        match kind {
            DESTINATION => address = Some(ip(family, value)?),
            HARDWARE => mac = Mac::of(value),
            _ => {}
        }
    }
    let is_group = |address: &IpAddr| match address {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_multicast(),
    };
    let address = address.filter(|address| !is_group(address) && !address.is_unspecified());
    found.extend(address.map(|address| Neighbour {
        address,
        interface,
        presence,
        mac,
    }));
    Ok(())
}

/// The kinds of routes (`rtm_type`) that say something of unicast packets. `throw` does not: it
/// sends them on to the next table.
#[derive(Clone, Copy)]
enum Kind {
    Unicast,
    Local,
    Refused,
}

impl Kind {
    const UNICAST: u8 = 1;

    fn of(kind: u8) -> Option<Self> {
        match kind {
            Self::UNICAST => Some(Self::Unicast),
            2 => Some(Self::Local),
            // Blackhole, unreachable, prohibit.
            6..=8 => Some(Self::Refused),
            _ => None,
        }
    }
}

/// One next hop, before it is known whether it is alive.
#[derive(Default)]
struct Hop {
    interface: Option<u32>,
    gateway: Option<IpAddr>,
    flags: u32,
}

impl Hop {
    fn to(self) -> Option<To> {
        /// `RTNH_F_DEAD`, `RTNH_F_LINKDOWN`.
        const LOST: u32 = 0x1 | 0x10;
        let interface = self.interface.filter(|_| self.flags & LOST == 0)?;
        Some(To::Hop {
            interface,
            gateway: self.gateway,
        })
    }
}

/// The ways of a route that has several (`struct rtnexthop`).
fn next_hops(family: u8, mut rest: &[u8]) -> Result<Vec<Hop>, Malformed> {
    const FIXED: usize = 8;
    const GATEWAY: u16 = 5;
    const VIA: u16 = 18;
    let mut hops = Vec::new();
    while !rest.is_empty() {
        let length = usize::from(u16_at(rest, 0)?);
        let one = rest.get(..length).filter(|_| length >= FIXED);
        let one = one.ok_or(Malformed::Length)?;
        let mut hop = Hop {
            flags: u32::from(u8_at(one, 2)?),
            interface: Some(u32_at(one, 4)?),
            gateway: None,
        };
        for (kind, value) in Attributes::after(one, FIXED) {
            match kind {
                GATEWAY => hop.gateway = Some(ip(family, value)?),
                VIA => hop.gateway = via(value)?,
                _ => {}
            }
        }
        hops.push(hop);
        rest = rest.get(aligned(length)..).unwrap_or_default();
    }
    Ok(hops)
}

/// A router of another family than the route's (`struct rtvia`).
fn via(value: &[u8]) -> Result<Option<IpAddr>, Malformed> {
    let family = u16_at(value, 0)?;
    match u8::try_from(family) {
        Ok(family) if is_ip(family) => ip(family, value.get(2..).unwrap_or_default()).map(Some),
        _ => Ok(None),
    }
}

fn is_ip(family: u8) -> bool {
    matches!(family, INET | INET6)
}

fn net(family: u8, address: &[u8], prefix: u8) -> Result<IpNet, Malformed> {
    IpNet::new(ip(family, address)?, prefix).map_err(|_| Malformed::Address)
}

/// An address of an IP family, in network byte order.
fn ip(family: u8, bytes: &[u8]) -> Result<IpAddr, Malformed> {
    let address = match family {
        INET => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    };
    address.ok_or(Malformed::Address)
}

#[cfg(test)]
mod tests;
