//! Bounds what takes its time.

use std::sync::atomic::{AtomicUsize, Ordering};

/// So many, and no more.
pub(super) struct Slots {
    taken: AtomicUsize,
    max: usize,
}

impl Slots {
    pub(super) const fn new(max: usize) -> Self {
        let taken = AtomicUsize::new(0);
        Self { taken, max }
    }

    /// What `work` comes to; `None`, and it is not begun, where as many are under way as may be.
    pub(super) fn run<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let others = self.taken.fetch_add(1, Ordering::Acquire);
        let done = (others < self.max).then(work);
        self.taken.fetch_sub(1, Ordering::Release);
        done
    }
}
