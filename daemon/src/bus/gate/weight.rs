//! What a call costs the daemon, in units.

use std::time::Duration;

/// How much of that comes back in a second: two thousand properties, or 125 calls that need work and get little.
pub(super) const REFILL: u32 = 2000;

/// A message costs one for each so many bytes, so that who asks for all that there is can't do that as often.
pub(super) const PAGE: usize = 4096;

/// What a call costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bus) enum Weight {
    /// It is answered at once, and in few words.
    Light,
    /// Somebody must be asked, or much be told.
    Work,
}

impl Weight {
    /// By the member that is called; what is not known needs work.
    pub(in crate::bus) fn of(member: &str) -> Self {
        match member {
            "Get" | "GetAll" | "Ping" | "GetMachineId" | "GetHistory" | "GetTarget" => Self::Light,
            _ => Self::Work,
        }
    }

    pub(super) const fn units(self) -> u32 {
        match self {
            Self::Light => 1,
            Self::Work => 16,
        }
    }
}

pub(super) fn pages(bytes: usize) -> u32 {
    u32::try_from(bytes / PAGE).unwrap_or(u32::MAX)
}

/// How long it takes until so much has come back.
pub(super) fn cost(units: u32) -> Duration {
    Duration::from_secs(units.into()) / REFILL
}
