//! What is wrong with a configuration: all of it, each with its place.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
};

use offload_client::Printable;

use super::raw::KeyPath;

/// Where a value came from, or where a problem is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Location {
    /// Built in.
    #[default]
    Default,
    /// A file, and the line where it is known (counted from 1).
    File(PathBuf, Option<usize>),
    /// An environment variable.
    Env(String),
    /// A flag: `--cache`.
    Flag(&'static str),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => {
                write!(f, "{}", printable(&path.to_string_lossy()))?;
                line.map_or(Ok(()), |line| write!(f, ":{line}"))
            }
            Self::Env(variable) => write!(f, "{}", printable(variable)),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// Where.
    pub place: Location,
    /// Which key, as a person would name it (`poll.interval`, `cache "desktop": url`); empty where
    /// it is the file as a whole.
    pub key: String,
    /// What is wrong and what to do about it. Never a secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            place,
            key,
            message,
        } = self;
        match key.as_str() {
            "" => write!(f, "{place}: {message}"),
            key => write!(f, "{place}: {key}: {message}"),
        }
    }
}

/// Everything that is wrong; never empty. Shown as one line for each problem, ready for the
/// journal, and a last one that says how to check again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    problems: Vec<Problem>,
    /// How many more there are.
    more: usize,
    /// The `--config FILE` that was given.
    file: Option<PathBuf>,
}

impl ConfigErrors {
    /// Those of the file first, then of its drop-ins, of the environment, of the flags; at most 100.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The exit status by sysexits: 64 (usage) where only flags are wrong, 78 (config) otherwise.
    pub fn exit_code(&self) -> u8 {
        let is_flag = |problem: &Problem| matches!(problem.place, Location::Flag(_));
        if self.problems.iter().all(is_flag) {
            crate::exit::USAGE
        } else {
            crate::exit::CONFIG
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        if self.more > 0 {
            writeln!(f, "… and {} more", self.more)?;
        }
        let (count, it) = match self.problems.len() + self.more {
            1 => ("1 problem".to_owned(), "it is"),
            more => (format!("{more} problems"), "they are"),
        };
        write!(
            f,
            "{count} in the configuration; when {it} mended, check with: offloadd"
        )?;
        if let Some(file) = &self.file {
            write!(f, " --config {}", printable(&file.to_string_lossy()))?;
        }
        f.write_str(" --check-config")
    }
}

/// The most that are kept: a file of another kind, read by mistake, must not flood the journal.
const MAX_PROBLEMS: usize = 100;

/// Collects problems, and remembers which keys can't be judged any more.
#[derive(Debug, Default)]
pub(super) struct Problems {
    list: Vec<Problem>,
    more: usize,
    broken: BTreeSet<KeyPath>,
    blind: bool,
}

impl Problems {
    /// `path` is wrong: rules between keys that need it are not judged, so that one mistake is not
    /// reported twice.
    pub(super) fn key(&mut self, place: Location, path: &KeyPath, message: impl Into<String>) {
        self.broken.insert(path.clone());
        self.push(place, path.to_string(), message.into());
    }

    /// A whole source can't be read, so nothing is known of the keys it may have held.
    pub(super) fn source(&mut self, place: Location, message: impl Into<String>) {
        self.blind = true;
        self.push(place, String::new(), message.into());
    }

    /// Something in `part` can't be read, so nothing is known of what it may have held. `label`
    /// names it.
    pub(super) fn lost(&mut self, place: Location, part: &KeyPath, label: String, message: String) {
        self.broken.insert(part.clone());
        self.push(place, label, message);
    }

    /// Whether all of `paths` are as the user meant them.
    pub(super) fn sound(&self, paths: &[&KeyPath]) -> bool {
        !self.blind
            && paths
                .iter()
                .all(|path| !self.broken.iter().any(|broken| path.is_in(broken)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them: those of the file `main`, of its drop-ins, of the environment, of the flags,
    /// line by line. `asked` is whether `--config` named that file.
    pub(super) fn into_errors(mut self, main: &Path, asked: bool) -> ConfigErrors {
        self.list
            .sort_by_cached_key(|problem| match &problem.place {
                Location::File(path, line) => (0, path != main, path.clone(), *line),
                Location::Env(variable) => (1, false, variable.into(), None),
                Location::Flag(_) => (2, false, PathBuf::new(), None),
                Location::Default => (3, false, PathBuf::new(), None),
            });
        ConfigErrors {
            problems: self.list,
            more: self.more,
            file: asked.then(|| main.to_owned()),
        }
    }

    fn push(&mut self, place: Location, key: String, message: String) {
        let problem = Problem {
            place,
            key,
            message,
        };
        if self.list.len() >= MAX_PROBLEMS {
            self.more += 1;
        } else if !self.list.contains(&problem) {
            self.list.push(problem);
        }
    }
}

/// The longest text of the user's that a message repeats, in characters.
const MAX_QUOTED: usize = 80;

/// Repeats the user's text in a message: in quotes, on one line, not too long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// A path, key or variable for a message: as it is, or quoted where it would break the line.
pub(super) fn printable(text: &str) -> String {
    if text.is_empty() || !Printable::passes(text) {
        quoted(text)
    } else {
        text.to_owned()
    }
}
