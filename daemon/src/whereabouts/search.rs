//! When a target is looked for elsewhere, and what that leads to.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use offload_client::{OverallState, Reason, TargetState};

use super::{
    DiscoverError, Effect, RequestId, Turn, Whereabouts,
    place::{Place, Searching},
    requests::UnderWay,
};
use crate::{
    config::Discover,
    discover::{How, Scope},
    health::{self, Health},
    report::Stranger,
    target::{Address, TargetId, TargetSpec},
};

impl Whereabouts {
    /// A target is not where it should be: it is looked for, where that is configured.
    pub(super) fn missing(&mut self, turn: &mut Turn<'_>, id: &TargetId) {
        match self.host(id) {
            // It is where its builder is.
            Some(builder) if self.is_proved(&builder) => self.follow(turn, &builder, Some(id)),
            // That is about to be known.
            Some(builder) if turn.state(&builder) == Some(TargetState::Unknown) => {}
            // The builder is looked for itself.
            Some(_) if !self.is_cache_with_identity(id) => {}
            Some(_) | None => self.search_unattended(turn, id),
        }
    }

    /// Only on this machine's own networks, and not through somebody's portal, which answers for every
    /// name and address that is not on the link: who is behind a router is not found there, and
    /// strangers are left in peace.
    fn search_unattended(&mut self, turn: &mut Turn<'_>, id: &TargetId) {
        let remembered = self.places.get(id).and_then(Place::remembered);
        let Some(scope) = configured(&self.discover, remembered) else {
            return;
        };
        let health = turn.health.target(id);
        let is_page = health.is_some_and(|health| health.reason == Reason::CaptivePortal);
        let may_begin = |place: &Place| {
            let is_here = if is_page {
                place.reachability.is_on_link()
            } else {
                place.reachability.is_near()
            };
            place.searching.is_none() && is_here
        };
        if self.places.get(id).is_some_and(may_begin) {
            self.search(turn, id, scope);
        }
    }

    /// Somebody asks for whatever is not ready.
    pub(super) fn asked(&mut self, turn: &mut Turn<'_>, request: RequestId) {
        if let Err(error) = self.ask(turn, request) {
            turn.effects.push(Effect::Found(request, Err(error)));
        }
    }

    fn ask(&mut self, turn: &mut Turn<'_>, request: RequestId) -> Result<(), DiscoverError> {
        if self.order.is_empty() {
            return Err(DiscoverError::NotConfigured);
        }
        if turn.is_paused() {
            return Err(DiscoverError::Paused);
        }
        if let Some(joined) = self.requests.join(request) {
            return joined;
        }
        let missing = self.order.iter().filter(|id| !turn.passes(id));
        let missing: Vec<TargetId> = missing.cloned().collect();
        if missing.is_empty() {
            turn.effects.push(Effect::Found(request, Ok(Vec::new())));
            return Ok(());
        }
        self.requests.ask(turn.now, request)?;
        for id in missing {
            self.search_asked(turn, id);
        }
        Ok(())
    }

    fn search_asked(&mut self, turn: &mut Turn<'_>, id: TargetId) {
        let mut wanted = Vec::new();
        match self.host(&id) {
            Some(builder) if self.is_proved(&builder) => {
                self.follow(turn, &builder, Some(&id));
                return;
            }
            Some(builder) => {
                wanted.extend(Some(builder).filter(|builder| !turn.passes(builder)));
                wanted.extend(Some(id).filter(|id| self.is_cache_with_identity(id)));
            }
            None => wanted.push(id),
        }
        for wanted in wanted {
            let Some(place) = self.places.get(&wanted) else {
                continue;
            };
            let scope = Scope {
                remembered: place.remembered(),
                mdns: true,
                neighbours: true,
                sweep: self.discover.sweep.clone(),
            };
            // A search that looks in fewer places gives way.
            let under_way = place.searching.as_ref();
            if under_way.is_none_or(|under_way| under_way.scope != scope) {
                self.search(turn, &wanted, scope);
            }
            self.requests.search(&wanted);
        }
    }

    fn search(&mut self, turn: &mut Turn<'_>, id: &TargetId, scope: Scope) {
        let Some(place) = self.places.get_mut(id) else {
            return;
        };
        self.last_search = self.last_search.wrapping_add(1);
        let number = self.last_search;
        let searching = Searching {
            number,
            scope: scope.clone(),
        };
        let ended = place.searching.replace(searching);
        turn.end_search(ended);
        turn.effects.push(Effect::Search {
            target: id.clone(),
            number,
            wanted: place.known_by(),
            scope,
        });
    }

    /// A search ended. What it found is checked there at once, and so are the caches of a builder.
    pub(super) fn searched(
        &mut self,
        turn: &mut Turn<'_>,
        id: &TargetId,
        number: u64,
        found: Option<(SocketAddr, How)>,
        strangers: Vec<Stranger>,
    ) {
        let Some(place) = self.places.get_mut(id) else {
            return;
        };
        let is_this = |searching: &mut Searching| searching.number == number;
        if place.searching.take_if(is_this).is_none() {
            return;
        }
        place.met(strangers, found.is_some());
        // It may be ready where it is, and there as well.
        let Some((address, _)) = found.filter(|_| !turn.passes(id)) else {
            return;
        };
        self.find(turn, id, written(address), None);
        for cache in self.caches_of(id) {
            let host = written(address).host;
            self.give(turn, id, &cache, host);
        }
    }

