//! How this machine would reach an address: its routes, as far as their interfaces carry them.
//!
//! Routes of every table count, and rules are not read: a VPN keeps its routes in a table of its own, and a desktop
//! behind it must not be `away`. Silence from a private address behind the default route alone is `away`, not
//! `down`, unless a check has passed by that very way (another VLAN, a VPN).

use std::{cmp::Reverse, net::IpAddr};

use ipnet::IpNet;

use super::entry::{Address, Link, Route, TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN, To};

/// Whether this machine could reach an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// By a network of its own, by a route made for it, or, of a public address, by any route.
    #[default]
    Near,
    /// By a name that has no address on any network but the target's own: where nobody knows it, this is another.
    ByName,
    /// A private address, and no way to it but the default route: on any network but its own that
    /// leads nowhere, so silence there is no news of the desktop.
    Far,
    /// There is no route at all.
    Nowhere,
}

/// The way of packets to an address: when it changes, what was known of the address is old.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The index of the interface they leave by.
    pub interface: u32,
    /// The router they go to first, if any.
    pub gateway: Option<IpAddr>,
    /// The length of the route's prefix: 0 of the default route.
    pub prefix: u8,
}

/// The networks that this machine is on at one moment: addresses and routes.
///
/// The default is a machine of which nothing is known: everything is near, by no way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    known: bool,
    /// Sorted, each once.
    own: Vec<IpNet>,
    /// Those that could be taken now, and those that lead nowhere; the one that is taken first.
    routes: Vec<Route>,
}

/// What the kernel tells, in any order.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) links: Vec<Link>,
    pub(super) addresses: Vec<Address>,
    pub(super) routes: Vec<Route>,
}

impl Network {
    pub(super) fn new(tables: Tables) -> Self {
        let Tables {
            links,
            addresses,
            mut routes,
        } = tables;
        let usable = |index| links.iter().any(|link| link.index == index && link.usable);
        routes.retain(|route| match route.to {
            To::Here { .. } => true,
            To::Hop { interface, .. } => {
                usable(interface) && !is_unsettled(route, interface, &addresses)
            }
            // In the tables of others, the word is with their rules, which are not read.
            To::Refused => is_ordinary(route.table),
        });
        routes.sort_by_key(|route| {
            let prefix = route.destination.prefix_len();
            (Reverse(prefix), rank(route.table), route.metric)
        });
        let own = addresses.iter().filter(|address| usable(address.interface));
        let mut own: Vec<_> = own.map(|address| address.network.trunc()).collect();
        own.sort_unstable();
        own.dedup();
        Self {
            known: true,
            own,
            routes,
        }
    }

    /// The way to `address`; `None` where there is none.
    pub fn way(&self, address: IpAddr) -> Option<Way> {
        let route = self.route(address)?;
        let (interface, gateway) = match route.to {
            To::Here { interface } => (interface, None),
            To::Hop { interface, gateway } => (interface, gateway),
            To::Refused => return None,
        };
        Some(Way {
            interface,
            gateway,
            prefix: route.destination.prefix_len(),
        })
    }

    fn route(&self, address: IpAddr) -> Option<&Route> {
        let address = address.to_canonical();
        let mut routes = self.routes.iter();
        routes.find(|route| route.destination.contains(&address))
    }

    /// The index of the interface on whose link `address` itself would be; `None` where it is this machine's own, or
    /// behind a router.
    pub(super) fn link(&self, address: IpAddr) -> Option<u32> {
        match self.route(address)?.to {
            To::Hop {
                interface,
                gateway: None,
            } => Some(interface),
            To::Hop { .. } | To::Here { .. } | To::Refused => None,
        }
    }

    /// Whether `address` could be reached.
    pub fn reach(&self, address: IpAddr) -> Reach {
        let address = address.to_canonical();
        // The kernel takes the unspecified address for this machine.
        if !self.known || address.is_loopback() || address.is_unspecified() {
            return Reach::Near;
        }
        match self.way(address) {
            None => Reach::Nowhere,
            // OpenVPN's default route (`redirect-gateway def1`) is two halves.
            Some(way) if way.prefix <= 1 && is_private(address) => Reach::Far,
            Some(_) => Reach::Near,
        }
    }

    /// The networks that this machine has an address in, loopback included.
    pub fn own(&self) -> Vec<IpNet> {
        self.own.clone()
    }
}

/// Whether packets by `route` would have no address to come from yet: IPv6 asks for a second or two
/// if somebody else has a new address. What is link-local can't go further, nor serve for more.
fn is_unsettled(route: &Route, interface: u32, addresses: &[Address]) -> bool {
    let is_local = |net: &IpNet| matches!(net, IpNet::V6(v6) if v6.addr().is_unicast_link_local());
    let mut sources = addresses.iter().filter(|address| {
        address.interface == interface
            && address.network.addr().is_ipv6() == route.destination.addr().is_ipv6()
            && is_local(&address.network) == is_local(&route.destination)
    });
    let Some(first) = sources.next() else {
        return false;
    };
    first.tentative && sources.all(|source| source.tentative)
}

/// The order in which the kernel looks into its tables (ip-rule(8)): local, those of rules that
/// somebody made, main, default. Rules are not read: a route that somebody made for a VPN counts as
/// if its rule held for us, and a longer prefix counts before any order of tables.
fn rank(table: u32) -> u8 {
    match table {
        TABLE_LOCAL => 0,
        TABLE_MAIN => 2,
        TABLE_DEFAULT => 3,
        _ => 1,
    }
}

fn is_ordinary(table: u32) -> bool {
    matches!(table, TABLE_LOCAL | TABLE_MAIN | TABLE_DEFAULT)
}

/// Whether an address means another machine on another network: RFC 1918, RFC 6598 (what is
/// shared by a provider's customers), RFC 3927, RFC 4193, RFC 4291 2.5.6, and what the
/// documentation of networks is written with (RFC 5737, RFC 3849).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let is_shared = a == 100 && b & 0xc0 == 64;
            v4.is_private() || v4.is_link_local() || v4.is_documentation() || is_shared
        }
        IpAddr::V6(v6) => {
            let is_documentation = v6.segments()[..2] == [0x2001, 0xdb8];
            v6.is_unique_local() || v6.is_unicast_link_local() || is_documentation
        }
    }
}

#[cfg(test)]
mod tests;
