//! A daemon starts with any number of targets as it starts with two, and tells how they are in a line
//! that systemd takes.

use std::{fmt::Write, time::Duration};

use offload_client::proxy::ManagerProxy;
use offload_tests::{
    Bus, Daemon, NixConf,
    daemon::Launch,
    notify::Message,
    signals::{Content, Signal, Signals},
};
use offloadd::clock::Stopwatch;

/// systemd reads no more of a notification, and takes none that is longer (`NOTIFY_BUFFER_MAX`).
const MAX_NOTIFY: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(20);
/// Nobody listens there.
const CLOSED: &str = "127.0.0.1:9";

async fn start(bus: &Bus, conf: &NixConf) -> Daemon {
    let config = format!("[nix]\nconf = \"{}\"\n", conf.path().display());
    let daemon = Daemon::start(Launch {
        config,
        bus: bus.address(),
        ..Launch::default()
    });
    daemon.await.unwrap()
}

/// nix.conf's line for so many caches that nobody serves.
fn substituters(count: usize) -> String {
    let mut line = String::from("substituters =");
    for number in 0..count {
        write!(line, " http://{CLOSED}/{number}").unwrap();
    }
    line + "\n"
}

/// Whether systemd would have read all of it.
fn is_short(message: &Message) -> bool {
    let status = message.get("STATUS").unwrap_or_default();
    status.len() < MAX_NOTIFY / 4
}

#[tokio::test]
async fn two_thousand_caches_are_ready_as_two_are() {
    for count in [2, 2000] {
        let (bus, conf) = (Bus::start().await.unwrap(), NixConf::new().unwrap());
        conf.write("nix.conf", &substituters(count)).unwrap();
        let watch = Stopwatch::start();
        let daemon = start(&bus, &conf).await;
        daemon.wait_ready().await.unwrap();
        eprintln!("{count} substituters: ready after {:?}", watch.elapsed());
        // Whoever sees the name sees the objects.
        let connection = bus.connect().await.unwrap();
        let manager = ManagerProxy::new(&connection).await.unwrap();
        assert_eq!(manager.targets().await.unwrap().len(), count);
        daemon.wait_status("offline: ").await.unwrap();
        eprintln!("{count} substituters: judged after {:?}", watch.elapsed());
        let told = daemon.messages();
        let ready = told.iter().find(|m| m.get("READY") == Some("1")).unwrap();
        assert_eq!(ready.get("STATUS"), None, "READY=1 goes alone");
        assert!(told.iter().all(is_short), "{told:?}");
    }
}

/// They are there with the name; thousands of messages before it would have been for nobody.
#[tokio::test]
async fn what_is_there_from_the_start_is_not_told_one_by_one() {
    let (bus, conf) = (Bus::start().await.unwrap(), NixConf::new().unwrap());
    conf.write("nix.conf", &substituters(50)).unwrap();
    let mut signals = Signals::listen(&bus.address()).await.unwrap();
    let daemon = start(&bus, &conf).await;
    daemon.wait_ready().await.unwrap();
    let added = |signal: &Signal| matches!(signal.content, Content::Added(..));
    let before = signals.rest().await.unwrap();
    assert!(!before.iter().any(added), "{before:#?}");
    // And what comes later is.
    conf.write("nix.conf", &substituters(51)).unwrap();
    let told = signals.until(PATIENCE, "the new one is told", added);
    told.await.unwrap();
}
