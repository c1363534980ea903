//! What each layer says of a target: a row for each layer, so that values that should be the same
//! stand under each other, and a column for each subject.

use super::{Style, Target, Tone, text};
use crate::{
    language::{tr, tr_later},
    snapshot::{Comparison, Placed},
};

const INDENT: &str = "    ";
const NAMES: [&str; 4] = [
    tr_later("declared"),
    tr_later("deployed"),
    tr_later("loaded"),
    tr_later("observed"),
];
const GAP: &str = "   ";
/// A key this long is cut where what is left still tells the keys apart.
const KEY: usize = 20;

/// The table; nothing where no layer says anything (a daemon that does not compare).
pub(super) fn table(target: &Target, style: &Style) -> String {
    let subjects: Vec<Subject> = target.layers.iter().filter_map(Subject::of).collect();
    let [.., _] = &subjects[..] else {
        return String::new();
    };
    let total = INDENT.len()
        + name_width()
        + subjects
            .iter()
            .map(|subject| subject.width + 2)
            .sum::<usize>()
        + GAP.len() * (subjects.len() - 1);
    if total > style.width {
        return subjects
            .iter()
            .map(|subject| narrow(subject, style))
            .collect();
    }
    wide(&subjects, style)
}

/// One thing the layers speak of, ready to be shown.
struct Subject {
    name: String,
    cells: [Option<Cell>; 4],
    /// Whether not all say the same.
    disputed: bool,
    width: usize,
}

struct Cell {
    value: String,
    source: String,
    differs: bool,
}

impl Subject {
    fn of(comparison: &Comparison) -> Option<Self> {
        let layers = [
            &comparison.declared,
            &comparison.deployed,
            &comparison.loaded,
            &comparison.observed,
        ]
        .map(|layer| layer.as_ref().filter(|placed| !placed.value.is_empty()));
        // What is really there is right; before it was seen, what Nix goes by.
        let standard = layers.iter().rev().find_map(|layer| *layer)?;
        let address = comparison.subject == "address";
        let values: Vec<&str> = (layers.iter().copied().flatten())
            .map(|placed| placed.value.as_str())
            .collect();
        let short = !address && shortens(&values);
        let cell = |placed: &Placed| Cell {
            value: if short {
                shortened(&placed.value)
            } else {
                placed.value.to_string()
            },
            source: placed.source.to_string(),
            differs: !same(&placed.value, &standard.value, address),
        };
        let cells = layers.map(|layer| layer.map(cell));
        let shown = || cells.iter().flatten();
        let name = comparison.subject.replace('-', " ");
        Some(Self {
            disputed: shown().any(|cell| cell.differs),
            width: shown()
                .map(|cell| text::width(&cell.value))
                .chain([text::width(&name)])
                .max()
                .unwrap_or_default(),
            name,
            cells,
        })
    }
}

fn wide(subjects: &[Subject], style: &Style) -> String {
    let margin = " ".repeat(INDENT.len() + name_width());
    let mut header = margin.clone();
    for (i, subject) in subjects.iter().enumerate() {
        let gap = if i == 0 { "" } else { GAP };
        header.push_str(&format!("{gap}  {}", padded(&subject.name, subject.width)));
    }
    let mut table = style.paint(Tone::Faint, header.trim_end()) + "\n";
    // What is loaded is mostly from where it is deployed: each place is told once.
    let mut told: Vec<&str> = Vec::new();
    for (layer, name) in NAMES.iter().enumerate() {
        let mut line = format!("{INDENT}{}", padded(tr(name), name_width()));
        for (i, subject) in subjects.iter().enumerate() {
            line.push_str(if i == 0 { "" } else { GAP });
            let cell = subject.cells.get(layer).and_then(Option::as_ref);
            let last = i + 1 == subjects.len();
            line.push_str(&shown(cell, if last { 0 } else { subject.width }, style));
        }
        table.push_str(line.trim_end());
        table.push('\n');
        for subject in subjects {
            let cell = subject.cells.get(layer).and_then(Option::as_ref);
            let source = told_source(cell, subject, style);
            if let Some(source) = source.filter(|source| !told.contains(source)) {
                let source_shown = style.paint(Tone::Faint, source);
                table.push_str(&format!("{margin}  {source_shown}\n"));
                told.push(source);
            }
        }
    }
    table
}

