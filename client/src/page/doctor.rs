//! The doctor's page: everything a person would have looked up by hand, the root cause first.
//!
//! A pure function of what was found out; `offloadctl doctor` finds it out and prints the page.

mod layers;
mod remedy;
mod stages;
#[cfg(test)]
mod tests;

use serde::Serialize;

use super::{Style, Tone, headline, help, state_glyph, state_tone, text, units};
use crate::{
    Kind, Printable, Reason, Snapshot, WarningCode,
    cause::{Root, root},
    language::{say, tr},
    snapshot::{Target, Warning},
};

/// All that one examination found out.
#[derive(Clone, Debug)]
pub struct Examination<'a> {
    /// What is known of the targets.
    pub snapshot: &'a Snapshot,
    /// Who looked.
    pub source: Source,
    /// What the configuration tree says, where it was searched.
    pub search: Option<&'a TreeSearch>,
}

/// Who looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The daemon.
    Daemon,
    /// `offloadd --once`, because there is no daemon.
    Once {
        /// The program that was run.
        program: String,
        /// What is the matter with the daemon: `No daemon runs`.
        why: String,
    },
}

/// What a search for wrong addresses in a configuration tree came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeSearch {
    /// The tree, as it was named.
    pub directory: String,
    /// The addresses searched for.
    pub wrong: Vec<String>,
    /// What the tree has at another address than Nix, where nothing else tells of it.
    pub unlike: Vec<Unlike>,
    /// Whether a file that has one was changed after the last switch.
    pub edited: bool,
    /// Where they stand.
    pub findings: Vec<Finding>,
    /// What could not be searched, and why.
    pub notes: Vec<Printable>,
    /// The proposed change, as `diff -u` writes it, for `patch -p1` in the tree; empty for none.
    pub patch: String,
}

/// A target that a configuration tree has at another address than Nix.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unlike {
    /// `builder/desktop`.
    pub target: String,
    /// The address in the tree.
    pub tree: String,
    /// The one that Nix goes to.
    pub nix: String,
}

/// A place where a wrong address stands.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Relative to the tree.
    pub file: Printable,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The line, without its end; cut where it is very long.
    pub text: Printable,
    /// What stands there.
    pub wrong: String,
    /// What should; empty where that is not clear.
    pub right: String,
    /// Whether it stands in a comment: the patch leaves those alone.
    pub comment: bool,
}

/// Whether there is nothing to mend: everything is ready, nothing is warned of, and the configuration agrees.
pub fn is_well(snapshot: &Snapshot, search: Option<&TreeSearch>) -> bool {
    let agrees = search.is_none_or(|search| search.unlike.is_empty());
    snapshot.state.is_ready() && snapshot.warnings.is_empty() && agrees
}

/// The whole page, with a newline at its end.
pub fn render(examination: &Examination<'_>, style: &Style) -> String {
    let snapshot = examination.snapshot;
    let root = root(snapshot);
    let mut page = headline(snapshot, style);
    page.push_str(&looked(examination, style));
    match &root {
        Some(root) => page.push_str(&cause(root, style)),
        None if is_well(snapshot, examination.search) => page.push_str(&help::lines(
            tr("Nothing to mend."),
            "\n",
            "",
            style,
            Some(Tone::Good),
        )),
        None => {}
    }
    // What a search found is part of the cause: it comes before the tables.
    page.push_str(&remedy::found(examination.search, style));
    let targets: Vec<&Target> = snapshot.targets.iter().collect();
    for (i, target) in targets.iter().enumerate() {
        let before = targets.get(..i).unwrap_or_default();
        page.push('\n');
        page.push_str(&block(target, before, snapshot, style));
    }
    page.push_str(&others(snapshot, root.as_ref(), style));
    page.push_str(&remedy::commands(snapshot, examination.search, style));
    page
}

/// Who looked, where that is not the daemon.
fn looked(examination: &Examination<'_>, style: &Style) -> String {
    match &examination.source {
        Source::Daemon => String::new(),
        Source::Once { program, why } => {
            let (why, program) = (Printable::from(why), Printable::from(program));
            let told = say!("{why}: checked once by `{program} --once`.", why, program);
            help::lines(&told, "", "", style, Some(Tone::Uneasy))
        }
    }
}

/// The root cause with its words.
fn cause(root: &Root<'_>, style: &Style) -> String {
    let words = root.told();
    let mut line = say!("Root cause: {title}", title = words.title);
    if !words.target.is_empty() {
        line.push_str(&format!(" · {}", words.target));
    }
    if let Some(since) = units::since(words.since, style.now_realtime_usec) {
        line.push_str(&format!(" · {since}"));
    }
    if !words.error.is_empty() {
        line.push_str(&format!(" · {}", words.error));
    }
    let heading = help::lines(&line, "", "    ", style, Some(Tone::Strong));
    let help = help::words(&words.explanation, &words.remedy, style);
    format!("\n{heading}{help}")
}

/// One target: its state, how far the check came, its layers, and its help where the root cause does
/// not explain it.
fn block(target: &Target, before: &[&Target], snapshot: &Snapshot, style: &Style) -> String {
    let tone = state_tone(target.state);
    let name = format!("{} {}", state_glyph(target.state), target.label());
    let mut told = target.word().to_owned();
    if target.state.is_ready() && !target.address.is_empty() {
        told.push_str(&say!(" at {address}", address = target.address));
    }
    let now = style.now_realtime_usec;
    if let Some(since) = units::since(target.state_change_timestamp, now) {
        told.push_str(&format!(" {since}"));
    }
    let checked = units::ago(target.last_check_timestamp, now);
    told.push_str(&say!(", checked {checked}", checked));
    let fits = text::width(&name) + 2 + text::width(&told) <= style.width;
    let name = style.paint(tone, &name);
    let mut block = if fits {
        format!("{name}  {told}\n")
    } else {
        format!(
            "{name}\n{}",
            help::lines(&told, "    ", "    ", style, None)
        )
    };
    block.push_str(&stages::line(target, style));
    let cause = snapshot.root_cause.as_ref();
    let is_explained = cause.is_some_and(|cause| {
        let mut explained = cause.explains.iter();
        explained.any(|(kind, name)| (*kind, name) == (target.kind, &target.name))
    });
    block.push_str(&if is_explained {
        help::cause(target, None, style)
    } else {
        help::target(target, before, style)
    });
    block.push_str(&layers::table(target, style));
    block
}

/// The differences that are not the root cause.
fn others(snapshot: &Snapshot, root: Option<&Root<'_>>, style: &Style) -> String {
    let is_root = |warning: &Warning| matches!(root, Some(Root::Warning(root)) if *root == warning);
    let is_told = |warning: &Warning| snapshot.targets.iter().any(|target| target.tells(warning));
    let warnings = snapshot.warnings.iter();
    let others: Vec<&Warning> = warnings
        .filter(|warning| !is_root(warning) && !is_told(warning))
        .collect();
    if others.is_empty() {
        return String::new();
    }
    let mut part = format!("\n{}\n", style.paint(Tone::Strong, tr("Also")));
    for warning in others {
        part.push_str(&help::warning(warning, style));
    }
    part
}