    /// A check ended, and what it learned is kept: other addresses may be known now.
    pub(super) fn checked(&mut self, turn: &mut Turn<'_>, id: &TargetId, passed: bool) {
        self.locate(turn, id, turn.passes(id));
        if passed
            && turn.passes(id)
            && let Some(place) = self.places.get_mut(id)
        {
            // Who asked for the search is told what was found, which is nothing new.
            turn.end_search(place.searching.take());
        }
        self.follow(turn, id, None);
    }

    /// Caches that are missing, all or `only` one, get the address at which their builder proves its
    /// host key. What else is wrong with the builder is no matter of theirs.
    fn follow(&mut self, turn: &mut Turn<'_>, builder: &TargetId, only: Option<&TargetId>) {
        let Some(address) = self.places.get(builder).and_then(Place::proved_at) else {
            return;
        };
        for cache in self.caches_of(builder) {
            if only.is_none_or(|only| *only == cache) {
                self.give(turn, builder, &cache, address.to_string());
            }
        }
    }

    /// A cache that is missing may be at `host`, where its builder is: checked there, unless it is
    /// looked for there already.
    fn give(&mut self, turn: &mut Turn<'_>, builder: &TargetId, cache: &TargetId, host: String) {
        let failed = matches!(
            turn.state(cache),
            Some(TargetState::Degraded | TargetState::Down | TargetState::Away)
        );
        let is_missing = failed && !turn.passes(cache);
        let address = Address { host, port: None };
        let place = self.places.get(cache);
        if is_missing && place.is_some_and(|place| !place.is_looked_for_at(&address)) {
            let from = self
                .places
                .get(builder)
                .map(|builder| builder.spec().clone());
            self.find(turn, cache, address, from);
        }
    }

    /// `from` is of the builder that `address` is known from, if it is another target's.
    fn find(
        &mut self,
        turn: &mut Turn<'_>,
        id: &TargetId,
        address: Address,
        from: Option<Arc<TargetSpec>>,
    ) {
        if turn.is_paused() {
            return;
        }
        let Some(place) = self.places.get_mut(id) else {
            return;
        };
        let addresses = place.find(address, from);
        turn.readdress(id, addresses);
        self.locate(turn, id, turn.passes(id));
        turn.judge(health::Event::Found { target: id.clone() });
        self.requests.found(id);
    }

    /// Nobody looks while checks are paused.
    pub(super) fn end_searches(&mut self, turn: &mut Turn<'_>) {
        for place in self.places.values_mut() {
            turn.end_search(place.searching.take());
        }
    }

    /// The searches look at networks that this machine has left. What somebody asked for is searched
    /// for anew; anything else, when the next check misses it.
    pub(super) fn search_anew(&mut self, turn: &mut Turn<'_>) {
        let mut again = Vec::new();
        for (id, place) in &mut self.places {
            if let Some(ended) = place.searching.take() {
                if self.requests.is_asked(id) {
                    again.push((id.clone(), ended.scope.clone()));
                }
                turn.end_search(Some(ended));
            }
        }
        for (id, scope) in again {
            self.search(turn, &id, scope);
        }
    }

    /// Answers those who wait for a search, once it is over and what it found is checked.
    pub(super) fn answer(&mut self, turn: &mut Turn<'_>) {
        let under_way = Present {
            order: &self.order,
            places: &self.places,
            health: turn.health,
        };
        let answers = self.requests.answer(turn.now, &under_way);
        turn.effects.extend(answers);
    }

    fn is_proved(&self, builder: &TargetId) -> bool {
        let place = self.places.get(builder);
        place.is_some_and(|place| place.proved_at().is_some())
    }

    fn is_cache_with_identity(&self, id: &TargetId) -> bool {
        let place = self.places.get(id);
        place.is_some_and(Place::is_cache_with_identity)
    }
}

/// What is under way.
struct Present<'a> {
    order: &'a [TargetId],
    places: &'a BTreeMap<TargetId, Place>,
    health: &'a Health,
}

impl UnderWay for Present<'_> {
    fn checked(&self, id: &TargetId) -> bool {
        self.health.is_in_flight(id)
    }

    fn sought(&self, id: &TargetId) -> bool {
        let place = self.places.get(id);
        place.is_some_and(|place| place.searching.is_some())
    }

    fn any_sought(&self) -> bool {
        self.places.keys().any(|id| self.sought(id))
    }

    fn paused(&self) -> bool {
        self.health.overall().state == OverallState::Paused
    }

    fn in_order(&self, ids: &BTreeSet<TargetId>) -> Vec<TargetId> {
        let found = self.order.iter().filter(|id| ids.contains(id));
        found.cloned().collect()
    }
}

/// Where to look without being asked; nowhere unless that is configured, or it was found somewhere before.
fn configured(discover: &Discover, remembered: Option<IpAddr>) -> Option<Scope> {
    let is_enabled = discover.mdns || !discover.sweep.is_empty() || remembered.is_some();
    is_enabled.then(|| Scope {
        remembered,
        mdns: discover.mdns,
        neighbours: discover.mdns,
        sweep: discover.sweep.clone(),
    })
}

/// As an address of a target is written, with the zone of a link-local one.
fn written(address: SocketAddr) -> Address {
    let host = match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
        SocketAddr::V4(_) | SocketAddr::V6(_) => address.ip().to_string(),
    };
    Address {
        host,
        port: Some(address.port()),
    }
}
