//! A laptop that watches its desktop: offloadd on a bus of its own, and who reads it there.

use std::{io, process::Stdio, time::Duration};

use offload_client::{
    Client, Kind, Snapshot,
    proxy::{ManagerProxy, TargetProxy},
    snapshot::Target,
};
use zbus::{Connection, connection, proxy::CacheProperties};

use crate::{
    Bus, Daemon, Error, NixConf, Result,
    daemon::{Launch, program},
    error::Context,
    eventually,
    process::system_program,
    signals::Signals,
};

/// Longer than anything takes that is not waited for on purpose.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running daemon, its bus, and a program's connection to it.
#[derive(Debug)]
pub struct Laptop {
    /// What it says of its own accord, from before its start.
    pub signals: Signals,
    /// A program's connection.
    pub connection: Connection,
    /// The daemon.
    pub daemon: Daemon,
    /// Its bus.
    pub bus: Bus,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The exit code; -1 where a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Laptop {
    /// Starts offloadd, which watches what `nix` says, with `config` beside that; returns when it
    /// is ready.
    ///
    /// # Errors
    /// When a part of it does not come up.
    pub async fn start(nix: &NixConf, config: &str) -> Result<Self> {
        Self::start_inside(nix, config, None).await
    }

    /// The same inside a network namespace.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_inside(nix: &NixConf, config: &str, netns: Option<&str>) -> Result<Self> {
        Self::start_with(Launch {
            config: format!("[nix]\nconf = \"{}\"\n{config}", nix.path().display()),
            netns: netns.map(str::to_owned),
            ..Launch::default()
        })
        .await
    }

    /// Starts offloadd as `launch` says, but on a bus of its own and with each check in its log;
    /// returns when it is ready.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(launch: Launch) -> Result<Self> {
        let bus = Bus::start().await?;
        let signals = Signals::listen(&bus.address()).await?;
        let mut environment = launch.environment;
        environment.push(("OFFLOADD_LOG".into(), "offloadd=debug".into()));
        let daemon = Daemon::start(Launch {
            bus: bus.address(),
            environment,
            ..launch
        })
        .await?;
        daemon.wait_ready().await?;
        let connection = connection::Builder::address(bus.address().as_str());
        let connection = connection.build().await.map_err(io::Error::other);
        Ok(Self {
            signals,
            connection: connection.context("the private bus")?,
            daemon,
            bus,
        })
    }

    /// Everything the daemon says, read as programs read it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let snapshot = Client::from(self.connection.clone()).snapshot().await;
        snapshot.map_err(io::Error::other).context("the snapshot")
    }

    /// The only target of `kind`.
    ///
    /// # Errors
    /// When there is none, or the daemon does not answer.
    pub async fn the(&self, kind: Kind) -> Result<Target> {
        let targets = self.snapshot().await?.targets;
        let found = targets.into_iter().find(|target| target.kind == kind);
        found.ok_or_else(|| Error::Unsupported(format!("no {kind} is watched")))
    }

    /// Waits until the snapshot is as it should be.
    ///
    /// # Errors
    /// [`Error::Late`], with the snapshot as it is.
    pub async fn until(&self, what: &str, fits: impl Fn(&Snapshot) -> bool) -> Result<Snapshot> {
        let fact = async || self.snapshot().await.ok().filter(|snapshot| fits(snapshot));
        match eventually(PATIENCE, what, fact).await {
            Err(Error::Late { what, within }) => Err(Error::Late {
                what: format!("{what}; it is {:#?}", self.snapshot().await),
                within,
            }),
            other => other,
        }
    }

    /// Waits until everything is ready.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn until_ready(&self) -> Result<Snapshot> {
        self.until("all is ready", |snapshot| snapshot.state.is_ready())
            .await
    }

    /// The Manager.
    ///
    /// # Errors
    /// When the bus is gone.
    pub async fn manager(&self) -> Result<ManagerProxy<'static>> {
        let proxy = ManagerProxy::builder(&self.connection)
            .cache_properties(CacheProperties::No)
            .build()
            .await;
        proxy.map_err(io::Error::other).context("the manager")
    }

    /// One target's object.
    ///
    /// # Errors
    /// When the bus is gone.
    pub async fn target(&self, target: &Target) -> Result<TargetProxy<'static>> {
        let proxy = TargetProxy::builder(&self.connection)
            .path(target.path())
            .cache_properties(CacheProperties::No)
            .build()
            .await;
        proxy.map_err(io::Error::other).context(target.label())
    }

    /// How often `target` was checked so far.
    pub fn checks(&self, target: &Target) -> usize {
        let line = format!("checked {}", target.label());
        let log = self.daemon.log();
        log.lines().filter(|logged| logged.ends_with(&line)).count()
    }

    /// Runs `offloadctl` against the daemon.
    ///
    /// # Errors
    /// When it was not built, or does not end.
    pub async fn offloadctl(&self, arguments: &[&str]) -> Result<Run> {
        let mut command = tokio::process::Command::new(program("offloadctl")?);
        command.arg("--bus").arg(self.bus.address()).args(arguments);
        finish(command).await
    }

    /// Runs systemd's `busctl` on the daemon's bus.
    ///
    /// # Errors
    /// When it is not installed, or does not end.
    pub async fn busctl(&self, arguments: &[&str]) -> Result<Run> {
        let mut command = tokio::process::Command::new(system_program("busctl", "systemd")?);
        command
            .arg(format!("--address={}", self.bus.address()))
            .args(arguments);
        finish(command).await
    }
}

async fn finish(mut command: tokio::process::Command) -> Result<Run> {
    let name = format!("{:?}", command.as_std());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.map_err(|_| Error::Late {
        what: format!("{name} ends"),
        within: PATIENCE,
    })?;
    let output = output.context(name)?;
    Ok(Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
