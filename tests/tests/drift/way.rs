//! Ready is Nix's way: what Nix does not go to is degraded, with the reason, however well offloadd gets
//! there; and ready at once when that is mended.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use offload_client::{
    Kind, OverallState, Reason, Snapshot, TargetState, WarningCode, reasons, snapshot::Target,
};
use offload_tests::{
    Desktop, Laptop,
    daemon::Launch,
    ground::{CACHE_PORT, SSH_PORT},
    nix_conf::Machine,
    signals::{Content, Signal},
};

use super::{POLL, codes, declared_at, until_none, words};

/// Neither declared nor deployed.
const THIRD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 15, 9));

fn of(snapshot: &Snapshot, kind: Kind) -> Option<&Target> {
    let mut targets = snapshot.targets.iter();
    targets.find(|target| target.kind == kind)
}

/// Waits until the target of `kind` is degraded for `reason`, and then: it has never been ready, programs
/// are told, and its row on the page has the words, once.
async fn until_hindered(laptop: &Laptop, kind: Kind, reason: Reason) -> Target {
    let what = format!("the {kind} is degraded, {reason}");
    let hindered = |now: &Snapshot| of(now, kind).is_some_and(|it| it.reason == reason);
    let snapshot = laptop.until(&what, hindered).await.unwrap();
    let target = of(&snapshot, kind).unwrap().clone();
    assert_eq!(target.state, TargetState::Degraded, "{target:#?}");
    assert_eq!(snapshot.state, OverallState::Degraded);
    let is_ready = laptop.offloadctl(&["is-ready", &target.label()]).await;
    assert_eq!(is_ready.unwrap().code, 3);
    let page = laptop.offloadctl(&["status"]).await.unwrap();
    let page = words(&page.stdout);
    for part in [
        reasons::title_for(&target).to_owned(),
        reasons::explanation_for(&target),
        reasons::remedy_for(&target),
    ] {
        assert_eq!(page.matches(&words(&part)).count(), 1, "{part:?}: {page}");
    }
    target
}

/// Whether a target has been ready since the start.
async fn was_ready(laptop: &Laptop, target: &Target) -> bool {
    let proxy = laptop.target(target).await.unwrap();
    let history = proxy.get_history(64).await.unwrap();
    history.iter().any(|(_, state, ..)| state == "ready")
}

#[tokio::test]
async fn a_desktop_at_a_third_address_is_none_that_nix_gets_to() {
    let mut desktop = Desktop::start().await.unwrap();
    let declared = declared_at(&desktop, "127.0.15.7");
    let third = "addresses = [\"127.0.15.9\"]\n[[builder]]";
    let config = declared.replace("[[builder]]", third) + "addresses = [\"127.0.15.9\"]\n";
    desktop
        .nginx
        .move_to(SocketAddr::new(THIRD, CACHE_PORT))
        .await
        .unwrap();
    desktop
        .sshd
        .move_to(SocketAddr::new(THIRD, SSH_PORT))
        .await
        .unwrap();
    let laptop = desktop.laptop(&config).await.unwrap();
    let builder = until_hindered_twice(&laptop, Reason::AddressMoved).await;
    let told = words(&reasons::explanation_for(&builder));
    for address in ["127.0.15.7:2222", "127.0.15.6:2222", "127.0.15.9:2222"] {
        assert!(told.contains(address), "{told}");
    }
    assert!(!was_ready(&laptop, &builder).await);
    let seen = laptop.snapshot().await.unwrap();
    assert_eq!(codes(&seen), [WarningCode::AddressMoved], "{seen:#?}");

    // While it is nowhere, nothing is said of where it is.
    desktop.nginx.stop();
    desktop.sshd.stop();
    let down = laptop.until("both are down", |now| {
        let mut states = now.targets.iter().map(|it| it.state);
        states.all(|state| state == TargetState::Down)
    });
    let down = down.await.unwrap();
    assert_eq!(codes(&down), [WarningCode::AddressMismatch]);
    let page = laptop.offloadctl(&["status"]).await.unwrap();
    let page = words(&page.stdout);
    assert!(page.contains("is seen at neither now"), "{page}");
    assert!(!page.contains("the desktop is at"), "{page}");
}

