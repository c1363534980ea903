//! `offloadctl top` on a terminal, beside the real daemon.

use std::{net::SocketAddr, time::Duration};

use offload_tests::{
    Bus, Daemon,
    daemon::{Launch, program},
    eventually,
    fake::{Desktop, Fault},
    ground::HERE,
    pty::Terminal,
};
use rustix::process::Signal;

const ANY: SocketAddr = SocketAddr::new(HERE, 0);
const PATIENCE: Duration = Duration::from_secs(20);

async fn daemon(bus: &Bus, desktop: &Desktop) -> Daemon {
    let launch = Launch {
        config: format!(
            "[poll]\ninterval = \"1s\"\nfast_interval = \"300ms\"\ntimeout = \"1s\"\n[nix]\nimport = false\n[[cache]]\nname = \"desktop\"\nurl = \"{}\"\n",
            desktop.cache.url()
        ),
        bus: bus.address(),
        ..Launch::default()
    };
    let daemon = Daemon::start(launch).await.unwrap();
    daemon.wait_ready().await.unwrap();
    daemon
}

fn top(bus: &Bus) -> Terminal {
    Terminal::start(&program("offloadctl").unwrap(), (24, 80), |command| {
        command.args(["top", "--bus", &bus.address()]);
    })
    .unwrap()
}

#[tokio::test]
async fn the_screen_follows_daemon_bus_and_window_and_does_what_the_keys_say() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    let mut bus = Bus::start().await.unwrap();
    let mut top = top(&bus);
    top.shows(PATIENCE, "? offloadd is not running")
        .await
        .unwrap();
    let mut running = daemon(&bus, &desktop).await;
    let screen = top
        .shows(PATIENCE, "▸ cache/desktop  ✔ ready")
        .await
        .unwrap();
    assert!(
        screen.starts_with("✔ ready: Nix can use the cache"),
        "{screen}"
    );
    // A latency that no signal tells, with each check.
    let sparks = async |top: &mut Terminal| {
        let is_bar = |letter: &char| ('▁'..='█').contains(letter);
        top.look().chars().filter(is_bar).count()
    };
    let many = eventually(PATIENCE, "three latencies", async || {
        (sparks(&mut top).await >= 3).then_some(())
    });
    many.await.unwrap();
    desktop.set(Fault::Refuse).await.unwrap();
    top.shows(PATIENCE, "connect: connection refused")
        .await
        .unwrap();
    let screen = top.shows(PATIENCE, "✗ cache/desktop down, connection refused");
    assert!(screen.await.unwrap().contains("→ "));
    desktop.set(Fault::Healthy).await.unwrap();
    top.shows(PATIENCE, "▸ cache/desktop  ✔ ready")
        .await
        .unwrap();

    top.resize(20, 60).unwrap();
    top.shows(
        PATIENCE,
        "q quit  c check  t test build  p pause  / filter  ? help",
    )
    .await
    .unwrap();
    let screen = top.look();
    assert_eq!(screen.lines().count(), 20, "{screen}");

    top.press("?").unwrap();
    top.shows(PATIENCE, "end the test build").await.unwrap();
    top.press("?").unwrap();
    top.press("/down").unwrap();
    top.shows(PATIENCE, "\n/down").await.unwrap();
    assert!(!top.look().contains("▸ cache/desktop"), "{}", top.look());
    top.press("\x1b").unwrap();
    top.shows(PATIENCE, "▸ cache/desktop  ✔ ready")
        .await
        .unwrap();
    top.press("c").unwrap();
    top.shows(PATIENCE, "\nchecked").await.unwrap();
    top.press("t").unwrap();
    top.shows(PATIENCE, "no builder of that name")
        .await
        .unwrap();
    top.press("p").unwrap();
    top.shows(PATIENCE, "‖ paused: ").await.unwrap();
    top.press("p").unwrap();
    top.shows(PATIENCE, "✔ ready: ").await.unwrap();

    running.terminate().await.unwrap();
    top.shows(PATIENCE, "? offloadd is not running")
        .await
        .unwrap();
    let mut running = daemon(&bus, &desktop).await;
    top.shows(PATIENCE, "✔ ready: ").await.unwrap();
    bus.stop();
    top.shows(PATIENCE, "? no bus: waiting for one")
        .await
        .unwrap();
    // It has ended with its bus.
    running.wait_exit().await.unwrap();
    bus.restart().await.unwrap();
    let _running = daemon(&bus, &desktop).await;
    top.shows(PATIENCE, "✔ ready: ").await.unwrap();

    top.press("q").unwrap();
    assert_eq!(top.end(PATIENCE).await.unwrap().code(), Some(0));
    assert_eq!(top.left_behind().unwrap(), [""; 0]);
}

#[tokio::test]
async fn the_terminal_is_its_own_again_however_it_ends() {
    let bus = Bus::start().await.unwrap();
    let ends: [(&str, Option<Signal>); 5] = [
        ("q", None),
        ("\x03", None),
        ("", Some(Signal::TERM)),
        ("", Some(Signal::INT)),
        ("", Some(Signal::HUP)),
    ];
    for (key, signal) in ends {
        let mut top = top(&bus);
        top.shows(PATIENCE, "? offloadd is not running")
            .await
            .unwrap();
        assert_eq!(
            top.left_behind().unwrap(),
            ["settings of the line", "its own screen", "no cursor"]
        );
        top.press(key).unwrap();
        if let Some(signal) = signal {
            top.signal(signal).unwrap();
        }
        let status = top.end(PATIENCE).await.unwrap();
        assert_eq!(status.code(), Some(0), "{key:?} {signal:?}");
        assert_eq!(top.left_behind().unwrap(), [""; 0], "{key:?} {signal:?}");
    }
}
