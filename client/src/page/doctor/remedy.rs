//! What the configuration tree says wrongly, the proposed patch, and the commands to run.

use super::{Snapshot, Style, Tone, TreeSearch, Unlike, Warning, WarningCode, help, text};
use crate::{
    Printable,
    language::{say, tr},
    template,
};

const INDENT: &str = "    ";
/// The most places that a page lists; the JSON has them all.
const PLACES: usize = 20;
/// The longest patch that a page shows, in lines.
const PATCH: usize = 120;

/// Where the wrong address stands.
pub(super) fn found(search: Option<&TreeSearch>, style: &Style) -> String {
    let Some(search) = search else {
        return String::new();
    };
    let (wrong, directory) = (search.wrong.join(", "), Printable::from(&search.directory));
    let mut part = String::from("\n");
    let prose = |words: &str, tone| help::lines(words, "", INDENT, style, tone);
    for line in unlike(search) {
        part.push_str(&prose(&line, None));
    }
    if search.findings.is_empty() {
        let words = if search.notes.is_empty() {
            say!(
                "{wrong} stands nowhere in {directory}. If you have corrected it already, a rebuild \
                 deploys that; if your configuration is elsewhere, name it: `--config-dir DIR`.",
                wrong,
                directory
            )
        } else {
            say!(
                "{wrong} was not found in {directory}, as far as that was searched.",
                wrong,
                directory
            )
        };
        part.push_str(&prose(&words, Some(Tone::Strong)));
    } else {
        let words = match only_right(search) {
            Some(right) => {
                say!(
                    "{wrong} stands in {directory}, where {right} should:",
                    wrong,
                    directory,
                    right
                )
            }
            None => say!("{wrong} stands in {directory}:", wrong, directory),
        };
        part.push_str(&prose(&words, Some(Tone::Strong)));
    }
    for finding in search.findings.iter().take(PLACES) {
        let place = format!("{}:{}:{}", finding.file, finding.line, finding.column);
        let place = style.paint(Tone::Uneasy, &place);
        let comment = if finding.comment {
            style.paint(
                Tone::Faint,
                &format!("  {}", tr("(a comment: left as it is)")),
            )
        } else {
            String::new()
        };
        part.push_str(&format!("{INDENT}{place}{comment}\n"));
        part.push_str(&format!("{INDENT}  {}\n", finding.text.trim()));
    }
    if let Some(more @ 1..) = search.findings.len().checked_sub(PLACES) {
        let more = say!("and {more} more; --json has them all", more);
        part.push_str(&format!("{INDENT}{more}\n"));
    }
    for note in &search.notes {
        part.push_str(&help::lines(
            &say!("not searched: {note}", note),
            INDENT,
            "      ",
            style,
            Some(Tone::Faint),
        ));
    }
    part
}

/// What the tree has otherwise than Nix, and what comes of it.
fn unlike(search: &TreeSearch) -> Vec<String> {
    let directory = Printable::from(&search.directory);
    let mut lines: Vec<String> = (search.unlike.iter())
        .map(|Unlike { target, tree, nix }| {
            say!(
                "{directory} has {target} at {tree}; Nix goes to {nix}.",
                directory,
                target,
                tree,
                nix
            )
        })
        .collect();
    if lines.is_empty() {
        return lines;
    }
    lines.push(
        if search.edited {
            tr("It was changed after the last switch: `nixos-rebuild switch` makes Nix go there.")
        } else {
            tr("The next `nixos-rebuild switch` makes Nix go there.")
        }
        .to_owned(),
    );
    lines
}

/// What should stand at every place alike.
fn only_right(search: &TreeSearch) -> Option<&str> {
    let first = search.findings.first()?.right.as_str();
    let alike = search.findings.iter().all(|found| found.right == first);
    (alike && !first.is_empty()).then_some(first)
}

/// The patch, and the commands that mend what is wrong; nothing where there is none.
pub(super) fn commands(snapshot: &Snapshot, search: Option<&TreeSearch>, style: &Style) -> String {
    let patch = search.filter(|search| !search.patch.is_empty());
    let mut part = String::new();
    let mut commands: Vec<String> = Vec::new();
    if let Some(search) = patch {
        part.push_str(&format!(
            "\n{}\n",
            style.paint(Tone::Strong, tr("Proposed patch"))
        ));
        part.push_str(&shown(&search.patch, style));
        let directory = quoted(&search.directory);
        commands.push(format!(
            "offloadctl doctor --config-dir {directory} --patch | sudo patch -p1 -d {directory}"
        ));
        commands.push("sudo nixos-rebuild switch".to_owned());
    }
    for command in snapshot.warnings.iter().filter_map(command) {
        if !commands.iter().any(|known| known == command) {
            commands.push(command.to_owned());
        }
    }
    if commands.is_empty() {
        return part;
    }
    let heading = match patch {
        Some(_) => tr("To mend it (nothing was changed yet)"),
        None => tr("To mend it"),
    };
    part.push_str(&format!("\n{}\n", style.paint(Tone::Strong, heading)));
    for command in commands {
        part.push_str(&format!("{INDENT}{}\n", Printable::from(command)));
    }
    part
}

/// The one command that mends it, where one does.
fn command(warning: &Warning) -> Option<&'static str> {
    match warning.code {
        WarningCode::AddressMoved => {
            let wrong = template::detail(&warning.details, "wrong");
            (wrong.as_deref() == Some("deployed")).then_some("sudo nixos-rebuild switch")
        }
        WarningCode::DaemonConfigStale | WarningCode::DaemonConfigUnknown => {
            Some("sudo systemctl restart nix-daemon")
        }
        _ => None,
    }
}

/// Not indented: to be copied.
fn shown(patch: &str, style: &Style) -> String {
    let mut lines = String::new();
    for line in patch.lines().take(PATCH) {
        let tone = match line.as_bytes() {
            [b'-', b'-', b'-', b' ', ..] | [b'+', b'+', b'+', b' ', ..] => Some(Tone::Strong),
            [b'-', ..] => Some(Tone::Bad),
            [b'+', ..] => Some(Tone::Good),
            [b'@', ..] => Some(Tone::Neutral),
            _ => None,
        };
        let line = text::printable_line(line);
        lines.push_str(&tone.map_or(line.clone(), |tone| style.paint(tone, &line)));
        lines.push('\n');
    }
    if let Some(more @ 1..) = patch.lines().count().checked_sub(PATCH) {
        let more = say!("… and {more} more lines; --patch writes them all", more);
        lines.push_str(&format!("{more}\n"));
    }
    lines
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
