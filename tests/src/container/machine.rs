//! One booted container.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{
    base::{Suite, base},
    cgroup::Cgroup,
    overlay::Overlay,
};
use crate::{
    Error, Result,
    error::Context,
    notify::Notifications,
    process::{Process, run_command, system_program},
};

/// Booting takes half a second of one processor.
const PATIENCE: Duration = Duration::from_secs(90);
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A Debian under its own systemd, with its own host name, boot id and files, in a network
/// namespace of the test's.
///
/// Its kernel is this machine's. systemd-nspawn mounts a boot id of its own over
/// `/proc/sys/kernel/random/boot_id`; a sandbox of Nix's mounts `/proc` anew and sees this
/// machine's, so a container that must be told from the laptop by that builds without one.
#[derive(Debug)]
pub struct Container {
    // In this order: the processes end before what they stand on goes.
    running: Option<Running>,
    overlay: Overlay,
    directory: TempDir,
    name: String,
    suite: Suite,
}

#[derive(Debug)]
struct Running {
    process: Process,
    leader: u32,
    // After the processes, which are its members.
    _cgroup: Cgroup,
}

impl Container {
    /// Makes one with the host name `name`; it has files and does not run yet.
    ///
    /// # Errors
    /// As [`base`].
    pub async fn new(name: &str) -> Result<Self> {
        Self::of(Suite::from_environment(), name).await
    }

    /// The same of a Debian.
    ///
    /// # Errors
    /// As [`base`].
    pub async fn of(suite: Suite, name: &str) -> Result<Self> {
        let base = base(suite).await?;
        let directory = tempfile::tempdir().context("a directory for a container")?;
        let container = Self {
            running: None,
            overlay: Overlay::mount(&base, directory.path())?,
            directory,
            name: name.to_owned(),
            suite,
        };
        container.write("/etc/hostname", &format!("{name}\n"))?;
        // Empty: each has one of its own, and its first boot asks nobody anything (machine-id(5)).
        container.write("/etc/machine-id", "")?;
        Ok(container)
    }

    /// Boots it inside the network namespace `netns`, and returns when all its units are up.
    ///
    /// # Errors
    /// When a unit fails or it takes too long; its journal is in the error.
    pub async fn boot(&mut self, netns: &str) -> Result<()> {
        self.stop();
        let id = format!(
            "offload-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let cgroup = Cgroup::new(&id)?;
        let socket = self.directory.path().join("notify");
        if socket.exists() {
            fs::remove_file(&socket).context(socket.display())?;
        }
        let told = Notifications::listen(&socket)?;
        let process = self.start(&id, netns, &cgroup, &socket)?;
        // All that it says until it is dropped is read: nobody waits for a full socket.
        let ready = told.wait(0, PATIENCE, "the container is up", |message| {
            message.get("READY") == Some("1")
        });
        let ready = ready.await;
        // sd_notify(3) of systemd-nspawn: the container's PID 1 as this machine counts.
        let leader = told.messages().iter().find_map(|message| {
            message
                .get("X_NSPAWN_LEADER_PID")
                .or_else(|| message.get("MAINPID"))?
                .parse()
                .ok()
        });
        let log = || fs::read_to_string(self.log_file()).unwrap_or_default();
        let leader = leader.ok_or_else(|| Error::Program {
            program: "systemd-nspawn".into(),
            output: log(),
        })?;
        self.running = Some(Running {
            process,
            leader,
            _cgroup: cgroup,
        });
        ready?;
        let state = self.run(&["systemctl", "is-system-running", "--wait"]);
        if let Err(error) = state {
            let failed = self.run(&["systemctl", "--failed", "--no-legend", "--plain"]);
            return Err(Error::Program {
                program: format!("the boot of {}", self.name),
                output: format!("{error}: {}", failed.unwrap_or_default()),
            });
        }
        Ok(())
    }

    /// Ends it as a power cut does; its files stay for the next [`Self::boot`].
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// Stops every process of it in its tracks: connections stay open, and nothing answers.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> Result<()> {
        self.process()?.signal_tree(Signal::STOP)
    }

