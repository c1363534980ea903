//! Checks: how they begin, and what is done when they end.

use std::net::SocketAddr;

use offload_client::{Kind, Reason};
use tokio::task::JoinError;

use super::{
    Monitor,
    watched::{self, Running},
};
use crate::{
    clock::Now,
    health::{CheckId, Depth, Event},
    net::{self, Station},
    probe::{Claim, Session},
    report::Report,
    report::Tested,
    target::{TargetId, TargetSpec},
    whereabouts,
};

/// A check that came to its end, with the session it borrowed.
pub(super) struct Finished {
    pub(super) target: TargetId,
    pub(super) check: CheckId,
    pub(super) report: Report,
    pub(super) session: Session,
}

impl Monitor {
    /// Answers those who wait for a check of `target`, unless it is being checked, or about to be: one that took
    /// the place of another has their answer.
    pub(super) fn answer_waiters(&mut self, target: &TargetId) {
        let watched = self.watched.get(target);
        let is_running = watched.is_some_and(|watched| watched.running.is_some());
        let mut waiting = self.waiting.iter().flatten();
        let is_to_come = self.health.is_asked(target);
        if !is_running && !is_to_come && !waiting.any(|(waiting, ..)| waiting == target) {
            self.waiters.done(target, Ok(()));
        }
    }

    pub(super) fn start(&mut self, target: TargetId, check: CheckId, depth: Depth) {
        let Some(watched) = self.watched.get_mut(&target) else {
            return;
        };
        if let Some(waiting) = &mut self.waiting {
            waiting.push((target, check, depth));
            return;
        }
        let Some(place) = self.whereabouts.place(&target) else {
            return;
        };
        let mut session = watched.take_session(place.checked_by(), &self.context);
        let turns = self.turns.clone();
        let claim = match depth {
            Depth::Cheap => Claim::Quick,
            Depth::Deep | Depth::Asked => Claim::New,
        };
        let abort = self.checks.spawn(async move {
            // Its time begins with its turn, and so does the room that it takes.
            let _turn = turns.take(claim).await;
            let mut report = session.check(depth).await;
            if depth.is_deep() && target.kind == Kind::Builder {
                report.signs.station = station(&report);
            }
            Finished {
                target,
                check,
                report,
                session,
            }
        });
        watched.running = Some(Running {
            check,
            abort,
            keep_session: true,
        });
    }

    /// Ends a check under way. Its session, and so its connection, goes with it.
    pub(super) fn abort(&mut self, target: &TargetId) {
        if let Some(running) = self.watched.get_mut(target).and_then(|w| w.running.take()) {
            running.abort.abort();
        }
        if let Some(waiting) = &mut self.waiting {
            waiting.retain(|(waiting, ..)| waiting != target);
        }
    }

    pub(super) fn finished(&mut self, now: Now, finished: Vec<Finished>) {
        let mut ended = Vec::new();
        let mut events = Vec::new();
        for finished in finished {
            events.extend(self.learn(now, finished, &mut ended));
        }
        let effects = self.health.handle_all(now, events);
        self.carry_out(now, effects);
        for (target, failed) in ended {
            if let (Some(reason), Some(watched)) = (failed, self.watched.get_mut(&target)) {
                let published = self.health.target(&target).map(|health| health.reason);
                watched.judged(reason, published.unwrap_or_default());
            }
            let passed = failed.is_none();
            self.answerable.push(target.clone());
            self.locate(now, whereabouts::Event::Checked { target, passed });
        }
    }

    /// Keeps what a check learned; what the health core is to judge of it, if anything. What keeps Nix
    /// from the target comes first, so that it is never ready in between.
    /// `ended` is told why it failed, if it did.
    fn learn(
        &mut self,
        now: Now,
        finished: Finished,
        ended: &mut Vec<(TargetId, Option<Reason>)>,
    ) -> Vec<Event> {
        let Finished {
            target,
            check,
            report,
            session,
        } = finished;
        let Some(watched) = self.watched.get_mut(&target) else {
            return Vec::new();
        };
        // A check that ended in the same turn in which it was aborted no longer counts.
        let Some(running) = watched.running.take_if(|running| running.check == check) else {
            return Vec::new();
        };
        watched.session = running.keep_session.then_some(session);
        let sighting = watched::sighting(&report);
        let (outcome, latency) = watched.learn(report);
        tracing::debug!(?outcome, ?latency, "checked {target}");
        if let Some(sighting) = sighting {
            let target = target.clone();
            self.locate(now, whereabouts::Event::Seen { target, sighting });
        }
        ended.push((target.clone(), outcome.err().map(|(_, reason)| reason)));
        let hindered = outcome.is_ok().then(|| self.hindered(&target)).flatten();
        let reported = Event::Reported {
            target,
            check,
            outcome,
            latency,
        };
        hindered.into_iter().chain([reported]).collect()
    }

    /// What keeps Nix from a target, by what is known of it now.
    pub(super) fn hindered(&mut self, target: &TargetId) -> Option<Event> {
        let (watched, place) = (
            self.watched.get_mut(target)?,
            self.whereabouts.place(target)?,
        );
        Some(Event::Hindered {
            target: target.clone(),
            reason: watched.hinder(self.drift.origin(target), place),
        })
    }

    /// Keeps what a test build showed; of what is not the builder's fault nobody is to be judged.
    pub(super) fn tested(&mut self, now: Now, spec: &TargetSpec, tested: Tested) {
        let target = spec.id.clone();
        let watched = self.watched.get_mut(&target);
        let Some(watched) = watched.filter(|watched| *watched.spec == *spec) else {
            return;
        };
        let (outcome, blames) = (tested.outcome, tested.blames);
        watched.tested(tested);
        self.touched.insert(target.clone());
        if outcome.is_ok() || blames {
            self.handle(now, Event::Tested { target, outcome });
        }
    }
}

/// Who has just proved its host key, where that was on a link of this machine's own. What only the kernel knows of it, nobody
/// remote has said.
fn station(report: &Report) -> Option<Station> {
    let is_there = report.signs.proved && !report.signs.proxied;
    let address = report.address.as_ref().filter(|_| is_there)?;
    let address: SocketAddr = address.parse().ok()?;
    net::station_now(address.ip()).ok().flatten()
}

/// `None` for an aborted check, which has left its target already.
pub(super) fn ended(ended: Result<Finished, JoinError>) -> Option<Finished> {
    match ended {
        Ok(finished) => Some(finished),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => None,
    }
}
