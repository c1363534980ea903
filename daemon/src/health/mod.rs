//! The health core: pure. Events in, effects out, time as an argument; no I/O, no clock, no tasks.
//!
//! - `verdict`: what the answers of one target amount to; the table to read first.
//! - `evidence`: how much each reason proves. `schedule`: when the next check is due.
//! - `target`: one target's state machine. `overall`: one verdict over all of them.
//! - `idle`: which closed connections mean something. `rate`, `history`: what they say.

mod evidence;
mod flaw;
mod history;
mod idle;
mod overall;
mod rate;
mod schedule;
mod target;
#[cfg(test)]
mod tests;
mod verdict;

use std::{collections::BTreeMap, time::Duration};

use offload_client::{Kind, OverallState, Reason, Stage, TargetState, snapshot::HistoryEntry};

use self::{
    evidence::Thresholds,
    schedule::Pace,
    target::{Change, Target},
};
use crate::{clock::Now, config::Poll, net::Reach, target::TargetId};

pub use self::{overall::Overall, target::TargetHealth};

/// How a check ended: the last stage that passed, or the one that failed and why.
pub type Outcome = Result<Stage, (Stage, Reason)>;

/// One check, unique while the daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckId(u64);

/// How far back a check begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// On the kept connection, where there is one.
    Cheap,
    /// From scratch, as a new build would: what a kept connection outlives (a key taken out of
    /// `authorized_keys`, a daemon that takes no new connections) shows here.
    Deep,
    /// The same because somebody asked: what is not done unattended is done too, as Nix would.
    Asked,
}

impl Depth {
    /// Whether it begins from scratch.
    pub const fn is_deep(self) -> bool {
        matches!(self, Self::Deep | Self::Asked)
    }
}

/// What happened. Whatever names a target that is not watched is ignored.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A target is to be watched; ignored where it is watched already.
    Added(TargetId),
    /// It is no longer to be watched.
    Removed(TargetId),
    /// Its specification changed: what was known no longer counts, and it is unknown until the
    /// first answer.
    Changed(TargetId),
    /// Time has passed: [`Health::next_wake`] has come.
    Tick,
    /// A check ended; ignored where it was aborted meanwhile.
    Reported {
        /// Whose check.
        target: TargetId,
        /// The one of [`Effect::Start`].
        check: CheckId,
        /// What it found.
        outcome: Outcome,
        /// How long it took.
        latency: Duration,
    },
    /// A test build ended; nothing was wrong, or why it failed. That verdict stands though checks
    /// pass, until a test build succeeds, the specification changes, or a check fails. Only
    /// `build-failed`, `built-locally` and `built-elsewhere` count against a target.
    Tested {
        /// The builder.
        target: TargetId,
        /// What it showed.
        outcome: Result<(), Reason>,
    },
    /// What keeps Nix from a target, whatever its checks come to; nothing until told otherwise. One that
    /// passes them is degraded for that reason, and ready again as soon as nothing does.
    Hindered {
        /// The target.
        target: TargetId,
        /// Why Nix does not go there.
        reason: Option<Reason>,
    },
    /// What keeps Nix from all targets of a kind: it is degraded for that reason where none of them is
    /// watched.
    KindHindered {
        /// The kind.
        kind: Kind,
        /// Why Nix uses none.
        reason: Option<Reason>,
    },
    /// The peer closed the kept connection.
    Closed {
        /// Whose connection.
        target: TargetId,
        /// How long it had been idle.
        idle: Duration,
    },
    /// Resume from suspend, or a change of the network, for one target or for all: its state
    /// stays published, but the next answer decides alone, and is looked for at once.
    Refresh(Option<TargetId>),
    /// Somebody has appeared where a target is missed: it is checked at once, unless a check is
    /// finding out anyway. What is known of it counts as before.
    Appeared(TargetId),
    /// The networks of this machine lead to a target as this says; [`Reach::Near`] until told
    /// otherwise. What they don't lead to is away at once, and looked at as seldom as can be; what
    /// they lead to again is looked at at once, and the next answer decides alone.
    Reach {
        /// The target.
        target: TargetId,
        /// The best way to any of its addresses.
        reach: Reach,
    },
    /// A target was found at another address than those it was looked for at: checked there at
    /// once, and that answer decides alone.
    Found {
        /// The target.
        target: TargetId,
    },
    /// Stop looking. A second pause replaces the first.
    Pause {
        /// When to look again (boot clock); `None` for not before [`Event::Resume`].
        until: Option<Duration>,
    },
    /// Look again; ignored where nothing is paused.
    Resume,
    /// The intervals or thresholds changed.
    PollChanged(Poll),
}

