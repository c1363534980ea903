//! How a test build ended, in a line, and what to do where it did not.

use super::{Style, Tone, help, units};
use crate::{
    JobState, Reason, Stage, TargetState,
    language::{say, tr},
    reasons,
    snapshot::Target,
    test_build::{self, TestBuild},
};

/// The end of a test build of `target`: where it was built and how long it took, or why not, with
/// the help that the status page would give.
pub fn render_test_build(target: &Target, build: &TestBuild, style: &Style) -> String {
    let verdict = format!(
        "{} {}: {}",
        glyph(build.state),
        target.label(),
        summary(build)
    );
    let mut text = help::lines(&verdict, "", "    ", style, Some(tone(build.state)));
    if let Some(failed) = failed_build(target, build) {
        text.push_str(&help::words_for(&failed, style));
    }
    text
}

/// The builder as the status page would have it for that; nothing where the build did not fail, or nobody knows why.
pub(crate) fn failed_build(target: &Target, build: &TestBuild) -> Option<Target> {
    if build.state != JobState::Failed || build.reason == Reason::None {
        return None;
    }
    let told = [
        (test_build::PLACE.into(), build.place.clone().into()),
        (test_build::ERROR.into(), build.error.clone().into()),
    ];
    let known = target.details.iter();
    let known = known.map(|(key, value)| (key.clone(), value.clone()));
    Some(Target {
        state: TargetState::Degraded,
        stage: Stage::Build,
        reason: build.reason,
        details: known.chain(told).collect(),
        ..target.clone()
    })
}

/// Where it was built and how long it took, or why not: `built on tower in 3.2 s`,
/// `test build failed after 1.5 s · error: …`.
pub(super) fn summary(build: &TestBuild) -> String {
    let took = units::took(build.duration_usec);
    match build.state {
        JobState::Succeeded if build.place.is_empty() => say!("built in {took}", took),
        JobState::Succeeded => say!("built on {place} in {took}", place = build.place, took),
        JobState::Cancelled => say!("cancelled after {took}", took),
        JobState::Running => tr("running").to_owned(),
        JobState::Failed | JobState::Unknown => {
            let title = match reasons::text(build.reason).title {
                "" => reasons::text(Reason::BuildFailed).title,
                title => title,
            };
            let took = match (build.duration_usec, build.reason) {
                // It never began.
                (0, _) => String::new(),
                (_, Reason::BuiltLocally | Reason::BuiltElsewhere) => say!(" in {took}", took),
                _ => say!(" after {took}", took),
            };
            let error = match build.error.as_str() {
                "" => String::new(),
                error => format!(" · {error}"),
            };
            format!("{title}{took}{error}")
        }
    }
}

const fn glyph(state: JobState) -> &'static str {
    match state {
        JobState::Succeeded => "✔",
        JobState::Failed => "✗",
        JobState::Cancelled => "‖",
        JobState::Running | JobState::Unknown => "?",
    }
}

const fn tone(state: JobState) -> Tone {
    match state {
        JobState::Succeeded => Tone::Good,
        JobState::Failed => Tone::Bad,
        JobState::Cancelled | JobState::Running | JobState::Unknown => Tone::Neutral,
    }
}
