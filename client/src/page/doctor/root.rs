//! Which of several faults is the one to mend first.
//!
//! The order: what breaks Nix's use of every target; then the worst target that is not ready, or
//! the difference that explains its reason; then, where all are ready, the differences by weight.
//! The daemon already hides what follows from something else, so that this seldom has to choose.

use serde::Serialize;

use super::{Kind, OverallState, Reason, Snapshot, Target, Warning, WarningCode, help};
use crate::{
    Printable, TargetState, reasons,
    snapshot::{DETAIL_ERROR, Detail},
    template, warnings,
};

/// The fault to mend first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Root<'a> {
    /// A difference.
    Warning(&'a Warning),
    /// A target that is not ready.
    Target(&'a Target),
    /// What concerns every target alike.
    Machine(Reason),
}

/// The root cause in words, for JSON and for the page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RootCause {
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
pub fn root(snapshot: &Snapshot) -> Option<Root<'_>> {
    let ranked = ranked(snapshot);
    let heaviest = ranked.first().copied();
    if let Some(breaker) = heaviest.filter(|warning| weight(warning.code) == Weight::Breaks) {
        return Some(Root::Warning(breaker));
    }
    match (snapshot.state, snapshot.reason) {
        (OverallState::Paused, _) => return Some(Root::Machine(Reason::Paused)),
        (_, Reason::NotConfigured) if snapshot.targets.is_empty() => {
            return Some(Root::Machine(Reason::NotConfigured));
        }
        _ => {}
    }
    // Of equals the first is taken: the order is Nix's.
    if let Some(worst) = snapshot.targets.iter().filter(|t| ails(t)).min_by_key(rank) {
        let explaining = ranked.iter().find(|warning| explains(warning, worst));
        return Some(explaining.map_or(Root::Target(worst), |warning| Root::Warning(warning)));
    }
    heaviest.map(Root::Warning)
}

/// The warnings, the heaviest first.
pub(super) fn ranked(snapshot: &Snapshot) -> Vec<&Warning> {
    let mut ranked: Vec<&Warning> = snapshot.warnings.iter().collect();
    ranked.sort_by_key(|warning| weight(warning.code));
    ranked
}

impl Root<'_> {
    /// Whether it is this target's own reason, or why the target is not ready.
    pub(super) fn explains(&self, target: &Target) -> bool {
        match self {
            Self::Target(one) => (one.kind, &one.name) == (target.kind, &target.name),
            Self::Warning(warning) => explains(warning, target),
            Self::Machine(_) => false,
        }
    }

    pub(super) fn is_warning(&self, warning: &Warning) -> bool {
        matches!(self, Self::Warning(one) if std::ptr::eq(*one, warning))
    }

    /// Its words.
    pub fn told(&self) -> RootCause {
        match self {
            Self::Warning(warning) => RootCause {
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
            Self::Target(target) if target.reason == Reason::None => RootCause {
                kind: "state",
                code: target.state.as_str(),
                target: target.label(),
                since: target.state_change_timestamp,
                title: match target.state {
                    TargetState::Away => "this machine is on no network that reaches it".to_owned(),
                    state => state.to_string(),
                },
                ..RootCause::default()
            },
            Self::Target(target) => RootCause {
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
                RootCause {
                    kind: "reason",
                    code: reason.as_str(),
                    title: words.title.to_owned(),
                    explanation: words.explanation.to_owned(),
                    remedy: words.remedy.to_owned(),
                    ..RootCause::default()
                }
            }
        }
    }
}

/// What a warning costs; the heaviest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// Nix uses no builder or no cache, or not as its files say, whatever the targets are like.
    Breaks,
    /// Somebody else answers in the desktop's place.
    Alarm,
    /// A layer says something else than another of one target.
    Address,
    /// Nix can't or will not use one target fully.
    Target,
    /// offloadd's own.
    Own,
    /// It costs something on another day.
    Advice,
}

const fn weight(code: WarningCode) -> Weight {
    match code {
        WarningCode::NixConfBroken
        | WarningCode::MachinesFileBroken
        | WarningCode::SubstitutionOff
        | WarningCode::BuildersDisabled
        | WarningCode::DaemonConfigStale => Weight::Breaks,
        WarningCode::HostKeyMismatch | WarningCode::OtherCache => Weight::Alarm,
        WarningCode::AddressMismatch
        | WarningCode::AddressMoved
        | WarningCode::SshConfigMismatch => Weight::Address,
        WarningCode::NotInNixConf
        | WarningCode::NixVersion
        | WarningCode::BuilderWithoutSlots
        | WarningCode::TwoHostKeys
        | WarningCode::HostKeyNotKnown
        | WarningCode::HostKeyDiffers
        | WarningCode::KeyNotTrusted => Weight::Target,
        WarningCode::ConfigRejected => Weight::Own,
        WarningCode::NegativeCacheStale
        | WarningCode::LanCacheLast
        | WarningCode::NotSteered
        | WarningCode::FallbackOff
        | WarningCode::SshOptionIgnored
        | WarningCode::NotVisible
        | WarningCode::NotWatchable
        | WarningCode::TooManyBuilders
        | WarningCode::Unknown => Weight::Advice,
    }
}

/// Whether something is wrong with a target.
const fn ails(target: &Target) -> bool {
    match target.state {
        TargetState::Down | TargetState::Degraded | TargetState::Away => true,
        TargetState::Unknown => !matches!(target.reason, Reason::None),
        TargetState::Ready | TargetState::Paused => false,
    }
}

/// The worst has the least: a wrong host key is an alarm, and who answers wrongly can be mended more
/// surely than who does not answer at all, but is also the lesser loss.
fn rank(target: &&Target) -> u8 {
    match (target.reason, target.state) {
        (Reason::HostKeyMismatch, _) => 0,
        (_, TargetState::Down) => 1,
        (_, TargetState::Degraded) => 2,
        (_, TargetState::Away) => 3,
        (_, TargetState::Unknown | TargetState::Ready | TargetState::Paused) => 4,
    }
}

/// Whether a warning is why a target is not ready.
fn explains(warning: &Warning, target: &Target) -> bool {
    if help::tells(target, warning) {
        return true;
    }
    let of_it = |(kind, name): &(Kind, Printable)| *kind == target.kind && *name == target.name;
    if target.state == TargetState::Away || !warning.target.as_ref().is_some_and(of_it) {
        return false;
    }
    match warning.code {
        WarningCode::SshConfigMismatch => unreached(target.reason),
        WarningCode::HostKeyNotKnown | WarningCode::HostKeyDiffers => matches!(
            target.reason,
            Reason::HostKeyUnknown | Reason::HostKeyMismatch
        ),
        WarningCode::HostKeyMismatch => target.reason == Reason::HostKeyMismatch,
        WarningCode::OtherCache => {
            unreached(target.reason) || target.reason == Reason::UntrustedSignature
        }
        WarningCode::KeyNotTrusted => target.reason == Reason::UntrustedSignature,
        _ => false,
    }
}

/// Whether nobody, or somebody else, was met where the target was looked for.
const fn unreached(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::DnsFailed
            | Reason::Refused
            | Reason::TimedOut
            | Reason::NoRoute
            | Reason::HostUnreachable
            | Reason::HostKeyMismatch
            | Reason::NotHttp
            | Reason::NotSsh
            | Reason::CaptivePortal
    )
}
