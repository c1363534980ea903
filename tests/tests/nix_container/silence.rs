//! A kept connection whose other end says nothing any more: no check hangs on it, and it is let go.

use offload_client::{Reason, Stage, TargetState};
use offload_tests::{Namespace, eventually};

use crate::desk::{ASKED, Desk, PATIENCE, PROMISE};

/// Not asked by anybody: what is noticed is noticed on the kept connection.
const POLL: &str = "[poll]\n\
                    interval = \"500ms\"\n\
                    fast_interval = \"200ms\"\n\
                    down_max_interval = \"500ms\"\n\
                    timeout = \"500ms\"\n\
                    fall = 3\n";

#[tokio::test]
async fn a_desktop_that_freezes_is_down_within_fall_checks_and_let_go() {
    let Some(desk) = Desk::start("ssh-ng", PROMISE, POLL).await else {
        return;
    };
    let container = desk.desktop.container();
    is_noticed(&desk, &|| container.freeze().unwrap()).await;
    container.thaw().unwrap();
    desk.watcher.laptop.until_ready().await.unwrap();
}

#[tokio::test]
async fn a_desktop_whose_packets_are_lost_is_down_within_fall_checks_and_let_go() {
    let Some(desk) = Desk::start("ssh", PROMISE, POLL).await else {
        return;
    };
    let address = Namespace::DESKTOP;
    is_noticed(&desk, &|| desk.network.black_hole(address).unwrap()).await;
    desk.network.restore(address).unwrap();
    desk.watcher.laptop.until_ready().await.unwrap();
}

#[tokio::test]
async fn a_nix_daemon_that_freezes_is_told_by_the_stage_and_keeps_nobody_waiting() {
    let poll = ASKED.to_owned() + "deep_timeout = \"2s\"\n";
    let Some(desk) = Desk::start("ssh-ng", PROMISE, &poll).await else {
        return;
    };
    let inside = desk.desktop.container();
    let signal = |signal: &str| {
        let signal = format!("--signal={signal}");
        inside
            .run(&["systemctl", "kill", &signal, "nix-daemon.service"])
            .unwrap()
    };
    desk.watcher.checked(Reason::None).await;
    signal("STOP");
    // The machine and its sshd are well.
    let target = desk.watcher.checked(Reason::TimedOut).await;
    assert_eq!(target.stage, Stage::Handshake, "{target:#?}");
    desk.watcher.status_has_the_remedy().await;
    signal("CONT");
    desk.watcher.checked(Reason::None).await;
}

async fn is_noticed(desk: &Desk, silence: &dyn Fn()) {
    let laptop = &desk.watcher.laptop;
    laptop.until_ready().await.unwrap();
    let target = desk.watcher.builder().await;
    let kept = connections(desk);
    assert_eq!(kept.len(), 1, "{kept:?}");
    let before = laptop.checks(&target);
    silence();
    let down = laptop.until("it is down", |snapshot| {
        snapshot.targets[0].state == TargetState::Down
    });
    let snapshot = down.await.unwrap();
    assert_eq!(snapshot.targets[0].reason, Reason::TimedOut);
    // One more may have been answered before the silence, and one more have begun since.
    let checks = laptop.checks(&target) - before;
    assert!((3..=5).contains(&checks), "{checks} checks");
    let gone = eventually(PATIENCE, "the kept connection is let go", async || {
        let now = connections(desk);
        (!now.contains(&kept[0])).then_some(())
    });
    gone.await.unwrap();
    desk.watcher.status_has_the_remedy().await;
}

/// The laptop's ends of its connections to the desktop's sshd.
fn connections(desk: &Desk) -> Vec<String> {
    let established = ["-Htn", "state", "established", "dport", "=", ":22"];
    let lines = desk.network.run("ss", &established).unwrap();
    let local = |line: &str| line.split_whitespace().nth(2).map(str::to_owned);
    lines.lines().filter_map(local).collect()
}
