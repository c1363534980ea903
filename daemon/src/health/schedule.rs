//! When the next check is due: intervals, back-off, jitter.

use std::time::Duration;

use crate::config::Poll;

/// No pause between two scheduled checks is shorter, whatever the configuration says: the core
/// must not spin.
const SHORTEST: Duration = Duration::from_millis(10);

/// No server lets go of whom it punishes sooner: what OpenSSH has piled up before it turns away (`min` of
/// `PerSourcePenalties`, sshd_config(5), is 15 s), and a little more.
const PENALTY: Duration = Duration::from_secs(20);

/// How long to wait for the next check, by what is known of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// A verdict is pending.
    Fast,
    /// All is well, and was the last time.
    Steady,
    /// It keeps failing: the n-th step of the back-off, counted from 0.
    BackOff(u32),
    /// It turned us away, for the n-th time in a row, counted from 0: the step of the back-off, and never
    /// sooner than it may have forgotten.
    TurnedAway(u32),
    /// It is away: a look now and then, should the networks not say all.
    Slowest,
}

/// Turns a [`Wait`] into a time.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    fast: Duration,
    steady: Duration,
    back_off: BackOff,
    jitter: Jitter,
}

impl Pace {
    /// The intervals of `poll`; where they contradict each other, fast is never slower than
    /// steady, and the back-off never faster.
    pub(super) fn new(poll: &Poll, seed: u64) -> Self {
        let mut pace = Self {
            fast: SHORTEST,
            steady: SHORTEST,
            back_off: BackOff::new(SHORTEST, SHORTEST),
            jitter: Jitter::new(seed),
        };
        pace.set(poll);
        pace
    }

    /// Takes over the intervals of another configuration.
    pub(super) fn set(&mut self, poll: &Poll) {
        self.steady = poll.interval.max(SHORTEST);
        self.fast = poll.fast_interval.clamp(SHORTEST, self.steady);
        self.back_off = BackOff::new(self.steady, poll.down_max_interval);
    }

    /// How long to wait. Only the long waits are jittered: the short ones are few, and a verdict
    /// hangs on them.
    pub(super) fn wait(&mut self, wait: Wait) -> Duration {
        match wait {
            Wait::Fast => self.fast,
            Wait::Steady => self.jitter.apply(self.steady),
            Wait::BackOff(step) => self.jitter.apply(self.back_off.step(step)),
            Wait::TurnedAway(step) => self.wait(Wait::BackOff(step)).max(PENALTY),
            Wait::Slowest => self.jitter.apply(self.back_off.ceiling),
        }
    }
}

/// Waits that double from `first` up to `ceiling`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BackOff {
    first: Duration,
    ceiling: Duration,
}

impl BackOff {
    /// A ceiling below the first wait is raised to it.
    fn new(first: Duration, ceiling: Duration) -> Self {
        Self {
            first,
            ceiling: ceiling.max(first),
        }
    }

    /// The n-th wait, counted from 0. The last step before the ceiling is the ceiling: 30 s, 60 s,
    /// 120 s, 300 s; a step of 240 s between the last two would help nobody.
    fn step(self, n: u32) -> Duration {
        if n == 0 {
            return self.first;
        }
        let doubled = |n| self.first.saturating_mul(2_u32.saturating_pow(n));
        if doubled(n.saturating_add(1)) > self.ceiling {
            self.ceiling
        } else {
            doubled(n)
        }
    }
}

/// Spreads the laptops of one desktop: ± 10 %, from a seed, so that a run can be repeated.
#[derive(Clone, Debug)]
struct Jitter(u64);

impl Jitter {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn apply(&mut self, duration: Duration) -> Duration {
        let per_mille = 900 + (self.next() % 201) as u32;
        duration.saturating_mul(per_mille) / 1000
    }

    /// `SplitMix64` (Steele, Lea, Flood 2014): enough for spreading, and no dependency.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn steps(first: u64, ceiling: u64) -> Vec<u64> {
        let back_off = BackOff::new(Duration::from_secs(first), Duration::from_secs(ceiling));
        (0..5).map(|n| back_off.step(n).as_secs()).collect()
    }

    #[test]
    fn the_back_off_climbs_to_its_ceiling_and_stays() {
        assert_eq!(steps(30, 300), [30, 60, 120, 300, 300]);
        assert_eq!(steps(30, 240), [30, 60, 120, 240, 240]);
        assert_eq!(steps(30, 40), [30, 40, 40, 40, 40]);
        assert_eq!(steps(30, 5), [30, 30, 30, 30, 30]);
    }

    #[test]
    fn jitter_spreads_both_ways_and_repeats_with_its_seed() {
        let run = |seed| {
            let mut pace = Pace::new(&Poll::default(), seed);
            (0..100)
                .map(|_| pace.wait(Wait::Steady))
                .collect::<Vec<_>>()
        };
        let waits = run(7);
        assert_eq!(waits, run(7));
        assert_ne!(waits, run(8));
        assert!(waits.iter().any(|wait| *wait < Duration::from_secs(28)));
        assert!(waits.iter().any(|wait| *wait > Duration::from_secs(32)));
    }

    #[test]
    fn fast_is_never_slower_than_steady() {
        let poll = Poll {
            interval: Duration::from_secs(1),
            ..Poll::default()
        };
        let mut pace = Pace::new(&poll, 0);
        assert_eq!(pace.wait(Wait::Fast), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn no_wait_spins_or_overflows(
            interval: Duration, fast_interval: Duration, down_max_interval: Duration,
            seed: u64, step: u32,
        ) {
            let poll = Poll { interval, fast_interval, down_max_interval, ..Poll::default() };
            let mut pace = Pace::new(&poll, seed);
            let waits = [
                Wait::Fast,
                Wait::Steady,
                Wait::BackOff(step),
                Wait::TurnedAway(step),
                Wait::Slowest,
            ];
            for wait in waits {
                prop_assert!(pace.wait(wait) >= SHORTEST * 9 / 10);
            }
        }

        #[test]
        fn jitter_stays_within_a_tenth(seed: u64, secs in 1_u64..1_000_000) {
            let exact = Duration::from_secs(secs);
            let jittered = Jitter::new(seed).apply(exact);
            prop_assert!(jittered >= exact * 9 / 10 && jittered <= exact * 11 / 10);
        }
    }
}
