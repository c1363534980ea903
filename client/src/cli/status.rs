//! `status` and `is-ready`: what the daemon knows now.

use serde::Deserialize;

use super::{
    args::Cli,
    failure::{Failure, Outcome},
    goal::Goal,
    output::Output,
    session::{self, Session},
};
use crate::{Snapshot, page};

pub(super) async fn status(
    cli: &Cli,
    output: Output,
    target: Option<&str>,
) -> Result<Outcome, Failure> {
    let session = Session::open(cli).await?;
    let snapshot = session.judged().await?;
    if cli.json {
        return write(&session, &snapshot, target, &output).await;
    }
    show(&session, &snapshot, target, &output).await
}

/// A script wants nothing but the exit code, unless it asks for JSON.
pub(super) async fn is_ready(
    cli: &Cli,
    output: Output,
    target: Option<&str>,
) -> Result<Outcome, Failure> {
    let session = Session::open(cli).await?;
    let snapshot = session.judged().await?;
    if cli.json {
        return write(&session, &snapshot, target, &output).await;
    }
    Goal::targets(target).outcome(&snapshot)
}

/// The daemon's own JSON, of the targets asked for.
async fn write(
    session: &Session,
    snapshot: &Snapshot,
    target: Option<&str>,
    output: &Output,
) -> Result<Outcome, Failure> {
    let chosen = session::select(snapshot, target)?;
    let document = session.document(target.map(|_| chosen.as_slice())).await?;
    output.print(&format!("{document}\n"))?;
    // By what is written: the daemon may have learnt something since.
    let written = Snapshot::deserialize(&document);
    let written = written.map_err(|error| Failure::Nonsense(error.to_string()))?;
    Goal::targets(target).outcome(&written)
}

/// Prints the page, or the lines of the targets asked for.
pub(super) async fn show(
    session: &Session,
    snapshot: &Snapshot,
    target: Option<&str>,
    output: &Output,
) -> Result<Outcome, Failure> {
    let style = output.style_now();
    let which = session.which(&style).await;
    match target {
        None => output.page(&(page::render(snapshot, &style) + &which))?,
        Some(_) => {
            let lines = page::render_targets(session::select(snapshot, target)?, &style);
            output.list(&(lines + &which))?;
        }
    }
    Goal::targets(target).outcome(snapshot)
}
