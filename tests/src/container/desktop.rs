//! The desktop as a machine of its own.

use std::{net::SocketAddr, path::Path, time::Duration};

use tempfile::TempDir;

use super::{Cache, Container, Suite};
use crate::{Namespace, Result, error::Context, eventually, keys::KeyFile};

const PATIENCE: Duration = Duration::from_secs(20);
/// Who builds are handed to.
const USER: &str = "nix-builder";
/// What it starts with; see [`Container`] for why it has no sandbox.
const NIX_CONF: &str = "\
build-users-group = nixbld
experimental-features = nix-command
sandbox = false
substituters =
system-features = benchmark big-parallel kvm
trusted-users = root nix-builder
";

/// A booted [`Container`] named `desktop` with sshd on port 22 of [`Namespace::DESKTOP`], a
/// nix-daemon under its socket, and the user `nix-builder`, whom that trusts.
#[derive(Debug)]
pub struct Desktop {
    container: Container,
    keys: TempDir,
    host_key: KeyFile,
    user_key: KeyFile,
    netns: String,
}

impl Desktop {
    /// Makes and boots it on the desktop's side of `namespace`, which must outlive it.
    ///
    /// # Errors
    /// As [`Container::new`] and [`Container::boot`].
    pub async fn start(namespace: &Namespace) -> Result<Self> {
        Self::start_on(Suite::from_environment(), namespace).await
    }

    /// The same of a Debian.
    ///
    /// # Errors
    /// As [`Container::of`] and [`Container::boot`].
    pub async fn start_on(suite: Suite, namespace: &Namespace) -> Result<Self> {
        let container = Container::of(suite, "desktop").await?;
        let keys = tempfile::tempdir().context("a directory for keys")?;
        let key = |name: &str| KeyFile::generate(keys.path().join(name), "ed25519");
        let mut desktop = Self {
            host_key: key("host")?,
            user_key: key("user")?,
            container,
            keys,
            netns: namespace.desktop().to_owned(),
        };
        desktop.set_host_key()?;
        desktop.authorise()?;
        desktop.set_nix_conf(NIX_CONF)?;
        desktop.boot().await?;
        Ok(desktop)
    }

    /// The machine itself: commands, files, its journal.
    pub fn container(&self) -> &Container {
        &self.container
    }

    /// Makes a signed binary cache and serves it, from now on and at each boot.
    ///
    /// # Errors
    /// When Nix can't make it, or nginx can't serve it.
    pub fn serve_cache(&self) -> Result<Cache> {
        Cache::serve(&self.container)
    }

    /// Where its sshd listens, seen from the laptop.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(Namespace::DESKTOP.into(), 22)
    }

    /// `ssh-ng://nix-builder@192.0.2.6`; `protocol` is `ssh-ng` or `ssh`.
    pub fn uri(&self, protocol: &str) -> String {
        format!("{protocol}://{USER}@{}", Namespace::DESKTOP)
    }

    /// The private key that is authorised.
    pub fn user_key(&self) -> &Path {
        self.user_key.path()
    }

    /// The public line of its only host key.
    ///
    /// # Errors
    /// When the key file is gone.
    pub fn host_key(&self) -> Result<String> {
        self.host_key.public_line()
    }

    /// Its own boot id, which no other machine has.
    ///
    /// # Errors
    /// When it does not run.
    pub fn boot_id(&self) -> Result<String> {
        let id = self
            .container
            .run(&["cat", "/proc/sys/kernel/random/boot_id"])?;
        Ok(id.trim().to_owned())
    }

    /// Lets the user key in, with `options` before it (`command="…"`), as authorized_keys(5) has it.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn authorise_with(&self, options: &str) -> Result<()> {
        let line = format!("{options} {}\n", self.user_key.public_line()?);
        // Not in the user's home: sshd would ask whose it is, and this is root's.
        self.container
            .write("/etc/ssh/authorized_keys/nix-builder", line.trim_start())
    }

    /// The same without any.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn authorise(&self) -> Result<()> {
        self.authorise_with("")
    }

    /// Replaces `/etc/nix/nix.conf`; [`Self::restart_nix`] makes the daemon read it.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn set_nix_conf(&self, text: &str) -> Result<()> {
        self.container.write("/etc/nix/nix.conf", text)
    }

    /// Replaces one setting of what it started with, and restarts the daemon.
    ///
    /// # Errors
    /// When systemd can't.
    pub fn set_nix(&self, setting: &str, value: &str) -> Result<()> {
        let kept = NIX_CONF
            .lines()
            .filter(|line| line.split(' ').next() != Some(setting));
        let kept: String = kept.map(|line| format!("{line}\n")).collect();
        self.set_nix_conf(&format!("{kept}{setting} = {value}\n"))?;
        self.restart_nix()
    }

    /// Ends the nix-daemon; its socket starts it again.
    ///
    /// # Errors
    /// When systemd can't.
    pub fn restart_nix(&self) -> Result<()> {
        self.container
            .run(&["systemctl", "stop", "nix-daemon.service"])?;
        self.container
            .run(&["systemctl", "restart", "nix-daemon.socket"])
            .map(drop)
    }

    /// Ends the nix-daemon and its socket: the machine is there, its Nix is not.
    ///
    /// # Errors
    /// When systemd can't.
    pub fn stop_nix(&self) -> Result<()> {
        let stop = [
            "systemctl",
            "stop",
            "nix-daemon.socket",
            "nix-daemon.service",
        ];
        self.container.run(&stop).map(drop)
    }

    /// Cuts its power.
    pub fn stop(&mut self) {
        self.container.stop();
    }

    /// Boots it (again): same disk, same keys, another boot id. Returns when sshd listens.
    ///
    /// # Errors
    /// As [`Container::boot`].
    pub async fn boot(&mut self) -> Result<()> {
        self.container.boot(&self.netns).await?;
        eventually(PATIENCE, "sshd listens", async || {
            let listening = self.container.run(&["ss", "-Hltn", "sport", "=", ":22"]);
            listening
                .is_ok_and(|lines| lines.contains(":22"))
                .then_some(())
        })
        .await
    }

    /// Gives it a new host key, as a reinstalled desktop has.
    ///
    /// # Errors
    /// When systemd can't restart sshd.
    pub fn swap_host_key(&mut self) -> Result<()> {
        self.host_key = KeyFile::generate(self.keys.path().join("host"), "ed25519")?;
        self.set_host_key()?;
        self.container
            .run(&["systemctl", "restart", "ssh.service"])
            .map(drop)
    }

    fn set_host_key(&self) -> Result<()> {
        let private = self.host_key.path();
        let private = std::fs::read_to_string(private).context(private.display())?;
        self.container
            .write_mode("/etc/ssh/test_host_key", &private, 0o600)?;
        self.container.write(
            "/etc/ssh/sshd_config.d/test.conf",
            "HostKey /etc/ssh/test_host_key\n\
             AuthorizedKeysFile /etc/ssh/authorized_keys/%u\n\
             PasswordAuthentication no\n\
             UseDNS no\n",
        )
    }
}
