//! `bar`: a line for a status bar, and another one whenever it changes.
//!
//! The first comes at once. It outlives restarts of the daemon and of the bus, starts no daemon, and does nothing
//! beside: a bar may run it once for each monitor.

mod format;
mod line;

use std::{pin::pin, time::Duration};

use futures_util::StreamExt;
use tokio::time::timeout;

pub(super) use self::{
    format::{Format, pango},
    line::Line,
};
use super::{
    args::Cli,
    failure::{Failure, Outcome},
    output::{Output, is_ascii},
};
use crate::{Client, Snapshot};

/// How long the daemon may take for the first answer before a bar, or the tray, shows that there is none yet.
pub(super) const FIRST: Duration = Duration::from_secs(1);

pub(super) async fn bar(
    cli: &Cli,
    output: Output,
    format: Format,
    once: bool,
) -> Result<Outcome, Failure> {
    let mut shown = Shown {
        output,
        format,
        last: None,
    };
    let mut closed = pin!(Output::closed());
    tokio::select! {
        end = show(cli, &mut shown, once || format.is_asked_again()) => end,
        () = &mut closed => Ok(Outcome::Ready),
    }
}

async fn show(cli: &Cli, shown: &mut Shown, once: bool) -> Result<Outcome, Failure> {
    let mut updates = Client::on(cli.bus.clone()).watch();
    // Who hangs is no daemon yet: what it says then is shown when it comes.
    let first = timeout(FIRST, updates.next()).await;
    shown.print(first.ok().flatten().flatten().as_ref())?;
    while !once && let Some(now) = updates.next().await {
        shown.print(now.as_ref())?;
    }
    Ok(Outcome::Ready)
}

/// What the bar has.
struct Shown {
    output: Output,
    format: Format,
    last: Option<String>,
}

impl Shown {
    /// Prints what is now, where it is not what was; `None` where there is no daemon.
    fn print(&mut self, now: Option<&Snapshot>) -> Result<(), Failure> {
        let text = self.format.write(&Line::of(now, is_ascii()));
        if self.last.as_ref() != Some(&text) {
            self.output.print(&text)?;
            self.last = Some(text);
        }
        Ok(())
    }
}
