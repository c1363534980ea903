//! What the rest of the daemon asks of the monitor.

use std::collections::BTreeSet;

use offload_client::{Kind, OverallState};
use tokio::sync::oneshot;

use super::{CheckError, Monitor, WakeError, Waker, Woken, handle::Command};
use crate::{
    clock::Now,
    health::{Denied, Event},
    net,
    target::TargetId,
    whereabouts,
};

impl Monitor {
    pub(super) fn obey(&mut self, now: Now, command: Command) {
        match command {
            Command::Check { target, reply } => self.check(now, target, reply),
            Command::History { target, max, reply } => {
                let _ = reply.send(self.health.history(&target, max));
            }
            Command::Counts { reply } => {
                let counts = self.health.counts();
                let _ = reply.send(counts.map(|(id, it)| (id.clone(), it.clone())).collect());
            }
            Command::Pause { duration, done } => {
                let until = duration.map(|duration| now.boot.saturating_add(duration));
                self.handle(now, Event::Pause { until });
                if self.health.overall().state == OverallState::Paused {
                    self.locate(now, whereabouts::Event::Paused);
                }
                self.publish(now);
                // Those too whose check had not begun.
                self.answerable.extend(self.order.iter().cloned());
                let _ = done.send(());
            }
            Command::Resume { done } => {
                self.handle(now, Event::Resume);
                self.publish(now);
                let _ = done.send(());
            }
            Command::Network(network) => {
                let old = std::mem::replace(&mut self.network, network.clone());
                if old.own() != network.own() {
                    self.locate(now, whereabouts::Event::Moved);
                }
                self.locate(now, whereabouts::Event::Networks(network));
            }
            Command::Refresh => self.handle(now, Event::Refresh(None)),
            Command::RefreshBuilders => {
                let builders = self.order.iter().filter(|id| id.kind == Kind::Builder);
                let refresh = builders.cloned().map(|id| Event::Refresh(Some(id)));
                let effects = self.health.handle_all(now, refresh);
                self.carry_out(now, effects);
            }
            Command::RefreshAddress(address) => {
                self.locate(now, whereabouts::Event::Appeared(address));
            }
            Command::Discover { reply } => {
                self.handle(now, Event::Tick);
                self.forget_who_gave_up(now);
                let request = self.searches.asked(reply);
                self.locate(now, whereabouts::Event::Asked(request));
            }
            Command::Searched { done } => {
                self.forget_who_gave_up(now);
                let request = self.searches.waits(done);
                self.locate(now, whereabouts::Event::Waits(request));
            }
            Command::Wake {
                target,
                waker,
                reply,
            } => {
                let _ = reply.send(self.rouse(now, &target, waker));
            }
            Command::Spec { target, reply } => {
                let watched = self.watched.get(&target);
                let _ = reply.send(watched.map(|watched| watched.spec.clone()));
            }
            Command::Hook { reply } => {
                let _ = reply.send(self.hook.clone());
            }
            Command::Tested { spec, tested, done } => {
                self.tested(now, &spec, tested);
                self.publish(now);
                // What the build amounts to, the check says that is under way now.
                let checked = Some(spec.id.clone()).filter(|id| self.health.is_in_flight(id));
                self.waiters.add(checked.into_iter().collect(), false, done);
            }
            Command::Remember { found, stations } => {
                for (target, station) in stations {
                    self.locate(now, whereabouts::Event::Stationed { target, station });
                }
                for (target, address) in found {
                    self.locate(now, whereabouts::Event::Remembered { target, address });
                }
                self.tell_found();
            }
            Command::Recalled {
                target,
                tested,
                done,
            } => {
                if let Some(watched) = self.watched.get_mut(&target) {
                    watched.tested(tested);
                    self.touched.insert(target);
                    self.publish(now);
                }
                let _ = done.send(());
            }
            Command::Unproved { target, done } => {
                if let Some(watched) = self.watched.get_mut(&target) {
                    watched.unproved();
                    self.touched.insert(target.clone());
                    self.handle(now, Event::Unproved { target });
                    self.publish(now);
                }
                let _ = done.send(());
            }
            Command::Watch { plan, poll, done } => {
                self.set_poll(now, poll);
                self.watch(now, *plan);
                self.publish(now);
                let _ = done.send(());
            }
        }
    }

    /// Has a desktop woken, if that is to be.
    fn rouse(&mut self, now: Now, target: &TargetId, waker: Waker) -> Result<Woken, WakeError> {
        let links = net::links_now()?;
        let woken = self
            .whereabouts
            .wake(now, target, waker, &links, &self.health);
        let (woken, effects) = woken?;
        self.carry_out_located(now, effects);
        self.publish(now);
        if let Some((mac, interface)) = woken.packet {
            net::wake(mac, interface)?;
            tracing::info!("{target} is woken: a magic packet was sent for {mac}");
        }
        Ok(woken)
    }

    fn forget_who_gave_up(&mut self, now: Now) {
        let gone = self.searches.forget_who_gave_up();
        self.locate(now, whereabouts::Event::GaveUp(gone));
    }

    fn check(
        &mut self,
        now: Now,
        target: Option<TargetId>,
        reply: oneshot::Sender<Result<(), CheckError>>,
    ) {
        let all = target.is_none();
        let wanted = target.map_or_else(|| self.order.clone(), |target| vec![target]);
        if wanted.is_empty() {
            let _ = reply.send(Err(CheckError::NotConfigured));
            return;
        }
        let mut pending = BTreeSet::new();
        for target in wanted {
            match self.health.request(now, &target) {
                Ok(effects) => {
                    self.carry_out(now, effects);
                    pending.insert(target);
                }
                // What is paused has its answer: nobody looks.
                Err(Denied::Paused) => {}
                Err(Denied::NoSuchTarget) => {
                    let _ = reply.send(Err(CheckError::NoSuchTarget));
                    return;
                }
            }
        }
        self.waiters.add(pending, all, reply);
    }
}
