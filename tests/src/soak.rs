//! Minutes of faults with known truth: what the daemon publishes all the while is held against it.
//!
//! - `faults`: what is injected, what is then true, and how long that may take to be told.
//! - `truth`: a sample against the truth. `lane`: one target, and what is done to it.
//! - `watch`: who reads the bus. `upset`: what is done to the daemon itself. `cost`, `report`: figures.
//!
//! Everything happens in one task, one thing after the other: a run can be repeated by its seed.

mod cost;
mod faults;
mod lane;
mod report;
mod truth;
mod upset;
mod watch;

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use offload_client::{Reason, TargetState};
use tempfile::TempDir;

pub use self::report::Report;
use self::{
    cost::Cost,
    faults::{Act, Evidence, Injection, MENDED, PENALTY, READY, Standing},
    lane::Lane,
    truth::Truth,
    upset::Laptop,
    watch::Watch,
};
use crate::{
    Result,
    dice::Dice,
    error::Context,
    fake::{Certificate, Fault},
    ground::{HERE, MOVED},
};

/// What is published while nobody has looked yet.
const UNKNOWN: Standing = (TargetState::Unknown, Reason::None);
/// Where the desktop is behind a cable that can be pulled: on a link of this namespace's own.
const CABLE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 6)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
];
/// How long a truth that was missed is waited for nevertheless.
const OVERTIME: Duration = Duration::from_secs(15);

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// For how long.
    pub time: Duration,
    /// What it draws by.
    pub seed: u64,
    /// Whether this is a network namespace of its own, in which a link may be laid.
    pub has_cable: bool,
}

/// Runs it; `say` is told of what goes wrong when it does.
///
/// # Errors
/// When a part of it does not come up.
pub async fn run(plan: Plan, say: impl Fn(&str)) -> Result<Report> {
    let mut soak = Soak::start(&plan).await?;
    let mut told = 0;
    while soak.watch.now() < plan.time {
        soak.round(&plan).await?;
        for story in soak.watch.report.stories.iter().skip(told) {
            say(story);
        }
        told = soak.watch.report.stories.len();
    }
    soak.rest().await?;
    let mut report = soak.watch.report;
    report.stories.clear();
    Ok(report)
}

struct Soak {
    dice: Dice,
    lanes: Vec<Lane>,
    watch: Watch,
    laptop: Laptop,
    rewritten: u32,
    directory: TempDir,
    _certificate: Certificate,
}

impl Soak {
    async fn start(plan: &Plan) -> Result<Self> {
        let homes = if plan.has_cable { CABLE } else { [HERE, MOVED] };
        if plan.has_cable {
            upset::lay_cable(&homes)?;
        }
        let directory = tempfile::tempdir().context("a directory for the soak")?;
        let certificate = Certificate::new(&homes)?;
        let lanes = vec![
            Lane::cache("desktop", homes, None).await?,
            Lane::cache("secured", homes, Some(&certificate)).await?,
            Lane::builder("desktop", homes, &directory.path().join("key")).await?,
        ];
        let entries: String = lanes.iter().map(Lane::entry).collect();
        let laptop = Laptop::start(directory.path(), certificate.path(), &entries).await?;
        let mut watch = Watch::start(laptop.bus()).await?;
        for lane in &lanes {
            let due = watch.now() + Evidence::Start.due(false);
            let times = (watch.now(), due);
            let before = vec![UNKNOWN];
            let truth = Truth::new("start".into(), READY, lane.address(), before, times);
            watch.expect(lane, "start", truth);
            watch.report.inject("start");
        }
        let mut soak = Self {
            dice: Dice::new(plan.seed),
            lanes,
            watch,
            laptop,
            rewritten: 0,
            directory,
            _certificate: certificate,
        };
        soak.settle().await;
        soak.watch.report.lives.push(Default::default());
        soak.note_rest();
        Ok(soak)
    }

