//! What may be asked of the daemon: checks, history, pauses.

use std::time::Duration;

use futures_util::future::join_all;
use offload_client::{Kind, OverallState, proxy::ManagerProxy, snapshot::Target};
use offload_tests::{Desktop, Laptop, eventually};

const PATIENCE: Duration = Duration::from_secs(20);
/// Only the checks that are asked for are made.
const ON_DEMAND: &str = "[poll]\n\
                         interval = \"60s\"\n\
                         fast_interval = \"60s\"\n\
                         timeout = \"15s\"\n\
                         deep_timeout = \"15s\"\n";

struct Desk {
    laptop: Laptop,
    cache: Target,
    builder: Target,
    desktop: Desktop,
}

impl Desk {
    async fn start(config: &str) -> Self {
        let desktop = Desktop::start().await.unwrap();
        let laptop = desktop.watched(config).await.unwrap();
        Self {
            cache: laptop.the(Kind::Cache).await.unwrap(),
            builder: laptop.the(Kind::Builder).await.unwrap(),
            laptop,
            desktop,
        }
    }

    /// Checks of the cache and of the builder so far.
    fn checks(&self) -> (usize, usize) {
        let Self {
            laptop,
            cache,
            builder,
            ..
        } = self;
        (laptop.checks(cache), laptop.checks(builder))
    }
}

#[tokio::test]
async fn callers_who_come_together_share_one_check() {
    let desk = Desk::start(ON_DEMAND).await;
    let object = desk.laptop.target(&desk.builder).await.unwrap();
    let manager = desk.laptop.manager().await.unwrap();
    let (of_cache, of_builder) = desk.checks();

    // The builder keeps the check waiting until everybody has asked.
    desk.desktop.sshd.freeze().unwrap();
    let some = join_all((0..10).map(|_| object.check()));
    let others = join_all((0..10).map(|_| manager.check()));
    let release = async {
        // What was sent before a question on the same connection is read before it.
        desk.laptop.snapshot().await.unwrap();
        let waiting = eventually(PATIENCE, "the cache was checked", async || {
            (desk.checks().0 > of_cache).then_some(())
        });
        waiting.await.unwrap();
        assert_eq!(desk.checks(), (of_cache + 1, of_builder));
        desk.desktop.sshd.thaw().unwrap();
    };
    let (some, others, ()) = tokio::join!(some, others, release);
    for answer in some.into_iter().chain(others) {
        assert_eq!(answer.unwrap(), "ready");
    }
    assert_eq!(desk.checks(), (of_cache + 1, of_builder + 1));
}

#[tokio::test]
async fn who_asks_often_shares_the_next_check_and_nobody_is_refused() {
    let desk = Desk::start(ON_DEMAND).await;
    let object = desk.laptop.target(&desk.cache).await.unwrap();
    let (of_cache, of_builder) = desk.checks();
    for _ in 0..5 {
        assert_eq!(object.check().await.unwrap(), "ready");
    }
    assert_eq!(desk.checks().0, of_cache + 5);

    // Somebody else among them, and a round.
    let others = desk.laptop.bus.connect().await.unwrap();
    let manager = ManagerProxy::new(&others).await.unwrap();
    let storm = join_all((0..30).map(|_| object.check()));
    let (storm, round) = tokio::join!(storm, manager.check());
    for answer in storm {
        assert_eq!(answer.unwrap(), "ready");
    }
    assert_eq!(round.unwrap(), "ready");
    assert_eq!(desk.checks(), (of_cache + 6, of_builder + 1));
}

