//! Where the targets are: where each is looked for, whether this machine's networks lead there, where it was found,
//! and where it has proved who it is. Pure, as the health core is: events in, effects out, time as an argument; no
//! I/O, no clock, no tasks. What the health core makes of the checks is an argument, too.
//!
//! - `place`: what is known of one target. `reachability`: how the networks lead to it.
//! - `wake`: who may be woken, and who is being woken.
//! - `search`: when it is looked for elsewhere, and what that leads to. `requests`: who waits for that.

mod event;
mod place;
mod reachability;
mod requests;
mod search;
#[cfg(test)]
pub(crate) mod tests;
mod wake;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use offload_client::{OverallState, TargetState};

use self::{
    place::{Addresses, Searching},
    reachability::Reachability,
    requests::Requests,
    wake::Wakes,
};
use crate::{
    clock::Now,
    config::{Discover, Wake},
    health::{self, Health},
    net::Reach,
    target::{SpecKind, TargetId, TargetSpec},
};

pub use self::{
    event::{DiscoverError, Effect, Event, RequestId, Sighting},
    place::Place,
    reachability::Routes,
    wake::{WakeError, WakeOutcome, Waker, Woken},
};

/// Where everything that is watched is.
#[derive(Default)]
pub struct Whereabouts {
    places: BTreeMap<TargetId, Place>,
    /// The order in which Nix would try them.
    order: Vec<TargetId>,
    /// The caches that are watched on the same machine as a builder, in that order.
    caches: BTreeMap<TargetId, Vec<TargetId>>,
    discover: Discover,
    /// The networks of this machine, once they are known.
    routes: Option<Arc<dyn Routes>>,
    requests: Requests,
    wakes: Wakes,
    /// The number of the last search.
    last_search: u64,
}

/// One event, and what comes of it.
struct Turn<'a> {
    now: Now,
    health: &'a Health,
    effects: Vec<Effect>,
}

impl Whereabouts {
    /// Takes in what happened at `now`, and says what is to be done. `health` is what the health core
    /// has made of everything before.
    pub fn handle(&mut self, now: Now, event: Event, health: &Health) -> Vec<Effect> {
        let mut turn = Turn {
            now,
            health,
            effects: Vec::new(),
        };
        match event {
            Event::Planned {
                specs,
                discover,
                wake,
            } => self.plan(&mut turn, specs, discover, wake),
            Event::Remembered { target, address } => {
                if let Some(place) = self.places.get_mut(&target) {
                    place.remember(address);
                }
            }
            Event::Stationed { target, station } => self.stationed(target, station),
            Event::Tick => self.tick_wakes(&mut turn),
            Event::Networks(routes) => self.set_routes(&mut turn, routes),
            Event::Moved => {
                self.search_anew(&mut turn);
                self.end_wakes(&mut turn, |_, _| true);
            }
            Event::Appeared(address) => self.appeared(&mut turn, address),
            Event::Missing(id) => self.missing(&mut turn, &id),
            Event::Seen {
                target,
                mut sighting,
            } => {
                let station = sighting.station.take();
                if let Some(place) = self.places.get_mut(&target) {
                    let addresses = place.see(sighting);
                    turn.readdress(&target, addresses);
                }
                if let Some(station) = station {
                    self.stationed(target, station);
                }
            }
            Event::Checked { target, passed } => {
                self.checked(&mut turn, &target, passed);
                if passed {
                    self.awake(&mut turn, &target);
                }
            }
            Event::Searched {
                target,
                number,
                found,
                strangers,
            } => self.searched(&mut turn, &target, number, found, strangers),
            Event::Asked(request) => self.asked(&mut turn, request),
            Event::Waits(request) => turn.effects.extend(self.requests.wait(request)),
            Event::GaveUp(gone) => self.requests.give_up(&gone),
            Event::Paused => {
                self.end_searches(&mut turn);
                self.end_wakes(&mut turn, |_, _| true);
            }
            Event::TurnEnded => self.answer(&mut turn),
        }
        turn.effects
    }

    /// What is known of where a target is.
    pub fn place(&self, id: &TargetId) -> Option<&Place> {
        self.places.get(id)
    }

    fn plan(
        &mut self,
        turn: &mut Turn<'_>,
        specs: Vec<Arc<TargetSpec>>,
        discover: Discover,
        wake: Wake,
    ) {
        self.discover = discover;
        self.order = specs.iter().map(|spec| spec.id.clone()).collect();
        let mut before = std::mem::take(&mut self.places);
        let mut fresh = Vec::new();
        for spec in specs {
            let id = spec.id.clone();
            let place = match before.remove(&id) {
                Some(same) if *same.spec() == spec => same,
                old => {
                    fresh.push(id.clone());
                    // How near it was is what the health core knows, until it is located.
                    let reachability = old.map(|mut old| {
                        turn.end_search(old.searching.take());
                        old.reachability
                    });
                    Place::new(spec, reachability.unwrap_or_default())
                }
            };
            self.places.insert(id, place);
        }
        for mut gone in before.into_values() {
            turn.end_search(gone.searching.take());
        }
        self.caches.clear();
        for id in &self.order {
            if let Some(builder) = self.host(id) {
                self.caches.entry(builder).or_default().push(id.clone());
            }
        }
        self.plan_wakes(turn, wake, &fresh);
        for id in fresh {
            self.locate(turn, &id, false);
        }
        self.forget_builders(turn);
    }

