//! A world around the core, which plays the monitor and believes nothing: it keeps its own account
//! of what the effects say, and holds the core's answers against it after every step.

mod held;

use std::{collections::BTreeMap, time::Duration};

use offload_client::{Kind, OverallState, Reason, Stage, TargetState};

use crate::{
    clock::Now,
    config::Poll,
    health::{CheckId, Denied, Effect, Event, Health, Outcome},
    net::Reach,
    reason::{Who, traits},
    target::TargetId,
};

/// The moment `boot` after boot; the laptop was never suspended.
pub(super) fn at(boot: Duration) -> Now {
    Now::default().after(boot)
}

pub(super) struct World {
    pub(super) health: Health,
    pub(super) now: Now,
    targets: BTreeMap<TargetId, Seen>,
    overall: OverallState,
    /// What keeps Nix from each kind.
    kinds: BTreeMap<Kind, Reason>,
    /// The end of the pause, where there is one.
    pause: Option<Option<Duration>>,
    /// A check that ended or was aborted.
    stale: Option<CheckId>,
    /// Effects of each kind so far.
    pub(super) starts: usize,
    pub(super) seeks: usize,
    pub(super) changes: usize,
}

/// What the effects said of one target.
struct Seen {
    standing: (TargetState, Reason),
    in_flight: Option<CheckId>,
    /// Whether the last check that began is a deep one.
    deep: bool,
    reach: Reach,
    /// What test builds found wrong, the last one last, unless something since then made that old news.
    misbuilt: Vec<Reason>,
    /// What keeps Nix from it.
    hindered: Option<Reason>,
}

