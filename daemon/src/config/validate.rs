//! Inputs become settings: every value on its own, then the rules between them.

use std::{path::PathBuf, time::Duration};

use super::{
    BuilderEntry, CacheEntry, Connection, Discover, NixImport, Poll, Settings,
    error::{Place, Problems, quoted},
    files::Files,
    inputs::{BuilderInput, CacheInput, DiscoverInput, Merged, NixInput, PollInput},
    raw::KeyPath,
    schema::nearest,
    values::{duration, exclude, host_key, network, public_key, sample, ssh_key, url},
};
use crate::target::Address;

/// Makes settings of `merged`; what is wrong goes to `problems`, and then the result is of no use.
/// `credentials` is systemd's `$CREDENTIALS_DIRECTORY`.
pub(super) fn validate(
    merged: &Merged,
    files: Files,
    credentials: Option<&str>,
    problems: &mut Problems,
) -> Settings {
    let mut validation = Validation {
        merged,
        credentials,
        problems,
    };
    let entries = |section| merged.order.get(section).into_iter().flatten();
    let settings = Settings {
        poll: validation.poll(&merged.inputs.poll),
        nix: validation.nix(&merged.inputs.nix),
        discover: validation.discover(&merged.inputs.discover),
        caches: entries("cache")
            .filter_map(|name| Some((name, merged.inputs.cache.get(name)?)))
            .map(|(name, input)| validation.cache(name, input))
            .collect(),
        builders: entries("builder")
            .filter_map(|name| Some((name, merged.inputs.builder.get(name)?)))
            .map(|(name, input)| validation.builder(name, input))
            .collect(),
        files,
    };
    validation.rules_of_poll(&settings.poll);
    validation.rules_of_entries(&settings);
    settings
}

struct Validation<'a> {
    merged: &'a Merged,
    credentials: Option<&'a str>,
    problems: &'a mut Problems,
}

