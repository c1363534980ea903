//! How often Nix was answered what.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What Nix was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// What it asked for.
    Found,
    /// Which cache has it.
    Redirected,
    /// That no cache has it.
    Missing,
    /// The same at once, since no cache is there: what Nix would have waited for.
    NobodyThere,
}

impl Answered {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Found,
        Self::Redirected,
        Self::Missing,
        Self::NobodyThere,
    ];

    /// As it is called in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Redirected => "redirected",
            Self::Missing => "missing",
            Self::NobodyThere => "nobody-there",
        }
    }
}

/// How often each was.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; Answered::ALL.len()]);

impl Counts {
    pub(super) fn count(&self, answered: Answered) {
        self.0[answered as usize].fetch_add(1, Relaxed);
    }

    /// How often this was answered.
    pub fn of(&self, answered: Answered) -> u64 {
        self.0[answered as usize].load(Relaxed)
    }
}
