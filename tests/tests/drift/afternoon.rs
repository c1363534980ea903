//! The afternoon itself: the wrong address is named, and the warning turns around when the desktop
//! goes where the configuration had it all the time.

use std::net::SocketAddr;

use offload_client::{
    Kind, Reason, Snapshot, WarningCode,
    snapshot::{Comparison, Target},
    warnings::remedy_for,
};
use offload_tests::{
    Desktop, Ground, Laptop, Nginx, NixConf, Relay, Sshd,
    ground::{CACHE_PORT, HERE, MOVED, SSH_PORT, free_address},
    nix_conf::Machine,
    signals::{Content, Signal},
};

use super::{POLL, declared_at, text, until_none, until_only};

/// The address of the cache in each layer, as `Describe()` has it.
async fn cache_address(laptop: &Laptop) -> Comparison {
    let json = laptop.manager().await.unwrap().describe().await.unwrap();
    let snapshot: Snapshot = serde_json::from_str(&json).unwrap();
    let mut targets = snapshot.targets.into_iter();
    let cache = targets.find(|target| target.kind == Kind::Cache).unwrap();
    let mut layers = cache.layers.into_iter();
    layers.find(|layer| layer.subject == "address").unwrap()
}

#[tokio::test]
async fn the_afternoon_is_named_and_turns_around_when_the_desktop_moves() {
    let mut desktop = Desktop::start().await.unwrap();
    let laptop = desktop
        .laptop(&declared_at(&desktop, "127.0.15.7"))
        .await
        .unwrap();
    let snapshot = laptop.until_ready().await.unwrap();
    let labels: Vec<_> = snapshot.targets.iter().map(|it| it.label()).collect();
    assert_eq!(labels, ["cache/desktop", "builder/desktop"]);
    assert_eq!(snapshot.targets[0].address, "127.0.15.6:5000");
    assert_eq!(snapshot.targets[1].address, "127.0.15.6:2222");

    let warning = until_only(&laptop, WarningCode::AddressMismatch).await;
    assert_eq!(warning.target, Some((Kind::Builder, "desktop".into())));
    assert_eq!(text(&warning, "expected"), "127.0.15.7:2222");
    assert_eq!(text(&warning, "actual"), "127.0.15.6:2222");
    assert_eq!(text(&warning, "observed"), "127.0.15.6:2222");
    assert_eq!(text(&warning, "wrong"), "declared");
    let machines = format!("{}:1", desktop.nix.machines_path().display());
    assert_eq!(text(&warning, "deployed_at"), machines);
    assert!(text(&warning, "declared_at").contains("config.toml:"));
    let remedy = remedy_for(&warning);
    assert!(
        remedy.contains("grep -rn 127.0.15.7 /etc/nixos"),
        "{remedy}"
    );

    let layers = cache_address(&laptop).await;
    let (declared, deployed) = (layers.declared.unwrap(), layers.deployed.unwrap());
    assert_eq!(declared.value, "127.0.15.7:5000");
    assert_eq!(deployed.value, "127.0.15.6:5000");
    assert!(deployed.source.ends_with("/extra.conf:1"), "{deployed:?}");
    assert_eq!(layers.observed.unwrap().value, "127.0.15.6:5000");

    // It goes where the configuration said all the time.
    let (cache, ssh) = (
        SocketAddr::new(MOVED, CACHE_PORT),
        SocketAddr::new(MOVED, SSH_PORT),
    );
    desktop.nginx.move_to(cache).await.unwrap();
    desktop.sshd.move_to(ssh).await.unwrap();
    until_moved(&laptop, "127.0.15.7:").await;
    let turned = until_only(&laptop, WarningCode::AddressMoved).await;
    assert_eq!(text(&turned, "wrong"), "deployed");
    assert_eq!(text(&turned, "actual"), "127.0.15.7:2222");
    let remedy = remedy_for(&turned);
    assert!(remedy.contains("`sudo nixos-rebuild switch`"), "{remedy}");

    // The rebuild.
    let key = desktop.nginx.public_key();
    desktop
        .nix
        .set_caches(&[(&desktop.nginx.url(), key)])
        .unwrap();
    desktop
        .nix
        .set_machines(&[Machine::of(&desktop.sshd).unwrap()])
        .unwrap();
    until_none(&laptop).await;
    laptop.until_ready().await.unwrap();
}

/// Waits until the checks reach both at an address that begins like this, and Nix does not.
async fn until_moved(laptop: &Laptop, there: &str) {
    let moved = laptop.until("it is found where it moved", |now| {
        let is_found =
            |it: &Target| it.reason == Reason::AddressMoved && it.address.starts_with(there);
        now.targets.iter().all(is_found) && !now.has_ready_builder()
    });
    moved.await.unwrap();
}

