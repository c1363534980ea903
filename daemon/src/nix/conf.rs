//! nix.conf.
//!
//! Source: `parseConfigFiles`, `AbstractConfig::applyConfig`, `Config::set` and the `parse` of each
//! kind of setting in src/libutil/configuration.cc; the settings, their aliases and defaults in
//! src/libstore/include/nix/store/{globals,worker-settings,filetransfer}.hh.

mod include;
mod settings;

use std::{io, path::Path, path::PathBuf};

use super::{Problem, Source};
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

/// Reads nix.conf at `path` and what it includes, through `read`.
pub(super) fn read(path: &Path, read: impl FnMut(&Path) -> io::Result<String>) -> ConfFile {
    let parsed = include::expand(path, read);
    let mut file = ConfFile {
        settings: NixConf::of(path),
        files: parsed.files,
        problems: parsed.problems,
        missing: parsed.missing,
    };
    for line in parsed.assignments {
        if let Err(text) = file.settings.set(&line)
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
struct Assignment {
    /// The setting, an alias or with `extra-` before it.
    name: String,
    /// The words of the value, one space between two.
    value: String,
    /// The file it stands in.
    file: PathBuf,
    /// Its line, from 1.
    line: u32,
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