    /// This machine is on these networks now: what they changed nothing for is left alone.
    fn set_routes(&mut self, turn: &mut Turn<'_>, routes: Arc<dyn Routes>) {
        for id in &self.order {
            let Some(place) = self.places.get_mut(id) else {
                continue;
            };
            let mut new = Reachability::of(place, &*routes);
            let old = std::mem::take(&mut place.reachability);
            let is_overtaken = old.is_overtaken_by(&new);
            // By another way somebody else may be there, and the target where it is configured.
            let addresses = place.forget(|found| old.differs(&new, &found));
            turn.readdress(id, addresses);
            if addresses == Addresses::Other {
                new = Reachability::of(place, &*routes);
            }
            place.reachability = new.clone();
            if is_overtaken && new.reach != Reach::Nowhere {
                turn.judge(health::Event::Refresh(Some(id.clone())));
                if addresses == Addresses::Other {
                    // A check that Refresh left alone looks at the old addresses.
                    turn.judge(health::Event::Found { target: id.clone() });
                }
            }
            turn.tell_reach(id, old.reach, new.reach);
        }
        self.routes = Some(routes);
    }

    /// What was found through a builder goes with the specification of that builder.
    fn forget_builders(&mut self, turn: &mut Turn<'_>) {
        for id in self.order.clone() {
            let builder = self.host(&id).and_then(|builder| self.places.get(&builder));
            let builder = builder.map(|builder| builder.spec().clone());
            let Some(place) = self.places.get_mut(&id) else {
                continue;
            };
            let addresses = place.forget_other(builder.as_deref());
            if addresses == Addresses::Same {
                continue;
            }
            turn.readdress(&id, addresses);
            self.locate(turn, &id, turn.passes(&id));
            let place = self.places.get(&id);
            if place.is_some_and(|place| place.reachability.reach != Reach::Nowhere) {
                turn.judge(health::Event::Found { target: id });
            }
        }
    }

    /// Other addresses of a target are known than before.
    /// `has_answered`: its checks pass.
    fn locate(&mut self, turn: &mut Turn<'_>, id: &TargetId, has_answered: bool) {
        let (Some(routes), Some(place)) = (&self.routes, self.places.get_mut(id)) else {
            return;
        };
        let mut new = Reachability::of(place, &**routes);
        if new.reach == Reach::Nowhere && has_answered {
            // It has just answered, whatever the routes say.
            new.reach = Reach::Far;
        }
        let reach = new.reach;
        let old = std::mem::replace(&mut place.reachability, new);
        turn.tell_reach(id, old.reach, reach);
    }

    /// Somebody is at `address` who was not: what is missed and may be there is checked at once.
    fn appeared(&mut self, turn: &mut Turn<'_>, address: IpAddr) {
        for id in &self.order {
            let is_missed = matches!(turn.state(id), Some(TargetState::Down | TargetState::Away));
            let place = self.places.get(id);
            if is_missed && place.is_some_and(|place| place.may_be_at(address)) {
                turn.judge(health::Event::Appeared(id.clone()));
            }
        }
    }

    /// The builder that is watched on the same machine as a cache.
    fn host(&self, id: &TargetId) -> Option<TargetId> {
        let SpecKind::Cache(cache) = &self.places.get(id)?.spec().kind else {
            return None;
        };
        let builder = TargetId::builder(cache.host_builder.as_ref()?);
        self.places.contains_key(&builder).then_some(builder)
    }

    fn caches_of(&self, builder: &TargetId) -> Vec<TargetId> {
        self.caches.get(builder).cloned().unwrap_or_default()
    }
}

impl Turn<'_> {
    fn judge(&mut self, event: health::Event) {
        self.effects.push(Effect::Judge(event));
    }

    fn readdress(&mut self, id: &TargetId, addresses: Addresses) {
        if addresses == Addresses::Other {
            self.effects.push(Effect::Readdressed(id.clone()));
        }
    }

    fn end_search(&mut self, searching: Option<Searching>) {
        let ended = searching.map(|searching| Effect::EndSearch(searching.number));
        self.effects.extend(ended);
    }

    fn tell_reach(&mut self, target: &TargetId, old: Reach, reach: Reach) {
        if old != reach {
            let target = target.clone();
            self.judge(health::Event::Reach { target, reach });
        }
    }

    fn state(&self, id: &TargetId) -> Option<TargetState> {
        self.health.target(id).map(|health| health.state)
    }

    /// Whether it passes its checks: whatever else is the matter, it is not missing.
    fn passes(&self, id: &TargetId) -> bool {
        let health = self.health.target(id);
        health.is_some_and(|health| health.passes)
    }

    fn is_paused(&self) -> bool {
        self.health.overall().state == OverallState::Paused
    }
}