impl Validation<'_> {
    fn poll(&mut self, input: &PollInput) -> Poll {
        Poll {
            interval: self.duration("interval", &input.interval),
            fast_interval: self.duration("fast_interval", &input.fast_interval),
            down_max_interval: self.duration("down_max_interval", &input.down_max_interval),
            fall: self.count("fall", input.fall),
            rise: self.count("rise", input.rise),
            timeout: self.duration("timeout", &input.timeout),
            deep_timeout: self.duration("deep_timeout", &input.deep_timeout),
            deep_interval: self.duration("deep_interval", &input.deep_interval),
            connection: self
                .judge(&key("connection"), connection(&input.connection))
                .unwrap_or(Connection::Keep),
        }
    }

    fn duration(&mut self, name: &str, text: &str) -> Duration {
        self.judge(&key(name), duration::parse(text))
            .unwrap_or_default()
    }

    fn count(&mut self, name: &str, number: u32) -> u32 {
        if number == 0 {
            self.wrong(
                &key(name),
                "0 would mean a verdict without a check; write 1 or more",
            );
        }
        number
    }

    fn nix(&mut self, input: &NixInput) -> NixImport {
        let conf = KeyPath::of(&["nix", "conf"]);
        if !input.conf.starts_with('/') || input.conf.contains('\0') {
            let message = format!(
                "{} must be an absolute path such as \"/etc/nix/nix.conf\"",
                quoted(&input.conf)
            );
            self.wrong(&conf, message);
        }
        let path = KeyPath::of(&["nix", "exclude"]);
        NixImport {
            import: input.import,
            conf: PathBuf::from(&input.conf),
            exclude: self.each(&path, &input.exclude, |pattern| {
                exclude::check(pattern)
                    .map(|()| pattern.to_owned())
                    .map_err(|why| match pattern {
                        "" => why,
                        pattern => format!("{} {why}", quoted(pattern)),
                    })
            }),
        }
    }

    fn discover(&mut self, input: &DiscoverInput) -> Discover {
        let path = KeyPath::of(&["discover", "sweep"]);
        let mut sweep = Vec::new();
        for (index, text) in input.sweep.iter().enumerate() {
            let path = path.item(index);
            match network::parse(text) {
                Ok(network) if sweep.contains(&network) => {
                    self.wrong(&path, format!("\"{network}\" is there twice; remove one"));
                }
                result => sweep.extend(self.judge(&path, result)),
            }
        }
        if sweep.len() > network::MOST {
            let message = format!(
                "is {} networks, and a search would take too long; write at most {}",
                sweep.len(),
                network::MOST
            );
            self.wrong(&path, message);
        }
        Discover {
            mdns: input.mdns,
            sweep,
        }
    }

    fn cache(&mut self, name: &str, input: &CacheInput) -> CacheEntry {
        let path = KeyPath::of(&["cache", name]);
        if let Some(text) = &input.url {
            self.judge(&path.then("url"), url::cache(text));
        }
        if input.host.as_deref() == Some("") {
            let message = "is empty; remove it, or write the name of a builder";
            self.wrong(&path.then("host"), message);
        }
        if let Some(text) = &input.sample {
            self.judge(&path.then("sample"), sample::check(text));
        }
        CacheEntry {
            name: name.to_owned(),
            url: input.url.clone(),
            addresses: self.addresses(&path, &input.addresses),
            public_keys: self.each(&path.then("public_keys"), &input.public_keys, |key| {
                public_key::check(key).map(|()| key.to_owned())
            }),
            sample: input.sample.clone(),
            host: input.host.clone(),
            place: self.place(&path, "url", input.url.is_some()),
        }
    }

    fn builder(&mut self, name: &str, input: &BuilderInput) -> BuilderEntry {
        let path = KeyPath::of(&["builder", name]);
        if let Some(text) = &input.uri {
            self.judge(&path.then("uri"), url::builder(text));
        }
        let key = input.ssh_key.as_ref().and_then(|text| {
            let parsed = ssh_key::parse(text, self.credentials);
            self.judge(&path.then("ssh_key"), parsed)
        });
        let host_key = path.then("host_key");
        let parsed = match input.host_key.as_slice() {
            // One needs no list around it, and then it has no number either.
            [only] => self
                .judge(&host_key, host_key::parse(only))
                .unwrap_or_default(),
            several => self.each(&host_key, several, host_key::parse).concat(),
        };
        let mut host_keys = Vec::new();
        for key in parsed {
            if !host_keys.contains(&key) {
                host_keys.push(key);
            }
        }
        BuilderEntry {
            name: name.to_owned(),
            uri: input.uri.clone(),
            addresses: self.addresses(&path, &input.addresses),
            ssh_key: key,
            host_keys,
            systems: self.each(&path.then("systems"), &input.systems, word),
            features: self.each(&path.then("features"), &input.features, word),
            place: self.place(&path, "uri", input.uri.is_some()),
        }
    }

    /// Where `key` of an entry is written, or, where it is not, the entry itself.
    fn place(&self, entry: &KeyPath, key: &str, is_written: bool) -> Place {
        match is_written {
            true => self.merged.origins.get(&entry.then(key)),
            false => self.merged.origins.get(entry),
        }
    }

    fn addresses(&mut self, entry: &KeyPath, texts: &[String]) -> Vec<Address> {
        let path = entry.then("addresses");
        let mut addresses = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let path = path.item(index);
            match address(text) {
                Ok(address) if addresses.contains(&address) => {
                    self.wrong(&path, format!("\"{address}\" is there twice; remove one"));
                }
                result => addresses.extend(self.judge(&path, result)),
            }
        }
        addresses
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
            .filter(|(short, long)| self.problems.sound(&[&key(short.0), &key(long.0)]))
            .collect();
        for (short, long) in broken {
            self.not_at_most(short, long);
        }
    }

    /// The problem is placed where the user wrote something: at the one that should be shorter, or
    /// at the other where the first is a default.
    fn not_at_most(&mut self, short: (&str, Duration), long: (&str, Duration)) {
        let (short_key, long_key) = (key(short.0), key(long.0));
        let short_place = self.merged.origins.get(&short_key);
        let long_place = self.merged.origins.get(&long_key);
        let (short_value, long_value) = (duration::show(short.1), duration::show(long.1));
        if short_place == Place::Default {
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

    /// Where nothing is taken over from Nix, an entry has only what is written in it.
    fn rules_of_entries(&mut self, settings: &Settings) {
        if settings.nix.import || !self.problems.sound(&[&KeyPath::of(&["nix", "import"])]) {
            return;
        }
        let missing = |key| {
            format!(
                "is missing, and nix.import is false, so it can't be taken from nix.conf; write \
                 {key} = \"…\""
            )
        };
        for cache in &settings.caches {
            let entry = KeyPath::of(&["cache", &cache.name]);
            let (url, host) = (entry.then("url"), entry.then("host"));
            if cache.url.is_none() && self.problems.sound(&[&url]) {
                self.wrong_in(&entry, &url, missing("url"));
            }
            if let Some(name) = &cache.host
                && self.problems.sound(&[&host, &KeyPath::of(&["builder"])])
                && !settings
                    .builders
                    .iter()
                    .any(|builder| builder.name == *name)
            {
                let names = settings.builders.iter().map(|builder| builder.name.clone());
                let hint = match nearest(name, names) {
                    Some(name) => format!("did you mean {name:?}?"),
                    None => "add that [[builder]], or remove this key".into(),
                };
                self.wrong(
                    &host,
                    format!("there is no builder {}; {hint}", quoted(name)),
                );
            }
        }
        for builder in &settings.builders {
            let entry = KeyPath::of(&["builder", &builder.name]);
            let uri = entry.then("uri");
            if builder.uri.is_none() && self.problems.sound(&[&uri]) {
                self.wrong_in(&entry, &uri, missing("uri"));
            }
        }
    }

    fn each<T>(
        &mut self,
        path: &KeyPath,
        texts: &[String],
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let items = texts.iter().enumerate();
        items
            .filter_map(|(index, text)| self.judge(&path.item(index), parse(text)))
            .collect()
    }

    fn judge<T>(&mut self, path: &KeyPath, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.wrong(path, message)).ok()
    }

    fn wrong(&mut self, path: &KeyPath, message: impl Into<String>) {
        self.wrong_in(path, path, message);
    }

    /// `path` is wrong, and `origin` is what is written.
    fn wrong_in(&mut self, origin: &KeyPath, path: &KeyPath, message: impl Into<String>) {
        let place = self.merged.origins.get(origin);
        self.problems.key(place, path, message);
    }
}

