//! A line for each target, and under a builder what it builds.

use ratatui::style::Modifier;

use super::Canvas;
use crate::{
    Kind, TargetState,
    cli::top::{builds::Build, model::Model},
    language::{say, tr, tr_later},
    page::{Tone, columns, duration, latency, since, state_glyph, state_tone},
    snapshot::{Detail, Facts, Target},
};

const GAP: usize = 2;
/// So many builds of one builder have a line of their own.
const BUILDS: usize = 4;
/// How wide a sparkline is.
const SPARKS: usize = 12;
const BARS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

const LABEL: usize = 0;
const STATE: usize = 1;
const STAGE: usize = 2;
const ADDRESS: usize = 3;
const LATENCY: usize = 4;
const SPARKLINE: usize = 5;
const SINCE: usize = 7;
const HEADS: [&str; 8] = [
    tr_later("target"),
    tr_later("state"),
    tr_later("stage"),
    tr_later("address"),
    tr_later("latency"),
    "",
    tr_later("slots"),
    tr_later("since"),
];
/// What goes first where there is no room for all.
const DISPENSABLE: [usize; 5] = [ADDRESS, SPARKLINE, STAGE, LATENCY, SINCE];

type Cells = [String; 8];

/// How many lines there are to show, without the one of the heads.
pub(super) fn lines(model: &Model) -> usize {
    let shown = model.shown();
    shown
        .iter()
        .map(|target| 1 + under(model, target).min(BUILDS + 1))
        .sum()
}

fn under(model: &Model, target: &Target) -> usize {
    builds(model, target).map_or(0, |builds| builds.len())
}

/// Draws the heads, and as many lines as there is room for, the one that is selected among them.
pub(super) fn draw(model: &Model, now: u64, top: usize, rows: usize, canvas: &mut Canvas<'_>) {
    let shown = model.shown();
    let selected = model.place();
    let cells: Vec<Cells> = shown
        .iter()
        .map(|target| cells(model, target, now))
        .collect();
    let widths = widths(&cells, usize::from(canvas.area.width));
    head(&widths, top, canvas);
    let mut lines = Vec::new();
    let mut place = 0;
    for (i, (target, cells)) in shown.iter().zip(&cells).enumerate() {
        if i == selected {
            place = lines.len();
        }
        lines.push(Line::Target(target, cells, i == selected));
        lines.extend(building(model, target, now).into_iter().map(Line::Build));
    }
    let room = rows.saturating_sub(1);
    let above = (place + 1).saturating_sub(room.saturating_sub(1).max(1));
    let above = above.min(lines.len().saturating_sub(room));
    for (line, row) in lines.iter().skip(above).zip(top + 1..top + rows) {
        match line {
            Line::Target(target, cells, selected) => {
                target_line(target, cells, &widths, *selected, row, canvas);
            }
            Line::Build(text) => {
                canvas.text(4, row, text, Tone::Neutral, Modifier::empty());
            }
        }
    }
}

enum Line<'a> {
    Target(&'a Target, &'a Cells, bool),
    Build(String),
}

fn head(widths: &[usize; 8], row: usize, canvas: &mut Canvas<'_>) {
    let mut column = 2;
    for (head, width) in HEADS.iter().zip(widths).filter(|(_, width)| **width > 0) {
        canvas.text(column, row, tr(head), Tone::Faint, Modifier::DIM);
        column += width + GAP;
    }
}

fn target_line(
    target: &Target,
    cells: &Cells,
    widths: &[usize; 8],
    selected: bool,
    row: usize,
    canvas: &mut Canvas<'_>,
) {
    if selected {
        canvas.text(0, row, "▸", Tone::Strong, Modifier::BOLD);
    }
    let mut column = 2;
    for (i, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if *width == 0 {
            continue;
        }
        // Numbers stand right.
        let indent = match i {
            LATENCY => width.saturating_sub(columns(cell)),
            _ => 0,
        };
        let (tone, modifier) = match i {
            LABEL if selected => (Tone::Strong, Modifier::BOLD),
            STATE | SPARKLINE => (state_tone(target.state), Modifier::empty()),
            SINCE | ADDRESS => (Tone::Faint, Modifier::DIM),
            _ => (Tone::Neutral, Modifier::empty()),
        };
        canvas.text(column + indent, row, cell, tone, modifier);
        column += width + GAP;
    }
}

fn cells(model: &Model, target: &Target, now: u64) -> Cells {
    let is_ready = target.state == TargetState::Ready;
    let latency = match target.latency_usec {
        usec if is_ready && usec > 0 => latency(usec),
        _ => String::new(),
    };
    [
        target.label(),
        format!("{} {}", state_glyph(target.state), target.state),
        target.stage.to_string(),
        target.address.to_string(),
        latency,
        sparkline(model, target),
        slots(model, target),
        since(target.state_change_timestamp, now).unwrap_or_default(),
    ]
}

/// The last latencies, the highest of them a whole block.
fn sparkline(model: &Model, target: &Target) -> String {
    let mut last: Vec<u64> = model.latencies(target).rev().take(SPARKS).collect();
    last.reverse();
    let most = last.iter().copied().max().unwrap_or_default().max(1);
    let bar = |usec: &u64| BARS[(usec * 8 / most).saturating_sub(1).min(7) as usize];
    last.iter().map(bar).collect()
}

/// `2/8`: those that Nix uses now, as far as that can be seen, and how many there are.
fn slots(model: &Model, target: &Target) -> String {
    let Facts::Builder(facts) = &target.facts else {
        return String::new();
    };
    let told = match target.details.get("slots_in_use") {
        Some(Detail::Uint(used)) => usize::try_from(*used).ok(),
        _ => None,
    };
    let seen = builds(model, target).map(|builds| builds.len());
    let used = seen
        .or(told)
        .map_or("?".to_owned(), |used| used.to_string());
    format!("{used}/{}", facts.max_jobs)
}

fn builds<'a>(model: &'a Model, target: &Target) -> Option<Vec<&'a Build>> {
    model
        .builds
        .on(target)
        .filter(|_| target.kind == Kind::Builder)
}

/// What a builder builds for this machine, and for how long.
fn building(model: &Model, target: &Target, now: u64) -> Vec<String> {
    let builds = builds(model, target).unwrap_or_default();
    let line = |build: &&Build| {
        let name = build.name.as_deref().unwrap_or(tr("a build"));
        let time = duration(now.saturating_sub(build.since));
        say!("{name} for {time}", name, time)
    };
    let mut lines: Vec<String> = builds.iter().take(BUILDS).map(line).collect();
    if builds.len() > BUILDS {
        lines.push(say!("and {more} more", more = builds.len() - BUILDS));
    }
    lines
}

/// How wide each column is; 0 for one that nobody needs or that there is no room for.
fn widths(rows: &[Cells], room: usize) -> [usize; 8] {
    let mut widths = [0; 8];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = columns(cell).max(*width);
        }
    }
    for (width, head) in widths
        .iter_mut()
        .zip(HEADS)
        .filter(|(width, _)| **width > 0)
    {
        *width = columns(tr(head)).max(*width);
    }
    let total = |widths: &[usize; 8]| -> usize {
        widths
            .iter()
            .filter(|width| **width > 0)
            .map(|width| width + GAP)
            .sum()
    };
    for column in DISPENSABLE {
        if total(&widths) > room {
            widths[column] = 0;
        }
    }
    let over = total(&widths).saturating_sub(room);
    widths[LABEL] = widths[LABEL].saturating_sub(over).max(8);
    widths
}
