//! A laptop with a nix-daemon of its own, and a builder behind a real sshd.

mod files;

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use data_encoding::BASE64;
use offload_client::{JobState, Reason, snapshot::Details};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    net::{TcpStream, UnixStream},
    task::JoinHandle,
};

use self::files::{desktops, dispatch, laptops, spec, stubborn};
use crate::{
    build::{Handle, Jobs, Nix, StartError},
    config::Poll,
    monitor::{self, Monitor},
    plan::Plan,
    target::{
        Address, BuilderSpec, Dispatch, HostKeyRule, Protocol, SpecKind, TargetId, TargetSpec,
    },
};

/// Only this machine is ever dialled.
pub(super) const HOST: &str = "127.0.15.6";
/// The same machine by another address, which is another builder to Nix.
pub(super) const OTHER_HOST: &str = "127.0.15.7";
/// What a builder that waits says first.
pub(super) const WAITS: &str = "the builder waits";

/// What sort of builder.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Builder {
    /// With a store of its own.
    Sound,
    /// Its sandbox has no `/bin/sh`.
    WithoutShell,
    /// Its builds wait for [`Laptop::open_gate`].
    Waits,
    /// The laptop's Nix does not use it: it builds itself, whatever it is told.
    Ignored,
    /// The laptop's Nix gives its builds to [`OTHER_HOST`], whatever it is told.
    Diverted,
    /// Nix has no line for it.
    Unknown,
    /// Its line promises these systems and these features.
    Promises(&'static str, &'static str),
}

/// Both ends, running. Dropping it ends them.
pub(super) struct Laptop {
    dir: TempDir,
    sshd: Child,
    daemon: Child,
    /// Both ends of the pipe that builds wait at, of [`Builder::Waits`]. Held open: what is written
    /// before a build reads would be lost with the last end closed.
    gate: Option<fs::File>,
    pub(super) monitor: monitor::Handle,
    pub(super) jobs: Handle,
    pub(super) actor: JoinHandle<()>,
}

impl Laptop {
    pub(super) async fn start(builder: Builder) -> Self {
        let dir = tempfile::Builder::new().prefix("nix").tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let port = free_port();
        let sshd = start_sshd(&dir, port, builder);
        let daemon = start_daemon(&dir, port);
        eventually("sshd listens", async || {
            TcpStream::connect((HOST, port)).await.is_ok()
        })
        .await;
        let socket = at("socket");
        eventually("nix-daemon listens", async || {
            UnixStream::connect(&socket).await.is_ok()
        })
        .await;

        let nix = laptops(&dir)
            .into_iter()
            .fold(Nix::from_environment(), |nix, (name, value)| {
                nix.with(name, value)
            });
        let nix = match builder {
            Builder::Ignored => nix.preferring(stubborn(&dir, "--max-jobs 1 --builders ''")),
            Builder::Diverted => {
                let other = dispatch(&dir).line.replace(HOST, OTHER_HOST);
                nix.preferring(stubborn(&dir, &format!("--builders '{other}'")))
            }
            Builder::Sound
            | Builder::WithoutShell
            | Builder::Waits
            | Builder::Unknown
            | Builder::Promises(..) => nix,
        };
        let plan = Plan {
            targets: vec![spec(&dir, builder)],
            ..Plan::default()
        };
        let (monitor, handle) = Monitor::new(plan, Poll::default(), None).unwrap();
        tokio::spawn(monitor.run());
        let (jobs, jobs_handle) = Jobs::new(nix, handle.clone());
        let gate = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(dir.path().join("gate"));
        Self {
            dir,
            sshd,
            daemon,
            gate: gate.ok(),
            monitor: handle,
            jobs: jobs_handle,
            actor: tokio::spawn(jobs.run()),
        }
    }

    /// Begins a test build.
    pub(super) async fn begin(&self, timeout: Duration) -> Result<u32, StartError> {
        self.jobs.start(&id(), timeout, 0).await
    }

    /// Waits for the end of a job.
    pub(super) async fn ended(&self, number: u32) -> (JobState, Reason, Vec<String>) {
        let mut board = self.jobs.subscribe();
        let waiting =
            board.wait_for(|board| board.get(number).unwrap().status.state != JobState::Running);
        let board = tokio::time::timeout(super::PATIENCE, waiting)
            .await
            .expect("it ends")
            .unwrap();
        let job = board.get(number).unwrap();
        let lines = job.output.lines().map(str::to_owned).collect();
        (job.status.state, job.status.reason, lines)
    }

