//! A private system bus: the real `dbus-daemon` or the real `dbus-broker`, with offloadd's own policy in force.

use std::{
    fs,
    os::unix::{
        fs::PermissionsExt,
        net::{UnixDatagram, UnixStream},
    },
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tempfile::TempDir;
use zbus::{Connection, connection::Builder};

use crate::{
    Error, Result,
    error::Context,
    eventually,
    process::{Process, system_program},
};

/// The policy as it is installed.
const POLICY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../dbus/org.offloadd.Offload1.conf"
);
const PATIENCE: Duration = Duration::from_secs(10);

/// Which program the bus is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// The reference implementation.
    Daemon,
    /// What Fedora and Arch have; NixOS and Debian on request.
    Broker,
}

/// A running bus of `<type>system</type>`.
#[derive(Debug)]
pub struct Bus {
    process: Option<Process>,
    flavour: Flavour,
    journal: Option<Journal>,
    directory: TempDir,
}

/// What dbus-broker takes for the journal. It waits for who does not read what it says.
#[derive(Debug)]
struct Journal(UnixDatagram);

impl Journal {
    fn listen(socket: &Path) -> std::io::Result<Self> {
        let journal = UnixDatagram::bind(socket)?;
        let reader = journal.try_clone()?;
        std::thread::spawn(move || while reader.recv(&mut [0; 1]).is_ok_and(|size| size > 0) {});
        Ok(Self(journal))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // The end of who reads.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}

impl Bus {
    /// Starts a `dbus-daemon`.
    ///
    /// # Errors
    /// When dbus-daemon is missing or does not come up; its log is in the error.
    pub async fn start() -> Result<Self> {
        Self::start_as(Flavour::Daemon).await
    }

    /// Starts either. dbus-broker needs root: its launcher insists on a journal, and is given one in
    /// a mount namespace of its own.
    ///
    /// # Errors
    /// When it is missing or does not come up; its log is in the error.
    pub async fn start_as(flavour: Flavour) -> Result<Self> {
        let directory = tempfile::tempdir().context("a directory for the bus")?;
        // Other users are let in, for tests of the policy.
        let everybody = fs::Permissions::from_mode(0o755);
        fs::set_permissions(directory.path(), everybody).context("the bus's directory")?;
        let mut bus = Self {
            process: None,
            flavour,
            journal: None,
            directory,
        };
        fs::write(bus.file("bus.conf"), bus.configuration()).context("bus.conf")?;
        bus.restart().await?;
        Ok(bus)
    }

    /// Where clients connect. It stays the same when the bus is restarted.
    pub fn address(&self) -> String {
        format!("unix:path={}", self.socket().display())
    }

    /// A client of it, of the user who runs the tests.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn connect(&self) -> Result<Connection> {
        let connection = Builder::address(self.address().as_str()).build().await;
        connection
            .map_err(std::io::Error::other)
            .context(self.address())
    }

    /// Ends it, as a crash would.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it (again), and returns when it takes connections.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop();
        self.process = Some(match self.flavour {
            Flavour::Daemon => self.daemon()?,
            Flavour::Broker => self.broker()?,
        });
        let socket = self.socket();
        eventually(PATIENCE, "the bus takes connections", async || {
            UnixStream::connect(&socket).ok()
        })
        .await?;
        // systemd-socket-activate lets only who started it connect.
        let everybody = fs::Permissions::from_mode(0o777);
        fs::set_permissions(&socket, everybody).context(socket.display())
    }

    fn daemon(&self) -> Result<Process> {
        let program = system_program("dbus-daemon", "dbus")?;
        Process::start(&program, None, &self.file("log"), |command| {
            command
                .arg("--nofork")
                .arg("--nopidfile")
                .arg("--config-file")
                .arg(self.file("bus.conf"));
        })
    }

    /// As systemd starts it, at the first connection to its socket.
    fn broker(&mut self) -> Result<Process> {
        system_program("dbus-broker-launch", "dbus-broker")?;
        let unshare = system_program("unshare", "util-linux")?;
        let journal = self.file("systemd/journal");
        if self.journal.is_none() {
            fs::create_dir_all(&journal).context(journal.display())?;
            let journal = Journal::listen(&journal.join("socket"));
            self.journal = Some(journal.context("a journal for the broker")?);
        }
        // It is not removed by who listened there.
        let _ = fs::remove_file(self.socket());
        Process::start(&unshare, None, &self.file("log"), |command| {
            command
                .args(["--mount", "--", "sh", "-c"])
                .arg(
                    "mount -t tmpfs none /run && mkdir /run/systemd && mount --bind \"$1\" /run/systemd &&
                     exec systemd-socket-activate -E DBUS_SYSTEM_BUS_ADDRESS -l \"$2\" \
                     dbus-broker-launch --scope system --config-file \"$3\"",
                )
                .arg("sh")
                .args(["systemd", "bus", "bus.conf"].map(|name| self.file(name)))
                .env("DBUS_SYSTEM_BUS_ADDRESS", self.address());
        })
    }

    /// Calls `member` (with its interface) of `/org/offloadd/Offload1` as a user who is nobody, with
    /// arguments as dbus-send(1) writes them, and returns the printed answer. Only root can.
    ///
    /// # Errors
    /// The error that was answered, by its D-Bus name.
    pub async fn ask_as_stranger(
        &self,
        destination: &str,
        member: &str,
        arguments: &[&str],
    ) -> Result<String> {
        let path = "/org/offloadd/Offload1";
        self.ask_object_as_stranger(destination, path, member, arguments)
            .await
    }

    /// The same of another object.
    ///
    /// # Errors
    /// As [`Self::ask_as_stranger`].
    pub async fn ask_object_as_stranger(
        &self,
        destination: &str,
        path: &str,
        member: &str,
        arguments: &[&str],
    ) -> Result<String> {
        let mut command = tokio::process::Command::new("setpriv");
        command
            .args([
                "--reuid",
                "65534",
                "--regid",
                "65534",
                "--clear-groups",
                "--",
            ])
            .arg(system_program("dbus-send", "dbus")?)
            .args([
                format!("--bus={}", self.address()),
                format!("--dest={destination}"),
            ])
            .args(["--print-reply", "--reply-timeout=5000", path, member])
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        // Not blocking: who is called may live on this very thread.
        let output = command.output().await.context("dbus-send")?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(Error::Program {
                program: "dbus-send".into(),
                output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            })
        }
    }

    /// The process of the bus itself.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// As the system's own `system.conf` has it: nothing may be owned or called that a policy file
    /// does not allow. Whoever runs the tests is allowed to be offloadd, logind, polkit or a service beside
    /// them, and to listen to everything, as root is.
    fn configuration(&self) -> String {
        let policy = Path::new(POLICY)
            .canonicalize()
            .unwrap_or_else(|_| POLICY.into());
        let user = rustix::process::geteuid().as_raw();
        format!(
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Introspectable"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Properties"/>
    <allow send_destination="org.offloadd.Control"/>
  </policy>
  <include>{policy}</include>
  <policy user="{user}">
    <allow own="org.offloadd.Offload1"/>
    <allow own="org.freedesktop.login1"/>
    <allow own="org.freedesktop.PolicyKit1"/>
    <allow own="org.offloadd.Control"/>
    <allow send_destination="org.freedesktop.PolicyKit1"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Monitoring"/>
  </policy>
</busconfig>
"#,
            socket = self.socket().display(),
            policy = policy.display(),
        )
    }

    fn socket(&self) -> PathBuf {
        self.file("bus")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}
