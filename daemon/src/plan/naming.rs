//! Names: short, and unique among the targets of one kind.

use std::collections::{BTreeMap, BTreeSet};

use offload_client::Printable;

/// What a target may be called.
pub(super) struct Wanted<'a> {
    /// The name of its entry in the configuration.
    pub(super) entry: Option<&'a str>,
    /// The host of its URL.
    pub(super) host: &'a str,
}

/// How much of a host becomes its target's name, in characters: no host's name is longer (RFC 1035).
const MAX_NAME: usize = 255;

/// Names each in turn: by its entry, else by its host, and where that is taken by the same with a
/// number behind it. Entries have the first choice, wherever they stand.
pub(super) fn names(wanted: &[Wanted<'_>]) -> Vec<Printable> {
    let reserved: BTreeSet<&str> = wanted.iter().filter_map(|wanted| wanted.entry).collect();
    let mut taken = BTreeSet::new();
    let mut last = BTreeMap::new();
    let mut names = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let name = match wanted.entry {
            Some(entry) if !taken.contains(entry) => entry.into(),
            entry => {
                let base = entry.unwrap_or(wanted.host);
                // Those before it have all the lower numbers.
                numbered(base, last.entry(base).or_default(), |name| {
                    taken.contains(name) || reserved.contains(name)
                })
            }
        };
        taken.insert(Printable::clone(&name));
        names.push(name);
    }
    names
}

fn numbered(base: &str, last: &mut u32, is_taken: impl Fn(&str) -> bool) -> Printable {
    let base = Printable::excerpt(base.as_bytes(), MAX_NAME);
    loop {
        *last += 1;
        let name = match *last {
            1 => base.clone(),
            number => format!("{base}-{number}").into(),
        };
        if !is_taken(&name) {
            return name;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_choose_first_and_the_rest_is_numbered() {
        let wanted = |entry, host| Wanted { entry, host };
        assert_eq!(
            names(&[
                wanted(None, "desktop"),
                wanted(None, "desktop"),
                wanted(Some("desktop"), "192.0.2.6"),
                wanted(Some("desktop"), "192.0.2.7"),
                wanted(None, "laptop"),
            ]),
            ["desktop-2", "desktop-3", "desktop", "desktop-4", "laptop"]
        );
    }
}
