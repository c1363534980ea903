//! The laptop as a machine of its own, with offloadd as its package installs it.

use std::{
    fs,
    path::Path,
    process::{Output, Stdio},
};

use data_encoding::BASE64;
use offload_client::Snapshot;

use super::{Cache, Container, Desktop};
use crate::{Error, Namespace, Result, error::Context, laptop::Run};

/// What the laptop calls the desktop.
const DESKTOP: &str = "desktop";
/// Who uses it: nobody's group but an own one.
const USER: &str = "ada";
/// Where root's key for builds lies, which only root can read.
const KEY: &str = "/etc/nix/builder_ed25519";
/// A test has less time than a person.
const POLL: &str = "\
[poll]
interval = \"3s\"
fast_interval = \"1s\"
down_max_interval = \"3s\"
";

/// A booted [`Container`] named `laptop` whose Nix is configured with the desktop as its builder and
/// its cache, under the name `desktop`. It has root's key for that, and an ordinary user `ada`.
#[derive(Debug)]
pub struct Laptop {
    container: Container,
    netns: String,
}

impl Laptop {
    /// Makes and boots it, of the same Debian as the desktop, on the laptop's side of `namespace`, which must outlive it. offloadd is
    /// not there yet: see [`Self::install`].
    ///
    /// # Errors
    /// As [`Container::new`] and [`Container::boot`].
    pub async fn start(namespace: &Namespace, desktop: &Desktop, cache: &Cache) -> Result<Self> {
        let container = Container::of(desktop.container().suite(), "laptop").await?;
        let address = Namespace::DESKTOP;
        container.write(
            "/etc/hosts",
            &format!("127.0.0.1 localhost\n{address} {DESKTOP}\n"),
        )?;
        let key = fs::read_to_string(desktop.user_key()).context("the user's key")?;
        container.write_mode(KEY, &key, 0o600)?;
        container.write("/etc/nix/nix.conf", &nix_conf(desktop, cache)?)?;
        let sample = format!(
            "[[cache]]\nname = \"{DESKTOP}\"\nurl = \"{}\"\nsample = \"{}\"\n",
            cache.url(DESKTOP),
            cache.store_path()
        );
        container.write(
            "/etc/offloadd/config.d/50-test.toml",
            &format!("{POLL}{sample}"),
        )?;
        let mut laptop = Self {
            container,
            netns: namespace.laptop().to_owned(),
        };
        laptop.boot().await?;
        Ok(laptop)
    }

    /// Boots it (again), with what is installed; returns when all its units are up.
    ///
    /// # Errors
    /// As [`Container::boot`].
    pub async fn boot(&mut self) -> Result<()> {
        self.container.boot(&self.netns).await
    }

    /// Installs a Debian package from a file of this machine, as a person does who has downloaded it,
    /// without any network.
    ///
    /// # Errors
    /// What dpkg said.
    pub fn install(&self, package: &Path) -> Result<()> {
        let inside = "/root/offloadd.deb";
        let to = self.container.path(inside);
        fs::copy(package, &to).context(package.display())?;
        self.container.run(&["dpkg", "--install", inside]).map(drop)
    }

    /// The machine itself: commands, files, its journal.
    pub fn container(&self) -> &Container {
        &self.container
    }

    /// Runs a command as root, and says how it ended.
    ///
    /// # Errors
    /// When it does not run.
    pub fn root(&self, command: &[&str]) -> Result<Run> {
        let (program, arguments) = split(command);
        let mut command = self.container.command(program)?;
        let output = command.args(arguments).stdin(Stdio::null()).output();
        Ok(run(&output.context(program)?))
    }

    /// The same as the ordinary user, who is in no session.
    ///
    /// # Errors
    /// When it does not run.
    pub fn user(&self, command: &[&str]) -> Result<Run> {
        let become_user = ["setpriv", "--reuid", USER, "--regid", USER, "--init-groups"];
        self.root(&[&become_user[..], command].concat())
    }

    /// Everything that offloadd says, as its own program reads it.
    ///
    /// # Errors
    /// When it is not there, or says what can't be read.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let said = self.root(&["offloadctl", "status", "--json"])?;
        serde_json::from_str(&said.stdout).map_err(|error| Error::Program {
            program: "offloadctl status --json".into(),
            output: format!("{error}: {said:?}"),
        })
    }

    /// The value of one property of a unit.
    ///
    /// # Errors
    /// When systemd does not answer.
    pub fn unit(&self, unit: &str, property: &str) -> Result<String> {
        let show = ["systemctl", "show", "--value", "--property", property, unit];
        Ok(self.container.run(&show)?.trim().to_owned())
    }
}

/// nix.conf(5) with the desktop in it twice: as a substituter that is trusted, and as a builder.
fn nix_conf(desktop: &Desktop, cache: &Cache) -> Result<String> {
    let host_key = BASE64.encode(desktop.host_key()?.as_bytes());
    let uri = format!("ssh-ng://nix-builder@{DESKTOP}");
    let machine = format!("{uri} x86_64-linux {KEY} 2 1 kvm - {host_key}");
    Ok(format!(
        "build-users-group = nixbld\n\
         builders = {machine}\n\
         connect-timeout = 5\n\
         experimental-features = nix-command\n\
         fallback = true\n\
         substituters = {url}\n\
         trusted-public-keys = {key}\n",
        url = cache.url(DESKTOP),
        key = cache.public_key(),
    ))
}

fn split<'a>(command: &'a [&'a str]) -> (&'a str, &'a [&'a str]) {
    let (program, arguments) = command.split_first().unwrap_or((&"true", &[]));
    (program, arguments)
}

fn run(output: &Output) -> Run {
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
