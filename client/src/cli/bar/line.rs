//! What a bar shows, whichever it is; and the tray.

use crate::{
    OverallState, Snapshot, TargetState,
    language::{say, tr},
    page::{overall_glyph, state_glyph},
    snapshot::Target,
};

/// So many targets have a line of their own where somebody points at it.
const MAX_TARGETS: usize = 12;

/// What a bar shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Line {
    /// The state's word; `no-daemon` where there is none to ask.
    pub state: &'static str,
    /// How bad it is.
    pub urgency: Urgency,
    /// A sign of one column.
    pub glyph: &'static str,
    /// A few words.
    pub text: String,
    /// The cause in a few words; empty where all is well.
    pub title: String,
    /// What to do; empty where nothing is to be done.
    pub remedy: String,
    /// More, a line each.
    pub tooltip: Vec<String>,
}

/// How bad it is, in the words of i3status-rust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Urgency {
    /// Nothing to see.
    Idle,
    /// Builds go where they should.
    Good,
    /// They do in part.
    Warning,
    /// They don't.
    Critical,
}

impl Line {
    /// Of what the daemon knows; without one, that.
    pub(in crate::cli) fn of(snapshot: Option<&Snapshot>, ascii: bool) -> Self {
        let Some(snapshot) = snapshot else {
            return Self {
                state: "no-daemon",
                urgency: Urgency::Idle,
                glyph: "?",
                text: tr("no offloadd").to_owned(),
                title: tr("offloadd is not running").to_owned(),
                remedy: "sudo systemctl start offloadd".to_owned(),
                tooltip: vec![
                    tr("offloadd is not running: `sudo systemctl start offloadd`").to_owned(),
                ],
            };
        };
        let state = snapshot.state;
        let cause = snapshot.cause().unwrap_or_default();
        let mut tooltip: Vec<String> = Vec::new();
        let targets = snapshot.targets.iter();
        tooltip.extend(targets.take(MAX_TARGETS).map(|target| told(target, ascii)));
        let more = snapshot.targets.len().saturating_sub(MAX_TARGETS);
        if more > 0 {
            tooltip.push(say!("and {more} more", more));
        }
        if !cause.title.is_empty() {
            tooltip.push(String::new());
            tooltip.push(cause.title.clone());
        }
        if !cause.remedy.is_empty() {
            tooltip.push(format!(
                "{} {}",
                if ascii { "->" } else { "→" },
                cause.remedy
            ));
        }
        Self {
            state: state.as_str(),
            urgency: urgency(state),
            glyph: if ascii {
                ascii_of(overall_glyph(state))
            } else {
                overall_glyph(state)
            },
            text: if state != OverallState::Ready && snapshot.targets.iter().any(|it| it.waking) {
                "waking".to_owned()
            } else {
                state.to_string()
            },
            title: cause.title,
            remedy: cause.remedy,
            tooltip,
        }
    }

    /// The sign and the words.
    pub(super) fn full(&self) -> String {
        format!("{} {}", self.glyph, self.text)
    }
}

fn urgency(state: OverallState) -> Urgency {
    match state {
        OverallState::Ready => Urgency::Good,
        OverallState::Degraded => Urgency::Warning,
        OverallState::Offline => Urgency::Critical,
        // This machine is elsewhere, or somebody wants it so.
        OverallState::Away | OverallState::Paused | OverallState::Unknown => Urgency::Idle,
    }
}

/// A target's line: `✗ builder/desktop: down, connection refused`.
fn told(target: &Target, ascii: bool) -> String {
    let glyph = state_glyph(target.state);
    let glyph = if ascii { ascii_of(glyph) } else { glyph };
    let mut told = format!("{glyph} {}: {}", target.label(), target.word());
    let title = crate::reasons::text(target.reason).title;
    if target.state != TargetState::Ready && !title.is_empty() {
        told.push_str(&format!(", {title}"));
    }
    told
}

/// What stands for a sign where there are no others.
fn ascii_of(glyph: &'static str) -> &'static str {
    match glyph {
        "✔" => "+",
        "▲" => "!",
        "✗" => "x",
        "◌" => "o",
        "‖" => "=",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Kind, Reason,
        snapshot::{CauseKind, RootCause},
    };

    fn snapshot(state: OverallState, target: TargetState, reason: Reason) -> Snapshot {
        Snapshot {
            state,
            targets: vec![Target {
                name: "desktop".into(),
                kind: Kind::Builder,
                state: target,
                reason,
                ..Target::default()
            }]
            .into(),
            root_cause: (reason != Reason::None).then(|| RootCause {
                kind: CauseKind::Reason,
                code: reason.as_str().into(),
                target: Some((Kind::Builder, "desktop".into())),
                ..RootCause::default()
            }),
            ..Snapshot::default()
        }
    }

    #[test]
    fn a_bar_says_how_it_is_and_points_at_the_cause() {
        let ready = snapshot(OverallState::Ready, TargetState::Ready, Reason::None);
        let line = Line::of(Some(&ready), false);
        assert_eq!(
            (line.full().as_str(), line.urgency),
            ("✔ ready", Urgency::Good)
        );
        assert_eq!(line.tooltip, ["✔ builder/desktop: ready"]);
        let down = snapshot(OverallState::Offline, TargetState::Down, Reason::Refused);
        let line = Line::of(Some(&down), false);
        assert_eq!(line.full(), "✗ offline");
        assert_eq!(
            line.tooltip[0],
            "✗ builder/desktop: down, connection refused"
        );
        assert_eq!(line.title, "connection refused");
        assert!(line.tooltip.last().unwrap().starts_with("→ "), "{line:?}");
        assert_eq!(Line::of(None, false).full(), "? no offloadd");
    }

    #[test]
    fn every_state_has_a_sign_of_its_own_in_ascii_too() {
        let states = OverallState::ALL;
        let mut signs = Vec::new();
        for state in states {
            let down = snapshot(*state, TargetState::Down, Reason::Refused);
            let line = Line::of(Some(&down), true);
            assert!(
                line.full().is_ascii() && line.tooltip[0].is_ascii(),
                "{line:?}"
            );
            signs.push(line.glyph);
        }
        signs.sort_unstable();
        signs.dedup();
        assert_eq!(signs.len(), states.len());
    }

    #[test]
    fn a_thousand_targets_are_a_dozen_and_a_count() {
        let mut many = snapshot(OverallState::Ready, TargetState::Ready, Reason::None);
        many.targets = vec![many.targets[0].clone(); 1000].into();
        let line = Line::of(Some(&many), false);
        assert_eq!(line.tooltip.last().unwrap(), "and 988 more");
    }
}