/// One layer on a line.
fn narrow(subject: &Subject, style: &Style) -> String {
    let heading = style.paint(Tone::Faint, &format!("{INDENT}{}", subject.name));
    let mut lines = heading + "\n";
    for (name, cell) in NAMES.iter().zip(&subject.cells) {
        let value = shown(cell.as_ref(), 0, style);
        let name = padded(tr(name), name_width());
        lines.push_str(format!("{INDENT}{name}{value}").trim_end());
        lines.push('\n');
        if let Some(source) = told_source(cell.as_ref(), subject, style) {
            let source = style.paint(Tone::Faint, source);
            lines.push_str(&format!("{INDENT}  {source}\n"));
        }
    }
    lines
}

/// The mark and the value, `width` columns wide beside the mark.
fn shown(cell: Option<&Cell>, width: usize, style: &Style) -> String {
    match cell {
        Some(cell) => {
            let value = padded(&cell.value, width);
            if cell.differs {
                style.paint(Tone::Bad, &format!("≠ {value}"))
            } else {
                format!("  {value}")
            }
        }
        None => style.paint(Tone::Faint, &format!("  {}", padded("–", width))),
    }
}

/// Where a value is from: told where the layers do not agree, or everything is asked for.
fn told_source<'a>(cell: Option<&'a Cell>, subject: &Subject, style: &Style) -> Option<&'a str> {
    cell.map(|cell| cell.source.as_str())
        .filter(|source| !source.is_empty() && (subject.disputed || style.verbose))
}

/// The columns of the widest name, and a space.
fn name_width() -> usize {
    let widths = NAMES.iter().map(|name| text::width(tr(name)));
    widths.max().unwrap_or_default() + 1
}

fn padded(value: &str, width: usize) -> String {
    let missing = width.saturating_sub(text::width(value));
    format!("{value}{}", " ".repeat(missing))
}

/// Whether cutting long values leaves different ones different.
fn shortens(values: &[&str]) -> bool {
    values.iter().enumerate().all(|(i, one)| {
        let before = values.get(..i).unwrap_or_default();
        before
            .iter()
            .all(|other| (one == other) == (shortened(one) == shortened(other)))
    })
}

fn shortened(value: &str) -> String {
    match value.char_indices().nth(KEY) {
        Some((cut, _)) => format!("{}…", value.get(..cut).unwrap_or(value)),
        None => value.to_owned(),
    }
}

/// Whether two layers agree; of several values, separated by commas, one is enough. A name and an
/// address can't be compared: the name may well mean the address.
fn same(one: &str, other: &str, address: bool) -> bool {
    let alike = |a: &str, b: &str| {
        if !address {
            return a == b;
        }
        let ((host, port), (host_b, port_b)) = (parts(a), parts(b));
        let ports = port.is_none() || port_b.is_none() || port == port_b;
        let comparable = is_ip(host) == is_ip(host_b);
        ports && (!comparable || host.eq_ignore_ascii_case(host_b))
    };
    let values = |text| str::split(text, ',').map(str::trim);
    values(one).any(|a| values(other).any(|b| alike(a, b)))
}

/// Host and port of `host:port`, `[v6]:port`, `host` or `v6`.
pub(super) fn parts(address: &str) -> (&str, Option<&str>) {
    if let Some((host, tail)) = address.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        return (host, tail.strip_prefix(':'));
    }
    match address.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (address, None),
    }
}

fn is_ip(host: &str) -> bool {
    // A zone (fe80::1%wlan0) is no part of the address for Rust.
    let host = host.split('%').next().unwrap_or(host);
    host.parse::<std::net::IpAddr>().is_ok()
}
