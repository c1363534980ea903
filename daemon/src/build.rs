//! Test builds: a trivial derivation goes through this machine's own nix-daemon to one builder, as
//! any build would, and what comes back proves where it ran.
//!
//! - `derivation`: what is built. `nix`: Nix's commands as children. `job`: one test build.
//! - `verdict`: what it proves; pure, the table to read first.
//! - `prove`: those that nobody has asked for. `thrift`: when this machine can't afford them.
//! - `board`: what everybody may read of the jobs. Here: the actor that starts and ends them.

mod board;
mod derivation;
mod job;
mod nix;
mod prove;
#[cfg(test)]
mod tests;
mod thrift;
mod verdict;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use offload_client::{JobState, Reason, errors::BusError};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

pub(crate) use self::job::MAX_LINE;
pub use self::{
    board::{Board, Job, MAX_LINES, Status, Transcript},
    nix::Nix,
    prove::Prover,
};
use self::{job::Attempt, verdict::BuildVerdict};
use crate::{
    clock::Now,
    monitor,
    target::{TargetId, TargetSpec},
};

/// How long a test build may take, where nobody says.
pub const TIMEOUT: Duration = Duration::from_secs(120);
/// How long it may take at most.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(600);
/// How many may be under way.
const MAX_RUNNING: usize = 8;
/// How many requests may wait.
const INBOX: usize = 8;

/// Why a test build was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// No builder has that name.
    #[error("no such builder")]
    NoSuchBuilder,
    /// Nix has no way to it.
    #[error("Nix's list of builders has no line for it")]
    NotDispatched,
    /// One of this builder is under way.
    #[error("a test build of this builder is under way")]
    Busy,
    /// Too many are under way.
    #[error("too many test builds are under way")]
    TooMany,
    /// The daemon is about to end.
    #[error("the daemon is about to end")]
    Stopping,
}

impl From<StartError> for BusError {
    fn from(error: StartError) -> Self {
        let text = error.to_string();
        match error {
            StartError::NoSuchBuilder => Self::NoSuchTarget(text),
            StartError::Busy | StartError::TooMany => Self::Busy(text),
            StartError::NotDispatched | StartError::Stopping => Self::Failed(text),
        }
    }
}

/// Starts test builds and ends them. Dropping it ends those under way.
#[derive(Debug)]
pub struct Jobs {
    nix: Nix,
    monitor: monitor::Handle,
    board: watch::Sender<Board>,
    inbox: mpsc::Receiver<Command>,
    tasks: JoinSet<u32>,
    running: BTreeMap<u32, Running>,
    last: u32,
}

/// A way to ask for test builds, and to read of them.
#[derive(Clone, Debug)]
pub struct Handle {
    monitor: monitor::Handle,
    board: watch::Receiver<Board>,
    commands: mpsc::Sender<Command>,
}

#[derive(Debug)]
struct Running {
    builder: TargetId,
    /// Whether somebody has asked for it.
    asked: bool,
    cancel: Option<oneshot::Sender<()>>,
}

#[derive(Debug)]
enum Command {
    Start {
        spec: Arc<TargetSpec>,
        timeout: Duration,
        /// Who asks; nobody, where it is due.
        uid: Option<u32>,
        reply: oneshot::Sender<Result<u32, StartError>>,
    },
    Cancel {
        number: u32,
        done: oneshot::Sender<()>,
    },
}

impl Handle {
    /// Begins a test build of `builder` for `uid`, which ends after `timeout` at the latest (at most
    /// [`MAX_TIMEOUT`]); its number.
    ///
    /// # Errors
    ///
    /// Where there is no such builder, or too much under way.
    pub async fn start(
        &self,
        builder: &TargetId,
        timeout: Duration,
        uid: u32,
    ) -> Result<u32, StartError> {
        self.begin(builder, timeout, Some(uid)).await
    }

    /// Begins one that nobody has asked for; who asks for one ends it.
    ///
    /// # Errors
    ///
    /// As [`Handle::start`].
    pub(super) async fn start_unasked(&self, builder: &TargetId) -> Result<u32, StartError> {
        self.begin(builder, TIMEOUT, None).await
    }

