//! What the daemon itself costs, as every exporter tells it.

use std::{fs, time::Duration};

use rustix::{
    param::page_size,
    time::{ClockId, clock_gettime},
};

use crate::clock::Now;

/// This process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    /// Microseconds of `CLOCK_REALTIME`.
    started: u64,
}

/// What it has used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// When it was started, in microseconds of `CLOCK_REALTIME`.
    pub(super) started: u64,
    /// On a processor, all threads together.
    pub(super) processor: Duration,
    /// Resident memory, in bytes; nothing where /proc is not to be read.
    pub(super) resident: Option<u64>,
}

impl Process {
    pub(super) fn started_now() -> Self {
        Self {
            started: Now::read().realtime_usec,
        }
    }

    pub(super) fn usage(self) -> Usage {
        let processor = clock_gettime(ClockId::ProcessCPUTime);
        Usage {
            started: self.started,
            processor: processor.try_into().unwrap_or_default(),
            resident: resident(),
        }
    }
}

/// The second field of /proc/self/statm (proc_pid_statm(5)) counts pages.
fn resident() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    pages.checked_mul(page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_runs_has_used_something() {
        let usage = Process::started_now().usage();
        assert!(usage.processor > Duration::ZERO);
        assert!(
            usage.resident.is_some_and(|bytes| bytes > 100_000),
            "{usage:?}"
        );
    }
}
