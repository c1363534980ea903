//! What happens to a target between its checks.

use std::time::Duration;

use offload_client::{Reason, Stage, TargetState};

use super::{Asker, Built, Consequence, Next, Standing, Target, Way};
use crate::{
    clock::Now,
    health::{
        CheckId,
        evidence::Thresholds,
        schedule::{Pace, Wait},
    },
    net::Reach,
};

/// Closes lead to no more than one check in this time, however a server behaves. The first of them is looked
/// into at once, so that all targets of a desktop that shuts down are told of together.
const CLOSE_PAUSE: Duration = Duration::from_secs(1);

impl Target {
    /// The peer closed the kept connection. That says something only of a target that is thought
    /// to be ready, and nothing while a check is finding out anyway.
    pub(in crate::health) fn closed(&mut self, now: Now, idle: Duration) {
        let Some(due) = self.due() else { return };
        if self.state_by_checks() != TargetState::Ready || !self.patience.closed(idle) {
            return;
        }
        // Who comes back is another one until it has proved itself.
        self.deep = None;
        let earliest = self.close.map_or(now.boot, |close| {
            close.saturating_add(CLOSE_PAUSE).max(now.boot)
        });
        if earliest < due {
            self.close = Some(earliest);
            self.schedule(now, earliest - now.boot, self.asker());
        }
    }

    /// The network changed: the state stays published, lest every resume show twice on every
    /// widget, but the next answer decides alone.
    pub(in crate::health) fn refresh(&mut self, now: Now, timeout: Duration) -> Consequence {
        if self.reach == Reach::Nowhere {
            // No change of a network that leads nowhere brings it nearer.
            return Consequence::default();
        }
        self.look_again(now, timeout).into()
    }

    /// Somebody has appeared where it is missed.
    pub(in crate::health) fn appeared(&mut self, now: Now) {
        if self.due().is_some() {
            self.judge.hasten();
            self.schedule(now, Duration::ZERO, self.asker());
        }
    }

    fn look_again(&mut self, now: Now, timeout: Duration) -> Option<CheckId> {
        if let Next::InFlight(check) = &mut self.next {
            let age = now.boot.saturating_sub(check.began);
            if !self.judge.has_judged() && age < timeout {
                // It is such a next answer itself. Link events come in bursts: starting over at
                // each of them would never come to an end.
                check.overtaken = true;
                self.way = Way::Untried;
                return None;
            }
        }
        self.start_over(now)
    }

    /// The networks of this machine lead to it as `reach` says.
    pub(in crate::health) fn reach(
        &mut self,
        now: Now,
        reach: Reach,
        timeout: Duration,
        pace: &mut Pace,
    ) -> Consequence {
        let old = std::mem::replace(&mut self.reach, reach);
        if old == reach || self.is_paused() {
            return Consequence::default();
        }
        if reach == Reach::Nowhere {
            let aborted = self.in_flight();
            self.forget();
            return self.leave(now, pace, aborted);
        }
        if old != Reach::Nowhere && self.in_flight().is_some() && !self.judge.has_judged() {
            // The first answer is under way: that its way is another one now, `refresh` would say.
            return Consequence::default();
        }
        self.look_again(now, timeout).into()
    }

    /// It was found at another address: looked at there at once, and that answer decides alone.
    pub(in crate::health) fn found(&mut self, now: Now) -> Consequence {
        if self.is_paused() {
            return Consequence::default();
        }
        self.start_over(now).into()
    }

    /// Its specification changed: it is a new target with an old history.
    pub(in crate::health) fn replace(&mut self, now: Now, pace: &mut Pace) -> Consequence {
        let aborted = self.start_over(now);
        self.close = None;
        self.built = Built::default();
        self.checks.1 = Stage::None;
        self.health.stage = Stage::None;
        self.health.last_check = 0;
        self.health.last_success = 0;
        self.health.latency = Duration::ZERO;
        self.health.consecutive_failures = 0;
        if self.is_paused() {
            self.rest();
            return aborted.into();
        }
        if self.reach == Reach::Nowhere {
            return self.leave(now, pace, aborted);
        }
        self.without_check(now, (TargetState::Unknown, Reason::None), aborted)
    }

