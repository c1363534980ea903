//! What Nix itself made of a builder: a test build, which stands though checks pass.
//!
//! It says what no check can, and only of who answers: where a check was withheld behind the banner, the last test
//! build is the verdict. The desktop is watched by what the check can do, and what was proved with something else
//! counts no more. Where the check hears nobody it stays `unknown`.
//!
//! A builder that goes away in the middle of a build makes it fail, and one that has come back lets it pass, before a
//! check has seen that. Where a test build says otherwise than the checks, the next check, which begins at once, has
//! a word first.

use offload_client::{Reason, TargetState};

use super::target::Standing;
use crate::{reason::Weight, reason::traits};

/// What the test builds of a builder came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Built {
    /// What the last one found wrong, if anything, of a builder that passed its checks after it.
    fault: Option<Reason>,
    /// What the last one came to, until a check that began after it has ended.
    unchecked: Option<Result<(), Reason>>,
    /// Whether the last one passed, and what was built with is what it was.
    proved: bool,
}

impl Built {
    /// What is wrong.
    pub(super) fn fault(self) -> Option<Reason> {
        self.fault
    }

    /// Whether Nix has built there.
    pub(super) fn is_proved(self) -> bool {
        self.proved
    }

    /// A test build ended on a target that is in `state` by its checks; of one that fails them, the checks have more to
    /// say of what went wrong. Whether it says otherwise than they do, so that they are to look again.
    pub(super) fn tested(&mut self, outcome: Result<(), Reason>, state: TargetState) -> bool {
        let fails = matches!(
            state,
            TargetState::Degraded | TargetState::Down | TargetState::Away
        );
        match outcome {
            Ok(()) => {
                *self = Self {
                    fault: None,
                    unchecked: fails.then_some(outcome),
                    proved: true,
                };
            }
            Err(_) if fails => *self = Self::default(),
            Err(reason) if is_build_fault(reason) => self.unchecked = Some(outcome),
            Err(_) => self.proved = false,
        }
        self.unchecked.is_some()
    }

    /// A check ended so that began after the last test build: what that found wrong stands now, where the check passes
    /// as far as it could look, until another one succeeds. Whether the two disagree.
    pub(super) fn heard(&mut self, check: Result<(), Reason>) -> bool {
        let weight = check.map_err(|reason| traits(reason).weight);
        match (self.unchecked, weight) {
            (Some(Err(fault)), Ok(()) | Err(Weight::Withheld)) => {
                *self = Self {
                    fault: Some(fault),
                    ..Self::default()
                };
                weight.is_ok()
            }
            // It says nothing, or is not counted yet.
            (None | Some(Err(_)), _) | (_, Err(Weight::Nothing)) => false,
            (Some(Ok(())), _) => {
                self.unchecked = None;
                !matches!(weight, Ok(()) | Err(Weight::Withheld))
            }
        }
    }

    /// What was built with is something else now.
    pub(super) fn unproved(&mut self) {
        self.proved = false;
    }

    /// The checks amount to `state`. A target that fails them is judged anew when it comes back: by
    /// then somebody may have mended what the test build found.
    pub(super) fn checked(&mut self, state: TargetState) {
        match state {
            TargetState::Degraded | TargetState::Down | TargetState::Away => {
                (self.fault, self.unchecked) = (None, None);
            }
            TargetState::Unknown | TargetState::Ready | TargetState::Paused => {}
        }
    }
}

/// Whether the checks pass as far as they could look, which is not as far as Nix goes: what Nix does there decides.
/// `is_there` says that somebody answers.
pub(super) fn is_for_nix_to_say((state, reason): Standing, is_there: bool) -> bool {
    state == TargetState::Unknown && traits(reason).weight == Weight::Withheld && is_there
}

/// Whether a test build shows that Nix is not kept away by that. It has nix-daemon use the builder that it is meant for, and
/// so says nothing of those that nix-daemon has read of.
pub(super) fn is_shown_by_a_build(hindrance: Reason) -> bool {
    hindrance == Reason::ForeignBuildHook
}

/// Whether a test build that ends so says something of its builder.
fn is_build_fault(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::BuildFailed | Reason::BuiltLocally | Reason::BuiltElsewhere
    )
}
