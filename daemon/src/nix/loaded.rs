//! What the running nix-daemon has loaded.

use std::path::PathBuf;

/// What is known of the running nix-daemon. It reads nix.conf once, at its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// When it started, in microseconds of `CLOCK_REALTIME`; `None` where it does not run, or nothing
    /// is known of it.
    pub started: Option<u64>,
    /// The file that has changed since, if one has.
    pub stale: Option<Stale>,
}

/// A file that changed after nix-daemon had read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The file as nix-daemon names it.
    pub file: PathBuf,
    /// When it changed, in microseconds of `CLOCK_REALTIME`.
    pub changed: u64,
}
