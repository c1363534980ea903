//! The builder probe against a real OpenSSH server, and against servers that misbehave.

use std::{path::Path, sync::Arc, time::Duration};

use offload_client::{
    Printable, Reason, Stage,
    snapshot::{BuilderFacts, Detail},
};
use russh::keys::PublicKey;
use tokio::sync::mpsc;

use super::{Asked, Session};
use crate::{
    clock::Stopwatch,
    config::Connection,
    health::Depth,
    nix::ssh_config::{SshOptions, StrictHostKeyChecking},
    probe::Context,
    report::{Closed, Failure, Learned, Report},
    target::{Address, BuilderSpec, HostKeyRule, Protocol, SpecKind, TargetId, TargetSpec},
};

mod broken;
mod kept;
mod keys;
mod mute;
mod nix;
mod parity;
mod ready;
mod refused;
mod sshd;
mod strangers;
mod system;
mod terms;

/// Only this machine is ever dialled.
const HOST: &str = "127.0.15.6";
/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// For those that never answer.
const IMPATIENCE: Duration = Duration::from_millis(400);

/// What Nix says of the builder at `port`.
pub(super) fn spec(port: u16) -> BuilderSpec {
    BuilderSpec {
        protocol: Protocol::SshNg,
        host: HOST.into(),
        user: Some("root".into()),
        port: Some(port),
        params: Default::default(),
        ssh_options: String::new(),
        has_agent: false,
        ssh_key: None,
        host_keys: HostKeyRule::KnownHosts,
        systems: vec!["x86_64-linux".into()],
        features: vec!["kvm".into()],
        mandatory_features: Vec::new(),
        max_jobs: 4,
        speed_factor: 2.0,
        dispatch: Vec::new(),
    }
}

/// What ssh_config says of it where it says nothing and the home directory is empty.
fn options(port: u16) -> SshOptions {
    SshOptions {
        identity_files: Vec::new(),
        user_known_hosts_files: Vec::new(),
        global_known_hosts_files: Vec::new(),
        ..SshOptions::defaults(HOST, Some("root"), Some(port), None)
    }
}

/// As offloadd's own configuration has it: this key and no other.
fn pinned(path: &Path) -> HostKeyRule {
    HostKeyRule::Pinned(vec![public_key(path)])
}

/// A session, and what it tells the monitor.
struct Probe {
    session: Session,
    closed: mpsc::Receiver<Closed>,
}

impl Probe {
    fn new(builder: BuilderSpec, options: SshOptions, how: Connection, timeout: Duration) -> Self {
        Self::within(builder, options, how, timeout, PATIENCE)
    }

    fn within(
        builder: BuilderSpec,
        options: SshOptions,
        how: Connection,
        timeout: Duration,
        deep_timeout: Duration,
    ) -> Self {
        let (sender, closed) = mpsc::channel(4);
        let context = Context {
            timeout,
            deep_timeout,
            connection: how,
            closed: sender,
            sockets: crate::probe::search_sockets(),
            cache_hosts: tokio::sync::watch::channel(Default::default()).1,
            nix_daemon: tokio::sync::watch::channel(None).1,
            lookups: crate::probe::Lookups::default(),
        };
        let spec = TargetSpec {
            id: TargetId::builder("desktop"),
            uri: format!("ssh-ng://{}", builder.host).into(),
            addresses: vec![Address {
                host: builder.host.clone(),
                port: None,
            }],
            kind: SpecKind::Builder(builder),
        };
        let mut session = Session::new(Arc::new(spec), Arc::new(context));
        session.asked = Some(Asked {
            options: Arc::new(options),
            at: Stopwatch::start(),
        });
        Self { session, closed }
    }

    fn keeping(builder: BuilderSpec, options: SshOptions) -> Self {
        Self::new(builder, options, Connection::Keep, PATIENCE)
    }

    /// Changes what ssh_config says.
    fn reconfigure(&mut self, change: impl FnOnce(&mut SshOptions)) {
        if let Some(asked) = &mut self.session.asked {
            change(Arc::make_mut(&mut asked.options));
        }
    }

    /// One cheap check, with ssh_config as it was.
    async fn check(&mut self) -> Report {
        let asked = self.session.asked.as_ref();
        let options = asked.map(|asked| asked.options.clone());
        let report = self.session.check(Depth::Cheap).await;
        if let Some(options) = options {
            self.session.asked = Some(Asked {
                options,
                at: Stopwatch::start(),
            });
        }
        report
    }
}

/// As a builder is that Nix would use.
fn assert_passed(report: &Report, stage: Stage) {
    assert_eq!(report.outcome, Ok(stage), "{report:?}");
}

fn facts(report: &Report) -> &BuilderFacts {
    match &report.facts {
        Some(Learned::Builder(facts)) => facts,
        other => panic!("{other:?} in {report:?}"),
    }
}

fn assert_ready(report: &Report) {
    assert_eq!(report.outcome, Ok(Stage::Auth), "{report:?}");
}

/// The failure, which must be this one.
fn failed(report: &Report, stage: Stage, reason: Reason) -> Failure {
    let failure = report.outcome.clone().expect_err("the check must fail");
    assert_eq!(
        (failure.stage, failure.reason),
        (stage, reason),
        "{report:?}"
    );
    failure
}

fn text<'a>(report: &'a Report, key: &str) -> &'a str {
    match report.details.get(key) {
        Some(Detail::Text(text)) => text,
        other => panic!("{key}: {other:?} in {report:?}"),
    }
}

fn list<'a>(report: &'a Report, key: &str) -> &'a [Printable] {
    match report.details.get(key) {
        Some(Detail::List(list)) => list,
        other => panic!("{key}: {other:?} in {report:?}"),
    }
}

fn fingerprint(path: &Path) -> String {
    super::host_key::fingerprint(&public_key(path))
}

/// The public half of the key in `path`.
fn public_key(path: &Path) -> PublicKey {
    let text = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    PublicKey::from_openssh(&text).unwrap()
}

/// Waits until something outside has happened, and fails where it does not.
async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let happened = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let happened = tokio::time::timeout(PATIENCE, happened).await;
    assert!(happened.is_ok(), "{what} did not happen");
}
