//! Probes: a list of stages over real sockets. They report and decide nothing.
//!
//! A [`Session`] is what is kept between two checks of one target. The monitor moves it into a
//! check and gets it back with the [`Report`]; dropping it closes its connections.

pub mod builder;
pub mod cache;
pub mod connect;
pub mod fault;
mod identify;
pub mod resolve;
pub mod shares;
pub mod trace;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::{Semaphore, mpsc, watch};

pub use identify::Identifier;
pub use resolve::Lookups;
pub use shares::{Claim, Shares};
pub use trace::Trace;

use crate::{
    config::Connection,
    health::Depth,
    report::{Closed, Failure, Report, Stranger},
    target::{SpecKind, TargetSpec},
};

/// What is kept between two checks of one target.
pub enum Session {
    /// Of a cache.
    Cache(Box<cache::Session>),
    /// Of a builder.
    Builder(Box<builder::Session>),
}

impl Session {
    /// A session that has no connection yet.
    pub fn new(spec: Arc<TargetSpec>, context: Arc<Context>) -> Self {
        match spec.kind {
            SpecKind::Cache(_) => Self::Cache(Box::new(cache::Session::new(spec, context))),
            SpecKind::Builder(_) => Self::Builder(Box::new(builder::Session::new(spec, context))),
        }
    }

    /// Checks the target once: a cheap check goes as far as the connection does, and says again
    /// what the last deep one found; a deep one lets go of everything that is kept (but for a name
    /// that is still being looked up) and goes through every stage.
    ///
    /// It never fails: what went wrong is in the [`Report`]. A cheap one takes no longer than
    /// [`Context::timeout`]; a deep one, and any that reaches a builder through a proxy, no longer
    /// than [`Context::deep_timeout`], of the time in which this process has its turn. Before that a builder's may ask ssh_config, which has a bound
    /// of its own. Dropping the future ends the check and closes the connection it was using.
    pub async fn check(&mut self, depth: Depth) -> Report {
        // Each takes the room that it needs: that of a builder is three times as large.
        let mut report = match self {
            Self::Cache(session) => Box::pin(session.check(depth)).await,
            Self::Builder(session) => Box::pin(session.check(depth)).await,
        };
        if let Err(failure) = &mut report.outcome {
            fault::find_absent(failure, report.address.as_deref(), report.latency);
            fault::excuse(failure);
        }
        report
    }
}

/// What all probes are told.
#[derive(Clone, Debug)]
pub struct Context {
    /// The bound of one check over a connection of our own.
    pub timeout: Duration,
    /// The bound of a deep check, and of one where ssh_config's proxy connects first; never below
    /// `timeout`.
    pub deep_timeout: Duration,
    /// Whether connections are kept between checks.
    pub connection: Connection,
    /// Told when a peer closes a connection that lay idle. A full queue loses the event and no
    /// more: the next check finds out by itself.
    pub closed: mpsc::Sender<Closed>,
    /// What the searches of all targets may have open at once, together: [`search_sockets`].
    pub sockets: Arc<Semaphore>,
    /// The hosts of all caches that are watched, as [`cache::hosts`] has them: a redirect may lead
    /// there.
    pub cache_hosts: watch::Receiver<BTreeSet<String>>,
    /// The nix-daemon that runs, if one does.
    pub nix_daemon: watch::Receiver<Option<NixDaemon>>,
    /// What the names of all targets are looked up with.
    pub lookups: Lookups,
}

/// A nix-daemon that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NixDaemon {
    /// Its socket.
    pub socket: PathBuf,
    /// When it started, in microseconds of `CLOCK_REALTIME`.
    pub started: u64,
}

/// How many addresses are tried at once by all searches of one daemon: each is one socket.
pub const SEARCH_SOCKETS: usize = 64;

/// The permits for them.
pub fn search_sockets() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(SEARCH_SOCKETS))
}

/// What an attempt to prove a target's identity at an address came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Identity {
    /// It is the target.
    Same,
    /// It is somebody else.
    Stranger(Stranger),
    /// Nobody answered there, or the target has no identity that could be proved.
    Nobody(Failure),
}
