//! What was found out about a target, for those that judge it.
//!
//! A latency is the network's: what Nix takes to answer on the other side, and what a cache takes to find a
//! narinfo, is left out of it, so that a cheap check and a deep one can be compared.

use std::time::Duration;

use offload_client::{
    Printable, Reason, Stage,
    snapshot::{BuilderFacts, CacheFacts, Details},
};

use crate::{net::Station, target::TargetId};

/// The detail that has a digest of what ssh goes by for a builder, and of its keys: another says that a proof is to be made
/// anew.
pub const SSH_SETUP: &str = "ssh_setup";
/// The detail that names the key that logs in: another one, likewise.
pub const IDENTITY: &str = "identity";

/// What one check found.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The last stage that passed, or why one did not.
    pub outcome: Result<Stage, Failure>,
    /// How long the check took; of a deep one of a builder that was let in, how long that took: what
    /// Nix takes beyond says nothing of the network.
    pub latency: Duration,
    /// `host:port` that answered, or that was tried last.
    pub address: Option<String>,
    /// Whether it passed at another address than its first, which is the one that Nix goes to: by a way
    /// that Nix does not take.
    pub elsewhere: bool,
    /// What was learned of the target; `None` where this check learned nothing new.
    pub facts: Option<Learned>,
    /// Particulars, to be shown and no more; replaces the last check's.
    pub details: Details,
    /// What of them others go by.
    pub signs: Signs,
    /// Who answered at one of its addresses without being it. `None` where this check did not look:
    /// a cheap one goes to where the target was.
    pub strangers: Option<Vec<Stranger>>,
}

/// What a check showed that others go by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// Nix's ssh goes there by `offloadctl connect`.
    pub steered: bool,
    /// A proxy, or a proxy command, leads there.
    pub proxied: bool,
    /// What ssh_config asks for and the check does not do.
    pub unsupported: Vec<Printable>,
    /// `host:port` that ssh_config makes of the builder's own host, where it says another one.
    pub ssh_config: Option<Printable>,
    /// Whether Nix's ssh would know the host key that was shown; `None` where none was.
    pub host_key_known: Option<bool>,
    /// The host key that was shown is one that is known.
    pub proved: bool,
    /// Who is at that address, of a deep check that proved one of a builder on a link of this machine's own.
    pub station: Option<Station>,
    /// How many of the paths that Nix remembers as missing the cache has after all.
    pub stale_misses: u64,
    /// How many of those that it remembers as being there, and that this machine lacks, can't be fetched.
    pub stale_hits: u64,
    /// What the builder's store has little of, and how much: `812 MiB`.
    pub scarce: Option<Printable>,
}

/// Somebody else, at an address of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// `host:port` that answered.
    pub address: Printable,
    /// What told it from the target: `host-key-mismatch`, `untrusted-signature`, `not-ssh`, …
    pub reason: Reason,
    /// The identity that was expected: fingerprints, signing keys.
    pub expected: Printable,
    /// The one that was shown, where one was.
    pub actual: Printable,
}

/// Why a check failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The stage that failed.
    pub stage: Stage,
    /// The cause.
    pub reason: Reason,
    /// The particulars, as a machine says them (`Connection refused (os error 111)`); never a secret.
    pub detail: Printable,
}

/// What a check learned of its target.
#[derive(Clone, Debug, PartialEq)]
pub enum Learned {
    /// The whole of `nix-cache-info`.
    Cache(CacheFacts),
    /// `host_key_fingerprint` of a builder, and what deeper stages add.
    Builder(BuilderFacts),
}

/// The peer closed a connection that lay idle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Whose it was.
    pub target: TargetId,
    /// How long it had been idle.
    pub idle: Duration,
}

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
