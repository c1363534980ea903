//! A cache that is back: what Nix has been told meanwhile is missing, it is to ask for again.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

use tokio::{sync::Notify, task::AbortHandle};

use super::caches::{Cache, caches};
use crate::{clock::Now, forget, monitor::Handle, target::TargetId};

/// A cache that answered nothing is checked so often, and then left to its own checks.
const TRIES: u32 = 5;

/// Which caches have come back.
pub(super) struct Returns {
    monitor: Handle,
    /// For which caches Nix was told that a path is missing without a word of theirs, since when, in microseconds of
    /// `CLOCK_REALTIME`, and what checks them.
    unheard: RefCell<BTreeMap<TargetId, (u64, AbortHandle)>>,
    /// That one of them was checked: a check that changes nothing is told to nobody else.
    checked: Arc<Notify>,
}

impl Returns {
    pub(super) fn new(monitor: Handle) -> Self {
        Self {
            monitor,
            unheard: RefCell::default(),
            checked: Arc::default(),
        }
    }

    /// Nix is told that a path is missing, and these have said nothing of it.
    pub(super) fn are_unheard<'a>(&self, ids: impl IntoIterator<Item = &'a TargetId>) {
        let now = Now::read().realtime_usec;
        let mut unheard = self.unheard.borrow_mut();
        for id in ids {
            let known = unheard.get(id);
            let since = known.map_or(now, |(since, _)| *since);
            if known.is_none_or(|(_, checks)| checks.is_finished()) {
                let passes = passes(self.monitor.clone(), id.clone(), since);
                let checked = self.checked.clone();
                let checks = tokio::spawn(async move {
                    passes.await;
                    checked.notify_one();
                });
                unheard.insert(id.clone(), (since, checks.abort_handle()));
            }
        }
    }

    /// Has what Nix remembers as missing from the gateway at `address` forgotten, once for each return of a cache: of one
    /// that was not there, and of one that was and did not answer. Ends with the monitor.
    pub(super) async fn follow(&self, address: SocketAddr) {
        let url = format!("http://{address}");
        let mut snapshots = self.monitor.subscribe();
        let mut usable = BTreeSet::new();
        loop {
            let caches = caches(&self.monitor);
            let now = caches.iter().filter(|cache| cache.is_usable);
            let now: BTreeSet<TargetId> = now.map(|cache| cache.id.clone()).collect();
            if self.is_one_heard_again(&caches) || !now.is_subset(&usable) {
                forget(&url).await;
            }
            usable = now;
            tokio::select! {
                changed = snapshots.changed() => if changed.is_err() {
                    return;
                },
                () = self.checked.notified() => {}
            }
        }
    }

    /// Whether one that was not heard has passed a check since; told once.
    fn is_one_heard_again(&self, caches: &[Cache]) -> bool {
        let mut unheard = self.unheard.borrow_mut();
        let before = unheard.len();
        unheard.retain(|id, (since, _)| {
            let cache = caches.iter().find(|cache| cache.id == *id);
            cache.is_some_and(|cache| !cache.has_passed_since(*since))
        });
        unheard.len() < before
    }
}

/// Has a cache checked until one check has passed `since`, or too many have not.
async fn passes(monitor: Handle, id: TargetId, since: u64) {
    for _ in 0..TRIES {
        if monitor.check(Some(id.clone())).await.is_err() {
            return;
        }
        let cache = caches(&monitor).into_iter().find(|cache| cache.id == id);
        if cache.is_none_or(|cache| cache.has_passed_since(since)) {
            return;
        }
    }
}

async fn forget(url: &str) {
    match forget::misses(url).await {
        Ok(0) => {}
        Ok(count) => {
            tracing::info!("a cache is back: {count} paths that it lacked are asked for again");
        }
        Err(error) => tracing::debug!("what was missing is remembered yet: {error}"),
    }
}