/// The same of both; their words stand under the first of them.
async fn until_hindered_twice(laptop: &Laptop, reason: Reason) -> Target {
    let both = |now: &Snapshot| now.targets.iter().all(|it| it.reason == reason);
    let snapshot = laptop.until("both are hindered", both).await.unwrap();
    assert_eq!(snapshot.state, OverallState::Degraded);
    assert!(!snapshot.has_ready_builder());
    let page = laptop.offloadctl(&["status"]).await.unwrap();
    let twin = "as for cache/desktop";
    assert!(words(&page.stdout).contains(twin), "{}", page.stdout);
    of(&snapshot, Kind::Builder).unwrap().clone()
}

#[tokio::test]
async fn a_builder_at_another_port_than_nix_has_is_none_that_nix_gets_to() {
    let desktop = Desktop::start().await.unwrap();
    // By the port of ssh, which is closed.
    let uri = format!("ssh-ng://{}@127.0.15.6", desktop.sshd.user());
    let machine = Machine {
        uri: uri.clone(),
        ..Machine::of(&desktop.sshd).unwrap()
    };
    desktop.nix.set_machines(&[machine]).unwrap();
    let entry = format!("[[builder]]\nname = \"desktop\"\nuri = \"{uri}\"\n");
    let config = format!("{POLL}{entry}addresses = [\"127.0.15.6:2222\"]\n");
    let laptop = desktop.laptop(&config).await.unwrap();
    let builder = until_hindered(&laptop, Kind::Builder, Reason::AddressMoved).await;
    assert_eq!(builder.address, "127.0.15.6:2222");
    assert!(!was_ready(&laptop, &builder).await);
}

#[tokio::test]
async fn builders_that_are_switched_off_are_not_ready() {
    let desktop = Desktop::start().await.unwrap();
    let conf = std::fs::read_to_string(desktop.nix.path()).unwrap();
    let line = format!("builders = @{}", desktop.nix.machines_path().display());
    let off = conf.replace(&line, "builders =");
    assert_ne!(conf, off);
    desktop.nix.write("nix.conf", &off).unwrap();
    let key = desktop.sshd.user_key().display();
    let declared = format!(
        "{}ssh_key = \"{key}\"\n",
        declared_at(&desktop, "127.0.15.6")
    );
    let mut laptop = desktop.laptop(&declared).await.unwrap();
    let builder = until_hindered(&laptop, Kind::Builder, Reason::BuildersDisabled).await;
    assert!(!was_ready(&laptop, &builder).await);
    // Nobody who listens was told otherwise in between.
    let told = laptop.signals.rest().await.unwrap();
    let is_ready =
        |it: &&Signal| matches!(&it.content, Content::Verdict(_, new, _) if new == "ready");
    assert_eq!(told.iter().filter(is_ready).count(), 0, "{told:#?}");
    desktop.nix.write("nix.conf", &conf).unwrap();
    laptop.until_ready().await.unwrap();
}

#[tokio::test]
async fn what_nix_reads_no_list_of_is_not_ready_though_nothing_of_it_is_watched() {
    let desktop = Desktop::start().await.unwrap();
    let laptop = desktop.laptop(POLL).await.unwrap();
    laptop.until_ready().await.unwrap();
    let good = Machine::of(&desktop.sshd).unwrap().line();
    let bad = format!("{good}\nssh-ng://laptop x86_64-linux - many\n");
    desktop.nix.write("machines", &bad).unwrap();
    // The cache is looked at anew: which builder is on its machine is not known any more.
    let broken =
        |now: &Snapshot| now.reason == Reason::MachinesFileBroken && now.cache_state.is_ready();
    let broken = laptop.until("the list is broken", broken).await.unwrap();
    assert_eq!(of(&broken, Kind::Builder), None);
    let states = (broken.state, broken.builder_state, broken.cache_state);
    let degraded = OverallState::Degraded;
    assert_eq!(states, (degraded, degraded, OverallState::Ready));
    let is_ready = laptop.offloadctl(&["is-ready"]).await.unwrap();
    assert_eq!(is_ready.code, 3);
    let page = laptop.offloadctl(&["status"]).await.unwrap();
    let line = "cache ready, Nix uses no builder";
    assert!(page.stdout.contains(line), "{}", page.stdout);
    desktop.nix.write("machines", &format!("{good}\n")).unwrap();
    laptop.until_ready().await.unwrap();
}

