//! What the networks of this machine mean to a target.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use super::{Monitor, watched::Watched};
use crate::{
    clock::Now,
    health::Event,
    net::{Network, Reach, Way},
    target::TargetId,
};

/// What the monitor asks of the networks that this machine is on.
pub(super) trait Routes: Send + Sync {
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
pub(super) struct Outlook {
    reach: Reach,
    /// Whether one of its addresses is on a network of this machine's own.
    on_link: bool,
    /// The way to each of its addresses.
    ways: BTreeMap<IpAddr, Option<Way>>,
}

impl Outlook {
    /// That of `watched`: the best of its candidates counts.
    fn of(watched: &Watched, routes: &dyn Routes) -> Self {
        if watched.is_proxied() {
            // Where the proxy goes, only it knows.
            return Self::default();
        }
        let candidates: Vec<IpAddr> = watched.candidates().collect();
        let known = candidates.iter().map(|address| match address {
            loopback if loopback.is_loopback() => Reach::Near,
            address => routes.reach(*address),
        });
        let by_name = watched.is_by_name() || candidates.is_empty();
        let unknown = by_name.then(|| match routes.is_alone() {
            true => Reach::Nowhere,
            false if watched.names().all(|name| is_of_home(name, routes)) => Reach::ByName,
            false => Reach::Near,
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
    fn is_overtaken_by(&self, newer: &Self) -> bool {
        self.ways.keys().any(|address| self.differs(newer, address))
    }

    fn differs(&self, newer: &Self, address: &IpAddr) -> bool {
        let ways = (self.ways.get(address), newer.ways.get(address));
        matches!(ways, (Some(old), Some(new)) if old != new)
    }
}

/// Whether only the network of a home, or a tailnet that this machine is not in, knows `name`.
fn is_of_home(name: &str, routes: &dyn Routes) -> bool {
    /// Where a tailnet's names are asked for (100.100.100.100, "Quad100" of Tailscale's documentation).
    const TAILNETS: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 100, 100, 100));
    /// RFC 6762 (`local`, and the others of its appendix G), RFC 8375 (`home.arpa`); `internal` is reserved by ICANN.
    const SUFFIXES: [&str; 9] = [
        ".local",
        ".lan",
        ".home.arpa",
        ".home",
        ".internal",
        ".intranet",
        ".private",
        ".corp",
        ".localdomain",
    ];
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    match name.ends_with(".ts.net") {
        true => routes.reach(TAILNETS) != Reach::Near,
        // A name without a domain is completed by the network's.
        false => !name.contains('.') || SUFFIXES.iter().any(|suffix| name.ends_with(suffix)),
    }
}

impl Monitor {
    /// This machine is on these networks now: what they changed nothing for is left alone.
    pub(super) fn set_routes(&mut self, now: Now, routes: Arc<dyn Routes>) {
        for id in self.order.clone() {
            let Some(watched) = self.watched.get_mut(&id) else {
                continue;
            };
            let mut new = Outlook::of(watched, &*routes);
            let old = std::mem::take(&mut watched.outlook);
            let is_overtaken = old.is_overtaken_by(&new);
            // By another way somebody else may be there, and the target where it is configured.
            let is_lost = watched.forget(|found| old.differs(&new, &found));
            if is_lost {
                new = Outlook::of(watched, &*routes);
            }
            watched.outlook = new.clone();
            if is_overtaken && new.reach != Reach::Nowhere {
                self.handle(now, Event::Refresh(Some(id.clone())));
                if is_lost {
                    // A check that Refresh left alone looks at the old addresses.
                    self.handle(now, Event::Found { target: id.clone() });
                }
            }
            self.tell_reach(now, id, old.reach, new.reach);
        }
        self.routes = Some(routes);
    }

    /// What was found through a builder goes with the specification of that builder.
    pub(super) fn forget_builders(&mut self, now: Now) {
        for id in self.order.clone() {
            let host = self.host(&id).and_then(|host| self.watched.get(&host));
            let builder = host.map(|host| host.spec.clone());
            let Some(watched) = self.watched.get_mut(&id) else {
                continue;
            };
            if watched.forget_other(builder.as_ref()) {
                self.place(now, &id);
                let watched = self.watched.get(&id);
                if watched.is_some_and(|watched| watched.outlook.reach != Reach::Nowhere) {
                    self.handle(now, Event::Found { target: id });
                }
            }
        }
    }

    /// Other addresses of a target are known than before.
    pub(super) fn place(&mut self, now: Now, id: &TargetId) {
        let (Some(routes), Some(watched)) = (&self.routes, self.watched.get_mut(id)) else {
            return;
        };
        let mut new = Outlook::of(watched, &**routes);
        let health = self.health.target(id);
        if new.reach == Reach::Nowhere && health.is_some_and(|health| health.passes) {
            // It has just answered, whatever the routes say.
            new.reach = Reach::Far;
        }
        let reach = new.reach;
        let old = std::mem::replace(&mut watched.outlook, new);
        self.tell_reach(now, id.clone(), old.reach, reach);
    }

    fn tell_reach(&mut self, now: Now, target: TargetId, old: Reach, reach: Reach) {
        if old != reach {
            let event = Event::Reach {
                target: target.clone(),
                reach,
            };
            self.handle(now, event);
            // What no way leads to any more is not checked, whoever has asked for it.
            self.answerable.push(target);
        }
    }
}
