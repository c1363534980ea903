//! What is configured beside what is observed, as both change, and since when each difference is there.

use std::collections::BTreeMap;

use offload_client::{
    Kind, Printable, WarningCode,
    snapshot::{Comparison, Warning},
};

use super::{Observed, Origin, compare, layers, order, roots};
use crate::{nix::loaded::Loaded, target::TargetId};

/// The particular that says since when a warning holds, in microseconds of `CLOCK_REALTIME`.
const SINCE: &str = "since";

/// Compares; remembers what it compared, and since when each difference is there.
#[derive(Debug, Default)]
pub struct Tracker {
    /// Those of the plan.
    warnings: Vec<Warning>,
    origins: BTreeMap<TargetId, Origin>,
    loaded: Loaded,
    observed: BTreeMap<TargetId, Observed>,
    /// The differences of each target that has any, for itself.
    differences: BTreeMap<TargetId, Vec<Warning>>,
    /// What was found last, with its `since`.
    known: BTreeMap<Subject, Vec<Warning>>,
    /// Whether something of all that is new since the last comparison.
    is_stale: bool,
}

/// What a warning is and what it is about.
type Subject = (WarningCode, Option<(Kind, Printable)>);

impl Tracker {
    /// Takes up what is configured now, in place of what was: the plan's own warnings, where each target
    /// comes from, and what the running nix-daemon has read.
    pub fn plan(
        &mut self,
        warnings: Vec<Warning>,
        origins: BTreeMap<TargetId, Origin>,
        loaded: Loaded,
    ) {
        (self.warnings, self.origins, self.loaded) = (warnings, origins, loaded);
        self.differences.clear();
        let ids: Vec<TargetId> = self.origins.keys().cloned().collect();
        for id in ids {
            self.differ(&id);
        }
        self.is_stale = true;
    }

    /// Where a target comes from.
    pub fn origin(&self, id: &TargetId) -> Option<&Origin> {
        self.origins.get(id)
    }

    /// What is known of a target.
    #[cfg(test)]
    pub fn observed(&self, id: &TargetId) -> &Observed {
        &self.observed[id]
    }

    /// Takes in what is known of a target now.
    pub fn observe(&mut self, id: &TargetId, observed: Observed) {
        if self.observed.get(id) == Some(&observed) {
            return;
        }
        self.observed.insert(id.clone(), observed);
        self.differ(id);
        self.is_stale = true;
    }

    /// Forgets what was known of a target.
    pub fn forget(&mut self, id: &TargetId) {
        self.is_stale |= self.observed.remove(id).is_some();
    }

    /// The differences, root causes only, each with its `since`; nothing where nothing is new since the
    /// last time. `now` is in microseconds of `CLOCK_REALTIME`.
    pub fn compare(&mut self, now: u64) -> Option<Vec<Warning>> {
        if !std::mem::take(&mut self.is_stale) {
            return None;
        }
        let mut found = self.warnings.clone();
        let over_all = compare::over_all(&self.origins, &self.loaded, &self.observed);
        found.extend(over_all);
        found.extend(self.differences.values().flatten().cloned());
        let hidden = roots::hidden(&found, &self.origins);
        // One that is hidden ages all the same: it is no news when its root is mended.
        let dated = self.date(now, found);
        let shown = dated.into_iter().zip(hidden);
        let shown = shown.filter_map(|(warning, hidden)| (!hidden).then_some(warning));
        let less = self.observed.iter();
        let less = less.filter_map(|(id, observed)| compare::option_ignored(id, observed));
        Some(shown.chain(less).collect())
    }

    /// What each layer says of a target, side by side.
    pub fn layers(&self, id: &TargetId) -> Vec<Comparison> {
        let layers = self.origins.get(id).map(|origin| {
            let unseen = Observed::default();
            let seen = self.observed.get(id).unwrap_or(&unseen);
            layers::of_target(id.kind, origin, &self.loaded, seen)
        });
        layers.unwrap_or_default()
    }

    /// Which public cache Nix asks before this one.
    pub fn asked_after(&self, id: &TargetId) -> Option<&Printable> {
        order::asked_after(self.origins.get(id)?, self.observed.get(id)?)
    }

    fn differ(&mut self, id: &TargetId) {
        let unseen = Observed::default();
        let seen = self.observed.get(id).unwrap_or(&unseen);
        let origin = self.origins.get(id);
        let found = origin.map(|origin| compare::differences(id, origin, seen));
        match found.filter(|found| !found.is_empty()) {
            Some(found) => self.differences.insert(id.clone(), found),
            None => self.differences.remove(id),
        };
    }

    /// Dates what was `found`: what was there before, in the same words, keeps its date.
    fn date(&mut self, now: u64, mut found: Vec<Warning>) -> Vec<Warning> {
        let known = std::mem::take(&mut self.known);
        for warning in &mut found {
            let subject = (warning.code, warning.target.clone());
            let mut before = known.get(&subject).into_iter().flatten();
            let before = before.find(|known| is_same(known, warning));
            let since = before.and_then(|known| known.details.get(SINCE).cloned());
            let since = since.unwrap_or_else(|| now.into());
            warning.details.insert(SINCE.into(), since);
            self.known.entry(subject).or_default().push(warning.clone());
        }
        found
    }
}

fn is_same(known: &Warning, found: &Warning) -> bool {
    let known_details = known.details.iter().filter(|(key, _)| *key != SINCE);
    let found_details = found.details.iter().filter(|(key, _)| *key != SINCE);
    known_details.eq(found_details)
}
