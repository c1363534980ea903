//! One verdict over many targets.

use offload_client::{Kind, OverallState, Reason, TargetState};

use super::target::{Standing, TargetHealth};
use crate::{clock::Now, target::TargetId};

/// The verdict over all targets, as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overall {
    /// Over all.
    pub state: OverallState,
    /// Why `state` is not ready: the worst target's reason.
    pub reason: Reason,
    /// Over the builders.
    pub builder_state: OverallState,
    /// Over the caches.
    pub cache_state: OverallState,
    /// When `state` last changed.
    pub since: Now,
    /// What keeps Nix from all builders, and from all caches.
    hindered: [Option<Reason>; 2],
    /// Whether that is news since the last update.
    is_hindered_otherwise: bool,
}

impl Overall {
    /// Before anything is watched.
    pub(super) fn new(now: Now) -> Self {
        Self {
            state: OverallState::Unknown,
            reason: Reason::NotConfigured,
            builder_state: OverallState::Unknown,
            cache_state: OverallState::Unknown,
            since: now,
            hindered: [None; 2],
            is_hindered_otherwise: false,
        }
    }

    /// What keeps Nix from all targets of `kind` is this now; it shows in the next update.
    pub(super) fn hinder(&mut self, kind: Kind, reason: Option<Reason>) {
        let [builders, caches] = &mut self.hindered;
        let hindered = match kind {
            Kind::Builder => builders,
            Kind::Cache => caches,
        };
        self.is_hindered_otherwise |= std::mem::replace(hindered, reason) != reason;
    }

    /// Whether the next update has something to take in though no target stands otherwise.
    pub(super) fn is_hindered_otherwise(&self) -> bool {
        self.is_hindered_otherwise
    }

    /// Takes in the targets as they stand now. Returns the old state if it was another.
    pub(super) fn update<'a>(
        &mut self,
        now: Now,
        targets: impl Iterator<Item = (&'a TargetId, &'a TargetHealth)>,
    ) -> Option<OverallState> {
        let (mut all, mut builders, mut caches) =
            (Tally::default(), Tally::default(), Tally::default());
        for (id, health) in targets {
            let standing = (health.state, health.reason);
            all.add(standing);
            match id.kind {
                Kind::Builder => builders.add(standing),
                Kind::Cache => caches.add(standing),
            }
        }
        let is_paused = all.state() == OverallState::Paused;
        // A kind of which something is watched speaks for itself.
        for (tally, hindered) in [&mut builders, &mut caches].into_iter().zip(self.hindered) {
            if let Some(reason) = hindered.filter(|_| tally.all == 0 && !is_paused) {
                let standing = (TargetState::Degraded, reason);
                tally.add(standing);
                all.add(standing);
            }
        }
        self.is_hindered_otherwise = false;
        self.builder_state = builders.state();
        self.cache_state = caches.state();
        self.reason = all.reason();
        let old = std::mem::replace(&mut self.state, all.state());
        if old == self.state {
            return None;
        }
        self.since = now;
        Some(old)
    }
}

/// How many targets are in which state, and what is worst about them.
#[derive(Default)]
struct Tally {
    all: usize,
    unknown: usize,
    ready: usize,
    degraded: usize,
    away: usize,
    paused: usize,
    worst: Option<Standing>,
}

impl Tally {
    fn add(&mut self, standing: Standing) {
        self.all += 1;
        match standing.0 {
            TargetState::Unknown => self.unknown += 1,
            TargetState::Ready => self.ready += 1,
            TargetState::Degraded => self.degraded += 1,
            TargetState::Away => self.away += 1,
            TargetState::Paused => self.paused += 1,
            TargetState::Down => {}
        }
        // Of equals the first stays: otherwise the reason would depend on the order of events.
        if self.worst.is_none_or(|worst| rank(standing) > rank(worst)) {
            self.worst = Some(standing);
        }
    }