impl World {
    pub(super) fn new(poll: Poll, seed: u64) -> Self {
        let now = at(Duration::from_secs(5));
        Self {
            health: Health::new(poll, seed, now),
            now,
            targets: BTreeMap::new(),
            overall: OverallState::Unknown,
            kinds: BTreeMap::new(),
            pause: None,
            stale: None,
            starts: 0,
            seeks: 0,
            changes: 0,
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    pub(super) fn reach(&mut self, id: &TargetId, reach: Reach) {
        let target = id.clone();
        self.happen(Event::Reach { target, reach });
    }

    pub(super) fn state(&self, id: &TargetId) -> TargetState {
        self.health.target(id).expect("it is watched").state
    }

    /// What a test build found wrong, where that can still stand.
    pub(super) fn misbuilt(&self, id: &TargetId) -> Option<Reason> {
        self.targets.get(id)?.misbuilt.last().copied()
    }

    pub(super) fn in_flight(&self, id: &TargetId) -> Option<CheckId> {
        self.targets.get(id)?.in_flight
    }

    pub(super) fn happen(&mut self, event: Event) {
        let mut gone = None;
        self.pause.take_if(|until| is_over(*until, self.now));
        match &event {
            Event::Added(id) if !self.targets.contains_key(id) => {
                let standing = if self.pause.is_some() {
                    (TargetState::Paused, Reason::Paused)
                } else {
                    (TargetState::Unknown, Reason::None)
                };
                let in_flight = None;
                let seen = Seen {
                    standing,
                    in_flight,
                    deep: false,
                    reach: Reach::Near,
                    misbuilt: Vec::new(),
                    hindered: None,
                };
                self.targets.insert(id.clone(), seen);
            }
            Event::Removed(id) => gone = Some(id.clone()),
            Event::Changed(id) => {
                if let Some(seen) = self.targets.get_mut(id) {
                    seen.misbuilt.clear();
                }
            }
            Event::Reach { target, reach } => {
                if let Some(seen) = self.targets.get_mut(target) {
                    seen.reach = *reach;
                }
            }
            Event::Hindered { target, reason } => {
                if let Some(seen) = self.targets.get_mut(target) {
                    seen.hindered = *reason;
                }
            }
            Event::KindHindered { kind, reason } => {
                self.kinds.remove(kind);
                self.kinds.extend(reason.map(|reason| (*kind, reason)));
            }
            Event::Tested { target, outcome } => {
                if let Some(seen) = self.targets.get_mut(target) {
                    match outcome {
                        Ok(()) => seen.misbuilt.clear(),
                        Err(reason) if MISBUILT.contains(reason) => seen.misbuilt.push(*reason),
                        Err(_) => {}
                    }
                }
            }
            Event::Reported { target, check, .. } => {
                if let Some(seen) = self.targets.get_mut(target) {
                    seen.in_flight.take_if(|id| id == check);
                    self.stale = Some(*check);
                }
            }
            Event::Pause { until } => {
                self.pause = (!is_over(*until, self.now)).then_some(*until);
            }
            Event::Resume => self.pause = None,
            _ => {}
        }
        let effects = self.health.handle(self.now, event);
        self.take(&effects);
        if let Some(id) = gone {
            let seen = self.targets.remove(&id);
            assert_eq!(seen.and_then(|seen| seen.in_flight), None, "left running");
        }
        self.check();
    }

    pub(super) fn request(&mut self, id: &TargetId) {
        self.pause.take_if(|until| is_over(*until, self.now));
        let shared = self.in_flight(id).filter(|_| self.targets[id].deep);
        match self.health.request(self.now, id) {
            Ok(effects) => {
                self.take(&effects);
                let after = self.in_flight(id);
                assert!(shared.is_none() || after == shared, "it is shared");
                if after.is_some() {
                    assert!(self.targets[id].deep, "it is a deep one");
                } else {
                    assert!(self.health.is_asked(id), "it is to come");
                    let wake = self.health.next_wake().unwrap();
                    assert!(wake <= self.now.boot + Duration::from_secs(2), "and soon");
                }
                self.check();
            }
            Err(Denied::NoSuchTarget) => assert!(!self.targets.contains_key(id)),
            Err(Denied::Paused) => assert!(self.pause.is_some()),
        }
    }

    /// Lets the check in flight end, if there is one.
    pub(super) fn answer(&mut self, id: &TargetId, outcome: Outcome, latency: Duration) {
        if let Some(check) = self.in_flight(id) {
            self.pass(latency);
            self.happen(Event::Reported {
                target: id.clone(),
                check,
                outcome,
                latency,
            });
        }
    }

    /// Reports a check that is long over.
    pub(super) fn answer_late(&mut self, id: &TargetId, outcome: Outcome) {
        if let Some(check) = self.stale {
            self.happen(Event::Tick);
            let changes = self.changes;
            self.happen(Event::Reported {
                target: id.clone(),
                check,
                outcome,
                latency: Duration::ZERO,
            });
            assert_eq!(self.changes, changes, "it counted");
        }
    }

    /// Waits for the next wake, if there is one, and ticks.
    pub(super) fn wake(&mut self) {
        if let Some(wake) = self.health.next_wake() {
            self.pass(wake.saturating_sub(self.now.boot));
        }
        self.happen(Event::Tick);
    }

    /// Ticks and answers for `time`, every check with what `answer` says; the number of ticks.
    pub(super) fn run(&mut self, time: Duration, answer: impl Fn(&TargetId) -> Outcome) -> usize {
        let end = self.now.boot + time;
        let mut ticks = 0;
        loop {
            let busy: Vec<_> = self.targets.keys().cloned().collect();
            let latency = Duration::from_millis(1);
            for id in busy {
                let mut checks = 0;
                while self.in_flight(&id).is_some() {
                    self.answer(&id, answer(&id), latency);
                    checks += 1;
                    assert!(checks <= 3, "checks without a pause between them");
                }
            }
            if self.health.next_wake().is_none_or(|wake| wake >= end) {
                break;
            }
            let (starts, changes) = (self.starts, self.changes);
            self.wake();
            let done = (self.starts, self.changes) != (starts, changes) || self.targets.is_empty();
            assert!(done, "a tick that was asked for does something");
            ticks += 1;
        }
        self.pass(end.saturating_sub(self.now.boot));
        ticks
    }

    fn take(&mut self, effects: &[Effect]) {
        let mut overall_changes = 0;
        for effect in effects {
            match effect {
                Effect::Start {
                    target,
                    check,
                    depth,
                } => {
                    let seen = self.targets.get_mut(target).expect("it is watched");
                    assert_eq!(seen.in_flight, None, "two checks at once");
                    assert_ne!(seen.standing.0, TargetState::Paused, "paused");
                    seen.in_flight = Some(*check);
                    seen.deep = depth.is_deep();
                    self.starts += 1;
                }
                Effect::Missing { target } => {
                    let seen = &self.targets[target];
                    match seen.standing {
                        (TargetState::Down, _) => assert_ne!(seen.reach, Reach::Nowhere),
                        (TargetState::Away, Reason::DnsFailed) => {
                            assert_ne!(seen.reach, Reach::Nowhere);
                        }
                        (TargetState::Degraded, reason) => {
                            assert_eq!(traits(reason).who, Who::Another);
                        }
                        standing => panic!("{standing:?} is where it should be"),
                    }
                    assert!(seen.deep, "it was not looked for everywhere");
                    self.seeks += 1;
                }
                Effect::Abort { target, check } => {
                    let seen = self.targets.get_mut(target).expect("it is watched");
                    assert_eq!(seen.in_flight.take(), Some(*check), "nothing to abort");
                    self.stale = Some(*check);
                }
                Effect::Changed { target, old, new } => {
                    let seen = self.targets.get_mut(target).expect("it is watched");
                    assert_eq!(seen.standing, *old);
                    assert_ne!(old, new);
                    seen.standing = *new;
                    let failed = [TargetState::Degraded, TargetState::Down, TargetState::Away];
                    let health = self.health.target(target);
                    if failed.contains(&new.0) && !health.is_some_and(|health| health.passes) {
                        // A failed check: when it comes back, it is judged anew.
                        seen.misbuilt.clear();
                    }
                    self.changes += 1;
                }
                Effect::OverallChanged { old, new, reason } => {
                    assert_eq!(self.overall, *old);
                    assert_ne!(old, new);
                    assert_eq!(self.health.overall().reason, *reason);
                    self.overall = *new;
                    overall_changes += 1;
                }
            }
        }
        assert!(overall_changes <= 1);
    }
}

fn is_over(until: Option<Duration>, now: Now) -> bool {
    until.is_some_and(|until| until <= now.boot)
}

/// What a test build can find wrong with a builder.
const MISBUILT: [Reason; 3] = [
    Reason::BuildFailed,
    Reason::BuiltLocally,
    Reason::BuiltElsewhere,
];

/// A success, as far as checks go.
pub(super) const PASSED: Outcome = Ok(Stage::Auth);

/// A failure.
pub(super) const fn failed(reason: Reason) -> Outcome {
    Err((Stage::Connect, reason))
}

/// A world with one target, whose first check is in flight.
pub(super) fn single(poll: Poll, seed: u64) -> (World, TargetId) {
    let mut world = World::new(poll, seed);
    let id = TargetId::builder("desktop");
    world.happen(Event::Added(id.clone()));
    (world, id)
}

/// Waits for the next check, and lets it end with `outcome`.
pub(super) fn answer_next(world: &mut World, id: &TargetId, outcome: Outcome) {
    if world.in_flight(id).is_none() {
        world.wake();
    }
    assert!(world.in_flight(id).is_some());
    world.answer(id, outcome, Duration::from_millis(3));
}