    async fn begin(
        &self,
        builder: &TargetId,
        timeout: Duration,
        uid: Option<u32>,
    ) -> Result<u32, StartError> {
        let spec = self.monitor.spec(builder.clone()).await;
        let spec = spec.ok_or(StartError::NoSuchBuilder)?;
        let timeout = timeout.min(MAX_TIMEOUT);
        self.ask(|reply| Command::Start {
            spec,
            timeout,
            uid,
            reply,
        })
        .await
        .unwrap_or(Err(StartError::Stopping))
    }

    /// Ends a job; without effect where it has ended.
    pub async fn cancel(&self, number: u32) {
        self.ask(|done| Command::Cancel { number, done }).await;
    }

    /// What can be read of the jobs; for a moment only, since nothing can be written meanwhile.
    pub fn read<T>(&self, read: impl FnOnce(&Board) -> T) -> T {
        read(&self.board.borrow())
    }

    /// Every change of the board, for one subscriber.
    pub fn subscribe(&self) -> watch::Receiver<Board> {
        self.board.clone()
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}

impl Jobs {
    /// No jobs yet. What they show goes to `monitor`.
    pub fn new(nix: Nix, monitor: monitor::Handle) -> (Self, Handle) {
        let (commands, inbox) = mpsc::channel(INBOX);
        let (board, receiver) = watch::channel(Board::default());
        let handle = Handle {
            monitor: monitor.clone(),
            board: receiver,
            commands,
        };
        let jobs = Self {
            nix,
            monitor,
            board,
            inbox,
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
            last: 0,
        };
        (jobs, handle)
    }

    /// Works until the last [`Handle`] is gone.
    pub async fn run(mut self) {
        loop {
            tokio::select! {
                biased;
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(number) => drop(self.running.remove(&number)),
                    Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    // Nobody aborts one but the runtime at its end.
                    Err(_) => return,
                },
                command = self.inbox.recv() => match command {
                    Some(Command::Start { spec, timeout, uid, reply }) => {
                        let _ = reply.send(self.start(spec, timeout, uid));
                    }
                    Some(Command::Cancel { number, done }) => {
                        let running = self.running.get_mut(&number);
                        if let Some(cancel) = running.and_then(|job| job.cancel.take()) {
                            let _ = cancel.send(());
                        }
                        let _ = done.send(());
                    }
                    None => return,
                },
            }
        }
    }

    fn start(
        &mut self,
        spec: Arc<TargetSpec>,
        timeout: Duration,
        uid: Option<u32>,
    ) -> Result<u32, StartError> {
        let mut running = self.running.values_mut();
        if let Some(other) = running.find(|job| job.builder == spec.id) {
            match other.cancel.take() {
                Some(cancel) if uid.is_some() && !other.asked => drop(cancel.send(())),
                cancel => {
                    other.cancel = cancel;
                    return Err(StartError::Busy);
                }
            }
        }
        if self.running.len() >= MAX_RUNNING {
            return Err(StartError::TooMany);
        }
        let number = self.last.wrapping_add(1).max(1);
        let attempt = Attempt {
            nix: self.nix.clone(),
            monitor: self.monitor.clone(),
            board: self.board.clone(),
            number,
            timeout,
            spec: spec.clone(),
        };
        let builder = attempt.builder()?.clone();
        self.last = number;
        let status = Status {
            builder: spec.id.clone(),
            uid: uid.unwrap_or_else(|| rustix::process::geteuid().as_raw()),
            state: JobState::Running,
            reason: Reason::None,
            started: Now::read().realtime_usec,
            finished: 0,
        };
        self.board.send_modify(|board| board.begin(number, status));
        tracing::info!("job {number}: a test build of {}", spec.id);
        let (cancel, cancelled) = oneshot::channel();
        self.tasks.spawn(async move {
            let result = tokio::select! {
                biased;
                Ok(()) = cancelled => None,
                tested = attempt.run(&builder) => Some(tested),
            };
            attempt.end(result).await;
            number
        });
        let running = Running {
            builder: spec.id.clone(),
            asked: uid.is_some(),
            cancel: Some(cancel),
        };
        self.running.insert(number, running);
        Ok(number)
    }
}
