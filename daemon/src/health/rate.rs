//! How often somebody may ask for a check.

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
    /// Takes a token at `now` (boot clock); `false` where none is left.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        let full_at = self.full_at.max(now).saturating_add(REFILL);
        let allowed = full_at.saturating_sub(now) <= REFILL * BURST;
        if allowed {
            self.full_at = full_at;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &mut Bucket, secs: u64) -> usize {
        (0..20)
            .filter(|_| bucket.take(Duration::from_secs(secs)))
            .count()
    }

    #[test]
    fn a_burst_is_five_and_then_one_comes_back_every_two_seconds() {
        let mut bucket = Bucket::default();
        assert_eq!(taken(&mut bucket, 100), 5);
        assert_eq!(taken(&mut bucket, 101), 0);
        assert_eq!(taken(&mut bucket, 102), 1);
        assert_eq!(taken(&mut bucket, 108), 3);
    }

    #[test]
    fn a_long_rest_saves_up_no_more_than_a_burst() {
        let mut bucket = Bucket::default();
        assert_eq!(taken(&mut bucket, 0), 5);
        assert_eq!(taken(&mut bucket, 86_400), 5);
    }
}
