//! What one daemon after the other says, over one bus after the other.

use std::{convert::Infallible, time::Duration};

use futures_util::StreamExt;
use tokio::{sync::mpsc, time::sleep};

use super::{args::Cli, session::Session};
use crate::Snapshot;

/// How often a bus that went is looked for.
const AGAIN: Duration = Duration::from_millis(250);

/// The snapshots of one daemon after the other; `None` while there is none, or no bus.
pub(super) async fn follow(
    cli: &Cli,
    mut session: Session,
    updates: mpsc::Sender<Option<Snapshot>>,
) -> Infallible {
    loop {
        let mut items = crate::watch::watch(&session.connection);
        while let Some(item) = items.next().await {
            // Whoever listens ends with this.
            let _ = updates.send(item).await;
        }
        let _ = updates.send(None).await;
        session = loop {
            sleep(AGAIN).await;
            if let Ok(session) = Session::open_bus(cli).await {
                break session;
            }
        };
    }
}
