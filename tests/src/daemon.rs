//! The real `offloadd`, started as systemd would start it.

use std::{
    env,
    ffi::OsString,
    fs::{self, Permissions},
    io,
    net::SocketAddrV4,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    Error, Result,
    error::Context,
    eventually,
    notify::{Message, Notifications},
    process::Process,
};

const PATIENCE: Duration = Duration::from_secs(15);
/// The version that Nix says it is of.
const NIX_VERSION: &str = "2.34.8";
/// To read what a dead daemon had sent.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How to start it.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// The text of its configuration file.
    pub config: String,
    /// `--bus`; see [`crate::Bus::address`].
    pub bus: String,
    /// Further flags.
    pub arguments: Vec<String>,
    /// Further environment.
    pub environment: Vec<(String, String)>,
    /// The network namespace to run in.
    pub netns: Option<String>,
    /// `WatchdogSec=`; none where it is not set.
    pub watchdog: Option<Duration>,
    /// Another offloadd than the one that was built here.
    pub program: Option<PathBuf>,
}

/// A `PATH` on which Nix says that it is of a version that reads all that the fixtures write, ports of
/// builders among it, and is otherwise the one of this machine; `folder` is made for that.
///
/// # Errors
/// When it can't be made.
pub fn path_with_new_nix(folder: &Path) -> Result<OsString> {
    let own = env::var_os("PATH").unwrap_or_default();
    let nix = folder.join("nix");
    let script = format!(
        "#!/bin/sh\n[ \"$*\" != --version ] || {{ echo 'nix (Nix) {NIX_VERSION}'; exit; }}\n\
         PATH=${{PATH#{}:}} exec nix \"$@\"\n",
        folder.display()
    );
    fs::create_dir(folder).context(folder.display())?;
    fs::write(&nix, script).context(nix.display())?;
    fs::set_permissions(&nix, Permissions::from_mode(0o755)).context(nix.display())?;
    let all = [folder.to_owned()]
        .into_iter()
        .chain(env::split_paths(&own));
    env::join_paths(all)
        .map_err(io::Error::other)
        .context("PATH")
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    // Before the directory: the daemon ends before its files go.
    process: Process,
    notifications: Notifications,
    directory: TempDir,
}

impl Daemon {
    /// Starts it; it is not ready yet: see [`Self::wait_ready`].
    ///
    /// # Errors
    /// When the binary was not built or can't be started.
    pub async fn start(launch: Launch) -> Result<Self> {
        let directory = tempfile::tempdir().context("a directory for offloadd")?;
        let file = |name: &str| directory.path().join(name);
        let config = file("config.toml");
        fs::write(&config, &launch.config).context(config.display())?;
        let notifications = Notifications::listen(&file("notify"))?;

        let path = path_with_new_nix(&file("bin"))?;

        let netns = launch.netns.as_deref();
        let program = match launch.program {
            Some(other) => other,
            None => program("offloadd")?,
        };
        let process = Process::start(&program, netns, &file("log"), |command| {
            // What the tests' own environment says must not configure the daemon under test.
            for (name, _) in env::vars_os() {
                if name.to_string_lossy().starts_with("OFFLOADD_") {
                    command.env_remove(name);
                }
            }
            command
                .env("NOTIFY_SOCKET", notifications.path())
                .env("HOME", directory.path())
                .env("PATH", path)
                .env_remove("JOURNAL_STREAM")
                .env_remove("NIX_CONFIG")
                .env_remove("NIX_SSHOPTS")
                .envs(
                    launch
                        .watchdog
                        .map(|every| ("WATCHDOG_USEC", every.as_micros().to_string())),
                )
                .envs(launch.environment)
                .arg("--config")
                .arg(&config)
                .args(["--bus", &launch.bus])
                .args(launch.arguments);
        })?;
        Ok(Self {
            process,
            notifications,
            directory,
        })
    }

    /// Waits for `READY=1`.
    ///
    /// # Errors
    /// [`Error::Late`] with the daemon's log.
    pub async fn wait_ready(&self) -> Result<()> {
        self.wait_message(0, "READY=1", |message| message.get("READY") == Some("1"))
            .await?;
        Ok(())
    }

    /// Waits for a `STATUS=` that contains `part`, the latest included.
    ///
    /// # Errors
    /// [`Error::Late`] with the daemon's log.
    pub async fn wait_status(&self, part: &str) -> Result<()> {
        let latest = self.notifications.status().unwrap_or_default();
        if latest.contains(part) {
            return Ok(());
        }
        let seen = self.notifications.messages().len();
        let fits = |message: &Message| {
            message
                .get("STATUS")
                .is_some_and(|status| status.contains(part))
        };
        self.wait_message(seen, part, fits).await?;
        Ok(())
    }

