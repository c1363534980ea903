//! `pause` and `resume`.

use std::time::Duration;

use super::{
    args::Cli,
    failure::{Failure, Outcome},
    output::Output,
    session::{Session, call},
    spinner,
};
use crate::language::{say, tr};

pub(super) async fn pause(
    cli: &Cli,
    output: Output,
    duration: Option<Duration>,
) -> Result<Outcome, Failure> {
    let usec = duration.map_or(0, |duration| {
        u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
    });
    let session = Session::open(cli).await?;
    let manager = session.manager().await?;
    spinner::beside(tr("asking"), call(manager.pause(usec))).await?;
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
    let manager = session.manager().await?;
    spinner::beside(tr("asking"), call(manager.resume())).await?;
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
