//! What the running nix-daemon has not read yet is told, until it is started again.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::PathBuf,
    time::{Duration, UNIX_EPOCH},
};

use offload_client::{
    Snapshot, WarningCode,
    snapshot::{Detail, Warning},
    warnings::{remedy_for, title_for},
};
use offload_tests::{Laptop, NixDaemon, daemon::Launch, eventually};
use offloadd::{
    clock::Now,
    nix::loaded::{Observer, Stale},
};

const PATIENCE: Duration = Duration::from_secs(10);
/// A process's start is known to a hundredth of a second: what changed within is not told.
const BLUR_USEC: u64 = 20_000;

/// A real nix-daemon, and what its nix.conf says.
struct Nix {
    daemon: NixDaemon,
}

impl Nix {
    async fn start() -> Self {
        let nix = Self {
            daemon: NixDaemon::start().await.unwrap(),
        };
        nix.grow_older().await;
        nix
    }

    fn conf(&self) -> PathBuf {
        self.daemon.conf_dir().join("nix.conf")
    }

    /// Returns when what is written now is surely younger than the daemon.
    async fn grow_older(&self) {
        let started = self.seen_anew().0.unwrap();
        eventually(PATIENCE, "nix-daemon is older", async || {
            (Now::read().realtime_usec > started + BLUR_USEC).then_some(())
        })
        .await
        .unwrap();
    }

    /// What offloadd would see if it started now.
    fn seen_anew(&self) -> (Option<u64>, Option<Stale>) {
        let loaded = Observer::default().look(&self.conf(), &[self.conf()]);
        (loaded.started, loaded.stale)
    }

    /// offloadd beside it.
    async fn laptop(&self) -> Laptop {
        let launch = Launch {
            config: format!("[nix]\nconf = \"{}\"\n", self.conf().display()),
            environment: self.daemon.environment(),
            ..Launch::default()
        };
        Laptop::start_with(launch).await.unwrap()
    }

    /// nix.conf becomes a link, as on NixOS: to `static`, which leads to one of two generations
    /// whose files are of 1970.
    fn become_nixos(&self) {
        let path = |name: &str| self.daemon.conf_dir().join(name);
        let text = fs::read_to_string(self.conf()).unwrap();
        for (generation, more) in [("1", ""), ("2", "fallback = true\n")] {
            fs::create_dir(path(generation)).unwrap();
            let conf = path(generation).join("nix.conf");
            fs::write(&conf, format!("{text}{more}")).unwrap();
            let stored = UNIX_EPOCH + Duration::from_secs(1);
            File::open(&conf).unwrap().set_modified(stored).unwrap();
        }
        fs::remove_file(self.conf()).unwrap();
        symlink("static/nix.conf", self.conf()).unwrap();
        self.switch("1");
    }

    fn switch(&self, generation: &str) {
        let path = |name: &str| self.daemon.conf_dir().join(name);
        symlink(generation, path("static.new")).unwrap();
        fs::rename(path("static.new"), path("static")).unwrap();
    }
}

fn stale(snapshot: &Snapshot) -> Option<&Warning> {
    let mut warnings = snapshot.warnings.iter();
    warnings.find(|warning| warning.code == WarningCode::DaemonConfigStale)
}

fn is_stale(snapshot: &Snapshot) -> bool {
    stale(snapshot).is_some()
}

fn is_fresh(snapshot: &Snapshot) -> bool {
    stale(snapshot).is_none()
}

#[tokio::test]
async fn a_nix_conf_that_changed_before_offloadd_came_is_told_by_its_time() {
    let mut nix = Nix::start().await;
    let (started, stale) = nix.seen_anew();
    assert!(started.is_some_and(|started| started < Now::read().realtime_usec));
    assert_eq!(stale, None);

    let mut text = fs::read_to_string(nix.conf()).unwrap();
    text += "fallback = true\n";
    fs::write(nix.conf(), text).unwrap();
    let stale = nix.seen_anew().1.unwrap();
    assert_eq!(stale.file, nix.conf());
    assert!(Some(stale.changed) > started);

    nix.daemon.restart().await.unwrap();
    let (again, stale) = nix.seen_anew();
    assert!(again > started);
    assert_eq!(stale, None);
    nix.daemon.stop();
    assert_eq!(nix.seen_anew(), (None, None));
}

