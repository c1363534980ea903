//! What stands under whatever is not ready: the stage, the cause, what was seen, what to do.

use super::{Style, Tone, state_tone, text};
use crate::{
    Reason, Stage, TargetState,
    language::say,
    reasons,
    snapshot::{DETAIL_ERROR, Target, Warning},
    template, test_build, warnings,
};

const INDENT: &str = "    ";
const REMEDY: &str = "    → ";
const REMEDY_INDENT: &str = "      ";

/// Help for a target; nothing where nothing is wrong. `before` are the targets above it: a cause that
/// one of them has in common with it is explained there.
pub(super) fn target(target: &Target, before: &[&Target], style: &Style) -> String {
    let twin = before.iter().find(|other| same_cause(other, target));
    let mut help = cause(target, twin.copied(), style);
    if !help.is_empty() && twin.is_none() {
        help.push_str(&words_for(target, style));
    }
    help
}

/// What went wrong, without what it means; nothing where nothing did. `twin` is a target to which it
/// happened too.
pub(super) fn cause(target: &Target, twin: Option<&Target>, style: &Style) -> String {
    // Whether to pause is one decision for all: the headline has the help.
    if target.state.is_ready() || matches!(target.reason, Reason::None | Reason::Paused) {
        return String::new();
    }
    let title = reasons::title_for(target);
    let mut cause = match target.stage {
        Stage::None => title.to_owned(),
        // It passed its checks: no stage of them is to blame.
        _ if target.reason.hindrance().is_some() => title.to_owned(),
        stage => format!("{stage}: {title}"),
    };
    if let Some(twin) = twin {
        cause.push_str(&say!(", as for {target}", target = twin.label()));
    }
    // The error of a test build is its own: checks come and go meanwhile.
    let error = match target.stage {
        Stage::Build => test_build::ERROR,
        _ => DETAIL_ERROR,
    };
    let error = template::detail(&target.details, error);
    if let Some(error) = error.filter(|error| !error.is_empty()) {
        cause.push_str(&format!(" · {error}"));
    }
    let tone = match target.state {
        TargetState::Unknown => Tone::Neutral,
        state => state_tone(state),
    };
    lines(&cause, INDENT, INDENT, style, Some(tone))
}

/// The explanation and the remedy of a target's reason.
pub(super) fn words_for(target: &Target, style: &Style) -> String {
    words(
        &reasons::explanation_for(target),
        &reasons::remedy_for(target),
        style,
    )
}

/// A warning, with its help.
pub(super) fn warning(warning: &Warning, style: &Style) -> String {
    let detail = |key| template::detail(&warning.details, key);
    let mut headline = format!("! {}", warnings::title_for(warning));
    if let Some((kind, name)) = &warning.target {
        headline.push_str(&format!(" · {kind}/{name}"));
    }
    if let Some(file) = detail("file") {
        headline.push_str(&format!(" · {file}"));
        if let Some(line) = detail("line") {
            headline.push_str(&format!(":{line}"));
        }
    }
    if let Some(error) = detail(DETAIL_ERROR) {
        headline.push_str(&format!(" · {error}"));
    }
    lines(&headline, "", INDENT, style, Some(Tone::Uneasy))
        + &words(
            &warnings::explanation_for(warning),
            &warnings::remedy_for(warning),
            style,
        )
}

/// An explanation and a remedy, wrapped and indented.
pub(super) fn words(explanation: &str, remedy: &str, style: &Style) -> String {
    lines(explanation, INDENT, INDENT, style, None)
        + &lines(remedy, REMEDY, REMEDY_INDENT, style, None)
}

/// Whether two targets fail alike at the same host, so that one remedy mends both.
fn same_cause(one: &Target, other: &Target) -> bool {
    let host = |target: &Target| template::of_target(target, "host");
    if one.reason != other.reason || one.state.is_ready() {
        return false;
    }
    if one.reason.hindrance().is_some() && one.reason != Reason::AddressMoved {
        let words = |target| {
            (
                reasons::explanation_for(target),
                reasons::remedy_for(target),
            )
        };
        return words(one) == words(other);
    }
    let kind_free = matches!(
        other.reason,
        Reason::DnsFailed
            | Reason::TimedOut
            | Reason::NoRoute
            | Reason::HostUnreachable
            | Reason::AddressMoved
    );
    kind_free && host(one) == host(other)
}

pub(super) fn lines(
    prose: &str,
    first: &str,
    indent: &str,
    style: &Style,
    tone: Option<Tone>,
) -> String {
    // Longer lines are hard to read, however wide the terminal is.
    let wrapped = text::wrap(prose, first, indent, style.width.min(100));
    let Some(tone) = tone else { return wrapped };
    wrapped
        .lines()
        .map(|line| {
            let (margin, words) = line.split_at(line.len() - line.trim_start().len());
            format!("{margin}{}\n", style.paint(tone, words))
        })
        .collect()
}