#[tokio::test]
async fn a_desktop_that_moved_is_told_where_only_its_candidates_are_declared() {
    let mut desktop = Desktop::start().await.unwrap();
    let config = format!(
        "{POLL}[[cache]]\nname = \"desktop\"\naddresses = [\"127.0.15.6\", \"127.0.15.7\"]\n\
         [[builder]]\nname = \"desktop\"\naddresses = [\"127.0.15.6\", \"127.0.15.7\"]\n"
    );
    let laptop = desktop.laptop(&config).await.unwrap();
    laptop.until_ready().await.unwrap();
    until_none(&laptop).await;

    let there = |port| SocketAddr::new(MOVED, port);
    desktop.nginx.move_to(there(CACHE_PORT)).await.unwrap();
    desktop.sshd.move_to(there(SSH_PORT)).await.unwrap();
    // One of the two is found first, and is alone with its warning until then.
    until_moved(&laptop, "127.0.15.7:").await;
    let warning = until_only(&laptop, WarningCode::AddressMoved).await;
    assert_eq!(warning.target, Some((Kind::Builder, "desktop".into())));
    assert_eq!(text(&warning, "expected"), "127.0.15.6:2222");
    assert_eq!(text(&warning, "actual"), "127.0.15.7:2222");
}

/// Nothing is checked again within the test unless something happens.
const ON_EVENTS: &str =
    "[poll]\ninterval = \"10m\"\nfast_interval = \"10m\"\ndown_max_interval = \"10m\"\n";

#[tokio::test]
async fn on_its_way_the_desktop_is_followed_and_each_address_is_told_once() {
    let _ground = Ground::take().await.unwrap();
    let nginx = Nginx::start(free_address().unwrap()).await.unwrap();
    let sshd = Sshd::start(free_address().unwrap()).await.unwrap();
    let at = |host| {
        (
            SocketAddr::new(host, CACHE_PORT),
            SocketAddr::new(host, SSH_PORT),
        )
    };
    let (here, there) = (at(HERE), at(MOVED));
    let url = |address: SocketAddr| format!("http://{address}");
    let uri = |address: SocketAddr| format!("ssh-ng://{}@{address}", sshd.user());
    let relays = [
        Relay::start(here.0, nginx.address()).await.unwrap(),
        Relay::start(here.1, sshd.address()).await.unwrap(),
    ];

    let nix = NixConf::new().unwrap();
    nix.set_caches(&[(&url(here.0), nginx.public_key())])
        .unwrap();
    let machine = Machine {
        uri: uri(here.1),
        ..Machine::of(&sshd).unwrap()
    };
    nix.set_machines(&[machine]).unwrap();
    let cache = nginx.entry("desktop").replace(&nginx.url(), &url(there.0));
    let builder = format!(
        "[[builder]]\nname = \"desktop\"\nuri = \"{}\"\n",
        uri(there.1)
    );
    let config = format!("{ON_EVENTS}{cache}{builder}");
    let mut laptop = Laptop::start(&nix, &config).await.unwrap();
    until_both_at(&laptop, here).await;
    let warning = until_only(&laptop, WarningCode::AddressMismatch).await;
    assert_eq!(text(&warning, "wrong"), "declared");
    laptop.signals.rest().await.unwrap();

    let _relays = [
        Relay::start(there.0, nginx.address()).await.unwrap(),
        Relay::start(there.1, sshd.address()).await.unwrap(),
    ];
    for relay in relays {
        relay.end().await;
    }
    until_moved(&laptop, "127.0.15.7:").await;
    let warning = until_only(&laptop, WarningCode::AddressMoved).await;
    assert_eq!(text(&warning, "wrong"), "deployed");

    let told = laptop.signals.rest().await.unwrap();
    let is_verdict = |it: &&Signal| matches!(&it.content, Content::Verdict(..));
    assert!(told.iter().filter(is_verdict).count() <= 1, "{told:#?}");
    for (kind, address) in [(Kind::Cache, there.0), (Kind::Builder, there.1)] {
        let path = laptop.the(kind).await.unwrap().path();
        let addresses = told.iter().filter_map(|it| it.value(&path, "Address"));
        let addresses: Vec<_> = addresses.collect();
        assert_eq!(addresses, [address.to_string()], "{told:#?}");
    }
}

async fn until_both_at(laptop: &Laptop, (cache, ssh): (SocketAddr, SocketAddr)) {
    let what = format!("it is ready at {cache} and {ssh}");
    let there = laptop.until(&what, |now| {
        let addresses: Vec<_> = now.targets.iter().map(|it| &*it.address).collect();
        now.state.is_ready() && addresses == [cache.to_string(), ssh.to_string()]
    });
    there.await.unwrap();
}
