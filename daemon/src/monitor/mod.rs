//! The one place with timers and tasks: it turns what happens into events for
//! [`crate::health`], carries out the effects, and publishes a [`Snapshot`].
//!
//! Every subscriber reads the same snapshot; nobody else holds state.

mod describe;
mod handle;
mod neighbour;
mod outlook;
mod seek;
#[cfg(test)]
mod tests;
mod transition;
mod waiters;
mod watched;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::Duration,
};

use offload_client::{Kind, Printable, Reason, Snapshot, snapshot::Target};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinError, JoinSet},
};

pub use self::handle::{CheckError, DiscoverError, Handle, Specs};
pub use self::transition::{MESSAGE_NOT_READY, MESSAGE_OVERALL, MESSAGE_READY, MESSAGE_UNKNOWN};
use self::{
    handle::{Command, INBOX},
    outlook::Routes,
    seek::{Searched, Seekers},
    waiters::Waiters,
    watched::{Running, Watched},
};
use crate::{
    clock::{Alarm, Now},
    config::{Discover, Poll},
    drift::Ledger,
    health::{CheckId, Denied, Depth, Effect, Event, Health},
    limits,
    net::Network,
    notify::Watchdog,
    plan::Plan,
    probe::{self, Claim, Closed, Lookups, Report, Session, Shares},
    report::Tested,
    target::{TargetId, TargetSpec},
};

/// How many closed connections may wait for the monitor's next turn: a server that goes closes all of its
/// targets' at once.
const CLOSED: usize = 4096;

/// Watches the targets of a [`Plan`] until it is dropped.
pub struct Monitor {
    health: Health,
    poll: Poll,
    watched: BTreeMap<TargetId, Watched>,
    /// The order in which Nix would try them.
    order: Vec<TargetId>,
    /// Whether the plan is another than the published one.
    replanned: bool,
    ledger: Ledger,
    /// Those of which something was learned in this turn that the health core does not know.
    touched: BTreeSet<TargetId>,
    checks: JoinSet<Finished>,
    /// The targets that were checked in this turn, or will not be: who waits for them is answered at its end.
    answerable: Vec<TargetId>,
    /// Of the checks under way. What is ready is checked by cheap ones, which are over soon; who is
    /// not there or may not be there leaves them their part.
    turns: Shares,
    /// Checks that wait for [`Monitor::begin`]; nothing once it was called.
    waiting: Option<Vec<(TargetId, CheckId, Depth)>>,
    waiters: Waiters,
    discover: Discover,
    gateway: Printable,
    searches: JoinSet<Searched>,
    seekers: Seekers,
    /// The networks of this machine, once they are known.
    network: Arc<Network>,
    routes: Option<Arc<dyn Routes>>,
    context: Arc<probe::Context>,
    cache_hosts: watch::Sender<BTreeSet<String>>,
    specs: watch::Sender<Vec<Arc<TargetSpec>>>,
    closed: mpsc::Receiver<Closed>,
    inbox: mpsc::Receiver<Command>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    alarm: Alarm,
    watchdog: Option<Watchdog>,
}

/// A check that came to its end, with the session it borrowed.
struct Finished {
    target: TargetId,
    check: CheckId,
    report: Report,
    session: Session,
}

/// What one turn is about.
enum Turn {
    /// Several that ended meanwhile are one turn: a round of many checks is not as many snapshots.
    Finished(Vec<Finished>),
    Searched(Searched),
    Closed(Vec<Closed>),
    Command(Command),
    Alarm,
}

impl Monitor {
    /// A monitor of `plan`, and the handle to it. Nothing is checked before [`Monitor::run`].
    ///
    /// Fails where the kernel grants no timer.
    pub fn new(plan: Plan, poll: Poll, watchdog: Option<Watchdog>) -> io::Result<(Self, Handle)> {
        let now = Now::read();
        let seed = now.boot.as_nanos() as u64 ^ u64::from(std::process::id());
        let (commands, inbox) = mpsc::channel(INBOX);
        let (closed_sender, closed) = mpsc::channel(CLOSED);
        let (snapshot, receiver) = watch::channel(Arc::default());
        let (cache_hosts, hosts) = watch::channel(BTreeSet::new());
        let (specs, specs_receiver) = watch::channel(Vec::new());
        let mut monitor = Self {
            health: Health::new(poll.clone(), seed, now),
            context: Arc::new(bounded(
                probe::Context {
                    timeout: Duration::ZERO,
                    deep_timeout: Duration::ZERO,
                    connection: poll.connection,
                    closed: closed_sender,
                    sockets: probe::search_sockets(),
                    cache_hosts: hosts,
                    lookups: Lookups::default(),
                },
                &poll,
            )),
            cache_hosts,
            specs,
            poll,
            watched: BTreeMap::new(),
            order: Vec::new(),
            replanned: false,
            ledger: Ledger::default(),
            touched: BTreeSet::new(),
            checks: JoinSet::new(),
            answerable: Vec::new(),
            turns: Shares::new(checks_at_once(limits::files())),
            waiting: Some(Vec::new()),
            waiters: Waiters::default(),
            discover: Discover::default(),
            gateway: Printable::default(),
            searches: JoinSet::new(),
            seekers: Seekers::default(),
            network: Arc::default(),
            routes: None,
            closed,
            inbox,
            snapshot,
            alarm: Alarm::new()?,
            watchdog,
        };
        monitor.watch(now, plan);
        monitor.publish(now);
        let handle = Handle {
            snapshot: receiver,
            specs: specs_receiver,
            commands,
        };
        Ok((monitor, handle))
    }

