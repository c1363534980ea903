//! What a test build found wrong, which stands though checks pass.

use offload_client::{Reason, TargetState};

/// What the last test build found wrong with its builder, if anything.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flaw(Option<Reason>);

impl Flaw {
    /// What is wrong.
    pub(super) fn reason(self) -> Option<Reason> {
        self.0
    }

    /// A test build ended on a target that is in `state` by its checks. What it found wrong stands until
    /// another one succeeds; of a target that fails its checks, the checks have more to say.
    pub(super) fn tested(&mut self, outcome: Result<(), Reason>, state: TargetState) {
        self.0 = match (outcome, state) {
            (Ok(()), _) => None,
            (Err(reason), TargetState::Ready | TargetState::Unknown | TargetState::Paused) => {
                is_flaw(reason).then_some(reason).or(self.0)
            }
            (Err(_), TargetState::Degraded | TargetState::Down | TargetState::Away) => None,
        };
    }

    /// The checks amount to `state`. A target that fails them is judged anew when it comes back: by
    /// then somebody may have mended what the test build found.
    pub(super) fn checked(&mut self, state: TargetState) {
        match state {
            TargetState::Degraded | TargetState::Down | TargetState::Away => self.0 = None,
            TargetState::Unknown | TargetState::Ready | TargetState::Paused => {}
        }
    }
}

/// Whether a test build that ends so says something of its builder.
fn is_flaw(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::BuildFailed | Reason::BuiltLocally | Reason::BuiltElsewhere
    )
}
