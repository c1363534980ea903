//! The health core: pure. Events in, effects out, time as an argument; no I/O, no clock, no tasks.
//!
//! - `verdict`: what the answers of one target amount to; the table to read first.
//! - `evidence`: how much each reason proves. `schedule`: when the next check is due.
//! - `target`: one target's state machine. `overall`: one verdict over all of them.
//! - `idle`: which closed connections mean something. `rate`, `history`: what they say.
//!
//! A published verdict is kept while it is being confirmed (after a resume): a widget that shows `unknown` at every
//! lid opening tells nobody anything. A check that passes makes a target ready though no route is known.

mod built;
mod counts;
mod event;
mod evidence;
mod history;
mod idle;
mod overall;
mod rate;
mod schedule;
mod target;
mod targets;
#[cfg(test)]
mod tests;
mod verdict;

use std::{collections::BTreeSet, time::Duration};

use offload_client::{Reason, TargetState, snapshot::HistoryEntry};

use self::{
    evidence::Thresholds,
    schedule::Pace,
    target::{Consequence, Target},
    targets::Targets,
};
use crate::{clock::Now, config::Poll, net::Reach, target::TargetId};

pub use self::{
    counts::{Counts, LATENCIES},
    event::{CheckId, Denied, Depth, Effect, Event, Outcome},
    overall::Overall,
    target::TargetHealth,
};

/// The health of everything that is watched.
#[derive(Debug)]
pub struct Health {
    targets: Targets,
    overall: Overall,
    thresholds: Thresholds,
    pace: Pace,
    /// The bound of one check.
    timeout: Duration,
    /// A target that stays ready is looked at from scratch so often.
    deep_interval: Duration,
    pause: Option<Pause>,
    /// The id of the last check.
    last_check: u64,
    /// The last moment heard of (boot clock).
    last: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    until: Option<Duration>,
}

impl Health {
    /// Watches nothing yet. Equal seeds and equal events give equal effects.
    pub fn new(poll: Poll, seed: u64, now: Now) -> Self {
        Self {
            targets: Targets::default(),
            overall: Overall::new(now),
            thresholds: Thresholds::new(&poll),
            pace: Pace::new(&poll, seed),
            timeout: poll.timeout,
            deep_interval: poll.deep_interval,
            pause: None,
            last_check: 0,
            last: now.boot,
        }
    }

    /// Takes in what happened at `now`, and says what is to be done.
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Effect> {
        self.handle_all(now, [event])
    }

    /// The same of several events: what they amount to together is looked at once.
    pub fn handle_all(&mut self, now: Now, events: impl IntoIterator<Item = Event>) -> Vec<Effect> {
        let mut effects = Vec::new();
        for event in events {
            self.take_in(now, event, &mut effects);
        }
        self.settle(now, &mut effects);
        effects
    }

    fn take_in(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>) {
        if self.pause.is_some_and(|pause| pause.is_over(now)) {
            self.resume(now, effects);
        }
        match event {
            Event::Added(id) => self.add(now, id),
            Event::Removed(id) => self.remove(id, effects),
            Event::Changed(id) => self.replace(now, id, effects),
            Event::Tick => {}
            Event::Reported {
                target,
                check,
                outcome,
                latency,
            } => self.report(now, target, check, outcome, latency, effects),
            Event::Tested { target, outcome } => {
                let led_to = self.targets.change(&target, |it| it.tested(now, outcome));
                effects.extend(led_to.effects(&target));
            }
            Event::Unproved { target } => {
                let led_to = self.targets.change(&target, |it| it.unproved(now));
                effects.extend(led_to.effects(&target));
            }
            Event::Hindered { target, reason } => {
                let led_to = self.targets.change(&target, |it| it.hinder(now, reason));
                effects.extend(led_to.effects(&target));
            }
            Event::KindHindered { kind, reason } => self.overall.hinder(kind, reason),
            Event::Closed { target, idle } => {
                self.targets.change(&target, |it| it.closed(now, idle));
            }
            Event::Refresh(only) => self.refresh(now, only.as_ref(), effects),
            Event::Appeared(id) => {
                self.targets.change(&id, |target| target.appeared(now));
            }
            Event::Reach { target, reach } => self.reach(now, &target, reach, effects),
            Event::Found { target } => {
                let led_to = self.targets.change(&target, |it| it.found(now));
                effects.extend(led_to.effects(&target));
            }
            Event::Pause { until } => self.pause(now, until, effects),
            Event::Resume => self.resume(now, effects),
            Event::PollChanged(poll) => self.repace(now, &poll),
        }
    }

