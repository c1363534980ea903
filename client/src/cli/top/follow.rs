//! Where the news come from: the daemon, and what Nix does on this machine.

use std::{convert::Infallible, time::Duration};

use futures_util::StreamExt;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use zbus::Connection;

use super::builds::{self, Builds};
use crate::{
    Kind, Printable, Reason, Snapshot, TargetState,
    cli::{
        args::Cli,
        bus_back::BusBack,
        failure::Failure,
        output,
        session::{Session, call},
    },
    errors::BusError,
    job::{self, End},
    language::tr,
    read,
    snapshot::{HistoryEntry, Targets},
};

/// A check is over so long after it was due, mostly.
const CHECKED: Duration = Duration::from_millis(500);
/// The daemon is read this often at the most, signals aside.
const LEAST: Duration = Duration::from_secs(3);
/// How many targets' past is asked for, and how much of it.
const PAST: (usize, u32) = (16, 10);

/// What there is to show.
pub(super) enum News {
    Bus(Connection),
    NoBus,
    /// What the daemon knows; `None` where there is none.
    Snapshot(Option<Box<Snapshot>>),
    History(Vec<(String, Kind, HistoryEntry)>),
    Builds(Builds),
    /// A line of the test build.
    Line(Printable),
    /// The test build's end.
    Ended(Result<End, Failure>),
    /// What became of what somebody asked for.
    Done(Result<String, Failure>),
}

/// The daemon's news, through restarts of it and of the bus.
pub(super) async fn daemon(cli: &Cli, news: &mpsc::Sender<News>) -> Infallible {
    let mut back = BusBack::of(cli.bus.as_ref());
    loop {
        back.trying();
        if let Ok(session) = Session::open_bus(cli).await {
            let _ = news.send(News::Bus(session.connection.clone())).await;
            back.came();
            snapshots(&session.connection, news).await;
        }
        let _ = news.send(News::NoBus).await;
        back.wait().await;
    }
}

/// Comes back when the connection ends.
async fn snapshots(connection: &Connection, news: &mpsc::Sender<News>) {
    let mut updates = crate::watch::watch(connection);
    let mut due: Option<Instant> = None;
    loop {
        let now = tokio::select! {
            item = updates.next() => match item {
                Some(item) => item,
                None => return,
            },
            // No signal tells of a latency: after each check it is read.
            () = at(due) => read::snapshot_if_running(connection).await.ok(),
        };
        due = now.as_ref().and_then(next_check);
        let _ = news.send(News::Snapshot(now.map(Box::new))).await;
    }
}

fn next_check(snapshot: &Snapshot) -> Option<Instant> {
    let now = output::now_realtime_usec();
    let targets = snapshot.targets.iter();
    let next = targets
        .map(|target| target.next_check_timestamp)
        .filter(|at| *at != 0)
        .min()?;
    let wait = Duration::from_micros(next.saturating_sub(now)) + CHECKED;
    Instant::now().checked_add(wait.max(LEAST))
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// What Nix has built elsewhere, whenever that changes.
pub(super) async fn builds(news: &mpsc::Sender<News>) -> Infallible {
    builds::follow(async |builds| {
        let _ = news.send(News::Builds(builds)).await;
    })
    .await
}

/// What the daemon remembers of the targets.
pub(super) async fn history(connection: Connection, targets: Targets, news: mpsc::Sender<News>) {
    let session = Session::on(connection);
    let mut all = Vec::new();
    for target in targets.iter().take(PAST.0) {
        let asked = async { call(session.target(target).await?.get_history(PAST.1)).await };
        // It may be gone by now, or the daemon.
        for (timestamp, state, reason, latency_usec) in asked.await.unwrap_or_default() {
            let entry = HistoryEntry {
                timestamp,
                state: TargetState::from_word(&state),
                reason: Reason::from_word(&reason),
                latency_usec,
            };
            all.push((target.label(), target.kind, entry));
        }
    }
    let _ = news.send(News::History(all)).await;
}

/// Checks the target with this object path, or all.
pub(super) async fn check(connection: Connection, path: Option<String>, news: mpsc::Sender<News>) {
    let asked = async {
        let session = Session::on(connection.clone());
        match path {
            Some(path) => call(session.target_at(path).await?.check()).await?,
            None => call(session.manager().await?.check()).await?,
        };
        Ok(read::snapshot_if_running(&connection).await?)
    };
    let done = match asked.await {
        Ok(snapshot) => {
            let _ = news.send(News::Snapshot(Some(Box::new(snapshot)))).await;
            Ok(tr("checked").to_owned())
        }
        Err(failure) => Err(failure),
    };
    let _ = news.send(News::Done(done)).await;
}

/// Pauses the checks, or has them go on.
pub(super) async fn pause(connection: Connection, pauses: bool, news: mpsc::Sender<News>) {
    let asked = async {
        let manager = Session::on(connection).manager().await?;
        if pauses {
            call(manager.pause(0)).await?;
            Ok(tr("The checks are paused; p has them go on.").to_owned())
        } else {
            call(manager.resume()).await?;
            Ok(tr("The checks go on.").to_owned())
        }
    };
    let done = asked.await;
    let _ = news.send(News::Done(done)).await;
}

/// Has the builder with this object path build something, and hands on what that prints.
pub(super) async fn test_build(
    connection: Connection,
    builder: String,
    mut cancelled: mpsc::Receiver<()>,
    news: mpsc::Sender<News>,
) {
    let followed = async {
        let mut job = job::test_build(&connection, &builder, None).await?;
        loop {
            let line = tokio::select! {
                line = job.line() => line?,
                Some(()) = cancelled.recv() => {
                    job.cancel().await?;
                    continue;
                }
            };
            let Some(line) = line else { break };
            let _ = news.send(News::Line(line)).await;
        }
        job.end()
            .ok_or_else(|| Failure::Nonsense("a job without an end".to_owned()))
    };
    let end = followed.await.map_err(midway);
    let _ = news.send(News::Ended(end)).await;
}

/// A daemon that left took what it knew of the job with it.
fn midway(failure: Failure) -> Failure {
    match failure {
        Failure::Bus(error) if error.is_no_daemon() => Failure::LeftMidway,
        Failure::Bus(BusError::TimedOut(_)) => Failure::Silent,
        failure => failure,
    }
}
