//! The settings that say what is watched and how.

use std::path::{Path, PathBuf};

use super::{
    Assignment,
    typed::{self, boolean, long, unsigned},
};
use crate::nix::{NixVersion, current_load, disk_cache, keys, text, uri};

/// Nix's default substituter.
const DEFAULT_SUBSTITUTER: &str = "https://cache.nixos.org/";
/// The key that Nix trusts by default.
const DEFAULT_KEY: &str = "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=";
/// Where Nix keeps its store unless it was built or told otherwise.
const DEFAULT_STORE_DIR: &str = "/nix/store";

/// The effective settings of nix.conf, defaults included.
#[derive(Clone, Debug, PartialEq)]
pub struct NixConf {
    /// `substituters` and `extra-substituters`, in order.
    pub substituters: Vec<String>,
    /// Where each of them is set: the file and the line; none of Nix's own default.
    pub substituters_at: Vec<Option<(PathBuf, u32)>>,
    /// Whether substituters are used at all.
    pub substitute: bool,
    /// `trusted-public-keys`: `name:base64`.
    pub trusted_public_keys: Vec<String>,
    /// Whether `secret-key-files` names any: Nix trusts their public halves as well
    /// (`getDefaultPublicKeys`, src/libstore/keys.cc).
    pub has_own_keys: bool,
    /// `require-sigs`: whether a path needs a signature by one of them.
    pub require_sigs: bool,
    /// `builders`: machines lines and `@file`s.
    pub builders: String,
    /// Where `builders` is set; nix.conf and no line where it is the default.
    pub builders_at: (PathBuf, Option<u32>),
    /// `store`, where it is another machine's: this one builds and fetches nothing itself.
    pub store_elsewhere: Option<Assignment>,
    /// `build-hook`, where it is another program than Nix's own: what it does with `builders` only it knows.
    pub foreign_hook: Option<Assignment>,
    /// The store directory where `store` or the environment sets it.
    pub store_dir: Option<String>,
    /// Where Nix keeps its state, where `store` or the environment says so.
    pub state_dir: Option<PathBuf>,
    /// `connect-timeout` in seconds, 0 for none; `None` where the default of Nix's version holds.
    pub connect_timeout: Option<u64>,
    /// `narinfo-cache-negative-ttl` in seconds: how long Nix does not ask a cache again for a path that
    /// it lacked.
    pub negative_ttl: u64,
    /// `narinfo-cache-positive-ttl` in seconds: how long it does not ask again for one that the cache had.
    pub positive_ttl: u64,
    /// `fallback`: whether a failed download is built instead.
    pub fallback: bool,
    /// `ssl-cert-file`.
    pub ssl_cert_file: Option<PathBuf>,
    /// `netrc-file`: the logins of caches.
    pub netrc_file: PathBuf,
    /// `system`: what this machine builds for.
    pub system: String,
    /// `extra-platforms`, where set: what it builds for besides. Nix's default depends on the
    /// processor ([`super::super::build_hook::Here`]).
    pub extra_platforms: Option<Vec<String>>,
    /// `extra-extra-platforms`: besides those, or besides Nix's own.
    pub extra_extra_platforms: Vec<String>,
    /// `system-features`, where set: what it has for builds that ask for it.
    pub system_features: Option<Vec<String>>,
    /// `extra-system-features`: besides those, or besides Nix's own.
    pub extra_system_features: Vec<String>,
    /// `max-jobs`: how many builds at once on this machine.
    pub max_jobs: MaxJobs,
}

/// `max-jobs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxJobs {
    /// As many as processors.
    Auto,
    /// So many; 0 means that everything is built elsewhere.
    Count(u32),
}

impl Default for NixConf {
    fn default() -> Self {
        Self {
            substituters: vec![DEFAULT_SUBSTITUTER.into()],
            substituters_at: vec![None],
            substitute: true,
            trusted_public_keys: vec![DEFAULT_KEY.into()],
            has_own_keys: false,
            require_sigs: true,
            builders: String::new(),
            builders_at: (PathBuf::new(), None),
            store_elsewhere: None,
            foreign_hook: None,
            store_dir: None,
            state_dir: None,
            connect_timeout: None,
            negative_ttl: disk_cache::DEFAULT_NEGATIVE_TTL,
            positive_ttl: disk_cache::DEFAULT_POSITIVE_TTL,
            fallback: false,
            ssl_cert_file: None,
            netrc_file: PathBuf::from("/etc/nix/netrc"),
            system: local_system(),
            extra_platforms: None,
            extra_extra_platforms: Vec::new(),
            system_features: None,
            extra_system_features: Vec::new(),
            max_jobs: MaxJobs::Count(1),
        }
    }
}

impl NixConf {
    /// Nix's defaults where nix.conf is at `path`: the machines file and netrc are beside it.
    pub(in crate::nix) fn of(path: &Path) -> Self {
        let machines = path.with_file_name("machines");
        Self {
            builders: format!("@{}", machines.display()),
            builders_at: (path.to_owned(), None),
            netrc_file: path.with_file_name("netrc"),
            ..Self::default()
        }
    }

    /// The store directory.
    pub fn store_dir(&self) -> &str {
        self.store_dir.as_deref().unwrap_or(DEFAULT_STORE_DIR)
    }

    /// The directory of Nix's state, its locks among it.
    pub fn state_dir(&self) -> &Path {
        let default = Path::new(current_load::DEFAULT_STATE_DIR);
        self.state_dir.as_deref().unwrap_or(default)
    }