/// A key of `[poll]`.
fn key(key: &str) -> KeyPath {
    KeyPath::of(&["poll", key])
}

fn connection(text: &str) -> Result<Connection, String> {
    match text {
        "keep" => Ok(Connection::Keep),
        "per-check" => Ok(Connection::PerCheck),
        other => {
            let known = ["keep", "per-check"].map(str::to_owned).into_iter();
            Err(match nearest(other, known) {
                Some(meant) => format!("unknown word {}; did you mean {meant:?}?", quoted(other)),
                None => format!(
                    "unknown word {}; write \"keep\" or \"per-check\"",
                    quoted(other)
                ),
            })
        }
    }
}

fn address(text: &str) -> Result<Address, String> {
    if text.contains("://") {
        return Err(
            "is a URL; write only host or host:port, such as \"192.0.2.6\" or \"desktop:5000\""
                .into(),
        );
    }
    if text.contains('@') {
        return Err("has a user; write only host or host:port".into());
    }
    Address::parse(text).map_err(|error| {
        format!(
            "{}: {error}; write host, host:port or [v6]:port",
            quoted(text)
        )
    })
}

/// A system or a feature: Nix separates them by commas and white space.
fn word(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("is empty; remove it".into());
    }
    if text
        .chars()
        .any(|c| c == ',' || c.is_whitespace() || c.is_control())
    {
        return Err(format!(
            "{} is several; write each in its own quotes",
            quoted(text)
        ));
    }
    Ok(text.to_owned())
}
