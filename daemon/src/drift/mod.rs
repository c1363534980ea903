//! Compares what is declared, deployed, loaded and observed. Pure: no I/O, no clock.

use std::collections::BTreeMap;

use offload_client::{
    TargetState,
    snapshot::{Comparison, Warning},
};

use crate::{nix::loaded::Loaded, probe::Stranger, target::TargetId};

/// What is declared and deployed of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// By offloadd's own configuration.
    pub declared: Option<Side>,
    /// By Nix's files.
    pub deployed: Option<Side>,
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

/// What checks and searches have shown of one target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Its state.
    pub state: TargetState,
    /// `ip:port` where it answered last; `None` before it ever did.
    pub address: Option<String>,
    /// The fingerprint of the host key, or the signing key, that it proved.
    pub key: Option<String>,
    /// The priority that a cache gives itself.
    pub priority: Option<u32>,
    /// `host:port` that ssh_config makes of the builder's own host, where it says another one.
    pub ssh_config: Option<String>,
    /// Whether Nix's ssh would know its host key: not where only offloadd's configuration has it.
    pub host_key_known: Option<bool>,
    /// Who answered at one of its addresses without being it.
    pub strangers: Vec<Stranger>,
    /// How many of the paths that Nix remembers as missing the cache has after all.
    pub stale_misses: u64,
}

/// What the comparison shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drift {
    /// The differences: root causes only, each with its `since`.
    pub warnings: Vec<Warning>,
    /// Each target's layers, side by side.
    pub layers: BTreeMap<TargetId, Vec<Comparison>>,
}

/// Compares; remembers since when each difference is there.
#[derive(Debug, Default)]
pub struct Ledger {}

impl Ledger {
    /// `warnings` are those of the plan. `now` is in microseconds of `CLOCK_REALTIME`.
    pub fn compare(
        &mut self,
        now: u64,
        warnings: &[Warning],
        origins: &BTreeMap<TargetId, Origin>,
        loaded: &Loaded,
        observed: &BTreeMap<TargetId, Observed>,
    ) -> Drift {
        let _ = (now, origins, loaded, observed);
        Drift {
            warnings: warnings.to_vec(),
            layers: BTreeMap::new(),
        }
    }
}
