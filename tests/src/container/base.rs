//! The tree that every container stands on: made once by debootstrap, then only read.

use std::{
    env, fs,
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};

use crate::{
    Error, Result,
    error::Context,
    eventually,
    process::{run, run_command, system_program},
};

/// Which Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// The stable one: systemd 257 and Nix 2.26.
    Trixie,
    /// What is to be the next: systemd 262 and Nix 2.34, as of late 2026.
    Sid,
}

impl Suite {
    /// The one that `OFFLOAD_SUITE` names, else the stable one.
    pub fn from_environment() -> Self {
        match env::var("OFFLOAD_SUITE").as_deref() {
            Ok("sid") => Self::Sid,
            _ => Self::Trixie,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Trixie => "trixie",
            Self::Sid => "sid",
        }
    }
}

/// debootstrap takes no virtual packages into account: `libdbi-perl` is what nix-bin's own
/// dependency asks for under the name of `perl-dbdabi-94`.
const PACKAGES: &[&str] = &[
    "bsdutils",
    "dbus",
    "dbus-broker",
    "iproute2",
    "libdbi-perl",
    "libnss-myhostname",
    "libpam-systemd",
    "nginx-light",
    "nix-bin",
    "nix-setup-systemd",
    "openssh-client",
    "openssh-server",
    "polkitd",
    "sqlite3",
    "systemd",
    "systemd-sysv",
];
/// What is done inside after that. The socket of Debian's nix-daemon is for the group `nix-users`.
/// The bus is dbus-daemon's until a test says otherwise; `ada` is an ordinary user.
const SETUP: &str = "\
set -e
useradd --create-home --shell /bin/bash --groups nix-users --password '*' nix-builder
useradd --create-home --shell /bin/bash --password '*' ada
systemctl disable --quiet nginx.service dbus-broker.service
systemctl enable --quiet ssh.service nix-daemon.socket
systemctl mask --quiet apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer
rm -f /usr/sbin/policy-rc.d
apt-get clean
";
/// Somebody else makes it: a download of 90 MB and some minutes of one processor.
const PATIENCE: Duration = Duration::from_secs(1800);

/// The tree, made now if it is not there yet: in `$OFFLOAD_CONTAINERS`, or `target/containers`.
///
/// # Errors
/// [`Error::Unsupported`], saying why, where this machine can't make or run one; otherwise what
/// debootstrap said.
pub async fn base(suite: Suite) -> Result<PathBuf> {
    if let Some(why) = unsupported() {
        return Err(Error::Unsupported(why));
    }
    let directory = directory();
    fs::create_dir_all(&directory).context(directory.display())?;
    let tree = directory.join(format!("{}-{:016x}", suite.name(), recipe(suite)));
    let lock = tree.with_extension("lock");
    let lock = File::create(&lock).context(lock.display())?;
    eventually(PATIENCE, "the container's base is made", async || {
        flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()
    })
    .await?;
    if !tree.is_dir() {
        let made = make(suite, &tree);
        made.map_err(|error| match suite {
            Suite::Trixie => error,
            // What is not released yet can't be installed on every day.
            Suite::Sid => Error::Unsupported(format!("no containers of sid: {error}")),
        })?;
    }
    Ok(tree)
}

/// Why there can't be containers here; `None` where there can.
pub fn unsupported() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("containers need root: run as root".into());
    }
    let programs = [
        ("systemd-nspawn", "systemd-container"),
        ("debootstrap", "debootstrap"),
        ("nsenter", "util-linux"),
    ];
    let missing = |(program, package)| system_program(program, package).err();
    let missing = programs.into_iter().find_map(missing);
    missing.map(|missing| format!("no containers: {missing}"))
}

/// Half a tree must never be taken for a whole one: it gets its name when it is done.
fn make(suite: Suite, tree: &Path) -> Result<()> {
    let mirror = mirror()?;
    let unfinished = tree.with_extension("part");
    remove(&unfinished)?;
    let bootstrap = run_command(
        Command::new(system_program("debootstrap", "debootstrap")?)
            .envs(proxy())
            .arg("--variant=minbase")
            .arg(format!("--include={}", PACKAGES.join(",")))
            .args([Path::new(suite.name()), &unfinished, Path::new(&mirror)]),
    );
    let made = bootstrap.map_err(|error| {
        let log = fs::read_to_string(unfinished.join("debootstrap/debootstrap.log"));
        explain(&error, &log.unwrap_or_default())
    });
    let made = made.and_then(|_| {
        run_command(
            Command::new("chroot")
                .arg(&unfinished)
                .args(["sh", "-c", SETUP]),
        )
    });
    if let Err(error) = made {
        remove(&unfinished)?;
        return Err(error);
    }
    fs::rename(&unfinished, tree).context(tree.display())
}

/// debootstrap says on its terminal that something failed, and in its log what.
fn explain(error: &Error, log: &str) -> Error {
    let said = error.to_string();
    if said.contains("Failed getting release file") || said.contains("Invalid Release file") {
        return Error::Unsupported(format!(
            "no containers: Debian's archive is out of reach: {said}"
        ));
    }
    let last: Vec<_> = log.lines().rev().take(20).collect();
    let last: Vec<_> = last.into_iter().rev().collect();
    Error::Program {
        program: "debootstrap".into(),
        output: format!("{said}\n{}", last.join("\n")),
    }
}

/// Where this machine's own apt gets Debian from.
fn mirror() -> Result<String> {
    let none = |why: &str| Error::Unsupported(format!("no containers: {why}"));
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let value = release
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| value.trim_matches('"').to_owned())
    };
    let codename = field("VERSION_CODENAME").unwrap_or_default();
    if field("ID").as_deref() != Some("debian") || codename.is_empty() {
        return Err(none("this is no Debian, whose apt would know an archive"));
    }
    let format = "$(RELEASE) $(COMPONENT) $(SITE)";
    let targets = run(
        "apt-get",
        ["indextargets", "--format", format, "Created-By: Packages"],
    )?;
    let site = targets
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{codename} main ")));
    site.map(str::to_owned)
        .ok_or_else(|| none("apt knows no archive of this Debian"))
}

/// debootstrap reads no configuration of apt's, but this variable.
fn proxy() -> Option<(&'static str, String)> {
    let said = run(
        "apt-config",
        ["dump", "--format", "%v", "Acquire::http::Proxy"],
    )
    .ok()?;
    let proxy = said.trim().to_owned();
    (!proxy.is_empty() && proxy != "DIRECT").then_some(("http_proxy", proxy))
}

fn directory() -> PathBuf {
    env::var_os("OFFLOAD_CONTAINERS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/containers"),
        PathBuf::from,
    )
}

/// FNV-1a over all that makes the tree what it is.
fn recipe(suite: Suite) -> u64 {
    let text = format!("{} {} {SETUP}", suite.name(), PACKAGES.join(" "));
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).context(directory.display())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_out_of_reach_is_told_from_a_failed_package() {
        let program = |output: &str| Error::Program {
            program: "debootstrap".into(),
            output: output.into(),
        };
        let far = explain(&program("E: Failed getting release file http://…"), "");
        assert!(matches!(far, Error::Unsupported(_)), "{far}");
        let broken = explain(
            &program("exit status: 1"),
            "dpkg: error processing package nix-bin",
        );
        assert!(matches!(broken, Error::Program { .. }), "{broken}");
        assert!(broken.to_string().contains("nix-bin"), "{broken}");
    }
}
