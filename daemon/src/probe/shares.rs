//! What there is only so much of, shared so that who is slow leaves a part to the others.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A number of places. Half of them are for whoever is slow, three quarters for those and the new ones
/// together, and all for whoever was quick the last time: neither is ever kept out by the others.
#[derive(Clone, Debug)]
pub struct Shares {
    /// For the slow; for the slow and the new; for all.
    tiers: [Arc<Semaphore>; 3],
}

/// What is known of who wants a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It had a place the last time, and kept it for long.
    Slow,
    /// It has had none yet.
    New,
    /// It gave it back soon.
    Quick,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Share {
    _permits: Vec<OwnedSemaphorePermit>,
}

impl Shares {
    /// So many places, and four at least.
    pub fn new(places: usize) -> Self {
        let places = places.clamp(4, Semaphore::MAX_PERMITS);
        let tiers = [places / 2, places - places / 4, places];
        Self {
            tiers: tiers.map(|permits| Arc::new(Semaphore::new(permits))),
        }
    }

    /// Waits for a place; who came first has it first, among equals and among all. `None` never comes,
    /// since nobody closes a semaphore.
    pub async fn take(&self, claim: Claim) -> Option<Share> {
        let mut permits = Vec::new();
        // The narrowest first: who waits for that is in nobody else's way.
        for tier in self.tiers_of(claim) {
            permits.push(tier.clone().acquire_owned().await.ok()?);
        }
        Some(Share { _permits: permits })
    }

    /// A place, where there is one at once.
    pub fn try_take(&self, claim: Claim) -> Option<Share> {
        let tiers = self.tiers_of(claim).iter();
        let permits = tiers.map(|tier| tier.clone().try_acquire_owned().ok());
        Some(Share {
            _permits: permits.collect::<Option<_>>()?,
        })
    }

    fn tiers_of(&self, claim: Claim) -> &[Arc<Semaphore>] {
        match claim {
            Claim::Slow => &self.tiers,
            Claim::New => &self.tiers[1..],
            Claim::Quick => &self.tiers[2..],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::iter::from_fn;

    use futures_util::{FutureExt, future::join_all};

    use super::*;

    #[tokio::test]
    async fn who_is_slow_leaves_a_part_to_the_new_and_both_to_the_quick() {
        let shares = Shares::new(8);
        let slow: Vec<Share> = from_fn(|| shares.try_take(Claim::Slow)).collect();
        assert_eq!(slow.len(), 4);
        let mut more = Box::pin(join_all((0..100).map(|_| shares.take(Claim::Slow))));
        assert!(more.as_mut().now_or_never().is_none());
        let new: Vec<Share> = from_fn(|| shares.try_take(Claim::New)).collect();
        assert_eq!(new.len(), 2);
        for _ in 0..100 {
            assert!(shares.take(Claim::Quick).now_or_never().is_some());
        }
        let quick: Vec<Share> = from_fn(|| shares.try_take(Claim::Quick)).collect();
        assert_eq!(quick.len(), 2);
    }

    #[tokio::test]
    async fn who_waits_has_the_next_place_that_is_free() {
        let shares = Shares::new(0);
        let mut taken: Vec<Share> = from_fn(|| shares.try_take(Claim::Slow)).collect();
        let mut waits = Box::pin(shares.take(Claim::Slow));
        assert!(waits.as_mut().now_or_never().is_none());
        taken.pop();
        assert!(shares.try_take(Claim::Slow).is_none(), "somebody waits");
        assert!(waits.await.is_some());
    }
}
