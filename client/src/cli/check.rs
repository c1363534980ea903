//! `check`: looks now, and shows what came of it.

use super::{
    args::Cli,
    failure::{Failure, Outcome},
    goal::Goal,
    output::Output,
    session::{self, Session},
    spinner, status,
};
use crate::language::tr;

pub(super) async fn check(
    cli: &Cli,
    output: Output,
    target: Option<&str>,
) -> Result<Outcome, Failure> {
    let session = Session::open(cli).await?;
    let before = session.snapshot().await?;
    let chosen = session::select(&before, target)?;
    spinner::beside(tr("checking"), async {
        if target.is_none() {
            return session.client.check().await.map(drop);
        }
        for one in &chosen {
            session.client.check_target(one).await?;
        }
        Ok(())
    })
    .await?;
    let snapshot = session.snapshot().await?;
    if cli.json {
        let chosen = target.map(|_| chosen.as_slice());
        let document = session.document(chosen).await?;
        output.print(&format!("{document}\n"))?;
        return Goal::targets(target).outcome(&snapshot);
    }
    status::show(&session, &snapshot, target, &output).await
}
