//! The Nix that a login finds on the builder: Debian's, with a store and a configuration of its own.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    Error, Result,
    error::Context,
    eventually,
    process::{Process, system_program},
};

const PATIENCE: Duration = Duration::from_secs(10);
/// What of the system's programs a login finds beside Nix: a `PATH` of the system's own would always
/// lead to Nix.
const PROGRAMS: [&str; 12] = [
    "bash", "cat", "env", "false", "hostname", "id", "ls", "sh", "sleep", "true", "uname", "yes",
];
/// Nix's, as far as somebody who hands builds to it asks for them.
const NIX_PROGRAMS: [&str; 3] = ["nix", "nix-daemon", "nix-store"];

/// How a login gets at Nix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteNix {
    /// It opens the store itself, as root does: whoever logs in is trusted.
    Direct,
    /// Through a nix-daemon that trusts whoever logs in.
    Daemon,
    /// Through a nix-daemon whose `trusted-users` lack whoever logs in.
    Untrusted,
    /// Through a nix-daemon that was stopped: its socket is gone.
    DaemonDown,
    /// Through a nix-daemon that was stopped in its tracks: its socket takes connections, and nobody
    /// answers.
    DaemonFrozen,
    /// It was never installed, or is not on the `PATH`.
    Missing,
}

/// The installation, and its nix-daemon where one runs.
#[derive(Debug)]
pub(super) struct Installation {
    directory: TempDir,
    daemon: Option<Process>,
    reached: RemoteNix,
    system: String,
    features: String,
}

impl Installation {
    /// Nothing runs yet, and nothing is in the store; it offers what
    /// [`crate::nix_conf::Machine::of`] promises.
    ///
    /// # Errors
    /// When Nix is not installed, or the files can't be written.
    pub(super) fn new() -> Result<Self> {
        let directory = tempfile::tempdir().context("a directory for the builder's Nix")?;
        // Whoever is let in, and whatever its daemon starts, must reach what is in it.
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(directory.path(), mode).context(directory.path().display())?;
        let nix = Self {
            directory,
            daemon: None,
            reached: RemoteNix::Direct,
            system: "x86_64-linux".into(),
            features: "kvm big-parallel benchmark nixos-test".into(),
        };
        for name in ["bin", "etc", "home"] {
            fs::create_dir(nix.path(name)).context(name)?;
        }
        for name in PROGRAMS {
            symlink(system_program(name, "coreutils")?, nix.program(name)).context(name)?;
        }
        nix.install()?;
        nix.configure()?;
        Ok(nix)
    }

    /// From the next login on; what ran for the former way is ended.
    ///
    /// # Errors
    /// When nix-daemon does not come up; its log is in the error.
    pub(super) async fn reach(&mut self, how: RemoteNix) -> Result<()> {
        self.daemon = None;
        self.reached = how;
        self.uninstall()?;
        self.configure()?;
        match how {
            RemoteNix::Missing => return Ok(()),
            RemoteNix::Direct => {}
            RemoteNix::DaemonDown => remove(&self.socket())?,
            RemoteNix::Daemon | RemoteNix::Untrusted => self.start_daemon().await?,
            RemoteNix::DaemonFrozen => {
                self.start_daemon().await?;
                if let Some(daemon) = &self.daemon {
                    daemon.signal_tree(Signal::STOP)?;
                }
            }
        }
        self.install()
    }

    /// From the next program on: what it is configured to build for and to have. Systems after the
    /// first are its `extra-platforms`.
    ///
    /// # Errors
    /// When `nix.conf` can't be written.
    pub(super) fn offer(&mut self, system: &str, features: &str) -> Result<()> {
        (self.system, self.features) = (system.to_owned(), features.to_owned());
        self.configure()
    }

    /// What the shell of a login runs first.
    ///
    /// # Errors
    /// When the profile can't be written.
    pub(super) fn set_profile(&self, script: &str) -> Result<()> {
        // What bash and zsh read where nobody sits at them. bash does so where it is built with
        // SSH_SOURCE_BASHRC, as Debian and NixOS have it.
        for name in ["home/.bashrc", "home/.zshenv"] {
            fs::write(self.path(name), script).context(name)?;
        }
        Ok(())
    }

