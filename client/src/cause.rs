//! What is wrong, in people's words: the root cause that the daemon has named, and what each target and warning says.

use serde::Serialize;

use crate::{
    Reason, Snapshot, TargetState,
    language::tr,
    reasons,
    snapshot::{CauseKind, DETAIL_ERROR, Detail, Target, Warning},
    template, warnings,
};

/// What a person is shown of something that is not as it should be.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Words {
    /// A few words.
    pub title: String,
    /// What was seen, and what it means.
    pub explanation: String,
    /// What to do.
    pub remedy: String,
}

impl Target {
    /// What a person is shown of it; nothing where nothing is wrong.
    pub fn words(&self) -> Option<Words> {
        let words = Words {
            title: reasons::title_for(self).to_owned(),
            explanation: reasons::explanation_for(self),
            remedy: reasons::remedy_for(self),
        };
        (!words.title.is_empty()).then_some(words)
    }
}

impl Warning {
    /// What a person is shown of it.
    pub fn words(&self) -> Words {
        Words {
            title: warnings::title_for(self).to_owned(),
            explanation: warnings::explanation_for(self),
            remedy: warnings::remedy_for(self),
        }
    }
}

impl Snapshot {
    /// What to mend first, in words; nothing where nothing is wrong, or nothing was judged yet.
    pub fn cause(&self) -> Option<Cause> {
        root(self).map(|root| root.told())
    }
}

/// What the root cause is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Root<'a> {
    /// A difference.
    Warning(&'a Warning),
    /// A target that is not ready.
    Target(&'a Target),
    /// What concerns every target alike.
    Machine(Reason),
}

/// The root cause in words.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// `warning`, `reason` or `state`: whose vocabulary `code` is from.
    pub kind: &'static str,
    /// The code: `address-mismatch`, `refused`, `away`.
    pub code: &'static str,
    /// `builder/desktop`; empty where it is about this machine.
    pub target: String,
    /// Since when it is so, in microseconds of `CLOCK_REALTIME`; 0 where not known.
    pub since: u64,
    /// A few words.
    pub title: String,
    /// What was seen.
    pub explanation: String,
    /// What to do.
    pub remedy: String,
    /// A machine's own words for it; empty where there are none.
    pub error: String,
}

/// The root cause; nothing where nothing is wrong, or nothing was judged yet.
pub(crate) fn root(snapshot: &Snapshot) -> Option<Root<'_>> {
    let cause = snapshot.root_cause.as_ref()?;
    let is_it = |warning: &&Warning| {
        warning.code.as_str() == cause.code.as_str() && warning.target == cause.target
    };
    match (cause.kind, &cause.target) {
        (CauseKind::Warning, _) => snapshot.warnings.iter().find(is_it).map(Root::Warning),
        (CauseKind::State | CauseKind::Reason, Some((kind, name))) => {
            let mut targets = snapshot.targets.iter();
            let target = targets.find(|target| (target.kind, &target.name) == (*kind, name));
            target.map(Root::Target)
        }
        (CauseKind::State | CauseKind::Reason, None) => {
            Some(Root::Machine(Reason::from_word(&cause.code)))
        }
    }
}

impl Root<'_> {
    /// Its words.
    pub(crate) fn told(&self) -> Cause {
        match self {
            Self::Warning(warning) => Cause {
                kind: "warning",
                code: warning.code.as_str(),
                target: (warning.target.as_ref())
                    .map(|(kind, name)| format!("{kind}/{name}"))
                    .unwrap_or_default(),
                since: match warning.details.get("since") {
                    Some(Detail::Uint(since)) => *since,
                    _ => 0,
                },
                title: warnings::title_for(warning).to_owned(),
                explanation: warnings::explanation_for(warning),
                remedy: warnings::remedy_for(warning),
                error: template::detail(&warning.details, DETAIL_ERROR).unwrap_or_default(),
            },
            Self::Target(target) if target.reason == Reason::None => Cause {
                kind: "state",
                code: target.state.as_str(),
                target: target.label(),
                since: target.state_change_timestamp,
                title: match target.state {
                    TargetState::Away => {
                        tr("this machine is on no network that reaches it").to_owned()
                    }
                    state => state.to_string(),
                },
                ..Cause::default()
            },
            Self::Target(target) => Cause {
                kind: "reason",
                code: target.reason.as_str(),
                target: target.label(),
                since: target.state_change_timestamp,
                title: reasons::title_for(target).to_owned(),
                explanation: reasons::explanation_for(target),
                remedy: reasons::remedy_for(target),
                error: template::detail(&target.details, DETAIL_ERROR).unwrap_or_default(),
            },
            Self::Machine(reason) => {
                let words = reasons::text(*reason);
                Cause {
                    kind: "reason",
                    code: reason.as_str(),
                    title: words.title.to_owned(),
                    explanation: words.explanation.to_owned(),
                    remedy: words.remedy.to_owned(),
                    ..Cause::default()
                }
            }
        }
    }
}