#[tokio::test]
async fn the_history_has_the_last_changes_newest_first() {
    let mut desk = Desk::start(ON_DEMAND).await;
    let object = desk.laptop.target(&desk.cache).await.unwrap();
    desk.desktop.nginx.stop();
    assert_eq!(object.check().await.unwrap(), "down");
    desk.desktop.nginx.restart().await.unwrap();
    object.check().await.unwrap();
    object.check().await.unwrap();

    let history = object.get_history(10).await.unwrap();
    let words: Vec<_> = history.iter().map(|entry| (&*entry.1, &*entry.2)).collect();
    assert_eq!(words, [("ready", ""), ("down", "refused"), ("ready", "")]);
    assert!(
        history.is_sorted_by(|newer, older| newer.0 >= older.0),
        "{history:?}"
    );
    let now = desk.laptop.the(Kind::Cache).await.unwrap();
    assert_eq!(history[0].0, now.state_change_timestamp);
    assert!(history[0].3 > 0, "the check that led to it took some time");
    assert_eq!(object.get_history(2).await.unwrap(), history[..2]);
    assert_eq!(object.get_history(0).await.unwrap(), []);

    let printed = desk
        .laptop
        .offloadctl(&["history", "cache/127.0.15.6"])
        .await
        .unwrap();
    assert_eq!(printed.code, 0, "{printed:?}");
    assert!(
        printed.stdout.contains("connection refused"),
        "{}",
        printed.stdout
    );
}

#[tokio::test]
async fn while_it_is_paused_nothing_is_probed_and_a_pause_ends_by_itself() {
    let poll = "[poll]\n\
                interval = \"300ms\"\n\
                fast_interval = \"300ms\"\n\
                timeout = \"300ms\"\n\
                fall = 10\n";
    let mut desk = Desk::start(poll).await;
    let manager = desk.laptop.manager().await.unwrap();
    desk.laptop.signals.rest().await.unwrap();

    // Long enough for half a dozen checks of each.
    let pause = Duration::from_secs(2);
    manager.pause(pause.as_micros() as u64).await.unwrap();
    desk.laptop
        .signals
        .until_verdict(PATIENCE, "paused")
        .await
        .unwrap();
    let (checks, requests) = (desk.checks().0, desk.desktop.nginx.requests());
    let paused = desk.laptop.snapshot().await.unwrap();
    assert_eq!(paused.builder_state, OverallState::Paused);
    for target in &paused.targets {
        assert_eq!(
            (target.state.as_str(), target.reason.as_str()),
            ("paused", "paused")
        );
        assert_eq!(target.next_check_timestamp, 0);
    }
    // Who asks is answered with what is: nobody looks.
    assert_eq!(manager.check().await.unwrap(), "paused");

    let resumed = desk.laptop.until_ready().await.unwrap();
    let lasted = resumed.state_change_timestamp - paused.state_change_timestamp;
    assert!(
        u128::from(lasted) >= pause.as_micros(),
        "it lasted {lasted} µs"
    );
    // Not one check between the first line of the pause and the first of its end.
    let log = desk.laptop.daemon.log();
    let lines: Vec<&str> = log.lines().collect();
    let first = |part: &str| lines.iter().position(|line| line.contains(part)).unwrap();
    let during = &lines[first(" is paused")..first(" is unknown")];
    assert!(
        !during.iter().any(|line| line.contains("checked")),
        "{during:?}"
    );
    // One that was aborted may still have reached the cache.
    assert!(desk.desktop.nginx.requests() - requests <= desk.checks().0 - checks + 1);
}

#[tokio::test]
async fn a_pause_without_an_end_ends_when_somebody_resumes() {
    let desk = Desk::start(ON_DEMAND).await;
    let before = desk.checks();
    let paused = desk.laptop.offloadctl(&["pause"]).await.unwrap();
    assert_eq!(paused.code, 0, "{paused:?}");
    let status = desk.laptop.offloadctl(&[]).await.unwrap();
    assert_eq!(status.code, 3, "{status:?}");
    assert!(
        status.stdout.contains("offloadctl resume"),
        "{}",
        status.stdout
    );
    assert_eq!(desk.checks(), before);

    if rustix::process::geteuid().is_root() {
        let stranger = desk.laptop.bus.ask_as_stranger(
            "org.offloadd.Offload1",
            "org.offloadd.Offload1.Manager.Resume",
            &[],
        );
        let refused = stranger.await.unwrap_err().to_string();
        assert!(
            refused.contains("org.offloadd.Offload1.Error.NotAuthorized"),
            "{refused}"
        );
        let state = desk.laptop.snapshot().await.unwrap().state;
        assert_eq!(state, OverallState::Paused);
    }

    assert_eq!(desk.laptop.offloadctl(&["resume"]).await.unwrap().code, 0);
    desk.laptop.until_ready().await.unwrap();
    assert_eq!(desk.checks(), (before.0 + 1, before.1 + 1));
}
