//! A laptop whose Nix follows the desktop, set up as the README says: it leaves, comes back, and nothing is restarted
//! and nothing configured for that.

use std::net::{Ipv6Addr, UdpSocket};

use offload_client::{Reason, Snapshot, WarningCode};
use offload_tests::{Namespace, eventually, laptop::Run};
use offloadd::clock::Stopwatch;
use tokio::time::timeout;

use crate::desk::{DAEMON, Desk, PATIENCE, builder};

const GATEWAY: &str = "[steer]\ngateway = \"127.0.0.1:5001\"\n";
const SOCKET: &str = "offload-gateway.socket";
/// As the README has it, and then what `steer --print` says is put where it says.
const SET_UP: &str = r#"
    set -e
    systemctl stop offloadd
    systemctl enable --quiet --now offload-gateway.socket
    systemctl start offloadd
    offloadctl steer --print > /root/steer
    sed -n '1,/^$/p' /root/steer > /etc/ssh/ssh_config.d/offloadd.conf
    sed -i '/^substituters/d; /^connect-timeout/d' /etc/nix/nix.conf
    # No store of the internet here, and no sandbox within a container.
    { echo 'substituters ='; echo 'sandbox = false'; sed '1,/^$/d' /root/steer; } >> /etc/nix/nix.conf
    systemctl restart nix-daemon
"#;
/// Who has built it: no two machines have the same.
const BUILD: &str = r#"cat "$(nix-build --no-out-link --expr "derivation {
  name = \"steered-$0\"; system = \"x86_64-linux\"; builder = \"/bin/sh\";
  args = [ \"-c\" \"read -r id < /proc/sys/kernel/random/boot_id; echo \\\$id > \\\$out\" ]; }")""#;

#[tokio::test]
async fn nix_follows_a_desktop_that_comes_and_goes() {
    let Some(mut desk) = Desk::start().await else {
        return;
    };
    it_is_set_up_as_the_readme_says(&desk).await;
    let mut builds = Builds(0);
    builds.goes_to_the_desktop(&desk);
    what_a_silent_cache_has_is_asked_for_again_once_it_answers(&desk).await;
    a_path_comes_through_the_gateway(&desk);

    desk.network.set_link(false).unwrap();
    builds.stays_here(&desk, "the cable is out");
    desk.network.set_link(true).unwrap();
    desk.until_ready().await;
    builds.goes_to_the_desktop(&desk);

    desk.desktop_off();
    builds.stays_here(&desk, "the desktop is off");
    it_is_woken(&desk).await;
    desk.desktop_on().await;
    desk.until_ready().await;
    builds.goes_to_the_desktop(&desk);

    no_question_is_refused_while_offloadd_is_not_there(&desk).await;
    builds.goes_to_the_desktop(&desk);
    // Stopped for good, as by an administrator: what is steered goes the way that it would have gone.
    desk.run(&["systemctl", "stop", SOCKET, DAEMON]);
    desk.run(&["systemctl", "--quiet", "disable", DAEMON]);
    builds.goes_to_the_desktop(&desk);
}

async fn it_is_set_up_as_the_readme_says(desk: &Desk) {
    let place = "/etc/offloadd/config.d/70-steer.toml";
    desk.laptop.container().write(place, GATEWAY).unwrap();
    desk.run(&["sh", "-c", SET_UP]);
    let steered = |said: &Snapshot| {
        let mut codes = said.warnings.iter().map(|warning| warning.code);
        said.state.is_ready() && !codes.any(|code| code == WarningCode::NotSteered)
    };
    desk.until("both are ready along the steered way", steered)
        .await;
    assert_eq!(desk.unit(SOCKET, "SubState"), "running");
}

/// Builds, each another one.
struct Builds(u32);

impl Builds {
    fn build(&mut self, desk: &Desk) -> (String, Run) {
        self.0 += 1;
        let built = desk.laptop.root(&["sh", "-c", BUILD, &self.0.to_string()]);
        let built = built.unwrap();
        (built.stdout.trim().to_owned(), built)
    }

