//! One target: its published health, its check in flight, and when the next one is due.
//!
//! What the checks amount to is kept apart from what the last test build proved and from what keeps Nix
//! from going there: a builder that passes every check and fails at building, or that Nix is not
//! configured to use, is published as degraded, and checked as a ready one.
//!
//! Stage and address go with the published reason. A lost packet of a target that stays ready is in its count of
//! failures, which wakes nobody, and nowhere else.

mod consequence;
mod events;
mod report;

use std::time::Duration;

use offload_client::{Reason, Stage, TargetState, snapshot::HistoryEntry};

pub(super) use self::consequence::Consequence;
use self::report::is_at_host_key;
use super::{
    CheckId, Depth, Effect,
    built::{self, Built},
    counts::Counts,
    history::History,
    idle::Patience,
    rate::Bucket,
    verdict::Judge,
};
use crate::{
    clock::Now,
    net::Reach,
    reason::{Weight, traits},
};

/// The health of one target, as it is published. Timestamps are microseconds of
/// `CLOCK_REALTIME`, 0 for never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetHealth {
    /// The verdict.
    pub state: TargetState,
    /// Why it is not ready.
    pub reason: Reason,
    /// The stage at which `reason` arose; of a target that passes its checks, the last one that passed.
    pub stage: Stage,
    /// Whether its checks pass, whatever else is the matter.
    pub passes: bool,
    /// When `state` last changed.
    pub since: Now,
    /// When the last check ended.
    pub last_check: u64,
    /// When a check last passed.
    pub last_success: u64,
    /// When the next check is due, or was begun if it is under way.
    pub next_check: u64,
    /// How long the last passed check took.
    pub latency: Duration,
    /// Checks that failed in a row.
    pub consecutive_failures: u32,
    /// How often Nix itself said otherwise than the checks.
    pub disagreements: u32,
}

impl TargetHealth {
    /// Nix itself has said otherwise than the checks.
    fn disagrees(&mut self) {
        self.disagreements = self.disagreements.saturating_add(1);
    }
}

/// State and reason: what is told when it changes.
pub(super) type Standing = (TargetState, Reason);

/// Old and new, where they differ.
pub(super) type Change = Option<(Standing, Standing)>;

/// One target's state machine.
#[derive(Debug)]
pub(super) struct Target {
    health: TargetHealth,
    /// State, reason and stage by the checks alone.
    checks: (Standing, Stage),
    built: Built,
    /// What keeps Nix from going there.
    hindrance: Option<Reason>,
    judge: Judge,
    patience: Patience,
    bucket: Bucket,
    history: History,
    counts: Counts,
    /// Whether this machine's networks lead to it.
    reach: Reach,
    next: Next,
    /// When the last check that a close led to was due, on the boot clock.
    close: Option<Duration>,
    /// When a check last came beyond the host key, whatever it found there, on the boot clock.
    proved_itself: Option<Duration>,
    /// When a deep check last passed, on the boot clock; `None` asks for one.
    deep: Option<Duration>,
    excuse: Excuse,
    way: Way,
}

/// The next check.
#[derive(Debug)]
enum Next {
    /// None: nobody looks.
    Paused,
    /// It is to begin, by the boot clock.
    Due { at: Duration, asker: Asker },
    /// It is under way.
    InFlight(InFlight),
}

/// Who waits for a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    Nobody,
    Somebody,
}

/// Whether a failure may be put down to the changes of the network that are going on: one may, since a network that never
/// comes to rest would have no verdict otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Excuse {
    Left,
    Used,
}

/// Whether a check has passed by the present way to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Untried,
    Proved,
}

#[derive(Debug)]
struct InFlight {
    id: CheckId,
    depth: Depth,
    /// Boot clock.
    began: Duration,
    /// The network changed since then.
    overtaken: bool,
    /// The bounds changed since then: what it keeps for the next check goes with the old ones.
    repaced: bool,
    asker: Asker,
}

impl Target {
    /// A target nobody has looked at yet: to be checked at once, unless checks are paused.
    pub(super) fn new(now: Now, paused: bool) -> Self {
        let mut target = Self {
            health: TargetHealth {
                state: TargetState::Unknown,
                reason: Reason::None,
                stage: Stage::None,
                passes: false,
                since: now,
                last_check: 0,
                last_success: 0,
                next_check: 0,
                latency: Duration::ZERO,
                consecutive_failures: 0,
                disagreements: 0,
            },
            checks: ((TargetState::Unknown, Reason::None), Stage::None),
            built: Built::default(),
            hindrance: None,
            judge: Judge::default(),
            patience: Patience::default(),
            bucket: Bucket::default(),
            history: History::default(),
            counts: Counts::default(),
            reach: Reach::Near,
            next: Next::Paused,
            close: None,
            proved_itself: None,
            deep: None,
            excuse: Excuse::Left,
            way: Way::Untried,
        };
        if paused {
            let paused = (TargetState::Paused, Reason::Paused);
            target.checks.0 = paused;
            (target.health.state, target.health.reason) = paused;
        } else {
            target.schedule(now, Duration::ZERO, Asker::Nobody);
        }
        target
    }

    pub(super) fn health(&self) -> &TargetHealth {
        &self.health
    }

