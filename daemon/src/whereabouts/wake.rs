//! Waking a desktop that sleeps: whose hardware address is known, who may be woken now, and for how long it is waited for.
//!
//! A desktop is woken on the link where its builder was seen to prove its host key, and on no other. Whoever asks soon
//! after somebody else shares what was sent then.

use std::{collections::BTreeMap, time::Duration};

use offload_client::{Kind, Reason, TargetState};

use super::{Effect, Turn, Whereabouts};
use crate::{
    clock::Now,
    config::Wake,
    health::{self, Health},
    net::{Links, Mac, Station},
    target::TargetId,
};

/// So long a desktop has to come up; then it does not.
const COMES_UP: Duration = Duration::from_secs(90);
/// So often it is looked at meanwhile.
const LOOK: Duration = Duration::from_secs(2);
/// No more packets are sent to it than one in such a time.
const PAUSE: Duration = Duration::from_secs(5);

/// What is known of waking, and what is under way.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    settings: Wake,
    /// Where each builder was seen to prove its host key.
    stations: BTreeMap<TargetId, Station>,
    /// By builder.
    waking: BTreeMap<TargetId, Waking>,
}

/// A desktop that is being woken. All by the boot clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waking {
    since: Duration,
    sent: Duration,
    look: Duration,
}

/// Who would have a desktop woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waker {
    /// Somebody who says so.
    Person,
    /// Whoever would use it: only where `[wake] on_demand` lets them.
    Demand,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Woken {
    /// How it is.
    pub outcome: WakeOutcome,
    /// For how long whoever would use it is to wait for it.
    pub wait: Duration,
    /// The packet that is to be sent: whose, and out of which interface.
    pub packet: Option<(Mac, u32)>,
}

/// How a desktop is, of which somebody would have it woken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WakeOutcome {
    /// Nothing is to be done.
    #[default]
    NotWanted,
    /// It passes its checks.
    Awake,
    /// It has been sent a packet, now or a moment ago.
    Waking,
}

/// Why a desktop is not woken.
#[derive(Debug, thiserror::Error)]
pub enum WakeError {
    /// No target has that name.
    #[error("no such target")]
    NoSuchTarget,
    /// Checks are paused, and so is this.
    #[error("checks are paused")]
    Paused,
    /// Its builder has not proved its host key on a link of this machine's own so far.
    #[error(
        "its hardware address is not known: that is learnt while its builder proves its host key on a network of this \
         machine's own"
    )]
    Unseen,
    /// This machine is not on the link where it was seen.
    #[error("this machine is not, or not known to be, on the network where it was seen ({0})")]
    Elsewhere(String),
    /// The packet could not be sent.
    #[error("nothing could be sent: {0}")]
    Unsent(#[from] std::io::Error),
    /// The daemon is about to end.
    #[error("the daemon is about to end")]
    Stopping,
}

impl Whereabouts {
    /// Somebody would have `id` woken, while this machine is on `links`. What is asked for on demand and is not to be
    /// done is no error.
    ///
    /// # Errors
    /// It can't be woken.
    pub fn wake(
        &mut self,
        now: Now,
        id: &TargetId,
        waker: Waker,
        links: &Links,
        health: &Health,
    ) -> Result<(Woken, Vec<Effect>), WakeError> {
        let mut turn = Turn {
            now,
            health,
            effects: Vec::new(),
        };
        let woken = match (self.try_wake(&mut turn, id, waker, links), waker) {
            (Err(_), Waker::Demand) => Woken::default(),
            (result, _) => result?,
        };
        Ok((woken, turn.effects))
    }

    fn try_wake(
        &mut self,
        turn: &mut Turn<'_>,
        id: &TargetId,
        waker: Waker,
        links: &Links,
    ) -> Result<Woken, WakeError> {
        let state = turn.state(id).ok_or(WakeError::NoSuchTarget)?;
        if turn.is_paused() {
            return Err(WakeError::Paused);
        }
        let of = |outcome| Woken {
            outcome,
            ..Woken::default()
        };
        let machine = self.machine(id);
        let mut all = machine.iter().flat_map(|it| self.members(it));
        if turn.passes(id) || all.any(|member| turn.passes(&member)) {
            return Ok(of(WakeOutcome::Awake));
        }
        let machine = machine.ok_or(WakeError::Unseen)?;
        let members = self.members(&machine);
        let is_wanted = waker == Waker::Person
            || self.wakes.settings.on_demand
                && state == TargetState::Down
                && !members.iter().any(|member| turn.answers(member));
        if !is_wanted {
            return Ok(of(WakeOutcome::NotWanted));
        }
        let station = self.wakes.stations.get(&machine);
        let station = station.ok_or(WakeError::Unseen)?;
        let interface = links.interface(&station.link);
        let elsewhere = || WakeError::Elsewhere(station.link.network.to_string());
        let interface = interface.ok_or_else(elsewhere)?;
        let packet = (station.mac, interface);
        let boot = turn.now.boot;
        let waking = self.wakes.waking.entry(machine).or_insert_with(|| {
            turn.effects.extend(members.into_iter().map(Effect::Waking));
            Waking {
                since: boot,
                sent: Duration::ZERO,
                look: boot.saturating_add(LOOK),
            }
        });
        let is_due = waking.sent.is_zero() || boot >= waking.sent.saturating_add(PAUSE);
        if is_due {
            waking.sent = boot;
        }
        let until = waking.since.saturating_add(self.wakes.settings.wait);
        Ok(Woken {
            outcome: WakeOutcome::Waking,
            wait: until.saturating_sub(boot),
            packet: is_due.then_some(packet),
        })
    }

