//! What the rest of the daemon sees of the monitor: its snapshot, and a way to ask.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use offload_client::{Snapshot, errors::BusError, snapshot::HistoryEntry};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    config::{Poll, Wake},
    health::Counts,
    net::{Network, Station},
    plan::{Hook, Plan, Proving},
    probe::Context,
    report::Tested,
    target::{TargetId, TargetSpec},
    whereabouts::{DiscoverError, WakeError, Waker, Woken},
};

/// How many requests may wait for the monitor's next turn.
pub(super) const INBOX: usize = 32;

/// The monitor's snapshot, and a way to ask it for something.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) snapshot: watch::Receiver<Arc<Snapshot>>,
    pub(super) specs: Specs,
    pub(super) proving: watch::Receiver<Proving>,
    pub(super) found: watch::Receiver<BTreeMap<TargetId, IpAddr>>,
    pub(super) stations: watch::Receiver<BTreeMap<TargetId, Station>>,
    pub(super) wake: watch::Receiver<Wake>,
    pub(super) context: Arc<Context>,
    pub(super) commands: mpsc::Sender<Command>,
}

/// What is watched, in Nix's order.
pub type Specs = watch::Receiver<Vec<Arc<TargetSpec>>>;

/// Why a check was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// Nothing is watched.
    #[error("nothing is configured to be watched")]
    NotConfigured,
    /// No target has that name, or it went while the check was under way.
    #[error("no such target")]
    NoSuchTarget,
    /// Too many callers wait already.
    #[error("too many callers wait for checks")]
    Busy,
    /// The daemon is about to end.
    #[error("the daemon is about to end")]
    Stopping,
}

/// What the monitor is asked.
#[derive(Debug)]
pub(super) enum Command {
    Check {
        target: Option<TargetId>,
        reply: oneshot::Sender<Result<(), CheckError>>,
    },
    History {
        target: TargetId,
        max: usize,
        reply: oneshot::Sender<Vec<HistoryEntry>>,
    },
    Counts {
        reply: oneshot::Sender<Vec<(TargetId, Counts)>>,
    },
    Pause {
        duration: Option<Duration>,
        done: oneshot::Sender<()>,
    },
    Resume {
        done: oneshot::Sender<()>,
    },
    /// This machine is on these networks now.
    Network(Arc<Network>),
    /// Whatever was known may have changed meanwhile: after a resume from suspend.
    Refresh,
    /// The same of builders alone: what ssh goes by has changed.
    RefreshBuilders,
    /// Somebody is at this address who was not there.
    RefreshAddress(IpAddr),
    /// Look for what is not where it should be, by every way that is configured or that a person
    /// may ask for; the targets that were found.
    Discover {
        reply: oneshot::Sender<Result<Vec<TargetId>, DiscoverError>>,
    },
    /// Wake a desktop that sleeps.
    Wake {
        target: TargetId,
        waker: Waker,
        reply: oneshot::Sender<Result<Woken, WakeError>>,
    },
    /// Wait for the searches under way.
    Searched {
        done: oneshot::Sender<()>,
    },
    Spec {
        target: TargetId,
        reply: oneshot::Sender<Option<Arc<TargetSpec>>>,
    },
    Hook {
        reply: oneshot::Sender<Arc<Hook>>,
    },
    Tested {
        spec: Arc<TargetSpec>,
        tested: Tested,
        done: oneshot::Sender<Result<(), CheckError>>,
    },
    Remember {
        found: BTreeMap<TargetId, IpAddr>,
        stations: BTreeMap<TargetId, Station>,
    },
    Recalled {
        target: TargetId,
        tested: Tested,
        done: oneshot::Sender<()>,
    },
    Unproved {
        target: TargetId,
        done: oneshot::Sender<()>,
    },
    Watch {
        // Far larger than the others.
        plan: Box<Plan>,
        poll: Poll,
        done: oneshot::Sender<()>,
    },
}

impl From<CheckError> for BusError {
    fn from(error: CheckError) -> Self {
        let text = error.to_string();
        match error {
            CheckError::NotConfigured => Self::NotConfigured(text),
            CheckError::NoSuchTarget => Self::NoSuchTarget(text),
            CheckError::Busy => Self::Busy(text),
            CheckError::Stopping => Self::Failed(text),
        }
    }
}

impl Handle {
    /// What is known now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// Every change of what is known, for one subscriber.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// What is watched, as it changes.
    pub fn specs(&self) -> Specs {
        self.specs.clone()
    }

    /// Checks one target, or all, now. Returns when that is done and in the snapshot; callers
    /// who ask while a check is under way share it, and so do those who ask often, with the next.
    pub async fn check(&self, target: Option<TargetId>) -> Result<(), CheckError> {
        self.ask(|reply| Command::Check { target, reply })
            .await
            .unwrap_or(Err(CheckError::Stopping))
    }

    /// The last `max` changes of a target, newest first.
    pub async fn history(&self, target: TargetId, max: usize) -> Vec<HistoryEntry> {
        self.ask(|reply| Command::History { target, max, reply })
            .await
            .unwrap_or_default()
    }

