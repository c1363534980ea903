//! What the monitor publishes: the verdicts of the health core beside what the checks learned.

use std::sync::Arc;

use offload_client::{Snapshot, snapshot::DESCRIBE_VERSION};

use super::{Monitor, watched::Watched};

impl Monitor {
    /// Publishes what is known, if that changed.
    pub(super) fn publish(&self) {
        let snapshot = self.describe();
        self.snapshot.send_if_modified(|published| {
            let changed = **published != snapshot;
            if changed {
                *published = Arc::new(snapshot);
            }
            changed
        });
    }

    pub(super) fn describe(&self) -> Snapshot {
        let overall = self.health.overall();
        let watched = self.order.iter().filter_map(|id| self.watched.get(id));
        let mut warnings = self.warnings.clone();
        warnings.extend(watched.filter_map(Watched::warning));
        let described = self.order.iter().filter_map(|id| {
            let watched = self.watched.get(id)?;
            Some(watched.describe(self.health.target(id)?))
        });
        Snapshot {
            describe_version: DESCRIBE_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: overall.state,
            reason: overall.reason,
            builder_state: overall.builder_state,
            cache_state: overall.cache_state,
            state_change_timestamp: overall.since.realtime_usec,
            state_change_timestamp_monotonic: overall.since.monotonic_usec,
            targets: described.collect(),
            warnings,
        }
    }
}
