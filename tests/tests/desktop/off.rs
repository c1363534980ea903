//! A desktop that is off, on the laptop's own network: nobody answers for its address.

use offload_client::{Reason, Snapshot, TargetState};
use offload_tests::{Laptop, Namespace, NixConf, nix_conf::Machine, supported};

/// A cache and a builder at `host`, an address of the laptop's network, where nobody listens.
fn nix_at(host: &str) -> NixConf {
    let nix = NixConf::new().unwrap();
    let key = "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=";
    nix.set_caches(&[(&format!("http://{host}:5000"), key)])
        .unwrap();
    let machine = Machine {
        uri: format!("ssh-ng://nix@{host}"),
        systems: "x86_64-linux".into(),
        ssh_key: None,
        max_jobs: 1,
        speed_factor: 1,
        features: String::new(),
        host_key: None,
    };
    nix.set_machines(&[machine]).unwrap();
    nix
}

async fn until_all_are(laptop: &Laptop, state: TargetState, reason: Reason) {
    let are = |now: &Snapshot| now.targets.iter().all(|target| target.state == state);
    let seen = laptop.until(state.as_str(), are).await.unwrap();
    assert_eq!(seen.targets.len(), 2);
    for target in &seen.targets {
        assert_eq!(target.reason, reason, "{target:#?}");
    }
}

#[tokio::test]
async fn who_is_off_is_said_to_be_from_the_first_check_on() {
    for host in ["192.0.2.9", "[fd00::9]"] {
        let Some(network) = supported(Namespace::new()) else {
            return;
        };
        network
            .laptop_ip("addr add fd00::2/64 dev lan nodad")
            .unwrap();
        let nix = nix_at(host);
        let laptop = Laptop::start_inside(&nix, "", Some(network.laptop()));
        let laptop = laptop.await.unwrap();
        until_all_are(&laptop, TargetState::Down, Reason::HostUnreachable).await;
    }
}

#[tokio::test]
async fn who_is_there_and_silent_is_not_said_to_be_off() {
    let Some(network) = supported(Namespace::new()) else {
        return;
    };
    // It answers for the address, and lets nothing in.
    network.desktop_ip("addr add 192.0.2.9/24 dev lan").unwrap();
    network.black_hole([192, 0, 2, 9].into()).unwrap();
    let nix = nix_at("192.0.2.9");
    let laptop = Laptop::start_inside(&nix, "", Some(network.laptop()));
    let laptop = laptop.await.unwrap();
    until_all_are(&laptop, TargetState::Down, Reason::TimedOut).await;
}
