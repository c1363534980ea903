//! `status` and `is-ready`: what the daemon knows now.

use super::{
    args::Cli,
    failure::{Failure, Outcome},
    goal::Goal,
    output::Output,
    session::{self, Session},
};
use crate::{OverallState, Snapshot, page};

pub(super) async fn status(cli: &Cli, output: Output) -> Result<Outcome, Failure> {
    let session = Session::open(cli).await?;
    let snapshot = session.judged().await?;
    if cli.json {
        let document = session.document(None).await?;
        let state = document.get("state").and_then(|state| state.as_str());
        output.print(&format!("{document}\n"))?;
        let state = OverallState::from_word(state.unwrap_or_default());
        return Ok(Outcome::ready(state.is_ready()));
    }
    show(&snapshot, None, &output)
}

pub(super) async fn is_ready(cli: &Cli, target: Option<&str>) -> Result<Outcome, Failure> {
    let session = Session::open(cli).await?;
    Goal::targets(target).outcome(&session.judged().await?)
}

/// Prints the page, or the lines of the targets asked for.
pub(super) fn show(
    snapshot: &Snapshot,
    target: Option<&str>,
    output: &Output,
) -> Result<Outcome, Failure> {
    let style = output.style_now();
    let page = match target {
        None => page::render(snapshot, &style),
        Some(_) => page::render_targets(session::select(snapshot, target)?, &style),
    };
    output.print(&page)?;
    Goal::targets(target).outcome(snapshot)
}
