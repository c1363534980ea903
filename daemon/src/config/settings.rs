//! The validated configuration: what the rest of the daemon reads.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use figment::value::{Dict, Value};
use ipnet::Ipv4Net;
use russh::keys::PublicKey;

use super::{
    Files, Location,
    merge::{self, Merged},
    values::{address, duration, gateway, host_key, listen, network, ssh_key, textfile, wait},
};
use crate::target::Address;

/// The whole configuration, valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// When and how checks are made.
    pub poll: Poll,
    /// What is taken over from Nix.
    pub nix: NixImport,
    /// How a desktop that moved is looked for.
    pub discover: Discover,
    /// When builders prove themselves unasked.
    pub proof: Builds,
    /// Whether and how Nix follows the desktop.
    pub steer: Steer,
    /// Whether a desktop that sleeps is woken.
    pub wake: Wake,
    /// `[metrics]`.
    pub metrics: Metrics,
    /// Caches of the configuration file and of `--cache`.
    pub caches: Vec<CacheEntry>,
    /// Builders of the configuration file and of `--builder`.
    pub builders: Vec<BuilderEntry>,
    /// What it was read from.
    pub files: Files,
}

/// `[poll]`: when and how checks are made.
#[derive(Clone, Debug, PartialEq)]
pub struct Poll {
    /// Between checks in the steady state (±10 % jitter).
    pub interval: Duration,
    /// Between checks while a verdict is pending.
    pub fast_interval: Duration,
    /// The longest pause between checks of what is down.
    pub down_max_interval: Duration,
    /// Failures in a row before ready becomes down; at least 1.
    pub fall: u32,
    /// Successes in a row before down becomes ready; at least 1.
    pub rise: u32,
    /// The bound of one check.
    pub timeout: Duration,
    /// The bound of one deep check (handshake, trust, system); at least `timeout`.
    pub deep_timeout: Duration,
    /// Between deep checks.
    pub deep_interval: Duration,
    /// Whether connections are kept between checks.
    pub connection: Connection,
}

/// Whether connections are kept between checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// One connection per target; a check is a round trip on it.
    Keep,
    /// A new connection for each check.
    PerCheck,
}

/// `[nix]`: what is taken over from Nix.
#[derive(Clone, Debug, PartialEq)]
pub struct NixImport {
    /// Whether to watch what nix.conf and the machines file name.
    pub import: bool,
    /// nix.conf.
    pub conf: PathBuf,
    /// Substituters that are not ours to poll: URLs, `*` matches any run of characters.
    pub exclude: Vec<String>,
}

/// `[discover]`: how a desktop that is at none of its addresses is looked for. Off by default: a
/// machine that nobody asked sends nothing to machines that Nix does not name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discover {
    /// Whether to ask for it by multicast DNS, and to try the neighbours that the kernel knows.
    pub mdns: bool,
    /// Networks whose every address may be tried: of at most 1024 addresses each, and only while
    /// this machine is in them.
    pub sweep: Vec<Ipv4Net>,
}

/// `[proof]`: when a builder is to prove itself by a test build that nobody has asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Builds {
    /// When its setup has changed, and once a week.
    #[default]
    Changes,
    /// Once a week.
    Weekly,
    /// Not at all.
    Never,
}

/// `[steer]`: Nix follows the desktop. Off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steer {
    /// Where all caches are one substituter: an address of this machine alone.
    pub gateway: Option<SocketAddr>,
}

/// `[wake]`: a desktop that sleeps is woken when it is wanted. Off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wake {
    /// Whether a build or a path that is asked for wakes it.
    pub on_demand: bool,
    /// How long whoever asks for that waits for it; at most a minute.
    pub wait: Duration,
}

/// `[metrics]`: figures for who watches many laptops. Off by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// The file that node_exporter reads.
    pub textfile: Option<PathBuf>,
    /// Where Prometheus reads them.
    pub listen: Option<SocketAddr>,
}

/// A `[[cache]]`. What is `None` or empty is taken from the imported entry with the same name or
/// address, if there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheEntry {
    /// Its name.
    pub name: String,
    /// Its URL; absent where it enriches an imported one of the same name or address.
    pub url: Option<String>,
    /// Candidates, best first.
    pub addresses: Vec<Address>,
    /// `name:base64`.
    pub public_keys: Vec<String>,
    /// A store path that it has, for the signature to be checked with; one outside of this machine's
    /// store directory is passed over.
    pub sample: Option<String>,
    /// The builder that is the same machine.
    pub host: Option<String>,
    /// Where its URL is written, or, where it has none, where it begins.
    pub place: Location,
}

/// A `[[builder]]`, with the same rule.
#[derive(Clone, Debug, PartialEq)]
pub struct BuilderEntry {
    /// Its name.
    pub name: String,
    /// `ssh://` or `ssh-ng://`.
    pub uri: Option<String>,
    /// Candidates, best first.
    pub addresses: Vec<Address>,
    /// The private key.
    pub ssh_key: Option<PathBuf>,
    /// The host keys it must prove.
    pub host_keys: Vec<PublicKey>,
    /// The systems it builds for.
    pub systems: Vec<String>,
    /// The features it offers.
    pub features: Vec<String>,
    /// Where its URI is written, or, where it has none, where it begins.
    pub place: Location,
}

