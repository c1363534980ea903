//! The daemon's side of the bus, as told: it answers from a [`Script`], and records what it is asked.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::StreamExt;
use offload_client::{
    Kind, OverallState, Reason, Snapshot, Stage, TargetState, names,
    snapshot::{BuilderFacts, CacheFacts, CauseKind, Facts, HistoryEntry, RootCause, Target},
};
use tokio::sync::watch;
use zbus::{Connection, Message, MessageStream, ObjectPath, Variant, message::Type};

use super::{Bus, job};

type Properties<'a> = HashMap<&'a str, Variant<'a>>;

/// What the daemon is to say.
#[derive(Clone, Default)]
pub(crate) struct Script {
    /// What it knows.
    pub(crate) snapshot: Snapshot,
    /// What it will know after a check.
    pub(crate) after_check: Option<Snapshot>,
    /// What it will know after a search, and the objects that are found.
    pub(crate) after_discover: Option<(Snapshot, Vec<String>)>,
    /// The error of its every method but the reading ones.
    pub(crate) error: Option<&'static str>,
    /// Every target's history.
    pub(crate) history: Vec<HistoryEntry>,
    /// `Describe()`, where it is not the snapshot's JSON.
    pub(crate) describe: Option<String>,
    /// The test build that is or will be running.
    pub(crate) job: job::Job,
    /// The calls so far: `PATH Member(argument)`.
    pub(crate) calls: Vec<String>,
}

/// A daemon on a bus; gone when dropped.
pub(crate) struct Fake {
    pub(crate) connection: Connection,
    pub(crate) script: Arc<watch::Sender<Script>>,
}

impl Fake {
    /// Serves `snapshot` under the daemon's name.
    pub(crate) async fn start(bus: &Bus, snapshot: Snapshot) -> Self {
        let connection = bus.connect().await;
        let script = Arc::new(watch::Sender::new(Script {
            snapshot,
            ..Script::default()
        }));
        let calls = MessageStream::from(connection.clone());
        tokio::spawn(serve(connection.clone(), calls, script.clone()));
        connection.request_name(names::BUS_NAME).await.unwrap();
        Self { connection, script }
    }

    /// Makes `snapshot` what the daemon knows, and says so with `signals` signals.
    pub(crate) async fn change(&self, snapshot: Snapshot, signals: usize) {
        let state = snapshot.state.as_str();
        self.script.send_modify(|script| script.snapshot = snapshot);
        let changed: Properties<'_> = [("State", Variant::from(state))].into();
        let none: [&str; 0] = [];
        let signal = || {
            Message::signal(
                names::ROOT_PATH,
                "org.freedesktop.DBus.Properties",
                "PropertiesChanged",
            )
            .build(&(names::MANAGER, &changed, none.as_slice()))
            .unwrap()
        };
        let signals: Vec<Message> = (0..signals).map(|_| signal()).collect();
        self.connection.send_all(&signals).await.unwrap();
    }

    /// Waits until it was asked for `call`.
    pub(crate) async fn asked(&self, call: &str) {
        let mut script = self.script.subscribe();
        let asked = script.wait_for(|script| script.calls.iter().any(|c| c.ends_with(call)));
        tokio::time::timeout(Duration::from_secs(10), asked)
            .await
            .unwrap_or_else(|_| panic!("nobody called {call}"))
            .unwrap();
    }

    /// How often it was asked for the snapshot.
    pub(crate) fn reads(&self) -> usize {
        let script = self.script.borrow();
        script
            .calls
            .iter()
            .filter(|call| call.ends_with("Describe()"))
            .count()
    }

    /// Leaves the bus.
    pub(crate) async fn stop(self) {
        self.connection.close().await.unwrap();
    }
}

async fn serve(
    connection: Connection,
    mut calls: MessageStream,
    script: Arc<watch::Sender<Script>>,
) {
    while let Some(Ok(call)) = calls.next().await {
        if call.header().message_type() == Type::MethodCall {
            for message in answer(&call, &script) {
                // The caller may be gone by now, and so may the bus at the end of the test.
                let _ = connection.send(&message).await;
            }
        }
    }
}

