//! What the daemon holds: memory, descriptors, children.

use std::fs;

use crate::{Result, bench::proc, error::Context, process::descendants};

/// At one moment, and at the most so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Resident, in KiB.
    pub(super) memory: u64,
    pub(super) descriptors: u64,
    pub(super) children: u64,
}

impl Cost {
    /// Of process `id`.
    pub(super) fn of(id: u32) -> Result<Self> {
        let descriptors = format!("/proc/{id}/fd");
        let open = fs::read_dir(&descriptors).context(descriptors)?.count();
        Ok(Self {
            memory: proc::memory(id)?.resident,
            descriptors: u64::try_from(open).unwrap_or(u64::MAX),
            children: u64::try_from(descendants(id).len()).unwrap_or(u64::MAX),
        })
    }

    /// The greater of each.
    pub(super) fn peak(self, other: Self) -> Self {
        Self {
            memory: self.memory.max(other.memory),
            descriptors: self.descriptors.max(other.descriptors),
            children: self.children.max(other.children),
        }
    }
}

/// One life of the daemon, from its first rest on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Life {
    pub(super) first: Option<Cost>,
    pub(super) peak: Cost,
    pub(super) last: Cost,
}

/// More than buffers and an allocator's habits come to, in KiB.
const MEMORY: u64 = 4 * 1024;
/// A connection more or less.
const DESCRIPTORS: u64 = 4;

impl Life {
    /// What it holds now, while it does something.
    pub(super) fn see(&mut self, cost: Cost) {
        self.peak = self.peak.peak(cost);
    }

    /// What it holds now, while all is well and nothing happens.
    pub(super) fn rest(&mut self, cost: Cost) {
        self.see(cost);
        self.first.get_or_insert(cost);
        self.last = cost;
    }

    /// What has grown from its first rest to its last.
    pub(super) fn growth(&self) -> Vec<String> {
        let Some(first) = self.first else {
            return Vec::new();
        };
        let grown = |what: &str, from: u64, to: u64, most: u64| {
            (to > from.saturating_add(most)).then(|| format!("{what} grew from {from} to {to}"))
        };
        [
            grown("memory (KiB)", first.memory, self.last.memory, MEMORY),
            grown(
                "descriptors",
                first.descriptors,
                self.last.descriptors,
                DESCRIPTORS,
            ),
            grown("children", 0, self.last.children, 0),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(memory: u64, descriptors: u64, children: u64) -> Cost {
        Cost {
            memory,
            descriptors,
            children,
        }
    }

    #[test]
    fn what_comes_and_goes_is_no_growth_and_what_stays_is() {
        let mut life = Life::default();
        life.rest(cost(10_000, 20, 0));
        life.see(cost(90_000, 200, 9));
        life.rest(cost(11_000, 22, 0));
        assert_eq!(life.growth(), Vec::<String>::new());
        assert_eq!(life.peak, cost(90_000, 200, 9));
        life.rest(cost(15_000, 25, 1));
        assert_eq!(life.growth().len(), 3, "{:?}", life.growth());
    }
}
