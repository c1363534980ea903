//! Which of all that is wrong is to be mended first.
//!
//! The order: what breaks Nix's use of every target; then the worst target that is not ready, or the
//! warning that explains its reason; then, where all are ready, the warnings by weight. What follows
//! from something else is hidden already (`roots`), so that this seldom has to choose.

use offload_client::{
    Kind, OverallState, Reason, TargetState, WarningCode,
    snapshot::{CauseKind, RootCause, Snapshot, Target, Warning},
};

use crate::reason::{Who, traits};

/// Puts the heaviest warning first.
pub fn sort(warnings: &mut [Warning]) {
    warnings.sort_by_key(|warning| weight(warning.code));
}

/// The root cause of what `snapshot` shows, whose warnings are [`sort`]ed; nothing where nothing is
/// wrong, or nothing was judged yet.
pub fn root_cause(snapshot: &Snapshot) -> Option<RootCause> {
    let heaviest = snapshot.warnings.first();
    if let Some(breaker) = heaviest.filter(|warning| weight(warning.code) == Weight::Breaks) {
        return Some(of_warning(breaker, snapshot));
    }
    match (snapshot.state, snapshot.reason) {
        (OverallState::Paused, _) => return Some(of_machine(Reason::Paused)),
        (_, Reason::NotConfigured) if snapshot.targets.is_empty() => {
            return Some(of_machine(Reason::NotConfigured));
        }
        _ => {}
    }
    // Of equals a builder, whose loss is felt, comes before a cache; then the first, in Nix's order.
    let ailing = snapshot.targets.iter().filter(|target| ails(target));
    if let Some(worst) = ailing.min_by_key(|it| (rank(it), it.kind != Kind::Builder)) {
        let mut warnings = snapshot.warnings.iter();
        let explaining = warnings.find(|warning| explains(warning, worst));
        return Some(
            explaining.map_or_else(|| of_target(worst), |warning| of_warning(warning, snapshot)),
        );
    }
    heaviest.map(|warning| of_warning(warning, snapshot))
}

fn of_warning(warning: &Warning, snapshot: &Snapshot) -> RootCause {
    let explained = snapshot.targets.iter();
    let explained = explained.filter(|target| explains(warning, target));
    RootCause {
        kind: CauseKind::Warning,
        code: warning.code.as_str().into(),
        target: warning.target.clone(),
        explains: explained.map(id).collect(),
    }
}

fn of_target(target: &Target) -> RootCause {
    let (kind, code) = match target.reason {
        Reason::None => (CauseKind::State, target.state.as_str()),
        reason => (CauseKind::Reason, reason.as_str()),
    };
    RootCause {
        kind,
        code: code.into(),
        target: Some(id(target)),
        explains: vec![id(target)],
    }
}

fn of_machine(reason: Reason) -> RootCause {
    RootCause {
        kind: CauseKind::Reason,
        code: reason.as_str().into(),
        ..RootCause::default()
    }
}

