//! `offloadctl hold` and `offloadctl wait --any-builder`, against a daemon that changes its mind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{
    Bus,
    fake::{Fake, builder_down, ready},
    program::{LIMIT, collect, offloadctl, on, spawn},
};
use offload_client::{Snapshot, TargetState};
use tokio::{
    net::UnixDatagram,
    process::{Child, Command},
    time::timeout,
};

/// The socket of a service manager.
struct Manager(UnixDatagram);

impl Manager {
    fn listen(bus: &Bus, command: &mut Command) -> Self {
        let path = bus.dir.path().join("notify");
        command.env("NOTIFY_SOCKET", &path);
        Self(UnixDatagram::bind(path).unwrap())
    }

    /// The next message.
    async fn message(&self) -> String {
        let mut buffer = [0; 4096];
        let read = timeout(LIMIT, self.0.recv(&mut buffer));
        let read = read.await.expect("nothing was told").unwrap();
        String::from_utf8(buffer[..read].to_vec()).unwrap()
    }

    /// Reads on until a message with `part` comes; the messages until then.
    async fn until(&self, part: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let message = self.message().await;
            if message.contains(part) {
                return before;
            }
            before.push(message);
        }
    }

    /// What came and was not read.
    fn rest(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let mut rest = Vec::new();
        while let Ok(read) = self.0.try_recv(&mut buffer) {
            rest.push(String::from_utf8(buffer[..read].to_vec()).unwrap());
        }
        rest
    }
}

/// Everything down but for one thing.
fn only(what: &str) -> Snapshot {
    let mut snapshot = builder_down();
    for target in snapshot.targets.iter_mut() {
        target.state = if target.label() == what {
            TargetState::Ready
        } else {
            TargetState::Down
        };
    }
    snapshot
}

fn terminate(child: &Child) {
    let id = rustix::process::Pid::from_raw(child.id().unwrap() as i32).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
}

#[tokio::test]
async fn hold_is_ready_while_a_builder_is_and_ends_with_3_when_none_is() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, builder_down()).await;
    let mut command = on(&bus, &["hold"]);
    let manager = Manager::listen(&bus, &mut command);
    let holding = spawn(command);
    assert_eq!(
        manager.message().await,
        "STATUS=waiting: builder/desktop is down, connection refused\n"
    );
    // A cache alone is nothing to build on.
    fake.change(only("cache/desktop"), 1).await;
    fake.change(only("builder/desktop"), 1).await;
    let before = manager.until("READY=1").await;
    assert!(
        before
            .iter()
            .all(|told| told.starts_with("STATUS=waiting: ")),
        "{before:?}"
    );
    fake.change(builder_down(), 1).await;
    let run = collect(holding).await;
    assert_eq!((run.code, run.stdout.as_str()), (3, ""));
    assert_eq!(
        run.stderr,
        "offloadctl: no longer ready: builder/desktop is down, connection refused\n"
    );
    let last = manager.rest().pop().unwrap();
    assert_eq!(
        last,
        "STOPPING=1\nSTATUS=builder/desktop is down, connection refused\n"
    );
}

#[tokio::test]
async fn hold_of_a_target_looks_at_nothing_else() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, only("cache/desktop")).await;
    let mut command = on(&bus, &["hold", "cache/desktop"]);
    let manager = Manager::listen(&bus, &mut command);
    let holding = spawn(command);
    assert_eq!(
        manager.message().await,
        "READY=1\nSTATUS=cache/desktop is ready\n"
    );
    fake.change(only("builder/desktop"), 1).await;
    assert_eq!(collect(holding).await.code, 3);

    let run = offloadctl(&bus, &["hold", "laptop"]).await;
    assert_eq!(run.code, 64);
    assert!(run.stderr.contains("no target called laptop"));
}