    fn goes_to_the_desktop(&mut self, desk: &Desk) {
        let (id, built) = self.build(desk);
        let desktop = desk.desktop.boot_id().unwrap();
        assert_eq!(id, desktop, "{built:#?}\n{}", desk.journal());
    }

    /// With no more than a line on the terminal that says why.
    fn stays_here(&mut self, desk: &Desk, why: &str) {
        let id = desk.run(&["cat", "/proc/sys/kernel/random/boot_id"]);
        for _ in 0..2 {
            let watch = Stopwatch::start();
            let (here, built) = self.build(desk);
            assert_eq!(here, id.trim(), "{why}: {built:#?}\n{}", desk.journal());
            eprintln!(
                "{why}: built here in {:?}: {}",
                watch.elapsed(),
                built.stderr
            );
        }
    }
}

/// By IPv6 to all nodes, which a network card hears without an address: the unit's sandbox is not in the way.
async fn it_is_woken(desk: &Desk) {
    // Who refuses connections is awake, as a desktop is that is on its way down.
    let is_gone = |said: &Snapshot| builder(said).reason != Reason::Refused;
    desk.until("nobody answers for the builder", is_gone).await;
    // With the cable came new addresses of IPv6: nothing is sent from one before it is known to be nobody else's.
    let is_settled = async || {
        let unsettled = desk.network.laptop_ip("-6 addr show tentative").unwrap();
        unsettled.is_empty().then_some(())
    };
    let settled = eventually(PATIENCE, "the laptop has its addresses", is_settled);
    settled.await.unwrap();
    let listen = || UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 9)).unwrap();
    let heard = Namespace::inside(desk.network.desktop(), listen).unwrap();
    heard.set_nonblocking(true).unwrap();
    let heard = tokio::net::UdpSocket::from_std(heard).unwrap();
    let told = desk.run(&["offloadctl", "wake", "builder/desktop"]);
    assert!(told.contains("magic packet"), "{told}");
    let mut packet = [0; 128];
    let length = timeout(PATIENCE, heard.recv(&mut packet)).await;
    let length = length.expect("nothing is sent").unwrap();
    assert_eq!(packet[..length], desk.network.magic_packet().unwrap());
}

fn a_path_comes_through_the_gateway(desk: &Desk) {
    let path = desk.cache.store_path();
    let _ = desk.laptop.root(&["nix-store", "--delete", path]).unwrap();
    desk.run(&["nix-store", "--realise", path]);
    assert_eq!(desk.run(&["cat", path]), "hello from the desktop\n");
}

/// Not in an hour, for which Nix remembers what it was told is missing.
async fn what_a_silent_cache_has_is_asked_for_again_once_it_answers(desk: &Desk) {
    let path = desk.cache.store_path();
    let _ = desk.laptop.root(&["nix-store", "--delete", path]).unwrap();
    let send = |signal| {
        let command = ["systemctl", "kill", "--signal", signal, "nginx.service"];
        desk.desktop.container().run(&command).unwrap()
    };
    let realise = || desk.laptop.root(&["nix-store", "--realise", path]).unwrap();
    send("STOP");
    let missed = realise();
    // Before a check of it is given up.
    send("CONT");
    assert_ne!(missed.code, 0, "{missed:#?}");
    let fetched = async || (realise().code == 0).then_some(());
    let fetched = eventually(PATIENCE, "it is asked for again", fetched);
    fetched
        .await
        .unwrap_or_else(|late| panic!("{late}\n{}", desk.journal()));
}

async fn no_question_is_refused_while_offloadd_is_not_there(desk: &Desk) {
    let killed = desk.unit(DAEMON, "MainPID");
    desk.run(&["kill", "-KILL", &killed]);
    a_path_comes_through_the_gateway(desk);
    desk.until_ready().await;
    // Whoever asks starts it.
    desk.run(&["systemctl", "stop", DAEMON]);
    a_path_comes_through_the_gateway(desk);
    let runs = async || (desk.unit(DAEMON, "ActiveState") == "active").then_some(());
    eventually(PATIENCE, "the question has started it", runs)
        .await
        .unwrap();
    desk.until_ready().await;
}
