//! What the bus carries arrives whole, and is followed without polling.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{
    Bus,
    fake::{Fake, builder_down, ready},
};
use futures_util::{FutureExt, Stream, StreamExt};
use offload_client::{
    Bus as Place, Client, ClientError, Kind, OverallState, Reason, Snapshot, TargetState,
    WarningCode,
    errors::BusError,
    names,
    snapshot::{Detail, Facts, HistoryEntry, Target, Warning},
};
use tokio::time::timeout;

#[tokio::test]
async fn one_look_carries_the_whole_snapshot() {
    let mut snapshot = builder_down();
    snapshot.targets[0].details = [
        ("yes".into(), Detail::Bool(true)),
        ("count".into(), Detail::Uint(u64::MAX)),
        ("part".into(), Detail::Float(0.5)),
        ("text".into(), Detail::Text("é".into())),
        ("list".into(), Detail::List(vec!["a".into(), "b".into()])),
    ]
    .into();
    snapshot.warnings = vec![
        Warning {
            code: WarningCode::MachinesFileBroken,
            target: None,
            details: [("line".into(), Detail::Uint(3))].into(),
        },
        Warning {
            code: WarningCode::SshOptionIgnored,
            target: Some((Kind::Builder, "desktop".into())),
            details: Default::default(),
        },
    ];
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, snapshot.clone()).await;
    let read = client(&bus).snapshot().await.unwrap();
    assert_eq!(read, snapshot);
    assert_eq!(fake.reads(), 1);
}

#[test]
fn what_a_newer_or_older_daemon_says_is_read_as_far_as_it_goes() {
    // Words and keys of the future, and next to nothing of what is known today.
    let json = r#"{"state": "sideways", "mood": "fine", "targets": [
        {"kind": "cache", "name": "a-b", "state": "ready", "reason": "tired", "facts": {"cache": {"weight": 1}}},
        {"kind": "builder", "name": "x", "facts": {"builder": {"max_jobs": 3}}}]}"#;
    let snapshot = serde_json::from_str::<Snapshot>(json).unwrap();
    assert_eq!(snapshot.state, OverallState::Unknown);
    let labels: Vec<String> = snapshot.targets.iter().map(Target::label).collect();
    assert_eq!(labels, ["cache/a-b", "builder/x"]);
    assert!(snapshot.targets[0].state.is_ready());
    assert_eq!(snapshot.targets[0].reason, Reason::None);
    assert!(matches!(&snapshot.targets[1].facts, Facts::Builder(facts) if facts.max_jobs == 3));
}

#[tokio::test]
async fn every_change_arrives_and_nothing_else_does() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, ready()).await;
    let mut updates = client(&bus).watch();
    assert_eq!(next(&mut updates).await, Some(ready()));

    // A signal without a change that matters: it is looked at, and nobody is told.
    let mut checked = ready();
    checked.targets[0].latency_usec = 9_999;
    checked.targets[0].last_check_timestamp += 1;
    let reads = fake.reads();
    fake.change(checked, 1).await;
    let mut script = fake.script.subscribe();
    script
        .wait_for(|script| script.calls.len() > reads)
        .await
        .unwrap();

    fake.change(builder_down(), 1).await;
    assert_eq!(next(&mut updates).await, Some(builder_down()));
    assert_eq!(updates.next().now_or_never(), None);
}

#[tokio::test]
async fn signals_that_come_together_are_read_together() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, ready()).await;
    let mut updates = client(&bus).watch();
    assert_eq!(next(&mut updates).await, Some(ready()));
    // Many more than the queue of a match rule holds: nobody polls the stream meanwhile.
    fake.change(builder_down(), 300).await;
    assert_eq!(next(&mut updates).await, Some(builder_down()));
    fake.change(ready(), 1).await;
    assert_eq!(next(&mut updates).await, Some(ready()));
    assert!(fake.reads() < 100, "{} reads", fake.reads());
}

#[tokio::test]
async fn the_daemon_is_followed_across_a_restart() {
    let bus = Bus::start().await;
    let mut updates = client(&bus).watch();
    assert_eq!(next(&mut updates).await, None);
    let fake = Fake::start(&bus, ready()).await;
    assert_eq!(next(&mut updates).await, Some(ready()));
    fake.stop().await;
    assert_eq!(next(&mut updates).await, None);
    let _fake = Fake::start(&bus, builder_down()).await;
    assert_eq!(next(&mut updates).await, Some(builder_down()));
}

