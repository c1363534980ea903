//! What root's own files say: which files root's Nix and ssh read, and which builders Nix has.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{environment::Environment, forget, open::Roots, ssh};
use crate::{
    build,
    clock::Stopwatch,
    helper::wire::Answer,
    nix::{
        self, Imported, Machine, NixVersion, disk_cache,
        ssh_config::{self, SshOptions},
        uri::{self, StoreUri},
    },
    target::Dispatch,
};

/// So many builders ssh is asked about when all files are told, and no more after so long.
const MAX_ASKED: usize = 16;
const PATIENCE: Duration = Duration::from_secs(1);

/// Where root's Nix is configured.
pub(super) struct Nix {
    conf: PathBuf,
    programs: build::Nix,
    /// The folder of its disk cache.
    disk_cache: PathBuf,
    /// Whether that was there from the start.
    had_disk_cache: bool,
    environment: Environment,
}

impl Nix {
    /// As Nix itself finds it (`getNixConfDir`, src/libstore/globals.cc).
    pub(super) fn from_environment() -> Self {
        let folder = std::env::var_os("NIX_CONF_DIR").filter(|folder| !folder.is_empty());
        let named = folder.map(|folder| Path::new(&folder).join("nix.conf"));
        Self::at(named.unwrap_or_else(|| nix::DEFAULT_CONF.into()))
    }

    pub(super) fn at(conf: PathBuf) -> Self {
        let programs = build::Nix::from_environment();
        let disk_cache = disk_cache::directory();
        Self {
            conf,
            programs,
            had_disk_cache: disk_cache.exists(),
            disk_cache,
            environment: Environment::default(),
        }
    }

    /// The same with another disk cache.
    #[cfg(test)]
    pub(super) fn with_disk_cache(mut self, folder: &Path) -> Self {
        self.disk_cache = folder.to_owned();
        self
    }

    /// The same in another environment.
    #[cfg(test)]
    pub(super) fn with_environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// The same with the programs of `folder`.
    #[cfg(test)]
    pub(super) fn with_programs(mut self, folder: &Path) -> Self {
        self.programs = self.programs.preferring(folder.to_owned());
        self
    }

    /// Of its ssh, as it is now: each question asks anew.
    pub(super) fn environment(&self) -> Environment {
        self.environment.clone()
    }

    /// Nix's own.
    pub(super) fn programs(&self) -> &build::Nix {
        &self.programs
    }

    /// Whether root's Nix reads the file at `path`, or root's ssh for the builder with the URI `store`.
    pub(super) fn reads(&self, path: &Path, store: &str) -> bool {
        let imported = self.read();
        let of_nix = imported.files.iter().map(PathBuf::as_path);
        if of_nix
            .chain(imported.conf.ssl_cert_file.as_deref())
            .any(|file| file == path)
            || disk_cache::files().any(|file| file == path)
        {
            return true;
        }
        // What it reads without being told: it need not be asked then, which may take its time.
        if of_ssh(&SshOptions::defaults("", None, None, None)).any(|file| file == path) {
            return true;
        }
        let environment = self.environment();
        let options = find(&imported, store).map(|machine| ssh::options(machine, &environment));
        let options = options.and_then(Result::ok);
        options.is_some_and(|options| of_ssh(&options).any(|file| file == path))
    }

    /// The files that root's Nix and ssh read, existing or not: one whose last part begins with `*` stands for all whose
    /// names end so. ssh is asked for those of the first builders.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let imported = self.read();
        let (since, environment) = (Stopwatch::start(), self.environment());
        let asked = imported.machines.iter().take(MAX_ASKED);
        let asked = asked.take_while(|_| since.elapsed() < PATIENCE);
        let every = std::iter::once(SshOptions::defaults("", None, None, None))
            .chain(asked.filter_map(|machine| ssh::options(machine, &environment).ok()));
        let mut files = ssh_config::files(&Roots);
        files.extend(every.flat_map(|options| options.files()));
        let keys = imported.machines.iter();
        let keys = keys.filter_map(|machine| machine.ssh_key.as_deref());
        files.extend(keys.flat_map(ssh_config::beside));
        files.extend(
            imported
                .conf
                .ssl_cert_file
                .into_iter()
                .chain(imported.files),
        );
        files
    }

    /// The builder with the URI `store` in Nix's list.
    pub(super) fn builder(&self, store: &str) -> Option<Machine> {
        find(&self.read(), store).cloned()
    }

    /// What Nix's list of builders has of the one with the URI `store`: as many lines as name it.
    pub(super) fn lines(&self, store: &str) -> Vec<Dispatch> {
        let imported = self.read();
        let lines = imported.machines.iter();
        lines
            .filter(|machine| machine.uri == store)
            .map(|machine| Dispatch::new(machine, &imported.conf, true))
            .collect()
    }

    /// Forgets what it remembers as missing from the substituter with this URL, where it is one of Nix's.
    pub(super) fn forget(&self, cache: &str) -> Answer {
        let wanted = match uri::parse(cache) {
            Ok(StoreUri::Cache(uri)) => uri,
            _ => return Answer::Refused("not the URL of a cache".into()),
        };
        let is_it = |url: &str| match uri::parse(url) {
            Ok(StoreUri::Cache(uri)) => uri.is_same_place(&wanted),
            _ => false,
        };
        if self.read().conf.substituters.iter().any(|own| is_it(own)) {
            forget::forget(&self.disk_cache, is_it)
        } else {
            Answer::Refused("it is no substituter of Nix's".into())
        }
    }

    /// Whether another process could do what this one can't: the disk cache came after this one was started, and systemd
    /// opens for it what is there then (`ReadWritePaths=`).
    pub(super) fn is_outdated(&self) -> bool {
        !self.had_disk_cache && forget::is_closed(&self.disk_cache)
    }

    /// Only what root alone has put there counts.
    fn read(&self) -> Imported {
        nix::read(&self.conf, NixVersion::default(), &Roots)
    }
}

fn find<'a>(imported: &'a Imported, store: &str) -> Option<&'a Machine> {
    imported
        .machines
        .iter()
        .find(|machine| machine.uri == store)
}

/// The files that ssh reads beside its own configuration and private keys.
fn of_ssh(options: &SshOptions) -> impl Iterator<Item = PathBuf> {
    // A file that is named as a key is none of them, whatever it holds.
    let keys = options.identity_files.clone();
    options
        .files()
        .into_iter()
        .filter(move |file| !keys.contains(file))
}
