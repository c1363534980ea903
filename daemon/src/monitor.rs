//! The one place with timers and tasks: it turns what happens into events for the two cores,
//! [`crate::health`] and [`crate::whereabouts`], carries out their effects, and publishes a [`Snapshot`].
//!
//! Every subscriber reads the same snapshot; nobody else holds state.
//!
//! The first checks begin after `READY=1`, and what ends in one turn is one snapshot: a start with thousands of
//! targets waits for none of them.

mod checks;
mod commands;
mod describe;
mod handle;
mod replan;
mod searches;
#[cfg(test)]
mod tests;
mod transition;
mod waiters;
mod watched;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use offload_client::{Printable, Snapshot, snapshot::Target};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

pub use self::handle::{CheckError, Handle, Specs};
pub use self::transition::{MESSAGE_NOT_READY, MESSAGE_OVERALL, MESSAGE_READY, MESSAGE_UNKNOWN};
use self::{
    checks::Finished,
    handle::{Command, INBOX},
    searches::{Searched, Searches},
    waiters::Waiters,
    watched::Watched,
};
pub use crate::whereabouts::{DiscoverError, WakeError, WakeOutcome, Waker, Woken};
use crate::{
    clock::{Alarm, Now},
    config::{Poll, Wake},
    drift::Tracker,
    health::{CheckId, Depth, Effect, Event, Health},
    limits,
    net::{Network, Station},
    notify::Watchdog,
    plan::{Hook, Plan, Proving},
    probe::{self, Lookups, Shares},
    report::Closed,
    target::{TargetId, TargetSpec},
    whereabouts::{self, Whereabouts},
};

/// How many closed connections may wait for the monitor's next turn: a server that goes closes all of its
/// targets' at once.
const CLOSED: usize = 4096;

/// Watches the targets of a [`Plan`] until it is dropped.
pub struct Monitor {
    health: Health,
    whereabouts: Whereabouts,
    poll: Poll,
    watched: BTreeMap<TargetId, Watched>,
    /// The order in which Nix would try them.
    order: Vec<TargetId>,
    /// Whether the plan is another than the published one.
    replanned: bool,
    drift: Tracker,
    /// Those of which something was learned in this turn that the health core does not know.
    touched: BTreeSet<TargetId>,
    checks: JoinSet<Finished>,
    /// The targets that were checked in this turn, or will not be: who waits for them is answered at its end.
    answerable: Vec<TargetId>,
    /// Of the checks under way. What is ready has cheap ones, which are over soon; who may not be there leaves them their part.
    turns: Shares,
    /// Checks that wait for [`Monitor::begin`]; nothing once it was called.
    waiting: Option<Vec<(TargetId, CheckId, Depth)>>,
    waiters: Waiters,
    searches: Searches,
    gateway: Printable,
    hook: Arc<Hook>,
    /// The networks of this machine, once they are known.
    network: Arc<Network>,
    context: Arc<probe::Context>,
    cache_hosts: watch::Sender<BTreeSet<String>>,
    nix_daemon: watch::Sender<Option<probe::NixDaemon>>,
    specs: watch::Sender<Vec<Arc<TargetSpec>>>,
    proving: watch::Sender<Proving>,
    /// Where targets were found that are at none of their own addresses.
    found: watch::Sender<BTreeMap<TargetId, IpAddr>>,
    /// Where builders were seen by their hardware addresses.
    stations: watch::Sender<BTreeMap<TargetId, Station>>,
    wake: watch::Sender<Wake>,
    /// Whether those that were found may be others than the published ones.
    is_readdressed: bool,
    closed: mpsc::Receiver<Closed>,
    inbox: mpsc::Receiver<Command>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    alarm: Alarm,
    watchdog: Option<Watchdog>,
}

