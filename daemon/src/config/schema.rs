//! The known keys and their types, and the nearest known key to one that is not.

use strsim::damerau_levenshtein;

/// What a value must be, before anybody looks at what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// `true` or `false`.
    Flag,
    /// A number from 0 to `u32::MAX`.
    Count,
    /// A duration as humantime reads it.
    Duration,
    /// Any other text.
    Text,
    /// A list of texts.
    List,
    /// A text, or a list of several.
    TextOrList,
}

/// The sections that are one table each.
pub(super) const SECTIONS: [&str; 3] = ["poll", "nix", "discover"];
/// The sections that are lists of tables.
pub(super) const TABLES: [&str; 2] = ["cache", "builder"];

/// The keys of a section and their types; empty where there is no such section. `name`, which
/// every entry of a list has, is no key of it: it has become the way to the entry.
pub(super) const fn keys(section: &str) -> &'static [(&'static str, Type)] {
    use Type::*;
    match section.as_bytes() {
        b"poll" => &[
            ("interval", Duration),
            ("fast_interval", Duration),
            ("down_max_interval", Duration),
            ("fall", Count),
            ("rise", Count),
            ("timeout", Duration),
            ("deep_timeout", Duration),
            ("deep_interval", Duration),
            ("connection", Text),
        ],
        b"nix" => &[("import", Flag), ("conf", Text), ("exclude", List)],
        b"discover" => &[("mdns", Flag), ("sweep", List)],
        b"cache" => &[
            ("url", Text),
            ("addresses", List),
            ("public_keys", List),
            ("sample", Text),
            ("host", Text),
        ],
        b"builder" => &[
            ("uri", Text),
            ("addresses", List),
            ("ssh_key", Text),
            ("host_key", TextOrList),
            ("systems", List),
            ("features", List),
        ],
        _ => &[],
    }
}

/// The type of one key.
pub(super) fn type_of(section: &str, key: &str) -> Option<Type> {
    let (_, kind) = keys(section).iter().find(|(known, _)| *known == key)?;
    Some(*kind)
}

/// The known key that was probably meant by the top-level key `unknown`: a section, or a key of
/// one that was written without it (`interval`, `poll_interval`).
pub(super) fn nearest_at_top(unknown: &str) -> Option<String> {
    let sections = SECTIONS.into_iter().chain(TABLES).map(str::to_owned);
    let dotted = SECTIONS
        .into_iter()
        .flat_map(|section| keys(section).iter().map(move |(key, _)| (section, *key)))
        .map(|(section, key)| (key, format!("{section}.{key}")));
    if let Some((_, path)) = dotted.clone().find(|(key, _)| *key == unknown) {
        return Some(path);
    }
    nearest(unknown, sections.chain(dotted.map(|(_, path)| path)))
}

/// The known key that was probably meant by `unknown` in `section`.
pub(super) fn nearest_in(section: &str, unknown: &str) -> Option<String> {
    let name = TABLES.contains(&section).then_some("name");
    let known = keys(section).iter().map(|(key, _)| *key).chain(name);
    nearest(unknown, known.map(str::to_owned))
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
            let found = nearest_in(section, unknown);
            assert_eq!(found.as_deref(), meant, "{section} {unknown}");
        }
    }
}
