//! Nix's own formats, each parser beside its grammar's source.
//!
//! Sources are named by their path in NixOS/nix, as of version 2.36.
//!
//! - [`conf`]: nix.conf; [`machines`]: the list of builders; [`uri`]: store URLs.
//! - [`ssh_config`] and [`known_hosts`]: what OpenSSH, which Nix runs, would make of a builder.
//! - [`keys`]: host keys and signing keys as people write them.
//! - [`remote`]: what a builder's own Nix is configured with; [`current_load`]: its slots in use.
//! - [`build_hook`]: which builder a build goes to.
//! - [`worker`] and [`serve`]: what is spoken behind `ssh-ng://` and `ssh://`, on [`wire`].
//! - [`narinfo`]: what a cache says of a store path; [`signature`]: who vouches for it; [`netrc`]: logins of caches.
//! - [`version`]: this machine's Nix, and what it reads differently from others; [`environment`]: what it is told
//!   beside its files.
//! - [`loaded`]: what the running nix-daemon has read of all that.
//! - [`disk_cache`]: what Nix remembers of a cache.
//! - [`watch`]: says when one of the files changed.
//!
//! [`read`] puts the first two together.

mod account;
pub mod build_hook;
pub mod conf;
pub mod current_load;
mod daemon;
pub mod disk_cache;
pub mod environment;
#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub mod keys;
pub mod known_hosts;
pub mod loaded;
pub mod machines;
pub mod narinfo;
pub mod netrc;
pub mod remote;
pub mod serve;
pub mod signature;
pub mod ssh_config;
pub mod system;
mod text;
pub mod uri;
pub mod version;
pub mod watch;
pub mod wire;
pub mod witness;
pub mod worker;

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::files::Files;

pub use self::{
    conf::{MaxJobs, NixConf},
    environment::Environment,
    machines::{LeftOut, Machine},
    netrc::Netrc,
    version::NixVersion,
};

/// Where nix.conf is unless the configuration says otherwise.
pub const DEFAULT_CONF: &str = "/etc/nix/nix.conf";

/// What this machine's Nix is configured with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imported {
    /// The effective settings.
    pub conf: NixConf,
    /// The builders, in Nix's order; none where one line of them is bad, as for Nix.
    pub machines: Vec<Machine>,
    /// Builders that Nix has beside those: too many to be watched.
    pub left_out: Option<LeftOut>,
    /// nix.conf and what it includes: what nix-daemon reads once, at its start.
    pub conf_files: Vec<PathBuf>,
    /// Whether nix.conf was read: what it does not name, this machine's Nix then does not have.
    pub has_conf: bool,
    /// The URIs in the machines file beside nix.conf where `builders` is empty, so that Nix reads
    /// none of them.
    pub unused_machines: Vec<String>,
    /// The logins of caches.
    pub netrc: Netrc,
    /// Every file that was read, or would have been if it existed.
    pub files: Vec<PathBuf>,
    /// What Nix would refuse, or what could not be read.
    pub problems: Vec<Problem>,
    /// The version that all this was read as.
    pub version: NixVersion,
    /// What it is told beside.
    pub environment: Environment,
}

/// Which of Nix's files a problem is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// nix.conf or a file it includes.
    Conf,
    /// The setting `builders` or a file it names.
    Machines,
    /// A file of either that this account may not read, and root's Nix may: nothing is known to be wrong
    /// with it.
    NotVisible,
}

/// What Nix would refuse, or what could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which of Nix's files.
    pub source: Source,
    /// Where.
    pub file: PathBuf,
    /// The line, from 1; `None` where it is about the whole file.
    pub line: Option<u32>,
    /// The field of a machines line, from 1, as the manual counts them.
    pub field: Option<u32>,
    /// What is wrong.
    pub text: String,
}

/// Reads nix.conf, at `conf`, and the list of builders as the Nix of `version` does, through `files`. Never fails: what
/// can't be read is a problem.
///
/// Of the environment only `NIX_STORE_DIR`, `NIX_STORE` and `NIX_STATE_DIR` are looked at. nix-daemon would also
/// obey `NIX_CONF_DIR` (here: `conf`), `NIX_CONFIG`, `NIX_USER_CONF_FILES` and
/// `NIX_REMOTE_SYSTEMS`, but of *its* environment, which another process can't see.
pub fn read(conf: &Path, version: NixVersion, files: &dyn Files) -> Imported {
    read_with(
        conf,
        &conf::user_files(files.has_roots_home()),
        version,
        files,
    )
}

