//! What was found out about a target, for those that judge it.

use std::time::Duration;

use offload_client::{Printable, Reason};

/// How a test build ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// Nothing was wrong, or what was.
    pub outcome: Result<(), Reason>,
    /// Whether it is the builder that failed, and not what lies before it: this machine's Nix, a limit
    /// that was too short, a lack of slots.
    pub blames: bool,
    /// The machine that it ran on: where it succeeded, or ran on another builder; empty otherwise.
    pub place: Printable,
    /// The particulars of a failure.
    pub detail: Printable,
    /// When it ended: microseconds of `CLOCK_REALTIME`.
    pub finished: u64,
    /// How long it took.
    pub took: Duration,
}
