//! The status page: one look says whether Nix can use the desktop, and if not, why and what to do.
//!
//! A pure function of the snapshot; `offloadctl` and `offloadd --once` print it.

#[cfg(feature = "cli")]
pub mod doctor;
mod explain;
mod foreign;
mod help;
mod paint;
mod table;
mod test_build;
mod text;
mod units;
mod verbose;

use crate::{
    Kind, OverallState, Reason, Snapshot, TargetState, WarningCode,
    language::{say, tr},
    reasons,
    snapshot::{Target, Warning},
};

pub use explain::explain;
pub use paint::{Tone, overall_glyph, overall_tone, state_glyph, state_tone};
#[cfg(feature = "cli")]
pub(crate) use test_build::failed_build;
pub use test_build::render_test_build;
#[cfg(feature = "cli")]
pub(crate) use text::{width as columns, wrap};
#[cfg(feature = "cli")]
pub(crate) use units::since;
pub use units::{ago, duration, latency, took};

/// How to write for where it will be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether to write colours (ANSI SGR sequences).
    pub colour: bool,
    /// How many columns there are; prose is wrapped to them.
    pub width: usize,
    /// The time now, in microseconds of `CLOCK_REALTIME`: "for 3 h" is counted from it.
    pub now_realtime_usec: u64,
    /// Whether to add everything that is known of each target.
    pub verbose: bool,
}

/// The whole page, with a newline at its end.
pub fn render(snapshot: &Snapshot, style: &Style) -> String {
    let mut page = headline(snapshot, style);
    page.push_str(&common_help(snapshot, style));
    if !snapshot.targets.is_empty() {
        page.push('\n');
        page.push_str(&targets(snapshot, style));
    }
    page.push_str(&warnings(snapshot, style));
    if style.verbose && !snapshot.version.is_empty() {
        let version = format!("offloadd {}", snapshot.version);
        page.push_str(&format!("\n{}\n", style.paint(Tone::Faint, &version)));
    }
    page
}

/// How many targets have a line each, ready or not.
const MANY: usize = 20;

/// Of many targets those that are not ready; the others are counted, unless everything is asked for.
fn targets(snapshot: &Snapshot, style: &Style) -> String {
    let is_well = |target: &&Target| target.state.is_ready();
    if style.verbose || snapshot.targets.len() <= MANY {
        return render_targets(&snapshot.targets, style);
    }
    let (well, rest): (Vec<_>, Vec<_>) = snapshot.targets.iter().partition(is_well);
    let count = |kind| well.iter().filter(|target| target.kind == kind).count();
    let (caches, builders) = (count(Kind::Cache), count(Kind::Builder));
    let mut page = render_targets(rest, style);
    if !well.is_empty() {
        let sign = state_glyph(TargetState::Ready);
        let sign = style.paint(Tone::Good, &format!("{sign} {}", TargetState::Ready));
        let how = style.paint(Tone::Faint, tr("(`--verbose` has a line for each)"));
        let counted = match (caches, builders) {
            (_, 0) => counted(caches, Kind::Cache),
            (0, _) => counted(builders, Kind::Builder),
            (_, _) => say!(
                "{caches} and {builders}",
                caches = counted(caches, Kind::Cache),
                builders = counted(builders, Kind::Builder)
            ),
        };
        page.push_str(&format!("{sign}   {counted} {how}\n"));
    }
    page
}

/// Some targets' part of the page: a line for each, and help under what is not ready.
pub fn render_targets<'a>(targets: impl IntoIterator<Item = &'a Target>, style: &Style) -> String {
    let targets: Vec<&Target> = targets.into_iter().collect();
    let lines = table::lines(&targets, style);
    let mut page = String::new();
    for (i, (target, line)) in targets.iter().zip(lines).enumerate() {
        page.push_str(&line);
        let before = targets.get(..i).unwrap_or_default();
        page.push_str(&table::not_verified(target, style));
        page.push_str(&help::target(target, before, style));
        if style.verbose {
            page.push_str(&verbose::target(target, style));
        }
    }
    page
}