    /// Whether `id` is on a desktop that is being woken.
    pub fn is_waking(&self, id: &TargetId) -> bool {
        let machine = self.machine(id);
        machine.is_some_and(|machine| self.wakes.waking.contains_key(&machine))
    }

    /// When [`super::Event::Tick`] is due (boot clock); nothing while nobody is being woken.
    pub fn next_wake(&self) -> Option<Duration> {
        self.wakes
            .waking
            .values()
            .map(|waking| waking.look.min(waking.since.saturating_add(COMES_UP)))
            .min()
    }

    /// Where each builder was seen.
    pub fn stations(&self) -> &BTreeMap<TargetId, Station> {
        &self.wakes.stations
    }

    /// A builder was seen there while it proved its host key, now or before the daemon was started.
    pub(super) fn stationed(&mut self, id: TargetId, mut station: Station) {
        let is_direct = self
            .places
            .get(&id)
            .is_some_and(|place| !place.is_proxied());
        if id.kind != Kind::Builder || !is_direct {
            return;
        }
        // A router of which nothing was heard for a while is the router still.
        if let Some(known) = self.wakes.stations.get(&id)
            && (known.mac, known.link.network) == (station.mac, station.link.network)
            && station.link.router.is_none()
        {
            station.link.router = known.link.router;
        }
        self.wakes.stations.insert(id, station);
    }

    /// Another plan: who is not watched as before is not known as before.
    pub(super) fn plan_wakes(&mut self, turn: &mut Turn<'_>, settings: Wake, fresh: &[TargetId]) {
        self.wakes.settings = settings;
        let is_other = |id: &TargetId| !self.places.contains_key(id) || fresh.contains(id);
        self.wakes.stations.retain(|id, _| !is_other(id));
        let over = self.wakes.waking.keys().filter(|id| is_other(id));
        let over: Vec<TargetId> = over.cloned().collect();
        self.end_wakes(turn, |id, _| over.contains(id));
    }

    /// A check of `id` passed: whoever was being woken is awake.
    pub(super) fn awake(&mut self, turn: &mut Turn<'_>, id: &TargetId) {
        if let Some(machine) = self.machine(id) {
            self.end_wakes(turn, |waking, _| *waking == machine);
        }
    }

    /// Time has passed: who is being woken is looked at, and given up after a while.
    pub(super) fn tick_wakes(&mut self, turn: &mut Turn<'_>) {
        let boot = turn.now.boot;
        self.end_wakes(turn, |_, waking| {
            boot >= waking.since.saturating_add(COMES_UP)
        });
        let mut due = Vec::new();
        for (machine, waking) in &mut self.wakes.waking {
            if boot >= waking.look {
                waking.look = boot.saturating_add(LOOK);
                due.push(machine.clone());
            }
        }
        for member in due.iter().flat_map(|machine| self.members(machine)) {
            turn.judge(health::Event::Appeared(member));
        }
    }

    /// Nobody is being woken any more of whom that `is_over`.
    pub(super) fn end_wakes(
        &mut self,
        turn: &mut Turn<'_>,
        is_over: impl Fn(&TargetId, &Waking) -> bool,
    ) {
        let mut over = Vec::new();
        self.wakes.waking.retain(|id, waking| {
            let is_over = is_over(id, waking);
            if is_over {
                over.push(id.clone());
            }
            !is_over
        });
        let members = over.iter().flat_map(|machine| self.members(machine));
        turn.effects.extend(members.map(Effect::Waking));
    }

    /// The builder that is the same machine: what proves a host key.
    fn machine(&self, id: &TargetId) -> Option<TargetId> {
        match id.kind {
            Kind::Builder => Some(id.clone()),
            Kind::Cache => self.host(id),
        }
    }

    /// All that is watched on the machine of that builder.
    fn members(&self, machine: &TargetId) -> Vec<TargetId> {
        let caches = self.caches_of(machine);
        std::iter::once(machine.clone()).chain(caches).collect()
    }
}

impl Turn<'_> {
    /// Whether somebody answers there, if only to refuse: whoever that is does not sleep.
    fn answers(&self, id: &TargetId) -> bool {
        let health = self.health.target(id);
        health.is_some_and(|health| {
            let is_there = matches!(health.state, TargetState::Ready | TargetState::Degraded);
            is_there || health.reason == Reason::Refused
        })
    }
}
