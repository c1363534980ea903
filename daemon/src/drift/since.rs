//! Since when each difference is there.

use offload_client::snapshot::Warning;

/// The particular that says since when a warning holds, in microseconds of `CLOCK_REALTIME`.
const SINCE: &str = "since";

/// Compares; remembers since when each difference is there.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What was found last, with its `since`.
    known: Vec<Warning>,
}

impl Ledger {
    /// Dates what was `found`: what was there before, in the same words, keeps its date.
    pub(super) fn date(&mut self, now: u64, found: Vec<Warning>) -> Vec<Warning> {
        let date = |mut warning: Warning| {
            let before = self.known.iter().find(|known| is_same(known, &warning));
            let since = before.and_then(|known| known.details.get(SINCE).cloned());
            let since = since.unwrap_or_else(|| now.into());
            warning.details.insert(SINCE.into(), since);
            warning
        };
        let dated: Vec<Warning> = found.into_iter().map(date).collect();
        self.known.clone_from(&dated);
        dated
    }
}

fn is_same(known: &Warning, found: &Warning) -> bool {
    let known_details = known.details.iter().filter(|(key, _)| *key != SINCE);
    let found_details = found.details.iter().filter(|(key, _)| *key != SINCE);
    known.code == found.code && known.target == found.target && known_details.eq(found_details)
}
