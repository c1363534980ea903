//! `wait`: until ready, woken by the daemon's signals.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, sleep_until};

use super::{
    args::Cli,
    failure::{Failure, Outcome},
    output::Output,
    session::{self, Session},
    spinner::Spinner,
    status,
};
use crate::{Snapshot, page::clean, reasons};

/// How long a daemon may be away (a restart) before a wait without a limit gives up.
const GRACE: Duration = Duration::from_secs(30);

/// Waits for everything, or for the targets of a name. With a limit it waits for the daemon too;
/// without one, a daemon that is not there would mean to wait for nobody.
pub(super) async fn wait(
    cli: &Cli,
    output: Output,
    target: Option<&str>,
    limit: Option<Duration>,
) -> Result<Outcome, Failure> {
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let session = match limit {
        Some(_) => Session::open_bus(cli).await?,
        None => Session::open(cli).await?,
    };
    // Where the bus starts the daemon on demand this starts it; a watcher starts nothing. Whether
    // there is a daemon at all shows below.
    tokio::select! {
        _ = session.snapshot() => {}
        () = until(deadline) => {}
    }
    let mut updates = crate::watch::watch(&session.connection);
    let mut spinner = Spinner::new("waiting");
    let mut last: Option<Snapshot> = None;
    let mut patience: Option<Instant> = None;
    loop {
        let item = tokio::select! {
            item = updates.next() => item.ok_or(Failure::BusGone)?,
            () = until(deadline) => return Err(too_late(last.as_ref(), target)),
            () = until(patience) => return Err(Failure::DaemonGone),
            never = spinner.turn() => match never {},
        };
        patience = match (&item, deadline) {
            (None, None) => Some(Instant::now() + GRACE),
            _ => None,
        };
        if let Some(snapshot) = &item
            && session::outcome(snapshot, target)? == Outcome::Ready
        {
            drop(spinner);
            return ready(cli, &session, snapshot, target, &output).await;
        }
        spinner.say(format!("waiting: {}", state(item.as_ref(), target)));
        last = item;
    }
}

/// A person sees the page; a script sees nothing but the exit code, unless it wants JSON.
async fn ready(
    cli: &Cli,
    session: &Session,
    snapshot: &Snapshot,
    target: Option<&str>,
    output: &Output,
) -> Result<Outcome, Failure> {
    if cli.json {
        let chosen = session::select(snapshot, target)?;
        let document = session.document(target.map(|_| chosen.as_slice())).await?;
        output.print(&format!("{document}\n"))?;
    } else if output.terminal {
        status::show(snapshot, target, output)?;
    }
    Ok(Outcome::Ready)
}

fn too_late(last: Option<&Snapshot>, target: Option<&str>) -> Failure {
    match last {
        Some(_) => Failure::NotReadyInTime(state(last, target)),
        None => Failure::DaemonGone,
    }
}

/// What is not ready, in a line.
fn state(snapshot: Option<&Snapshot>, target: Option<&str>) -> String {
    let Some(snapshot) = snapshot else {
        return "offloadd is not running".to_owned();
    };
    let chosen = session::select(snapshot, target).unwrap_or_default();
    let waiting: Vec<String> = chosen
        .iter()
        .filter(|target| !target.state.is_ready())
        .map(|target| {
            let title = reasons::text(target.reason).title;
            let why = if title.is_empty() { "" } else { ", " };
            format!("{} is {}{why}{title}", clean(&target.label()), target.state)
        })
        .collect();
    if waiting.is_empty() {
        let title = reasons::text(snapshot.reason).title;
        return if title.is_empty() {
            snapshot.state.to_string()
        } else {
            title.to_owned()
        };
    }
    waiting.join("; ")
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
