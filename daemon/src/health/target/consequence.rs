//! What an event leads to, for one target.

use super::{Change, CheckId, Effect};
use crate::target::TargetId;

/// What an event leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::health) struct Consequence {
    /// The check to drop.
    pub(in crate::health) aborted: Option<CheckId>,
    pub(in crate::health) change: Change,
    /// Whether the target is not where it was looked for, so that it is to be looked for elsewhere.
    pub(in crate::health) is_missing: bool,
}

impl Consequence {
    /// What is to be done about it, of the target `id`.
    pub(in crate::health) fn effects(self, id: &TargetId) -> impl Iterator<Item = Effect> {
        let target = || id.clone();
        let aborted = self.aborted.map(|check| Effect::Abort {
            target: target(),
            check,
        });
        let changed = self.change.map(|(old, new)| Effect::Changed {
            target: target(),
            old,
            new,
        });
        let missing = self
            .is_missing
            .then(|| Effect::Missing { target: target() });
        [aborted, changed, missing].into_iter().flatten()
    }
}

impl From<Change> for Consequence {
    fn from(change: Change) -> Self {
        Self {
            change,
            ..Self::default()
        }
    }
}

impl From<Option<CheckId>> for Consequence {
    fn from(aborted: Option<CheckId>) -> Self {
        Self {
            aborted,
            ..Self::default()
        }
    }
}
