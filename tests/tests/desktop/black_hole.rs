//! Silence is no answer: only `fall` silent checks in a row make a desktop down.

use std::{net::SocketAddrV4, time::Duration};

use offload_client::{Kind, Reason, TargetState, snapshot::Target};
use offload_tests::{Desktop, Laptop, Namespace, eventually, supported};

const PATIENCE: Duration = Duration::from_secs(20);

struct Desk {
    laptop: Laptop,
    network: Namespace,
    _desktop: Desktop,
}

impl Desk {
    /// A laptop and a desktop with a cable between them; `None` where this user may not lay one.
    async fn start(config: &str) -> Option<Self> {
        let network = supported(Namespace::new())?;
        let desktop = Desktop::start_inside(&network, Namespace::DESKTOP).await;
        let desktop = desktop.unwrap();
        let mut laptop = desktop.watched(config).await.unwrap();
        laptop.signals.rest().await.unwrap();
        Some(Self {
            laptop,
            network,
            _desktop: desktop,
        })
    }
}

#[tokio::test]
async fn silence_is_down_after_exactly_fall_checks_and_not_before() {
    // Only the checks that are asked for are made.
    let poll = "[poll]\n\
                interval = \"60s\"\n\
                fast_interval = \"60s\"\n\
                timeout = \"300ms\"\n\
                fall = 4\n";
    let Some(mut desk) = Desk::start(poll).await else {
        return;
    };
    desk.network.black_hole(Namespace::DESKTOP).unwrap();
    for kind in [Kind::Cache, Kind::Builder] {
        let target = desk.laptop.the(kind).await.unwrap();
        let object = desk.laptop.target(&target).await.unwrap();
        for failed in 1..=3 {
            assert_eq!(object.check().await.unwrap(), "ready", "{kind}, {failed}");
            assert_eq!(object.reason().await.unwrap(), "");
            assert_eq!(object.consecutive_failures().await.unwrap(), failed);
        }
        assert_eq!(object.check().await.unwrap(), "down", "{kind}");
        assert_eq!(object.reason().await.unwrap(), "timed-out");
        assert_eq!(object.stage().await.unwrap(), "connect");
        assert_eq!(object.consecutive_failures().await.unwrap(), 4);
        let history = object.get_history(10).await.unwrap();
        let states: Vec<&str> = history.iter().map(|entry| entry.1.as_str()).collect();
        assert_eq!(states, ["down", "ready"]);
    }
    desk.laptop
        .signals
        .until_verdict(PATIENCE, "offline")
        .await
        .unwrap();

    desk.network.restore(Namespace::DESKTOP).unwrap();
    let cache = desk.laptop.the(Kind::Cache).await.unwrap();
    // Four questions were asked of it: the fifth is free.
    let object = desk.laptop.target(&cache).await.unwrap();
    assert_eq!(object.check().await.unwrap(), "down");
    assert_eq!(object.reason().await.unwrap(), "timed-out");
    assert_eq!(object.consecutive_failures().await.unwrap(), 0);
}

#[tokio::test]
async fn silence_is_noticed_without_being_asked_and_so_is_its_end() {
    let poll = "[poll]\n\
                interval = \"500ms\"\n\
                fast_interval = \"100ms\"\n\
                down_max_interval = \"500ms\"\n\
                timeout = \"200ms\"\n";
    let Some(mut desk) = Desk::start(poll).await else {
        return;
    };
    let ready = desk.laptop.snapshot().await.unwrap();
    let silent = |target: &Target| {
        let path = target.path();
        move |signal: &offload_tests::signals::Signal| signal.sets(&path, "State", "down")
    };

    desk.network.black_hole(Namespace::DESKTOP).unwrap();
    let builder = &ready.targets[1];
    let signals = desk
        .laptop
        .signals
        .until(PATIENCE, "it is down", silent(builder));
    let signals = signals.await.unwrap();
    let now = desk.laptop.the(Kind::Builder).await.unwrap();
    assert_eq!(
        (now.state, now.reason),
        (TargetState::Down, Reason::TimedOut)
    );
    // The check after the deciding one is half a second away.
    assert_eq!(now.consecutive_failures, 3);
    // Until then it was ready, and nothing else was ever said.
    let said: Vec<_> = signals
        .iter()
        .filter_map(|s| s.value(&builder.path(), "State"))
        .collect();
    assert_eq!(said, ["down"]);

    desk.network.restore(Namespace::DESKTOP).unwrap();
    desk.laptop.until_ready().await.unwrap();
}

#[tokio::test]
async fn a_connection_whose_packets_are_dropped_is_given_up_by_the_first_check() {
    // A cheap check, which goes by the kept connection, and then no other for a long time.
    let poll = "[poll]\n\
                interval = \"2s\"\n\
                fast_interval = \"2s\"\n\
                timeout = \"300ms\"\n\
                fall = 10\n";
    let Some(desk) = Desk::start(poll).await else {
        return;
    };
    let sshd = SocketAddrV4::new(Namespace::DESKTOP, 2222);
    let open = || desk.laptop.daemon.connections_to(sshd).unwrap();
    let kept = open();
    assert_eq!(kept.len(), 1, "{kept:?}");

    desk.network.black_hole(Namespace::DESKTOP).unwrap();
    eventually(PATIENCE, "it is given up", async || {
        open().is_empty().then_some(())
    })
    .await
    .unwrap();
    let builder = desk.laptop.the(Kind::Builder).await.unwrap();
    assert_eq!(builder.state, TargetState::Ready, "{builder:#?}");

    desk.network.restore(Namespace::DESKTOP).unwrap();
    eventually(PATIENCE, "there is another", async || {
        (open().len() == 1).then_some(())
    })
    .await
    .unwrap();
    assert_ne!(open(), kept);
}