    /// Watches until the last [`Handle`] is gone. Fails only where the kernel's timer does.
    pub async fn run(mut self) -> io::Result<()> {
        let now = Now::read();
        // What is known before the first check, such as the networks, may spare it.
        while let Ok(command) = self.inbox.try_recv() {
            self.turn(now, Turn::Command(command));
        }
        self.begin();
        self.end_turn(now);
        self.set_alarm(now)?;
        loop {
            let turn = tokio::select! {
                biased;
                command = self.inbox.recv() => match command {
                    Some(command) => Turn::Command(command),
                    None => return Ok(()),
                },
                Some(first) = self.checks.join_next() => {
                    let rest = std::iter::from_fn(|| self.checks.try_join_next());
                    let all = std::iter::once(first).chain(rest);
                    Turn::Finished(all.filter_map(finished).collect())
                }
                Some(searched) = self.searches.join_next() => match searched {
                    Ok(searched) => Turn::Searched(searched),
                    Err(error) if error.is_panic() => {
                        std::panic::resume_unwind(error.into_panic())
                    }
                    Err(_) => continue,
                },
                Some(first) = self.closed.recv() => {
                    let rest = std::iter::from_fn(|| self.closed.try_recv().ok());
                    Turn::Closed(std::iter::once(first).chain(rest).collect())
                }
                rung = self.alarm.rings() => {
                    rung?;
                    Turn::Alarm
                }
            };
            let now = Now::read();
            self.turn(now, turn);
            self.end_turn(now);
            self.set_alarm(now)?;
        }
    }

    /// The first checks begin.
    fn begin(&mut self) {
        for (target, check, depth) in self.waiting.take().unwrap_or_default() {
            self.start(target, check, depth);
        }
    }

    /// Tells what the turn came to.
    fn end_turn(&mut self, now: Now) {
        self.publish(now);
        for target in std::mem::take(&mut self.answerable) {
            self.answer_waiters(&target);
        }
        self.answer_seekers(now);
    }

    /// Sets the alarm for the next turn that must be, and feeds the watchdog. Before the first turn
    /// too: with nothing to watch there might never be one.
    fn set_alarm(&mut self, now: Now) -> io::Result<()> {
        let watchdog = self.watchdog.as_mut().map(|watchdog| watchdog.turn(now));
        let wakes = [self.health.next_wake(), watchdog];
        self.alarm.set(wakes.into_iter().flatten().min())
    }

    fn turn(&mut self, now: Now, turn: Turn) {
        match turn {
            Turn::Finished(finished) => self.finished(now, finished),
            Turn::Searched(searched) => self.searched(now, searched),
            Turn::Closed(closed) => {
                let events = closed.into_iter();
                let events = events.map(|Closed { target, idle }| Event::Closed { target, idle });
                let effects = self.health.handle_all(now, events);
                self.carry_out(now, effects);
            }
            Turn::Alarm => self.handle(now, Event::Tick),
            Turn::Command(Command::Check { target, reply }) => self.check(now, target, reply),
            Turn::Command(Command::History { target, max, reply }) => {
                let _ = reply.send(self.health.history(&target, max));
            }
            Turn::Command(Command::Pause { duration, done }) => {
                let until = duration.map(|duration| now.boot.saturating_add(duration));
                self.handle(now, Event::Pause { until });
                self.stop_searches();
                self.publish(now);
                // Those too whose check had not begun.
                self.answerable.extend(self.order.iter().cloned());
                let _ = done.send(());
            }
            Turn::Command(Command::Resume { done }) => {
                self.handle(now, Event::Resume);
                self.publish(now);
                let _ = done.send(());
            }
            Turn::Command(Command::Network(network)) => {
                let old = std::mem::replace(&mut self.network, network.clone());
                if old.own() != network.own() {
                    self.end_searches();
                }
                self.set_routes(now, network);
            }
            Turn::Command(Command::Refresh) => self.handle(now, Event::Refresh(None)),
            Turn::Command(Command::RefreshAddress(address)) => self.appeared(now, address),
            Turn::Command(Command::Discover { reply }) => self.discover(now, reply),
            Turn::Command(Command::Searched { done }) => self.seekers.wait(done),
            Turn::Command(Command::Spec { target, reply }) => {
                let watched = self.watched.get(&target);
                let _ = reply.send(watched.map(|watched| watched.spec.clone()));
            }
            Turn::Command(Command::Tested { spec, tested, done }) => {
                self.tested(now, &spec, tested);
                self.publish(now);
                let _ = done.send(());
            }
            Turn::Command(Command::Watch { plan, poll, done }) => {
                self.set_poll(now, poll);
                self.watch(now, *plan);
                self.publish(now);
                let _ = done.send(());
            }
        }
    }