/// What is to be done. Effects are in the order in which they are to be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Begin a check. Each is answered by one [`Event::Reported`], unless it is aborted before:
    /// until then there is no other check of this target.
    Start {
        /// Whose check.
        target: TargetId,
        /// To be reported with the outcome.
        check: CheckId,
        /// How far back it begins.
        depth: Depth,
    },
    /// Drop a check: its outcome no longer counts.
    Abort {
        /// Whose check.
        target: TargetId,
        /// The one that was started.
        check: CheckId,
    },
    /// Look for a target elsewhere: at each deep check that finds it missing, or somebody else in
    /// its place. The back-off of the checks is that of the searches.
    Seek {
        /// The target.
        target: TargetId,
    },
    /// A target's state or reason changed.
    Changed {
        /// Whose.
        target: TargetId,
        /// What they were.
        old: (TargetState, Reason),
        /// What they are.
        new: (TargetState, Reason),
    },
    /// The state over all targets changed. (The reason, and the states of the kinds, may change
    /// without it: read [`Health::overall`].)
    OverallChanged {
        /// What it was.
        old: OverallState,
        /// What it is.
        new: OverallState,
        /// Why.
        reason: Reason,
    },
}

/// Why a check that somebody asked for is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No target has that name.
    #[error("no such target")]
    NoSuchTarget,
    /// Checks are paused.
    #[error("checks are paused")]
    Paused,
}

