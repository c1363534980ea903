//! Where a target is looked for, where it was found, and where it answered.
//!
//! A cache is where its builder is, while that one proves a known host key; otherwise it is searched for itself,
//! and known by the key that it has signed with. What was found comes behind the own addresses, and goes with the
//! way to it: a desktop that is back where Nix looks is back there for us too.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use offload_client::Printable;

use super::{Sighting, reachability::Reachability};
use crate::{
    discover::Scope,
    report::Stranger,
    target::{Address, SpecKind, TargetSpec},
};

/// So many of its own addresses are tried before the one where it was found. Each may take a quarter of
/// a second before the next one begins, of the two that a check has.
const MAX_BEFORE_FOUND: usize = 4;

/// So many strangers of one check or search are told of: more are no help to anybody.
const MAX_STRANGERS: usize = 16;

/// What is known of where a target is.
#[derive(Debug)]
pub struct Place {
    /// What is configured.
    spec: Arc<TargetSpec>,
    /// Where it was found, where that is none of its own addresses.
    found: Option<Found>,
    /// Where it was found before this daemon was started. Nothing is checked there before it has proved itself.
    remembered: Option<IpAddr>,
    /// What it is checked by: `spec`, with `found` behind its own addresses.
    checked_by: Arc<TargetSpec>,
    /// A search under way.
    pub(super) searching: Option<Searching>,
    /// How this machine's networks lead to it.
    pub(super) reachability: Reachability,
    address: Printable,
    /// What `address` is.
    address_status: AddressStatus,
    /// Where the last check saw it prove a host key that is known.
    proved: Option<IpAddr>,
    /// Whether a proxy command leads to it.
    proxied: bool,
    /// The key that signs what it serves, once that was seen.
    signing_key: Option<Printable>,
    /// Who else answered: to the last deep check, and to the last search.
    strangers: [Vec<Stranger>; 2],
    /// Whether the check of what the last search found is still to come.
    has_news: bool,
}

/// What the address of a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AddressStatus {
    /// The first that is configured: no check has ended.
    Configured,
    /// Where it was first looked for, in vain.
    Tried,
    /// Where it answered last.
    Answered,
}

/// A search under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Searching {
    pub(super) number: u64,
    pub(super) scope: Scope,
}

/// An address at which a target was found.
#[derive(Debug)]
struct Found {
    address: Address,
    /// The specification of the builder that it is known from, where that is another target's.
    from: Option<Arc<TargetSpec>>,
}

/// Whether the checks of a target try other addresses than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Addresses {
    Same,
    Other,
}

impl Place {
    pub(super) fn new(spec: Arc<TargetSpec>, reachability: Reachability) -> Self {
        Self {
            address: first_address(&spec),
            address_status: AddressStatus::Configured,
            found: None,
            remembered: None,
            checked_by: spec.clone(),
            searching: None,
            reachability,
            proved: None,
            proxied: false,
            signing_key: None,
            strangers: [Vec::new(), Vec::new()],
            has_news: false,
            spec,
        }
    }

    /// What is configured.
    pub fn spec(&self) -> &Arc<TargetSpec> {
        &self.spec
    }

    /// What it is checked by: what is configured, and where it was found.
    pub fn checked_by(&self) -> &Arc<TargetSpec> {
        &self.checked_by
    }

    /// Where it was found before this daemon was started, as long as nothing says that it is elsewhere.
    pub(super) fn remembered(&self) -> Option<IpAddr> {
        self.remembered
    }

    pub(super) fn remember(&mut self, address: IpAddr) {
        self.remembered = Some(address);
    }

    /// Where it was found, or is remembered to have been.
    pub fn found(&self) -> Option<IpAddr> {
        let found = self.found.as_ref();
        let found = found.and_then(|found| ip(&found.address.host));
        found.or(self.remembered)
    }

    /// Where it answered last or, before it ever did, was first looked for: `host:port`.
    pub fn address(&self) -> &Printable {
        &self.address
    }

    /// The same, if it ever answered.
    pub fn answered(&self) -> Option<&Printable> {
        (self.address_status == AddressStatus::Answered).then_some(&self.address)
    }

