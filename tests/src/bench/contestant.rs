//! The measurement that all go through: so many rounds, then a quiet time.

use std::time::Duration;

use super::{
    figures::{megabytes, milliseconds},
    proc::{self, Account, Memory},
};
use crate::{Nginx, Result, Sshd, eventually, ground::free_address};

/// Between rounds while they are counted.
pub const BRISK: Duration = Duration::from_secs(1);
/// Between rounds while the quiet time is watched; longer than the warm-up and
/// the quiet time together.
pub const CALM: Duration = Duration::from_secs(60);
/// After the start, before the quiet time: first rounds and allocations are over.
const WARM_UP: Duration = Duration::from_secs(5);
/// The quiet time.
const QUIET: Duration = Duration::from_secs(20);
/// Rounds that are not counted.
const SETTLE: usize = 5;

/// A desktop of the contestant's own, so that its rounds can be counted there.
pub struct Desk {
    /// Its cache.
    pub nginx: Nginx,
    /// Its builder.
    pub sshd: Sshd,
}

/// What one contestant cost.
#[derive(Clone, Debug)]
pub struct Cost {
    /// After all rounds.
    pub memory: Memory,
    /// Of one round.
    pub cpu: Duration,
    /// In a second without a round.
    pub quiet_wakeups: f64,
}

impl Desk {
    /// Starts one on free ports.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn start() -> Result<Self> {
        Ok(Self {
            nginx: Nginx::start(free_address()?).await?,
            sshd: Sshd::start(free_address()?).await?,
        })
    }

    /// Lets process `id`, which checks once in [`BRISK`], go through `rounds`, and returns the
    /// memory at the end and the processor time of one round. A round is one `nix-cache-info` that the
    /// cache answered.
    ///
    /// # Errors
    /// When the process ends or makes no more rounds.
    pub async fn watch_rounds(&self, id: u32, rounds: usize) -> Result<(Memory, Duration)> {
        Self::watch(id, rounds, || self.nginx.requests_of("nix-cache-info")).await
    }

    /// The same where a round is one login that the builder accepted: a deep check makes one, a cheap
    /// one over a kept connection none.
    ///
    /// # Errors
    /// As [`Self::watch_rounds`].
    pub async fn watch_logins(&self, id: u32, rounds: usize) -> Result<(Memory, Duration)> {
        Self::watch(id, rounds, || self.sshd.logins()).await
    }

    async fn watch(id: u32, rounds: usize, made: impl Fn() -> usize) -> Result<(Memory, Duration)> {
        let (from, before) = reach(made() + SETTLE, id, &made).await?;
        let (to, after) = reach(from + rounds, id, &made).await?;
        let made = u32::try_from(to - from).unwrap_or(u32::MAX).max(1);
        let spent = Duration::from_nanos(after.since(before).cpu_nanos);
        Ok((proc::memory(id)?, spent / made))
    }
}

/// Waits until so many rounds are `made`.
///
/// # Errors
/// When the process ends or makes no more of them.
pub(super) async fn reach(
    rounds: usize,
    id: u32,
    made: &impl Fn() -> usize,
) -> Result<(usize, Account)> {
    let left = rounds.saturating_sub(made());
    let patience = BRISK * 3 * u32::try_from(left).unwrap_or(u32::MAX).max(10);
    eventually(patience, "the rounds are made", async || {
        let made = made();
        if made >= rounds {
            return Some(proc::account(id).map(|account| (made, account)));
        }
        // Looking is work too, but this program's, not the contestant's.
        tokio::time::sleep(BRISK / 4).await;
        None
    })
    .await?
}

/// How often process `id`, which checks once in [`CALM`], wakes in a second in which nothing is to
/// be done.
///
/// # Errors
/// When the process ends.
pub async fn watch_quiet(id: u32) -> Result<f64> {
    tokio::time::sleep(WARM_UP).await;
    let before = proc::account(id)?;
    tokio::time::sleep(QUIET).await;
    let woken = proc::account(id)?.since(before).wakeups;
    Ok(woken as f64 / QUIET.as_secs_f64())
}

impl Cost {
    /// The table's cells, in the order of [`Self::ROWS`].
    pub fn cells(&self) -> [String; 4] {
        [
            megabytes(self.memory.resident),
            megabytes(self.memory.proportional),
            milliseconds(self.cpu),
            format!("{:.2}", self.quiet_wakeups),
        ]
    }

    /// What the cells are.
    pub const ROWS: [&'static str; 4] = [
        "memory after the rounds, VmRSS",
        "memory after the rounds, Pss",
        "processor time of a round",
        "wake-ups a second between rounds",
    ];
}