    fn add_substituters(&mut self, line: &Assignment) {
        self.substituters.extend(list(&line.value));
        let place = || Some((line.file.clone(), line.line));
        self.substituters_at
            .resize_with(self.substituters.len(), place);
    }

    /// Applies one line. `extra-` appends where the setting is a list, and is otherwise a setting
    /// that does not exist; what does not exist is ignored, as by Nix (which warns).
    ///
    /// # Errors
    /// What Nix would say to a bad value; the setting keeps its value then.
    pub(super) fn set(&mut self, line: &Assignment, version: NixVersion) -> Result<(), String> {
        let value = line.value.as_str();
        match line.name.as_str() {
            "substituters" | "binary-caches" => {
                self.substituters.clear();
                self.substituters_at.clear();
                self.add_substituters(line);
            }
            "extra-substituters" | "extra-binary-caches" => self.add_substituters(line),
            "substitute" | "build-use-substitutes" => self.substitute = boolean(line)?,
            "trusted-public-keys" | "binary-cache-public-keys" => {
                self.trusted_public_keys = public_keys(value)?;
            }
            "extra-trusted-public-keys" | "extra-binary-cache-public-keys" => {
                self.trusted_public_keys.extend(public_keys(value)?);
            }
            // It never had another name (src/libstore/include/nix/store/globals.hh).
            "require-sigs" => self.require_sigs = boolean(line)?,
            "secret-key-files" => self.has_own_keys = !value.is_empty(),
            "extra-secret-key-files" => self.has_own_keys |= !value.is_empty(),
            "builders" => {
                self.builders = value.to_owned();
                self.builders_at = (line.file.clone(), Some(line.line));
            }
            "build-hook" if version.takes_build_hook() => {
                self.foreign_hook = (!is_own_hook(value)).then(|| line.clone());
            }
            "store" => {
                self.store_elsewhere = is_elsewhere(value).then(|| line.clone());
                self.store_dir = uri::store_dir(value);
                self.state_dir = state_dir(value);
            }
            "connect-timeout" => self.connect_timeout = Some(long(line, version)?),
            "narinfo-cache-negative-ttl" => self.negative_ttl = unsigned(line, version)?.into(),
            "narinfo-cache-positive-ttl" => self.positive_ttl = unsigned(line, version)?.into(),
            "fallback" | "build-fallback" => self.fallback = boolean(line)?,
            "ssl-cert-file" if version.has_ssl_cert_file() => {
                self.ssl_cert_file = Some(value)
                    .filter(|value| !value.is_empty())
                    .map(PathBuf::from);
            }
            "netrc-file" => self.netrc_file = PathBuf::from(value),
            "system" => self.system = value.to_owned(),
            "extra-platforms" => {
                self.extra_platforms = Some(list(value));
                self.extra_extra_platforms.clear();
            }
            "extra-extra-platforms" => self.extra_extra_platforms.extend(list(value)),
            "system-features" => {
                self.system_features = Some(list(value));
                self.extra_system_features.clear();
            }
            "extra-system-features" => self.extra_system_features.extend(list(value)),
            "max-jobs" | "build-max-jobs" => self.max_jobs = max_jobs(value)?,
            _ => {}
        }
        typed::check(line, version)
    }
}

/// Whether the setting `store` names a store that is not this machine's (`resolveStoreConfig`,
/// src/libstore/store-registration.cc): one that has a host, or that is nowhere.
fn is_elsewhere(store: &str) -> bool {
    let scheme = store.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| {
        !["unix", "local", "local-overlay", "daemon", "auto"].contains(&scheme)
    })
}

/// Whether it is what Nix itself has for `build-hook`, a program of its own or itself, of whatever version.
fn is_own_hook(hook: &str) -> bool {
    hook.ends_with("/nix/build-remote") || hook.ends_with("nix __build-remote")
}

/// What the setting `store` makes of it: `local?state=/srv/state` or `local?root=/mnt`
/// (`LocalFSStoreConfig`, src/libstore/include/nix/store/local-fs-store.hh).
fn state_dir(store: &str) -> Option<PathBuf> {
    let (_, query) = store.split_once('?')?;
    let param = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(key, _)| *key == name)?;
        let value = uri::percent_decode(value).ok()?;
        Some(value).filter(|value| !value.is_empty())
    };
    let of_root = |root: String| Path::new(&root).join("nix/var/nix");
    let state = param("state").map(PathBuf::from);
    state.or_else(|| param("root").map(of_root))
}

fn list(value: &str) -> Vec<String> {
    text::tokens(value).map(str::to_owned).collect()
}

/// One key that Nix can't read makes it refuse every download.
fn public_keys(value: &str) -> Result<Vec<String>, String> {
    let keys = list(value);
    for key in &keys {
        keys::parse_nix_public_key(key).map_err(|error| format!("public key: {error}"))?;
    }
    Ok(keys)
}

fn max_jobs(value: &str) -> Result<MaxJobs, String> {
    if value == "auto" {
        return Ok(MaxJobs::Auto);
    }
    value
        .parse()
        .map(MaxJobs::Count)
        .map_err(|_| "'max-jobs' should be 'auto' or an integer".into())
}

/// What Nix was built for; this program runs beside it on the same machine.
fn local_system() -> String {
    let arch = match std::env::consts::ARCH {
        "x86" => "i686",
        "arm" => "armv7l",
        "powerpc64" if cfg!(target_endian = "little") => "powerpc64le",
        arch => arch,
    };
    format!("{arch}-{}", std::env::consts::OS)
}