#[tokio::test]
async fn hold_outlives_a_restart_of_the_daemon() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, ready()).await;
    let mut command = on(&bus, &["hold"]);
    let manager = Manager::listen(&bus, &mut command);
    let holding = spawn(command);
    manager.until("READY=1").await;
    fake.stop().await;
    manager
        .until("STATUS=holding on for 10 s: offloadd is not running")
        .await;
    // As a daemon is that has just started.
    let mut unjudged = ready();
    for target in unjudged.targets.iter_mut() {
        target.state = TargetState::Unknown;
    }
    let fake = Fake::start(&bus, unjudged).await;
    manager
        .until("STATUS=holding on for 10 s: builder/desktop is unknown")
        .await;
    fake.change(ready(), 1).await;
    manager.until("STATUS=builder/desktop is ready").await;
    // It goes on.
    fake.change(builder_down(), 1).await;
    assert_eq!(collect(holding).await.code, 3);
}

#[tokio::test]
async fn hold_outlives_a_restart_of_the_bus() {
    let mut bus = Bus::start().await;
    let _fake = Fake::start(&bus, ready()).await;
    let mut command = on(&bus, &["hold"]);
    let manager = Manager::listen(&bus, &mut command);
    let holding = spawn(command);
    manager.until("READY=1").await;
    bus.stop().await;
    manager
        .until("STATUS=holding on for 10 s: offloadd is not running")
        .await;
    bus.start_again().await;
    let fake = Fake::start(&bus, ready()).await;
    manager.until("STATUS=builder/desktop is ready").await;
    fake.change(builder_down(), 1).await;
    assert_eq!(collect(holding).await.code, 3);
}

#[tokio::test]
async fn hold_waits_for_a_bus_that_starts_later() {
    let mut bus = Bus::start().await;
    bus.stop().await;
    let mut command = on(&bus, &["hold"]);
    let manager = Manager::listen(&bus, &mut command);
    let holding = spawn(command);
    manager
        .until("STATUS=waiting: offloadd is not running")
        .await;
    bus.start_again().await;
    let fake = Fake::start(&bus, ready()).await;
    manager.until("READY=1").await;
    fake.change(builder_down(), 1).await;
    assert_eq!(collect(holding).await.code, 3);
}

#[tokio::test]
async fn wait_with_a_limit_waits_for_a_bus_too() {
    let mut bus = Bus::start().await;
    bus.stop().await;
    let waiting = spawn(on(&bus, &["wait", "--any-builder", "--timeout", "1min"]));
    bus.start_again().await;
    let _fake = Fake::start(&bus, ready()).await;
    assert_eq!(collect(waiting).await.code, 0);
    bus.stop().await;
    let run = offloadctl(&bus, &["wait", "--any-builder", "--timeout", "10ms"]).await;
    assert_eq!(run.code, 4, "{run:?}");
}

#[tokio::test]
async fn sigterm_ends_hold_with_0_whether_it_waits_or_holds() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, builder_down()).await;
    for (snapshot, told) in [(builder_down(), "waiting"), (ready(), "READY=1")] {
        fake.change(snapshot, 1).await;
        let mut command = on(&bus, &["hold"]);
        let manager = Manager::listen(&bus, &mut command);
        let holding = spawn(command);
        manager.until(told).await;
        terminate(&holding);
        let run = collect(holding).await;
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{told}");
        assert_eq!(manager.rest(), ["STOPPING=1\n"]);
        std::fs::remove_file(bus.dir.path().join("notify")).unwrap();
    }
}

#[tokio::test]
async fn wait_for_any_builder_asks_for_nothing_more() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, only("builder/desktop")).await;
    let run = offloadctl(&bus, &["wait", "--any-builder"]).await;
    assert_eq!((run.code, run.stdout + &run.stderr), (0, String::new()));

    fake.change(only("cache/desktop"), 1).await;
    let run = offloadctl(&bus, &["wait", "--any-builder", "--timeout", "100ms"]).await;
    assert_eq!(run.code, 3);
    assert!(
        run.stderr
            .starts_with("offloadctl: not ready in time: builder/desktop is down"),
        "{}",
        run.stderr
    );
    fake.change(Snapshot::default(), 1).await;
    let run = offloadctl(&bus, &["wait", "--any-builder", "--timeout", "100ms"]).await;
    assert!(
        run.stderr.ends_with("no builder is watched\n"),
        "{}",
        run.stderr
    );
    let run = offloadctl(&bus, &["wait", "desktop", "--any-builder"]).await;
    assert_eq!(run.code, 64);
}