    fn state(&self) -> OverallState {
        if self.all == 0 {
            OverallState::Unknown
        } else if self.paused == self.all {
            OverallState::Paused
        } else if self.degraded > 0 || (self.ready > 0 && self.ready + self.unknown < self.all) {
            // Whatever the unknown ones turn out to be, this is what it will be then.
            OverallState::Degraded
        } else if self.unknown > 0 {
            OverallState::Unknown
        } else if self.ready == self.all {
            OverallState::Ready
        } else if self.away == self.all {
            OverallState::Away
        } else {
            OverallState::Offline
        }
    }

    fn reason(&self) -> Reason {
        self.worst.map_or(Reason::NotConfigured, |worst| worst.1)
    }
}

/// The worse, the higher. What a person has to mend never hides behind what may come back by
/// itself, and a host key that is not the desktop's is an alarm.
pub(super) fn rank((state, reason): Standing) -> u8 {
    match state {
        TargetState::Degraded if reason == Reason::HostKeyMismatch => 7,
        TargetState::Degraded => 6,
        TargetState::Down => 5,
        TargetState::Away => 4,
        TargetState::Paused => 3,
        TargetState::Unknown if reason != Reason::None => 2,
        TargetState::Unknown => 1,
        TargetState::Ready => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: Standing = (TargetState::Ready, Reason::None);
    const UNKNOWN: Standing = (TargetState::Unknown, Reason::None);
    const WITHHELD: Standing = (TargetState::Unknown, Reason::Redirected);
    const REFUSED: Standing = (TargetState::Down, Reason::Refused);
    const SILENT: Standing = (TargetState::Down, Reason::TimedOut);
    const REJECTED: Standing = (TargetState::Degraded, Reason::AuthRejected);
    const ALARM: Standing = (TargetState::Degraded, Reason::HostKeyMismatch);
    const AWAY: Standing = (TargetState::Away, Reason::NoRoute);
    const PAUSED: Standing = (TargetState::Paused, Reason::Paused);

    #[test]
    fn the_state_is_all_some_or_none() {
        use OverallState::{Away, Degraded, Offline, Paused, Ready, Unknown};
        for (targets, state, reason) in [
            (&[][..], Unknown, Reason::NotConfigured),
            (&[READY], Ready, Reason::None),
            (&[READY, READY], Ready, Reason::None),
            (&[READY, REFUSED], Degraded, Reason::Refused),
            (&[READY, REJECTED], Degraded, Reason::AuthRejected),
            (&[SILENT, REJECTED], Degraded, Reason::AuthRejected),
            (&[REJECTED, ALARM], Degraded, Reason::HostKeyMismatch),
            (&[REFUSED, SILENT], Offline, Reason::Refused),
            (&[SILENT, REFUSED], Offline, Reason::TimedOut),
            (&[AWAY, AWAY], Away, Reason::NoRoute),
            (&[AWAY, SILENT], Offline, Reason::TimedOut),
            (&[AWAY, READY], Degraded, Reason::NoRoute),
            (&[PAUSED, PAUSED], Paused, Reason::Paused),
            (&[UNKNOWN, WITHHELD], Unknown, Reason::Redirected),
            (&[WITHHELD, REFUSED, READY], Degraded, Reason::Refused),
        ] {
            let mut tally = Tally::default();
            targets.iter().for_each(|standing| tally.add(*standing));
            assert_eq!(
                (tally.state(), tally.reason()),
                (state, reason),
                "{targets:?}"
            );
        }
    }

    #[test]
    fn an_unknown_target_leaves_open_only_what_it_could_tip() {
        use OverallState::{Degraded, Unknown};
        for (targets, state) in [
            (&[UNKNOWN][..], Unknown),
            (&[UNKNOWN, READY], Unknown),
            (&[UNKNOWN, SILENT], Unknown),
            (&[UNKNOWN, AWAY], Unknown),
            (&[UNKNOWN, REJECTED], Degraded),
            (&[UNKNOWN, READY, SILENT], Degraded),
        ] {
            let mut tally = Tally::default();
            targets.iter().for_each(|standing| tally.add(*standing));
            assert_eq!(tally.state(), state, "{targets:?}");
        }
    }
}
