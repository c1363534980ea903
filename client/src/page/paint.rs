//! Colours and glyphs. Each state has a glyph of its own: the page reads without colours too.

use super::Style;
use crate::{OverallState, TargetState};

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// Something needs a person.
    Uneasy,
    /// Something is not there.
    Bad,
    /// Nothing is known, and nothing is wrong with that.
    Neutral,
    /// Beside the point.
    Faint,
    /// The point.
    Strong,
}

impl Style {
    /// `text` in the colour of `tone`, or as it is.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        // The 16 colours of the terminal's own theme.
        let code = match tone {
            Tone::Good => 32,
            Tone::Uneasy => 33,
            Tone::Bad => 31,
            Tone::Neutral => 36,
            Tone::Faint => 2,
            Tone::Strong => 1,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// The sign for a target's state; one column wide.
pub const fn state_glyph(state: TargetState) -> &'static str {
    match state {
        TargetState::Unknown => "?",
        TargetState::Ready => "✔",
        TargetState::Degraded => "▲",
        TargetState::Down => "✗",
        TargetState::Away => "◌",
        TargetState::Paused => "‖",
    }
}

/// The colour of a target's state.
pub const fn state_tone(state: TargetState) -> Tone {
    match state {
        TargetState::Ready => Tone::Good,
        TargetState::Degraded => Tone::Uneasy,
        TargetState::Down => Tone::Bad,
        TargetState::Unknown | TargetState::Away | TargetState::Paused => Tone::Neutral,
    }
}

/// The sign for the overall state; one column wide.
pub const fn overall_glyph(state: OverallState) -> &'static str {
    state_glyph(as_target(state))
}

/// The colour of the overall state.
pub const fn overall_tone(state: OverallState) -> Tone {
    state_tone(as_target(state))
}

const fn as_target(state: OverallState) -> TargetState {
    match state {
        OverallState::Unknown => TargetState::Unknown,
        OverallState::Ready => TargetState::Ready,
        OverallState::Degraded => TargetState::Degraded,
        OverallState::Offline => TargetState::Down,
        OverallState::Away => TargetState::Away,
        OverallState::Paused => TargetState::Paused,
    }
}
