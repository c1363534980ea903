//! How many answers in a row prove something.

use crate::config::Poll;

/// How many answers in a row make a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thresholds {
    /// Silences before what answered is down; at least 1.
    pub(super) fall: u32,
    /// Successes before what failed is ready; at least 1.
    pub(super) rise: u32,
}

impl Thresholds {
    /// Those of `poll`; a 0, which no valid configuration has, counts as 1.
    pub(super) fn new(poll: &Poll) -> Self {
        Self {
            fall: poll.fall.max(1),
            rise: poll.rise.max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_of_zero_counts_as_one() {
        let poll = Poll {
            fall: 0,
            rise: 0,
            ..Poll::default()
        };
        assert_eq!(Thresholds::new(&poll), Thresholds { fall: 1, rise: 1 });
    }
}