    /// What became of the checks of every target since it is watched.
    pub async fn counts(&self) -> Vec<(TargetId, Counts)> {
        self.ask(|reply| Command::Counts { reply })
            .await
            .unwrap_or_default()
    }

    /// Stops all checks for a while, or until [`Handle::resume`].
    pub async fn pause(&self, duration: Option<Duration>) {
        self.ask(|done| Command::Pause { duration, done }).await;
    }

    /// Ends a pause.
    pub async fn resume(&self) {
        self.ask(|done| Command::Resume { done }).await;
    }

    /// Tells that this machine is on these networks now.
    pub async fn network(&self, network: Arc<Network>) {
        // A monitor that is gone needs to know nothing.
        let _ = self.commands.send(Command::Network(network)).await;
    }

    /// Checks everything at once, because all of it may have changed: after a resume from suspend.
    pub async fn refresh(&self) {
        let _ = self.commands.send(Command::Refresh).await;
    }

    /// Checks all builders at once, because what ssh goes by has changed.
    pub async fn refresh_builders(&self) {
        let _ = self.commands.send(Command::RefreshBuilders).await;
    }

    /// Checks at once what is not there and may be at `address`, where somebody has appeared.
    pub async fn refresh_address(&self, address: IpAddr) {
        let _ = self.commands.send(Command::RefreshAddress(address)).await;
    }

    /// Looks for every target that is at none of its addresses. Returns when that is over, with
    /// those that were found; callers who ask while a search is under way share it.
    pub async fn discover(&self) -> Result<Vec<TargetId>, DiscoverError> {
        self.ask(|reply| Command::Discover { reply })
            .await
            .unwrap_or(Err(DiscoverError::Stopping))
    }

    /// Has a desktop woken that sleeps, if it may be. Returns when a packet was sent, or is not to be.
    ///
    /// # Errors
    /// It can't be woken; on demand what is not to be done is no error.
    pub async fn wake(&self, target: TargetId, waker: Waker) -> Result<Woken, WakeError> {
        let command = |reply| Command::Wake {
            target,
            waker,
            reply,
        };
        self.ask(command).await.unwrap_or(Err(WakeError::Stopping))
    }

    /// Whether desktops are woken on demand, and how long is waited for one.
    pub fn wakes(&self) -> Wake {
        *self.wake.borrow()
    }

    /// What probes are told; their bounds are those of the start.
    pub const fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Where each builder was seen by its hardware address, as it changes.
    pub fn stations(&self) -> watch::Receiver<BTreeMap<TargetId, Station>> {
        self.stations.clone()
    }

    /// Returns when no search is under way, and what was found is checked; at once where that is so.
    pub async fn searched(&self) {
        self.ask(|done| Command::Searched { done }).await;
    }

    /// What a target is checked by; `None` where it is not watched.
    pub async fn spec(&self, target: TargetId) -> Option<Arc<TargetSpec>> {
        self.ask(|reply| Command::Spec { target, reply })
            .await
            .flatten()
    }

    /// What Nix decides by where a build goes; `None` where the daemon is about to end.
    pub async fn hook(&self) -> Option<Arc<Hook>> {
        self.ask(|reply| Command::Hook { reply }).await
    }

    /// Keeps what a test build showed of the builder that was `spec` when it began. Returns when that is in the snapshot,
    /// and what the check says of it that it leads to; another specification since then makes it old news.
    pub async fn tested(&self, spec: Arc<TargetSpec>, tested: Tested) {
        self.ask(|done| Command::Tested { spec, tested, done })
            .await;
    }

    /// When builders prove themselves unasked, as it changes.
    pub fn proving(&self) -> watch::Receiver<Proving> {
        self.proving.clone()
    }

    /// Where each target was found that is at none of its own addresses, as it changes.
    pub fn found(&self) -> watch::Receiver<BTreeMap<TargetId, IpAddr>> {
        self.found.clone()
    }

    /// Tells where targets were found before this daemon was started, and where builders were seen by their hardware
    /// addresses. They have to prove who they are.
    pub async fn remember(
        &self,
        found: BTreeMap<TargetId, IpAddr>,
        stations: BTreeMap<TargetId, Station>,
    ) {
        let remembered = Command::Remember { found, stations };
        let _ = self.commands.send(remembered).await;
    }

    /// Shows what a test build came to before this daemon was started; nothing is judged by it. Returns when that is
    /// in the snapshot.
    pub async fn recalled(&self, target: TargetId, tested: Tested) {
        self.ask(|done| Command::Recalled {
            target,
            tested,
            done,
        })
        .await;
    }

    /// Tells that a builder has yet to prove itself, with what it is now. Returns when that is in the snapshot.
    pub async fn unproved(&self, target: TargetId) {
        self.ask(|done| Command::Unproved { target, done }).await;
    }

    /// Watches what `plan` says from now on; what did not change goes on undisturbed. Returns when
    /// that is in the snapshot, or when the monitor is gone, which the caller is about to learn.
    pub async fn watch(&self, plan: Plan, poll: Poll) {
        let plan = Box::new(plan);
        self.ask(|done| Command::Watch { plan, poll, done }).await;
    }

    /// Sends a command and waits for its answer; `None` when the monitor is gone.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}