    /// Waits for a `WATCHDOG=1` that is still to come.
    ///
    /// # Errors
    /// [`Error::Late`] with the daemon's log.
    pub async fn wait_watchdog(&self) -> Result<()> {
        let seen = self.notifications.messages().len();
        let fits = |message: &Message| message.get("WATCHDOG") == Some("1");
        self.wait_message(seen, "WATCHDOG=1", fits).await?;
        Ok(())
    }

    /// Rewrites the configuration file and asks for a reload, as `Type=notify-reload` does; returns
    /// when `RELOADING=1` and then `READY=1` came.
    ///
    /// # Errors
    /// [`Error::Late`] with the daemon's log.
    pub async fn reload(&self, config: &str) -> Result<()> {
        fs::write(self.directory.path().join("config.toml"), config).context("config.toml")?;
        let seen = self.notifications.messages().len();
        self.process.signal(Signal::HUP)?;
        let reloading = |message: &Message| {
            message.get("RELOADING") == Some("1") && message.get("MONOTONIC_USEC").is_some()
        };
        let at = self
            .wait_message(seen, "RELOADING=1 with MONOTONIC_USEC", reloading)
            .await?;
        let ready = |message: &Message| message.get("READY") == Some("1");
        // Both may stand in one message where the reload took no time.
        self.wait_message(at - 1, "READY=1 after the reload", ready)
            .await?;
        Ok(())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Asks it to end, as `systemctl stop` does, and waits until it has.
    ///
    /// # Errors
    /// [`Error::Late`].
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        self.process.signal(Signal::TERM)?;
        self.wait_exit().await
    }

    /// Waits until it ended by itself.
    ///
    /// # Errors
    /// [`Error::Late`].
    pub async fn wait_exit(&mut self) -> Result<ExitStatus> {
        self.process.wait_exit(PATIENCE).await
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The ends on this side of the connections that are open to `server`, as the network that the
    /// daemon is in has them; nobody else there may have any (proc(5), `/proc/PID/net/tcp`).
    ///
    /// # Errors
    /// When it is gone.
    pub fn connections_to(&self, server: SocketAddrV4) -> Result<Vec<String>> {
        const ESTABLISHED: &str = "01";
        // The address is one number in the machine's own byte order.
        let ip = u32::from_ne_bytes(server.ip().octets());
        let remote = format!("{ip:08X}:{:04X}", server.port());
        let path = format!("/proc/{}/net/tcp", self.id());
        let table = fs::read_to_string(&path).context(path)?;
        let rows = table.lines().filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            Some((fields.next()?, fields.next()?, fields.next()?))
        });
        let ours = rows.filter(|(_, to, state)| *to == remote && *state == ESTABLISHED);
        Ok(ours.map(|(from, ..)| from.to_owned()).collect())
    }

    /// What systemd was told, oldest first.
    pub fn messages(&self) -> Vec<Message> {
        self.notifications.messages()
    }

    /// The latest `STATUS=`.
    pub fn status(&self) -> Option<String> {
        self.notifications.status()
    }

    /// What it wrote to stdout and stderr.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// The directory that holds its configuration, and `config.d` if a test makes one.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    async fn wait_message(
        &self,
        after: usize,
        what: &str,
        fits: impl Fn(&Message) -> bool,
    ) -> Result<usize> {
        let gone = async || (!self.process.is_running()).then_some(());
        let found = tokio::select! {
            found = self.notifications.wait(after, PATIENCE, what, &fits) => found,
            // Who is dead says no more than what is in the socket already.
            Ok(()) = eventually(PATIENCE, "offloadd ends", gone) => {
                self.notifications.wait(after, LAST_WORDS, what, &fits).await
            }
        };
        found.map_err(|late| Error::Program {
            program: "offloadd".into(),
            output: format!("{late}\nits log:\n{}", self.log()),
        })
    }
}

/// A program of this workspace: it stands in cargo's target directory, beside the test binaries.
/// `OFFLOAD_TESTS_BIN_DIR` names another place.
///
/// # Errors
/// When it was not built.
pub fn program(name: &str) -> Result<PathBuf> {
    let directory = match env::var_os("OFFLOAD_TESTS_BIN_DIR") {
        Some(directory) => directory.into(),
        None => {
            let this = env::current_exe().context("the running program's path")?;
            let parent = this.parent().unwrap_or(&this);
            // Tests run from target/debug/deps, programs from target/debug.
            let outer = parent.parent().filter(|_| parent.ends_with("deps"));
            outer.unwrap_or(parent).to_owned()
        }
    };
    let program = directory.join(name);
    if program.is_file() {
        Ok(program)
    } else {
        let path = program.display();
        Err(Error::Unsupported(format!(
            "{path} is not there: run `cargo build` first"
        )))
    }
}
