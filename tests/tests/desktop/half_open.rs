//! A desktop that stops in its tracks leaves connections that nobody answers on: they are given up.

use std::{net::SocketAddr, time::Duration};

use offload_client::{Kind, Reason, Stage, TargetState, snapshot::Target};
use offload_tests::{Desktop, Laptop, eventually, sshd::RemoteNix};

const PATIENCE: Duration = Duration::from_secs(20);
/// Only the checks that are asked for are made.
const ON_DEMAND: &str = "[poll]\n\
                         interval = \"60s\"\n\
                         fast_interval = \"60s\"\n\
                         timeout = \"1s\"\n\
                         deep_timeout = \"3s\"\n\
                         rise = 1\n";

struct Desk {
    laptop: Laptop,
    builder: Target,
    desktop: Desktop,
}

impl Desk {
    async fn start(config: &str) -> Self {
        let desktop = Desktop::start().await.unwrap();
        let laptop = desktop.watched(config).await.unwrap();
        Self {
            builder: laptop.the(Kind::Builder).await.unwrap(),
            laptop,
            desktop,
        }
    }

    async fn check(&self) -> String {
        let object = self.laptop.target(&self.builder).await.unwrap();
        let checked = tokio::time::timeout(PATIENCE, object.check());
        checked.await.unwrap().unwrap()
    }

    /// The daemon's connections to sshd.
    fn open(&self) -> Vec<String> {
        let SocketAddr::V4(sshd) = self.desktop.sshd.address() else {
            panic!("{}", self.desktop.sshd.address());
        };
        self.laptop.daemon.connections_to(sshd).unwrap()
    }

    async fn none_is_open(&self) {
        eventually(PATIENCE, "no connection is open", async || {
            self.open().is_empty().then_some(())
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn a_frozen_builder_is_noticed_within_fall_checks_and_its_connection_given_up() {
    let desk = Desk::start(&format!("{ON_DEMAND}fall = 3\n")).await;
    let kept = desk.open();
    assert_eq!(kept.len(), 1, "{kept:?}");

    desk.desktop.sshd.freeze().unwrap();
    for _ in 1..3 {
        assert_eq!(desk.check().await, "ready");
        desk.none_is_open().await;
    }
    assert_eq!(desk.check().await, "down");
    desk.none_is_open().await;
    let builder = desk.laptop.the(Kind::Builder).await.unwrap();
    assert_eq!(
        (builder.reason, builder.stage),
        (Reason::TimedOut, Stage::Banner)
    );

    desk.desktop.sshd.thaw().unwrap();
    assert_eq!(desk.check().await, "ready");
    let anew = desk.open();
    assert_eq!(anew.len(), 1, "{anew:?}");
    assert_ne!(anew, kept);
}

#[tokio::test]
async fn a_cheap_check_notices_a_frozen_builder_without_being_asked() {
    let poll = "[poll]\n\
                interval = \"500ms\"\n\
                fast_interval = \"100ms\"\n\
                down_max_interval = \"500ms\"\n\
                timeout = \"500ms\"\n\
                rise = 1\n";
    let mut desk = Desk::start(poll).await;
    desk.laptop.signals.rest().await.unwrap();
    desk.desktop.sshd.freeze().unwrap();
    let path = desk.builder.path();
    let down = |signal: &offload_tests::signals::Signal| signal.sets(&path, "State", "down");
    let signals = desk.laptop.signals.until(PATIENCE, "it is down", down);
    // The one that says so is the first of the builder's.
    let of_it = signals.await.unwrap();
    assert_eq!(of_it.iter().filter(|s| s.path == path).count(), 1);
    let builder = desk.laptop.the(Kind::Builder).await.unwrap();
    assert_eq!(
        (builder.state, builder.reason),
        (TargetState::Down, Reason::TimedOut)
    );
    desk.desktop.sshd.thaw().unwrap();
    desk.laptop.until_ready().await.unwrap();
}

#[tokio::test]
async fn a_builder_that_freezes_in_the_middle_of_a_deep_check_does_not_hold_it() {
    let mut desk = Desk::start(&format!("{ON_DEMAND}fall = 1\n")).await;
    // So that the check is under way when sshd freezes: Nix has been started, and has not answered.
    desk.desktop
        .sshd
        .set_nix(RemoteNix::DaemonFrozen)
        .await
        .unwrap();
    let programs = || {
        desk.desktop
            .sshd
            .log()
            .matches("Starting session: command")
            .count()
    };
    let before = programs();
    let freeze = async {
        eventually(PATIENCE, "Nix is started", async || {
            (programs() > before).then_some(())
        })
        .await
        .unwrap();
        desk.desktop.sshd.freeze().unwrap();
    };
    let (state, ()) = tokio::join!(desk.check(), freeze);
    assert_eq!(state, "down");
    desk.none_is_open().await;
    let builder = desk.laptop.the(Kind::Builder).await.unwrap();
    assert_eq!(
        (builder.reason, builder.stage),
        (Reason::TimedOut, Stage::Handshake)
    );

    desk.desktop.sshd.thaw().unwrap();
    desk.desktop.sshd.set_nix(RemoteNix::Daemon).await.unwrap();
    assert_eq!(desk.check().await, "ready");
    let builder = desk.laptop.the(Kind::Builder).await.unwrap();
    assert_eq!(builder.stage, Stage::System);
}