#[tokio::test]
async fn a_cache_of_the_command_line_that_nix_lacks_is_not_ready() {
    let desktop = Desktop::start().await.unwrap();
    desktop.nix.set_caches(&[]).unwrap();
    let launch = |import: &str| Launch {
        config: format!(
            "[nix]\nconf = \"{}\"\n{import}{POLL}",
            desktop.nix.path().display()
        ),
        arguments: vec!["--cache".into(), desktop.nginx.url()],
        ..Launch::default()
    };
    let laptop = Laptop::start_with(launch("")).await.unwrap();
    let cache = until_hindered(&laptop, Kind::Cache, Reason::NotInNixConf).await;
    assert!(!was_ready(&laptop, &cache).await);
    let key = desktop.nginx.public_key();
    desktop
        .nix
        .set_caches(&[(&desktop.nginx.url(), key)])
        .unwrap();
    laptop.until_ready().await.unwrap();
    drop(laptop);

    // Where Nix's files are not to be read, what is declared is the way.
    desktop.nix.set_caches(&[]).unwrap();
    let laptop = Laptop::start_with(launch("import = false\n"))
        .await
        .unwrap();
    laptop.until_ready().await.unwrap();
    until_none(&laptop).await;
}

#[tokio::test]
async fn a_builder_without_slots_is_not_ready() {
    let desktop = Desktop::start().await.unwrap();
    let machine = Machine::of(&desktop.sshd).unwrap();
    let none = Machine {
        max_jobs: 0,
        ..machine.clone()
    };
    desktop
        .nix
        .set_machines(std::slice::from_ref(&none))
        .unwrap();
    let laptop = desktop.laptop(POLL).await.unwrap();
    let builder = until_hindered(&laptop, Kind::Builder, Reason::BuilderWithoutSlots).await;
    assert!(!was_ready(&laptop, &builder).await);
    // By another line of the same builder Nix does go there.
    desktop.nix.set_machines(&[none, machine.clone()]).unwrap();
    laptop.until_ready().await.unwrap();
    desktop.nix.set_machines(&[machine]).unwrap();
    until_none(&laptop).await;
}

#[tokio::test]
async fn nothing_is_ready_by_a_nix_conf_that_nix_refuses() {
    let desktop = Desktop::start().await.unwrap();
    let laptop = desktop.laptop(POLL).await.unwrap();
    laptop.until_ready().await.unwrap();
    let conf = std::fs::read_to_string(desktop.nix.path()).unwrap();
    let broken = format!("{conf}fallback = perhaps\n");
    desktop.nix.write("nix.conf", &broken).unwrap();
    until_hindered_by_the_same(&laptop, Reason::NixConfBroken).await;
    desktop.nix.write("nix.conf", &conf).unwrap();
    laptop.until_ready().await.unwrap();

    let off = format!("{conf}substitute = false\n");
    desktop.nix.write("nix.conf", &off).unwrap();
    let off = |now: &Snapshot| now.reason == Reason::SubstitutionOff;
    let off = laptop.until("no cache is used", off).await.unwrap();
    assert_eq!(off.cache_state, OverallState::Degraded);
    assert_eq!(off.builder_state, OverallState::Ready);
}

async fn until_hindered_by_the_same(laptop: &Laptop, reason: Reason) {
    let both = |now: &Snapshot| now.targets.iter().all(|it| it.reason == reason);
    let snapshot = laptop.until("both are hindered", both).await.unwrap();
    assert!(snapshot.targets.len() == 2 && !snapshot.has_ready_builder());
    let page = laptop.offloadctl(&["status"]).await.unwrap();
    let remedy = words(&reasons::remedy_for(&snapshot.targets[0]));
    let page = words(&page.stdout);
    assert_eq!(page.matches(&remedy).count(), 1, "{page}");
}
