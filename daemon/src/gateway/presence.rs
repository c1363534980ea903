//! Which caches are there: what a check has shown, and what became of those that were asked. A request is a reason to
//! look, and to wake who sleeps.

use std::{cell::RefCell, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{
    MOST,
    caches::{Cache, caches},
    memory::Memory,
};
use crate::{
    clock::Now,
    monitor::{Handle, Waker},
    target::TargetId,
};

/// A cache that was not checked for so long is checked when it is asked for something.
const FRESH: Duration = Duration::from_secs(5);
/// The same of one that is not there, or did not answer.
const FRESH_ABSENCE: Duration = Duration::from_secs(2);
/// How long that check is waited for where there is no other cache.
pub(super) const LOOKING: Duration = Duration::from_millis(200);
/// A cache that failed is checked no more often.
const SUSPECTED: Duration = Duration::from_secs(1);
/// Nor woken, where nobody waits for it.
const WOKEN: Duration = Duration::from_secs(1);
/// A cache that did not answer is not asked again before a check of it has passed, or for so long: what Nix waits for
/// it, it waits once.
const DOUBTED: Duration = Duration::from_secs(10);
/// What is known of the caches beside their checks.
pub(super) struct Presence {
    monitor: Handle,
    /// When a check of a cache was last asked for, in microseconds of `CLOCK_REALTIME`.
    looked: RefCell<Memory<TargetId, u64>>,
    suspected: RefCell<Memory<TargetId, ()>>,
    /// Which cache was to be woken.
    woken: RefCell<Memory<TargetId, ()>>,
    /// When a cache did not answer, in microseconds of `CLOCK_REALTIME`.
    doubted: RefCell<Memory<TargetId, u64>>,
}

impl Presence {
    pub(super) fn new(monitor: Handle) -> Self {
        Self {
            monitor,
            looked: RefCell::new(Memory::new(FRESH, MOST)),
            suspected: RefCell::new(Memory::new(SUSPECTED, MOST)),
            woken: RefCell::new(Memory::new(WOKEN, MOST)),
            doubted: RefCell::new(Memory::new(DOUBTED, MOST)),
        }
    }

    /// The caches that Nix may be led to. Those that were not checked of late are; where there is no other, one
    /// that may be back is waited for, so that Nix does not take for missing what is about to be there.
    pub(super) async fn usable(&self) -> Vec<Cache> {
        let usable = self.usable_by(Instant::now() + LOOKING, false).await;
        let wait = self.wake().await;
        if !usable.is_empty() || wait.is_zero() {
            return usable;
        }
        self.usable_by(Instant::now() + wait, true).await
    }

    /// Those that Nix may be led to by then, at once where there are any; no later than nothing is looked at any more, unless
    /// one `is_woken`.
    async fn usable_by(&self, until: Instant, is_woken: bool) -> Vec<Cache> {
        let mut snapshot = self.monitor.subscribe();
        loop {
            snapshot.mark_unchanged();
            let caches = self.caches();
            for cache in &caches {
                self.look(cache);
            }
            let may_change = is_woken || caches.iter().any(|cache| self.is_looked_at(cache));
            let usable = caches
                .into_iter()
                .filter(|it| it.is_usable && !self.is_doubted(it));
            let usable: Vec<Cache> = usable.collect();
            if !usable.is_empty() || !may_change {
                return usable;
            }
            if !matches!(timeout_at(until, snapshot.changed()).await, Ok(Ok(()))) {
                return usable;
            }
        }
    }

    /// Has those woken that are down, where that is done on demand, because something is asked for; for how long they are
    /// to be waited for.
    async fn wake(&self) -> Duration {
        let now = Now::read();
        let wakes = self.monitor.wakes();
        if !wakes.on_demand {
            return Duration::ZERO;
        }
        let mut longest = Duration::ZERO;
        for cache in self.caches().into_iter().filter(|cache| cache.is_down) {
            if self.woken.borrow().get(now, &cache.id).is_none() || !wakes.wait.is_zero() {
                self.woken.borrow_mut().put(now, cache.id.clone(), ());
                let woken = self.monitor.wake(cache.id, Waker::Demand).await;
                longest = longest.max(woken.unwrap_or_default().wait);
            }
        }
        longest
    }

    pub(super) fn caches(&self) -> Vec<Cache> {
        caches(&self.monitor)
    }

    /// A request is a reason to look at what was not looked at of late.
    fn look(&self, cache: &Cache) {
        let now = Now::read();
        let looked = self.looked.borrow().get(now, &cache.id).copied();
        let since = looked.map_or(Duration::MAX, |then| since(now, then));
        let is_due = match (cache.is_usable, cache.may_be_back) {
            (true, _) if !self.is_doubted(cache) => cache.age(now).min(since) > FRESH,
            (true, _) => cache.age(now).min(since) > FRESH_ABSENCE,
            // That nobody was there may have been seen long before that check was over.
            (false, true) => since > FRESH_ABSENCE,
            (false, false) => false,
        };
        if is_due {
            self.check(now, &cache.id);
        }
    }

    /// Whether a check is under way that may show that a cache is back, and not for longer than is waited for.
    fn is_looked_at(&self, cache: &Cache) -> bool {
        let now = Now::read();
        let looked = self.looked.borrow().get(now, &cache.id).copied();
        looked.is_some_and(|then| {
            cache.may_be_back && !cache.was_checked_since(then) && since(now, then) < LOOKING
        })
    }

    /// It did not answer in time.
    pub(super) fn doubt(&self, id: &TargetId) {
        let now = Now::read();
        let mut doubted = self.doubted.borrow_mut();
        doubted.put(now, id.clone(), now.realtime_usec);
    }

    /// Whether it did not answer, and no check has passed since.
    fn is_doubted(&self, cache: &Cache) -> bool {
        let doubted = self.doubted.borrow();
        let since = doubted.get(Now::read(), &cache.id);
        since.is_some_and(|since| !cache.has_passed_since(*since))
    }

    /// It did not do what it was thought to.
    pub(super) fn suspect(&self, id: &TargetId) {
        let now = Now::read();
        if self.suspected.borrow().get(now, id).is_none() {
            self.suspected.borrow_mut().put(now, id.clone(), ());
            self.check(now, id);
        }
    }

    fn check(&self, now: Now, id: &TargetId) {
        self.looked
            .borrow_mut()
            .put(now, id.clone(), now.realtime_usec);
        let (monitor, id) = (self.monitor.clone(), id.clone());
        tokio::spawn(async move { monitor.check(Some(id)).await });
    }
}

/// What has passed since `then`, in microseconds of `CLOCK_REALTIME`.
fn since(now: Now, then: u64) -> Duration {
    Duration::from_micros(now.realtime_usec.saturating_sub(then))
}
