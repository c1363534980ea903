//! The seam to the daemon: the one function of the practice program that needs it.

use std::time::Duration;

use futures_util::StreamExt;
use offload_client::{Snapshot, embedded, names, read, watch::watch};
use offloadd::{Options, cli::BusChoice, config::Settings, service::Flag};
use tokio::{select, sync::mpsc};
use zbus::{connection::Builder, fdo::DBusProxy};

use super::{control::NOT_RUNNING, watched};
use crate::{Error, Result, error::Context, eventually, fake::Desktop};

/// The daemon is on its bus before it has checked anything.
const BUS_UP: Duration = Duration::from_secs(5);

/// Runs the daemon on a bus inside of this process, watching `desktop`, and sends each snapshot.
///
/// # Errors
/// When the daemon can't run.
pub async fn daemon(desktop: &Desktop, news: mpsc::Sender<Snapshot>) -> Result<()> {
    let settings = Settings {
        poll: watched::poll(),
        nix: watched::nix(),
        caches: vec![watched::cache(desktop)],
        builders: vec![watched::builder(desktop)?],
        ..Settings::default()
    };
    let options = Options {
        settings,
        sources: None,
        bus: BusChoice::Embedded,
        flag: Flag::from_environment(),
        page: false,
        log: None,
    };
    select! {
        ended = offloadd::run(options) => ended.map_err(std::io::Error::other).context("offloadd"),
        followed = follow(news) => followed,
    }
}

/// What the daemon of a running practice program knows, read from its bus.
///
/// # Errors
/// When none is running.
pub async fn now() -> Result<Snapshot> {
    let address = embedded::address_for_server();
    let connection = Builder::address(address.as_str()).build().await;
    let connection = connection.map_err(|_| Error::Unsupported(NOT_RUNNING.into()))?;
    let snapshot = read::snapshot(&connection).await;
    snapshot
        .map_err(std::io::Error::other)
        .context("the practice daemon")
}

/// Reads the verdicts as any other client does: from the bus.
async fn follow(news: mpsc::Sender<Snapshot>) -> Result<()> {
    let address = embedded::address_for_server();
    // Its name is waited for: busd leaves a call to a name that nobody owns yet without any answer.
    let connection = eventually(BUS_UP, "offloadd is on the embedded bus", async || {
        let connection = Builder::address(address.as_str()).build().await.ok()?;
        let bus = DBusProxy::new(&connection).await.ok()?;
        let name = names::BUS_NAME.try_into().ok()?;
        let owned = bus.name_has_owner(name).await.ok()?;
        owned.then_some(connection)
    })
    .await?;
    let mut snapshots = watch(&connection);
    while let Some(snapshot) = snapshots.next().await {
        if let Some(snapshot) = snapshot
            && news.send(snapshot).await.is_err()
        {
            return Ok(());
        }
    }
    Err(Error::Gone("the embedded bus"))
}