    /// Hands one event to the health core and carries out what it answers.
    fn handle(&mut self, now: Now, event: Event) {
        let effects = self.health.handle(now, event);
        self.carry_out(now, effects);
    }

    fn carry_out(&mut self, now: Now, effects: Vec<Effect>) {
        let mut missing = Vec::new();
        let mut aborted = Vec::new();
        for effect in effects {
            match effect {
                Effect::Start {
                    target,
                    check,
                    depth,
                } => self.start(target, check, depth),
                Effect::Abort { target, .. } => {
                    self.abort(&target);
                    aborted.push(target);
                }
                Effect::Seek { target } => missing.push(target),
                Effect::Changed {
                    target: id,
                    new: (state, reason),
                    ..
                } => {
                    let watched = self.watched.get(&id).zip(self.health.target(&id));
                    if let Some((watched, health)) = watched {
                        let target = Target {
                            state,
                            reason,
                            ..watched.describe(health, Vec::new())
                        };
                        transition::target(&target, watched.failure(reason));
                    }
                }
                Effect::OverallChanged { new, reason, .. } => transition::overall(new, reason),
            }
        }
        // That may lead to further effects, which come after these.
        for target in missing {
            self.seek(now, &target);
        }
        for target in aborted {
            self.answer_waiters(&target);
        }
    }

    /// Answers those who wait for a check of `target`, unless it is being checked, or about to be: one that took
    /// the place of another has their answer.
    fn answer_waiters(&mut self, target: &TargetId) {
        let watched = self.watched.get(target);
        let is_running = watched.is_some_and(|watched| watched.running.is_some());
        let mut waiting = self.waiting.iter().flatten();
        let is_to_come = self.health.is_asked(target);
        if !is_running && !is_to_come && !waiting.any(|(waiting, ..)| waiting == target) {
            self.waiters.done(target, Ok(()));
        }
    }

