//! What the answers so far amount to: the table at the heart of the health core.
//!
//! | answer        | first answer¹ | ready            | degraded         | down            |
//! |---------------|---------------|------------------|------------------|-----------------|
//! | passed        | ready         | –                | ready after rise | ready after rise|
//! | refusal       | down          | down             | down             | –               |
//! | cut           | again, at once| again, at once²  | again, at once²  | –               |
//! | turned away   | down          | down             | down⁴            | –               |
//! | dropped       | again, at once| again, at once²  | again, at once²  | degraded        |
//! | silence       | down          | down after fall  | down after fall  | –               |
//! | misconfigured | degraded      | degraded         | –                | degraded        |
//! | withheld      | unknown       | unknown          | unknown          | unknown         |
//! | nothing       | unknown³      | –³               | –³               | –³              |
//!
//! What nothing leads to, or no network of this machine but the default route (far), is away rather
//! than down, and at the first failure, where nobody answers: silence there is no news of it. A
//! refusal is an answer. So is what has a name that only its own network knows, or that had an address before the network
//! changed, where that name has none: it is looked at fast for a while, should the resolver not be up yet, and
//! then with the back-off. What has passed a check from afar is weighed as what is near, until its way
//! changes.
//!
//! ¹ since start, resume, a change of the network or of the target's specification.
//! ² if it is the first failure in a row. The next one has its own weight, and a cut is a refusal
//! then, what was dropped misconfigured.
//!
//! ³ the check could not be made for want of this machine's own: what was known stays, and it is asked
//! again soon. Only what could not be looked at [`BELIEVED`] times in a row is not known any more.
//!
//! ⁴ but for what was found wrong behind a proved host key: that stands for as long as a server may punish
//! ([`Judge::turned_away`]).
//!
//! Where the state stays (–), the reason may become another one. What was withheld (a redirect that only a check
//! follows which somebody asked for) leaves the next answer to decide alone, as the first one does.
//!
//! The next check follows fast while anything is pending: the rise, the fall, the confirmation of
//! a first answer, another reason than the known one. What is down is looked at fast until `fall`
//! failures are together, so that a service that merely restarts is back in seconds; then the
//! back-off begins. What is away is looked at as seldom as that ever gets. What is degraded, or unknown because a check
//! was withheld, waits for a person, and begins with the back-off.

use offload_client::{Reason, TargetState};

use super::{evidence::Thresholds, schedule::Wait};
use crate::{
    net::Reach,
    reason::{Weight, traits},
};

/// So many checks that could not be made are made again soon, a minute at the usual pace; the others
/// are made again at the steady pace.
const SOON: u32 = 20;
/// What could not be looked at so often is believed no more: some five minutes, which is the longest
/// that any verdict stands without a look.
const BELIEVED: u32 = 30;

/// What one answer leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// State and reason stay as they are.
    Stands,
    /// They stay for the moment: look again at once.
    Again,
    /// They become these (which they may have been before).
    Becomes(TargetState, Reason),
}

/// Weighs the answers of one target.
#[derive(Clone, Debug, Default)]
pub(super) struct Judge {
    /// Whether there was a first answer.
    judged: bool,
    /// Successes in a row.
    passed: u32,
    /// Failures in a row without any answer of use: refusals, cuts and silences.
    unanswered: u32,
    /// Failures since it was ready, or since it is degraded or unknown rather than down: a lone success
    /// between them must not restart the back-off of a server that flaps.
    misses: u32,
    /// Whether the last answer was that its name has no address here: a resolver may merely not be up yet.
    is_unnamed: bool,
    /// How often in a row it turned us away.
    turned_away: u32,
    /// Another reason than the known one, seen once, of a sort that counts when it came twice.
    other: Option<Reason>,
    /// Checks in a row that could not be made.
    unmade: u32,
}

impl Judge {
    /// Whether there was a first answer, so that the next one does not decide alone.
    pub(super) fn has_judged(&self) -> bool {
        self.judged
    }

    /// Weighs one answer against the `state` and `reason` published so far, and the `reach` of this
    /// machine's networks.
    pub(super) fn weigh(
        &mut self,
        (state, reason): (TargetState, Reason),
        outcome: Result<(), Reason>,
        reach: Reach,
        thresholds: Thresholds,
    ) -> Verdict {
        if let Err(cause) = outcome
            && traits(cause).is_nothing()
        {
            return self.weigh_nothing(state, cause);
        }
        (self.unmade, self.is_unnamed) = (0, false);
        if !outcome.is_err_and(|cause| traits(cause).weight == Weight::TurnedAway) {
            self.turned_away = 0;
        }
        match outcome {
            Ok(()) => self.weigh_success(state, thresholds),
            Err(cause) => match (reach, traits(cause).is_absence()) {
                (Reach::Nowhere, true) => self.absent(state, reason, Reason::NoRoute),
                (Reach::Far, true) => self.absent(state, reason, cause),
                (Reach::ByName, true) if cause == Reason::DnsFailed => {
                    self.is_unnamed = true;
                    self.absent(state, reason, cause)
                }
                (Reach::Nowhere | Reach::Far, false) | (Reach::Near | Reach::ByName, _) => {
                    self.weigh_failure(state, reason, cause, thresholds)
                }
            },
        }
    }

