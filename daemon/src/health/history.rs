//! What a target went through lately.

use std::collections::VecDeque;

use offload_client::snapshot::HistoryEntry;

/// Entries kept for each target; the oldest goes first.
pub(super) const KEPT: usize = 64;

/// The last changes of one target.
#[derive(Clone, Debug, Default)]
pub(super) struct History(VecDeque<HistoryEntry>);

impl History {
    /// Adds the newest entry.
    pub(super) fn push(&mut self, entry: HistoryEntry) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(entry);
    }

    /// At most `max` entries, newest first.
    pub(super) fn newest(&self, max: usize) -> Vec<HistoryEntry> {
        self.0.iter().rev().take(max).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use offload_client::{Reason, TargetState};

    use super::*;

    fn times(history: &History, max: usize) -> Vec<u64> {
        let entries = history.newest(max);
        entries.iter().map(|entry| entry.timestamp).collect()
    }

    #[test]
    fn the_newest_entries_stay_and_come_first() {
        let mut history = History::default();
        assert_eq!(times(&history, 3), [0; 0]);
        for timestamp in 0..100 {
            history.push(HistoryEntry {
                timestamp,
                state: TargetState::Ready,
                reason: Reason::None,
                latency_usec: 0,
            });
        }
        assert_eq!(times(&history, 3), [99, 98, 97]);
        assert_eq!(times(&history, usize::MAX).len(), KEPT);
        assert_eq!(times(&history, usize::MAX).last(), Some(&36));
    }
}
