//! What became of a target's checks, counted since it is watched: what metrics are made of.

use std::time::Duration;

use offload_client::TargetState;

/// What passed checks may take, in milliseconds: the upper bounds of [`Counts::passed_within`], of which the last has none.
pub const LATENCIES: [u32; 10] = [1, 2, 5, 10, 25, 50, 100, 250, 1000, 5000];

/// The checks of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Checks that passed, by how long they took: each in the first of [`LATENCIES`] that holds it, or behind them all.
    pub passed_within: [u32; LATENCIES.len() + 1],
    /// How long all of these took.
    pub passed_in: Duration,
    /// Checks that failed.
    pub failed: u32,
    /// How often each state was come to, in the order of [`TargetState::ALL`].
    pub became: [u32; TargetState::ALL.len()],
}

impl Counts {
    pub(super) fn passed(&mut self, latency: Duration) {
        let holds = |bound: &u32| latency <= Duration::from_millis((*bound).into());
        let bound = LATENCIES.iter().position(holds).unwrap_or(LATENCIES.len());
        increase(&mut self.passed_within[bound]);
        self.passed_in = self.passed_in.saturating_add(latency);
    }

    pub(super) fn failed(&mut self) {
        increase(&mut self.failed);
    }

    pub(super) fn became(&mut self, state: TargetState) {
        if let Some(at) = TargetState::ALL.iter().position(|it| *it == state) {
            increase(&mut self.became[at]);
        }
    }
}

fn increase(count: &mut u32) {
    *count = count.saturating_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_in_the_first_bound_that_holds_it() {
        let mut counts = Counts::default();
        for micros in [0, 1_000, 1_001, 5_000_000, 5_000_001, 60_000_000] {
            counts.passed(Duration::from_micros(micros));
        }
        assert_eq!(counts.passed_within, [2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(counts.passed_in, Duration::from_micros(70_002_002));
    }
}
