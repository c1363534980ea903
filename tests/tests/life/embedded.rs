//! Without any bus: the daemon brings its own, or looks once and says what it saw.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use offload_client::{
    OverallState, Reason, Snapshot, TargetState, embedded,
    snapshot::{DESCRIBE_VERSION, Facts},
};
use offload_tests::{
    Daemon, NixConf,
    daemon::Launch,
    eventually,
    fake::{Desktop, Fault},
    ground::HERE,
    outcome::{Outcome, command, run_to_end},
};
use rustix::process::Signal;

const ANY: SocketAddr = SocketAddr::new(HERE, 0);
const NOTHING: &str = "[nix]\nimport = false\n";
const PATIENCE: Duration = Duration::from_secs(10);
const RUNTIME_DIR: &str = "OFFLOADD_RUNTIME_DIR";

async fn start(runtime_dir: &Path, config: &str) -> Daemon {
    let daemon = Daemon::start(Launch {
        config: config.into(),
        bus: "embedded".into(),
        environment: vec![(RUNTIME_DIR.into(), runtime_dir.display().to_string())],
        ..Launch::default()
    });
    let daemon = daemon.await.unwrap();
    daemon.wait_ready().await.unwrap();
    daemon
}

async fn offloadctl(runtime_dir: &Path, arguments: &[&str]) -> Outcome {
    let mut command = command("offloadctl").unwrap();
    command.env(RUNTIME_DIR, runtime_dir).args(arguments);
    run_to_end(command).await.unwrap()
}

/// `offloadd --once` with `config` and no bus in reach.
async fn once(config: &str, arguments: &[&str]) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    fs::write(&file, config).unwrap();
    let mut command = command("offloadd").unwrap();
    command.arg("--config").arg(&file).arg("--once");
    command.args(arguments);
    run_to_end(command).await.unwrap()
}

fn config(desktop: &Desktop) -> String {
    format!(
        "{NOTHING}[poll]\ntimeout = \"1s\"\n\
         [[cache]]\nname = \"desktop\"\nurl = \"{}\"\n\
         [[builder]]\nname = \"desktop\"\nuri = \"{}\"\nssh_key = \"{}\"\nhost_key = \"{}\"\n",
        desktop.cache.url(),
        desktop.ssh.uri("nix-builder"),
        desktop.user_key().display(),
        desktop.ssh.host_key(),
    )
}

#[tokio::test]
async fn offloadctl_finds_the_embedded_bus_without_being_told() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("offloadd");
    let gone = offloadctl(&place, &[]).await;
    assert_eq!(gone.code, Some(4), "{gone:?}");

    let mut daemon = start(&place, &config(&desktop)).await;
    daemon.wait_status("ready: ").await.unwrap();
    let status = offloadctl(&place, &[]).await;
    assert_eq!(status.code, Some(0), "{status:?}");
    assert!(status.stdout.contains("ready: Nix can use"), "{status:?}");
    assert!(!status.stdout.contains('\u{1b}'), "no colour in a pipe");
    for (arguments, code) in [
        (&["is-ready", "builder/desktop"][..], 0),
        (&["check"], 0),
        (&["pause", "1m"], 0),
        (&["is-ready"], 3),
        (&["resume"], 0),
        (&["wait", "--timeout", "10s"], 0),
        (&["history", "desktop"], 0),
    ] {
        let outcome = offloadctl(&place, arguments).await;
        assert_eq!(outcome.code, Some(code), "{arguments:?}: {outcome:?}");
    }
    let json = offloadctl(&place, &["--json"]).await.stdout;
    let snapshot: Snapshot = serde_json::from_str(&json).unwrap();
    assert_eq!(snapshot.state, OverallState::Ready);

    assert_eq!(daemon.terminate().await.unwrap().code(), Some(0));
    assert!(
        !embedded::socket_in(&place).exists(),
        "the socket goes with the daemon"
    );
    assert_eq!(offloadctl(&place, &[]).await.code, Some(4));
}

#[tokio::test]
async fn who_starts_it_by_hand_sees_the_page_once_and_where_to_go_on() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    for (config, told) in [
        (
            config(&desktop),
            "ready: Nix can use the cache and the builder",
        ),
        (NOTHING.into(), "offloadd --cache http://HOST:5000"),
    ] {
        let place = directory.path().join("offloadd");
        let mut daemon = start(&place, &config).await;
        let shown = eventually(PATIENCE, "the page is shown", async || {
            daemon
                .log()
                .contains("in a second terminal: ")
                .then_some(())
        });
        shown.await.unwrap();
        assert!(daemon.log().contains(told), "{}", daemon.log());
        offloadctl(&place, &["check"]).await;
        assert_eq!(daemon.terminate().await.unwrap().code(), Some(0));
        assert_eq!(daemon.log().matches("second terminal").count(), 1);
    }
}

