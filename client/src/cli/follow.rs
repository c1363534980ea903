//! What one daemon after the other says, over one bus after the other.

use std::convert::Infallible;

use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::{args::Cli, bus_back::BusBack, session::Session};
use crate::Snapshot;

/// The snapshots of one daemon after the other; `None` while there is none, or no bus.
pub(super) async fn follow(
    cli: &Cli,
    mut session: Session,
    updates: mpsc::Sender<Option<Snapshot>>,
) -> Infallible {
    let mut back = BusBack::of(cli.bus.as_ref());
    loop {
        back.came();
        let mut items = crate::watch::watch(&session.connection);
        while let Some(item) = items.next().await {
            // Whoever listens ends with this.
            let _ = updates.send(item).await;
        }
        let _ = updates.send(None).await;
        session = loop {
            back.trying();
            if let Ok(session) = Session::open_bus(cli).await {
                break session;
            }
            back.wait().await;
        };
    }
}
