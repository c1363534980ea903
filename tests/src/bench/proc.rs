//! What the kernel says a process costs (proc(5)).

use std::{fs, time::Duration};

use crate::{Error, Result, error::Context};

/// A process's account at one moment, all its threads together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Time on a processor, in nanoseconds (`schedstat`).
    pub cpu_nanos: u64,
    /// Times that a thread went to sleep of its own will, and so was woken again.
    pub wakeups: u64,
}

/// What a process holds in memory, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Resident, shared pages counted whole (`VmRSS`).
    pub resident: u64,
    /// Resident, shared pages counted by their share (`Pss`).
    pub proportional: u64,
}

/// Reads the account of process `id`.
///
/// # Errors
/// When it is gone.
pub fn account(id: u32) -> Result<Account> {
    let tasks = format!("/proc/{id}/task");
    let mut sum = Account::default();
    for task in fs::read_dir(&tasks).context(&tasks)? {
        let task = task.context(&tasks)?.path();
        // A thread may end between the listing and this; what it used is then lost, as in `ps`.
        let (Ok(schedstat), Ok(status)) = (
            fs::read_to_string(task.join("schedstat")),
            fs::read_to_string(task.join("status")),
        ) else {
            continue;
        };
        let on_processor = schedstat
            .split(' ')
            .next()
            .and_then(|nanos| nanos.parse().ok());
        sum.cpu_nanos += on_processor.unwrap_or(0u64);
        sum.wakeups += field(&status, "voluntary_ctxt_switches").unwrap_or(0);
    }
    Ok(sum)
}

/// How long the first thread of process `id` has waited for a processor while it had something to do
/// (`schedstat`): what a busy machine made it late.
///
/// # Errors
/// When it is gone.
pub fn held_up(id: u32) -> Result<Duration> {
    let path = format!("/proc/{id}/schedstat");
    let text = fs::read_to_string(&path).context(&path)?;
    let nanos = text.split(' ').nth(1).and_then(|nanos| nanos.parse().ok());
    let nanos = nanos.ok_or_else(|| Error::Unsupported(format!("{path}: {text}")))?;
    Ok(Duration::from_nanos(nanos))
}

/// Reads the memory of process `id`.
///
/// # Errors
/// When it is gone, or somebody else's.
pub fn memory(id: u32) -> Result<Memory> {
    let read = |name: &str, key: &str| {
        let path = format!("/proc/{id}/{name}");
        let text = fs::read_to_string(&path).context(&path)?;
        field(&text, key).ok_or_else(|| Error::Unsupported(format!("{path} has no {key}")))
    };
    Ok(Memory {
        resident: read("status", "VmRSS")?,
        proportional: read("smaps_rollup", "Pss")?,
    })
}

/// The most that process `id` ever held in memory, in KiB (`VmHWM`), or did since [`forget_peak`].
///
/// # Errors
/// When it is gone.
pub fn peak(id: u32) -> Result<u64> {
    let path = format!("/proc/{id}/status");
    let text = fs::read_to_string(&path).context(&path)?;
    field(&text, "VmHWM").ok_or_else(|| Error::Unsupported(format!("{path} has no VmHWM")))
}

/// Lets the kernel take what process `id` holds now for the most that it ever held.
///
/// # Errors
/// When it is gone, or somebody else's.
pub fn forget_peak(id: u32) -> Result<()> {
    let path = format!("/proc/{id}/clear_refs");
    fs::write(&path, "5").context(path)
}

/// The number of the line `key:   number …`.
fn field(text: &str, key: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

impl Account {
    /// What was spent since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            cpu_nanos: self.cpu_nanos.saturating_sub(earlier.cpu_nanos),
            wakeups: self.wakeups.saturating_sub(earlier.wakeups),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status =
            "nonvoluntary_ctxt_switches:\t9\nvoluntary_ctxt_switches:\t150\nVmRSS:\t  3108 kB\n";
        assert_eq!(field(status, "voluntary_ctxt_switches"), Some(150));
        assert_eq!(field(status, "VmRSS"), Some(3108));
        assert_eq!(field(status, "Vm"), None);
    }

    #[test]
    fn work_shows_in_the_account() {
        let id = std::process::id();
        let before = account(id).unwrap();
        let work: u64 = (0..5_000_000u64).map(std::hint::black_box).sum();
        assert!(work > 0);
        let spent = account(id).unwrap().since(before);
        assert!(spent.cpu_nanos > 1_000_000, "{spent:?}");
        let memory = memory(id).unwrap();
        assert!(
            memory.resident >= memory.proportional && memory.proportional > 0,
            "{memory:?}"
        );
    }
}