/// The answer, and the signals that go with it.
fn answer(call: &Message, script: &watch::Sender<Script>) -> Vec<Message> {
    let header = call.header();
    let path = header.path().unwrap().to_string();
    let member = header.member().unwrap().to_string();
    let body = call.body();
    let argument = match header.signature().to_string_no_parens().as_str() {
        "t" => body.deserialize::<u64>().unwrap().to_string(),
        "u" => body.deserialize::<u32>().unwrap().to_string(),
        "a{sv}" => job::options(call),
        _ => String::new(),
    };
    script.send_modify(|script| script.calls.push(format!("{path} {member}({argument})")));
    let now = script.borrow().clone();
    let reply = Message::method_return(&header);
    let fails = now.error.filter(|_| {
        matches!(
            member.as_str(),
            "Check" | "Discover" | "Pause" | "Resume" | "GetHistory" | "TestBuild" | "Cancel"
        )
    });
    if let Some(error) = fails {
        let name = format!("{}.{error}", names::ERROR_PREFIX);
        let error = Message::error(&header, name.as_str());
        return vec![error.build(&"particulars").unwrap()];
    }
    if member == "TestBuild" {
        return job::start(call, script);
    }
    if path.contains("/job/") {
        return job::answer(call, script);
    }
    let reply = match member.as_str() {
        "Describe" => reply.build(
            &now.describe
                .unwrap_or_else(|| serde_json::to_string(&now.snapshot).unwrap()),
        ),
        "Check" => {
            if let Some(after) = now.after_check {
                script.send_modify(|script| script.snapshot = after);
            }
            reply.build(&"ready")
        }
        "Discover" => {
            let mut found = Vec::new();
            if let Some((after, paths)) = now.after_discover {
                script.send_modify(|script| script.snapshot = after);
                found = paths;
            }
            let path = |path| ObjectPath::try_from(path).unwrap();
            let found: Vec<ObjectPath<'_>> = found.into_iter().map(path).collect();
            reply.build(&found)
        }
        "GetHistory" => {
            let entries: Vec<(u64, &str, &str, u64)> = now
                .history
                .iter()
                .map(|e| {
                    (
                        e.timestamp,
                        e.state.as_str(),
                        e.reason.as_str(),
                        e.latency_usec,
                    )
                })
                .collect();
            reply.build(&entries)
        }
        "Pause" | "Resume" => reply.build(&()),
        "GetAll" => {
            let state = now.snapshot.state.as_str();
            let properties: Properties<'_> = [("State", Variant::from(state))].into();
            reply.build(&properties)
        }
        other => panic!("nobody should call {other}"),
    };
    vec![reply.unwrap()]
}

/// A cache and a builder, both ready.
pub(crate) fn ready() -> Snapshot {
    let cache = Target {
        name: "desktop".into(),
        kind: Kind::Cache,
        uri: "http://192.0.2.6:5000".into(),
        address: "192.0.2.6:5000".into(),
        state: TargetState::Ready,
        stage: Stage::CacheInfo,
        state_change_timestamp: 1_700_000_000_000_000,
        state_change_timestamp_monotonic: 42,
        last_check_timestamp: 1_700_000_001_000_000,
        last_success_timestamp: 1_700_000_001_000_000,
        next_check_timestamp: 1_700_000_031_000_000,
        latency_usec: 1_234,
        facts: Facts::Cache(CacheFacts {
            store_dir: "/nix/store".into(),
            want_mass_query: true,
            priority: 40,
            signing_key: "desktop-1".into(),
        }),
        ..Target::default()
    };
    let builder = Target {
        kind: Kind::Builder,
        uri: "ssh-ng://nix-builder@192.0.2.6".into(),
        address: "192.0.2.6:22".into(),
        stage: Stage::Auth,
        latency_usec: 18_400,
        facts: Facts::Builder(BuilderFacts {
            protocol: "ssh-ng".into(),
            systems: vec!["x86_64-linux".into(), "aarch64-linux".into()],
            features: vec!["kvm".into()],
            max_jobs: 8,
            speed_factor: 1.5,
            nix_version: "2.31.2".into(),
            trusted: "yes".into(),
            host_key_fingerprint: "SHA256:abc".into(),
        }),
        ..cache.clone()
    };
    Snapshot {
        describe_version: 1,
        version: "0.1.0".into(),
        state: OverallState::Ready,
        reason: Reason::None,
        builder_state: OverallState::Ready,
        cache_state: OverallState::Ready,
        state_change_timestamp: 1_700_000_000_000_000,
        state_change_timestamp_monotonic: 42,
        // Not in alphabetical order: Nix's order is not.
        targets: vec![cache, builder].into(),
        warnings: Vec::new(),
        ..Snapshot::default()
    }
}

/// The same with the builder down.
pub(crate) fn builder_down() -> Snapshot {
    let mut snapshot = ready();
    snapshot.state = OverallState::Degraded;
    snapshot.reason = Reason::Refused;
    snapshot.builder_state = OverallState::Offline;
    if let Some(builder) = snapshot.targets.iter_mut().last() {
        builder.state = TargetState::Down;
        builder.reason = Reason::Refused;
        builder.stage = Stage::Connect;
        builder.consecutive_failures = 3;
        builder
            .details
            .insert("error".into(), "Connection refused (os error 111)".into());
        let of_it = (builder.kind, builder.name.clone());
        snapshot.root_cause = Some(RootCause {
            kind: CauseKind::Reason,
            code: builder.reason.as_str().into(),
            target: Some(of_it.clone()),
            explains: vec![of_it],
        });
    }
    snapshot
}
