//! What a daemon has learnt is known to the next one, and nothing of it is believed.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use offload_client::{Kind, Reason, Snapshot, TargetState};
use offload_tests::{
    Laptop, Namespace, NixConf, Sshd, daemon::Launch, eventually, nix_conf::Machine, process::run,
    supported,
};

const MOVED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const SSH: u16 = 2222;
const SWEEP: &str = "[discover]\nsweep = [\"192.0.2.0/28\"]\n";
const POLL: &str =
    "[poll]\ninterval = \"60s\"\nfast_interval = \"60s\"\ntimeout = \"500ms\"\nfall = 1\n";

/// A laptop that knows the desktop's builder by its first address, and keeps what it learns in `state`.
async fn laptop(network: &Namespace, nix: &NixConf, state: &Path, discover: &str) -> Laptop {
    let conf = nix.path();
    let launch = Launch {
        config: format!("[nix]\nconf = \"{}\"\n{POLL}{discover}", conf.display()),
        environment: vec![("STATE_DIRECTORY".into(), state.display().to_string())],
        netns: Some(network.laptop().to_owned()),
        ..Launch::default()
    };
    Laptop::start_with(launch).await.unwrap()
}

fn move_desktop(network: &Namespace) {
    for (verb, address) in [("del", Namespace::DESKTOP), ("add", MOVED)] {
        let address = format!("{address}/24");
        let desktop = network.desktop();
        run("ip", ["-n", desktop, "addr", verb, &address, "dev", "lan"]).unwrap();
    }
}

fn is_found(now: &Snapshot) -> bool {
    now.targets.iter().any(|target| {
        target.reason == Reason::AddressMoved && target.address == format!("{MOVED}:{SSH}")
    })
}

#[tokio::test]
async fn a_desktop_that_was_found_is_found_at_once_after_a_restart() {
    let Some(network) = supported(Namespace::new()) else {
        return;
    };
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("state.json");
    let at = |ip: Ipv4Addr| SocketAddr::new(ip.into(), SSH);
    let mut sshd = Sshd::start_inside(at(Namespace::DESKTOP), Some(network.desktop()))
        .await
        .unwrap();
    let nix = NixConf::new().unwrap();
    nix.set_machines(&[Machine::of(&sshd).unwrap()]).unwrap();

    let first = laptop(&network, &nix, state.path(), SWEEP).await;
    first.until_ready().await.unwrap();
    move_desktop(&network);
    sshd.move_to(at(MOVED)).await.unwrap();
    first.offloadctl(&["check"]).await.unwrap();
    first
        .until("it is found by the sweep", is_found)
        .await
        .unwrap();
    let kept = async || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        text.contains(&MOVED.to_string()).then_some(())
    };
    eventually(std::time::Duration::from_secs(10), "it is kept", kept)
        .await
        .unwrap();
    drop(first);

    // Nothing is searched any more but where it was.
    let second = laptop(&network, &nix, state.path(), "").await;
    let found = second.until("it is found where it was", is_found).await;
    found.unwrap_or_else(|error| panic!("{error}\n{}", second.daemon.log()));
    assert!(
        second.daemon.log().contains("by Remembered"),
        "{}",
        second.daemon.log()
    );
    drop(second);

    // Without that file it is not.
    fs::write(&file, "{\"version\":1,").unwrap();
    let third = laptop(&network, &nix, state.path(), "").await;
    let told = third.daemon.log();
    assert!(told.contains("what was learnt before is lost"), "{told}");
    let gone = third.until("it is judged", |now| {
        now.targets[0].state != TargetState::Unknown
    });
    assert!(!is_found(&gone.await.unwrap()));
}

#[tokio::test]
async fn a_forged_file_turns_nothing_green_and_shows_nobody_a_login() {
    let Some(network) = supported(Namespace::new()) else {
        return;
    };
    let state = tempfile::tempdir().unwrap();
    let at = |ip: Ipv4Addr| SocketAddr::new(ip.into(), SSH);
    let sshd = Sshd::start_inside(at(Namespace::DESKTOP), Some(network.desktop()))
        .await
        .unwrap();
    let nix = NixConf::new().unwrap();
    nix.set_machines(&[Machine::of(&sshd).unwrap()]).unwrap();
    drop(sshd);
    move_desktop(&network);
    let impostor = Sshd::start_inside(at(MOVED), Some(network.desktop()))
        .await
        .unwrap();
    let name = {
        let laptop = laptop(&network, &nix, state.path(), "").await;
        laptop.the(Kind::Builder).await.unwrap().name
    };
    let forged = format!(
        "{{\"version\":1,\"found\":{{\"builder\":{{\"{name}\":\"{MOVED}\"}}}},\
         \"proofs\":{{\"builder\":{{\"{name}\":{{\"setup\":\"\",\"at\":1,\"took\":1,\"failures\":0}}}}}}}}"
    );
    fs::write(state.path().join("state.json"), forged).unwrap();
    let laptop = laptop(&network, &nix, state.path(), "").await;
    let down = |now: &Snapshot| now.targets[0].state == TargetState::Down;
    laptop.until("it is not there", down).await.unwrap();
    // It was asked, and did not prove that it is the desktop.
    let asked = async || (impostor.connections() > 0).then_some(());
    eventually(std::time::Duration::from_secs(10), "it is asked", asked)
        .await
        .unwrap();
    laptop.offloadctl(&["check"]).await.unwrap();
    let builder = laptop.the(Kind::Builder).await.unwrap();
    assert_ne!(builder.state, TargetState::Ready, "{builder:#?}");
    assert_ne!(builder.reason, Reason::AddressMoved, "{builder:#?}");
    assert_eq!(impostor.auth_attempts(), 0, "{}", impostor.log());
}
