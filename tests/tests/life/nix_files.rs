//! Nix's files are followed: however one is changed, its change is taken up without a restart, and
//! nothing else is.

use std::{fs, net::SocketAddr, os::unix::fs::symlink, path::Path, time::Duration};

use offload_client::{OverallState, Snapshot, WarningCode};
use offload_tests::{
    Bus, Daemon, Follower, NixConf, daemon::Launch, eventually, fake::Desktop, ground::HERE,
};
use offloadd::clock::Stopwatch;

const ANY: SocketAddr = SocketAddr::new(HERE, 0);
const PATIENCE: Duration = Duration::from_secs(10);
/// Three times as long as a rewrite has to be quiet before it counts as over.
const SILENCE: Duration = Duration::from_millis(300);
/// What the log says of each change that is taken up.
const TAKEN_UP: &str = "Nix's configuration changed";

/// A daemon that watches what a nix.conf names, and who follows it.
struct Scene {
    bus: Bus,
    daemon: Daemon,
    follower: Follower,
    desktop: Desktop,
}

impl Scene {
    /// With `conf` in force; the desktop stands beside it, and nothing leads to it yet.
    async fn start(conf: &Path) -> Self {
        let desktop = Desktop::start(ANY, ANY).await.unwrap();
        let bus = Bus::start().await.unwrap();
        // Only a changed file makes a difference to this daemon before its next check.
        let config = format!("[nix]\nconf = \"{}\"\n", conf.display());
        let daemon = Daemon::start(Launch {
            config,
            bus: bus.address(),
            ..Launch::default()
        });
        let daemon = daemon.await.unwrap();
        daemon.wait_ready().await.unwrap();
        let mut follower = Follower::new(bus.connect().await.unwrap());
        let idle = |s: &Snapshot| s.targets.is_empty();
        follower.until("nothing is watched", idle).await.unwrap();
        Self {
            bus,
            daemon,
            follower,
            desktop,
        }
    }

    /// `substituters` leads to the desktop.
    fn substituters(&self) -> String {
        format!("substituters = {}\n", self.desktop.cache.url())
    }

    /// Waits until `labels` are watched; shows how long that took.
    async fn watched(&mut self, how: &str, labels: &[&str]) -> Snapshot {
        let watch = Stopwatch::start();
        let these = |snapshot: &Snapshot| {
            let watched: Vec<_> = snapshot.targets.iter().map(|t| t.label()).collect();
            watched == labels
        };
        let snapshot = self.follower.until(how, these).await.unwrap();
        println!("{how}: taken up after {:?}", watch.elapsed());
        snapshot
    }

    fn taken_up(&self) -> usize {
        self.daemon.log().matches(TAKEN_UP).count()
    }
}

fn cache(scene: &Scene) -> String {
    format!("cache/{}", scene.desktop.cache.address().ip())
}

#[tokio::test]
async fn a_nix_conf_that_is_rewritten_in_place_is_taken_up() {
    let conf = NixConf::new().unwrap();
    let mut scene = Scene::start(&conf.path()).await;
    let before = scene.daemon.id();
    fs::write(conf.path(), scene.substituters()).unwrap();
    let name = cache(&scene);
    scene.watched("rewritten in place", &[&name]).await;
    let ready = |s: &Snapshot| s.state == OverallState::Ready;
    scene.follower.until("it is checked", ready).await.unwrap();
    fs::write(conf.path(), "").unwrap();
    scene.watched("emptied", &[]).await;
    assert_eq!(scene.daemon.id(), before);
    assert!(fs::exists(format!("/proc/{before}")).unwrap());
}

#[tokio::test]
async fn a_nix_conf_that_another_file_is_renamed_over_is_taken_up() {
    let conf = NixConf::new().unwrap();
    let mut scene = Scene::start(&conf.path()).await;
    let name = cache(&scene);
    // Twice: the second time the watched file is the one that was renamed.
    for round in ["renamed over", "renamed over again"] {
        conf.write("nix.conf", &scene.substituters()).unwrap();
        scene.watched(round, &[&name]).await;
        conf.write("nix.conf", "# Nothing.\n").unwrap();
        scene.watched("nothing again", &[]).await;
    }
}

#[tokio::test]
async fn a_nix_conf_behind_switched_symlinks_is_taken_up() {
    // As on NixOS: nix.conf → static/nix.conf, static → the generation.
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for generation in ["1", "2"] {
        fs::create_dir(path(generation)).unwrap();
    }
    fs::write(path("1/nix.conf"), "").unwrap();
    symlink("1", path("static")).unwrap();
    symlink("static/nix.conf", path("nix.conf")).unwrap();
    let mut scene = Scene::start(&path("nix.conf")).await;
    fs::write(path("2/nix.conf"), scene.substituters()).unwrap();
    let name = cache(&scene);

    for (generation, watched) in [("2", &[&*name][..]), ("1", &[])] {
        symlink(generation, path("static.new")).unwrap();
        fs::rename(path("static.new"), path("static")).unwrap();
        scene
            .watched(&format!("switched to {generation}"), watched)
            .await;
    }
}

