//! What must hold of the core whatever has happened, and the verdict over all targets once more, spelled out.

use super::*;

impl World {
    pub(super) fn check(&self) {
        let wake = self.health.next_wake();
        assert!(wake.is_none_or(|wake| wake > self.now.boot), "{wake:?}");
        for (id, seen) in &self.targets {
            let health = self.health.target(id).expect("it is watched");
            assert_eq!((health.state, health.reason), seen.standing, "untold");
            let has_reason = health.reason != Reason::None;
            match health.state {
                TargetState::Ready => {
                    assert!(!has_reason, "{health:?}");
                    assert_eq!(seen.hindered, None, "Nix does not go there");
                }
                TargetState::Unknown => {
                    let unlooked = [
                        Reason::Redirected,
                        Reason::NotVisible,
                        Reason::KnownHostsUnreadable,
                        Reason::SshConfigUnsupported,
                        Reason::OutOfResources,
                    ];
                    assert_eq!(unlooked.contains(&health.reason), has_reason, "{health:?}");
                }
                _ => assert!(has_reason, "{health:?}"),
            }
            if health.passes {
                let misbuilt = seen.misbuilt.iter().find(|it| **it == health.reason);
                let why = seen.hindered.or(misbuilt.copied()).unwrap_or_default();
                assert_eq!(health.reason, why, "{health:?}");
            }
            let blamed = has_reason && health.state != TargetState::Unknown;
            assert!(
                !blamed || health.reason != Reason::OutOfResources,
                "{health:?}"
            );
            if health.state == TargetState::Paused {
                assert_eq!((seen.in_flight, health.next_check), (None, 0));
                assert_eq!(self.pause, Some(wake));
            } else {
                assert_eq!(self.pause, None);
                assert!(seen.in_flight.is_some() || wake.is_some(), "forgotten");
            }
            let is_silent = ABSENT.contains(&health.reason) && health.state == TargetState::Down;
            assert!(seen.reach != Reach::Nowhere || !is_silent, "it is away");
            let history = self.health.history(id, 1);
            assert!(
                history
                    .first()
                    .is_none_or(|entry| { (entry.state, entry.reason) == seen.standing })
            );
        }
        let overall = self.health.overall();
        assert_eq!(overall.state, self.overall, "untold");
        assert_eq!((overall.state, overall.reason), self.naive_overall());
    }

    /// The same verdict, spelled out: an unknown target is tried as everything it might be.
    fn naive_overall(&self) -> (OverallState, Reason) {
        let mut standings: Vec<_> = self.targets.values().map(|seen| seen.standing).collect();
        let paused = |(state, _): &(TargetState, Reason)| *state == TargetState::Paused;
        let is_paused = !standings.is_empty() && standings.iter().all(paused);
        for kind in [Kind::Builder, Kind::Cache] {
            let mut ids = self.targets.keys();
            if let Some(reason) = self.kinds.get(&kind)
                && !is_paused
                && !ids.any(|id| id.kind == kind)
            {
                standings.push((TargetState::Degraded, *reason));
            }
        }
        let states: Vec<_> = standings.iter().map(|(state, _)| *state).collect();
        let reason = worst(&standings);
        let known: Vec<_> = states
            .iter()
            .copied()
            .filter(|state| *state != TargetState::Unknown)
            .collect();
        let verdict = |tried: TargetState| {
            let mut states = known.clone();
            states.resize(standings.len(), tried);
            all_some_or_none(&states)
        };
        let first = verdict(TargetState::Ready);
        let settled = [TargetState::Degraded, TargetState::Down, TargetState::Away]
            .into_iter()
            .all(|tried| verdict(tried) == first);
        let state = if settled {
            first
        } else {
            OverallState::Unknown
        };
        (state, reason)
    }
}

fn all_some_or_none(states: &[TargetState]) -> OverallState {
    let all = |wanted| !states.is_empty() && states.iter().all(|state| *state == wanted);
    let any = |wanted| states.contains(&wanted);
    if states.is_empty() {
        OverallState::Unknown
    } else if all(TargetState::Paused) {
        OverallState::Paused
    } else if all(TargetState::Ready) {
        OverallState::Ready
    } else if any(TargetState::Ready) || any(TargetState::Degraded) {
        OverallState::Degraded
    } else if all(TargetState::Away) {
        OverallState::Away
    } else {
        OverallState::Offline
    }
}

fn worst(standings: &[(TargetState, Reason)]) -> Reason {
    if standings.is_empty() {
        return Reason::NotConfigured;
    }
    let alarm = (TargetState::Degraded, Reason::HostKeyMismatch);
    let of = |wanted| standings.iter().find(move |(state, _)| *state == wanted);
    standings
        .iter()
        .find(|standing| **standing == alarm)
        .or_else(|| of(TargetState::Degraded))
        .or_else(|| of(TargetState::Down))
        .or_else(|| of(TargetState::Away))
        .or_else(|| of(TargetState::Paused))
        .or_else(|| standings.iter().find(|(_, reason)| *reason != Reason::None))
        .map_or(Reason::None, |(_, reason)| *reason)
}

/// What a check comes to where no way leads.
const ABSENT: [Reason; 4] = [
    Reason::TimedOut,
    Reason::NoRoute,
    Reason::HostUnreachable,
    Reason::DnsFailed,
];
