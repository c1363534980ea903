//! What is watched: a cache or a builder as Nix would use it.
//!
//! [`crate::config`] and [`crate::nix`] make these, [`crate::probe`] checks them,
//! [`crate::health`] judges them by their [`TargetId`] alone.

mod address;

use std::{collections::BTreeMap, fmt, path::PathBuf};

use offload_client::{Kind, Printable};
use russh::keys::PublicKey;

use crate::nix::{
    Machine, NixConf, current_load, environment::Proxy, keys::parse_nix_public_key, netrc::Login,
    version::NixVersion,
};

pub use crate::nix::uri::Protocol;
pub use address::{Address, AddressError};

/// The key of the public cache, which signs most of what a desktop serves. What it signed says
/// little of the desktop's own key, with which that signs what it has built.
pub const PUBLIC_KEY: &str = "cache.nixos.org-1";

/// Names a target: unique among those of its kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: Printable,
}

impl TargetId {
    /// A cache's.
    pub fn cache(name: &str) -> Self {
        Self {
            kind: Kind::Cache,
            name: name.into(),
        }
    }

    /// A builder's.
    pub fn builder(name: &str) -> Self {
        Self {
            kind: Kind::Builder,
            name: name.into(),
        }
    }
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// A target and all that a check of it needs. Two equal ones need no new check.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetSpec {
    /// Its name and kind.
    pub id: TargetId,
    /// What Nix is configured with, as a person would recognise it.
    pub uri: Printable,
    /// Where to look for it, best first: `host`, `host:port`, `[v6%zone]:port`. Never empty; the
    /// URI's own host comes first unless the configuration says otherwise. The URI's port holds
    /// where an address names none.
    pub addresses: Vec<Address>,
    /// What only its kind needs.
    pub kind: SpecKind,
}

impl TargetSpec {
    /// The same known by this key alone, where that is one of several: Nix may trust others, and each of them is some
    /// other cache's.
    #[must_use]
    pub fn known_by(&self, key: &Printable) -> Self {
        let mut known = self.clone();
        if let SpecKind::Cache(cache) = &mut known.kind
            && cache.public_keys.iter().any(|known| *key == *known)
        {
            cache.public_keys = vec![key.to_string()];
        }
        known
    }
}

/// What only one kind of target needs.
#[derive(Clone, Debug, PartialEq)]
pub enum SpecKind {
    /// Of a cache.
    Cache(CacheSpec),
    /// Of a builder.
    Builder(BuilderSpec),
}

/// A binary cache over HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheSpec {
    /// Whether the URL is `https`.
    pub tls: bool,
    /// The `Host:` header and the name that the certificate must carry.
    pub host: String,
    /// The URL's port, 80 or 443 where it has none.
    pub port: u16,
    /// The URL's path without a trailing slash: `""` or `/nix`.
    pub path: String,
    /// The store directory of this machine's Nix, which the cache must serve.
    pub store_dir: String,
    /// The version of this machine's Nix, which says what it takes for a narinfo.
    pub nix_version: NixVersion,
    /// Nix's `ssl-cert-file`, where it is set or Nix is told of one by its environment.
    pub ssl_cert_file: Option<PathBuf>,
    /// Who asks it for Nix, where Nix does not itself.
    pub proxy: Option<Proxy>,
    /// What Nix logs in to it with.
    pub login: Login,
    /// Where that stands: Nix's `netrc-file`.
    pub netrc_file: PathBuf,
    /// The keys Nix trusts for it: `name:base64`.
    pub public_keys: Vec<String>,
    /// Whether Nix has secret keys too, whose public halves it trusts: which they are, only root
    /// can read.
    pub has_own_keys: bool,
    /// Whether Nix takes from it only what one of them signed.
    pub require_sigs: bool,
    /// The same where nix-daemon has read its nix.conf, in which something else stands by now.
    pub unread: Option<Box<CacheSpec>>,
    /// Its URL as it stands in Nix's own list, where it does and nobody could take it for a secret.
    pub substituter: Option<String>,
    /// How long Nix remembers what it lacks, in seconds.
    pub negative_ttl: u64,
    /// How long it remembers what it has.
    pub positive_ttl: u64,
    /// A store path that it is known to have.
    pub sample: Option<String>,
    /// The builder that is the same machine.
    pub host_builder: Option<String>,
}

