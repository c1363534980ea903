//! The one place that reads a clock.

mod own_time;

use std::{
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

pub use own_time::{OwnTime, within};

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

/// The one timer of the daemon: a timerfd on `CLOCK_BOOTTIME`.
///
/// It rings right after a resume for what fell due during suspend, and it wakes the process
/// exactly once, where a timer wheel wakes it again and again on the way to a far deadline.
#[derive(Debug)]
pub struct Alarm {
    timer: AsyncFd<OwnedFd>,
    at: Option<Duration>,
}

impl Alarm {
    /// A timer that is not set. Fails where the kernel grants no more descriptors.
    #[expect(
        deprecated,
        reason = "`AsyncFd::register` is for descriptors that could be closed while registered; \
                  this one is owned by the AsyncFd, and this crate forbids unsafe code"
    )]
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = AsyncFd::new(timerfd_create(TimerfdClockId::Boottime, flags)?)?;
        Ok(Self { timer, at: None })
    }

    /// Sets it to a moment since boot ([`Now::boot`]), or off.
    pub fn set(&mut self, at: Option<Duration>) -> io::Result<()> {
        if self.at == at {
            return Ok(());
        }
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // All zero would mean off, so a moment at or before boot is the first nanosecond after.
        let value = at.map_or(zero, |at| {
            let at = at.max(Duration::from_nanos(1));
            Timespec {
                tv_sec: at.as_secs() as i64,
                tv_nsec: at.subsec_nanos().into(),
            }
        });
        let spec = Itimerspec {
            it_interval: zero,
            it_value: value,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &spec)?;
        self.at = at;
        Ok(())
    }

    /// Returns once the moment has come; never while it is off. Nothing is lost when dropped.
    pub async fn rings(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.timer.readable().await?;
            let mut count = [0; 8];
            match rustix::io::read(self.timer.get_ref(), &mut count) {
                Ok(_) => {
                    self.at = None;
                    return Ok(());
                }
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Notices that the wall clock was set: by hand, by NTP after a long sleep, by a flat battery.
///
/// A timerfd that never runs out, on `CLOCK_REALTIME`, and that is cancelled when that is set
/// (`TFD_TIMER_CANCEL_ON_SET`, timerfd_create(2)). Nothing else wakes it; slewing does not.
#[derive(Debug)]
pub struct WallClock {
    timer: AsyncFd<OwnedFd>,
}

impl WallClock {
    /// Notices every change from now on. Fails where the kernel grants no such timer.
    #[expect(
        deprecated,
        reason = "`AsyncFd::register` is for descriptors that could be closed while registered; \
                  this one is owned by the AsyncFd, and this crate forbids unsafe code"
    )]
    pub fn watch() -> io::Result<Self> {
        /// Later than any clock is set to, and no overflow of the kernel's nanoseconds.
        const NEVER: i64 = 1 << 33;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
        let at = |tv_sec| Timespec { tv_sec, tv_nsec: 0 };
        let spec = Itimerspec {
            it_interval: at(0),
            it_value: at(NEVER),
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&timer, flags, &spec)?;
        let timer = AsyncFd::new(timer)?;
        Ok(Self { timer })
    }

    /// Waits until the clock was set. Nothing is lost when dropped.
    pub async fn set(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.timer.readable().await?;
            let mut count = [0; 8];
            match rustix::io::read(self.timer.get_ref(), &mut count) {
                // It stays armed, and tells of the next change too.
                Err(rustix::io::Errno::CANCELED) => return Ok(()),
                // Year 2242 has come: there is nothing more to wait for.
                Ok(_) => std::future::pending().await,
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_alarm_rings_for_a_moment_that_has_passed() {
        let mut alarm = Alarm::new().unwrap();
        alarm.set(Some(Duration::ZERO)).unwrap();
        alarm.rings().await.unwrap();
    }

    #[tokio::test]
    async fn the_alarm_rings_again_for_the_same_moment_set_again() {
        let mut alarm = Alarm::new().unwrap();
        let now = Now::read().boot;
        alarm.set(Some(now)).unwrap();
        alarm.rings().await.unwrap();
        alarm.set(Some(now)).unwrap();
        alarm.rings().await.unwrap();
    }

    #[tokio::test]
    async fn an_alarm_that_is_off_never_rings() {
        let mut alarm = Alarm::new().unwrap();
        alarm.set(Some(Duration::ZERO)).unwrap();
        alarm.set(None).unwrap();
        let ring = futures_util::poll!(std::pin::pin!(alarm.rings()));
        assert!(ring.is_pending());
    }

    #[tokio::test]
    async fn a_wall_clock_that_nobody_sets_wakes_nobody() {
        let mut clock = WallClock::watch().unwrap();
        let set = futures_util::poll!(std::pin::pin!(clock.set()));
        assert!(set.is_pending());
    }
}
