//! The nearest known word to one that is not known.

use strsim::damerau_levenshtein;

use super::keys::{SECTIONS, Section};

/// The known key that was probably meant by the top-level key `unknown`: a section, or a key of
/// one that was written without it (`interval`, `poll_interval`).
pub(super) fn nearest_at_top(unknown: &str) -> Option<String> {
    let sections = SECTIONS.iter().map(|section| section.name.to_owned());
    let tables = SECTIONS.iter().filter(|section| !section.is_list);
    let keys = tables.flat_map(|section| section.values().map(move |key| (section.name, key.name)));
    let mut paths = Vec::new();
    for (section, key) in keys {
        let path = format!("{section}.{key}");
        if key == unknown {
            return Some(path);
        }
        paths.push(path);
    }
    nearest(unknown, sections.chain(paths))
}

/// The known key that was probably meant by `unknown` in `section`.
pub(super) fn nearest_in(section: &Section, unknown: &str) -> Option<String> {
    let known = section.keys.iter();
    nearest(unknown, known.map(|key| key.name.to_owned()))
}

/// The nearest of `known`, where it is near enough to be what was meant: every third letter may be
/// wrong.
pub(super) fn nearest(unknown: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let unknown = unknown.to_lowercase();
    known
        .map(|known| (damerau_levenshtein(&unknown, &known.to_lowercase()), known))
        .filter(|(distance, known)| *distance <= known.chars().count().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn what_was_meant_is_found() {
        for (unknown, meant) in [
            ("pol", Some("poll")),
            ("caches", Some("cache")),
            ("bulider", Some("builder")),
            ("interval", Some("poll.interval")),
            ("poll_interval", Some("poll.interval")),
            ("discovery", Some("discover")),
            ("mdns", Some("discover.mdns")),
            ("x", None),
        ] {
            assert_eq!(nearest_at_top(unknown).as_deref(), meant, "{unknown}");
        }
        for (section, unknown, meant) in [
            ("poll", "intervall", Some("interval")),
            ("poll", "fast-interval", Some("fast_interval")),
            ("poll", "Rise", Some("rise")),
            ("cache", "nmae", Some("name")),
            ("cache", "uri", Some("url")),
            ("builder", "url", Some("uri")),
            ("builder", "host_keys", Some("host_key")),
            ("builder", "frobnicate", None),
        ] {
            let found = nearest_in(keys::section(section).unwrap(), unknown);
            assert_eq!(found.as_deref(), meant, "{section} {unknown}");
        }
    }
}