    /// Nobody looks from now on.
    pub(in crate::health) fn pause(&mut self, now: Now) -> Consequence {
        let aborted = self.in_flight();
        self.forget();
        self.rest();
        self.without_check(now, (TargetState::Paused, Reason::Paused), aborted)
    }

    /// Somebody looks again: at once, where there is a way.
    pub(in crate::health) fn resume(&mut self, now: Now, pace: &mut Pace) -> Consequence {
        self.health.consecutive_failures = 0;
        if self.reach == Reach::Nowhere {
            return self.leave(now, pace, None);
        }
        self.schedule(now, Duration::ZERO, Asker::Nobody);
        self.without_check(now, (TargetState::Unknown, Reason::None), None)
    }

    /// The next check is due now, because somebody asks.
    pub(in crate::health) fn hurry(&mut self, now: Now) {
        self.deep = None;
        self.schedule(now, Duration::ZERO, Asker::Somebody);
    }

    /// The intervals changed: a check that would be due sooner by the new ones is moved there.
    pub(in crate::health) fn repace(&mut self, now: Now, thresholds: Thresholds, pace: &mut Pace) {
        // What a check keeps for the next goes with the old bounds.
        self.deep = None;
        if let Next::InFlight(check) = &mut self.next {
            check.repaced = true;
        }
        let Some(due) = self.due() else { return };
        let wait = pace.wait(self.judge.wait(self.state_by_checks(), thresholds));
        if now.boot.saturating_add(wait) < due {
            self.schedule(now, wait, self.asker());
        }
    }

    /// A test build ended.
    pub(in crate::health) fn tested(
        &mut self,
        now: Now,
        outcome: Result<(), Reason>,
    ) -> Consequence {
        let aborted = if self.built.tested(outcome, self.state_by_checks()) {
            self.check_anew(now)
        } else {
            None
        };
        Consequence {
            aborted,
            ..self.publish(now, Duration::ZERO).into()
        }
    }

    /// What Nix has built with is not what it was.
    pub(in crate::health) fn unproved(&mut self, now: Now) -> Consequence {
        self.built.unproved();
        self.publish(now, Duration::ZERO).into()
    }

    /// What keeps Nix from it is this now.
    pub(in crate::health) fn hinder(&mut self, now: Now, reason: Option<Reason>) -> Consequence {
        self.hindrance = reason;
        self.publish(now, Duration::ZERO).into()
    }

    /// A check from scratch begins at once, in place of the one under way, for whoever waits for that one. The check to
    /// abort.
    fn check_anew(&mut self, now: Now) -> Option<CheckId> {
        if self.is_paused() {
            return None;
        }
        let aborted = self.in_flight();
        self.deep = None;
        self.schedule(now, Duration::ZERO, self.asker());
        aborted
    }

    /// No check is due.
    fn rest(&mut self) {
        self.next = Next::Paused;
        self.health.next_check = 0;
    }

    /// No way leads to it: away, without a question.
    fn leave(&mut self, now: Now, pace: &mut Pace, aborted: Option<CheckId>) -> Consequence {
        self.schedule(now, pace.wait(Wait::Slowest), Asker::Nobody);
        self.checks.1 = Stage::Connect;
        self.without_check(now, (TargetState::Away, Reason::NoRoute), aborted)
    }

    /// It stands so, though no check has said it.
    fn without_check(
        &mut self,
        now: Now,
        standing: Standing,
        aborted: Option<CheckId>,
    ) -> Consequence {
        Consequence {
            aborted,
            ..self.set(now, standing, Duration::ZERO).into()
        }
    }

    fn is_paused(&self) -> bool {
        self.health.state == TargetState::Paused
    }
}