/// A builder over SSH.
#[derive(Clone, Debug, PartialEq)]
pub struct BuilderSpec {
    /// Which of Nix's two protocols.
    pub protocol: Protocol,
    /// The URI's host as written: what ssh_config is asked about.
    pub host: String,
    /// The URI's user.
    pub user: Option<String>,
    /// The URI's port.
    pub port: Option<u16>,
    /// The URI's parameters.
    pub params: BTreeMap<String, String>,
    /// What Nix calls ssh with (`NIX_SSHOPTS`).
    pub ssh_options: String,
    /// Whether an ssh-agent may have keys for Nix's ssh.
    pub has_agent: bool,
    /// The private key of the machines entry or of the configuration file.
    pub ssh_key: Option<PathBuf>,
    /// What its host key is held against.
    pub host_keys: HostKeyRule,
    /// The systems it builds for.
    pub systems: Vec<Printable>,
    /// The features it supports, the mandatory ones included.
    pub features: Vec<Printable>,
    /// The features a build must ask for.
    pub mandatory_features: Vec<String>,
    /// How many builds at once.
    pub max_jobs: u32,
    /// How fast beside others.
    pub speed_factor: f64,
    /// What Nix's build hook has of it: one for each line of the machines file.
    pub dispatch: Vec<Dispatch>,
}

impl CacheSpec {
    /// Whether a key is trusted for it that is not the public cache's: without one nothing can prove it.
    pub fn has_identity(&self) -> bool {
        self.public_keys.iter().any(|key| is_own_key(key))
    }
}

/// Whether `key` is some cache's own, and not the public cache's.
pub fn is_own_key(key: &str) -> bool {
    parse_nix_public_key(key).is_ok_and(|key| key.name != PUBLIC_KEY)
}

impl BuilderSpec {
    /// For tests: a builder at `host` of which nothing else is said.
    #[cfg(test)]
    pub(crate) fn bare(host: &str) -> Self {
        Self {
            protocol: Protocol::SshNg,
            host: host.into(),
            user: None,
            port: None,
            params: BTreeMap::new(),
            ssh_options: String::new(),
            has_agent: false,
            ssh_key: None,
            host_keys: HostKeyRule::KnownHosts,
            systems: Vec::new(),
            features: Vec::new(),
            mandatory_features: Vec::new(),
            max_jobs: 1,
            speed_factor: 1.0,
            dispatch: Vec::new(),
        }
    }

    /// Its URI in Nix's list of builders; empty where Nix does not have it.
    pub fn store(&self) -> &str {
        let mut nixs = self.dispatch.iter().filter(|dispatch| dispatch.is_nixs);
        nixs.next().map_or("", |dispatch| &dispatch.store_uri)
    }
}

/// What Nix's build hook has of a builder.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// The first field of the machines line, with `ssh://` where Nix would put it: Nix names its
    /// slots after it.
    pub store_uri: String,
    /// How many slots there are.
    pub max_jobs: u32,
    /// The beginnings of the paths of their files: what [`crate::nix::current_load::slots`] gives.
    pub slots: Vec<PathBuf>,
    /// Whether Nix has that line; otherwise it is what Nix would be told.
    pub is_nixs: bool,
    /// The whole line, as `--builders` takes it.
    pub line: String,
    /// A system that it builds for: this machine's own where it is among them.
    pub system: String,
    /// Whether that is this machine's own.
    pub is_native: bool,
    /// All systems that it builds for.
    pub systems: Vec<String>,
    /// The features a build may ask for there, the mandatory ones included.
    pub features: Vec<String>,
    /// The features a build must ask for to go there.
    pub mandatory_features: Vec<String>,
}

impl Dispatch {
    /// Of a line that is Nix's (`is_nixs`), or that Nix would be told.
    pub fn new(machine: &Machine, conf: &NixConf, is_nixs: bool) -> Self {
        let is_native = machine.systems.contains(&conf.system);
        let system = match machine.systems.first() {
            Some(first) if !is_native => first,
            Some(_) | None => &conf.system,
        };
        let features = machine.supported_features.iter();
        let features = features.chain(&machine.mandatory_features);
        Self {
            system: system.clone(),
            is_native,
            systems: machine.systems.clone(),
            features: features.cloned().collect(),
            mandatory_features: machine.mandatory_features.clone(),
            slots: current_load::slots(conf.state_dir(), &machine.uri),
            store_uri: machine.uri.clone(),
            max_jobs: machine.max_jobs,
            is_nixs,
            line: machine.to_string(),
        }
    }
}

/// What a builder's host key is held against.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum HostKeyRule {
    /// What known_hosts says, the user's and the machine's.
    #[default]
    KnownHosts,
    /// The known_hosts text that Nix makes of an entry's public host key (`SSHMaster`,
    /// src/libstore/ssh.cc). It takes the place of the user's files; the machine's count beside it.
    Written(String),
    /// These keys and no others: offloadd's own configuration, where Nix names none.
    Pinned(Vec<PublicKey>),
}
