//! A daemon starts whatever the desktop and Nix's files are like, and says how it is; what it can't
//! start with, it names.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use futures_util::StreamExt;
use offload_client::{
    Kind, OverallState, Reason, Snapshot, TargetState, WarningCode,
    names::{self, BUS_NAME, ROOT_PATH, target_path},
    snapshot::{Detail, Warning},
};
use offload_tests::{
    Bus, Daemon, Follower, Namespace, Nginx, NixConf,
    daemon::Launch,
    eventually,
    fake::{Desktop, Fault},
    ground::{HERE, free_address},
    outcome::{Outcome, command, run_to_end},
    supported,
};
use rustix::process::Signal;
use zbus::fdo::{DBusProxy, ObjectManagerProxy};

const ANY: SocketAddr = SocketAddr::new(HERE, 0);
const PATIENCE: Duration = Duration::from_secs(10);
/// Verdicts come within the second.
const POLL: &str = "[poll]\ninterval = \"1s\"\nfast_interval = \"100ms\"\ntimeout = \"1s\"\n";

async fn start(bus: &Bus, config: &str) -> Daemon {
    let daemon = Daemon::start(Launch {
        config: config.into(),
        bus: bus.address(),
        ..Launch::default()
    });
    daemon.await.unwrap()
}

async fn follow(bus: &Bus) -> Follower {
    Follower::new(bus.connect().await.unwrap())
}

fn cache(address: SocketAddr) -> String {
    format!(
        "{POLL}[nix]\nimport = false\n[[cache]]\nname = \"desktop\"\nurl = \"http://{address}\"\n"
    )
}

fn nix(conf: &Path) -> String {
    format!("{POLL}[nix]\nconf = \"{}\"\n", conf.display())
}

fn text<'a>(warning: &'a Warning, key: &str) -> &'a str {
    match warning.details.get(key) {
        Some(Detail::Text(text)) => text,
        other => panic!("{key}: {other:?} in {warning:?}"),
    }
}

async fn offloadctl(bus: &Bus, arguments: &[&str]) -> Outcome {
    let mut command = command("offloadctl").unwrap();
    command.args(["--bus", &bus.address()]).args(arguments);
    run_to_end(command).await.unwrap()
}

#[tokio::test]
async fn ready_comes_with_the_desktop_off_once_the_objects_are_there() {
    let bus = Bus::start().await.unwrap();
    let connection = bus.connect().await.unwrap();
    let owners = DBusProxy::new(&connection).await.unwrap();
    let mut owners = owners
        .receive_name_owner_changed_with_args(&[(0, names::BUS_NAME)])
        .await
        .unwrap();

    let (off, gone) = (free_address().unwrap(), free_address().unwrap());
    let builder = format!("[[builder]]\nname = \"desktop\"\nuri = \"ssh-ng://nobody@{gone}\"\n");
    let daemon = start(&bus, &(cache(off) + &builder)).await;
    tokio::time::timeout(PATIENCE, owners.next())
        .await
        .expect("the name is owned")
        .unwrap();
    // Whoever sees the name sees the objects.
    let objects = ObjectManagerProxy::new(&connection, BUS_NAME, ROOT_PATH)
        .await
        .unwrap();
    let paths: Vec<String> = (objects.get_managed_objects().await.unwrap().into_keys())
        .map(|path| path.to_string())
        .collect();
    for kind in [Kind::Builder, Kind::Cache] {
        assert!(paths.contains(&target_path(kind, "desktop")), "{paths:?}");
    }

    daemon.wait_ready().await.unwrap();
    let messages = daemon.messages();
    let ready = messages.iter().position(|m| m.get("READY") == Some("1"));
    let mut before = messages[..ready.unwrap()].iter();
    assert!(before.any(|m| m.get("STATUS").is_some()), "{messages:?}");
    daemon.wait_status("offline").await.unwrap();
    assert!(
        daemon
            .status()
            .unwrap()
            .contains("cache/desktop down (refused)")
    );
}

