//! Searches a configuration tree for addresses. It reads, within bounds, and changes nothing.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::{comments, correction::Correction, occurrences, patch};
use crate::{
    Printable,
    language::{say, tr},
    page::doctor::{Finding, TreeSearch},
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
const MAX_FINDINGS: usize = 1_000;
/// Bytes of the patch.
const MAX_PATCH: usize = 1 << 20;
const MAX_NOTES: usize = 8;
/// Characters of a finding's line.
const MAX_LINE: usize = 300;

/// Searches every file below `root`. Links are not followed: what they name inside the tree is found
/// there, and what is outside is somebody else's; `root` itself may be one.
///
/// # Errors
/// `root` is no directory that can be read.
pub(super) fn search(root: &Path, corrections: &[Correction]) -> io::Result<TreeSearch> {
    let real = root.canonicalize()?;
    let mut walk = Walk {
        corrections,
        root: &real,
        search: TreeSearch {
            directory: root.display().to_string(),
            wrong: corrections.iter().map(|it| it.wrong.clone()).collect(),
            ..TreeSearch::default()
        },
        left_out: 0,
        entries: 0,
        files: 0,
        bytes: 0,
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

struct Walk<'a> {
    corrections: &'a [Correction],
    root: &'a Path,
    search: TreeSearch,
    /// Notes that there was no room for.
    left_out: usize,
    entries: usize,
    files: usize,
    bytes: u64,
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

    /// Searches a file, or lists a directory.
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
        let occurrences = occurrences::all(text, self.corrections);
        if occurrences.is_empty() {
            return;
        }
        let comments = match path.extension().and_then(|ending| ending.to_str()) {
            Some("nix") => comments::of_nix(text),
            Some("toml") => comments::of_toml(text),
            _ => Vec::new(),
        };
        let relative = path.strip_prefix(self.root).unwrap_or(path);
        let file = Printable::from(relative);
        let mut mended = Vec::new();
        let mut line = Line::default();
        for occurrence in &occurrences {
            let at = occurrence.range.start;
            // Comments are in order, so that the first that does not end before it decides.
            let next = comments.partition_point(|comment| comment.end <= at);
            let comment = comments.get(next).is_some_and(|c| c.contains(&at));
            if !comment && !occurrence.correction.right.is_empty() {
                mended.push(occurrence);
            }
            line.advance(text, at);
            if self.search.findings.len() < MAX_FINDINGS {
                self.search.findings.push(Finding {
                    file: file.clone(),
                    line: line.number,
                    column: text.get(line.start..at).unwrap_or_default().chars().count() + 1,
                    text: line.text(text).into(),
                    wrong: occurrence.correction.wrong.clone(),
                    right: occurrence.correction.right.clone(),
                    comment,
                });
            }
        }
        if mended.is_empty() {
            return;
        }
        // A name that is no text was changed by being shown.
        let patch = (relative.to_str()).and_then(|name| patch::of_file(name, text, &mended));
        match patch {
            Some(patch) if self.search.patch.len() + patch.len() <= MAX_PATCH => {
                self.search.patch.push_str(&patch);
            }
            Some(_) => self.note(path, tr("no room for it in the patch")),
            None => self.note(path, tr("its name can't stand in a patch")),
        }
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
        if self.search.notes.len() < MAX_NOTES {
            self.search
                .notes
                .push(format!("{}: {why}", name.display()).into());
        } else {
            self.left_out += 1;
        }
    }

    fn is_full(&self) -> bool {
        self.entries > MAX_ENTRIES
            || self.files >= MAX_FILES
            || self.bytes >= MAX_BYTES
            || self.search.findings.len() >= MAX_FINDINGS
    }

    fn done(mut self) -> TreeSearch {
        if self.left_out > 0 {
            self.search
                .notes
                .push(say!("and {more} more", more = self.left_out).into());
        }
        if self.is_full() {
            let note = say!(
                "the rest of it: {count} files are enough; name a smaller tree with --config-dir",
                count = self.files
            );
            self.search.notes.push(note.into());
        }
        self.search
    }
}

fn is_searched(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.contains(&ending))
}

/// The line that was come to.
struct Line {
    number: usize,
    start: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            number: 1,
            start: 0,
        }
    }
}

impl Line {
    /// Goes on to the line of byte `at`.
    fn advance(&mut self, text: &str, at: usize) {
        let passed = text.get(self.start..at).unwrap_or_default();
        self.number += passed.matches('\n').count();
        self.start = passed
            .rfind('\n')
            .map_or(self.start, |end| self.start + end + 1);
    }

    fn text(&self, text: &str) -> String {
        let rest = text.get(self.start..).unwrap_or_default();
        let line = rest.lines().next().unwrap_or_default();
        line.chars().take(MAX_LINE).collect()
    }
}