fn id(target: &Target) -> (offload_client::Kind, offload_client::Printable) {
    (target.kind, target.name.clone())
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
        | WarningCode::StoreElsewhere
        | WarningCode::SubstitutionOff
        | WarningCode::BuildersDisabled
        | WarningCode::SshMissing
        | WarningCode::DaemonConfigStale
        | WarningCode::DaemonConfigUnknown => Weight::Breaks,
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
        | WarningCode::PositiveCacheStale
        | WarningCode::ForeignBuildHook
        | WarningCode::StoreNearlyFull
        | WarningCode::OnlyMandatory
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
fn rank(target: &Target) -> u8 {
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
    // A check that has found it does not know which file it is.
    let is_unread = warning.code == WarningCode::DaemonConfigStale
        && target.reason == Reason::DaemonConfigStale;
    if is_unread || target.tells(warning) {
        return true;
    }
    if target.state == TargetState::Away || warning.target != Some(id(target)) {
        return false;
    }
    let is_unreached = || traits(target.reason).who != Who::Own;
    match warning.code {
        WarningCode::SshConfigMismatch | WarningCode::OtherCache => is_unreached(),
        WarningCode::HostKeyNotKnown | WarningCode::HostKeyDiffers => matches!(
            target.reason,
            Reason::HostKeyUnknown | Reason::HostKeyMismatch
        ),
        WarningCode::HostKeyMismatch => target.reason == Reason::HostKeyMismatch,
        WarningCode::KeyNotTrusted => target.reason == Reason::UntrustedSignature,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use offload_client::{Stage, snapshot::Details};

    use super::*;

    fn cache() -> Target {
        Target {
            name: "desktop".into(),
            kind: Kind::Cache,
            state: TargetState::Ready,
            ..Target::default()
        }
    }

    fn builder() -> Target {
        Target {
            kind: Kind::Builder,
            ..cache()
        }
    }

    fn failed(target: Target, state: TargetState, stage: Stage, reason: Reason) -> Target {
        Target {
            state,
            stage,
            reason,
            ..target
        }
    }

    fn warning(code: WarningCode, kind: Option<Kind>, details: &[(&str, &str)]) -> Warning {
        let details = details
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()));
        let mut details: Details = details.collect();
        details.insert("since".into(), 1.into());
        Warning {
            code,
            target: kind.map(|kind| (kind, "desktop".into())),
            details,
        }
    }

    fn of(targets: Vec<Target>, mut warnings: Vec<Warning>) -> Option<RootCause> {
        sort(&mut warnings);
        root_cause(&Snapshot {
            targets: targets.into(),
            warnings,
            ..Snapshot::default()
        })
    }

    #[test]
    fn the_root_cause_is_what_explains_the_rest() {
        use WarningCode as W;
        let ready = || vec![cache(), builder()];
        let down = |reason| {
            let down = failed(builder(), TargetState::Down, Stage::Connect, reason);
            vec![cache(), down]
        };
        let hindered = |reason| {
            let mut builder = failed(builder(), TargetState::Degraded, Stage::System, reason);
            builder.details.insert("wrong".into(), "".into());
            vec![cache(), builder]
        };
        let about = |code, wrong| warning(code, Some(Kind::Builder), &[("wrong", wrong)]);
        let mismatch = |wrong| about(W::AddressMismatch, wrong);
        for (targets, warnings, expected) in [
            (ready(), vec![], ""),
            (
                ready(),
                vec![about(W::FallbackOff, ""), mismatch("declared")],
                "address-mismatch",
            ),
            (
                ready(),
                vec![about(W::KeyNotTrusted, ""), about(W::HostKeyMismatch, "")],
                "host-key-mismatch",
            ),
            (down(Reason::TimedOut), vec![], "timed-out"),
            (
                hindered(Reason::AddressMoved),
                vec![about(W::FallbackOff, ""), about(W::AddressMoved, "")],
                "address-moved",
            ),
            (
                hindered(Reason::NotInNixConf),
                vec![mismatch("declared")],
                "not-in-nix-conf",
            ),
            // It is nowhere: no address is the wrong one.
            (down(Reason::TimedOut), vec![mismatch("")], "timed-out"),
            (
                down(Reason::AuthRejected),
                vec![mismatch("declared")],
                "auth-rejected",
            ),
            (
                down(Reason::TimedOut),
                vec![about(W::FallbackOff, "")],
                "timed-out",
            ),
            (
                down(Reason::HostKeyUnknown),
                vec![about(W::HostKeyNotKnown, "")],
                "host-key-not-known",
            ),
            (
                down(Reason::TimedOut),
                vec![warning(W::BuildersDisabled, None, &[])],
                "builders-disabled",
            ),
            (
                down(Reason::TimedOut),
                vec![warning(W::DaemonConfigStale, None, &[])],
                "daemon-config-stale",
            ),
            (
                vec![
                    failed(cache(), TargetState::Down, Stage::Connect, Reason::Refused),
                    failed(
                        builder(),
                        TargetState::Degraded,
                        Stage::HostKey,
                        Reason::HostKeyMismatch,
                    ),
                ],
                vec![],
                "host-key-mismatch",
            ),
            (
                vec![failed(
                    cache(),
                    TargetState::Away,
                    Stage::None,
                    Reason::None,
                )],
                vec![warning(W::AddressMoved, Some(Kind::Cache), &[])],
                "away",
            ),
        ] {
            let told = of(targets, warnings.clone()).map(|cause| cause.code);
            assert_eq!(
                told.as_deref().unwrap_or_default(),
                expected,
                "{warnings:?}"
            );
        }
    }

    #[test]
    fn where_the_whole_desktop_is_gone_the_builder_is_named() {
        let gone = |target, reason| failed(target, TargetState::Down, Stage::Connect, reason);
        let cache = gone(cache(), Reason::Refused);
        let cause = of(
            vec![cache.clone(), gone(builder(), Reason::TimedOut)],
            vec![],
        );
        let named = cause.unwrap();
        assert_eq!(named.target, Some((Kind::Builder, "desktop".into())));
        assert_eq!(named.code, "timed-out");
        // A cache that is down is worse than a builder that answers.
        let answers = failed(
            builder(),
            TargetState::Degraded,
            Stage::Auth,
            Reason::AuthRejected,
        );
        let cause = of(vec![cache, answers], vec![]).unwrap();
        assert_eq!(cause.target, Some((Kind::Cache, "desktop".into())));
    }

    #[test]
    fn a_machine_without_targets_has_nothing_to_watch() {
        let cause = root_cause(&Snapshot {
            reason: Reason::NotConfigured,
            ..Snapshot::default()
        });
        assert_eq!(cause.unwrap().code, "not-configured");
    }

    #[test]
    fn a_warning_explains_each_target_that_is_not_ready_for_it() {
        let hindered = |target| {
            let reason = Reason::NixConfBroken;
            failed(target, TargetState::Degraded, Stage::System, reason)
        };
        let broken = warning(WarningCode::NixConfBroken, None, &[]);
        let cause = of(vec![hindered(cache()), hindered(builder())], vec![broken]).unwrap();
        let desktop = |kind| (kind, "desktop".into());
        assert_eq!(
            cause.explains,
            [desktop(Kind::Cache), desktop(Kind::Builder)]
        );
        assert_eq!(cause.target, None);
    }
}
