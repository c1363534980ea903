//! What the last test build of a builder came to. The daemon keeps it in the builder's details.

use crate::{
    JobState, Printable, Reason,
    snapshot::{Detail, Target},
};

/// The keys of [`Target::details`] that this is made of.
pub const DETAILS: [&str; 6] = [STATE, REASON, TIMESTAMP, USEC, PLACE, ERROR];

const STATE: &str = "test_build";
const REASON: &str = "test_build_reason";
const TIMESTAMP: &str = "test_build_timestamp";
const USEC: &str = "test_build_usec";
pub(crate) const PLACE: &str = "test_build_place";
pub(crate) const ERROR: &str = "test_build_error";

/// A test build that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestBuild {
    /// What became of it.
    pub state: JobState,
    /// Why it failed; [`Reason::None`] otherwise.
    pub reason: Reason,
    /// When: microseconds of `CLOCK_REALTIME`, 0 where not known.
    pub timestamp: u64,
    /// How long it took, in microseconds.
    pub duration_usec: u64,
    /// The host name of the machine it was built on; empty where not known.
    pub place: Printable,
    /// A machine's words for what went wrong; empty where nothing did.
    pub error: Printable,
}

/// Whether `target` has yet to prove itself, and will.
pub fn is_yet_to_come(target: &Target) -> bool {
    target.details.get(STATE) == Some(&Detail::from(""))
}

/// The last one of `target`; `None` before the first.
pub fn of(target: &Target) -> Option<TestBuild> {
    let text = |key| match target.details.get(key) {
        Some(Detail::Text(text)) => text.clone(),
        _ => Printable::default(),
    };
    let number = |key| match target.details.get(key) {
        Some(Detail::Uint(number)) => *number,
        _ => 0,
    };
    let state = text(STATE);
    if state.is_empty() {
        return None;
    }
    Some(TestBuild {
        state: JobState::from_word(&state),
        reason: Reason::from_word(&text(REASON)),
        timestamp: number(TIMESTAMP),
        duration_usec: number(USEC),
        place: text(PLACE),
        error: text(ERROR),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_test_build_is_read_from_the_details() {
        let mut target = Target::default();
        assert_eq!(of(&target), None);
        target.details.insert(STATE.into(), "failed".into());
        target.details.insert(REASON.into(), "built-locally".into());
        target.details.insert(USEC.into(), 1_500_000.into());
        // Of another type than promised: as if it were not there.
        target.details.insert(PLACE.into(), 7.into());
        assert_eq!(
            of(&target),
            Some(TestBuild {
                state: JobState::Failed,
                reason: Reason::BuiltLocally,
                duration_usec: 1_500_000,
                ..TestBuild::default()
            })
        );
    }
}
