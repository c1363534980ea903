//! `offloadctl wait` and `offloadctl watch`, against a daemon that changes its mind.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{
    Bus,
    fake::{Fake, builder_down, ready},
    program::{LIMIT, collect, offloadctl, on, spawn},
};
use offload_client::{OverallState, Reason, Snapshot, TargetState};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    time::timeout,
};

#[tokio::test]
async fn wait_ends_when_it_is_ready() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, builder_down()).await;
    // This one is ready already.
    assert_eq!(offloadctl(&bus, &["wait", "cache/desktop"]).await.code, 0);

    let before = fake.reads();
    let waiting = spawn(on(&bus, &["wait", "builder/desktop"]));
    // When it reads for the second time it listens already.
    reads(&fake, before + 2).await;
    fake.change(ready(), 1).await;
    let run = collect(waiting).await;
    assert_eq!((run.code, run.stdout + &run.stderr), (0, String::new()));
}

#[tokio::test]
async fn wait_outlives_a_restart_of_the_daemon() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, builder_down()).await;
    let waiting = spawn(on(&bus, &["wait"]));
    reads(&fake, 2).await;
    fake.stop().await;
    let _fake = Fake::start(&bus, ready()).await;
    assert_eq!(collect(waiting).await.code, 0);
}

#[tokio::test]
async fn wait_gives_up_when_the_time_is_over() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, builder_down()).await;
    let run = offloadctl(&bus, &["wait", "--timeout", "100ms"]).await;
    assert_eq!(run.code, 3);
    assert_eq!(
        run.stderr,
        "offloadctl: not ready in time: builder/desktop is down, connection refused\n"
    );
    // Without a daemon there is nobody to become ready, and nobody who could come back.
    fake.stop().await;
    let run = offloadctl(&bus, &["wait", "--timeout", "100ms"]).await;
    assert_eq!(run.code, 4);
    let says = "offloadctl: offloadd is not running; ";
    assert!(run.stderr.starts_with(says), "{}", run.stderr);
    assert_eq!(offloadctl(&bus, &["wait"]).await.code, 4);
}

#[tokio::test]
async fn who_is_away_does_not_wait_but_a_network_may_be_coming_up() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, away(Reason::TimedOut)).await;
    let run = offloadctl(&bus, &["wait", "--any-builder", "--timeout", "5m"]).await;
    assert_eq!(run.code, 3);
    let said = "offloadctl: not waiting, this machine is away from it: builder/desktop is away";
    assert!(run.stderr.starts_with(said), "{}", run.stderr);

    fake.change(away(Reason::NoRoute), 1).await;
    let before = fake.reads();
    let waiting = spawn(on(&bus, &["wait", "--any-builder"]));
    reads(&fake, before + 2).await;
    fake.change(ready(), 1).await;
    assert_eq!(collect(waiting).await.code, 0);
}

#[tokio::test]
async fn the_status_of_a_daemon_that_has_only_just_started_waits_for_its_first_verdicts() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, yet_to_be_judged()).await;
    for (command, code) in [
        (&["status"][..], 0),
        (&["is-ready"], 0),
        (&["status", "--json"], 0),
    ] {
        fake.change(yet_to_be_judged(), 1).await;
        let before = fake.reads();
        let asking = spawn(on(&bus, command));
        reads(&fake, before + 2).await;
        fake.change(ready(), 1).await;
        let run = collect(asking).await;
        assert_eq!(run.code, code, "{command:?}: {run:?}");
    }
}

#[tokio::test]
async fn ctrl_c_ends_it_without_a_word() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, builder_down()).await;
    for command in ["wait", "watch"] {
        let before = fake.reads();
        let waiting = spawn(on(&bus, &[command]));
        reads(&fake, before + 1).await;
        let id = rustix::process::Pid::from_raw(waiting.id().unwrap() as i32).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
        let run = collect(waiting).await;
        assert_eq!((run.code, run.stderr.as_str()), (130, ""), "{command}");
    }
}

fn away(reason: Reason) -> Snapshot {
    let mut snapshot = ready();
    snapshot.state = OverallState::Away;
    for target in &mut snapshot.targets {
        (target.state, target.reason) = (TargetState::Away, reason);
    }
    snapshot
}

