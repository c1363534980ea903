//! Both cores, and the checks and searches that they have begun.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use offload_client::{Kind, Reason, Stage};

use crate::{
    clock::Now,
    config::{Discover, Poll, Wake},
    discover::{How, Scope},
    health::{self, CheckId, Health},
    target::{TargetId, TargetSpec},
    whereabouts::{DiscoverError, Effect, Event, Place, RequestId, Sighting, Whereabouts},
};

pub(super) type Answer = Result<Vec<TargetId>, DiscoverError>;

/// Both cores, and the hour.
pub(super) struct World {
    pub(super) whereabouts: Whereabouts,
    pub(super) health: Health,
    pub(super) now: Now,
    pub(super) wake: Wake,
    pub(super) checks: BTreeMap<TargetId, CheckId>,
    pub(super) searches: BTreeMap<u64, (TargetId, Scope)>,
    /// The number of the last search that began.
    pub(super) last_search: u64,
    pub(super) answers: BTreeMap<RequestId, Answer>,
    pub(super) quiet: BTreeSet<RequestId>,
    /// How many have asked, and waited.
    pub(super) requests: u64,
}

impl World {
    pub(super) fn new(specs: Vec<TargetSpec>, discover: Discover) -> Self {
        let now = Now::read();
        let mut world = Self {
            whereabouts: Whereabouts::default(),
            health: Health::new(Poll::default(), 1, now),
            now,
            wake: Wake::default(),
            checks: BTreeMap::new(),
            searches: BTreeMap::new(),
            last_search: 0,
            answers: BTreeMap::new(),
            quiet: BTreeSet::new(),
            requests: 0,
        };
        for spec in &specs {
            world.judge(health::Event::Added(spec.id.clone()));
        }
        world.plan(specs, discover);
        world
    }

    /// What the driver does of a plan with the same targets.
    pub(super) fn plan(&mut self, specs: Vec<TargetSpec>, discover: Discover) {
        let specs: Vec<_> = specs.into_iter().map(Arc::new).collect();
        let is_other = |spec: &&Arc<TargetSpec>| {
            let place = self.whereabouts.place(&spec.id);
            place.is_some_and(|place| place.spec() != *spec)
        };
        let others: Vec<_> = specs.iter().filter(is_other).cloned().collect();
        let planned = Event::Planned {
            specs,
            discover,
            wake: self.wake,
        };
        let effects = self.whereabouts.handle(self.now, planned, &self.health);
        for spec in others {
            self.judge(health::Event::Changed(spec.id.clone()));
        }
        self.carry_out(effects);
        self.tell(Event::TurnEnded);
    }

    pub(super) fn tell(&mut self, event: Event) {
        let effects = self.whereabouts.handle(self.now, event, &self.health);
        self.carry_out(effects);
    }

    /// Tells it, and that this was all.
    pub(super) fn turn(&mut self, event: Event) {
        self.tell(event);
        self.tell(Event::TurnEnded);
    }

    pub(super) fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Judge(event) => self.judge(event),
                Effect::Readdressed(_) | Effect::Waking(_) => {}
                Effect::Search {
                    target,
                    number,
                    scope,
                    ..
                } => {
                    assert!(number > self.last_search, "numbers are not used twice");
                    self.last_search = number;
                    self.searches.insert(number, (target, scope));
                }
                Effect::EndSearch(number) => {
                    let ended = self.searches.remove(&number);
                    assert!(ended.is_some(), "what is ended is under way");
                }
                Effect::Found(request, answer) => {
                    let before = self.answers.insert(request, answer);
                    assert_eq!(before, None, "nobody is answered twice");
                }
                Effect::Quiet(request) => {
                    assert!(self.quiet.insert(request), "nobody is answered twice");
                }
            }
        }
    }

    pub(super) fn judge(&mut self, event: health::Event) {
        let mut missing = Vec::new();
        for effect in self.health.handle(self.now, event) {
            match effect {
                health::Effect::Start { target, check, .. } => {
                    self.checks.insert(target, check);
                }
                health::Effect::Abort { target, .. } => {
                    self.checks.remove(&target);
                }
                health::Effect::Missing { target } => missing.push(target),
                health::Effect::Changed { .. } | health::Effect::OverallChanged { .. } => {}
            }
        }
        for target in missing {
            self.tell(Event::Missing(target));
        }
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
        self.judge(health::Event::Tick);
        self.tell(Event::TurnEnded);
    }

    /// Lets the next check of `id` end: it passed at an address, or failed. A builder that passes proves its
    /// host key.
    pub(super) fn check(&mut self, id: &TargetId, outcome: Result<&str, Reason>) {
        while !self.checks.contains_key(id) {
            let wake = self.health.next_wake().expect("a check is due");
            self.pass(wake.saturating_sub(self.now.boot));
        }
        self.end_check(id, outcome);
    }

    /// The same of the check under way.
    pub(super) fn end_check(&mut self, id: &TargetId, outcome: Result<&str, Reason>) {
        let check = self.checks.remove(id).expect("it is checked");
        let passed = outcome.is_ok();
        let sighting = Sighting {
            address: outcome.ok().map(str::to_owned),
            passed,
            proved: passed && id.kind == Kind::Builder,
            ..Sighting::default()
        };
        let target = id.clone();
        self.tell(Event::Seen { target, sighting });
        self.judge(health::Event::Reported {
            target: id.clone(),
            check,
            outcome: outcome
                .map(|_| Stage::System)
                .map_err(|reason| (Stage::Connect, reason)),
            latency: Duration::from_millis(1),
        });
        let target = id.clone();
        self.turn(Event::Checked { target, passed });
    }

    /// Lets the search for `id` end.
    pub(super) fn search(&mut self, id: &TargetId, found: Option<&str>) {
        let (number, _) = self.place(id).search().expect("it is sought");
        self.searches.remove(&number);
        self.turn(Event::Searched {
            target: id.clone(),
            number,
            found: found.map(|found| (found.parse().unwrap(), How::Mdns)),
            strangers: Vec::new(),
        });
    }

    pub(super) fn ask(&mut self) -> RequestId {
        self.requests += 1;
        self.turn(Event::Asked(RequestId(self.requests)));
        RequestId(self.requests)
    }

    pub(super) fn wait(&mut self) -> RequestId {
        self.requests += 1;
        self.turn(Event::Waits(RequestId(self.requests)));
        RequestId(self.requests)
    }

    pub(super) fn place(&self, id: &TargetId) -> &Place {
        self.whereabouts.place(id).unwrap()
    }

    pub(super) fn is_sought(&self, id: &TargetId) -> bool {
        self.place(id).search().is_some()
    }

    /// The addresses that the next check of `id` would try.
    pub(super) fn tried(&self, id: &TargetId) -> Vec<String> {
        let spec = self.place(id).checked_by();
        spec.addresses.iter().map(ToString::to_string).collect()
    }
}

pub(super) fn ids() -> (TargetId, TargetId) {
    (TargetId::builder("desktop"), TargetId::cache("desktop"))
}

pub(super) fn mdns() -> Discover {
    Discover {
        mdns: true,
        sweep: Vec::new(),
    }
}