    /// Something happens to some targets and, now and then, to the laptop; then it is waited for until all
    /// of it is told, and watched whether that lasts.
    async fn round(&mut self, plan: &Plan) -> Result<()> {
        let upset = self.draw_upset(plan);
        let is_first = self.dice.comes(50);
        if let Some(upset) = upset.filter(|_| is_first) {
            self.upset(upset).await?;
        }
        for at in 0..self.lanes.len() {
            if self.dice.comes(60) {
                self.inject(at).await?;
            }
        }
        if self.dice.comes(50) {
            self.settle().await;
        }
        if let Some(upset) = upset.filter(|_| !is_first) {
            self.upset(upset).await?;
        }
        self.settle().await;
        let lasts = self.dice.between(300, 1500);
        self.watch.look_for(lasts).await;
        self.note_cost();
        if self.lanes.iter().all(|lane| is_mended(lane.now)) {
            self.note_rest();
        }
        Ok(())
    }

    /// What is broken is mended mostly, or breaks in another way; what is well breaks.
    async fn inject(&mut self, at: usize) -> Result<()> {
        let Some(lane) = self.lanes.get_mut(at) else {
            return Ok(());
        };
        let injection = if is_mended(lane.now) || self.dice.comes(25) {
            self.dice.one_of(&lane.injections()).copied()
        } else {
            Some(MENDED)
        };
        let injection = injection.unwrap_or(MENDED);
        match injection.act {
            Act::Flap => self.flap(at, injection, Fault::Refuse).await?,
            Act::Hiccup => self.flap(at, injection, Fault::Silent).await?,
            Act::Set(_) | Act::Vanish | Act::Mute | Act::Move => {}
        }
        self.tell_of(at, injection, &[]).await
    }

    async fn tell_of(&mut self, at: usize, injection: Injection, also: &[Standing]) -> Result<()> {
        if let Some(lane) = self.lanes.get_mut(at) {
            let since = self.watch.now();
            lane.act(injection.act).await?;
            let is = injection.truth_after(lane.now.replace(injection));
            let mut due = self.watch.now() + injection.evidence.due(self.watch.was_ready(lane));
            if lane.is_punished {
                due += PENALTY;
            }
            lane.is_punished = is.len() > injection.truth.len();
            let mut before = self.watch.may_be_published(lane);
            before.extend_from_slice(injection.transit);
            before.extend_from_slice(also);
            let what = injection.name.to_owned();
            let times = (since, due);
            let truth = Truth::new(what, &is, lane.address(), before, times);
            self.watch.report.inject(injection.name);
            self.watch.expect(lane, injection.name, truth);
        }
        Ok(())
    }

    /// From well to broken and back, a few times, each for less than a time-out. Only what is well can do
    /// that with a known truth.
    async fn flap(&mut self, at: usize, injection: Injection, fault: Fault) -> Result<()> {
        self.tell_of(at, MENDED, &[]).await?;
        self.settle().await;
        if let Some(lane) = self.lanes.get_mut(at) {
            let since = self.watch.now();
            let long = since + Duration::from_secs(60);
            let before = injection.transit.to_vec();
            let what = injection.name.to_owned();
            let times = (since, long);
            let truth = Truth::new(what, READY, lane.address(), before, times);
            self.watch.expect(lane, injection.name, truth);
            for _ in 0..4 {
                for fault in [fault, Fault::Healthy] {
                    lane.act(Act::Set(fault)).await?;
                    let wait = self.dice.between(100, 400);
                    self.watch.look_for(wait).await;
                }
            }
        }
        Ok(())
    }

    /// Waits until all is told, or has been missed.
    async fn settle(&mut self) {
        let began = self.watch.now();
        while !self.watch.is_settled() {
            if self.watch.is_overdue() && self.watch.now() > began + OVERTIME {
                break;
            }
            self.watch.look_for(Duration::from_millis(20)).await;
        }
        self.watch.count_missed();
    }

    /// All is mended, and rests for a while.
    async fn rest(&mut self) -> Result<()> {
        for at in 0..self.lanes.len() {
            self.tell_of(at, MENDED, &[]).await?;
        }
        self.settle().await;
        self.watch.look_for(Duration::from_secs(3)).await;
        self.note_rest();
        Ok(())
    }

    fn note_cost(&mut self) {
        if let (Ok(cost), Some(life)) = (Cost::of(self.laptop.id()), self.watch.report.life()) {
            life.see(cost);
        }
    }

    fn note_rest(&mut self) {
        if let (Ok(cost), Some(life)) = (Cost::of(self.laptop.id()), self.watch.report.life()) {
            life.rest(cost);
        }
    }
}

fn is_mended(now: Option<Injection>) -> bool {
    now.is_none_or(|now| now.truth == READY)
}
