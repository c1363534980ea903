//! What the monitor publishes: the verdicts of the health core beside what the checks learned.

use std::sync::Arc;

use offload_client::{
    Snapshot,
    snapshot::{DESCRIBE_VERSION, Target},
};

use super::{Monitor, watched::Watched};
use crate::{clock::Now, drift::cause, target::TargetId};

impl Monitor {
    /// Publishes what is known, if that changed.
    pub(super) fn publish(&mut self, now: Now) {
        self.compare(now);
        let snapshot = self.describe();
        self.snapshot.send_if_modified(|published| {
            let changed = **published != snapshot;
            if changed {
                *published = Arc::new(snapshot);
            }
            changed
        });
    }

    /// Holds what is configured against what is observed, where either is new.
    fn compare(&mut self, now: Now) {
        let observed = |(id, watched): (&TargetId, &Watched)| {
            let health = self.health.target(id)?;
            Some((id.clone(), watched.observed(health.passes)))
        };
        let observed = self.watched.iter().filter_map(observed).collect();
        if !self.replanned && observed == self.observed {
            return;
        }
        self.replanned = false;
        self.observed = observed;
        self.drift = self.ledger.compare(
            now.realtime_usec,
            &self.warnings,
            &self.origins,
            &self.loaded,
            &self.observed,
        );
    }

    pub(super) fn describe(&self) -> Snapshot {
        let overall = self.health.overall();
        let watched = self.order.iter().filter_map(|id| self.watched.get(id));
        let mut warnings = self.drift.warnings.clone();
        warnings.extend(watched.filter_map(Watched::warning));
        let described = self.order.iter().filter_map(|id| {
            let watched = self.watched.get(id)?;
            let layers = self.drift.layers.get(id).cloned().unwrap_or_default();
            Some(Target {
                layers,
                ..watched.describe(self.health.target(id)?)
            })
        });
        cause::sort(&mut warnings);
        let mut snapshot = Snapshot {
            describe_version: DESCRIBE_VERSION,
            version: env!("CARGO_PKG_VERSION").into(),
            state: overall.state,
            reason: overall.reason,
            builder_state: overall.builder_state,
            cache_state: overall.cache_state,
            state_change_timestamp: overall.since.realtime_usec,
            state_change_timestamp_monotonic: overall.since.monotonic_usec,
            targets: described.collect(),
            warnings,
            gateway: self.gateway.clone(),
            root_cause: None,
        };
        snapshot.root_cause = cause::root_cause(&snapshot);
        snapshot
    }
}