    /// How long to wait after the last answer, which left the target in `state`.
    pub(super) fn wait(&self, state: TargetState, thresholds: Thresholds) -> Wait {
        match state {
            TargetState::Away if self.unmade > 0 => Wait::Slowest,
            _ if self.turned_away > 0 => Wait::TurnedAway(self.turned_away - 1),
            _ if self.unmade > SOON => Wait::Steady,
            _ if self.unmade > 0 => Wait::Fast,
            TargetState::Ready if self.passed >= thresholds.rise => Wait::Steady,
            TargetState::Degraded | TargetState::Unknown
                if self.passed == 0 && self.unanswered == 0 =>
            {
                Wait::BackOff(self.misses.saturating_sub(1))
            }
            TargetState::Away if self.is_unnamed && self.misses < thresholds.fall => Wait::Fast,
            TargetState::Away if self.is_unnamed => Wait::BackOff(self.misses - thresholds.fall),
            TargetState::Down
                if self.passed == 0 && self.other.is_none() && self.misses >= thresholds.fall =>
            {
                Wait::BackOff(self.misses - thresholds.fall)
            }
            TargetState::Away if self.passed == 0 => Wait::Slowest,
            _ => Wait::Fast,
        }
    }

    /// A check was turned away, or cut before the host key was proved, of a target of which more is known:
    /// that stands.
    pub(super) fn turned_away(&mut self) -> Verdict {
        self.turned_away = self.turned_away.saturating_add(1);
        Verdict::Stands
    }

    /// The back-off starts over, because somebody is waiting for this target.
    pub(super) fn hasten(&mut self) {
        self.misses = 0;
    }

    /// What was known no longer counts: the next answer decides alone.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    fn weigh_nothing(&mut self, state: TargetState, cause: Reason) -> Verdict {
        let unmade = self.unmade.saturating_add(1);
        self.unmade = unmade;
        let is_believed = match state {
            TargetState::Unknown => false,
            // That is what the networks say, and no check.
            TargetState::Away => true,
            _ => unmade < BELIEVED,
        };
        if is_believed {
            return Verdict::Stands;
        }
        *self = Self {
            unmade,
            ..Self::default()
        };
        Verdict::Becomes(TargetState::Unknown, cause)
    }

    fn weigh_success(&mut self, state: TargetState, thresholds: Thresholds) -> Verdict {
        self.passed = self.passed.saturating_add(1);
        self.unanswered = 0;
        self.other = None;
        let risen = self.passed >= thresholds.rise;
        if self.judged && state != TargetState::Ready && !risen {
            return Verdict::Stands;
        }
        self.judged = true;
        Verdict::Becomes(TargetState::Ready, Reason::None)
    }

    fn weigh_failure(
        &mut self,
        state: TargetState,
        reason: Reason,
        cause: Reason,
        thresholds: Thresholds,
    ) -> Verdict {
        let weight = traits(cause).weight;
        self.passed = 0;
        self.unanswered = match weight {
            Weight::Misconfigured | Weight::Withheld | Weight::Nothing => 0,
            Weight::Refusal
            | Weight::Cut
            | Weight::TurnedAway
            | Weight::Dropped
            | Weight::Silence => self.unanswered.saturating_add(1),
        };
        let is_down = self.judged && matches!(state, TargetState::Down | TargetState::Away);
        let failed = match weight {
            Weight::Misconfigured => TargetState::Degraded,
            Weight::Withheld => return self.withhold(state, cause),
            Weight::Cut if self.unanswered == 1 && !is_down => return Verdict::Again,
            Weight::Dropped if cause != reason && self.other.replace(cause) != Some(cause) => {
                return Verdict::Again;
            }
            Weight::Dropped => {
                self.unanswered = 0;
                TargetState::Degraded
            }
            Weight::TurnedAway => {
                self.turned_away();
                TargetState::Down
            }
            Weight::Cut | Weight::Refusal => TargetState::Down,
            Weight::Silence if self.judged && !is_down && self.unanswered < thresholds.fall => {
                return Verdict::Stands;
            }
            Weight::Silence => TargetState::Down,
            Weight::Nothing => return Verdict::Stands,
        };

        self.becomes(failed, cause, (state, reason))
    }

    /// It is not known any more, and so the next answer of use decides alone.
    fn withhold(&mut self, state: TargetState, cause: Reason) -> Verdict {
        let before = match state {
            TargetState::Unknown => self.misses,
            _ => 0,
        };
        *self = Self {
            misses: before.saturating_add(1),
            ..Self::default()
        };
        Verdict::Becomes(TargetState::Unknown, cause)
    }

    /// Nobody answers where no way is known to lead.
    fn absent(&mut self, state: TargetState, reason: Reason, cause: Reason) -> Verdict {
        self.passed = 0;
        self.unanswered = self.unanswered.saturating_add(1);
        self.becomes(TargetState::Away, cause, (state, reason))
    }

    fn becomes(
        &mut self,
        failed: TargetState,
        cause: Reason,
        (state, reason): (TargetState, Reason),
    ) -> Verdict {
        if !self.judged || failed != state {
            self.judged = true;
            self.other = None;
            self.misses = self.unanswered.max(1);
            return Verdict::Becomes(failed, cause);
        }
        self.misses = self.misses.saturating_add(1);
        // A host that is off is `timed-out` or `host-unreachable` as the kernel's neighbour table
        // happens to stand: another such reason counts once it came twice in a row. So does `no-route`: the kernel
        // refuses before it has told that this machine has left. Any other change is news.
        let may_change = cause == Reason::NoRoute || traits(reason).is_absence();
        let known = cause == reason || !(traits(cause).is_absence() && may_change);
        if known || self.other.replace(cause) == Some(cause) {
            self.other = None;
            return Verdict::Becomes(failed, cause);
        }
        Verdict::Stands
    }
}
