//! What Nix itself made of a builder: a test build, which stands though checks pass.
//!
//! It says what no check can, and only of who answers: where a check was withheld behind the banner, the last test
//! build is the verdict. The desktop is watched by what the check can do, and what was proved with something else
//! counts no more. Where the check hears nobody it stays `unknown`.

use offload_client::{Reason, TargetState};

use super::target::Standing;
use crate::{reason::Weight, reason::traits};

/// What the test builds of a builder came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Built {
    /// What the last one found wrong, if anything.
    fault: Option<Reason>,
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

    /// A test build ended on a target that is in `state` by its checks. What it found wrong stands until
    /// another one succeeds; of a target that fails its checks, the checks have more to say.
    pub(super) fn tested(&mut self, outcome: Result<(), Reason>, state: TargetState) {
        self.proved = outcome.is_ok();
        self.fault = match (outcome, state) {
            (Ok(()), _) => None,
            (Err(reason), TargetState::Ready | TargetState::Unknown | TargetState::Paused) => {
                is_build_fault(reason).then_some(reason).or(self.fault)
            }
            (Err(_), TargetState::Degraded | TargetState::Down | TargetState::Away) => None,
        };
    }

    /// What was built with is something else now.
    pub(super) fn unproved(&mut self) {
        self.proved = false;
    }

    /// The checks amount to `state`. A target that fails them is judged anew when it comes back: by
    /// then somebody may have mended what the test build found.
    pub(super) fn checked(&mut self, state: TargetState) {
        match state {
            TargetState::Degraded | TargetState::Down | TargetState::Away => self.fault = None,
            TargetState::Unknown | TargetState::Ready | TargetState::Paused => {}
        }
    }
}

/// Whether the checks pass as far as they could look, which is not as far as Nix goes: what Nix does there decides.
/// `is_there` says that somebody answers.
pub(super) fn is_for_nix_to_say((state, reason): Standing, is_there: bool) -> bool {
    state == TargetState::Unknown && traits(reason).weight == Weight::Withheld && is_there
}

/// Whether a test build that ends so says otherwise than the checks, which amount to `state`.
pub(super) fn disagrees(outcome: Result<(), Reason>, state: TargetState) -> bool {
    match (outcome, state) {
        (Ok(()), TargetState::Degraded | TargetState::Down) => true,
        (Err(reason), TargetState::Ready) => is_build_fault(reason),
        (Ok(()) | Err(_), _) => false,
    }
}

/// Whether a test build that ends so says something of its builder.
fn is_build_fault(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::BuildFailed | Reason::BuiltLocally | Reason::BuiltElsewhere
    )
}