#[tokio::test]
async fn every_transition_is_told_as_status() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    let bus = Bus::start().await.unwrap();
    let daemon = start(&bus, &cache(desktop.cache.address())).await;
    daemon
        .wait_status("ready: cache/desktop ready")
        .await
        .unwrap();
    desktop.set(Fault::Refuse).await.unwrap();
    daemon
        .wait_status("offline: cache/desktop down (refused)")
        .await
        .unwrap();
    desktop.set(Fault::Status(500)).await.unwrap();
    daemon.wait_status("(http-status)").await.unwrap();
    desktop.set(Fault::Healthy).await.unwrap();
    daemon
        .wait_status("ready: cache/desktop ready")
        .await
        .unwrap();

    let messages = daemon.messages();
    let told: Vec<_> = messages.iter().filter_map(|m| m.get("STATUS")).collect();
    let mut once = told.clone();
    once.dedup();
    assert_eq!(told, once, "nothing is said twice");
}

#[tokio::test]
async fn the_watchdog_is_fed_from_the_start_and_no_longer_once_the_daemon_hangs() {
    let bus = Bus::start().await.unwrap();
    let timeout = Duration::from_millis(200);
    // Nothing to watch: no check gives the driver a turn, it has to take its own.
    let daemon = Daemon::start(Launch {
        config: "[nix]\nimport = false\n".into(),
        bus: bus.address(),
        watchdog: Some(timeout),
        ..Launch::default()
    });
    let daemon = daemon.await.unwrap();
    daemon.wait_ready().await.unwrap();
    for _ in 0..3 {
        daemon.wait_watchdog().await.unwrap();
    }

    daemon.signal(Signal::STOP).unwrap();
    let stopped = format!("/proc/{}/stat", daemon.id());
    eventually(PATIENCE, "the daemon is stopped", async || {
        let stat = fs::read_to_string(&stopped).ok()?;
        stat.contains(") T ").then_some(())
    })
    .await
    .unwrap();
    // What was in the socket by then is read first.
    tokio::time::sleep(timeout).await;
    let before = daemon.messages().len();
    tokio::time::sleep(timeout * 3).await;
    assert_eq!(daemon.messages().len(), before);

    daemon.signal(Signal::CONT).unwrap();
    daemon.wait_watchdog().await.unwrap();
}

#[tokio::test]
async fn without_a_watchdog_nothing_is_fed() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    let bus = Bus::start().await.unwrap();
    let daemon = start(&bus, &cache(desktop.cache.address())).await;
    daemon.wait_status("ready: ").await.unwrap();
    let messages = daemon.messages();
    assert!(messages.iter().all(|m| m.get("WATCHDOG").is_none()));
}