    /// Somebody asks for a check of `target`: a deep one, which is made now. One that is in flight already is
    /// shared, and leads to no effect, unless it ends where only who was asked goes on: then that
    /// follows. A cheap one in flight gives way to it. Asking for a target that is not ready restarts
    /// its back-off.
    ///
    /// Five are made at once, and one more every two seconds: who asks meanwhile shares the next, for which
    /// [`Self::is_asked`].
    ///
    /// # Errors
    ///
    /// Where there is no such target, and while checks are paused.
    pub fn request(&mut self, now: Now, target: &TargetId) -> Result<Vec<Effect>, Denied> {
        if self.targets.get(target).is_none() {
            return Err(Denied::NoSuchTarget);
        }
        let mut effects = Vec::new();
        match self.pause {
            Some(pause) if !pause.is_over(now) => return Err(Denied::Paused),
            // Its end checks every target that a way leads to, and this one anyway.
            Some(_) => {
                self.resume(now, &mut effects);
                self.targets.change(target, |it| it.hurry(now));
            }
            None => {
                let led_to = self.targets.change(target, |it| it.ask(now));
                effects.extend(led_to.effects(target));
            }
        }
        self.settle(now, &mut effects);
        Ok(effects)
    }

    /// Whether a check of `target` that somebody asked for is yet to begin.
    pub fn is_asked(&self, target: &TargetId) -> bool {
        self.targets.get(target).is_some_and(Target::is_asked)
    }

    /// Whether a check of `target` is under way.
    pub fn is_in_flight(&self, target: &TargetId) -> bool {
        let target = self.targets.get(target);
        target.is_some_and(|target| target.in_flight().is_some())
    }

    /// When [`Event::Tick`] is due (boot clock); `None` when nothing is scheduled. Always later
    /// than the last moment handled, so that waiting for it never spins.
    pub fn next_wake(&self) -> Option<Duration> {
        let due = match self.pause {
            Some(pause) => pause.until,
            None => self.targets.first_due(),
        };
        due.map(|due| due.max(self.last))
    }

    /// The health of one target.
    pub fn target(&self, id: &TargetId) -> Option<&TargetHealth> {
        self.targets.get(id).map(Target::health)
    }

    /// The targets to which something happened since this was asked last: nothing else of
    /// [`Self::target`] differs.
    pub fn take_touched(&mut self) -> BTreeSet<TargetId> {
        self.targets.take_touched()
    }

    /// The verdict over all of them.
    pub fn overall(&self) -> &Overall {
        &self.overall
    }

    /// The last changes of a target, newest first: at most `max`, and at most 64.
    pub fn history(&self, id: &TargetId, max: usize) -> Vec<HistoryEntry> {
        self.targets
            .get(id)
            .map(|target| target.history().newest(max))
            .unwrap_or_default()
    }

    /// What became of the checks of every target since it is watched.
    pub fn counts(&self) -> impl Iterator<Item = (&TargetId, &Counts)> {
        self.targets.counts()
    }

    fn add(&mut self, now: Now, id: TargetId) {
        let paused = self.pause.is_some();
        self.targets.add(id, || Target::new(now, paused));
    }

