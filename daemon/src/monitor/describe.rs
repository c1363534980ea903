//! What the monitor publishes: the verdicts of the health core beside what the checks learned.

use std::sync::Arc;

use offload_client::{
    Printable, Snapshot,
    snapshot::{DESCRIBE_VERSION, Here, Target, Targets, Warning},
};

use super::Monitor;
use crate::{clock::Now, drift::cause, health::Overall, target::TargetId};

impl Monitor {
    /// Publishes what this turn changed. What no signal tells, such as the time of a check that changed
    /// nothing, is there for who reads it, and wakes nobody.
    pub(super) fn publish(&mut self, now: Now) {
        let mut touched = self.health.take_touched();
        touched.append(&mut self.touched);
        let is_replanned = std::mem::take(&mut self.replanned);
        if is_replanned {
            touched.extend(self.order.iter().cloned());
        }
        for id in &touched {
            let known = self.watched.get(id).zip(self.whereabouts.place(id));
            if let Some(((watched, place), health)) = known.zip(self.health.target(id)) {
                let observed = watched.observed(place, health.passes);
                self.drift.observe(id, observed);
            }
        }
        let warnings = self.drift.compare(now.realtime_usec);
        self.snapshot.send_if_modified(|published| {
            let mut draft = Draft::of(Arc::make_mut(published));
            if is_replanned {
                draft.replan(self.describe_all(), &self.gateway, self.here());
            }
            for id in touched {
                if let Some((watched, target)) = self.watched.get(&id).zip(self.describe(&id)) {
                    draft.put(watched.position, target);
                }
            }
            draft.set_overall(self.health.overall());
            draft.set_warnings(warnings);
            draft.finish()
        });
        #[cfg(test)]
        assert_eq!(self.snapshot.borrow().targets, self.describe_all());
    }

    fn describe_all(&self) -> Targets {
        self.order
            .iter()
            .filter_map(|id| self.describe(id))
            .collect()
    }

    /// What this machine builds, by Nix's own configuration.
    fn here(&self) -> Here {
        if !self.hook.is_known {
            return Here::default();
        }
        let here = &self.hook.here;
        Here {
            max_jobs: Some(here.max_jobs),
            systems: here.systems.iter().map(|it| it.as_str().into()).collect(),
        }
    }

    fn describe(&self, id: &TargetId) -> Option<Target> {
        let (watched, health) = self.watched.get(id).zip(self.health.target(id))?;
        let place = self.whereabouts.place(id)?;
        let mut target = watched.describe(health, place, self.drift.layers(id));
        if let Some(other) = self.drift.asked_after(id) {
            let asked_after = Printable::from("asked_after");
            target.details.insert(asked_after, other.clone().into());
        }
        Some(Target {
            waking: self.whereabouts.is_waking(id),
            ..target
        })
    }
}

/// A snapshot that is about to be published in place of the last one.
struct Draft<'a> {
    snapshot: &'a mut Snapshot,
    /// Whether it has something new that a signal tells.
    is_news: bool,
    /// Whether it has something new that the root cause may follow from.
    is_cause: bool,
}

impl<'a> Draft<'a> {
    fn of(snapshot: &'a mut Snapshot) -> Self {
        Self {
            snapshot,
            is_news: false,
            is_cause: false,
        }
    }

    fn replan(&mut self, targets: Targets, gateway: &Printable, here: Here) {
        self.set(|it| &mut it.describe_version, DESCRIBE_VERSION);
        self.set(|it| &mut it.version, env!("CARGO_PKG_VERSION").into());
        self.set(|it| &mut it.gateway, gateway.clone());
        self.set(|it| &mut it.here, here);
        self.set(|it| &mut it.targets, targets);
    }

    fn put(&mut self, position: usize, target: Target) {
        if let Some(old) = self.snapshot.targets.get(position) {
            self.is_news |= target.is_news_to(old);
            self.is_cause |= !target.state.is_ready() && target.details != old.details;
            self.snapshot.targets.put(position, target);
        }
    }

    fn set_overall(&mut self, overall: &Overall) {
        self.set(|it| &mut it.state, overall.state);
        self.set(|it| &mut it.reason, overall.reason);
        self.set(|it| &mut it.builder_state, overall.builder_state);
        self.set(|it| &mut it.cache_state, overall.cache_state);
        let since = overall.since;
        self.set(|it| &mut it.state_change_timestamp, since.realtime_usec);
        self.set(
            |it| &mut it.state_change_timestamp_monotonic,
            since.monotonic_usec,
        );
    }

    /// Nothing where they are what they were.
    fn set_warnings(&mut self, warnings: Option<Vec<Warning>>) {
        if let Some(mut warnings) = warnings {
            cause::sort(&mut warnings);
            self.set(|it| &mut it.warnings, warnings);
        }
    }

    /// Whether whoever follows is to be told.
    fn finish(mut self) -> bool {
        if self.is_news || self.is_cause {
            let cause = cause::root_cause(self.snapshot);
            self.set(|it| &mut it.root_cause, cause);
        }
        self.is_news
    }

    fn set<T: PartialEq>(&mut self, field: impl FnOnce(&mut Snapshot) -> &mut T, new: T) {
        let field = field(self.snapshot);
        if *field != new {
            *field = new;
            self.is_news = true;
        }
    }
}