fn read_with(path: &Path, users: &[PathBuf], version: NixVersion, files: &dyn Files) -> Imported {
    let read = |path: &Path| text::read(files, path);
    let mut conf = conf::read(path, users, version, read);
    // Nobody wrote the default path down, and a machine without it is a machine whose Nix has only
    // defaults. Any other path was meant to be there.
    if conf.missing && path != Path::new(DEFAULT_CONF) {
        conf.problems.push(Problem {
            source: Source::Conf,
            file: path.to_owned(),
            line: None,
            field: None,
            text: "there is no such file".to_owned(),
        });
    }
    let environment = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    if conf.settings.store_dir.is_none() {
        conf.settings.store_dir = environment("NIX_STORE_DIR").or_else(|| environment("NIX_STORE"));
    }
    if conf.settings.state_dir.is_none() {
        conf.settings.state_dir = environment("NIX_STATE_DIR").map(PathBuf::from);
    }
    let list = machines::read(&conf.settings, version, read);
    let netrc_file = conf.settings.netrc_file.clone();
    let mut imported = Imported {
        unused_machines: Vec::new(),
        has_conf: !conf.missing,
        netrc: Netrc::read(files, &netrc_file),
        conf: conf.settings,
        machines: list.machines,
        left_out: list.left_out,
        conf_files: conf.files.clone(),
        files: conf.files,
        problems: conf.problems,
        version,
        environment: Environment::default(),
    };
    imported.problems.extend(list.problems);
    for file in list.files.into_iter().chain([netrc_file]) {
        if !imported.files.contains(&file) {
            imported.files.push(file);
        }
    }
    if imported.conf.builders.is_empty() {
        imported.read_unused(path, files);
    }
    imported
}

impl Imported {
    /// What a nix-daemon goes by that has read these files as they were `before`, and not as they are written now.
    /// `None` where it has read others too. `conf` is where nix.conf is.
    ///
    /// What each client tells it, of its own nix.conf, is of now (`RemoteStore::setOptions`, src/libstore/remote-store.cc);
    /// so are the files that nix.conf names, and what is broken, which no client can read.
    pub fn as_read_before(
        &self,
        conf: &Path,
        before: &loaded::Before,
        files: &dyn Files,
    ) -> Option<Self> {
        let users = conf::user_files(files.has_roots_home());
        let mut is_known = true;
        let read = |path: &Path| match before.get(path) {
            Some(Some(text)) => Ok(text.to_string()),
            Some(None) => Err(io::ErrorKind::NotFound.into()),
            None => {
                is_known = false;
                Err(io::ErrorKind::NotFound.into())
            }
        };
        let settings = conf::read(conf, &users, self.version, read).settings;
        if !is_known {
            return None;
        }
        let conf = NixConf {
            substitute: self.conf.substitute,
            max_jobs: self.conf.max_jobs,
            fallback: self.conf.fallback,
            store_elsewhere: self.conf.store_elsewhere.clone(),
            store_dir: self.conf.store_dir.clone(),
            state_dir: self.conf.state_dir.clone(),
            ..settings
        };
        let list = machines::read(&conf, self.version, |path| text::read(files, path));
        Some(Self {
            netrc: Netrc::read(files, &conf.netrc_file),
            machines: list.machines,
            left_out: list.left_out,
            conf,
            ..self.clone()
        })
    }

    /// Whether all of nix.conf was read: what it does not say then, it does not say.
    pub fn has_whole_conf(&self) -> bool {
        let mut unread = self.unread();
        self.has_conf && !unread.any(|file| self.conf_files.contains(file))
    }

    /// Whether the list of builders was read as well, all of it.
    pub fn has_all_builders(&self) -> bool {
        self.has_conf && self.left_out.is_none() && self.unread().next().is_none()
    }

    /// The files that this account may not read.
    fn unread(&self) -> impl Iterator<Item = &PathBuf> {
        let problems = self.problems.iter();
        let unread = problems.filter(|problem| problem.source == Source::NotVisible);
        unread.map(|problem| &problem.file)
    }

    /// What Nix would use if `builders` were what it is by default. Its faults are not told: Nix does
    /// not meet them.
    fn read_unused(&mut self, conf: &Path, files: &dyn Files) {
        let default = NixConf {
            system: self.conf.system.clone(),
            ..NixConf::of(conf)
        };
        let unused = machines::read(&default, self.version, |path| text::read(files, path));
        let uris = unused.machines.iter().map(|machine| machine.uri.as_str());
        self.unused_machines = uris.map(uri::redacted).collect();
        for file in unused.files {
            if !self.files.contains(&file) {
                self.files.push(file);
            }
        }
    }
}

#[cfg(test)]
mod tests;