    fn start(&mut self, target: TargetId, check: CheckId, depth: Depth) {
        let Some(watched) = self.watched.get_mut(&target) else {
            return;
        };
        if let Some(waiting) = &mut self.waiting {
            waiting.push((target, check, depth));
            return;
        }
        let mut session = watched.take_session(&self.context);
        let turns = self.turns.clone();
        let claim = match depth {
            Depth::Cheap => Claim::Quick,
            Depth::Deep | Depth::Asked => Claim::New,
        };
        let abort = self.checks.spawn(async move {
            // Its time begins with its turn, and so does the room that it takes.
            let _turn = turns.take(claim).await;
            let report = Box::pin(session.check(depth)).await;
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
    fn abort(&mut self, target: &TargetId) {
        if let Some(running) = self.watched.get_mut(target).and_then(|w| w.running.take()) {
            running.abort.abort();
        }
        if let Some(waiting) = &mut self.waiting {
            waiting.retain(|(waiting, ..)| waiting != target);
        }
    }

    fn finished(&mut self, now: Now, finished: Vec<Finished>) {
        let mut ended = Vec::new();
        let mut events = Vec::new();
        for finished in finished {
            events.extend(self.learn(finished, &mut ended));
        }
        let effects = self.health.handle_all(now, events);
        self.carry_out(now, effects);
        for (target, failed) in ended {
            if let (Some(reason), Some(watched)) = (failed, self.watched.get_mut(&target)) {
                let published = self.health.target(&target).map(|health| health.reason);
                watched.judged(reason, published.unwrap_or_default());
            }
            self.checked(now, &target, failed.is_none());
            self.answerable.push(target);
        }
    }

    /// Keeps what a check learned; what the health core is to judge of it, if anything. What keeps Nix
    /// from the target comes first, so that it is never ready in between.
    /// `ended` is told why it failed, if it did.
    fn learn(
        &mut self,
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
        let (outcome, latency) = watched.learn(report);
        tracing::debug!(?outcome, ?latency, "checked {target}");
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
    fn hindered(&mut self, target: &TargetId) -> Option<Event> {
        let watched = self.watched.get_mut(target)?;
        Some(Event::Hindered {
            target: target.clone(),
            reason: watched.hinder(self.ledger.origin(target)),
        })
    }

    /// Keeps what a test build showed; of what is not the builder's fault nobody is to be judged.
    fn tested(&mut self, now: Now, spec: &TargetSpec, tested: Tested) {
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

    fn set_poll(&mut self, now: Now, poll: Poll) {
        if self.poll == poll {
            return;
        }
        self.poll = poll.clone();
        self.context = Arc::new(bounded(probe::Context::clone(&self.context), &poll));
        // Sessions carry the old bounds; one that is in a check goes when that ends.
        for watched in self.watched.values_mut() {
            watched.session = None;
            if let Some(running) = &mut watched.running {
                running.keep_session = false;
            }
        }
        self.handle(now, Event::PollChanged(poll));
    }

    /// Takes up a new plan. What it has in common with the old one goes on undisturbed.
    fn watch(&mut self, now: Now, plan: Plan) {
        self.cache_hosts
            .send_replace(probe::cache::hosts(&plan.targets));
        self.order = plan.targets.iter().map(|spec| spec.id.clone()).collect();
        self.ledger.plan(plan.warnings, plan.origins, plan.loaded);
        self.discover = plan.discover;
        self.gateway = plan.gateway;
        self.replanned = true;
        let wanted: BTreeSet<&TargetId> = self.order.iter().collect();
        let gone = self.watched.keys().filter(|id| !wanted.contains(id));
        let gone: Vec<_> = gone.cloned().collect();
        for id in gone {
            self.ledger.forget(&id);
            self.waiters.done(&id, Err(CheckError::NoSuchTarget));
            self.handle(now, Event::Removed(id.clone()));
            self.abort(&id);
            self.watched.remove(&id);
        }
        let mut added = Vec::new();
        for (position, spec) in plan.targets.into_iter().enumerate() {
            let id = spec.id.clone();
            match self.watched.get_mut(&id) {
                Some(watched) if *watched.spec == spec => watched.position = position,
                Some(watched) => {
                    if let Some(running) = watched.running.take() {
                        running.abort.abort();
                    }
                    // How near it was is what the health core knows, until it is placed.
                    let outlook = std::mem::take(&mut watched.outlook);
                    *watched = Watched::new(spec, position);
                    watched.outlook = outlook;
                    self.handle(now, Event::Changed(id.clone()));
                    self.answerable.push(id.clone());
                    self.place(now, &id);
                }
                None => {
                    self.watched
                        .insert(id.clone(), Watched::new(spec, position));
                    added.push(id);
                }
            }
        }
        let specs = self.order.iter().filter_map(|id| self.watched.get(id));
        self.specs
            .send_replace(specs.map(|watched| watched.spec.clone()).collect());
        // Together: many at once are no more work than as many one by one.
        let mut events: Vec<Event> = added.iter().cloned().map(Event::Added).collect();
        let order = self.order.clone();
        events.extend(order.iter().filter_map(|target| self.hindered(target)));
        events.extend(Kind::ALL.iter().map(|kind| Event::KindHindered {
            kind: *kind,
            reason: plan.unused.get(kind).copied(),
        }));
        let effects = self.health.handle_all(now, events);
        self.carry_out(now, effects);
        for id in added {
            self.place(now, &id);
        }
        self.forget_builders(now);
    }
}

/// `None` for an aborted check, which has left its target already.
fn finished(ended: Result<Finished, JoinError>) -> Option<Finished> {
    match ended {
        Ok(finished) => Some(finished),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => None,
    }
}

/// `context` with the bounds of `poll`.
fn bounded(context: probe::Context, poll: &Poll) -> probe::Context {
    let timeout = poll.timeout.max(Duration::from_millis(1));
    probe::Context {
        timeout,
        deep_timeout: poll.deep_timeout.max(timeout),
        connection: poll.connection,
        ..context
    }
}

/// So many checks are under way at once where `files` may be open: half of them are for those, the
/// others for what is kept between checks and for everything else.
fn checks_at_once(files: Option<u64>) -> usize {
    const MOST: u64 = 64;
    /// Eight addresses, and the pipes of a program or two.
    const FILES_OF_ONE: u64 = 16;
    let most = files.map_or(MOST, |files| files / 2 / FILES_OF_ONE);
    most.min(MOST) as usize
}
