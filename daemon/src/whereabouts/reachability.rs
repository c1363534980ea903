//! How the networks of this machine lead to a target.
//!
//! A name is a route of its own: where nobody knows a name that only its own network does, or that had an address
//! before the network changed, the target is away (`Reach::ByName`). It is looked at with the back-off, since a
//! resolver may merely not be up yet, and looked for where `[discover]` says so.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use super::place::Place;
use crate::net::{Network, Reach, Way};

/// What is asked of the networks that this machine is on.
pub trait Routes: Send + Sync {
    /// The way to `address`; `None` where there is none.
    fn way(&self, address: IpAddr) -> Option<Way>;
    /// Whether `address` could be reached.
    fn reach(&self, address: IpAddr) -> Reach;
    /// Whether this machine is on no network but its own loopback.
    fn is_alone(&self) -> bool;
}

impl Routes for Network {
    fn way(&self, address: IpAddr) -> Option<Way> {
        self.way(address)
    }

    fn reach(&self, address: IpAddr) -> Reach {
        self.reach(address)
    }

    fn is_alone(&self) -> bool {
        self.own().iter().all(|own| own.addr().is_loopback())
    }
}

/// How this machine's networks lead to a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reachability {
    pub(super) reach: Reach,
    /// Whether one of its addresses is on a network of this machine's own.
    on_link: bool,
    /// The way to each of its addresses.
    ways: BTreeMap<IpAddr, Option<Way>>,
}

impl Reachability {
    /// That of `place`: the best of its candidates counts.
    pub(super) fn of(place: &Place, routes: &dyn Routes) -> Self {
        if place.is_proxied() {
            // Where the proxy goes, only it knows.
            return Self::default();
        }
        let candidates: Vec<IpAddr> = place.candidates().collect();
        let known = candidates.iter().map(|address| match address {
            loopback if loopback.is_loopback() => Reach::Near,
            address => routes.reach(*address),
        });
        let by_name = place.is_by_name() || candidates.is_empty();
        let unknown = by_name.then(|| {
            if routes.is_alone() {
                Reach::Nowhere
            } else if place.names().all(|name| is_of_home(name, routes)) {
                Reach::ByName
            } else {
                Reach::Near
            }
        });
        let on_link = known.clone().any(|reach| reach == Reach::Near);
        let best = known.chain(unknown).min_by_key(|reach| match reach {
            Reach::Near => 0,
            Reach::ByName => 1,
            Reach::Far => 2,
            Reach::Nowhere => 3,
        });
        let own = candidates.iter().filter(|address| !address.is_loopback());
        Self {
            reach: best.unwrap_or_default(),
            on_link,
            ways: own
                .map(|address| (*address, routes.way(*address)))
                .collect(),
        }
    }

    /// Whether the target is on one of this machine's own networks, as far as is known.
    pub(super) fn is_near(&self) -> bool {
        matches!(self.reach, Reach::Near | Reach::ByName)
    }

    /// Whether whoever answers at one of its addresses is on this machine's own network.
    pub(super) fn is_on_link(&self) -> bool {
        self.on_link
    }

    /// Whether the way to an address that both know is another one in `newer`.
    pub(super) fn is_overtaken_by(&self, newer: &Self) -> bool {
        self.ways.keys().any(|address| self.differs(newer, address))
    }

    pub(super) fn differs(&self, newer: &Self, address: &IpAddr) -> bool {
        let ways = (self.ways.get(address), newer.ways.get(address));
        matches!(ways, (Some(old), Some(new)) if old != new)
    }
}

/// Whether only the network of a home, or a tailnet that this machine is not in, knows `name`.
fn is_of_home(name: &str, routes: &dyn Routes) -> bool {
    /// Where a tailnet's names are asked for (100.100.100.100, "Quad100" of Tailscale's documentation).
    const TAILNETS: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 100, 100, 100));
    /// RFC 6762 (`local`, and the others of its appendix G), RFC 8375 (`home.arpa`); `internal` is reserved by ICANN. The last
    /// are what the routers of AVM, Deutsche Telekom and AT&T call their own networks.
    const SUFFIXES: [&str; 12] = [
        ".local",
        ".lan",
        ".home.arpa",
        ".home",
        ".internal",
        ".intranet",
        ".private",
        ".corp",
        ".localdomain",
        ".fritz.box",
        ".speedport.ip",
        ".attlocal.net",
    ];
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    if name.ends_with(".ts.net") {
        return routes.reach(TAILNETS) != Reach::Near;
    }
    // A name without a domain is completed by the network's.
    !name.contains('.') || SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}
