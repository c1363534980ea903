//! How often somebody may ask for a check.
//!
//! Checks that are asked for too often are gathered, not refused: one is made for all who asked meanwhile. An
//! answer is never older than the question by more than the check that was under way.

use std::time::Duration;

/// Checks that may be asked for at once.
const BURST: u32 = 5;
/// One more becomes free each time this has passed.
const REFILL: Duration = Duration::from_secs(2);

/// A token bucket, kept as the one moment at which it is full again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bucket {
    full_at: Duration,
}

impl Bucket {
    /// Takes a token at `now` (boot clock): when it is there, which is at once, or when the next comes back. Not to be
    /// asked for another before.
    pub(super) fn take(&mut self, now: Duration) -> Duration {
        self.full_at = self.full_at.max(now).saturating_add(REFILL);
        self.full_at.saturating_sub(REFILL * BURST).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_burst_is_five_and_then_one_comes_back_every_two_seconds() {
        let mut bucket = Bucket::default();
        for _ in 0..5 {
            assert_eq!(bucket.take(secs(100)), secs(100));
        }
        assert_eq!(bucket.take(secs(100)), secs(102));
        assert_eq!(bucket.take(secs(103)), secs(104));
        assert_eq!(bucket.take(secs(106)), secs(106));
    }

    #[test]
    fn a_long_rest_saves_up_no_more_than_a_burst() {
        let mut bucket = Bucket::default();
        for now in [secs(0), secs(86_400)] {
            for _ in 0..5 {
                assert_eq!(bucket.take(now), now);
            }
            assert_eq!(bucket.take(now), now + REFILL);
        }
    }
}
