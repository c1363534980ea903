//! A daemon that is asked to end does so at once, whatever it waits for.

use std::{net::SocketAddr, time::Duration};

use offload_client::proxy::ManagerProxy;
use offload_tests::{
    Bus, Daemon,
    daemon::Launch,
    eventually,
    fake::{Desktop, Fault, Point},
    ground::HERE,
};
use offloadd::clock::Stopwatch;
use rustix::process::Signal;
use tokio::net::UnixListener;

const ANY: SocketAddr = SocketAddr::new(HERE, 0);
const PATIENCE: Duration = Duration::from_secs(10);
/// No check ends by its time-out while a test waits: the fixture loses patience long before.
const POLL: &str = "[poll]\ntimeout = \"5m\"\ninterval = \"5m\"\ndeep_timeout = \"5m\"\n";

fn config(desktop: &Desktop) -> String {
    format!(
        "{POLL}[nix]\nimport = false\n\
         [[cache]]\nname = \"desktop\"\nurl = \"{}\"\n\
         [[builder]]\nname = \"desktop\"\nuri = \"{}\"\nssh_key = \"{}\"\nhost_key = \"{}\"\n",
        desktop.cache.url(),
        desktop.ssh.uri("nix-builder"),
        desktop.user_key().display(),
        desktop.ssh.host_key(),
    )
}

/// A daemon in the middle of a check of both.
async fn start_checking(bus: &Bus, desktop: &Desktop) -> Daemon {
    let daemon = Daemon::start(Launch {
        config: config(desktop),
        bus: bus.address(),
        ..Launch::default()
    });
    let daemon = daemon.await.unwrap();
    daemon.wait_ready().await.unwrap();
    eventually(PATIENCE, "both are being checked", async || {
        let both = desktop.cache.connections() > 0 && desktop.ssh.connections() > 0;
        both.then_some(())
    })
    .await
    .unwrap();
    daemon
}

async fn ends_cleanly(daemon: &mut Daemon, signal: Signal, waiting: &str) {
    let watch = Stopwatch::start();
    daemon.signal(signal).unwrap();
    let status = daemon.wait_exit().await.unwrap();
    println!("{waiting}, {signal:?}: ended after {:?}", watch.elapsed());
    assert_eq!(status.code(), Some(0), "{}", daemon.log());
}

#[tokio::test]
async fn it_ends_at_once_with_checks_under_way() {
    for signal in [Signal::TERM, Signal::INT] {
        for fault in [Fault::Silent, Fault::StallAfter(Point::HostKey)] {
            let desktop = Desktop::start(ANY, ANY).await.unwrap();
            desktop.set(fault).await.unwrap();
            let bus = Bus::start().await.unwrap();
            let mut daemon = start_checking(&bus, &desktop).await;
            ends_cleanly(&mut daemon, signal, &format!("{fault:?}")).await;
            eventually(PATIENCE, "STOPPING=1", async || {
                let messages = daemon.messages();
                let stopping = messages.last()?.get("STOPPING") == Some("1");
                stopping.then_some(())
            })
            .await
            .unwrap();
            assert!(daemon.log().contains("stopped"), "{}", daemon.log());
        }
    }
}

#[tokio::test]
async fn no_other_signal_ends_it() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    let bus = Bus::start().await.unwrap();
    let mut daemon = start_checking(&bus, &desktop).await;
    for other in [
        Signal::HUP,
        Signal::QUIT,
        Signal::PIPE,
        Signal::ALARM,
        Signal::USR1,
        Signal::USR2,
        Signal::IO,
    ] {
        daemon.signal(other).unwrap();
    }
    let connection = bus.connect().await.unwrap();
    let manager = ManagerProxy::new(&connection).await.unwrap();
    manager.describe().await.unwrap();
    ends_cleanly(&mut daemon, Signal::TERM, "after all the others").await;
}

#[tokio::test]
async fn it_ends_at_once_while_a_connection_attempt_is_not_answered() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    desktop.set(Fault::BlackHole).await.unwrap();
    let bus = Bus::start().await.unwrap();
    let daemon = Daemon::start(Launch {
        config: config(&desktop),
        bus: bus.address(),
        ..Launch::default()
    });
    let mut daemon = daemon.await.unwrap();
    daemon.wait_ready().await.unwrap();
    ends_cleanly(&mut daemon, Signal::TERM, "BlackHole").await;
}

#[tokio::test]
async fn whoever_waits_for_a_check_is_answered_when_it_ends() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    desktop.set(Fault::Silent).await.unwrap();
    let bus = Bus::start().await.unwrap();
    let mut daemon = start_checking(&bus, &desktop).await;
    let connection = bus.connect().await.unwrap();
    let manager = ManagerProxy::new(&connection).await.unwrap();
    // Behind the call in the daemon's queue: once it is answered, the call is being waited for.
    let check = async { tokio::time::timeout(PATIENCE, manager.check()).await };
    let end = async {
        manager.describe().await.unwrap();
        ends_cleanly(&mut daemon, Signal::TERM, "a caller waits").await;
    };
    let (check, ()) = tokio::join!(check, end);
    check
        .expect("an answer, if only that nobody is there")
        .unwrap_err();
}

#[tokio::test]
async fn it_ends_at_once_while_the_bus_does_not_greet_it() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("bus");
    let silent = UnixListener::bind(&socket).unwrap();
    let daemon = Daemon::start(Launch {
        config: "[nix]\nimport = false\n".into(),
        bus: format!("unix:path={}", socket.display()),
        ..Launch::default()
    });
    let mut daemon = daemon.await.unwrap();
    let _connection = tokio::time::timeout(PATIENCE, silent.accept())
        .await
        .expect("it connects")
        .unwrap();
    ends_cleanly(&mut daemon, Signal::TERM, "a silent bus").await;
    assert!(daemon.messages().iter().all(|m| m.get("READY").is_none()));
}
