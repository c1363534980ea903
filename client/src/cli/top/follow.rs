//! Where the news come from: the daemon, and what Nix does on this machine.

use std::{convert::Infallible, time::Duration};

use futures_util::StreamExt;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::builds::{self, Builds};
use crate::{
    Client, Kind, Printable, Snapshot,
    cli::{failure::Failure, output, session},
    errors::BusError,
    job::End,
    language::tr,
    snapshot::{HistoryEntry, Target, Targets},
};

/// A check is over so long after it was due, mostly.
const CHECKED: Duration = Duration::from_millis(500);
/// The daemon is read this often at the most, signals aside.
const LEAST: Duration = Duration::from_secs(3);
/// How many targets' past is asked for, and how much of it.
const PAST: (usize, u32) = (16, 10);

/// What there is to show.
pub(super) enum News {
    /// What the daemon knows; `None` where there is none, or no bus.
    Snapshot(Option<Box<Snapshot>>),
    History(Vec<(String, Kind, HistoryEntry)>),
    Builds(Builds),
    /// Which daemon that is, where there are several.
    Which(Option<String>),
    /// A line of the test build.
    Line(Printable),
    /// The test build's end.
    Ended(Result<End, Failure>),
    /// What became of what somebody asked for.
    Done(Result<String, Failure>),
}

/// The daemon's news, through restarts of it and of the bus.
pub(super) async fn daemon(client: &Client, news: &mpsc::Sender<News>) -> Infallible {
    let mut updates = client.watch();
    let mut due: Option<Instant> = None;
    loop {
        let now = tokio::select! {
            Some(item) = updates.next() => item,
            // No signal tells of a latency: after each check it is read.
            () = at(due) => client.snapshot_if_running().await.ok(),
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
pub(super) async fn history(client: Client, targets: Targets, news: mpsc::Sender<News>) {
    let mut all = Vec::new();
    for target in targets.iter().take(PAST.0) {
        // It may be gone by now, or the daemon.
        let entries = client.history(target, PAST.1).await.unwrap_or_default();
        let labelled = entries.into_iter();
        all.extend(labelled.map(|entry| (target.label(), target.kind, entry)));
    }
    let _ = news.send(News::History(all)).await;
}

/// Which daemon is asked.
pub(super) async fn which(client: Client, news: mpsc::Sender<News>) {
    let which = session::which(&client).await;
    let _ = news.send(News::Which(which)).await;
}

/// Checks a target, or all.
pub(super) async fn check(client: Client, target: Option<Box<Target>>, news: mpsc::Sender<News>) {
    let asked = async {
        match target {
            Some(target) => client.check_target(&target).await.map(drop)?,
            None => client.check().await.map(drop)?,
        }
        client.snapshot_if_running().await
    };
    let done = match asked.await {
        Ok(snapshot) => {
            let _ = news.send(News::Snapshot(Some(Box::new(snapshot)))).await;
            Ok(tr("checked").to_owned())
        }
        Err(error) => Err(error.into()),
    };
    let _ = news.send(News::Done(done)).await;
}

/// Pauses the checks, or has them go on.
pub(super) async fn pause(client: Client, pauses: bool, news: mpsc::Sender<News>) {
    let (done, sentence) = if pauses {
        let sentence = tr("The checks are paused; p has them go on.");
        (client.pause(None).await, sentence)
    } else {
        (client.resume().await, tr("The checks go on."))
    };
    let done = done.map(|()| sentence.to_owned()).map_err(Failure::from);
    let _ = news.send(News::Done(done)).await;
}

/// Has the builder build something, and hands on what that prints.
pub(super) async fn test_build(
    client: Client,
    builder: Box<Target>,
    mut cancelled: mpsc::Receiver<()>,
    news: mpsc::Sender<News>,
) {
    let followed = async {
        let mut job = client.test_build(&builder, None).await?;
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
