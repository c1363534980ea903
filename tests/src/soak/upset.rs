//! The laptop: its daemon, its bus, its cable, and what is done to them.

use std::{fs, net::IpAddr, path::Path, time::Duration};

use rustix::process::Signal;

use super::{
    Soak, UNKNOWN,
    faults::{Evidence, POLL, Standing, Upset},
    truth::Truth,
};
use crate::{Bus, Daemon, Result, daemon::Launch, error::Context, process::run};
use offload_client::{Reason, TargetState};

/// The link of this namespace's own.
const LINK: &str = "lan";
/// sysexits(3): the bus is gone.
const UNAVAILABLE: i32 = 69;
const AWAY: &[Standing] = &[(TargetState::Away, Reason::NoRoute)];

/// The daemon on a bus of its own, and how to start it again.
pub(super) struct Laptop {
    bus: Bus,
    address: String,
    daemon: Daemon,
    launch: Launch,
}

impl Laptop {
    /// Beside a Nix that has no nix.conf in `etc`: what `entries` declare is the way, wherever it moves.
    pub(super) async fn start(etc: &Path, certificate: &Path, entries: &str) -> Result<Self> {
        let bus = Bus::start().await?;
        let address = bus.address();
        let launch = Launch {
            config: format!(
                "[nix]\nconf = \"{}\"\n{POLL}{entries}",
                etc.join("nix.conf").display()
            ),
            environment: vec![(
                "NIX_SSL_CERT_FILE".into(),
                certificate.display().to_string(),
            )],
            bus: address.clone(),
            ..Launch::default()
        };
        let daemon = Daemon::start(launch.clone()).await?;
        daemon.wait_ready().await?;
        Ok(Self {
            bus,
            address,
            daemon,
            launch,
        })
    }

    pub(super) fn bus(&self) -> &str {
        &self.address
    }

    pub(super) fn id(&self) -> u32 {
        self.daemon.id()
    }

    async fn start_again(&mut self) -> Result<()> {
        self.daemon = Daemon::start(self.launch.clone()).await?;
        self.daemon.wait_ready().await
    }
}

/// A link that leads nowhere, with the desktop's addresses on it: what is sent to them stays here.
pub(super) fn lay_cable(homes: &[IpAddr]) -> Result<()> {
    ip(&format!("link add name {LINK} type veth peer name far"))?;
    // IPv6 settles for a second or two after each change, which would be changes of their own.
    for end in [LINK, "far"] {
        ip(&format!("link set {end} addrgenmode none"))?;
    }
    ip("link set far up")?;
    plug_in(homes)
}

fn plug_in(homes: &[IpAddr]) -> Result<()> {
    ip(&format!("link set {LINK} up"))?;
    for home in homes {
        ip(&format!("addr add {home}/24 dev {LINK}"))?;
    }
    Ok(())
}

/// A machine's own addresses are reached though their link is down: they go with it.
fn unplug() -> Result<()> {
    ip(&format!("addr flush dev {LINK}"))?;
    ip(&format!("link set {LINK} down"))
}

fn ip(command: &str) -> Result<()> {
    run("ip", command.split_whitespace()).map(drop)
}

impl Soak {
    /// What happens to the laptop in this round, if anything. A daemon that is started again is another one:
    /// in the second half it lives, so that its growth can be seen.
    pub(super) fn draw_upset(&mut self, plan: &super::Plan) -> Option<Upset> {
        if !self.dice.comes(40) {
            return None;
        }
        let freeze = Upset::Freeze(self.dice.between(200, 3000));
        let mut all = vec![Upset::Hup, Upset::Rewrite, freeze];
        if self.watch.now() < plan.time / 2 {
            all.extend([Upset::Kill, Upset::Bus]);
        }
        if plan.has_cable {
            all.push(Upset::Link);
        }
        self.dice.one_of(&all).copied()
    }

    pub(super) async fn upset(&mut self, upset: Upset) -> Result<()> {
        let now = self.watch.now();
        if upset != Upset::Link {
            self.watch.report.inject(upset.name());
        }
        self.watch.report.happened(now, upset.name());
        match upset {
            Upset::Hup => {
                let config = self.laptop.launch.config.clone();
                self.laptop.daemon.reload(&config).await?;
            }
            Upset::Rewrite => {
                self.rewritten += 1;
                let text = format!("# For the {}th time.\n", self.rewritten);
                let machines = self.directory.path().join("machines");
                fs::write(&machines, text).context(machines.display())?;
            }
            Upset::Freeze(time) => self.freeze(time).await?,
            Upset::Kill => {
                self.laptop.daemon.signal(Signal::KILL)?;
                self.laptop.daemon.wait_exit().await?;
                self.begin_anew().await?;
            }
            Upset::Bus => {
                self.laptop.bus.stop();
                let status = self.laptop.daemon.wait_exit().await?;
                if status.code() != Some(UNAVAILABLE) {
                    let now = self.watch.now();
                    self.watch.report.wrong += 1;
                    let what = format!("the bus is gone, and the daemon ends with {status}");
                    self.watch.report.tell(now, "", &what);
                }
                self.laptop.bus.restart().await?;
                self.begin_anew().await?;
            }
            Upset::Link => self.pull_cable().await?,
        }
        Ok(())
    }

    async fn freeze(&mut self, time: Duration) -> Result<()> {
        self.laptop.daemon.signal(Signal::STOP)?;
        self.watch.is_deaf = true;
        let began = self.watch.now();
        self.watch.look_for(time).await;
        self.laptop.daemon.signal(Signal::CONT)?;
        self.watch.is_deaf = false;
        let frozen = self.watch.now().saturating_sub(began);
        self.watch.delay(frozen);
        Ok(())
    }

    async fn begin_anew(&mut self) -> Result<()> {
        self.laptop.start_again().await?;
        let bus = self.laptop.bus().to_owned();
        self.watch.reconnect(&bus).await?;
        let due = Evidence::Start.due(false);
        self.watch.begin_anew("start", due, UNKNOWN);
        self.watch.report.inject("start");
        self.watch.report.lives.push(Default::default());
        Ok(())
    }

    /// Down for a second or two, and up again. What was true before is true again then.
    async fn pull_cable(&mut self) -> Result<()> {
        self.settle().await;
        unplug()?;
        self.expect_everywhere("link down", Some(AWAY), Evidence::Network);
        self.settle().await;
        let lasts = self.dice.between(200, 2000);
        self.watch.look_for(lasts).await;
        plug_in(&super::CABLE)?;
        self.expect_everywhere("link up", None, Evidence::Start);
        self.settle().await;
        Ok(())
    }

    /// The same is true of every target, or what was done to each last.
    fn expect_everywhere(
        &mut self,
        cause: &'static str,
        truth: Option<&[Standing]>,
        evidence: Evidence,
    ) {
        self.watch.report.inject(cause);
        for lane in &self.lanes {
            let now = self.watch.now();
            let own = lane.now.map_or(super::READY, |injection| injection.truth);
            let before = self.watch.may_be_published(lane);
            let is = truth.unwrap_or(own);
            let times = (now, now + evidence.due(false));
            let truth = Truth::new(cause.into(), is, lane.address(), before, times);
            self.watch.expect(lane, cause, truth);
        }
    }
}
