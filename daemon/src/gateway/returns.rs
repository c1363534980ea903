//! A cache that is back: what Nix has been told meanwhile is missing, it is to ask for again.

use std::{collections::BTreeSet, net::SocketAddr};

use super::caches::caches;
use crate::{forget, monitor::Handle, target::TargetId};

/// Has what Nix remembers as missing from the gateway at `address` forgotten, once for each return of a cache. Ends with
/// the monitor.
pub(super) async fn follow(address: SocketAddr, monitor: Handle) {
    let url = format!("http://{address}");
    let mut snapshots = monitor.subscribe();
    let mut usable = BTreeSet::new();
    loop {
        let now = usable_now(&monitor);
        if !now.is_subset(&usable) {
            match forget::misses(&url).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(
                    "a cache is back: {count} paths that it lacked are asked for again"
                ),
                Err(error) => tracing::debug!("what was missing is remembered yet: {error}"),
            }
        }
        usable = now;
        if snapshots.changed().await.is_err() {
            return;
        }
    }
}

fn usable_now(monitor: &Handle) -> BTreeSet<TargetId> {
    let caches = caches(&monitor.specs().borrow(), &monitor.snapshot());
    let usable = caches.into_iter().filter(|cache| cache.is_usable);
    usable.map(|cache| cache.id).collect()
}
