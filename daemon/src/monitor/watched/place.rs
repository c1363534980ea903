//! Where a target is looked for, where it was found, and where it answered.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use offload_client::Printable;

use super::{DETAIL_PROXY, Watched};
use crate::target::{Address, SpecKind, TargetSpec};

/// So many of its own addresses are tried before the one where it was found. Each may take a quarter of
/// a second before the next one begins, of the two that a check has.
const MAX_BEFORE_FOUND: usize = 4;

/// An address at which a target was found.
#[derive(Debug)]
pub(super) struct Found {
    address: Address,
    /// The specification of the builder that it is known from, where that is another target's.
    from: Option<Arc<TargetSpec>>,
}

impl Watched {
    /// Where it was last found or, before it ever was, first looked for: `host:port`.
    pub(in crate::monitor) fn address(&self) -> &str {
        &self.address
    }

    /// It is at `address`, which is tried from now on where its own addresses come to nothing: so it
    /// is seen at once when it is back there. `from` is of the builder that it is known from, if any.
    pub(in crate::monitor) fn find(&mut self, address: Address, from: Option<Arc<TargetSpec>>) {
        let mut own = self.spec.addresses.iter();
        let is_own = own.any(|own| self.is_same(own, &address));
        self.set_found((!is_own).then_some(Found { address, from }));
    }

    /// Drops what was found, and proved, where that is at an address that `is_changed`. Whether it
    /// is looked for elsewhere now.
    pub(in crate::monitor) fn forget(&mut self, is_changed: impl Fn(IpAddr) -> bool) -> bool {
        self.proved = self.proved.filter(|proved| !is_changed(*proved));
        let found = self.found.as_ref();
        let is_lost = found.and_then(|found| ip(&found.address.host));
        let is_lost = is_lost.is_some_and(is_changed);
        if is_lost {
            self.set_found(None);
        }
        is_lost
    }

    /// Drops what was found through a builder that is not specified as `builder` any more. Whether
    /// it is looked for elsewhere now.
    pub(in crate::monitor) fn forget_other(&mut self, builder: Option<&Arc<TargetSpec>>) -> bool {
        let from = self.found.as_ref().and_then(|found| found.from.as_ref());
        let is_same = |from| builder.is_some_and(|builder| Arc::ptr_eq(from, builder));
        let is_lost = from.is_some_and(|from| !is_same(from));
        if is_lost {
            self.set_found(None);
        }
        is_lost
    }

    /// Whether the checks look for it at `address`.
    pub(in crate::monitor) fn is_looked_for_at(&self, address: &Address) -> bool {
        let mut own = self.checked_by.addresses.iter();
        own.any(|own| self.is_same(own, address))
    }

    /// The literal addresses at which it may be: its own, where it was found, where it answered.
    pub(in crate::monitor) fn candidates(&self) -> impl Iterator<Item = IpAddr> {
        let own = self.checked_by.addresses.iter();
        let own = own.filter_map(|address| ip(&address.host));
        own.chain(self.answered_at())
    }

    /// Whether it may be at an address that nobody knows yet: by a name, before it ever answered.
    pub(in crate::monitor) fn is_by_name(&self) -> bool {
        let mut own = self.spec.addresses.iter();
        !self.answered && own.any(|address| ip(&address.host).is_none())
    }

    /// The names among its own addresses.
    pub(in crate::monitor) fn names(&self) -> impl Iterator<Item = &str> {
        let hosts = self.spec.addresses.iter().map(|address| &*address.host);
        hosts.filter(|host| ip(host).is_none())
    }

    /// Where its host key is proved now, and others of its machine may be as well. Behind a proxy an
    /// address says nothing here; 127.0.0.1 is the near end of a tunnel.
    pub(in crate::monitor) fn proved_at(&self) -> Option<IpAddr> {
        let proved = self.proved.filter(|_| !self.is_proxied());
        proved.filter(|address| *address != Ipv4Addr::LOCALHOST)
    }

    /// Whether a proxy command leads to it.
    pub(in crate::monitor) fn is_proxied(&self) -> bool {
        self.details.contains_key(DETAIL_PROXY)
    }

    /// Where it answered last.
    pub(in crate::monitor) fn answered_at(&self) -> Option<IpAddr> {
        self.answered.then(|| authority_ip(&self.address)).flatten()
    }

    /// Keeps what a check showed of its place.
    pub(in crate::monitor) fn locate(
        &mut self,
        address: Option<String>,
        has_answered: bool,
        is_proved: bool,
    ) {
        let proved = address.as_deref().filter(|_| is_proved);
        self.proved = proved.and_then(authority_ip);
        // Where it answered, or, before it ever did, where it was first looked for: the others that
        // a failed check has tried on its way are no news.
        if let Some(address) = address
            && (has_answered || !self.located)
        {
            self.address = address.into();
            self.located = true;
            self.answered |= has_answered;
        }
    }

    /// Drops what was found where it has answered at one of its own addresses.
    pub(in crate::monitor) fn come_home(&mut self) {
        if let Some(found) = &self.found
            && let Some(answered) = self.answered_at()
            && ip(&found.address.host) != Some(answered)
        {
            self.set_found(None);
        }
    }

    fn set_found(&mut self, found: Option<Found>) {
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
        // They look at the old addresses.
        self.session = None;
        if let Some(running) = &mut self.running {
            running.keep_session = false;
        }
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

pub(super) fn first_address(spec: &TargetSpec) -> Printable {
    let port = own_port(spec);
    let first = spec.addresses.first().map(|address| {
        let port = address.port.unwrap_or(port);
        match address.host.contains(':') {
            true => format!("[{}]:{port}", address.host),
            false => format!("{}:{port}", address.host),
        }
    });
    first.unwrap_or_default().into()
}
