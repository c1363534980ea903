//! `pause` and `resume`.

use std::time::Duration;

use super::{
    args::Cli,
    failure::{Failure, Outcome},
    output::Output,
    session::Session,
    spinner,
};
use crate::language::{say, tr};

pub(super) async fn pause(
    cli: &Cli,
    output: Output,
    duration: Option<Duration>,
) -> Result<Outcome, Failure> {
    let session = Session::open(cli).await?;
    spinner::beside(tr("asking"), session.client.pause(duration)).await?;
    let sentence = match duration {
        Some(duration) => say!(
            "The checks are paused for {duration}; `offloadctl resume` ends that sooner.\n",
            duration = humantime::format_duration(duration)
        ),
        None => tr("The checks are paused until `offloadctl resume`.\n").to_owned(),
    };
    done(cli, &session, &output, &sentence).await
}

pub(super) async fn resume(cli: &Cli, output: Output) -> Result<Outcome, Failure> {
    let session = Session::open(cli).await?;
    spinner::beside(tr("asking"), session.client.resume()).await?;
    done(cli, &session, &output, tr("The checks go on.\n")).await
}

async fn done(
    cli: &Cli,
    session: &Session,
    output: &Output,
    sentence: &str,
) -> Result<Outcome, Failure> {
    if cli.json {
        let document = session.document(None).await?;
        output.print(&format!("{document}\n"))?;
    } else {
        output.print(sentence)?;
    }
    Ok(Outcome::Ready)
}
