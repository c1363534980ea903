//! The watchdog, fed from the monitor's own turn: a monitor that hangs is noticed.

use std::time::Duration;

use super::Notifier;
use crate::clock::Now;

/// systemd's watchdog.
#[derive(Debug)]
pub struct Watchdog {
    /// How long systemd waits.
    timeout: Duration,
    fed: Duration,
    notifier: Notifier,
}

impl Watchdog {
    /// The watchdog that systemd asked this process to feed (`WATCHDOG_USEC`, `WATCHDOG_PID`).
    pub(crate) fn from_environment(notifier: Notifier) -> Option<Self> {
        let timeout = sd_notify::watchdog_enabled()?;
        Some(Self {
            timeout,
            fed: Now::read().boot,
            notifier,
        })
    }

    /// Feeds it if that is worth a message, and says by when the next turn must be.
    ///
    /// A turn that comes anyway, for a check, feeds it early, so that in the steady state the
    /// process never wakes up for the watchdog alone.
    pub(crate) fn turn(&mut self, now: Now) -> Duration {
        if now.boot.saturating_sub(self.fed) >= self.timeout / 8 {
            self.notifier.watchdog();
            self.fed = now.boot;
        }
        self.fed + self.timeout / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now::default().after(Duration::from_secs(seconds))
    }

    #[test]
    fn checks_that_come_anyway_keep_the_watchdog_fed() {
        let timeout = Duration::from_secs(120);
        let mut watchdog = Watchdog {
            timeout,
            fed: Duration::ZERO,
            notifier: Notifier::default(),
        };
        let mut due = watchdog.turn(at(0));
        for turn in 1..100 {
            let now = at(turn * 33);
            assert!(now.boot < due, "the check at {now:?} comes before {due:?}");
            due = watchdog.turn(now);
        }
    }

    #[test]
    fn without_checks_it_is_fed_at_half_its_timeout() {
        let timeout = Duration::from_secs(120);
        let mut watchdog = Watchdog {
            timeout,
            fed: Duration::ZERO,
            notifier: Notifier::default(),
        };
        assert_eq!(watchdog.turn(at(10)), Duration::from_secs(60));
        assert_eq!(watchdog.turn(at(60)), Duration::from_secs(120));
    }
}