#[tokio::test]
async fn with_nothing_configured_it_stays_up_and_names_what_to_do() {
    let (bus, conf) = (Bus::start().await.unwrap(), NixConf::new().unwrap());
    conf.write("nix.conf", "").unwrap();
    let mut daemon = start(&bus, &nix(&conf.path())).await;
    daemon.wait_ready().await.unwrap();
    assert_eq!(daemon.status().as_deref(), Some("unknown: not-configured"));

    let outcome = offloadctl(&bus, &["status"]).await;
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    let page = &outcome.stdout;
    assert!(page.starts_with("? unknown: nothing to watch"), "{page}");
    for named in [
        "substituters",
        "builders",
        "--cache http://",
        "--builder ssh-ng://",
    ] {
        assert!(page.contains(named), "{named} is not in\n{page}");
    }
    let outcome = offloadctl(&bus, &["check"]).await;
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(outcome.stderr.contains("nothing to watch"), "{outcome:?}");

    let mut follower = follow(&bus).await;
    let unconfigured = |s: &Snapshot| s.reason == Reason::NotConfigured;
    let snapshot = follower.until("it says so", unconfigured).await.unwrap();
    assert_eq!(snapshot.warnings, [], "an empty nix.conf is no fault");
    assert_eq!(daemon.terminate().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_missing_nix_conf_is_named_and_taken_up_when_it_comes() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    let (bus, conf) = (Bus::start().await.unwrap(), NixConf::new().unwrap());
    let missing = conf.directory().join("later/nix.conf");
    let daemon = start(&bus, &nix(&missing)).await;
    daemon.wait_ready().await.unwrap();
    let mut follower = follow(&bus).await;
    let warned = |s: &Snapshot| !s.warnings.is_empty();
    let snapshot = follower.until("a warning", warned).await.unwrap();
    assert_eq!(snapshot.state, OverallState::Unknown);
    let [warning] = &snapshot.warnings[..] else {
        panic!("{:?}", snapshot.warnings);
    };
    assert_eq!(warning.code, WarningCode::NixConfBroken);
    assert_eq!(text(warning, "file"), missing.display().to_string());
    let line = format!(
        "nix-conf-broken: error there is no such file, file {}",
        missing.display()
    );
    assert!(daemon.log().contains(&line), "{}", daemon.log());
    let page = offloadctl(&bus, &[]).await.stdout;
    assert!(page.contains("nix.conf is broken"), "{page}");

    fs::create_dir(missing.parent().unwrap()).unwrap();
    fs::write(
        &missing,
        format!("substituters = {}\nfallback = true\n", desktop.cache.url()),
    )
    .unwrap();
    let mended = |s: &Snapshot| s.warnings.is_empty() && s.state == OverallState::Ready;
    follower.until("it is watched", mended).await.unwrap();
}

#[tokio::test]
async fn a_broken_nix_conf_is_named_by_its_line_and_the_rest_of_it_watched() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    let (bus, conf) = (Bus::start().await.unwrap(), NixConf::new().unwrap());
    let url = desktop.cache.url();
    conf.write(
        "nix.conf",
        &format!("substituters = {url}\nthis is no setting\n"),
    )
    .unwrap();
    let daemon = start(&bus, &nix(&conf.path())).await;
    daemon.wait_ready().await.unwrap();
    let mut follower = follow(&bus).await;
    // Its checks pass, and Nix goes nowhere.
    let watched = |s: &Snapshot| {
        let mut targets = s.targets.iter();
        targets.all(|it| it.reason == Reason::NixConfBroken)
    };
    let snapshot = follower.until("the cache is hindered", watched).await;
    let snapshot = snapshot.unwrap();
    assert_eq!(snapshot.state, OverallState::Degraded);
    let [warning] = &snapshot.warnings[..] else {
        panic!("{:?}", snapshot.warnings);
    };
    assert_eq!(warning.code, WarningCode::NixConfBroken);
    assert_eq!(warning.details.get("line"), Some(&Detail::Uint(2)));
    assert!(
        daemon.log().contains("nix-conf-broken: "),
        "{}",
        daemon.log()
    );
}

#[tokio::test]
async fn a_daemon_that_starts_before_the_network_finds_the_desktop_once_there_is_one() {
    let Some(namespace) = supported(Namespace::new()) else {
        return;
    };
    let address = SocketAddr::new(Namespace::DESKTOP.into(), 5000);
    let _nginx = Nginx::start_inside(address, Some(namespace.desktop()))
        .await
        .unwrap();
    namespace.set_link(false).unwrap();
    let bus = Bus::start().await.unwrap();
    let daemon = Daemon::start(Launch {
        config: cache(address),
        bus: bus.address(),
        netns: Some(namespace.laptop().into()),
        ..Launch::default()
    });
    let daemon = daemon.await.unwrap();
    daemon.wait_ready().await.unwrap();
    let mut follower = follow(&bus).await;
    let judged = |s: &Snapshot| s.targets.iter().any(|t| t.state != TargetState::Unknown);
    let snapshot = follower.until("a verdict", judged).await.unwrap();
    assert_eq!(snapshot.reason, Reason::NoRoute);

    namespace.set_link(true).unwrap();
    let ready = |s: &Snapshot| s.state == OverallState::Ready;
    follower.until("the cache is ready", ready).await.unwrap();
    assert!(fs::exists(format!("/proc/{}", daemon.id())).unwrap());
}
