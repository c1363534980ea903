//! Compares what is declared, deployed, loaded and observed. Pure: no I/O, no clock.
//!
//! The [`Tracker`] is told of both sides and is the whole of it: `compare` finds the differences, the
//! tracker remembers when each began, `roots` leaves out those that follow from others, and `layers` sets
//! the values side by side. [`hindrance`] says which of them keeps Nix from a target.

pub mod cause;
mod compare;
mod hindrance;
mod layers;
mod order;
mod place;
mod roots;
#[cfg(test)]
mod tests;
mod tracker;

use std::sync::Arc;

use offload_client::{Printable, snapshot::Warning};

use crate::{report::Stranger, target::TargetId};

pub use compare::outdated;
pub use hindrance::{hindrance, of_kind};
pub use tracker::Tracker;

/// What is declared and deployed of one target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// As [`crate::target::TargetSpec::uri`].
    pub uri: Printable,
    /// By offloadd's own configuration.
    pub declared: Option<Side>,
    /// By Nix's files.
    pub deployed: Option<Side>,
    /// By what nix-daemon has read of them, where that is something else.
    pub loaded: Option<Side>,
    /// What Nix's files would have to name where they were read and do not: a cache's URL, a builder's
    /// machines line.
    pub missing: Option<String>,
    /// The builder that is the same machine, of a cache.
    pub host: Option<TargetId>,
    /// The known_hosts line of the declared host key, of a builder whose key Nix's files were asked for
    /// and do not have.
    pub known_hosts: Option<String>,
    /// What makes Nix pass it by whatever is observed: of the plan's warnings the one that explains most.
    pub unused: Option<Warning>,
    /// When Nix asks it, of a cache that Nix itself asks.
    pub precedence: Option<Precedence>,
    /// Whether Nix is to follow it, and does.
    pub steering: Steering,
}

impl Origin {
    /// What Nix goes by.
    fn in_force(&self) -> Option<&Side> {
        self.loaded.as_ref().or(self.deployed.as_ref())
    }
}

/// Whether Nix is to follow a target by way of this daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Steering {
    /// Nobody asked for that.
    #[default]
    Off,
    /// It is to go by this: `offloadctl connect`, or the gateway's URL.
    Wanted(Printable),
    /// It asks the gateway for what this cache has.
    ByGateway,
}

/// What one layer says of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// `host:port`, the best one first; empty where it names none.
    pub addresses: Vec<String>,
    /// Fingerprints of host keys, or signing keys.
    pub keys: Vec<String>,
    /// The user, of a builder.
    pub user: Option<String>,
    /// Where it is written: `/etc/nix/machines:3`.
    pub source: String,
}

/// When Nix asks a cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Precedence {
    /// Its place in `substituters`.
    pub position: usize,
    /// `?priority=` of its URL, which goes before what the cache says of itself.
    pub priority: Option<i64>,
    /// `fallback`: whether Nix builds what it can't fetch.
    pub fallback: bool,
    /// The substituters that are not watched.
    pub unwatched: Arc<[Unwatched]>,
}

/// A substituter that is not watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unwatched {
    /// Its place in `substituters`.
    pub position: usize,
    /// Its host, or its whole URL where that names none.
    pub host: Printable,
    /// Its priority, where it is known.
    pub priority: Option<i64>,
}

/// What checks and searches have shown of one target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Whether its checks pass now: only then is it anywhere.
    pub passes: bool,
    /// `ip:port` where it answered last; `None` before it ever did.
    pub address: Option<Printable>,
    /// Whether that is none of the addresses that Nix goes to.
    pub elsewhere: bool,
    /// Whether Nix goes there by way of this daemon, wherever that is.
    pub steered: bool,
    /// The fingerprint of the host key, or the signing key, that it proved.
    pub key: Option<Printable>,
    /// The priority that a cache gives itself.
    pub priority: Option<u32>,
    /// `host:port` that ssh_config makes of the builder's own host, where it says another one.
    pub ssh_config: Option<Printable>,
    /// Whether Nix's ssh would know its host key: not where only offloadd's configuration has it.
    pub host_key_known: Option<bool>,
    /// The options of ssh_config that its checks do not honour.
    pub unsupported: Vec<Printable>,
    /// Who answered at one of its addresses without being it.
    pub strangers: Vec<Stranger>,
    /// How many of the paths that Nix remembers as missing the cache has after all.
    pub stale_misses: u64,
    /// How many of those that it remembers as being there, and that this machine lacks, can't be fetched.
    pub stale_hits: u64,
    /// What the builder's store has little of, and how much.
    pub scarce: Option<Printable>,
}