    /// Who else answered at one of its addresses, or in its place.
    pub fn strangers(&self) -> Vec<Stranger> {
        let [of_check, of_search] = &self.strangers;
        let mut strangers = of_check.clone();
        for met in of_search {
            if !of_check.iter().any(|known| known.address == met.address) {
                strangers.push(met.clone());
            }
        }
        strangers
    }

    /// The search under way: its number, and where it looks.
    #[cfg(test)]
    pub fn search(&self) -> Option<(u64, &Scope)> {
        let searching = self.searching.as_ref();
        searching.map(|searching| (searching.number, &searching.scope))
    }

    /// What a search is to look for: a cache that has shown with which key it signs is known by that one.
    pub(super) fn known_by(&self) -> Arc<TargetSpec> {
        match &self.signing_key {
            Some(key) => Arc::new(self.spec.known_by(key)),
            None => self.spec.clone(),
        }
    }

    /// Whether something can prove who it is, where it is no builder.
    pub(super) fn is_cache_with_identity(&self) -> bool {
        match &self.known_by().kind {
            SpecKind::Cache(cache) => cache.has_identity(),
            SpecKind::Builder(_) => false,
        }
    }

    /// Keeps whom a search met in its place, instead of whom an earlier one met: until the next deep
    /// check passes that is not the one of what this search `has_found`.
    pub(super) fn met(&mut self, mut strangers: Vec<Stranger>, has_found: bool) {
        strangers.truncate(MAX_STRANGERS);
        self.strangers[1] = strangers;
        self.has_news = has_found;
    }

    /// Keeps what a check showed.
    pub(super) fn see(&mut self, sighting: Sighting) -> Addresses {
        // Who did not come to connect has seen no proxy, and says nothing of one.
        if sighting.proxied || sighting.strangers.is_some() {
            self.proxied = sighting.proxied;
        }
        if sighting.signing_key.is_some() {
            self.signing_key = sighting.signing_key;
        }
        let proved = sighting.address.as_deref().filter(|_| sighting.proved);
        self.proved = proved.and_then(authority_ip);
        // Where it answered, or, before it ever did, where it was first looked for: the others that
        // a failed check has tried on its way are no news.
        if let Some(address) = sighting.address
            && (sighting.passed || self.address_status == AddressStatus::Configured)
        {
            self.address = address.into();
            if sighting.passed {
                self.address_status = AddressStatus::Answered;
            } else if self.address_status == AddressStatus::Configured {
                self.address_status = AddressStatus::Tried;
            }
        }
        if let Some(mut strangers) = sighting.strangers {
            strangers.truncate(MAX_STRANGERS);
            self.strangers[0] = strangers;
            if sighting.passed && !std::mem::take(&mut self.has_news) {
                self.strangers[1].clear();
            }
        }
        if sighting.passed {
            self.leave_found()
        } else {
            Addresses::Same
        }
    }

    /// It is at `address`, which is tried from now on where its own addresses come to nothing: so it
    /// is seen at once when it is back there. `from` is of the builder that it is known from, if any.
    pub(super) fn find(&mut self, address: Address, from: Option<Arc<TargetSpec>>) -> Addresses {
        let mut own = self.spec.addresses.iter();
        let is_own = own.any(|own| self.is_same(own, &address));
        self.set_found((!is_own).then_some(Found { address, from }))
    }

    /// Drops what was found, and proved, where that is at an address that `is_changed`.
    pub(super) fn forget(&mut self, is_changed: impl Fn(IpAddr) -> bool) -> Addresses {
        self.proved = self.proved.filter(|proved| !is_changed(*proved));
        let found = self
            .found
            .as_ref()
            .and_then(|found| ip(&found.address.host));
        if found.is_some_and(is_changed) {
            self.set_found(None)
        } else {
            Addresses::Same
        }
    }

    /// Drops what was found through a builder that is not specified as `builder` any more.
    pub(super) fn forget_other(&mut self, builder: Option<&TargetSpec>) -> Addresses {
        let from = self.found.as_ref().and_then(|found| found.from.as_deref());
        if from.is_some_and(|from| builder != Some(from)) {
            self.set_found(None)
        } else {
            Addresses::Same
        }
    }

    /// Drops what was found where it has answered at one of its own addresses.
    fn leave_found(&mut self) -> Addresses {
        let answered = self.answered_at();
        if answered.is_some() {
            self.remembered = None;
        }
        let found = self.found.as_ref();
        let is_elsewhere = |found: &Found| ip(&found.address.host) != answered;
        if answered.is_some() && found.is_some_and(is_elsewhere) {
            self.set_found(None)
        } else {
            Addresses::Same
        }
    }