impl Settings {
    /// Those of `merged`. A value that is wrong, of which `validate` has told, becomes nothing.
    pub(super) fn of(merged: &Merged, files: Files, credentials: Option<&str>) -> Self {
        let table = |section| Values(merged.table(section));
        let (poll, nix, discover) = (table("poll"), table("nix"), table("discover"));
        let (steer, wake, metrics) = (table("steer"), table("wake"), table("metrics"));
        let caches = merged.entries("cache");
        let builders = merged.entries("builder");
        Self {
            poll: Poll {
                interval: poll.duration("interval"),
                fast_interval: poll.duration("fast_interval"),
                down_max_interval: poll.duration("down_max_interval"),
                fall: poll.count("fall"),
                rise: poll.count("rise"),
                timeout: poll.duration("timeout"),
                deep_timeout: poll.duration("deep_timeout"),
                deep_interval: poll.duration("deep_interval"),
                connection: match poll.text("connection").as_deref() {
                    Some("per-check") => Connection::PerCheck,
                    _ => Connection::Keep,
                },
            },
            nix: NixImport {
                import: nix.flag("import"),
                conf: nix.text("conf").unwrap_or_default().into(),
                exclude: nix.list("exclude"),
            },
            discover: Discover {
                mdns: discover.flag("mdns"),
                sweep: discover.parsed("sweep", network::parse),
            },
            proof: match table("proof").text("builds").as_deref() {
                Some("weekly") => Builds::Weekly,
                Some("never") => Builds::Never,
                _ => Builds::Changes,
            },
            steer: Steer {
                gateway: steer
                    .text("gateway")
                    .and_then(|text| gateway::parse(&text).ok().flatten()),
            },
            wake: Wake {
                on_demand: wake.flag("on_demand"),
                wait: wake
                    .text("wait")
                    .and_then(|text| wait::parse(&text).ok())
                    .unwrap_or_default(),
            },
            metrics: Metrics {
                textfile: metrics
                    .text("textfile")
                    .and_then(|text| textfile::parse(&text).ok().flatten()),
                listen: metrics
                    .text("listen")
                    .and_then(|text| listen::parse(&text).ok().flatten()),
            },
            caches: caches
                .map(|(name, values)| {
                    let values = Values(Some(values));
                    CacheEntry {
                        name: name.to_owned(),
                        url: values.text("url"),
                        addresses: values.parsed("addresses", address::parse),
                        public_keys: values.list("public_keys"),
                        sample: values.text("sample"),
                        host: values.text("host"),
                        place: merged.place("cache", name, "url"),
                    }
                })
                .collect(),
            builders: builders
                .map(|(name, values)| {
                    let values = Values(Some(values));
                    let key = values.text("ssh_key");
                    let mut host_keys = Vec::new();
                    for key in values.parsed("host_key", host_key::parse).concat() {
                        if !host_keys.contains(&key) {
                            host_keys.push(key);
                        }
                    }
                    BuilderEntry {
                        name: name.to_owned(),
                        uri: values.text("uri"),
                        addresses: values.parsed("addresses", address::parse),
                        ssh_key: key.and_then(|key| ssh_key::parse(&key, credentials).ok()),
                        host_keys,
                        systems: values.list("systems"),
                        features: values.list("features"),
                        place: merged.place("builder", name, "uri"),
                    }
                })
                .collect(),
            files,
        }
    }
}

/// The values of one table.
struct Values<'a>(Option<&'a Dict>);

impl Values<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.0?.get(key)
    }

    fn flag(&self, key: &str) -> bool {
        self.get(key).and_then(Value::to_bool).unwrap_or_default()
    }

    fn count(&self, key: &str) -> u32 {
        let number = self.get(key).and_then(Value::to_u128);
        number
            .and_then(|number| number.try_into().ok())
            .unwrap_or_default()
    }

    fn text(&self, key: &str) -> Option<String> {
        Some(self.get(key)?.as_str()?.to_owned())
    }

    fn duration(&self, key: &str) -> Duration {
        let text = self.get(key).and_then(Value::as_str);
        text.and_then(|text| duration::parse(text).ok())
            .unwrap_or_default()
    }

    fn list(&self, key: &str) -> Vec<String> {
        self.parsed(key, |text| Ok(text.to_owned()))
    }

    fn parsed<T>(&self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let items = self.get(key).and_then(Value::as_array).unwrap_or_default();
        let texts = items.iter().filter_map(Value::as_str);
        texts.filter_map(|text| parse(text).ok()).collect()
    }
}

impl Default for Settings {
    /// What holds without any configuration.
    fn default() -> Self {
        let merged = merge::merge(&[merge::defaults()]).unwrap_or_default();
        Self::of(&merged, Files::default(), None)
    }
}

impl Default for Poll {
    fn default() -> Self {
        Settings::default().poll
    }
}

impl Default for NixImport {
    fn default() -> Self {
        Settings::default().nix
    }
}
