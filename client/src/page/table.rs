//! One line per target, in columns.

use super::{
    Style, Tone, latency, state_glyph, state_tone,
    text::{self},
    units,
};
use crate::{
    JobState, TargetState,
    language::{say, tr},
    snapshot::{Facts, Target},
    test_build,
};

const GAP: usize = 3;

/// The columns, left to right.
const STATE: usize = 0;
const ADDRESS: usize = 2;
const LATENCY: usize = 3;
const PROOF: usize = 5;
const COLUMNS: usize = 6;

type Cells = [String; COLUMNS];

/// One line for each target, each with its newline. Where they would be too wide what was proved goes
/// first, then the latency, then the address.
pub(super) fn lines(targets: &[&Target], style: &Style) -> Vec<String> {
    let mut rows: Vec<Cells> = targets.iter().map(|target| cells(target, style)).collect();
    for column in [PROOF, LATENCY, ADDRESS] {
        let total = widths(&rows)
            .iter()
            .filter(|width| **width > 0)
            .map(|width| width + GAP)
            .sum::<usize>();
        if total.saturating_sub(GAP) > style.width {
            for row in &mut rows {
                row[column].clear();
            }
        }
    }
    let widths = widths(&rows);
    rows.iter()
        .zip(targets)
        .map(|(row, target)| line(row, &widths, target.state, style))
        .collect()
}

fn cells(target: &Target, style: &Style) -> Cells {
    let answers = matches!(target.state, TargetState::Ready) && target.latency_usec > 0;
    [
        format!("{} {}", state_glyph(target.state), target.word()),
        target.label(),
        target.address.to_string(),
        if answers {
            latency(target.latency_usec)
        } else {
            String::new()
        },
        units::since(target.state_change_timestamp, style.now_realtime_usec).unwrap_or_default(),
        proof(target, style),
    ]
}

/// Whether Nix itself has built there, of what it would use.
fn proof(target: &Target, style: &Style) -> String {
    if target.state != TargetState::Ready {
        return String::new();
    }
    match test_build::of(target) {
        Some(last) if last.state == JobState::Succeeded && last.timestamp != 0 => {
            let when = units::ago(last.timestamp, style.now_realtime_usec);
            say!("proved {when}", when)
        }
        None if test_build::is_yet_to_come(target) => tr("not proved yet").to_owned(),
        Some(_) | None => String::new(),
    }
}

/// What of a ready target neither a check nor a trivial build has shown; nothing where all is shown.
pub(super) fn not_verified(target: &Target, style: &Style) -> String {
    if target.state != TargetState::Ready {
        return String::new();
    }
    let has = |detail: &str| target.details.contains_key(detail);
    let told = match &target.facts {
        Facts::Builder(it)
            if has("system_unknown") && (it.systems.len() > 1 || !it.features.is_empty()) =>
        {
            tr("the other systems and the features that Nix's list of builders promises")
        }
        Facts::Cache(_) if has("sample_missing") => {
            tr("its signature: none of the paths that were asked for shows one")
        }
        Facts::Builder(_) | Facts::Cache(_) => return String::new(),
    };
    let told = say!("not verified: {told}", told);
    format!("    {}\n", style.paint(Tone::Faint, &told))
}

fn widths(rows: &[Cells]) -> [usize; COLUMNS] {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = text::width(cell).max(*width);
        }
    }
    widths
}

fn line(row: &Cells, widths: &[usize; COLUMNS], state: TargetState, style: &Style) -> String {
    let mut line = String::new();
    // Spaces are written before the next cell, never at the end of a line.
    let mut owed = 0;
    for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
        if *width == 0 {
            continue;
        }
        let missing = width - text::width(cell);
        if cell.is_empty() {
            owed += width + GAP;
            continue;
        }
        // Numbers stand right.
        let (before, after) = if column == LATENCY {
            (missing, 0)
        } else {
            (0, missing)
        };
        line.push_str(&" ".repeat(owed + before));
        line.push_str(&match column {
            STATE => style.paint(state_tone(state), cell),
            _ if column > ADDRESS => style.paint(Tone::Faint, cell),
            _ => cell.clone(),
        });
        owed = after + GAP;
    }
    line.push('\n');
    line
}