#[tokio::test]
async fn an_included_file_is_taken_up_also_when_it_comes_later() {
    let conf = NixConf::new().unwrap();
    let mut scene = Scene::start(&conf.path()).await;
    let (url, name) = (scene.desktop.cache.url(), cache(&scene));
    conf.set_caches(&[(&url, "")]).unwrap();
    scene.watched("the include", &[&name]).await;
    conf.set_caches(&[]).unwrap();
    scene.watched("the include, emptied", &[]).await;
    // nix.conf has `!include not-there.conf`.
    conf.write("not-there.conf", &format!("extra-substituters = {url}\n"))
        .unwrap();
    scene
        .watched("an include that was not there", &[&name])
        .await;
    fs::remove_file(conf.directory().join("not-there.conf")).unwrap();
    scene.watched("an include that is gone", &[]).await;
}

#[tokio::test]
async fn the_machines_file_is_taken_up() {
    let conf = NixConf::new().unwrap();
    let mut scene = Scene::start(&conf.path()).await;
    let address = scene.desktop.ssh.address();
    let name = format!("builder/{}", address.ip());
    let line = format!("ssh-ng://nix-builder@{address} x86_64-linux - 4 1 kvm - -\n");
    conf.write("machines", &line).unwrap();
    let snapshot = scene.watched("the machines file", &[&name]).await;
    assert_eq!(snapshot.targets[0].address, address.to_string());
    fs::remove_file(conf.machines_path()).unwrap();
    scene.watched("no machines file", &[]).await;
}

#[tokio::test]
async fn a_file_that_is_none_of_nixs_changes_nothing() {
    let conf = NixConf::new().unwrap();
    let mut scene = Scene::start(&conf.path()).await;
    let requests = scene.taken_up();
    for file in ["registry.json", "nix.conf.bak", ".nix.conf.swp"] {
        fs::write(conf.directory().join(file), "x").unwrap();
        fs::remove_file(conf.directory().join(file)).unwrap();
    }
    tokio::time::sleep(SILENCE).await;
    assert_eq!(scene.taken_up(), requests);

    fs::write(conf.path(), scene.substituters()).unwrap();
    let name = cache(&scene);
    scene.watched("the real one", &[&name]).await;
    assert_eq!(scene.taken_up(), requests + 1);
    assert_eq!(scene.desktop.ssh.connections(), 0);
}

#[tokio::test]
async fn a_change_leaves_what_did_not_change_alone() {
    let conf = NixConf::new().unwrap();
    let mut scene = Scene::start(&conf.path()).await;
    fs::write(conf.path(), scene.substituters()).unwrap();
    let name = cache(&scene);
    scene.watched("the cache", &[&name]).await;
    let ready = |s: &Snapshot| s.state == OverallState::Ready;
    let before = scene.follower.until("it is ready", ready).await.unwrap();
    let requests = scene.desktop.cache.requests();

    let other = Desktop::start(ANY, ANY).await.unwrap();
    let both = format!(
        "{}extra-substituters = {}\n",
        scene.substituters(),
        other.cache.url()
    );
    fs::write(conf.path(), both).unwrap();
    let two = |s: &Snapshot| s.targets.len() == 2 && s.state == OverallState::Ready;
    let after = scene.follower.until("both are ready", two).await.unwrap();
    assert_eq!(other.cache.requests(), 1);
    let own = |s: &Snapshot| s.targets[0].state_change_timestamp;
    assert_eq!(own(&after), own(&before));
    assert_eq!(
        scene.desktop.cache.requests(),
        requests,
        "it was not asked again"
    );
    assert_eq!(scene.desktop.cache.connections(), 1);
}

#[tokio::test]
async fn a_broken_edit_is_a_warning_until_it_is_mended() {
    let conf = NixConf::new().unwrap();
    let mut scene = Scene::start(&conf.path()).await;
    // Without `fallback` there is advice about it as well.
    let line = format!("{}fallback = true\n", scene.substituters());
    let name = cache(&scene);
    fs::write(conf.path(), &line).unwrap();
    scene.watched("the cache", &[&name]).await;

    fs::write(conf.path(), format!("{line}conect timeout 5\n")).unwrap();
    let broken = |s: &Snapshot| {
        s.warnings
            .iter()
            .any(|w| w.code == WarningCode::NixConfBroken)
    };
    let snapshot = scene.follower.until("a warning", broken).await.unwrap();
    assert_eq!(
        snapshot.targets.len(),
        1,
        "what can be read is still watched"
    );
    assert!(scene.daemon.log().contains("nix-conf-broken: "));

    fs::write(conf.path(), &line).unwrap();
    let mended = |s: &Snapshot| s.warnings.is_empty();
    let snapshot = scene.follower.until("no warning", mended).await.unwrap();
    assert_eq!(snapshot.targets.len(), 1);

    let machines = format!("builders = @{}\n{line}", conf.machines_path().display());
    conf.write("machines", "ssh://a - - many\n").unwrap();
    fs::write(conf.path(), &machines).unwrap();
    let broken =
        |s: &Snapshot| matches!(&s.warnings[..], [w] if w.code == WarningCode::MachinesFileBroken);
    scene
        .follower
        .until("another warning", broken)
        .await
        .unwrap();
    conf.write("machines", "").unwrap();
    scene.follower.until("no warning", mended).await.unwrap();
    // The bus is there still, and the daemon told systemd of each verdict.
    eventually(PATIENCE, "the status", async || {
        scene.daemon.status().filter(|s| s.starts_with("ready"))
    })
    .await
    .unwrap();
    drop(scene.bus);
}