    /// What is published of it: state and reason.
    pub(super) fn standing(&self) -> Standing {
        (self.health.state, self.health.reason)
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// When the next check begins (boot clock); nothing while one is in flight, and while paused.
    pub(super) fn due(&self) -> Option<Duration> {
        match self.next {
            Next::Due { at, .. } => Some(at),
            Next::Paused | Next::InFlight(_) => None,
        }
    }

    pub(super) fn in_flight(&self) -> Option<CheckId> {
        match &self.next {
            Next::InFlight(check) => Some(check.id),
            Next::Paused | Next::Due { .. } => None,
        }
    }

    /// Whether a check that somebody asked for is to come.
    pub(super) fn is_asked(&self) -> bool {
        matches!(self.next, Next::Due { asker, .. } if asker == Asker::Somebody)
    }

    /// Somebody asks for a check, and then waits for it: a deep one that is in flight, or the one that others have
    /// asked for, is theirs too; else one begins, at once where it was not asked too often. The cheap check that gives
    /// way, if there is one.
    pub(super) fn ask(&mut self, now: Now) -> Consequence {
        match &mut self.next {
            Next::InFlight(check) if check.depth.is_deep() => {
                check.asker = Asker::Somebody;
                return Consequence::default();
            }
            Next::Due { asker, .. } if *asker == Asker::Somebody => return Consequence::default(),
            Next::Paused | Next::Due { .. } | Next::InFlight(_) => {}
        }
        let begins = self.bucket.take(now.boot);
        let aborted = self.in_flight();
        self.judge.hasten();
        self.deep = None;
        match &mut self.next {
            // What is due before that is made for who asked.
            Next::Due { at, asker } if *at <= begins => *asker = Asker::Somebody,
            Next::Paused | Next::Due { .. } | Next::InFlight(_) => {
                self.schedule(now, begins.saturating_sub(now.boot), Asker::Somebody);
            }
        }
        aborted.into()
    }

    /// The check that was due begins. Only of a target that is ready, and that has passed a deep
    /// check not long ago, is a cheap one enough: nothing becomes ready on an old connection.
    pub(super) fn start(&mut self, now: Now, id: CheckId, deep_interval: Duration) -> Depth {
        let recent = |deep: Duration| now.boot.saturating_sub(deep) < deep_interval;
        let asker = self.asker();
        let depth = match (asker, self.state_by_checks()) {
            (Asker::Somebody, _) => Depth::Asked,
            (Asker::Nobody, TargetState::Ready) if self.deep.is_some_and(recent) => Depth::Cheap,
            (Asker::Nobody, _) => Depth::Deep,
        };
        self.health.next_check = now.realtime_usec;
        self.next = Next::InFlight(InFlight {
            id,
            depth,
            began: now.boot,
            overtaken: false,
            repaced: false,
            asker,
        });
        depth
    }

    /// Who waits for the check that is due or under way.
    fn asker(&self) -> Asker {
        match &self.next {
            Next::Paused => Asker::Nobody,
            Next::Due { asker, .. } => *asker,
            Next::InFlight(check) => check.asker,
        }
    }

    fn state_by_checks(&self) -> TargetState {
        self.checks.0.0
    }

    /// What is to be published: the checks' verdict, unless that is ready and Nix does not go there, or
    /// a test build failed. What Nix does not even try says more than how it would end. Where the checks could not look
    /// as far as Nix goes, and somebody is there, what Nix itself has built is the verdict.
    fn verdict(&self) -> (Standing, Stage) {
        let (checks, stage) = self.checks;
        let built = self.built;
        let passes = checks.0 == TargetState::Ready;
        let is_for_nix = built::is_for_nix_to_say(checks, is_at_host_key(stage));
        let is_well = passes || is_for_nix && built.is_proved();
        let is_withheld = |reason| traits(reason).weight == Weight::Withheld;
        let is_shown = |reason| built.is_proved() && built::is_shown_by_a_build(reason);
        match (self.hindrance, built.fault()) {
            (Some(hindrance), None)
                if is_withheld(hindrance) && is_well && !is_shown(hindrance) =>
            {
                ((TargetState::Unknown, hindrance), stage)
            }
            (Some(hindrance), _) if !is_withheld(hindrance) && is_well => {
                ((TargetState::Degraded, hindrance), stage)
            }
            (_, Some(fault)) if passes || is_for_nix => {
                ((TargetState::Degraded, fault), Stage::Build)
            }
            (_, None) if is_for_nix && built.is_proved() => {
                ((TargetState::Ready, Reason::None), Stage::Build)
            }
            _ => self.checks,
        }
    }

    /// Takes up what the checks amount to.
    fn set(&mut self, now: Now, new: Standing, latency: Duration) -> Change {
        self.checks.0 = new;
        self.health.passes = new.0 == TargetState::Ready;
        self.built.checked(new.0);
        self.publish(now, latency)
    }

    fn publish(&mut self, now: Now, latency: Duration) -> Change {
        let old = (self.health.state, self.health.reason);
        let (new, stage) = self.verdict();
        self.health.stage = stage;
        if old == new {
            return None;
        }
        let (state, reason) = new;
        if old.0 != state {
            self.health.since = now;
            self.counts.became(state);
        }
        (self.health.state, self.health.reason) = new;
        self.history.push(HistoryEntry {
            timestamp: now.realtime_usec,
            state,
            reason,
            latency_usec: usec(latency),
        });
        Some((old, new))
    }

    /// What is known goes, and so does the check under way: the next one begins at once, for whoever
    /// waits for that one. Returns the check to abort.
    fn start_over(&mut self, now: Now) -> Option<CheckId> {
        let aborted = self.in_flight();
        self.forget();
        self.schedule(now, Duration::ZERO, self.asker());
        aborted
    }

    fn forget(&mut self) {
        self.excuse = Excuse::Left;
        self.way = Way::Untried;
        self.deep = None;
        self.proved_itself = None;
        self.judge.forget();
        self.patience.forget();
    }

    /// The next check begins after `wait`, in place of any other.
    fn schedule(&mut self, now: Now, wait: Duration, asker: Asker) {
        self.next = Next::Due {
            at: now.boot.saturating_add(wait),
            asker,
        };
        self.health.next_check = now.realtime_usec.saturating_add(usec(wait));
    }
}

fn usec(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
