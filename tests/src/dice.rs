//! What a run draws by: equal seeds draw equal faults.

use std::time::Duration;

/// `SplitMix64` (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Those that `seed` begins.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of `all`; `None` where there is none.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(all.len()).unwrap_or(u64::MAX);
        let at = self.next().checked_rem(count)?;
        all.get(usize::try_from(at).ok()?)
    }

    /// Whether something happens that happens `percent` times in a hundred.
    pub fn comes(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    /// A time of at least `least` and less than `most` milliseconds.
    pub fn between(&mut self, least: u64, most: u64) -> Duration {
        let more = self.next().checked_rem(most.saturating_sub(least));
        Duration::from_millis(least + more.unwrap_or(0))
    }

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
    use super::*;

    #[test]
    fn equal_seeds_draw_equally_and_others_do_not() {
        let drawn = |seed| {
            let mut dice = Dice::new(seed);
            let all: Vec<usize> = (0..20).collect();
            let ten = (0..10).filter_map(|_| dice.one_of(&all).copied());
            ten.collect::<Vec<_>>()
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }

    #[test]
    fn nothing_is_drawn_of_nothing_and_no_time_is_out_of_bounds() {
        let mut dice = Dice::new(1);
        assert_eq!(dice.one_of::<u8>(&[]), None);
        for _ in 0..100 {
            let time = dice.between(100, 400);
            assert!(time >= Duration::from_millis(100) && time < Duration::from_millis(400));
        }
    }
}