    fn remove(&mut self, id: TargetId, effects: &mut Vec<Effect>) {
        if let Some(target) = self.targets.remove(&id) {
            effects.extend(Consequence::from(target.in_flight()).effects(&id));
        }
    }

    fn replace(&mut self, now: Now, id: TargetId, effects: &mut Vec<Effect>) {
        let pace = &mut self.pace;
        let led_to = self.targets.change(&id, |it| it.replace(now, pace));
        effects.extend(led_to.effects(&id));
    }

    fn report(
        &mut self,
        now: Now,
        id: TargetId,
        check: CheckId,
        outcome: Outcome,
        latency: Duration,
        effects: &mut Vec<Effect>,
    ) {
        let (pace, thresholds) = (&mut self.pace, self.thresholds);
        let led_to = self.targets.change(&id, |target| {
            target.report(now, check, outcome, latency, thresholds, pace)
        });
        effects.extend(led_to.effects(&id));
    }

    fn refresh(&mut self, now: Now, only: Option<&TargetId>, effects: &mut Vec<Effect>) {
        if self.pause.is_some() {
            return;
        }
        let timeout = self.timeout;
        match only {
            Some(id) => {
                let led_to = self.targets.change(id, |it| it.refresh(now, timeout));
                effects.extend(led_to.effects(id));
            }
            None => self.targets.change_all(|id, target| {
                effects.extend(target.refresh(now, timeout).effects(id));
            }),
        }
    }

    fn reach(&mut self, now: Now, id: &TargetId, reach: Reach, effects: &mut Vec<Effect>) {
        let (timeout, pace) = (self.timeout, &mut self.pace);
        let led_to = self
            .targets
            .change(id, |it| it.reach(now, reach, timeout, pace));
        effects.extend(led_to.effects(id));
    }

    fn pause(&mut self, now: Now, until: Option<Duration>, effects: &mut Vec<Effect>) {
        let pause = Pause { until };
        if pause.is_over(now) {
            return self.resume(now, effects);
        }
        self.pause = Some(pause);
        self.targets.change_all(|id, target| {
            effects.extend(target.pause(now).effects(id));
        });
    }

    fn resume(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.pause.take().is_some() {
            let pace = &mut self.pace;
            self.targets.change_all(|id, target| {
                effects.extend(target.resume(now, pace).effects(id));
            });
        }
    }

    fn repace(&mut self, now: Now, poll: &Poll) {
        self.thresholds = Thresholds::new(poll);
        self.timeout = poll.timeout;
        self.deep_interval = poll.deep_interval;
        self.pace.set(poll);
        let (thresholds, pace) = (self.thresholds, &mut self.pace);
        self.targets
            .change_all(|_, target| target.repace(now, thresholds, pace));
    }

    /// Does what is due by `now`, whatever happened: so nothing due is ever left behind, and a
    /// tick that comes late, or not at all, does no harm.
    fn settle(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.last = self.last.max(now.boot);
        while let Some(id) = self.targets.next_due(now) {
            self.last_check = self.last_check.wrapping_add(1);
            let check = CheckId(self.last_check);
            let deep_interval = self.deep_interval;
            let depth = self
                .targets
                .change(&id, |target| Some(target.start(now, check, deep_interval)));
            effects.extend(depth.map(|depth| Effect::Start {
                target: id,
                check,
                depth,
            }));
        }
        let is_restated = self.targets.take_restated();
        if !is_restated && !self.overall.is_hindered_otherwise() {
            return;
        }
        if let Some(old) = self.overall.update(now, self.targets.healths()) {
            effects.push(Effect::OverallChanged {
                old,
                new: self.overall.state,
                reason: self.overall.reason,
            });
        }
    }
}

impl Pause {
    fn is_over(self, now: Now) -> bool {
        self.until.is_some_and(|until| until <= now.boot)
    }
}

/// How bad a state is, with its reason: the higher, the worse.
pub(crate) fn rank(state: TargetState, reason: Reason) -> u8 {
    overall::rank((state, reason))
}
