//! The validated configuration: what the rest of the daemon reads.

use std::{path::PathBuf, time::Duration};

use ipnet::Ipv4Net;
use russh::keys::PublicKey;

use super::{Files, Place};
use crate::target::Address;

/// The whole configuration, valid.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// When and how checks are made.
    pub poll: Poll,
    /// What is taken over from Nix.
    pub nix: NixImport,
    /// How a desktop that moved is looked for.
    pub discover: Discover,
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
    pub place: Place,
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
    pub place: Place,
}

impl Default for Poll {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            fast_interval: Duration::from_secs(3),
            down_max_interval: Duration::from_secs(300),
            fall: 3,
            rise: 2,
            timeout: Duration::from_secs(2),
            deep_timeout: Duration::from_secs(10),
            deep_interval: Duration::from_secs(600),
            connection: Connection::Keep,
        }
    }
}

impl Default for NixImport {
    fn default() -> Self {
        Self {
            import: true,
            conf: "/etc/nix/nix.conf".into(),
            exclude: vec![
                "https://cache.nixos.org".into(),
                "https://*.cachix.org".into(),
            ],
        }
    }
}