/// The verdict on one line, without colours.
#[cfg(feature = "cli")]
pub(crate) fn headline_words(snapshot: &Snapshot, now_realtime_usec: u64) -> String {
    let style = Style {
        now_realtime_usec,
        ..Style::default()
    };
    headline(snapshot, &style).trim_end().to_owned()
}

/// What is wrong with a target and what mends it; nothing where nothing is.
#[cfg(feature = "cli")]
pub(crate) fn help_for(target: &Target, style: &Style) -> String {
    help::target(target, &[], style)
}

/// Everything that is known of a target.
#[cfg(feature = "cli")]
pub(crate) fn facts(target: &Target, style: &Style) -> String {
    verbose::target(target, style)
}

/// What is wrong with the machine, and no target's.
pub(crate) fn common_help(snapshot: &Snapshot, style: &Style) -> String {
    let words = |reason| {
        let about = Target {
            reason,
            ..Target::default()
        };
        let remedy = reasons::remedy_for(&about);
        help::words(reasons::text(reason).explanation, &remedy, style)
    };
    common_cause(snapshot).map(words).unwrap_or_default()
}

/// The warnings that no target's help has told.
pub(crate) fn warnings(snapshot: &Snapshot, style: &Style) -> String {
    let warnings = untold(snapshot).map(|warning| format!("\n{}", help::warning(warning, style)));
    warnings.collect()
}

fn headline(snapshot: &Snapshot, style: &Style) -> String {
    let state = snapshot.state;
    let word = format!("{} {state}", overall_glyph(state));
    let mut line = style.paint(overall_tone(state), &style.paint(Tone::Strong, &word));
    line.push_str(": ");
    line.push_str(&sentence(snapshot));
    if let Some(since) = units::since(snapshot.state_change_timestamp, style.now_realtime_usec) {
        line.push_str(&style.paint(Tone::Faint, &format!(" ({since})")));
    }
    line.push('\n');
    line
}

/// The verdict in words.
fn sentence(snapshot: &Snapshot) -> String {
    let count = |kind| snapshot.targets.iter().filter(|t| t.kind == kind).count();
    let (caches, builders) = (count(Kind::Cache), count(Kind::Builder));
    let (the_caches, the_builders) = (noun(caches, Kind::Cache), noun(builders, Kind::Builder));
    let both = |is_and: bool| match (&the_caches, &the_builders) {
        (Some(caches), Some(builders)) if is_and => {
            say!("{caches} and {builders}", caches, builders)
        }
        (Some(caches), Some(builders)) => say!("{caches} or {builders}", caches, builders),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => tr("nothing").to_owned(),
    };
    match snapshot.state {
        OverallState::Ready => say!("Nix can use {targets}", targets = both(true)),
        OverallState::Degraded => {
            let part = |count: usize, kind, state| match (count, kind) {
                (0, Kind::Cache) if state == OverallState::Degraded => {
                    Some(tr("Nix uses no cache").to_owned())
                }
                (0, Kind::Builder) if state == OverallState::Degraded => {
                    Some(tr("Nix uses no builder").to_owned())
                }
                (0, _) => None,
                (1, _) => Some(format!("{kind} {state}")),
                (_, _) => Some(format!("{} {state}", counted(count, kind))),
            };
            let parts: Vec<String> = part(caches, Kind::Cache, snapshot.cache_state)
                .into_iter()
                .chain(part(builders, Kind::Builder, snapshot.builder_state))
                .collect();
            let rest = nothing_builds(snapshot).unwrap_or_default();
            format!("{}{rest}", parts.join(", "))
        }
        OverallState::Offline => {
            let rest = match nothing_builds(snapshot) {
                Some(nothing) => nothing.to_owned(),
                None => {
                    let rest = foreign::words(snapshot, foreign::OWN);
                    say!(": builds run on this machine alone{rest}", rest)
                }
            };
            say!("Nix can't use {targets}{rest}", targets = both(false), rest)
        }
        OverallState::Away => {
            let rest = nothing_builds(snapshot).unwrap_or_default();
            let away = tr("this machine is on no network that reaches the desktop");
            format!("{away}{rest}")
        }
        OverallState::Paused => reasons::text(Reason::Paused).title.to_owned(),
        OverallState::Unknown if is_unseen(snapshot) => {
            let why = reasons::text(Reason::NotVisible).title;
            say!("not judged: {why}", why)
        }
        OverallState::Unknown if snapshot.reason == Reason::NotConfigured => {
            reasons::text(Reason::NotConfigured).title.to_owned()
        }
        OverallState::Unknown if snapshot.reason != Reason::None => {
            let why = reasons::text(snapshot.reason).title;
            say!("not judged: {why}", why)
        }
        OverallState::Unknown => tr("not judged yet").to_owned(),
    }
}