    fn set_found(&mut self, found: Option<Found>) -> Addresses {
        self.checked_by = match &found {
            None => self.spec.clone(),
            Some(found) => {
                let mut spec = TargetSpec::clone(&self.spec);
                let place = spec.addresses.len().min(MAX_BEFORE_FOUND);
                spec.addresses.insert(place, found.address.clone());
                Arc::new(spec)
            }
        };
        self.found = found;
        Addresses::Other
    }

    /// Whether the checks look for it at `address`.
    pub(super) fn is_looked_for_at(&self, address: &Address) -> bool {
        let mut own = self.checked_by.addresses.iter();
        own.any(|own| self.is_same(own, address))
    }

    /// Whether `address` is one that is configured, or the one where it was last looked for: of a
    /// name, what it resolved to.
    pub(super) fn may_be_at(&self, address: IpAddr) -> bool {
        let mut configured = self.spec.addresses.iter();
        let last = self.address.parse::<SocketAddr>();
        configured.any(|one| ip(&one.host) == Some(address))
            || last.is_ok_and(|last| last.ip() == address)
    }

    /// The literal addresses at which it may be: its own, where it was found, where it answered.
    pub(super) fn candidates(&self) -> impl Iterator<Item = IpAddr> {
        let own = self.checked_by.addresses.iter();
        let own = own.filter_map(|address| ip(&address.host));
        own.chain(self.answered_at())
    }

    /// Where it is looked for beside [`Self::address`], in that order.
    pub fn elsewhere(&self) -> Vec<Printable> {
        let port = own_port(&self.spec);
        let all = self.checked_by.addresses.iter();
        let all = all.map(|address| authority(address, port));
        all.filter(|place| *place != self.address).collect()
    }

    /// Whether it may be at an address that nobody knows yet: by a name, before it ever answered.
    pub(super) fn is_by_name(&self) -> bool {
        self.address_status != AddressStatus::Answered && self.names().next().is_some()
    }

    /// The names among its own addresses.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let hosts = self.spec.addresses.iter().map(|address| &*address.host);
        hosts.filter(|host| ip(host).is_none())
    }

    /// Where its host key is proved now, and others of its machine may be as well. Behind a proxy an
    /// address says nothing here; 127.0.0.1 is the near end of a tunnel.
    pub(super) fn proved_at(&self) -> Option<IpAddr> {
        let proved = self.proved.filter(|_| !self.proxied);
        proved.filter(|address| *address != Ipv4Addr::LOCALHOST)
    }

    /// Whether a proxy command leads to it.
    pub(super) fn is_proxied(&self) -> bool {
        self.proxied
    }

    /// Where it answered last.
    fn answered_at(&self) -> Option<IpAddr> {
        authority_ip(self.answered()?)
    }

    fn is_same(&self, one: &Address, other: &Address) -> bool {
        let port = |address: &Address| address.port.unwrap_or(own_port(&self.spec));
        ip(&one.host).is_some_and(|one| ip(&other.host) == Some(one)) && port(one) == port(other)
    }
}

/// The port where an address names none.
fn own_port(spec: &TargetSpec) -> u16 {
    match &spec.kind {
        SpecKind::Cache(cache) => cache.port,
        SpecKind::Builder(builder) => builder.port.unwrap_or(22),
    }
}

/// The address that `host` is, if it is no name; without its zone.
fn ip(host: &str) -> Option<IpAddr> {
    host.split('%').next()?.parse().ok()
}

/// The address of `host:port`.
fn authority_ip(authority: &str) -> Option<IpAddr> {
    ip(&Address::parse(authority).ok()?.host)
}

fn first_address(spec: &TargetSpec) -> Printable {
    let first = spec.addresses.first();
    first.map_or_else(Printable::default, |it| authority(it, own_port(spec)))
}

/// `host:port`.
fn authority(address: &Address, port: u16) -> Printable {
    let (host, port) = (&address.host, address.port.unwrap_or(port));
    if host.contains(':') {
        format!("[{host}]:{port}").into()
    } else {
        format!("{host}:{port}").into()
    }
}

#[cfg(test)]
mod tests;
