//! The environment: `OFFLOADD_POLL__INTERVAL=10s`, `OFFLOADD_CACHE__DESKTOP__URL=http://…`.

use figment::value::{Dict, Tag, Value};

use super::{
    error::{Location, Problems},
    keys::{self, Type},
    raw::{Fragment, KeyPath, Origin},
    shape::{Raw, shape},
    toml,
};

/// What all of ours begin with.
pub(super) const PREFIX: &str = "OFFLOADD_";
/// Variables of another use, which are no keys.
const RESERVED: [&str; 4] = [
    "OFFLOADD_CONFIG",
    "OFFLOADD_HELPER",
    "OFFLOADD_LOG",
    "OFFLOADD_RUNTIME_DIR",
];

/// Reads the variables of `env` that are keys. `entries` are the names that the files have, by
/// section: no shell lets a variable's name have their case and their dots.
pub(super) fn read<'a>(
    env: &[(String, String)],
    entries: impl Fn(&str) -> Vec<&'a str>,
    problems: &mut Problems,
) -> Fragment {
    let mut ours: Vec<_> = env
        .iter()
        .filter(|(variable, _)| variable.starts_with(PREFIX))
        .filter(|(variable, _)| !RESERVED.contains(&variable.as_str()))
        .collect();
    ours.sort();
    let mut raw = Raw::default();
    for (variable, text) in ours {
        let place = Location::Env(variable.clone());
        let keys = keys(variable, &entries);
        let path = KeyPath::of(&keys.iter().map(String::as_str).collect::<Vec<_>>());
        // A table around it may be what is wrong, and then this is where it comes from.
        for length in 1..keys.len() {
            let around: Vec<_> = keys.iter().take(length).map(String::as_str).collect();
            let around = KeyPath::of(&around);
            if raw.places.find(&around).is_none() {
                raw.places.set(around, place.clone());
            }
        }
        raw.places.set(path.clone(), place.clone());
        if text.contains(char::REPLACEMENT_CHARACTER) {
            problems.key(place, &path, "has bytes that are not UTF-8");
        } else if !insert(&mut raw.values, &keys, value(&keys, text)) {
            let message = "is also set as a whole by a shorter variable; set it there or here";
            problems.key(place, &path, message);
        }
    }
    shape(Origin::Env, raw, problems)
}

fn keys<'a>(variable: &str, entries: &impl Fn(&str) -> Vec<&'a str>) -> Vec<String> {
    let name = variable.strip_prefix(PREFIX).unwrap_or(variable);
    let mut keys: Vec<String> = name.split("__").map(str::to_lowercase).collect();
    if let [section, name, ..] = keys.as_mut_slice()
        && keys::is_list(section)
        && let Some(known) = entries(section)
            .into_iter()
            .find(|known| as_variable(known) == as_variable(name))
    {
        *name = known.to_owned();
    }
    keys
}

/// How a name looks in a variable's: `Desktop.local` is `desktop_local`.
fn as_variable(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect()
}

/// A value of TOML, a list without quotes (`[192.0.2.6, desktop.local]`), or else the text as it
/// is; where a text is due, `10` is one. Figment's own reading of variables is not used: it panics
/// on an escape behind a letter that is not ASCII.
fn value(keys: &[String], text: &str) -> Value {
    let kind = match keys {
        [section, key] | [section, _, key] => keys::section(section).and_then(|s| s.key(key)),
        _ => None,
    };
    let kind = kind.map(|key| key.kind);
    let parsed = toml::value(text);
    match (kind, parsed) {
        (_, Some(parsed @ Value::String(..))) => parsed,
        (Some(Type::Text(_) | Type::Word(_) | Type::Duration), _) => text.into(),
        (_, Some(parsed)) => parsed,
        (_, None) => bare_list(text).unwrap_or_else(|| text.into()),
    }
}

fn bare_list(text: &str) -> Option<Value> {
    let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    if inner.contains(['[', ']', '{', '}', '"', '\'']) {
        return None;
    }
    let items = inner.split(',').map(|item| Value::from(item.trim()));
    Some(Value::Array(Tag::Default, items.collect()))
}

/// Puts `value` where `keys` lead; `false` where something else than a table is in the way.
fn insert(table: &mut Dict, keys: &[String], value: Value) -> bool {
    match keys {
        [] => false,
        [key] => {
            let taken = table.contains_key(key);
            if !taken {
                table.insert(key.clone(), value);
            }
            !taken
        }
        [key, rest @ ..] => {
            let inner = table
                .entry(key.clone())
                .or_insert_with(|| Dict::new().into());
            match inner {
                Value::Dict(_, inner) => insert(inner, rest, value),
                _ => false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys_of(variable: &str) -> Vec<String> {
        keys(variable, &|_| vec!["Desktop.local"])
    }

    #[test]
    fn two_underscores_nest() {
        assert_eq!(
            keys_of("OFFLOADD_POLL__FAST_INTERVAL"),
            ["poll", "fast_interval"]
        );
        assert_eq!(
            keys_of("OFFLOADD_CACHE__DESKTOP_LOCAL__URL"),
            ["cache", "Desktop.local", "url"]
        );
        assert_eq!(
            keys_of("OFFLOADD_CACHE__OTHER__URL"),
            ["cache", "other", "url"]
        );
    }

    #[test]
    fn values_are_toml_or_bare() {
        let read = |variable, text| value(&keys_of(variable), text);
        let list = |items: &[&str]| Value::from(items);
        for (text, items) in [
            (
                "[192.0.2.6, desktop.local]",
                &["192.0.2.6", "desktop.local"][..],
            ),
            (" [\"a b\", 'c'] ", &["a b", "c"]),
            ("[]", &[]),
        ] {
            assert_eq!(
                read("OFFLOADD_CACHE__A__ADDRESSES", text),
                list(items),
                "{text}"
            );
        }
        for (variable, text, expected) in [
            ("OFFLOADD_POLL__INTERVAL", "10s", Value::from("10s")),
            ("OFFLOADD_POLL__INTERVAL", "\"10s\"", "10s".into()),
            ("OFFLOADD_POLL__INTERVAL", "10", "10".into()),
            ("OFFLOADD_POLL__FALL", "10", 10_u64.into()),
            ("OFFLOADD_NIX__IMPORT", " false ", false.into()),
            ("OFFLOADD_NIX__CONF", "\"é\\\"x\"", "é\"x".into()),
            ("OFFLOADD_NIX__CONF", "[a", "[a".into()),
            ("OFFLOADD_CACHE__A__HOST", "true", "true".into()),
        ] {
            assert_eq!(read(variable, text), expected, "{variable}={text}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(
            name in "(POLL|CACHE|NIX|[A-Z]{0,3})(__[A-Z_]{0,8}){0,3}",
            text in "[\\[\\]{}=\",'a-z0-9.é\\\\ ]{0,40}|[\\[{]{0,400}|.*",
        ) {
            let mut problems = Problems::default();
            let _ = read(&[(format!("{PREFIX}{name}"), text)], |_| vec![], &mut problems);
        }
    }
}
