//! The practice laptop's offloadd: this program once more, in an environment of its own, and what it says on its bus.

use std::{env, path::Path, process::Stdio, time::Duration};

use futures_util::StreamExt;
use offload_client::{Client, Snapshot, embedded, names};
use offloadd::{
    Options,
    cli::BusChoice,
    config::{Sources, load},
    service::Flag,
};
use rustix::process::{Signal, kill_process, set_parent_process_death_signal};
use tokio::{
    process::{Child, Command},
    select,
    sync::{mpsc, oneshot},
    time::timeout,
};
use zbus::{connection::Builder, fdo::DBusProxy};

use super::{control::NOT_RUNNING, laptop::Laptop};
use crate::{Error, Result, error::Context, eventually};

/// What this program is called with to be the daemon; the laptop's directory follows.
pub const DAEMON: &str = "--daemon";
/// The daemon is on its bus before it has checked anything.
const BUS_UP: Duration = Duration::from_secs(5);
/// For the daemon to leave its bus.
const FAREWELL: Duration = Duration::from_secs(2);

/// Runs the daemon of `laptop` on a bus inside of it, and sends each snapshot, until it is told to `stop` or ends by itself.
///
/// # Errors
/// When the daemon can't run.
pub async fn daemon(
    laptop: &Laptop,
    news: mpsc::Sender<Snapshot>,
    stop: oneshot::Receiver<()>,
) -> Result<()> {
    let mut command = Command::new(env::current_exe().context("this program")?);
    command.arg(DAEMON).arg(laptop.directory());
    command.env_clear().envs(laptop.environment());
    let spawned = command.stdin(Stdio::null()).kill_on_drop(true).spawn();
    let mut child = spawned.context("offloadd")?;
    select! {
        // On Ctrl-C it may be the first to go.
        ended = child.wait() => {
            return match ended.context("offloadd")? {
                status if status.success() => Ok(()),
                _ => Err(Error::Gone("offloadd")),
            };
        }
        followed = follow(news) => return followed,
        _ = stop => {}
    }
    end(&mut child).await
}

async fn end(child: &mut Child) -> Result<()> {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(id) = id.and_then(rustix::process::Pid::from_raw) {
        kill_process(id, Signal::TERM).context("offloadd")?;
    }
    if timeout(FAREWELL, child.wait()).await.is_err() {
        child.kill().await.context("offloadd")?;
    }
    Ok(())
}

/// Is the daemon of the laptop in `directory`, until it is told to end or the practice program is gone.
///
/// # Errors
/// When it can't run.
pub async fn run(directory: &Path) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM)).context("the practice program's end")?;
    let sources = Sources {
        file: Some(directory.join("config.toml")),
        ..Sources::default()
    };
    let settings = load(&sources).map_err(std::io::Error::other);
    let options = Options {
        settings: settings.context("the practice laptop")?,
        sources: Some(sources),
        bus: BusChoice::Embedded,
        flag: Flag::from_environment(),
        page: false,
        log: None,
    };
    let ended = offloadd::run(options).await;
    ended.map_err(std::io::Error::other).context("offloadd")
}

/// What the daemon of a running practice program knows, read from its bus.
///
/// # Errors
/// When none is running.
pub async fn now() -> Result<Snapshot> {
    let address = embedded::address_for_server();
    let connection = Builder::address(address.as_str()).build().await;
    let connection = connection.map_err(|_| Error::Unsupported(NOT_RUNNING.into()))?;
    let snapshot = Client::from(connection).snapshot().await;
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
    let mut snapshots = Client::from(connection).watch();
    while let Some(snapshot) = snapshots.next().await {
        if let Some(snapshot) = snapshot
            && news.send(snapshot).await.is_err()
        {
            return Ok(());
        }
    }
    Err(Error::Gone("the embedded bus"))
}
