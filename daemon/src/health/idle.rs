//! Which closed connections mean something.
//!
//! A desktop that shuts down closes its connections, which is why a close is worth a look at once.
//! But HTTP servers also close what lies idle (nginx after 75 s, actix after 5 s), and a look at
//! each of those closes would poll the cache at its server's pace instead of ours.

use std::time::Duration;

/// Timers on both sides differ by this much without saying anything.
const SLACK: Duration = Duration::from_millis(250);

/// What is known of a peer's patience with idle connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Patience {
    /// A close this long after the last exchange turned out to mean nothing.
    harmless: Option<Duration>,
    /// A close that is being looked into.
    suspect: Option<Duration>,
}

impl Patience {
    /// The peer closed a connection that was idle for `idle`: whether that is worth a check.
    ///
    /// A close about as late as the harmless one is not. One much earlier is; and so is one much
    /// later, for then the harmless one was no time-out of the server's but, say, its restart.
    pub(super) fn closed(&mut self, idle: Duration) -> bool {
        let expected = self.harmless.is_some_and(|harmless| {
            idle.saturating_add(SLACK) >= harmless / 10 * 9
                && idle <= harmless.saturating_mul(2).saturating_add(SLACK)
        });
        if !expected {
            self.suspect = Some(idle);
        }
        !expected
    }

    /// A check passed: if a close led to it, that one was harmless.
    pub(super) fn passed(&mut self) {
        if let Some(idle) = self.suspect.take() {
            self.harmless = Some(idle);
        }
    }

    /// Forgets it all: another server may be there next time.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn after_harmless(idle: Duration) -> Patience {
        let mut patience = Patience::default();
        assert!(patience.closed(idle));
        patience.passed();
        patience
    }

    #[test]
    fn a_close_at_the_known_time_is_expected() {
        for idle in [4_600, 5_000, 5_200, 9_000] {
            assert!(!after_harmless(ms(5_000)).closed(ms(idle)), "{idle} ms");
        }
    }

    #[test]
    fn a_close_at_another_time_is_worth_a_look() {
        for idle in [0, 1_000, 4_000, 17_000] {
            assert!(after_harmless(ms(5_000)).closed(ms(idle)), "{idle} ms");
        }
    }

    #[test]
    fn a_server_that_never_keeps_a_connection_is_looked_at_once() {
        for idle in [0, 1, 30] {
            assert!(!after_harmless(ms(2)).closed(ms(idle)), "{idle} ms");
        }
    }

    #[test]
    fn nothing_is_learned_without_a_check_that_passed() {
        let mut patience = Patience::default();
        assert!(patience.closed(ms(5_000)));
        patience.forget();
        patience.passed();
        assert!(patience.closed(ms(5_000)));
    }

    #[test]
    fn absurd_times_do_not_overflow() {
        assert!(!after_harmless(Duration::MAX).closed(Duration::MAX));
        assert!(after_harmless(Duration::MAX).closed(Duration::ZERO));
    }
}