    /// Lets all of them run again.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> Result<()> {
        self.process()?.signal_tree(Signal::CONT)
    }

    /// The process of systemd-nspawn, whose descendants are the machine's.
    ///
    /// # Errors
    /// [`Error::Gone`] when it does not run.
    pub fn process(&self) -> Result<&Process> {
        Ok(&self.running()?.process)
    }

    /// A command that will run inside, as its root, with nothing of the test's environment.
    ///
    /// # Errors
    /// [`Error::Gone`] when it does not run.
    pub fn command(&self, program: &str) -> Result<Command> {
        let leader = self.running()?.leader.to_string();
        let mut command = Command::new(system_program("nsenter", "util-linux")?);
        command
            .args(["--target", &leader])
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"])
            .args(["--root", "--"])
            // By a program that is inside already: nsenter would open this machine's own directory.
            .args(["env", "-i", "--chdir=/", "HOME=/root", "LANG=C.UTF-8"])
            .arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .arg(program);
        Ok(command)
    }

    /// Runs a command inside to its end and returns what it printed.
    ///
    /// # Errors
    /// When its exit status is not 0.
    pub fn run(&self, command: &[&str]) -> Result<String> {
        let (program, arguments) = command.split_first().unwrap_or((&"true", &[]));
        run_command(self.command(program)?.args(arguments))
    }

    /// Writes a file inside, whether it runs or not: mode 0644, root's, directories made.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        self.write_mode(path, text, 0o644)
    }

    /// The same with another mode.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write_mode(&self, path: &str, text: &str, mode: u32) -> Result<()> {
        let file = self.path(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).context(parent.display())?;
        }
        // A link that is absolute leads out of the container: the file takes its place.
        if file.is_symlink() {
            fs::remove_file(&file).context(file.display())?;
        }
        fs::write(&file, text).context(file.display())?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).context(file.display())
    }

    /// Where `path` of the container is for this machine; its directories must be no absolute links
    /// (as `/var/run` is), which would lead to this machine's own. What the container has mounted over it
    /// (`/run`, `/tmp`, `/proc`) is not seen there.
    pub fn path(&self, path: &str) -> PathBuf {
        self.overlay.root().join(path.trim_start_matches('/'))
    }

    /// Which Debian it is.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Its host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The last of its journal.
    ///
    /// # Errors
    /// When it does not run.
    pub fn journal(&self) -> Result<String> {
        self.run(&[
            "journalctl",
            "--no-pager",
            "--lines=200",
            "--output=short-monotonic",
        ])
    }

    fn running(&self) -> Result<&Running> {
        self.running.as_ref().ok_or(Error::Gone("the container"))
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// A shell enters the groups and becomes systemd-nspawn, so that not one process of the
    /// container was ever outside of them.
    fn start(&self, id: &str, netns: &str, cgroup: &Cgroup, notify: &Path) -> Result<Process> {
        let nspawn = system_program("systemd-nspawn", "systemd-container")?;
        let script =
            "while [ \"$1\" != -- ]; do echo $$ > \"$1\" || exit; shift; done; shift; exec \"$@\"";
        Process::start(Path::new("/bin/sh"), None, &self.log_file(), |command| {
            command
                .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
                .env("NOTIFY_SOCKET", notify)
                .args(["-c", script, "sh"])
                .args(cgroup.members())
                .arg("--")
                .arg(nspawn)
                .args([
                    "--quiet",
                    "--boot",
                    "--register=no",
                    "--keep-unit",
                    "--notify-ready=yes",
                ])
                .args([
                    "--console=pipe",
                    "--link-journal=no",
                    "--resolv-conf=off",
                    "--timezone=off",
                ])
                .arg(format!("--machine={id}"))
                .arg(format!("--hostname={}", self.name))
                .arg(format!("--network-namespace-path=/run/netns/{netns}"))
                .arg("--directory")
                .arg(self.overlay.root());
        })
    }
}
