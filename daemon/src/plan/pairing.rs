//! An entry and an item of Nix that differ in nothing but the host are one target whose address
//! differs: as on the day when only one of the two was changed.
//!
//! A name and an IP address are never called different: what a name stands for is not known to the comparison.

/// An item of Nix, which an entry of ours may be about.
pub(super) trait Item<'a> {
    /// What is ours about it.
    type Entry;

    /// The entry that is about it, once there is one.
    fn entry(&mut self) -> &mut Option<&'a Self::Entry>;
}

/// Gives each item that no entry is about yet the one entry that is about none: where `differs` says,
/// by the entry and its own URI, that nothing but the host does, and neither has another match.
pub(super) fn pair<'a, E: PartialEq, U, I: Item<'a, Entry = E>>(
    entries: &'a [E],
    items: &mut [I],
    own_uri: fn(&E) -> Option<U>,
    differs: impl Fn(&E, &U, &I) -> bool,
) {
    let used: Vec<&E> = items.iter_mut().filter_map(|item| *item.entry()).collect();
    let is_free = |entry: &&E| !used.contains(entry);
    let free = entries.iter().filter(is_free);
    let free: Vec<_> = free
        .filter_map(|entry| Some((entry, own_uri(entry)?)))
        .collect();
    let mut unmatched: Vec<&mut I> = items
        .iter_mut()
        .filter_map(|item| item.entry().is_none().then_some(item))
        .collect();
    let pairs = only_matches(&free, &unmatched, |(entry, own), item| {
        differs(entry, own, item)
    });
    for (entry, item) in pairs {
        *unmatched[item].entry() = Some(free[entry].0);
    }
}

/// The pairs of `entries` and `items` that `agree`, as far as each is the other's only match: of two
/// that would do, nobody knows which is meant.
fn only_matches<E, I>(
    entries: &[E],
    items: &[I],
    agree: impl Fn(&E, &I) -> bool,
) -> Vec<(usize, usize)> {
    let pair = |(index, entry): (usize, &E)| {
        let item = only((0..items.len()).filter(|item| agree(entry, &items[*item])))?;
        let of_item = |other: &usize| agree(&entries[*other], &items[item]);
        only((0..entries.len()).filter(of_item))?;
        Some((index, item))
    };
    entries.iter().enumerate().filter_map(pair).collect()
}

/// The first, where there is no second.
fn only(mut matches: impl Iterator<Item = usize>) -> Option<usize> {
    let first = matches.next()?;
    matches.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_no_other_match_is_a_pair() {
        let pairs = |entries: &[u8], items: &[u8]| only_matches(entries, items, |a, b| a == b);
        assert_eq!(pairs(&[1, 2], &[2, 1, 3]), [(0, 1), (1, 0)]);
        assert_eq!(pairs(&[1, 1], &[1]), []);
        assert_eq!(pairs(&[1], &[1, 1]), []);
        assert_eq!(pairs(&[1, 2, 2], &[1, 2]), [(0, 0)]);
        assert_eq!(pairs(&[], &[1]), []);
    }
}