    /// What a login has in its environment.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = vec![
            ("PATH", self.text("bin")),
            ("HOME", self.text("home")),
            ("NIX_CONF_DIR", self.text("etc")),
            ("NIX_USER_CONF_FILES", self.text("etc/no-user.conf")),
            ("NIX_STORE_DIR", self.text("store")),
            ("NIX_STATE_DIR", self.text("var")),
            ("NIX_LOCALSTATE_DIR", self.text("var")),
            ("NIX_LOG_DIR", self.text("log")),
        ];
        match self.reached {
            RemoteNix::Direct | RemoteNix::Missing => {}
            RemoteNix::Daemon
            | RemoteNix::Untrusted
            | RemoteNix::DaemonDown
            | RemoteNix::DaemonFrozen => {
                let socket = self.socket().display().to_string();
                environment.push(("NIX_DAEMON_SOCKET_PATH", socket));
                environment.push(("NIX_REMOTE", "daemon".into()));
            }
        }
        environment
    }

    /// Its store directory.
    pub(super) fn store(&self) -> PathBuf {
        self.path("store")
    }

    async fn start_daemon(&mut self) -> Result<()> {
        remove(&self.socket())?;
        let program = system_program("nix-daemon", "nix-bin")?;
        let (log, socket) = (self.path("daemon.log"), self.socket());
        let mut daemon = Process::start(&program, None, &log, |command| {
            // Not the PATH, which is there to find the program itself; nor its own address, where it
            // would ask for the store.
            let theirs = self.environment().into_iter();
            command.envs(theirs.filter(|(name, _)| !["PATH", "NIX_REMOTE"].contains(name)));
            command.env_remove("NIX_REMOTE").env_remove("NIX_CONFIG");
        })?;
        let up = eventually(PATIENCE, "nix-daemon listens", async || {
            if let Ok(Some(status)) = daemon.exit_status() {
                return Some(Err(status));
            }
            UnixStream::connect(&socket).is_ok().then_some(Ok(()))
        });
        up.await?.map_err(|status| Error::Program {
            program: "nix-daemon".into(),
            output: format!("{status}: {}", fs::read_to_string(&log).unwrap_or_default()),
        })?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// `nix.conf`: nothing of this machine's, and no network.
    fn configure(&self) -> Result<()> {
        // Nobody is called so; an empty list would be root's default again in some versions.
        let trusted = match self.reached {
            RemoteNix::Untrusted => "somebody-else",
            RemoteNix::Direct
            | RemoteNix::Daemon
            | RemoteNix::DaemonDown
            | RemoteNix::DaemonFrozen
            | RemoteNix::Missing => "*",
        };
        let (system, platforms) = match self.system.split_once(' ') {
            Some((system, more)) => (system, format!("extra-platforms = {more}\n")),
            None => (self.system.as_str(), String::new()),
        };
        let text = format!(
            "build-users-group =\n\
             sandbox = false\n\
             substituters =\n\
             trusted-users = {trusted}\n\
             system = {system}\n\
             {platforms}\
             system-features = {}\n",
            self.features
        );
        fs::write(self.path("etc/nix.conf"), text).context("the builder's nix.conf")
    }

    fn install(&self) -> Result<()> {
        for name in NIX_PROGRAMS {
            let link = self.program(name);
            remove(&link)?;
            symlink(system_program(name, "nix-bin")?, link).context(name)?;
        }
        Ok(())
    }

    fn uninstall(&self) -> Result<()> {
        NIX_PROGRAMS
            .iter()
            .try_for_each(|name| remove(&self.program(name)))
    }

    fn program(&self, name: &str) -> PathBuf {
        self.path("bin").join(name)
    }

    fn socket(&self) -> PathBuf {
        self.path("daemon-socket")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(path.display())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
