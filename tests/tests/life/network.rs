//! Events beat polling: a cable, a route, a neighbour or a resume is noticed when it happens. All
//! intervals are an hour here, so nothing else can have done it.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use offload_client::{Kind, TargetState, names::BUS_NAME};
use offload_tests::{Desktop, Laptop, Namespace, NixConf, eventually, supported};
use zbus::Connection;

const PATIENCE: Duration = Duration::from_secs(20);
const POLL: &str = "[poll]\n\
                    interval = \"1h\"\n\
                    fast_interval = \"1h\"\n\
                    down_max_interval = \"1h\"\n\
                    timeout = \"500ms\"\n\
                    fall = 1\n\
                    rise = 1\n";
/// The desktop's address on a network behind the one with the cable.
const BEHIND: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 6);

struct Desk {
    laptop: Laptop,
    network: Namespace,
    _desktop: Desktop,
}

impl Desk {
    /// A laptop and a desktop with a cable between them, all of it ready; `None` where this user may
    /// not lay one.
    async fn start() -> Option<Self> {
        let desk = Self::start_at(namespace()?, Namespace::DESKTOP).await;
        desk.settled().await;
        Some(desk)
    }

    /// With the desktop at an address that it has by now, but that the laptop may not reach.
    async fn start_at(network: Namespace, address: Ipv4Addr) -> Self {
        let desktop = Desktop::start_inside(&network, address).await.unwrap();
        Self {
            laptop: desktop.laptop(POLL).await.unwrap(),
            network,
            _desktop: desktop,
        }
    }

    async fn settled(&self) {
        self.laptop.until_ready().await.unwrap();
    }

    /// Waits until every target is `away`.
    async fn until_away(&self) {
        let away = self.laptop.until("all is away", |snapshot| {
            let mut targets = snapshot.targets.iter();
            targets.all(|target| target.state == TargetState::Away)
        });
        away.await.unwrap();
    }

    fn logged(&self, words: &str) -> usize {
        self.laptop.daemon.log().matches(words).count()
    }

