//! What the gateway remembers for a while: bounded in time and in number.

use std::{collections::HashMap, hash::Hash, time::Duration};

use crate::clock::Now;

/// Values that hold for a while. With one more than it has room for, those that have lasted longest go.
#[derive(Debug)]
pub(super) struct Memory<K, V> {
    lasts: Duration,
    most: usize,
    known: HashMap<K, (Duration, V)>,
}

impl<K: Eq + Hash + Clone, V> Memory<K, V> {
    pub(super) fn new(lasts: Duration, most: usize) -> Self {
        Self {
            lasts,
            most,
            known: HashMap::new(),
        }
    }

    pub(super) fn get(&self, now: Now, key: &K) -> Option<&V> {
        let (since, value) = self.known.get(key)?;
        (now.boot.saturating_sub(*since) < self.lasts).then_some(value)
    }

    pub(super) fn put(&mut self, now: Now, key: K, value: V) {
        if self.known.len() >= self.most && !self.known.contains_key(&key) {
            self.forget_half(now);
        }
        self.known.insert(key, (now.boot, value));
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.known.remove(key);
    }

    /// Half of them at once, so that each costs no more than a look.
    fn forget_half(&mut self, now: Now) {
        let mut since: Vec<Duration> = self.known.values().map(|(since, _)| *since).collect();
        let middle = since.len() / 2;
        let (_, middle, _) = since.select_nth_unstable(middle);
        let oldest = (*middle).max(now.boot.saturating_sub(self.lasts));
        self.known.retain(|_, (since, _)| *since > oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lasts_for_a_while_and_never_grows() {
        let now = Now::default();
        let after = |ms| now.after(Duration::from_millis(ms));
        let mut memory = Memory::new(Duration::from_secs(1), 100);
        for key in 0..1_000_u64 {
            memory.put(after(key), key, key);
            assert!(memory.known.len() <= 100);
        }
        assert_eq!(memory.get(after(1_000), &999), Some(&999));
        assert_eq!(memory.get(after(2_000), &999), None);
        assert_eq!(memory.get(after(1_000), &0), None);
        memory.remove(&999);
        assert_eq!(memory.get(after(1_000), &999), None);
        // All of one moment.
        for key in 0..1_000 {
            memory.put(now, key, key);
        }
        assert!(memory.known.len() <= 100);
    }
}