#[tokio::test]
async fn the_bus_is_followed_across_a_restart_and_may_be_yet_to_come() {
    let mut bus = Bus::start().await;
    bus.stop().await;
    let client = client(&bus);
    assert!(client.snapshot().await.unwrap_err().is_no_daemon());
    let mut updates = client.watch();
    assert_eq!(next(&mut updates).await, None);
    for snapshot in [ready(), builder_down()] {
        bus.start_again().await;
        let _fake = Fake::start(&bus, snapshot.clone()).await;
        assert_eq!(next(&mut updates).await, Some(snapshot.clone()));
        // A call goes the same way as what is watched.
        assert_eq!(client.snapshot().await.unwrap(), snapshot);
        assert!(client.has_bus());
        bus.stop().await;
        assert_eq!(next(&mut updates).await, None);
        assert!(!client.has_bus());
    }
}

#[tokio::test]
async fn who_watches_starts_no_daemon() {
    let started = tempfile::NamedTempFile::new().unwrap();
    let program = format!("/bin/rm {}", started.path().display());
    let bus = Bus::with_activation(&program).await;
    let client = client(&bus);
    assert_eq!(next(&mut client.watch()).await, None);
    assert!(
        client
            .snapshot_if_running()
            .await
            .unwrap_err()
            .is_no_daemon()
    );
    assert!(started.path().exists());
    // One that asks does.
    client.snapshot().await.unwrap_err();
    assert!(!started.path().exists());
}

#[tokio::test]
async fn what_is_asked_arrives_typed() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, ready()).await;
    let entry = HistoryEntry {
        timestamp: 7,
        state: TargetState::Down,
        reason: Reason::Refused,
        latency_usec: 0,
    };
    let mut found = ready();
    found.reason = Reason::Refused;
    fake.script.send_modify(|script| {
        script.history = vec![entry.clone()];
        script.after_discover = Some((found.clone(), vec!["/x".to_owned()]));
    });
    let client = client(&bus);
    let target = client.snapshot().await.unwrap().targets[1].clone();
    assert_eq!(client.check().await.unwrap(), OverallState::Ready);
    assert_eq!(
        client.check_target(&target).await.unwrap(),
        TargetState::Ready
    );
    assert_eq!(client.history(&target, 5).await.unwrap(), [entry]);
    assert_eq!(
        client.discover().await.unwrap(),
        (found, vec!["/x".to_owned()])
    );
    client.pause(Some(Duration::from_millis(3))).await.unwrap();
    client.resume().await.unwrap();
    let calls = fake.script.borrow().calls.clone();
    let root = names::ROOT_PATH;
    let calls: Vec<&str> = calls
        .iter()
        .filter_map(|call| call.strip_prefix(root))
        .collect();
    assert_eq!(
        calls,
        [
            " Describe()",
            " Check()",
            "/builder/desktop Check()",
            "/builder/desktop GetHistory(5)",
            " Discover()",
            " Describe()",
            " Pause(3000)",
            " Resume()"
        ]
    );
    fake.script
        .send_modify(|script| script.error = Some("Busy"));
    let error = client.check().await.unwrap_err();
    assert!(
        matches!(error, ClientError::Bus(BusError::Busy(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_stream_ends_with_the_connection() {
    let bus = Bus::start().await;
    let mut updates = Client::from(bus.connect().await).watch();
    assert_eq!(next(&mut updates).await, None);
    drop(bus);
    let end = timeout(Duration::from_secs(10), updates.next()).await;
    assert_eq!(end.unwrap(), None);
}

fn client(bus: &Bus) -> Client {
    Client::on(Some(Place::Address(bus.address.clone())))
}

async fn next(updates: &mut (impl Stream<Item = Option<Snapshot>> + Unpin)) -> Option<Snapshot> {
    timeout(Duration::from_secs(10), updates.next())
        .await
        .expect_news()
}

trait ExpectNews<T> {
    fn expect_news(self) -> T;
}

impl<T> ExpectNews<T> for Result<Option<T>, tokio::time::error::Elapsed> {
    fn expect_news(self) -> T {
        match self {
            Ok(Some(news)) => news,
            Ok(None) => panic!("the stream ended"),
            Err(_) => panic!("no news came"),
        }
    }
}
