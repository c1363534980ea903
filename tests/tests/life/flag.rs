//! The file `ready` in the daemon's runtime directory tells other units whether a builder is ready.

use std::{fs, net::SocketAddr, os::unix::net::UnixListener, path::Path, time::Duration};

use offload_client::names;
use offload_tests::{
    Daemon, Laptop,
    daemon::Launch,
    eventually,
    fake::{Desktop, Fault},
    ground::HERE,
    signals::Signal,
};

const ANY: SocketAddr = SocketAddr::new(HERE, 0);
const PATIENCE: Duration = Duration::from_secs(20);

async fn laptop(desktop: &Desktop, runtime_directory: &Path) -> Laptop {
    let config = format!(
        "[poll]\ninterval = \"1s\"\nfast_interval = \"100ms\"\ntimeout = \"1s\"\n\
         [nix]\nimport = false\n\
         [[cache]]\nname = \"desktop\"\nurl = \"{}\"\n\
         [[builder]]\nname = \"desktop\"\nuri = \"{}\"\nssh_key = \"{}\"\nhost_key = \"{}\"\n",
        desktop.cache.url(),
        desktop.ssh.uri("nix-builder"),
        desktop.user_key().display(),
        desktop.ssh.host_key(),
    );
    let directory = runtime_directory.display().to_string();
    let laptop = Laptop::start_with(Launch {
        config,
        environment: vec![("RUNTIME_DIRECTORY".into(), directory)],
        ..Launch::default()
    });
    laptop.await.unwrap()
}

/// Waits for a builder state on the bus.
async fn builders(laptop: &mut Laptop, state: &str) {
    let is = |signal: &Signal| signal.sets(names::ROOT_PATH, "BuilderState", state);
    laptop.signals.until(PATIENCE, state, is).await.unwrap();
}

#[tokio::test]
async fn whoever_hears_of_a_change_finds_the_file_as_it_should_be() {
    let run = tempfile::tempdir().unwrap();
    let file = run.path().join("ready");
    // As a daemon left it that was killed, with its directory preserved.
    fs::write(&file, "").unwrap();
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    desktop.ssh.set(Fault::Refuse).await.unwrap();
    let mut laptop = laptop(&desktop, run.path()).await;
    builders(&mut laptop, "offline").await;
    assert!(!file.exists(), "the cache alone is ready");

    for _ in 0..3 {
        desktop.ssh.set(Fault::Healthy).await.unwrap();
        builders(&mut laptop, "ready").await;
        assert!(file.exists());
        desktop.ssh.set(Fault::Refuse).await.unwrap();
        builders(&mut laptop, "offline").await;
        assert!(!file.exists());
    }
    desktop.ssh.set(Fault::Healthy).await.unwrap();
    builders(&mut laptop, "ready").await;
    laptop.daemon.terminate().await.unwrap();
    assert!(!file.exists(), "it outlived the daemon");
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_told_once_and_harms_nothing() {
    let run = tempfile::tempdir().unwrap();
    let missing = run.path().join("missing");
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    let mut laptop = laptop(&desktop, &missing).await;
    laptop.until_ready().await.unwrap();
    desktop.ssh.set(Fault::Refuse).await.unwrap();
    builders(&mut laptop, "offline").await;
    desktop.ssh.set(Fault::Healthy).await.unwrap();
    builders(&mut laptop, "ready").await;
    let complaint = format!("{}/ready: No such file or directory", missing.display());
    let log = laptop.daemon.log();
    assert_eq!(log.matches(&complaint).count(), 1, "{log}");
    assert!(log.contains("RuntimeDirectory=offloadd"), "{log}");
    assert!(laptop.daemon.terminate().await.unwrap().success());
}

#[tokio::test]
async fn what_a_killed_daemon_left_goes_before_anything_else_is_done() {
    let run = tempfile::tempdir().unwrap();
    let file = run.path().join("ready");
    // A bus that takes connections and never answers.
    let socket = run.path().join("bus");
    let _bus = UnixListener::bind(&socket).unwrap();
    let start = async |config: &str| {
        fs::write(&file, "").unwrap();
        let daemon = Daemon::start(Launch {
            config: config.into(),
            bus: format!("unix:path={}", socket.display()),
            environment: vec![("RUNTIME_DIRECTORY".into(), run.path().display().to_string())],
            ..Launch::default()
        });
        daemon.await.unwrap()
    };
    let gone = async || (!file.exists()).then_some(());
    let mut daemon = start("[nix]\nimport = false\n").await;
    eventually(PATIENCE, "the file goes, whatever the bus does", gone)
        .await
        .unwrap();
    daemon.terminate().await.unwrap();

    let mut rejected = start("this is no TOML").await;
    assert_eq!(rejected.wait_exit().await.unwrap().code(), Some(78));
    assert!(
        !file.exists(),
        "with a broken configuration no builder is ready"
    );
}
