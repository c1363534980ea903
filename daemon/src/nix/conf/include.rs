//! The lines of nix.conf, its includes expanded in place.

use std::{
    io::{self, ErrorKind},
    path::{Component, Path, PathBuf},
};

use super::{Assignment, problem};
use crate::nix::{Problem, Source, text};

/// How deep includes nest. Nix itself ends with its stack, some thousands deep.
const MAX_DEPTH: usize = 32;
/// How many files all the includes together name.
const MAX_FILES: usize = 256;
/// How many `name = value` count.
const MAX_ASSIGNMENTS: usize = 65_536;
/// How many problems are told.
pub(super) const MAX_PROBLEMS: usize = 32;
/// How much of a bad line's first word is told.
const MAX_WORD: usize = 40;

/// What the files say, in order.
#[derive(Default)]
pub(super) struct Expanded {
    pub(super) assignments: Vec<Assignment>,
    pub(super) files: Vec<PathBuf>,
    pub(super) problems: Vec<Problem>,
    pub(super) missing: bool,
}

/// Reads `path`, and then `users`, of which any may be missing, and expands their includes.
pub(super) fn expand(
    path: &Path,
    users: &[PathBuf],
    read: impl FnMut(&Path) -> io::Result<String>,
) -> Expanded {
    let mut expansion = Expansion {
        read,
        stack: Vec::new(),
        opened: 0,
        room: text::Room::new(),
        result: Expanded::default(),
    };
    expansion.top(path);
    for user in users {
        if let Ok(contents) = expansion.open(user) {
            expansion.file(user, &contents);
        }
    }
    expansion.result
}

struct Expansion<R> {
    read: R,
    /// The files being read, the including ones first.
    stack: Vec<PathBuf>,
    /// How many files were read: one that is included twice is read twice, as by Nix.
    opened: usize,
    room: text::Room,
    result: Expanded,
}

impl<R: FnMut(&Path) -> io::Result<String>> Expansion<R> {
    /// `loadConfFile` (src/libstore/globals.cc) ignores a nix.conf that it can't read. That it is not
    /// there is so common that it is told apart; anything else would leave a person in the dark.
    fn top(&mut self, path: &Path) {
        match self.open(path) {
            Ok(contents) => self.file(path, &contents),
            Err(error) if error.kind() == ErrorKind::NotFound => self.result.missing = true,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                self.not_visible(path, &error);
            }
            Err(error) => self.problem(path, None, format!("can't be read: {error}")),
        }
    }

    fn open(&mut self, path: &Path) -> io::Result<String> {
        self.opened += 1;
        if !self.result.files.iter().any(|file| file == path) {
            self.result.files.push(path.to_owned());
        }
        self.room.read(|| (self.read)(path))
    }

    fn file(&mut self, path: &Path, contents: &str) {
        self.stack.push(path.to_owned());
        for (number, line) in text::lines(contents) {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = text::tokens(line).collect();
            match words.as_slice() {
                [] => {}
                ["include", included] => self.include(path, number, included, true),
                ["!include", included] => self.include(path, number, included, false),
                ["include" | "!include", ..] => self.syntax(path, number, line),
                [name, "=", value @ ..] => self.assign(path, number, name, &value.join(" ")),
                _ => self.syntax(path, number, line),
            }
        }
        self.stack.pop();
    }

    fn assign(&mut self, path: &Path, line: u32, name: &str, value: &str) {
        if self.result.assignments.len() < MAX_ASSIGNMENTS {
            self.result.assignments.push(Assignment {
                name: name.to_owned(),
                value: value.to_owned(),
                file: path.to_owned(),
                line,
            });
        } else {
            self.problem(path, Some(line), "too many settings".into());
        }
    }

    /// Nix asks whether the path exists, without following a last symlink: one that leads nowhere is
    /// ignored without a word, as is a folder.
    fn include(&mut self, path: &Path, line: u32, included: &str, required: bool) {
        let parent = path.parent().unwrap_or(Path::new("/"));
        let target = canonical(&parent.join(included));
        if self.stack.contains(&target) {
            let text = format!("{} includes itself", target.display());
            return self.problem(path, Some(line), text);
        }
        if self.stack.len() >= MAX_DEPTH || self.opened >= MAX_FILES {
            let text = format!("too many includes: {} left out", target.display());
            return self.problem(path, Some(line), text);
        }
        match self.open(&target) {
            Ok(contents) => self.file(&target, &contents),
            Err(error) if is_missing(&error) => {
                let is_there = std::fs::symlink_metadata(&target).is_ok();
                if required && !is_there {
                    let text = format!("included file {} not found", target.display());
                    self.problem(path, Some(line), text);
                }
            }
            // Root's Nix reads it, and what it says is in force.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                self.not_visible(&target, &error);
            }
            Err(error) if error.kind() == ErrorKind::IsADirectory => {}
            // What is read here only up to a bound, and by Nix whole.
            Err(error) => {
                let text = format!("included file {}: {error}", target.display());
                self.problem(path, Some(line), text);
            }
        }
    }

    fn syntax(&mut self, path: &Path, line: u32, text: &str) {
        // What stands on a line that Nix can't read may be a secret: only its first word is told.
        let word = text::tokens(text).next().unwrap_or_default();
        let word: String = word.chars().take(MAX_WORD).collect();
        self.problem(
            path,
            Some(line),
            format!("syntax error after '{word}': expected 'name = value'"),
        );
    }

    fn not_visible(&mut self, path: &Path, error: &io::Error) {
        if self.result.problems.len() < MAX_PROBLEMS {
            self.result.problems.push(Problem {
                source: Source::NotVisible,
                ..problem(path, None, error.to_string())
            });
        }
    }

    fn problem(&mut self, path: &Path, line: Option<u32>, text: String) {
        if self.result.problems.len() < MAX_PROBLEMS {
            self.result.problems.push(problem(path, line, text));
        }
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename
    )
}

/// Removes `.` and `..` by the letters, as `canonPath` does (src/libutil/file-system.cc).
fn canonical(path: &Path) -> PathBuf {
    let mut canonical = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => canonical.push(name),
            Component::ParentDir => {
                canonical.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    canonical
}