fn yet_to_be_judged() -> Snapshot {
    let mut snapshot = ready();
    snapshot.state = OverallState::Unknown;
    for target in &mut snapshot.targets {
        (target.state, target.last_check_timestamp) = (TargetState::Unknown, 0);
    }
    snapshot
}

#[tokio::test]
async fn watch_writes_a_line_for_each_change() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, ready()).await;
    let mut watching = spawn(on(&bus, &["watch"]));
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut line = async || {
        timeout(LIMIT, lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
    };
    assert!(line().await.starts_with("✔ ready: "));
    while !line().await.is_empty() {}
    assert!(line().await.contains("cache/desktop"));
    assert!(line().await.contains("builder/desktop"));
    assert_eq!(line().await, "");
    fake.change(builder_down(), 1).await;
    let change = line().await;
    assert!(
        change.ends_with("Z  ✗ builder/desktop: ready → down, connection refused (connect)"),
        "{change}"
    );
    assert!(line().await.ends_with("Z  ▲ overall: ready → degraded"));
    fake.stop().await;
    assert!(line().await.ends_with("? offloadd is not running"));
}

#[tokio::test]
async fn watch_writes_json_lines_and_null_without_a_daemon() {
    let bus = Bus::start().await;
    let mut watching = spawn(on(&bus, &["watch", "--json"]));
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut line = async || {
        timeout(LIMIT, lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
    };
    assert_eq!(line().await, "null");
    let _fake = Fake::start(&bus, ready()).await;
    let snapshot: Snapshot = serde_json::from_str(&line().await).unwrap();
    assert_eq!(snapshot, ready());
}

#[tokio::test]
async fn watch_goes_on_through_restarts_of_daemon_and_bus() {
    let mut bus = Bus::start().await;
    let fake = Fake::start(&bus, ready()).await;
    let mut watching = spawn(on(&bus, &["watch", "--json"]));
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut line = async || {
        let line = timeout(LIMIT, lines.next_line()).await;
        serde_json::from_str::<Option<Snapshot>>(&line.unwrap().unwrap().unwrap()).unwrap()
    };
    assert_eq!(line().await, Some(ready()));
    fake.stop().await;
    assert_eq!(line().await, None);
    bus.stop().await;
    bus.start_again().await;
    let _fake = Fake::start(&bus, builder_down()).await;
    assert_eq!(line().await, Some(builder_down()));
    bus.stop().await;
    assert_eq!(line().await, None);
    bus.start_again().await;
    let _fake = Fake::start(&bus, ready()).await;
    assert_eq!(line().await, Some(ready()));
}

#[tokio::test]
async fn watch_ends_when_its_reader_does() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, ready()).await;
    let mut watching = spawn(on(&bus, &["watch", "--json"]));
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    timeout(LIMIT, lines.next_line()).await.unwrap().unwrap();
    // Nothing changes any more, and nobody reads.
    drop(lines);
    let run = collect(watching).await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
}

/// Waits until the daemon was read so often.
async fn reads(fake: &Fake, count: usize) {
    let mut script = fake.script.subscribe();
    let enough = script.wait_for(|_| fake.reads() >= count);
    assert!(timeout(LIMIT, enough).await.is_ok(), "it was not read");
}

#[tokio::test]
async fn watch_waits_for_a_bus_that_starts_later() {
    let mut bus = Bus::start().await;
    bus.stop().await;
    let (mut people, mut programs) = (
        spawn(on(&bus, &["watch"])),
        spawn(on(&bus, &["watch", "--json"])),
    );
    let mut page = BufReader::new(people.stdout.take().unwrap()).lines();
    let mut lines = BufReader::new(programs.stdout.take().unwrap()).lines();
    let first = timeout(LIMIT, page.next_line()).await.unwrap().unwrap();
    assert!(first.unwrap().ends_with("? offloadd is not running"));
    let first = timeout(LIMIT, lines.next_line()).await.unwrap().unwrap();
    assert_eq!(first.unwrap(), "null");
    bus.start_again().await;
    let _fake = Fake::start(&bus, ready()).await;
    let came = timeout(LIMIT, page.next_line()).await.unwrap().unwrap();
    assert!(came.unwrap().ends_with("offloadd is running"));
    let came = timeout(LIMIT, lines.next_line()).await.unwrap().unwrap();
    let now: Snapshot = serde_json::from_str(&came.unwrap()).unwrap();
    assert_eq!(now.state, OverallState::Ready);
}
