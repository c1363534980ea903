//! Who does not read, and what is no file, holds up nothing: the daemon has one thread, and it never
//! waits for anybody.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use offload_client::{OverallState, Snapshot, WarningCode, proxy::ManagerProxy};
use offload_tests::{
    Bus, Daemon, Follower,
    daemon::Launch,
    eventually,
    fake::{Cache, Fault},
    ground::HERE,
    outcome::{command, run_to_end},
};
use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::Signal,
};

const ANY: SocketAddr = SocketAddr::new(HERE, 0);
const PATIENCE: Duration = Duration::from_secs(20);
const NOTHING: &str = "[nix]\nimport = false\n";
/// What is in a socket before the daemon comes to it.
const JUNK: &str = "X=1";

/// A socket that takes no more, and that nobody reads.
struct Full {
    path: PathBuf,
    socket: UnixDatagram,
    _directory: tempfile::TempDir,
}

impl Full {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let other = UnixDatagram::unbound().unwrap();
        other.set_nonblocking(true).unwrap();
        while other.send_to(JUNK.as_bytes(), &path).is_ok() {}
        Self {
            path,
            socket,
            _directory: directory,
        }
    }

    /// Reads on until `last` has come; what came, in its order.
    async fn read_until(&self, last: &str) -> Vec<String> {
        let mut all = Vec::new();
        let mut buffer = vec![0; 4096];
        eventually(PATIENCE, last, async || {
            while let Ok(length) = self.socket.recv(&mut buffer) {
                all.push(String::from_utf8_lossy(&buffer[..length]).trim().to_owned());
            }
            all.iter().any(|message| message == last).then_some(())
        })
        .await
        .unwrap();
        all.retain(|message| message != JUNK);
        all
    }
}

fn pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

async fn start(bus: &Bus, config: &str) -> Daemon {
    let daemon = Daemon::start(Launch {
        config: config.into(),
        bus: bus.address(),
        ..Launch::default()
    });
    daemon.await.unwrap()
}

#[tokio::test]
async fn a_pipe_where_its_configuration_should_be_is_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    pipe(&file);
    let mut offloadd = command("offloadd").unwrap();
    offloadd.args(["--once", "--config"]).arg(&file);
    let outcome = run_to_end(offloadd).await.unwrap();
    assert_eq!(outcome.code, Some(78), "{outcome:?}");
    assert!(outcome.stderr.contains("not a regular file"), "{outcome:?}");

    fs::remove_file(&file).unwrap();
    fs::write(&file, NOTHING).unwrap();
    fs::create_dir(directory.path().join("config.d")).unwrap();
    pipe(&directory.path().join("config.d/10-more.toml"));
    let mut offloadd = command("offloadd").unwrap();
    offloadd.args(["--once", "--config"]).arg(&file);
    let outcome = run_to_end(offloadd).await.unwrap();
    assert_eq!(outcome.code, Some(78), "{outcome:?}");
    assert!(outcome.stderr.contains("10-more.toml"), "{outcome:?}");
}

#[tokio::test]
async fn a_pipe_where_its_configuration_should_be_is_refused_at_a_reload() {
    let bus = Bus::start().await.unwrap();
    let daemon = start(&bus, NOTHING).await;
    daemon.wait_ready().await.unwrap();
    let drop_ins = daemon.directory().join("config.d");
    fs::create_dir(&drop_ins).unwrap();
    pipe(&drop_ins.join("10-more.toml"));
    daemon.reload(NOTHING).await.unwrap();
    let connection = bus.connect().await.unwrap();
    let manager = ManagerProxy::new(&connection).await.unwrap();
    let snapshot: offload_client::Snapshot =
        serde_json::from_str(&manager.describe().await.unwrap()).unwrap();
    assert_eq!(snapshot.warnings[0].code, WarningCode::ConfigRejected);
}

#[tokio::test]
async fn a_manager_that_does_not_read_holds_up_nothing_and_hears_at_last_what_matters() {
    let manager = Full::new();
    let (bus, cache) = (
        Bus::start().await.unwrap(),
        Cache::start(ANY).await.unwrap(),
    );
    let config = format!(
        "[poll]\ninterval = \"1s\"\nfast_interval = \"100ms\"\ntimeout = \"1s\"\n{NOTHING}\
         [[cache]]\nname = \"desktop\"\nurl = \"{}\"\n",
        cache.url()
    );
    let daemon = Daemon::start(Launch {
        config,
        bus: bus.address(),
        environment: vec![("NOTIFY_SOCKET".into(), manager.path.display().to_string())],
        watchdog: Some(Duration::from_millis(200)),
        ..Launch::default()
    });
    let mut daemon = daemon.await.unwrap();
    let mut follower = Follower::new(bus.connect().await.unwrap());
    for _ in 0..3 {
        let ready = |s: &Snapshot| s.state == OverallState::Ready;
        follower.until("the cache is ready", ready).await.unwrap();
        cache.set(Fault::Refuse).await.unwrap();
        let offline = |s: &Snapshot| s.state == OverallState::Offline;
        follower.until("the cache is off", offline).await.unwrap();
        cache.set(Fault::Healthy).await.unwrap();
    }
    let ready = |s: &Snapshot| s.state == OverallState::Ready;
    follower.until("the cache is ready", ready).await.unwrap();
    daemon.signal(Signal::HUP).unwrap();
    eventually(PATIENCE, "a reload", async || {
        daemon
            .log()
            .contains("configuration reloaded")
            .then_some(())
    })
    .await
    .unwrap();

    let told = manager.read_until("READY=1").await;
    assert!(
        told[0].starts_with("RELOADING=1\nMONOTONIC_USEC="),
        "{told:?}"
    );
    let status: Vec<_> = told.iter().filter(|m| m.starts_with("STATUS=")).collect();
    assert_eq!(status, ["STATUS=ready: cache/desktop ready"], "{told:?}");
    manager.read_until("WATCHDOG=1").await;
    assert_eq!(daemon.terminate().await.unwrap().code(), Some(0));
    manager.read_until("STOPPING=1").await;
}

#[tokio::test]
async fn a_pipe_behind_standard_error_that_nobody_reads_holds_up_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    let nobody = "[[cache]]\nname = \"desktop\"\nurl = \"http://127.0.0.1:9\"\n";
    fs::write(&file, format!("{NOTHING}{nobody}")).unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    // As much as a pipe holds (pipe(7)).
    writer.write_all(&[b'x'; 65_536]).unwrap();
    let mut offloadd = command("offloadd").unwrap();
    offloadd.args(["--once", "--config"]).arg(&file);
    offloadd.stderr(Stdio::from(writer));
    let child = offloadd.spawn().unwrap();
    let ended = tokio::time::timeout(PATIENCE, child.wait_with_output());
    let output = ended.await.expect("it ends").unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(page.contains("offline"), "{page}");
    drop(reader);
}
