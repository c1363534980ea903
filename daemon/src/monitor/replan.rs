//! Another plan, and other intervals: what they have in common with those before goes on undisturbed.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use offload_client::Kind;

use super::{CheckError, Monitor, watched::Watched};
use crate::{
    clock::Now, config::Poll, health::Event, plan::Plan, probe, target::TargetId, whereabouts,
};

impl Monitor {
    pub(super) fn set_poll(&mut self, now: Now, poll: Poll) {
        if self.poll == poll {
            return;
        }
        self.poll = poll.clone();
        self.context = Arc::new(bounded(probe::Context::clone(&self.context), &poll));
        // Sessions carry the old bounds; one that is in a check goes when that ends.
        self.watched.values_mut().for_each(Watched::let_go);
        self.handle(now, Event::PollChanged(poll));
    }

    /// Takes up a new plan. What it has in common with the old one goes on undisturbed.
    pub(super) fn watch(&mut self, now: Now, plan: Plan) {
        self.cache_hosts
            .send_replace(probe::cache::hosts(&plan.targets));
        let started = plan.loaded.started;
        let nix_daemon = started.zip(plan.nix_socket);
        self.nix_daemon
            .send_replace(nix_daemon.map(|(started, socket)| probe::NixDaemon { socket, started }));
        self.order = plan.targets.iter().map(|spec| spec.id.clone()).collect();
        self.drift.plan(plan.warnings, plan.origins, plan.loaded);
        self.wake.send_replace(plan.wake);
        self.proving.send_if_modified(|proving| {
            let is_new = *proving != plan.proving;
            proving.clone_from(&plan.proving);
            is_new
        });
        self.gateway = plan.gateway;
        self.hook = plan.hook;
        self.replanned = true;
        self.is_readdressed = true;
        let wanted: BTreeSet<&TargetId> = self.order.iter().collect();
        let gone = self.watched.keys().filter(|id| !wanted.contains(id));
        let gone: Vec<_> = gone.cloned().collect();
        for id in gone {
            self.drift.forget(&id);
            self.waiters.done(&id, Err(CheckError::NoSuchTarget));
            self.handle(now, Event::Removed(id.clone()));
            self.abort(&id);
            self.watched.remove(&id);
        }
        let (mut added, mut changed) = (Vec::new(), Vec::new());
        for (position, spec) in plan.targets.into_iter().enumerate() {
            let id = spec.id.clone();
            match self.watched.get_mut(&id) {
                Some(watched) if *watched.spec == spec => watched.position = position,
                Some(watched) => {
                    if let Some(running) = watched.running.take() {
                        running.abort.abort();
                    }
                    *watched = Watched::new(spec, position);
                    changed.push(id);
                }
                None => {
                    self.watched
                        .insert(id.clone(), Watched::new(spec, position));
                    added.push(id);
                }
            }
        }
        let specs = self.order.iter().filter_map(|id| self.watched.get(id));
        let specs: Vec<_> = specs.map(|watched| watched.spec.clone()).collect();
        self.specs.send_replace(specs.clone());
        let discover = plan.discover;
        let planned = whereabouts::Event::Planned {
            specs,
            discover,
            wake: plan.wake,
        };
        let located = self.whereabouts.handle(now, planned, &self.health);
        // Together: many at once are no more work than as many one by one.
        let added = added.into_iter().map(Event::Added);
        let mut events: Vec<Event> = added
            .chain(changed.iter().cloned().map(Event::Changed))
            .collect();
        self.answerable.extend(changed);
        let order = self.order.clone();
        events.extend(order.iter().filter_map(|target| self.hindered(target)));
        events.extend(Kind::ALL.iter().map(|kind| Event::KindHindered {
            kind: *kind,
            reason: plan.unused.get(kind).copied(),
        }));
        let effects = self.health.handle_all(now, events);
        self.carry_out(now, effects);
        self.carry_out_located(now, located);
    }
}

/// `context` with the bounds of `poll`.
pub(super) fn bounded(context: probe::Context, poll: &Poll) -> probe::Context {
    let timeout = poll.timeout.max(Duration::from_millis(1));
    probe::Context {
        timeout,
        deep_timeout: poll.deep_timeout.max(timeout),
        connection: poll.connection,
        ..context
    }
}
