//! Goes through the files of a configuration tree, within bounds; it changes nothing.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::{
    Printable,
    language::{say, tr},
};

/// What is searched: Nix expressions, and what those read with `importTOML` and `importJSON`.
const ENDINGS: [&str; 3] = ["nix", "toml", "json"];
/// What is no configuration: version control's own files, and copies that direnv keeps.
const SKIPPED: [&str; 5] = [".git", ".hg", ".jj", ".svn", ".direnv"];
const DEEPEST: usize = 32;
const MAX_FILES: usize = 10_000;
/// Of all names, those of other files included.
const MAX_ENTRIES: usize = 200_000;
/// Bytes of one file.
const LARGEST: u64 = 1 << 20;
/// Bytes of all files.
const MAX_BYTES: u64 = 64 << 20;
const MAX_NOTES: usize = 8;

/// One file of a tree, and its text.
pub(super) struct File<'a> {
    /// Relative to the tree.
    pub(super) name: &'a Path,
    /// Where it is.
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

/// What could not be looked at, and why.
#[derive(Debug, Default)]
pub(super) struct Notes {
    notes: Vec<Printable>,
    /// Those that there was no room for.
    left_out: usize,
}

/// Shows `look` every file below `root`, until it says that it has seen enough. Links are not followed: what they name inside
/// the tree is found there, and what is outside is somebody else's; `root` itself may be one.
///
/// # Errors
/// `root` is no directory that can be read.
pub(super) fn files(
    root: &Path,
    look: &mut dyn FnMut(File<'_>, &mut Notes) -> Enough,
) -> io::Result<Vec<Printable>> {
    let real = root.canonicalize()?;
    let mut walk = Walk {
        look,
        root: &real,
        notes: Notes::default(),
        entries: 0,
        files: 0,
        bytes: 0,
        enough: Enough::No,
    };
    let first = walk.list(&real)?;
    let mut pending = vec![(first, 0)];
    // Each level's names are on the stack: the next one is the last of the last.
    while let Some((names, depth)) = pending.last_mut() {
        let (Some(path), depth) = (names.pop(), *depth) else {
            pending.pop();
            continue;
        };
        if let Some(below) = walk.visit(&path, depth) {
            pending.push((below, depth + 1));
        }
        if walk.is_full() {
            break;
        }
    }
    Ok(walk.done())
}

/// Whether more is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Enough {
    Yes,
    No,
}

impl Notes {
    /// `name` was left out, and why.
    pub(super) fn note(&mut self, name: &Path, why: &str) {
        if self.notes.len() < MAX_NOTES {
            let note = format!("{}: {why}", name.display());
            self.notes.push(note.into());
        } else {
            self.left_out += 1;
        }
    }
}

struct Walk<'a> {
    look: &'a mut dyn FnMut(File<'_>, &mut Notes) -> Enough,
    root: &'a Path,
    notes: Notes,
    entries: usize,
    files: usize,
    bytes: u64,
    enough: Enough,
}

impl Walk<'_> {
    /// What is in a directory, last name first.
    fn list(&mut self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(directory)? {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                break;
            }
            paths.push(entry?.path());
        }
        paths.sort_unstable_by(|a, b| b.cmp(a));
        Ok(paths)
    }

    /// Shows a file, or lists a directory.
    fn visit(&mut self, path: &Path, depth: usize) -> Option<Vec<PathBuf>> {
        let kind = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata.file_type(),
            Err(error) => {
                self.failed(path, &error);
                return None;
            }
        };
        if kind.is_dir() {
            let skipped = |name: &str| SKIPPED.contains(&name);
            if path
                .file_name()
                .and_then(|n| n.to_str())
                .is_some_and(skipped)
            {
                return None;
            }
            if depth >= DEEPEST {
                self.note(
                    path,
                    &say!("deeper than {count} directories", count = DEEPEST),
                );
                return None;
            }
            let listed = self.list(path);
            return listed.map_err(|error| self.failed(path, &error)).ok();
        }
        if kind.is_symlink() {
            self.link(path);
        } else if kind.is_file() && is_searched(path) {
            self.files += 1;
            match self.read(path) {
                Ok(Some(text)) => self.look(path, &text),
                Ok(None) => {}
                Err(error) => self.failed(path, &error),
            }
        }
        None
    }

    /// A link is not followed; where that hides a part of the configuration it is told.
    fn link(&mut self, path: &Path) {
        let Ok(real) = path.canonicalize() else {
            return;
        };
        // `result` and the like: what is built is no source.
        let elsewhere = !real.starts_with(self.root) && !real.starts_with("/nix/store");
        if elsewhere && (real.is_dir() || is_searched(&real)) {
            let leads = say!("leads out of the tree, to {place}", place = real.display());
            self.note(path, &leads);
        }
    }

    /// The text of a file; nothing where it is none.
    fn read(&mut self, path: &Path) -> io::Result<Option<String>> {
        // It may have become a link or a pipe since it was listed.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = fs::OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits() as i32)
            .open(path)?;
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut bytes)?;
        self.bytes += bytes.len() as u64;
        if bytes.len() as u64 > LARGEST {
            self.note(path, tr("larger than 1 MB"));
            return Ok(None);
        }
        // What is binary is no configuration.
        let text = String::from_utf8(bytes).ok();
        Ok(text.filter(|text| !text.contains('\0')))
    }

    fn look(&mut self, path: &Path, text: &str) {
        let file = File {
            name: path.strip_prefix(self.root).unwrap_or(path),
            path,
            text,
        };
        self.enough = (self.look)(file, &mut self.notes);
    }

    fn failed(&mut self, path: &Path, error: &io::Error) {
        let why = match error.kind() {
            io::ErrorKind::PermissionDenied => tr("permission denied: run it as root").to_owned(),
            _ => error.to_string(),
        };
        self.note(path, &why);
    }

    fn note(&mut self, path: &Path, why: &str) {
        let name = path.strip_prefix(self.root).unwrap_or(path);
        self.notes.note(name, why);
    }

    fn is_full(&self) -> bool {
        self.entries > MAX_ENTRIES
            || self.files >= MAX_FILES
            || self.bytes >= MAX_BYTES
            || self.enough == Enough::Yes
    }

    fn done(self) -> Vec<Printable> {
        let is_full = self.is_full();
        let Notes {
            mut notes,
            left_out,
        } = self.notes;
        if left_out > 0 {
            notes.push(say!("and {more} more", more = left_out).into());
        }
        if is_full {
            let note = say!(
                "the rest of it: {count} files are enough; name a smaller tree with --config-dir",
                count = self.files
            );
            notes.push(note.into());
        }
        notes
    }
}

fn is_searched(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.contains(&ending))
}
