//! Searches a configuration tree for addresses. It changes nothing.

use std::{io, path::Path};

use super::{
    comments,
    correction::Correction,
    occurrences, patch,
    walk::{self, Enough, File, Notes},
};
use crate::{
    Printable,
    language::tr,
    page::doctor::{Finding, TreeSearch},
};

const MAX_FINDINGS: usize = 1_000;
/// Bytes of the patch.
const MAX_PATCH: usize = 1 << 20;
/// Characters of a finding's line.
const MAX_LINE: usize = 300;

/// Searches every file below `root`, as [`walk::files`] goes through them.
///
/// # Errors
/// `root` is no directory that can be read.
pub(super) fn search(root: &Path, corrections: &[Correction]) -> io::Result<TreeSearch> {
    let mut search = TreeSearch {
        directory: root.display().to_string(),
        wrong: corrections.iter().map(|it| it.wrong.clone()).collect(),
        ..TreeSearch::default()
    };
    let notes = walk::files(root, &mut |file, notes| {
        look(&file, corrections, &mut search, notes);
        if search.findings.len() < MAX_FINDINGS {
            Enough::No
        } else {
            Enough::Yes
        }
    })?;
    search.notes = notes;
    Ok(search)
}

fn look(file: &File<'_>, corrections: &[Correction], search: &mut TreeSearch, notes: &mut Notes) {
    let text = file.text;
    let occurrences = occurrences::all(text, corrections);
    if occurrences.is_empty() {
        return;
    }
    let comments = comments::of(file.name, text);
    let name = Printable::from(file.name);
    let mut mended = Vec::new();
    let mut line = Line::default();
    for occurrence in &occurrences {
        let at = occurrence.range.start;
        let comment = comments::is_in(&comments, at);
        if !comment && !occurrence.correction.right.is_empty() {
            mended.push(occurrence);
        }
        line.advance(text, at);
        if search.findings.len() < MAX_FINDINGS {
            search.findings.push(Finding {
                file: name.clone(),
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
    let patch = (file.name.to_str()).and_then(|name| patch::of_file(name, text, &mended));
    match patch {
        Some(patch) if search.patch.len() + patch.len() <= MAX_PATCH => {
            search.patch.push_str(&patch);
        }
        Some(_) => notes.note(file.name, tr("no room for it in the patch")),
        None => notes.note(file.name, tr("its name can't stand in a patch")),
    }
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
