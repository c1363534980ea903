//! The one place that reads a clock.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// One moment on the three clocks the daemon speaks of, read together once a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Since boot, time in suspend included (`CLOCK_BOOTTIME`): what schedules are made of.
    pub boot: Duration,
    /// Microseconds since 1970 (`CLOCK_REALTIME`): what people are shown.
    pub realtime_usec: u64,
    /// Microseconds since boot without suspend (`CLOCK_MONOTONIC`): what systemd calls monotonic.
    pub monotonic_usec: u64,
}

impl Now {
    /// This moment.
    pub fn read() -> Self {
        let usec = |clock| read(clock).as_micros() as u64;
        Self {
            boot: read(ClockId::Boottime),
            realtime_usec: usec(ClockId::Realtime),
            monotonic_usec: usec(ClockId::Monotonic),
        }
    }

    /// This moment, shifted by `duration`.
    pub fn after(self, duration: Duration) -> Self {
        let usec = duration.as_micros() as u64;
        Self {
            boot: self.boot + duration,
            realtime_usec: self.realtime_usec + usec,
            monotonic_usec: self.monotonic_usec + usec,
        }
    }
}

/// Measures how long something takes.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[allow(clippy::disallowed_methods)]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// What has passed since.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
