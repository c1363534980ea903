//! The end of a check: what of it counts, and what it amounts to.
//!
//! What explains a verdict (details, error) stays with it where an answer does not count: OpenSSH turns away for a
//! while who failed to log in too often, and that hides no fault.

use std::time::Duration;

use offload_client::{Reason, Stage, TargetState};

use super::{Asker, Consequence, Excuse, Next, Target, Way};
use crate::{
    clock::Now,
    health::{CheckId, Depth, Outcome, evidence::Thresholds, schedule::Pace, verdict::Verdict},
    net::Reach,
    reason::{Weight, Who, traits},
};

/// No server punishes longer, by OpenSSH's defaults (`max` of `PerSourcePenalties`, sshd_config(5)).
const MAX_PENALTY: Duration = Duration::from_secs(600);

impl Target {
    /// A check ended. The outcome of any other than the one in flight is stale, and ignored.
    pub(in crate::health) fn report(
        &mut self,
        now: Now,
        id: CheckId,
        outcome: Outcome,
        latency: Duration,
        thresholds: Thresholds,
        pace: &mut Pace,
    ) -> Consequence {
        let check = match std::mem::replace(&mut self.next, Next::Paused) {
            Next::InFlight(check) if check.id == id => check,
            other => {
                self.next = other;
                return Consequence::default();
            }
        };
        self.health.last_check = now.realtime_usec;
        if check.overtaken && outcome.is_err() && self.excuse == Excuse::Left {
            // The network changed under this check, which may be all that was wrong.
            self.excuse = Excuse::Used;
            self.schedule(now, Duration::ZERO, check.asker);
            return Consequence::default();
        }
        let is_sent_on = matches!(
            outcome,
            Err((_, Reason::Redirected | Reason::CaptivePortal))
        );
        if is_sent_on && check.asker == Asker::Somebody && check.depth != Depth::Asked {
            // It had begun before somebody asked, and so may not have gone where Nix would.
            self.schedule(now, Duration::ZERO, Asker::Somebody);
            return Consequence::default();
        }

        if outcome.is_ok() && check.depth.is_deep() && !check.repaced {
            self.deep = Some(now.boot);
        }
        if outcome.is_ok() && !check.overtaken {
            self.way = Way::Proved;
        }
        let is_nothing = outcome.is_err_and(|(_, reason)| traits(reason).is_nothing());
        if !is_nothing {
            self.record(now, outcome, latency);
        }
        let cause = outcome.map(drop).map_err(|(_, reason)| reason);
        if self.built.heard(cause) {
            self.health.disagrees();
        }
        let reach = self.proved_reach();
        let verdict = if self.is_punished(now, outcome) {
            self.judge.turned_away()
        } else {
            self.judge.weigh(self.checks.0, cause, reach, thresholds)
        };
        let (Ok(stage) | Err((stage, _))) = outcome;
        if is_behind_host_key(stage) {
            self.proved_itself = Some(now.boot);
        }
        let change = match verdict {
            Verdict::Becomes(state, reason) => {
                self.explain(outcome, reason);
                self.set(now, (state, reason), latency)
            }
            Verdict::Stands | Verdict::Again => {
                self.explain(outcome, self.checks.0.1);
                self.publish(now, latency)
            }
        };
        if check.overtaken && outcome.is_err() {
            self.judge.forget();
            self.schedule(now, Duration::ZERO, check.asker);
        } else if verdict == Verdict::Again {
            self.schedule(now, Duration::ZERO, check.asker);
        } else {
            let wait = self.judge.wait(self.state_by_checks(), thresholds);
            self.schedule(now, pace.wait(wait), Asker::Nobody);
        }
        let proves =
            check.depth.is_deep() && outcome.is_err() && !is_nothing && verdict != Verdict::Again;
        Consequence {
            aborted: None,
            change,
            is_missing: proves && self.is_missing(),
        }
    }

    /// Whether it hangs up before the host key, or turns us away, as a server does that punishes the failed
    /// logins of a moment ago (`PerSourcePenalties` of OpenSSH): what is wrong is what made them fail.
    fn is_punished(&self, now: Now, outcome: Outcome) -> bool {
        let Err((stage, reason)) = outcome else {
            return false;
        };
        let is_cut = matches!(traits(reason).weight, Weight::Cut | Weight::TurnedAway);
        let recent = |proved: Duration| now.boot.saturating_sub(proved) < MAX_PENALTY;
        is_cut
            && !is_behind_host_key(stage)
            && self.state_by_checks() == TargetState::Degraded
            && is_behind_host_key(self.checks.1)
            && self.proved_itself.is_some_and(recent)
    }

    /// How near it is by what the routes say and the checks have shown: where it has answered from
    /// afar, one lost packet is no more than on a network of its own.
    fn proved_reach(&self) -> Reach {
        match self.reach {
            Reach::Far | Reach::ByName if self.way == Way::Proved => Reach::Near,
            // Since the network changed its name has not been good for anything.
            Reach::Near if self.way == Way::Untried && self.health.last_success > 0 => {
                Reach::ByName
            }
            reach => reach,
        }
    }

    /// Whether the checks amount to this: it is not where it should be, though a way leads there.
    fn is_missing(&self) -> bool {
        let (state, reason) = self.checks.0;
        match state {
            TargetState::Down => self.reach != Reach::Nowhere,
            TargetState::Degraded => traits(reason).who == Who::Another,
            // Whoever knows no name may be asked otherwise.
            TargetState::Away => reason == Reason::DnsFailed && self.reach != Reach::Nowhere,
            TargetState::Unknown | TargetState::Ready | TargetState::Paused => false,
        }
    }

    fn record(&mut self, now: Now, outcome: Outcome, latency: Duration) {
        let health = &mut self.health;
        match outcome {
            Ok(_) => {
                health.last_success = now.realtime_usec;
                health.latency = latency;
                health.consecutive_failures = 0;
                self.counts.passed(latency);
                self.patience.passed();
            }
            Err((_, reason)) => {
                // What it says again and again is told once.
                if reason == Reason::NixDeclines && self.checks.0.1 != reason {
                    health.disagrees();
                }
                health.consecutive_failures = health.consecutive_failures.saturating_add(1);
                self.counts.failed();
                self.patience.forget();
            }
        }
    }

    /// Takes up the stage that goes with the reason that the checks amount to: of a failure that does not count yet,
    /// or of one with another reason, nobody is told.
    fn explain(&mut self, outcome: Outcome, amounts_to: Reason) {
        let (stage, reason) = match outcome {
            Ok(stage) => (stage, Reason::None),
            Err(failure) => failure,
        };
        if reason == amounts_to {
            self.checks.1 = stage;
        }
    }
}

/// Whether a builder has proved its host key before it comes to this stage.
const fn is_behind_host_key(stage: Stage) -> bool {
    matches!(
        stage,
        Stage::Auth | Stage::Handshake | Stage::Trust | Stage::System | Stage::Build
    )
}

/// Whether a builder has been heard before it comes to this stage: its host key is asked for, or proved.
pub(super) const fn is_at_host_key(stage: Stage) -> bool {
    matches!(stage, Stage::HostKey) || is_behind_host_key(stage)
}
