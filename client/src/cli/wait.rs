//! `wait`: until ready, woken by the daemon's signals.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, sleep_until};

use super::{
    args::Cli,
    failure::{Failure, Outcome},
    goal::Goal,
    output::Output,
    session::{self, Session},
    spinner::Spinner,
    status,
};
use crate::{
    Reason, Snapshot,
    errors::{BusError, not_started},
    language::{say, tr},
};

/// How long a daemon may be away (a restart) before a wait without a limit gives up.
const GRACE: Duration = Duration::from_secs(30);
/// How long this machine may be on no network at all: at a boot and after a resume it is for a moment. Where it is on
/// another one, waiting changes nothing.
const NO_NETWORK: Duration = Duration::from_secs(10);

/// Waits for everything, for the targets of a name, or for any builder. With a limit it waits for the daemon too;
/// without one, a daemon that is not there would mean to wait for nobody. Nobody waits for what this machine is away
/// from: it is for who is at home.
pub(super) async fn wait(
    cli: &Cli,
    output: Output,
    goal: Goal<'_>,
    limit: Option<Duration>,
) -> Result<Outcome, Failure> {
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let session = match limit {
        Some(_) => Session::to_come(cli),
        None => Session::open(cli).await?,
    };
    // Where the bus starts the daemon on demand this starts it; a watcher starts nothing. Whether
    // there is a daemon at all shows below.
    let first = tokio::select! {
        first = session.snapshot() => Some(first),
        () = until(deadline) => None,
    };
    if let (Some(Err(failure)), None) = (first, limit)
        && is_not_started(&failure)
    {
        return Err(failure);
    }
    let mut updates = session.client.watch();
    let mut spinner = Spinner::new(tr("waiting"));
    let mut last: Option<Snapshot> = None;
    let mut seen = false;
    let mut patience: Option<Instant> = None;
    let mut nowhere: Option<Instant> = None;
    loop {
        let item = tokio::select! {
            Some(item) = updates.next() => item,
            () = until(deadline) => return Err(too_late(last.as_ref(), goal)),
            () = until(patience) => return Err(gone(seen)),
            () = until(nowhere) => return Err(Failure::Away(goal.missing(last.as_ref()))),
            never = spinner.turn() => match never {},
        };
        seen |= item.is_some();
        patience = match (&item, deadline) {
            (None, None) => Some(Instant::now() + GRACE),
            _ => None,
        };
        if let Some(snapshot) = &item
            && goal.outcome(snapshot)? == Outcome::Ready
        {
            drop(spinner);
            return ready(cli, &session, snapshot, goal, &output).await;
        }
        nowhere = match item.as_ref().and_then(|now| goal.is_out_of_reach(now)) {
            None => None,
            Some(Reason::NoRoute) => nowhere.or_else(|| Some(Instant::now() + NO_NETWORK)),
            Some(_) => return Err(Failure::Away(goal.missing(item.as_ref()))),
        };
        spinner.say(say!(
            "waiting: {missing}",
            missing = goal.missing(item.as_ref())
        ));
        last = item;
    }
}

/// A person sees the page; a script sees nothing but the exit code, unless it wants JSON.
async fn ready(
    cli: &Cli,
    session: &Session,
    snapshot: &Snapshot,
    goal: Goal<'_>,
    output: &Output,
) -> Result<Outcome, Failure> {
    let name = match goal {
        Goal::Targets(name) => Some(name),
        Goal::Everything | Goal::AnyBuilder => None,
    };
    if cli.json {
        let chosen = session::select(snapshot, name)?;
        let document = session.document(name.map(|_| chosen.as_slice())).await?;
        output.print(&format!("{document}\n"))?;
    } else if output.terminal {
        status::show(session, snapshot, name, output).await?;
    }
    Ok(Outcome::Ready)
}

/// Whether the bus can't start it: nobody waits for that without a limit.
fn is_not_started(failure: &Failure) -> bool {
    matches!(failure, Failure::Bus(BusError::ZBus(error)) if not_started(error).is_some())
}

const fn gone(seen: bool) -> Failure {
    if seen {
        Failure::DaemonGone
    } else {
        Failure::NoDaemonCame
    }
}

fn too_late(last: Option<&Snapshot>, goal: Goal<'_>) -> Failure {
    match last {
        Some(_) => Failure::NotReadyInTime(goal.missing(last)),
        None => Failure::NoDaemonInTime,
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
