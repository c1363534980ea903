//! All targets: what is due first of them, and which of them something happened to.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    counts::Counts,
    target::{Target, TargetHealth},
};
use crate::{clock::Now, target::TargetId};

/// All targets. What happens to one costs no more for there being many.
#[derive(Debug, Default)]
pub(super) struct Targets {
    all: BTreeMap<TargetId, Target>,
    /// When each is due that is (boot clock).
    due: BTreeSet<(Duration, TargetId)>,
    /// Those to which something happened since [`Self::take_touched`].
    touched: BTreeSet<TargetId>,
    /// Whether another is watched, or one stands otherwise, than at the last [`Self::take_restated`].
    restated: bool,
}

impl Targets {
    pub(super) fn get(&self, id: &TargetId) -> Option<&Target> {
        self.all.get(id)
    }

    pub(super) fn healths(&self) -> impl Iterator<Item = (&TargetId, &TargetHealth)> {
        self.all.iter().map(|(id, target)| (id, target.health()))
    }

    pub(super) fn counts(&self) -> impl Iterator<Item = (&TargetId, &Counts)> {
        self.all.iter().map(|(id, target)| (id, target.counts()))
    }

    /// Adds one, unless it is there.
    pub(super) fn add(&mut self, id: TargetId, make: impl FnOnce() -> Target) {
        if self.all.contains_key(&id) {
            return;
        }
        let target = make();
        self.due.extend(target.due().map(|due| (due, id.clone())));
        self.touched.insert(id.clone());
        self.restated = true;
        self.all.insert(id, target);
    }

    pub(super) fn remove(&mut self, id: &TargetId) -> Option<Target> {
        let target = self.all.remove(id)?;
        if let Some(due) = target.due() {
            self.due.remove(&(due, id.clone()));
        }
        self.touched.remove(id);
        self.restated = true;
        Some(target)
    }

    /// Lets something happen to one; leads to nothing where it is not watched.
    pub(super) fn change<T: Default>(
        &mut self,
        id: &TargetId,
        change: impl FnOnce(&mut Target) -> T,
    ) -> T {
        let Some(target) = self.all.get_mut(id) else {
            return T::default();
        };
        let before = (target.due(), target.standing());
        let result = change(target);
        let after = (target.due(), target.standing());
        if before.0 != after.0 {
            if let Some(due) = before.0 {
                self.due.remove(&(due, id.clone()));
            }
            self.due.extend(after.0.map(|due| (due, id.clone())));
        }
        self.restated |= before.1 != after.1;
        if !self.touched.contains(id) {
            self.touched.insert(id.clone());
        }
        result
    }

    /// Lets something happen to each of them.
    pub(super) fn change_all(&mut self, mut change: impl FnMut(&TargetId, &mut Target)) {
        let ids: Vec<TargetId> = self.all.keys().cloned().collect();
        for id in ids {
            self.change(&id, |target| change(&id, target));
        }
    }

    /// When the first of them is due (boot clock).
    pub(super) fn first_due(&self) -> Option<Duration> {
        self.due.first().map(|(due, _)| *due)
    }

    /// The first that is due by `now`.
    pub(super) fn next_due(&self, now: Now) -> Option<TargetId> {
        let (due, id) = self.due.first()?;
        (*due <= now.boot).then(|| id.clone())
    }

    pub(super) fn take_touched(&mut self) -> BTreeSet<TargetId> {
        std::mem::take(&mut self.touched)
    }

    pub(super) fn take_restated(&mut self) -> bool {
        std::mem::take(&mut self.restated)
    }
}