#[tokio::test]
async fn a_client_of_the_daemon_is_not_taken_for_it() {
    let nix = Nix::start().await;
    let started = nix.seen_anew().0;
    // nix-daemon forks for each client; this one stays.
    let mut client = tokio::process::Command::from(nix.daemon.command("nix-store").unwrap());
    client.args(["--serve"]).kill_on_drop(true);
    client
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null());
    let _client = client.spawn().unwrap();
    let log = eventually(PATIENCE, "a client", async || {
        Some(nix.daemon.log()).filter(|log| log.contains("accepted connection"))
    });
    log.await.unwrap();
    assert!(nix.seen_anew().0.unwrap().abs_diff(started.unwrap()) < BLUR_USEC);
}

#[tokio::test]
async fn a_nix_conf_that_the_daemon_has_not_read_is_told_until_it_is_started_again() {
    let mut nix = Nix::start().await;
    let laptop = nix.laptop().await;
    assert_eq!(stale(&laptop.snapshot().await.unwrap()), None);

    let before = fs::read_to_string(nix.conf()).unwrap();
    fs::write(nix.conf(), format!("{before}fallback = true\n")).unwrap();
    let told = laptop.until("it is told", is_stale).await.unwrap();
    let warning = stale(&told).unwrap();
    let file = Detail::from(nix.conf().display().to_string());
    assert_eq!(warning.target, None);
    assert_eq!(warning.details["file"], file);
    // What is in force is what was read when the daemon started, before the change.
    let moment = |key: &str| match &warning.details[key] {
        Detail::Uint(moment) => *moment,
        other => panic!("{key} is {other:?}"),
    };
    assert!(moment("actual") < moment("expected"), "{warning:?}");
    assert_eq!(moment("expected"), moment("changed"));
    assert_eq!(moment("actual"), moment("started"));
    assert!(moment("since") > moment("started"), "{warning:?}");
    let page = laptop.offloadctl(&["status"]).await.unwrap();
    let page = page.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let remedy = remedy_for(warning);
    assert!(
        remedy.contains("`sudo systemctl restart nix-daemon`"),
        "{remedy}"
    );
    for part in [title_for(warning), &remedy] {
        assert!(page.contains(part), "{part}: {page}");
    }

    // What it has read is there again, if newer.
    fs::write(nix.conf(), &before).unwrap();
    laptop.until("it is taken back", is_fresh).await.unwrap();

    nix.daemon.set("fallback", "true");
    fs::write(nix.conf(), format!("{before}fallback = true\n")).unwrap();
    laptop.until("it is told again", is_stale).await.unwrap();
    nix.daemon.restart().await.unwrap();
    laptop
        .until("it was started again", is_fresh)
        .await
        .unwrap();

    // So is the next, whether it was seen before that or not.
    nix.grow_older().await;
    fs::write(nix.conf(), before).unwrap();
    let is_told = |now: &Snapshot| {
        let unknown = WarningCode::DaemonConfigUnknown;
        is_stale(now) || now.warnings.iter().any(|it| it.code == unknown)
    };
    laptop
        .until("it is told of the next", is_told)
        .await
        .unwrap();
    nix.daemon.stop();
    laptop.until("there is none", is_fresh).await.unwrap();
}

#[tokio::test]
async fn a_switched_generation_that_the_daemon_has_not_read_is_told() {
    let mut nix = Nix::start().await;
    nix.become_nixos();
    // Started again, on what is behind the links.
    nix.daemon.restart().await.unwrap();
    nix.grow_older().await;
    assert_eq!(nix.seen_anew().1, None);
    let laptop = nix.laptop().await;
    assert_eq!(stale(&laptop.snapshot().await.unwrap()), None);

    nix.switch("2");
    laptop.until("it is told", is_stale).await.unwrap();
    let anew = nix.seen_anew().1.unwrap();
    assert_eq!(anew.file, nix.conf());
    nix.switch("1");
    laptop
        .until("back to what it has read", is_fresh)
        .await
        .unwrap();
    nix.switch("2");
    laptop.until("it is told again", is_stale).await.unwrap();
    nix.daemon.restart().await.unwrap();
    laptop
        .until("it was started again", is_fresh)
        .await
        .unwrap();
}