/// What one turn is about.
enum Input {
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
        let (nix_daemon, nix_daemon_receiver) = watch::channel(None);
        let (specs, specs_receiver) = watch::channel(Vec::new());
        let (proving, proving_receiver) = watch::channel(Proving::default());
        let (found, found_receiver) = watch::channel(BTreeMap::new());
        let (stations, stations_receiver) = watch::channel(BTreeMap::new());
        let (wake, wake_receiver) = watch::channel(Wake::default());
        let mut monitor = Self {
            health: Health::new(poll.clone(), seed, now),
            whereabouts: Whereabouts::default(),
            context: Arc::new(replan::bounded(
                probe::Context {
                    timeout: Duration::ZERO,
                    deep_timeout: Duration::ZERO,
                    connection: poll.connection,
                    closed: closed_sender,
                    sockets: probe::search_sockets(),
                    cache_hosts: hosts,
                    nix_daemon: nix_daemon_receiver,
                    lookups: Lookups::default(),
                },
                &poll,
            )),
            cache_hosts,
            nix_daemon,
            specs,
            proving,
            found,
            stations,
            wake,
            is_readdressed: false,
            poll,
            watched: BTreeMap::new(),
            order: Vec::new(),
            replanned: false,
            drift: Tracker::default(),
            touched: BTreeSet::new(),
            checks: JoinSet::new(),
            answerable: Vec::new(),
            turns: Shares::new(checks_at_once(limits::files())),
            waiting: Some(Vec::new()),
            waiters: Waiters::default(),
            searches: Searches::default(),
            gateway: Printable::default(),
            hook: Arc::default(),
            network: Arc::default(),
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
            proving: proving_receiver,
            found: found_receiver,
            stations: stations_receiver,
            wake: wake_receiver,
            context: monitor.context.clone(),
            commands,
        };
        Ok((monitor, handle))
    }

    /// Watches until the last [`Handle`] is gone. Fails only where the kernel's timer does.
    pub async fn run(mut self) -> io::Result<()> {
        let now = Now::read();
        // What is known before the first check, such as the networks, may spare it.
        while let Ok(command) = self.inbox.try_recv() {
            self.turn(now, Input::Command(command));
        }
        self.begin();
        self.end_turn(now);
        self.set_alarm(now)?;
        loop {
            let input = tokio::select! {
                biased;
                command = self.inbox.recv() => match command {
                    Some(command) => Input::Command(command),
                    None => return Ok(()),
                },
                Some(first) = self.checks.join_next() => {
                    let rest = std::iter::from_fn(|| self.checks.try_join_next());
                    let all = std::iter::once(first).chain(rest);
                    Input::Finished(all.filter_map(checks::ended).collect())
                }
                Some(searched) = self.searches.next() => match searched {
                    Some(searched) => Input::Searched(searched),
                    None => continue,
                },
                Some(first) = self.closed.recv() => {
                    let rest = std::iter::from_fn(|| self.closed.try_recv().ok());
                    Input::Closed(std::iter::once(first).chain(rest).collect())
                }
                rung = self.alarm.rings() => {
                    rung?;
                    Input::Alarm
                }
            };
            let now = Now::read();
            self.turn(now, input);
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
        self.locate(now, whereabouts::Event::TurnEnded);
        if std::mem::take(&mut self.is_readdressed) {
            self.tell_found();
        }
        self.tell_stations();
    }

    /// Sets the alarm for the next turn that must be, and feeds the watchdog. Before the first turn
    /// too: with nothing to watch there might never be one.
    fn set_alarm(&mut self, now: Now) -> io::Result<()> {
        let watchdog = self.watchdog.as_mut().map(|watchdog| watchdog.turn(now));
        let wakes = [
            self.health.next_wake(),
            self.whereabouts.next_wake(),
            watchdog,
        ];
        self.alarm.set(wakes.into_iter().flatten().min())
    }

    fn turn(&mut self, now: Now, input: Input) {
        match input {
            Input::Finished(finished) => self.finished(now, finished),
            Input::Searched(searched) => self.searched(now, searched),
            Input::Closed(closed) => {
                let events = closed.into_iter();
                let events = events.map(|Closed { target, idle }| Event::Closed { target, idle });
                let effects = self.health.handle_all(now, events);
                self.carry_out(now, effects);
            }
            Input::Alarm => {
                self.handle(now, Event::Tick);
                self.locate(now, whereabouts::Event::Tick);
            }
            Input::Command(command) => self.obey(now, command),
        }
    }

    /// Hands one event to the core that knows where the targets are, and carries out what it answers.
    fn locate(&mut self, now: Now, event: whereabouts::Event) {
        let effects = self.whereabouts.handle(now, event, &self.health);
        self.carry_out_located(now, effects);
    }

    fn carry_out_located(&mut self, now: Now, effects: Vec<whereabouts::Effect>) {
        for effect in effects {
            match effect {
                whereabouts::Effect::Judge(event) => self.judge(now, event),
                whereabouts::Effect::Readdressed(target) => {
                    self.is_readdressed = true;
                    if let Some(watched) = self.watched.get_mut(&target) {
                        watched.let_go();
                    }
                }
                whereabouts::Effect::Waking(target) => {
                    self.touched.insert(target);
                }
                effect => self.search(effect),
            }
        }
    }

    fn tell_found(&self) {
        let found = |id: &TargetId| Some((id.clone(), self.whereabouts.place(id)?.found()?));
        let all: BTreeMap<_, _> = self.order.iter().filter_map(found).collect();
        self.found.send_if_modified(|told| {
            let is_new = *told != all;
            *told = all;
            is_new
        });
    }

    fn tell_stations(&self) {
        let all = self.whereabouts.stations();
        self.stations.send_if_modified(|told| {
            let is_new = told != all;
            if is_new {
                told.clone_from(all);
            }
            is_new
        });
    }

    fn judge(&mut self, now: Now, event: Event) {
        // What no way leads to any more is not checked, whoever has asked for it.
        if let Event::Reach { target, .. } = &event {
            self.answerable.push(target.clone());
        }
        self.handle(now, event);
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
                Effect::Missing { target } => missing.push(target),
                Effect::Changed {
                    target: id,
                    new: (state, reason),
                    ..
                } => {
                    let known = self.watched.get(&id).zip(self.health.target(&id));
                    let known = known.zip(self.whereabouts.place(&id));
                    if let Some(((watched, health), place)) = known {
                        let described = watched.describe(health, place, Vec::new());
                        let target = Target {
                            state,
                            reason,
                            ..described
                        };
                        transition::target(&target, watched.failure(reason));
                    }
                }
                Effect::OverallChanged { new, reason, .. } => transition::overall(new, reason),
            }
        }
        // That may lead to further effects, which come after these.
        for target in missing {
            self.locate(now, whereabouts::Event::Missing(target));
        }
        for target in aborted {
            self.answer_waiters(&target);
        }
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