    /// Waits until the daemon has logged `words` so often.
    async fn until_logged(&self, words: &str, times: usize) {
        eventually(PATIENCE, words, async || {
            (self.logged(words) >= times).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}: {}", self.laptop.daemon.log()));
    }
}

fn namespace() -> Option<Namespace> {
    let network = supported(Namespace::new())?;
    // Nor does IPv6 change the network, a second or two later, when its own address of the
    // link has settled.
    let quiet = ["link set lan addrgenmode none", "-6 addr flush dev lan"];
    for command in quiet {
        network.laptop_ip(command).unwrap();
    }
    Some(network)
}

#[tokio::test]
async fn a_pulled_cable_is_away_at_once_and_ready_when_it_is_back() {
    let Some(mut desk) = Desk::start().await else {
        return;
    };
    desk.laptop.signals.rest().await.unwrap();
    desk.network.set_link(false).unwrap();
    let signals = desk.laptop.signals.until_verdict(PATIENCE, "away");
    let signals = signals.await.unwrap();
    // It was never anything else on the way there.
    for target in desk.laptop.snapshot().await.unwrap().targets {
        let states = signals
            .iter()
            .filter_map(|s| s.value(&target.path(), "State"));
        assert_eq!(states.collect::<Vec<_>>(), ["away"], "{}", target.label());
    }
    desk.network.set_link(true).unwrap();
    let signals = desk.laptop.signals.until_verdict(PATIENCE, "ready");
    for signal in signals.await.unwrap() {
        for target in desk.laptop.snapshot().await.unwrap().targets {
            let state = signal.value(&target.path(), "State");
            assert!(state.is_none_or(|state| state == "ready"), "{signal:?}");
        }
    }
}

#[tokio::test]
async fn a_cable_pulled_at_the_other_end_is_away_too() {
    let Some(desk) = Desk::start().await else {
        return;
    };
    desk.network.desktop_ip("link set lan down").unwrap();
    desk.until_away().await;
    desk.network.desktop_ip("link set lan up").unwrap();
    desk.settled().await;
}

#[tokio::test]
async fn an_address_that_is_given_up_is_away_until_there_is_one() {
    let Some(desk) = Desk::start().await else {
        return;
    };
    desk.network.laptop_ip("addr flush dev lan").unwrap();
    desk.until_away().await;
    let address = format!("addr add {}/24 dev lan", Namespace::LAPTOP);
    desk.network.laptop_ip(&address).unwrap();
    desk.settled().await;
}

#[tokio::test]
async fn a_route_that_appears_makes_a_target_ready() {
    let Some(network) = namespace() else {
        return;
    };
    network
        .desktop_ip(&format!("addr add {BEHIND}/32 dev lo"))
        .unwrap();
    let desk = Desk::start_at(network, BEHIND).await;
    desk.until_away().await;
    let default = format!("route add default via {}", Namespace::DESKTOP);
    let route = format!("route add 198.51.100.0/24 via {}", Namespace::DESKTOP);
    desk.network.laptop_ip(&route).unwrap();
    desk.settled().await;
    // A default route may be any network's: of a private address it says nothing new.
    desk.network.laptop_ip(&default).unwrap();
    desk.until_logged("the network changed", 2).await;
    let snapshot = desk.laptop.snapshot().await.unwrap();
    assert!(snapshot.state.is_ready(), "{snapshot:#?}");
}

#[tokio::test]
async fn what_changes_nothing_of_the_ways_is_no_change() {
    let Some(desk) = Desk::start().await else {
        return;
    };
    // The kernel tells of both; the second tells when it has been read.
    desk.network
        .laptop_ip("link set lan alias another-name")
        .unwrap();
    desk.network
        .laptop_ip("addr add 198.51.100.2/24 dev lan")
        .unwrap();
    desk.until_logged("the network changed", 1).await;
    desk.network
        .laptop_ip("addr del 198.51.100.2/24 dev lan")
        .unwrap();
    desk.until_logged("the network changed", 2).await;
    assert_eq!(desk.logged("the network changed"), 2);
    // Nothing of that concerns the desktop, which was checked at the start and not again.
    for target in desk.laptop.snapshot().await.unwrap().targets {
        assert_eq!(desk.laptop.checks(&target), 1, "{}", target.label());
    }
}

#[tokio::test]
async fn a_desktop_that_speaks_again_is_checked_at_once() {
    let Some(mut desk) = Desk::start().await else {
        return;
    };
    let own = format!("{}/24 dev lan", Namespace::DESKTOP);
    desk.network.desktop_ip(&format!("addr del {own}")).unwrap();
    desk.network.laptop_ip("neigh flush dev lan").unwrap();
    for kind in [Kind::Cache, Kind::Builder] {
        let target = desk.laptop.the(kind).await.unwrap();
        let object = desk.laptop.target(&target).await.unwrap();
        assert_eq!(object.check().await.unwrap(), "down", "{kind}");
    }
    desk.until_logged("listening for neighbours", 1).await;
    desk.laptop.signals.rest().await.unwrap();
    desk.network.desktop_ip(&format!("addr add {own}")).unwrap();
    desk.network.desktop_speaks().unwrap();
    let ready = desk.laptop.signals.until_verdict(PATIENCE, "ready");
    ready.await.unwrap();
    let appeared = format!("{} appeared", Namespace::DESKTOP);
    assert_eq!(desk.logged(&appeared), 1);
    // Nobody is missed any more: nobody is listened for.
    desk.until_logged("no longer listening for neighbours", 1)
        .await;
}

#[tokio::test]
async fn a_resume_is_followed_by_a_check_at_once() {
    let Some(desk) = Desk::start().await else {
        return;
    };
    let before = desk.laptop.snapshot().await.unwrap();
    let logind = desk.laptop.bus.connect().await.unwrap();
    // Whoever is not logind may say so to us alone, and is not believed.
    let another = desk.laptop.bus.connect().await.unwrap();
    sleeps(&another, Some(BUS_NAME), false).await;
    let request = logind.request_name("org.freedesktop.login1").await;
    request.unwrap();
    sleeps(&logind, None, true).await;
    sleeps(&logind, None, false).await;
    for target in &before.targets {
        eventually(PATIENCE, "it is checked again", async || {
            (desk.laptop.checks(target) == 2).then_some(())
        })
        .await
        .unwrap();
    }
    assert_eq!(desk.logged("resumed from suspend"), 1);
    let after = desk.laptop.snapshot().await.unwrap();
    for (before, after) in before.targets.iter().zip(&after.targets) {
        assert!(after.last_check_timestamp > before.last_check_timestamp);
        assert_eq!(after.state_change_timestamp, before.state_change_timestamp);
    }
}

/// Says what logind does before a suspend (`true`) and after it.
async fn sleeps(connection: &Connection, to: Option<&str>, before: bool) {
    let path = "/org/freedesktop/login1";
    let interface = "org.freedesktop.login1.Manager";
    let signal = connection.emit_signal(to, path, interface, "PrepareForSleep", &before);
    signal.await.unwrap();
}

#[tokio::test]
async fn a_round_without_a_bus_knows_the_networks_too() {
    let Some(network) = namespace() else {
        return;
    };
    network.set_link(false).unwrap();
    let program = offload_tests::daemon::program("offloadd").unwrap();
    let cache = format!("http://{}:5000", IpAddr::from(Namespace::DESKTOP));
    let nothing = NixConf::new().unwrap();
    let conf = nothing.path();
    let config = format!("[nix]\nconf = \"{}\"\n", conf.display());
    let file = nothing.directory().join("offloadd.toml");
    std::fs::write(&file, config).unwrap();
    let mut command = network.command(&program);
    command.args(["--once", "--json", "--cache", &cache, "--config"]);
    let output = tokio::process::Command::from({
        command.arg(&file);
        command
    })
    .output()
    .await
    .unwrap();
    let snapshot: offload_client::Snapshot = serde_json::from_slice(&output.stdout).unwrap();
    let target = &snapshot.targets[0];
    assert_eq!(target.state, TargetState::Away, "{snapshot:#?}");
    assert_eq!(output.status.code(), Some(3));
}
