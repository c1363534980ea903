//! What the daemon says of a way beside what Nix does, and how often which.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use super::{Judged, codes, nix::Did};

/// How the two go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Agreement {
    /// Nix goes there, and the daemon says so.
    BothGo,
    /// Nix does not, and the daemon says so.
    NeitherGoes,
    /// The daemon says that it does not know.
    Undecided,
    /// They differ as it is known, for the reason that stands with the case.
    Known,
    /// The daemon says that Nix goes there, and it does not.
    FalseGreen,
    /// The daemon says that Nix does not go there, and it does.
    FalseRed,
}

/// How often which of them.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<Agreement, usize>);

/// What the daemon says of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Goes,
    Stays,
    Unknown,
}

impl Agreement {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::BothGo,
        Self::NeitherGoes,
        Self::Undecided,
        Self::Known,
        Self::FalseGreen,
        Self::FalseRed,
    ];

    fn of(word: Word, goes: bool) -> Self {
        match (word, goes) {
            (Word::Goes, true) => Self::BothGo,
            (Word::Stays, false) => Self::NeitherGoes,
            (Word::Unknown, _) => Self::Undecided,
            (Word::Goes, false) => Self::FalseGreen,
            (Word::Stays, true) => Self::FalseRed,
        }
    }

    fn agrees(self) -> bool {
        match self {
            Self::BothGo | Self::NeitherGoes | Self::Undecided => true,
            Self::Known | Self::FalseGreen | Self::FalseRed => false,
        }
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::BothGo => "both go",
            Self::NeitherGoes => "neither goes",
            Self::Undecided => "undecided",
            Self::Known => "known to differ",
            Self::FalseGreen => "FALSE GREEN",
            Self::FalseRed => "FALSE RED",
        })
    }
}

impl Tally {
    /// One more.
    pub fn add(&mut self, agreement: Agreement) {
        *self.0.entry(agreement).or_default() += 1;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cases", self.0.values().sum::<usize>())?;
        for agreement in Agreement::ALL {
            let count = self.0.get(&agreement).copied().unwrap_or_default();
            write!(f, ", {count} {}", agreement.to_string().to_lowercase())?;
        }
        Ok(())
    }
}

impl Word {
    /// Of what `--once --json` printed: of its targets of this kind the best.
    pub(super) fn of(snapshot: &Value, kind: &str) -> Self {
        let targets = super::targets(snapshot, kind);
        let has = |state: &str| targets.iter().any(|target| target["state"] == state);
        if has("ready") {
            Self::Goes
        } else if has("unknown") {
            Self::Unknown
        } else {
            Self::Stays
        }
    }
}

/// The daemon's word, beside what Nix `did`; `snapshot` is what the daemon printed.
pub(super) fn hold(snapshot: &Value, word: Word, did: &Did) -> Judged {
    let agreement = Agreement::of(word, did.well);
    let targets = snapshot["targets"].as_array().into_iter().flatten();
    let states: Vec<_> = targets
        .map(|target| {
            let text = |name: &str| target[name].as_str().unwrap_or_default();
            format!("{} {} at {}", text("state"), text("reason"), text("stage"))
        })
        .collect();
    Judged {
        agrees: agreement.agrees(),
        said: format!(
            "{} {:?}; Nix: {}",
            states.join(", "),
            codes(snapshot),
            did.said
        ),
        agreement: Some(agreement),
    }
}
