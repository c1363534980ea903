//! A real multicast DNS responder, as most desktops run one.

use std::{fs, time::Duration};

use tempfile::TempDir;

use crate::{
    Result,
    error::Context,
    eventually,
    process::{Process, system_program},
};

const PATIENCE: Duration = Duration::from_secs(15);

/// A running `avahi-daemon` in a network namespace, with a mount namespace of its own: it reads its
/// services, and keeps its pid, in fixed places.
#[derive(Debug)]
pub struct Avahi {
    _process: Process,
    directory: TempDir,
}

/// What a machine offers: `_ssh._tcp` and its port.
pub type Service = (&'static str, u16);

impl Avahi {
    /// Starts one inside `netns`, that calls its machine `host.local`; returns when its names are
    /// its own.
    ///
    /// # Errors
    /// When avahi-daemon is missing or does not come up; its log is in the error.
    pub async fn start_inside(netns: &str, host: &str, services: &[Service]) -> Result<Self> {
        let directory = tempfile::tempdir().context("a directory for avahi-daemon")?;
        let path = |name: &str| directory.path().join(name);
        for name in ["etc", "etc/services", "run"] {
            fs::create_dir(path(name)).context(name)?;
        }
        let configuration = format!(
            "[server]\nhost-name={host}\nuse-ipv6=no\nenable-dbus=no\n\
             [publish]\npublish-workstation=no\npublish-hinfo=no\n"
        );
        fs::write(path("etc/avahi-daemon.conf"), configuration).context("its configuration")?;
        for (kind, port) in services {
            let file = format!("etc/services/{kind}.service");
            fs::write(path(&file), service(kind, *port)).context(file)?;
        }
        let program = system_program("avahi-daemon", "avahi-daemon")?;
        let unshare = system_program("unshare", "util-linux")?;
        let log = path("log");
        let process = Process::start(&unshare, Some(netns), &log, |command| {
            command
                .args(["--mount", "--", "sh", "-c"])
                .arg(
                    "mount --bind \"$1\" /etc/avahi && mkdir -p /run/avahi-daemon &&
                     mount --bind \"$2\" /run/avahi-daemon && exec \"$3\" \
                     --no-drop-root --no-rlimits --no-chroot --no-proc-title",
                )
                .arg("sh")
                .args([path("etc"), path("run"), program]);
        })?;
        let avahi = Self {
            _process: process,
            directory,
        };
        avahi.established(services.len()).await?;
        Ok(avahi)
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// It asks whether somebody else has its names first (RFC 6762, 8.1).
    async fn established(&self, services: usize) -> Result<()> {
        let ready = eventually(PATIENCE, "avahi-daemon has its names", async || {
            let log = self.log();
            let host = log.contains("Server startup complete");
            let offered = log.matches("successfully established").count();
            (host && offered == services).then_some(())
        });
        ready.await.map_err(|late| crate::Error::Program {
            program: "avahi-daemon".into(),
            output: format!("{late}\nits log:\n{}", self.log()),
        })
    }
}

fn service(kind: &str, port: u16) -> String {
    format!(
        r#"<?xml version="1.0" standalone='no'?>
<!DOCTYPE service-group SYSTEM "avahi-service.dtd">
<service-group>
  <name replace-wildcards="yes">%h</name>
  <service><type>{kind}</type><port>{port}</port></service>
</service-group>
"#
    )
}
