//! nix.conf.
//!
//! Source: `parseConfigFiles`, `AbstractConfig::applyConfig`, `Config::set` and the `parse` of each
//! kind of setting in src/libutil/configuration.cc; the settings, their aliases and defaults in
//! src/libstore/include/nix/store/{globals,worker-settings,filetransfer}.hh.

mod include;
mod settings;
mod typed;

use std::{
    env, io,
    path::{Path, PathBuf},
};

use rustix::process::geteuid;

use super::{NixVersion, Problem, Source, account::Accounts};
pub use settings::{MaxJobs, NixConf};

/// nix.conf, read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ConfFile {
    /// The effective settings. Where Nix would refuse the file for one line, the other lines still
    /// count here: what was watched until then does not vanish over a slip of the pen.
    pub(super) settings: NixConf,
    /// Every file that was read, or would have been if it existed.
    pub(super) files: Vec<PathBuf>,
    /// What Nix would refuse.
    pub(super) problems: Vec<Problem>,
    /// Whether nix.conf itself does not exist.
    pub(super) missing: bool,
}

/// The further files that root's Nix reads behind nix.conf, the last one the strongest
/// (`getUserConfigFiles`, src/libstore/globals.cc): those of the system, and root's own where these can be
/// read.
pub(super) fn user_files(has_roots_home: bool) -> Vec<PathBuf> {
    let folder = |name| env::var_os(name).filter(|folder| !folder.is_empty());
    let system = folder("XDG_CONFIG_DIRS").unwrap_or_else(|| "/etc/xdg".into());
    let mut folders: Vec<PathBuf> = env::split_paths(&system).collect();
    folders.reverse();
    if geteuid().is_root() {
        let home = || Some(PathBuf::from(folder("HOME")?).join(".config"));
        folders.extend(folder("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home));
    } else if has_roots_home {
        folders.push(Accounts::current().nix.home.join(".config"));
    }
    let files = folders.into_iter().filter(|folder| folder.is_absolute());
    files.map(|folder| folder.join("nix/nix.conf")).collect()
}

/// Reads nix.conf at `path`, what it includes, and then `users`, through `read`, as the Nix of `version`
/// does.
pub(super) fn read(
    path: &Path,
    users: &[PathBuf],
    version: NixVersion,
    read: impl FnMut(&Path) -> io::Result<String>,
) -> ConfFile {
    let parsed = include::expand(path, users, read);
    let mut file = ConfFile {
        settings: NixConf::of(path),
        files: parsed.files,
        problems: parsed.problems,
        missing: parsed.missing,
    };
    for line in parsed.assignments {
        if let Err(text) = file.settings.set(&line, version)
            && file.problems.len() < include::MAX_PROBLEMS
        {
            file.problems
                .push(problem(&line.file, Some(line.line), text));
        }
    }
    file
}

/// One `name = value` of nix.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The setting, an alias or with `extra-` before it.
    pub name: String,
    /// The words of the value, one space between two.
    pub value: String,
    /// The file it stands in.
    pub file: PathBuf,
    /// Its line, from 1.
    pub line: u32,
}

fn problem(file: &Path, line: Option<u32>, text: impl Into<String>) -> Problem {
    Problem {
        source: Source::Conf,
        file: file.to_owned(),
        line,
        field: None,
        text: text.into(),
    }
}

#[cfg(test)]
mod tests;
