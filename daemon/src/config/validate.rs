//! Every value on its own, then the rules between them.

use std::time::Duration;

use figment::value::{Dict, Value};

use super::{
    Poll, Settings,
    error::{Location, Problems, quoted},
    files::Files,
    keys::{Key, SECTIONS, Type},
    merge::Merged,
    nearest::nearest,
    raw::KeyPath,
    values::{duration, network, word},
};

/// Makes settings of `merged`; what is wrong goes to `problems`, and then the result is of no use.
/// `credentials` is systemd's `$CREDENTIALS_DIRECTORY`.
pub(super) fn validate(
    merged: &Merged,
    files: Files,
    credentials: Option<&str>,
    problems: &mut Problems,
) -> Settings {
    let mut validation = Validation { merged, problems };
    for section in &SECTIONS {
        if section.is_list {
            for (name, values) in merged.entries(section.name) {
                validation.values(
                    section.values(),
                    values,
                    &KeyPath::of(&[section.name, name]),
                );
            }
        } else if let Some(values) = merged.table(section.name) {
            validation.values(section.values(), values, &KeyPath::of(&[section.name]));
        }
    }
    let settings = Settings::of(merged, files, credentials);
    validation.rules_of_poll(&settings.poll);
    validation.rules_of_discover(&settings);
    validation.rules_of_entries(&settings);
    settings
}

struct Validation<'a> {
    merged: &'a Merged,
    problems: &'a mut Problems,
}

impl Validation<'_> {
    fn values(&mut self, keys: impl Iterator<Item = &'static Key>, values: &Dict, at: &KeyPath) {
        for key in keys {
            if let Some(value) = values.get(key.name) {
                self.value(key.kind, value, &at.then(key.name));
            }
        }
    }

    fn value(&mut self, kind: Type, value: &Value, path: &KeyPath) {
        let text = value.as_str().unwrap_or_default();
        let texts = value.as_array().unwrap_or_default();
        let texts: Vec<_> = texts.iter().filter_map(Value::as_str).collect();
        match kind {
            Type::Name | Type::Flag => {}
            Type::Count if value.to_u128() == Some(0) => self.wrong(
                path,
                "0 would mean a verdict without a check; write 1 or more",
            ),
            Type::Count => {}
            Type::Duration => self.judge(path, duration::parse(text).map(drop)),
            Type::Word(known) => self.judge(path, word::one_of(text, known)),
            Type::Text(check) => self.judge(path, check(text)),
            Type::TextOrList(check) if texts.len() == 1 => {
                // One needs no list around it, and then it has no number either.
                texts.iter().for_each(|text| self.judge(path, check(text)));
            }
            Type::List(check) | Type::TextOrList(check) => {
                for (index, text) in texts.into_iter().enumerate() {
                    self.judge(&path.item(index), check(text));
                }
            }
            Type::Set(normal) => {
                let mut known = Vec::new();
                for (index, text) in texts.into_iter().enumerate() {
                    let path = path.item(index);
                    match normal(text) {
                        Ok(text) if known.contains(&text) => {
                            self.wrong(&path, format!("\"{text}\" is there twice; remove one"));
                        }
                        Ok(text) => known.push(text),
                        Err(message) => self.wrong(&path, message),
                    }
                }
            }
        }
    }

    fn rules_of_poll(&mut self, poll: &Poll) {
        let interval = ("interval", poll.interval);
        let timeout = ("timeout", poll.timeout);
        let deep_timeout = ("deep_timeout", poll.deep_timeout);
        let rules = [
            (("fast_interval", poll.fast_interval), interval),
            (interval, ("down_max_interval", poll.down_max_interval)),
            (timeout, interval),
            (timeout, deep_timeout),
            (deep_timeout, ("deep_interval", poll.deep_interval)),
        ];
        let broken: Vec<_> = rules
            .into_iter()
            .filter(|(short, long)| short.1 > long.1)
            .filter(|(short, long)| {
                let keys = [short, long].map(|(key, _)| poll_key(key));
                self.problems.sound(&[&keys[0], &keys[1]])
            })
            .collect();
        for (short, long) in broken {
            self.not_at_most(short, long);
        }
    }

    /// The problem is placed where the user wrote something: at the one that should be shorter, or
    /// at the other where the first is a default.
    fn not_at_most(&mut self, short: (&str, Duration), long: (&str, Duration)) {
        let (short_key, long_key) = (poll_key(short.0), poll_key(long.0));
        let short_place = self.merged.origins.get(&short_key);
        let long_place = self.merged.origins.get(&long_key);
        let (short_value, long_value) = (duration::show(short.1), duration::show(long.1));
        if short_place == Location::Default {
            let message = format!(
                "{long_value} is shorter than {short_key} ({short_value}, {short_place}); raise \
                 it, or lower {short_key}"
            );
            self.problems.key(long_place, &long_key, message);
        } else {
            let message = format!(
                "{short_value} is longer than {long_key} ({long_value}, {long_place}); lower it, \
                 or raise {long_key}"
            );
            self.problems.key(short_place, &short_key, message);
        }
    }

    fn rules_of_discover(&mut self, settings: &Settings) {
        let networks = settings.discover.sweep.len();
        if networks > network::MOST {
            let message = format!(
                "is {networks} networks, and a search would take too long; write at most {}",
                network::MOST
            );
            self.wrong(&KeyPath::of(&["discover", "sweep"]), message);
        }
    }

    /// Where nothing is taken over from Nix, an entry has only what is written in it.
    fn rules_of_entries(&mut self, settings: &Settings) {
        if settings.nix.import || !self.problems.sound(&[&KeyPath::of(&["nix", "import"])]) {
            return;
        }
        for cache in &settings.caches {
            self.rule_of_place("cache", &cache.name, "url", cache.url.is_some());
            if let Some(host) = &cache.host {
                let path = KeyPath::of(&["cache", &cache.name, "host"]);
                self.rule_of_host(settings, host, &path);
            }
        }
        for builder in &settings.builders {
            self.rule_of_place("builder", &builder.name, "uri", builder.uri.is_some());
        }
    }

    fn rule_of_place(&mut self, section: &str, name: &str, key: &str, is_written: bool) {
        let entry = KeyPath::of(&[section, name]);
        let path = entry.then(key);
        if !is_written && self.problems.sound(&[&path]) {
            let message = format!(
                "is missing, and nix.import is false, so it can't be taken from nix.conf; write \
                 {key} = \"…\""
            );
            let place = self.merged.origins.get(&entry);
            self.problems.key(place, &path, message);
        }
    }

    fn rule_of_host(&mut self, settings: &Settings, host: &str, path: &KeyPath) {
        let names = || settings.builders.iter().map(|builder| builder.name.clone());
        if names().any(|name| name == host)
            || !self.problems.sound(&[path, &KeyPath::of(&["builder"])])
        {
            return;
        }
        let hint = match nearest(host, names()) {
            Some(name) => format!("did you mean {name:?}?"),
            None => "add that [[builder]], or remove this key".into(),
        };
        self.wrong(
            path,
            format!("there is no builder {}; {hint}", quoted(host)),
        );
    }

    fn judge(&mut self, path: &KeyPath, result: Result<(), String>) {
        if let Err(message) = result {
            self.wrong(path, message);
        }
    }

    fn wrong(&mut self, path: &KeyPath, message: impl Into<String>) {
        let place = self.merged.origins.get(path);
        self.problems.key(place, path, message);
    }
}

fn poll_key(key: &str) -> KeyPath {
    KeyPath::of(&["poll", key])
}