#[tokio::test]
async fn the_embedded_bus_is_its_users_alone_and_has_one_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("offloadd");
    let first = start(&place, NOTHING).await;
    let socket = embedded::socket_in(&place);
    let mode = fs::metadata(socket.parent().unwrap())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);

    let mut second = command("offloadd").unwrap();
    let config = directory.path().join("config.toml");
    fs::write(&config, NOTHING).unwrap();
    second.env(RUNTIME_DIR, &place);
    second.args(["--bus", "embedded", "--config"]).arg(&config);
    let refused = run_to_end(second).await.unwrap();
    assert_eq!(refused.code, Some(69), "{refused:?}");
    let told = "another offloadd serves its bus there";
    assert!(refused.stderr.contains(told), "{refused:?}");
    // It left the first one's socket where it is.
    let status = offloadctl(&place, &[]).await;
    assert_eq!(status.code, Some(3), "{status:?}");
    drop(first);
}

#[tokio::test]
async fn the_socket_of_a_daemon_that_was_killed_is_in_nobodys_way() {
    let directory = tempfile::tempdir().unwrap();
    let mut killed = start(directory.path(), NOTHING).await;
    killed.signal(Signal::KILL).unwrap();
    assert_eq!(killed.wait_exit().await.unwrap().code(), None);
    assert!(embedded::socket_in(directory.path()).exists());
    let status = offloadctl(directory.path(), &[]).await;
    assert_eq!(status.code, Some(4), "{status:?}");

    let _daemon = start(directory.path(), NOTHING).await;
    let status = offloadctl(directory.path(), &[]).await;
    assert_eq!(status.code, Some(3), "{status:?}");
}

#[tokio::test]
async fn once_says_by_page_and_exit_status_whether_all_is_ready() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    let config = config(&desktop);
    let ready = once(&config, &[]).await;
    assert_eq!(ready.code, Some(0), "{ready:?}");
    let page = &ready.stdout;
    assert!(
        page.contains("ready: Nix can use the cache and the builder"),
        "{page}"
    );

    desktop.ssh.set(Fault::RefusedKey).await.unwrap();
    let refused = once(&config, &[]).await;
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stdout.contains("degraded"), "{refused:?}");
    assert!(refused.stdout.contains("builder"), "{refused:?}");

    let nothing = once(NOTHING, &[]).await;
    assert_eq!(nothing.code, Some(3), "{nothing:?}");
    for named in ["nothing to watch", "--cache http://", "--builder ssh-ng://"] {
        assert!(nothing.stdout.contains(named), "{nothing:?}");
    }
}

#[tokio::test]
async fn once_as_json_is_a_snapshot() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    desktop.cache.set(Fault::Refuse).await.unwrap();
    let outcome = once(&config(&desktop), &["--json"]).await;
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    let snapshot: Snapshot = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(snapshot.describe_version, DESCRIBE_VERSION);
    assert_eq!(snapshot.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(snapshot.state, OverallState::Degraded);
    assert_eq!(snapshot.reason, Reason::Refused);
    assert_eq!(snapshot.targets.len(), 2);
    let (cache, builder) = (&snapshot.targets[0], &snapshot.targets[1]);
    assert_eq!(cache.state, TargetState::Down);
    assert_eq!(builder.state, TargetState::Ready);
    assert!(matches!(&builder.facts, Facts::Builder(facts) if facts.protocol == "ssh-ng"));
    assert!(builder.latency_usec > 0 && builder.last_success_timestamp > 0);
}

#[tokio::test]
async fn once_takes_its_targets_from_flags_and_from_nix_alike() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    let url = desktop.cache.url();
    let flag = once(NOTHING, &["--cache", &url]).await;
    assert_eq!(flag.code, Some(0), "{flag:?}");

    let conf = NixConf::new().unwrap();
    conf.set_caches(&[(&url, "")]).unwrap();
    let imported = format!("[nix]\nconf = \"{}\"\n", conf.path().display());
    let outcome = once(&imported, &["--json"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let snapshot: Snapshot = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(snapshot.targets.len(), 1);
    assert_eq!(snapshot.targets[0].uri, url);
}
