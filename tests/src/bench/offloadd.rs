//! offloadd itself: the same measurement, and what only it has.

use std::{fs, path::Path, time::Duration};

use offloadd::clock::Stopwatch;
use zbus::{Connection, connection::Builder};

use super::{
    contestant::{BRISK, CALM, Cost, Desk, watch_quiet},
    figures::Sample,
    proc::Memory,
};
use crate::{
    Bus, Daemon, Error, Result,
    daemon::{Launch, program},
    error::Context,
};

const NAME: &str = "org.offloadd.Offload1";
const ROOT: &str = "/org/offloadd/Offload1";
/// How often it is started.
const STARTS: usize = 10;
/// How often `offloadctl status` is run.
const STATUSES: usize = 30;
/// How often each method is called.
const CALLS: usize = 1000;
/// Less than [`BRISK`] after the last deep check, whatever the jitter; no time-out may be longer.
const EVERY_ROUND_DEEP: &str =
    "timeout = \"800ms\"\ndeep_timeout = \"800ms\"\ndeep_interval = \"800ms\"\n";
const PATIENCE: Duration = Duration::from_secs(5);

/// What the bus and the programs on it take.
#[derive(Clone, Debug)]
pub struct Answers {
    /// From the start of the process to `READY=1`.
    pub ready: Sample,
    /// `offloadctl status`, from start to exit.
    pub status: Sample,
    /// `GetManagedObjects`.
    pub objects: Sample,
    /// `Properties.Get`.
    pub property: Sample,
}

/// Measures the daemon with `connection` (`keep` or `per-check`).
///
/// # Errors
/// When it was not built, or makes no rounds.
pub async fn cost(program: &Path, connection: &str, rounds: usize) -> Result<Cost> {
    let desk = Desk::start().await?;
    let bus = Bus::start().await?;
    let brisk = start(program, &desk, &bus, connection, BRISK).await?;
    let (memory, cpu) = desk.watch_rounds(brisk.id(), rounds).await?;
    drop(brisk);
    let calm = start(program, &desk, &bus, connection, CALM).await?;
    Ok(Cost {
        memory,
        cpu,
        quiet_wakeups: watch_quiet(calm.id()).await?,
    })
}

/// Measures the daemon when each round is a deep one: the builder's handshake, trust and system, and
/// the cache's signature. What the desktop spends on it is not in it.
///
/// # Errors
/// When it was not built, or makes no rounds.
pub async fn deep(program: &Path, rounds: usize) -> Result<(Memory, Duration)> {
    let desk = Desk::start().await?;
    let bus = Bus::start().await?;
    let daemon = start_with(program, &desk, &bus, "keep", BRISK, EVERY_ROUND_DEEP).await?;
    desk.watch_logins(daemon.id(), rounds).await
}

/// Measures starts and answers.
///
/// # Errors
/// When the daemon or offloadctl was not built, or a call fails.
pub async fn answers() -> Result<Answers> {
    let (offloadd, offloadctl) = (program("offloadd")?, program("offloadctl")?);
    let desk = Desk::start().await?;
    let bus = Bus::start().await?;
    let mut ready = Vec::new();
    for _ in 0..STARTS {
        let watch = Stopwatch::start();
        let mut daemon = start(&offloadd, &desk, &bus, "keep", CALM).await?;
        ready.push(watch.elapsed());
        daemon.terminate().await?;
    }

    let _daemon = start(&offloadd, &desk, &bus, "keep", CALM).await?;
    let connection = Builder::address(bus.address().as_str()).build().await;
    let connection = connection
        .map_err(std::io::Error::other)
        .context("the private bus")?;
    settle(&connection).await?;
    let mut status = Vec::new();
    for _ in 0..STATUSES {
        status.push(run_status(&offloadctl, &bus.address()).await?);
    }
    let state = ("org.offloadd.Offload1.Manager", "State");
    let manager = "org.freedesktop.DBus.ObjectManager";
    Ok(Answers {
        ready: Sample::new(ready),
        status: Sample::new(status),
        objects: calls(&connection, manager, "GetManagedObjects", &(), [CALLS, 0]).await?,
        property: calls(
            &connection,
            "org.freedesktop.DBus.Properties",
            "Get",
            &state,
            [CALLS, 0],
        )
        .await?,
    })
}

/// The size of a binary, in KiB.
///
/// # Errors
/// When it was not built.
pub fn size(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).context(path.display())?.len() / 1024)
}

async fn start(
    program: &Path,
    desk: &Desk,
    bus: &Bus,
    connection: &str,
    every: Duration,
) -> Result<Daemon> {
    start_with(program, desk, bus, connection, every, "timeout = \"1s\"\n").await
}

async fn start_with(
    program: &Path,
    desk: &Desk,
    bus: &Bus,
    connection: &str,
    every: Duration,
    poll: &str,
) -> Result<Daemon> {
    let config = format!(
        "[poll]\n\
         interval = \"{every}s\"\n\
         fast_interval = \"1s\"\n\
         {poll}\
         connection = \"{connection}\"\n\
         [nix]\n\
         import = false\n\
         {cache}{builder}",
        every = every.as_secs(),
        cache = desk.nginx.entry("desktop"),
        builder = desk.sshd.entry("desktop")?,
    );
    let daemon = Daemon::start(Launch {
        config,
        bus: bus.address(),
        program: Some(program.to_owned()),
        ..Launch::default()
    })
    .await?;
    daemon.wait_ready().await?;
    Ok(daemon)
}

/// Waits until the first round is over: `offloadctl status` must not be timed while it runs.
async fn settle(connection: &Connection) -> Result<()> {
    let manager = Some("org.offloadd.Offload1.Manager");
    let check = connection.call_method(Some(NAME), ROOT, manager, "Check", &());
    let answer = tokio::time::timeout(PATIENCE, check)
        .await
        .map_err(|_| Error::Late {
            what: "Check() answers".into(),
            within: PATIENCE,
        })?;
    answer
        .map(drop)
        .map_err(std::io::Error::other)
        .context("Check()")
}

/// Runs `offloadctl status` once; it must find everything ready.
///
/// # Errors
/// When it does not.
pub(super) async fn run_status(offloadctl: &Path, bus: &str) -> Result<Duration> {
    let mut command = tokio::process::Command::new(offloadctl);
    command.args(["--bus", bus, "status"]).kill_on_drop(true);
    let watch = Stopwatch::start();
    let output = command.output().await.context(offloadctl.display())?;
    let took = watch.elapsed();
    // A cost of failing would say nothing.
    if output.status.success() {
        Ok(took)
    } else {
        Err(Error::Program {
            program: "offloadctl status".into(),
            output: format!(
                "{}: {}",
                output.status,
                String::from_utf8_lossy(&output.stdout)
            ),
        })
    }
}

/// Calls a method of the root object so many `times`, with a `pause` of milliseconds after each: who asks
/// for much is refused where that is too often.
///
/// # Errors
/// When a call fails.
pub(super) async fn calls<B>(
    connection: &Connection,
    interface: &str,
    method: &str,
    body: &B,
    [times, pause]: [usize; 2],
) -> Result<Sample>
where
    B: serde::Serialize + zbus::wire::DynamicType,
{
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let watch = Stopwatch::start();
        let answer = connection
            .call_method(Some(NAME), ROOT, Some(interface), method, body)
            .await;
        took.push(watch.elapsed());
        answer.map_err(std::io::Error::other).context(method)?;
        tokio::time::sleep(Duration::from_millis(pause as u64)).await;
    }
    Ok(Sample::new(took))
}