/// The health of everything that is watched.
#[derive(Debug)]
pub struct Health {
    targets: BTreeMap<TargetId, Target>,
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
            targets: BTreeMap::new(),
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
                let tested = self.targets.get_mut(&target);
                let change = tested.and_then(|tested| tested.tested(now, outcome));
                effects.extend(changed(&target, change));
            }
            Event::Hindered { target, reason } => {
                let hindered = self.targets.get_mut(&target);
                let change = hindered.and_then(|hindered| hindered.hinder(now, reason));
                effects.extend(changed(&target, change));
            }
            Event::KindHindered { kind, reason } => self.overall.hinder(kind, reason),
            Event::Closed { target, idle } => self.closed(now, &target, idle),
            Event::Refresh(only) => self.refresh(now, only.as_ref(), effects),
            Event::Appeared(id) => {
                if let Some(target) = self.targets.get_mut(&id) {
                    target.appeared(now);
                }
            }
            Event::Reach { target, reach } => self.reach(now, &target, reach, effects),
            Event::Found { target } => {
                let found = self.targets.get_mut(&target);
                let aborted = found.and_then(|found| found.found(now));
                effects.extend(abort(&target, aborted));
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
        let id = target;
        let target = self.targets.get_mut(id).ok_or(Denied::NoSuchTarget)?;
        let mut effects = Vec::new();
        match self.pause {
            Some(pause) if !pause.is_over(now) => return Err(Denied::Paused),
            // Its end checks every target that a way leads to, and this one anyway.
            Some(_) => {
                self.resume(now, &mut effects);
                if let Some(target) = self.targets.get_mut(id) {
                    target.hurry(now);
                }
            }
            None => effects.extend(abort(id, target.ask(now))),
        }
        self.settle(now, &mut effects);
        Ok(effects)
    }

    /// Whether a check of `target` that somebody asked for is yet to begin.
    pub fn is_asked(&self, target: &TargetId) -> bool {
        self.targets.get(target).is_some_and(Target::is_asked)
    }

    /// When [`Event::Tick`] is due (boot clock); `None` when nothing is scheduled. Always later
    /// than the last moment handled, so that waiting for it never spins.
    pub fn next_wake(&self) -> Option<Duration> {
        let due = match self.pause {
            Some(pause) => pause.until,
            None => self.targets.values().filter_map(Target::due).min(),
        };
        due.map(|due| due.max(self.last))
    }

    /// The health of one target.
    pub fn target(&self, id: &TargetId) -> Option<&TargetHealth> {
        self.targets.get(id).map(Target::health)
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

    fn add(&mut self, now: Now, id: TargetId) {
        let paused = self.pause.is_some();
        self.targets
            .entry(id)
            .or_insert_with(|| Target::new(now, paused));
    }

    fn remove(&mut self, id: TargetId, effects: &mut Vec<Effect>) {
        if let Some(target) = self.targets.remove(&id) {
            effects.extend(abort(&id, target.in_flight()));
        }
    }

    fn replace(&mut self, now: Now, id: TargetId, effects: &mut Vec<Effect>) {
        if let Some(target) = self.targets.get_mut(&id) {
            let (aborted, change) = target.replace(now, &mut self.pace);
            effects.extend(abort(&id, aborted));
            effects.extend(changed(&id, change));
        }
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
        if let Some(target) = self.targets.get_mut(&id) {
            let pace = &mut self.pace;
            let judged = target.report(now, check, outcome, latency, self.thresholds, pace);
            effects.extend(changed(&id, judged.change));
            if judged.seek {
                effects.push(Effect::Seek { target: id });
            }
        }
    }

    fn closed(&mut self, now: Now, id: &TargetId, idle: Duration) {
        if let Some(target) = self.targets.get_mut(id) {
            target.closed(now, idle);
        }
    }

    fn refresh(&mut self, now: Now, only: Option<&TargetId>, effects: &mut Vec<Effect>) {
        if self.pause.is_some() {
            return;
        }
        for (id, target) in &mut self.targets {
            if only.is_none_or(|only| only == id) {
                effects.extend(abort(id, target.refresh(now, self.timeout)));
            }
        }
    }

    fn reach(&mut self, now: Now, id: &TargetId, reach: Reach, effects: &mut Vec<Effect>) {
        if let Some(target) = self.targets.get_mut(id) {
            let (aborted, change) = target.reach(now, reach, self.timeout, &mut self.pace);
            effects.extend(abort(id, aborted));
            effects.extend(changed(id, change));
        }
    }

    fn pause(&mut self, now: Now, until: Option<Duration>, effects: &mut Vec<Effect>) {
        let pause = Pause { until };
        if pause.is_over(now) {
            return self.resume(now, effects);
        }
        self.pause = Some(pause);
        for (id, target) in &mut self.targets {
            let (aborted, change) = target.pause(now);
            effects.extend(abort(id, aborted));
            effects.extend(changed(id, change));
        }
    }

    fn resume(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.pause.take().is_some() {
            for (id, target) in &mut self.targets {
                effects.extend(changed(id, target.resume(now, &mut self.pace)));
            }
        }
    }

    fn repace(&mut self, now: Now, poll: &Poll) {
        self.thresholds = Thresholds::new(poll);
        self.timeout = poll.timeout;
        self.deep_interval = poll.deep_interval;
        self.pace.set(poll);
        for target in self.targets.values_mut() {
            target.repace(now, self.thresholds, &mut self.pace);
        }
    }

    /// Does what is due by `now`, whatever happened: so nothing due is ever left behind, and a
    /// tick that comes late, or not at all, does no harm.
    fn settle(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.last = self.last.max(now.boot);
        for (id, target) in &mut self.targets {
            if target.due().is_some_and(|due| due <= now.boot) {
                self.last_check = self.last_check.wrapping_add(1);
                let check = CheckId(self.last_check);
                let depth = target.start(now, check, self.deep_interval);
                effects.push(Effect::Start {
                    target: id.clone(),
                    check,
                    depth,
                });
            }
        }
        let targets = self
            .targets
            .iter()
            .map(|(id, target)| (id, target.health()));
        if let Some(old) = self.overall.update(now, targets) {
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

fn abort(id: &TargetId, check: Option<CheckId>) -> Option<Effect> {
    check.map(|check| Effect::Abort {
        target: id.clone(),
        check,
    })
}

fn changed(id: &TargetId, change: Change) -> Option<Effect> {
    change.map(|(old, new)| Effect::Changed {
        target: id.clone(),
        old,
        new,
    })
}