    /// Waits until a job has printed these words.
    pub(super) async fn printed(&self, number: u32, words: &str) {
        let mut board = self.jobs.subscribe();
        let waiting = board.wait_for(|board| {
            let job = board.get(number).unwrap();
            assert_eq!(job.status.state, JobState::Running, "{:?}", job.output);
            job.output.lines().any(|line| line.contains(words))
        });
        tokio::time::timeout(super::PATIENCE, waiting)
            .await
            .expect("it prints")
            .unwrap();
    }

    /// The builder's details.
    pub(super) fn details(&self) -> Details {
        self.monitor.snapshot().targets[0].details.clone()
    }

    /// Lets the laptop's Nix use the builder's one slot, until what is returned goes.
    pub(super) fn take_slot(&self) -> fs::File {
        let slot = fs::File::create(self.path("slot-0")).unwrap();
        slot.lock().unwrap();
        slot
    }

    /// Whether the builder's own store holds `path`.
    pub(super) fn builder_has(&self, path: &str) -> bool {
        // Where Nix puts the paths of a `root` (`LocalFSStoreConfig`, src/libstore/local-fs-store.hh).
        let name = Path::new(path).file_name().unwrap();
        self.path("desktop/nix/store").join(name).exists()
    }

    /// The key's path, which is in the arguments of all that uses it.
    pub(super) fn key(&self) -> String {
        self.path("user").display().to_string()
    }

    /// Lets builds that wait go on, and later ones not wait.
    pub(super) fn open_gate(&self) {
        let mut gate = self.gate.as_ref().unwrap();
        // A line for each, and a pipe holds them all.
        gate.write_all(&b"go\n".repeat(16)).unwrap();
    }

    /// Ends sshd, and all that it serves.
    pub(super) fn stop_sshd(&mut self) {
        self.kill_sessions();
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }

    /// Ends the processes of sshd that serve a connection.
    pub(super) fn kill_sessions(&self) {
        let pid = self.sshd.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        let children = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok());
        for session in children.filter_map(Pid::from_raw) {
            let _ = kill_process(session, Signal::KILL);
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Laptop {
    fn drop(&mut self) {
        self.actor.abort();
        self.stop_sshd();
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        if self.gate.is_some() {
            self.open_gate();
        }
    }
}

/// Waits until `condition` holds.
pub(super) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(super::PATIENCE, waiting).await;
    waited.unwrap_or_else(|_| panic!("{what}: not in time"));
}

pub(super) fn id() -> TargetId {
    TargetId::builder("desktop")
}

fn start_daemon(dir: &TempDir, port: u16) -> Child {
    let conf = dir.path().join("conf");
    fs::create_dir(&conf).unwrap();
    // Without it a nix-daemon takes its own socket for its store.
    fs::create_dir(dir.path().join("state")).unwrap();
    let text = "build-users-group =\nsandbox = false\nsubstituters =\ntrusted-users = root\n";
    fs::write(conf.join("nix.conf"), text).unwrap();
    // A port in the URI is no port to a Nix this old, and its known_hosts would lack it.
    let options =
        format!("-F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -p {port}");
    Command::new("nix-daemon")
        .envs(
            laptops(dir)
                .into_iter()
                .filter(|(name, _)| *name != "NIX_REMOTE"),
        )
        .env("NIX_SSHOPTS", options)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(dir.path().join("daemon.log")).unwrap())
        .spawn()
        .unwrap()
}

fn start_sshd(dir: &TempDir, port: u16, builder: Builder) -> Child {
    let at = |name: &str| dir.path().join(name).display().to_string();
    fs::create_dir_all("/run/sshd").unwrap();
    keygen(&dir.path().join("host"));
    keygen(&dir.path().join("user"));
    fs::create_dir(at("desktop-conf")).unwrap();
    fs::write(at("desktop-conf/nix.conf"), desktops(dir, builder)).unwrap();
    let config = format!(
        "SetEnv NIX_CONF_DIR={conf} NIX_STORE_DIR={store} NIX_STATE_DIR={state}\n\
         ListenAddress {HOST}:{port}\nListenAddress {OTHER_HOST}:{port}\nPidFile none\nUsePAM no\nStrictModes no\n\
         PermitRootLogin yes\nAuthorizedKeysFile {user}.pub\nHostKey {host}\n",
        conf = at("desktop-conf"),
        state = at("desktop-state"),
        store = at("store"),
        user = at("user"),
        host = at("host"),
    );
    fs::write(at("sshd_config"), config).unwrap();
    Command::new("/usr/sbin/sshd")
        .args(["-D", "-f", &at("sshd_config"), "-E", &at("sshd.log")])
        .spawn()
        .unwrap()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((HOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn keygen(path: &Path) {
    let mut command = Command::new("ssh-keygen");
    command
        .args(["-q", "-N", "", "-t", "ed25519", "-f"])
        .arg(path);
    assert!(command.status().unwrap().success());
}
