//! Where a case is played: nothing of this machine is in reach but its programs.

use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Result, daemon::program, error::Context, process::run_command};

/// Set inside of the namespaces.
const INSIDE: &str = "OFFLOAD_PARITY_INSIDE";
/// No case takes so many seconds.
const PATIENCE: &str = "40";
/// Who the daemon is where it is not root.
pub(super) const USER: u32 = 61234;

/// Goes on in a network and a mount namespace of its own; returns inside of them, or why it can't.
///
/// # Errors
/// When this is not root, or the namespaces can't be had.
pub fn enter() -> Result<()> {
    if env::var_os(INSIDE).is_some() {
        run_command(Command::new("mount").args(["--make-rprivate", "/"]))?;
        let ip = |line: &str| run_command(Command::new("ip").args(line.split(' ')));
        ip("link set lo up")?;
        // An interface with an address, and one without.
        ip("link add wired type veth peer name bare")?;
        ip("address add 192.0.2.91/32 dev wired")?;
        ip("link set wired up")?;
        ip("link set bare up")?;
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        let why = "its sshd, its users and /etc/ssh need root: run as root";
        return Err(crate::Error::Unsupported(why.into()));
    }
    let program = env::current_exe().context("this program")?;
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--"]).arg(program);
    let failed = command.args(env::args_os().skip(1)).env(INSIDE, "1").exec();
    Err(failed).context("unshare")
}

/// A directory, and in place of this machine's own: hosts, users, /etc/ssh and root's .ssh.
#[derive(Debug)]
pub struct Ground {
    directory: TempDir,
}

impl Ground {
    /// Lays it. Only inside of [`enter`]'s namespaces.
    ///
    /// # Errors
    /// When something can't be mounted.
    pub fn new() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("parity-").tempdir();
        let ground = Self {
            directory: directory.context("a directory")?,
        };
        let permissions = fs::Permissions::from_mode(0o755);
        fs::set_permissions(ground.path(""), permissions).context("the directory")?;
        for part in ["etc_ssh", "root_ssh", "home", "run", "bin"] {
            fs::create_dir(ground.path(part)).context(part)?;
        }
        let users = fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
        let others = users.lines().filter(|line| !line.starts_with("root:"));
        let mut passwd = "root:x:0:0:root:/root:/bin/bash\n".to_owned();
        others.for_each(|line| passwd.push_str(&format!("{line}\n")));
        let (home, next) = (ground.path("home"), USER + 1);
        let home = home.display();
        passwd.push_str(&format!(
            "parityoff:x:{USER}:{USER}::{home}:/usr/sbin/nologin\nparitynix:*:{next}:{next}::{home}:/bin/sh\n"
        ));
        ground.write("passwd", &passwd, 0o644)?;
        ground.write(
            "nsswitch",
            "passwd: files\ngroup: files\nhosts: files\n",
            0o644,
        )?;
        let hosts = "127.0.0.1 localhost\n127.0.42.2 desk desk.lan DESK\n127.0.42.4 desk4\n127.0.42.9 desk9\n";
        ground.write("hosts", hosts, 0o644)?;
        for (from, to) in [
            ("hosts", "/etc/hosts"),
            ("nsswitch", "/etc/nsswitch.conf"),
            ("passwd", "/etc/passwd"),
            ("etc_ssh", "/etc/ssh"),
            ("root_ssh", "/root/.ssh"),
        ] {
            ground.cover(&ground.path(from), Path::new(to))?;
        }
        fs::set_permissions("/root/.ssh", fs::Permissions::from_mode(0o700)).context(".ssh")?;
        Ok(ground)
    }

    /// A path below it.
    pub(super) fn path(&self, part: impl AsRef<Path>) -> PathBuf {
        match part.as_ref() {
            none if none.as_os_str().is_empty() => self.directory.path().to_owned(),
            part => self.directory.path().join(part),
        }
    }

    /// Writes a file of this mode there, or wherever `part` is absolute, and the directories to it.
    pub(super) fn write(
        &self,
        part: impl AsRef<Path>,
        text: impl AsRef<[u8]>,
        mode: u32,
    ) -> Result<PathBuf> {
        let path = self.path(part);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).context(parent.display())?;
        }
        fs::write(&path, text).context(path.display())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).context(path.display())?;
        Ok(path)
    }

    /// A directory with a Nix of this version for `PATH`: what is asked of it is its version alone.
    pub(super) fn nix(&self, version: &str) -> Result<PathBuf> {
        let bin = self.path(format!("bin/{version}"));
        for program in ["nix", "nix-daemon", "nix-store", "nix-build"] {
            let script = format!("#!/bin/sh\necho '{program} (Nix) {version}'\n");
            self.write(bin.join(program), script, 0o755)?;
        }
        Ok(bin)
    }

    /// What `offloadd --once --json` prints with this configuration and, but for a few of them, this environment
    /// alone; what it said where it prints none.
    pub(super) fn once(
        &self,
        configuration: &str,
        environment: &BTreeMap<&str, String>,
        is_user: bool,
    ) -> Result<Result<Value, String>> {
        let file = self.write("config.toml", configuration, 0o644)?;
        let mut command = Command::new("timeout");
        command.arg(PATIENCE);
        if is_user {
            command.args(["setpriv", "--clear-groups"]);
            command.args([format!("--reuid={USER}"), format!("--regid={USER}")]);
        }
        command
            .arg(program("offloadd")?)
            .env_clear()
            .env("PATH", SYSTEM_PATH)
            .env("HOME", "/root");
        // Answers come from this machine: what takes longer is the case's point.
        command.envs([
            ("OFFLOADD_POLL__DEEP_TIMEOUT", "8s"),
            ("OFFLOADD_POLL__TIMEOUT", "4s"),
        ]);
        command.envs(environment);
        command.arg("--config").arg(file).args(["--once", "--json"]);
        let output = command.stdin(Stdio::null()).output().context("timeout")?;
        Ok(serde_json::from_slice(&output.stdout).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if said.is_empty() {
                output.status.to_string()
            } else {
                said
            }
        }))
    }

    /// Puts `from` in the place of `to`, which is made where it is not there.
    fn cover(&self, from: &Path, to: &Path) -> Result<()> {
        if !to.exists() && from.is_dir() {
            fs::create_dir_all(to).context(to.display())?;
        } else if !to.exists() {
            fs::write(to, "").context(to.display())?;
        }
        run_command(Command::new("mount").arg("--bind").args([from, to]))?;
        Ok(())
    }
}

/// Where this machine's programs are.
pub(super) const SYSTEM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
