//! Another machine has got the address at which the desktop was: whatever it answers, the desktop is
//! looked for, and found where it proves who it is.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use offload_client::{Kind, Reason, TargetState};
use offload_tests::{Laptop, Namespace, Nginx, NixConf, Sshd, nix_conf::Machine, supported};

/// Where the desktop is after it moved.
const MOVED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const SSH: u16 = 2222;
const CACHE: u16 = 5000;
/// The laptop looks at each address of its network, which ends by itself.
const CONFIG: &str = "[poll]\ntimeout = \"500ms\"\n[discover]\nsweep = [\"192.0.2.0/28\"]\n";

/// A network in which the desktop has both addresses; `None` where this user may not lay one.
fn network() -> Option<Namespace> {
    let network = supported(Namespace::new())?;
    let both = format!("addr add {MOVED}/24 dev lan");
    network.desktop_ip(&both).unwrap();
    Some(network)
}

fn at(address: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::new(address.into(), port)
}

/// Waits until the laptop has found its only target where the desktop is now.
async fn is_found(laptop: &Laptop, kind: Kind, port: u16, what: &str) {
    let moved = at(MOVED, port).to_string();
    let found = |snapshot: &offload_client::Snapshot| {
        let mut targets = snapshot.targets.iter();
        let target = targets.find(|target| target.kind == kind);
        target.is_some_and(|target| target.address == moved)
    };
    laptop.until(what, found).await.unwrap();
    let target = laptop.the(kind).await.unwrap();
    // Nix still goes to where it was.
    let standing = (target.state, target.reason);
    let expected = (TargetState::Degraded, Reason::AddressMoved);
    assert_eq!(standing, expected, "{what}: {target:#?}");
}

#[tokio::test]
async fn a_cache_is_looked_for_whatever_answers_in_its_place() {
    let Some(network) = network() else { return };
    let inside = Some(network.desktop());
    let nginx = Nginx::start_inside(at(MOVED, CACHE), inside).await.unwrap();
    let old = at(Namespace::DESKTOP, CACHE);
    let impostor = Nginx::start_inside(old, inside).await.unwrap();
    let declared = nginx
        .entry("desktop")
        .replace(&MOVED.to_string(), &old.ip().to_string());
    let nix = NixConf::new().unwrap();
    nix.deploy(&declared).unwrap();
    let config = format!("{CONFIG}{declared}");

    let says = impostor.directory().join("cache/nix-cache-info");
    type Answer = fn(&Path);
    let answers: [(&str, Answer); 5] = [
        ("status 404", |says| fs::remove_file(says).unwrap()),
        ("JSON", |says| fs::write(says, "{\"ok\":true}").unwrap()),
        ("a page", |says| {
            fs::write(says, "<!doctype html><title>Printer</title>").unwrap();
        }),
        ("another store directory", |says| {
            fs::write(says, "StoreDir: /gnu/store\n").unwrap();
        }),
        ("a cache of somebody else's", |says| {
            fs::write(says, "StoreDir: /nix/store\nWantMassQuery: 1\n").unwrap();
        }),
    ];
    for (what, answer) in answers {
        answer(&says);
        let laptop = Laptop::start_inside(&nix, &config, Some(network.laptop())).await;
        is_found(&laptop.unwrap(), Kind::Cache, CACHE, what).await;
    }
}

#[tokio::test]
async fn a_builder_is_looked_for_whoever_has_its_address() {
    let Some(network) = network() else { return };
    let inside = Some(network.desktop());
    let sshd = Sshd::start_inside(at(MOVED, SSH), inside).await.unwrap();
    let old = at(Namespace::DESKTOP, SSH);
    let nix = NixConf::new().unwrap();
    let mut machine = Machine::of(&sshd).unwrap();
    machine.uri = machine
        .uri
        .replace(&MOVED.to_string(), &old.ip().to_string());
    nix.set_machines(&[machine]).unwrap();

    let another = Sshd::start_inside(old, inside).await.unwrap();
    let laptop = Laptop::start_inside(&nix, CONFIG, Some(network.laptop())).await;
    is_found(&laptop.unwrap(), Kind::Builder, SSH, "another host key").await;
    drop(another);

    let _web = Nginx::start_inside(old, inside).await.unwrap();
    let laptop = Laptop::start_inside(&nix, CONFIG, Some(network.laptop())).await;
    is_found(&laptop.unwrap(), Kind::Builder, SSH, "no SSH at all").await;
}