/// What is to be said where this machine builds nothing itself, and nobody else does.
fn nothing_builds(snapshot: &Snapshot) -> Option<&'static str> {
    let is_nowhere = snapshot.is_built_elsewhere_alone() && !snapshot.has_ready_builder();
    is_nowhere.then(|| tr(": nothing is built, as `max-jobs` is 0 here"))
}

/// The warnings that no target's own help has told already.
fn untold(snapshot: &Snapshot) -> impl Iterator<Item = &Warning> {
    let is_told = |warning: &&Warning| {
        let mut targets = snapshot.targets.iter();
        targets.any(|target| target.tells(warning))
    };
    snapshot.warnings.iter().filter(move |it| !is_told(it))
}

fn counted(count: usize, kind: Kind) -> String {
    match (count, kind) {
        (1, Kind::Cache) => tr("1 cache").to_owned(),
        (1, Kind::Builder) => tr("1 builder").to_owned(),
        (many, Kind::Cache) => say!("{many} caches", many),
        (many, Kind::Builder) => say!("{many} builders", many),
    }
}

fn noun(count: usize, kind: Kind) -> Option<String> {
    match (count, kind) {
        (0, _) => None,
        (1, Kind::Cache) => Some(tr("the cache").to_owned()),
        (1, Kind::Builder) => Some(tr("the builder").to_owned()),
        (_, _) => Some(counted(count, kind)),
    }
}

/// A reason that is the whole machine's and no target's: its help stands once, under the headline.
fn common_cause(snapshot: &Snapshot) -> Option<Reason> {
    match (snapshot.state, snapshot.reason) {
        (OverallState::Paused, _) => Some(Reason::Paused),
        (OverallState::Unknown, Reason::NotConfigured) if !is_explained(snapshot) => {
            Some(Reason::NotConfigured)
        }
        _ => None,
    }
}

/// Whether nothing is configured as far as can be seen, and not all can.
fn is_unseen(snapshot: &Snapshot) -> bool {
    let mut warnings = snapshot.warnings.iter();
    snapshot.reason == Reason::NotConfigured
        && warnings.any(|warning| warning.code == WarningCode::NotVisible)
}

/// Whether a warning says why nothing is watched: something is configured, and can't be read or watched.
fn is_explained(snapshot: &Snapshot) -> bool {
    let mut warnings = snapshot.warnings.iter();
    warnings.any(|warning| {
        matches!(
            warning.code,
            WarningCode::NotVisible
                | WarningCode::NotWatchable
                | WarningCode::NixConfBroken
                | WarningCode::MachinesFileBroken
        )
    })
}

impl Default for Style {
    /// Plain text, 80 columns.
    fn default() -> Self {
        Self {
            colour: false,
            width: 80,
            now_realtime_usec: 0,
            verbose: false,
        }
    }
}

#[cfg(test)]
mod tests;
