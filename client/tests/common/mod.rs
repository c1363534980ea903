//! A message bus of the test's own, and a daemon on it that says what the test tells it to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

pub(crate) mod fake;
pub(crate) mod job;
#[cfg(feature = "cli")]
pub(crate) mod program;

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// A private `dbus-daemon`; it ends when this is dropped.
pub(crate) struct Bus {
    /// Its D-Bus address.
    pub(crate) address: String,
    /// Its socket is in here where an embedded daemon's would be.
    pub(crate) dir: TempDir,
    daemon: Child,
}

impl Bus {
    pub(crate) async fn start() -> Self {
        Self::started(tempfile::tempdir().unwrap()).await
    }

    /// A bus that would start `program` for the daemon's name.
    pub(crate) async fn with_activation(program: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let name = offload_client::names::BUS_NAME;
        std::fs::write(
            dir.path().join(format!("{name}.service")),
            format!("[D-BUS Service]\nName={name}\nExec={program}\n"),
        )
        .unwrap();
        Self::started(dir).await
    }

    async fn started(dir: TempDir) -> Self {
        let socket = offload_client::embedded::socket_in(dir.path());
        let private = socket.parent().unwrap();
        std::fs::create_dir(private).unwrap();
        std::fs::set_permissions(private, Permissions::from_mode(0o700)).unwrap();
        let config = dir.path().join("bus.conf");
        std::fs::write(&config, configuration(dir.path(), &socket)).unwrap();
        let (daemon, address) = spawn(&config).await;
        Self {
            address,
            dir,
            daemon,
        }
    }

    /// Ends it, and every connection to it.
    pub(crate) async fn stop(&mut self) {
        self.daemon.kill().await.unwrap();
    }

    /// Starts it at the same address, as after a restart.
    pub(crate) async fn start_again(&mut self) {
        let socket = offload_client::embedded::socket_in(self.dir.path());
        let _ = std::fs::remove_file(socket);
        let config = self.dir.path().join("bus.conf");
        let (daemon, _) = spawn(&config).await;
        self.daemon = daemon;
    }

    pub(crate) async fn connect(&self) -> zbus::Connection {
        zbus::connection::Builder::address(self.address.as_str())
            .build()
            .await
            .unwrap()
    }

    /// Where an embedded daemon's directory would be.
    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }
}

/// Starts a bus; it and its address once it listens.
async fn spawn(config: &Path) -> (Child, String) {
    let mut daemon = Command::new("dbus-daemon")
        .arg("--nofork")
        .arg("--print-address")
        .arg(format!("--config-file={}", config.display()))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("these tests need dbus-daemon (Debian: dbus-daemon, nixpkgs: dbus)");
    // It prints its address once it listens; the next one on that socket has another guid.
    let mut lines = BufReader::new(daemon.stdout.take().unwrap()).lines();
    let address = lines.next_line().await.unwrap().unwrap();
    let (address, _) = address.split_once(",guid=").unwrap();
    (daemon, address.to_owned())
}

fn configuration(services: &Path, socket: &Path) -> String {
    format!(
        r#"<busconfig>
  <type>session</type>
  <listen>unix:path={}</listen>
  <auth>EXTERNAL</auth>
  <servicedir>{}</servicedir>
  <policy context="default">
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
  </policy>
</busconfig>"#,
        socket.display(),
        services.display()
    )
}
