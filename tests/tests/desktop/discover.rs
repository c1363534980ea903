//! A desktop that is at none of its addresses is looked for, and known by its identity alone.
//!
//! All of it happens between the two network namespaces of a [`Namespace`].

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsFd,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use offload_client::{Kind, Reason, Stage, TargetState};
use offload_tests::{Avahi, Desktop, Laptop, Namespace, Nginx, Sshd, process::run, supported};
use offloadd::{
    clock::Stopwatch,
    discover::{AT_ONCE, How, Judge, Scope, SearchResult, search_with},
    nix::{netrc::Login, version::NixVersion},
    probe::{Identity, search_sockets},
    report::Failure,
    target::{BuilderSpec, CacheSpec, HostKeyRule, Protocol, SpecKind, TargetId, TargetSpec},
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::{net::TcpStream, sync::oneshot};

/// Where the desktop is after it moved.
const MOVED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const SSH: u16 = 2222;
const CACHE: u16 = 5000;
/// The laptop's own network, with its address in it.
const OWN: &str = "192.0.2.2/24";

/// Two machines and a cable; `None` where this user may not lay one.
fn network() -> Option<Namespace> {
    supported(Namespace::new())
}

/// The desktop's address becomes [`MOVED`], and nobody has the old one any more.
fn move_desktop(network: &Namespace) {
    // In this order: with the first address of a network go the others of it.
    for (verb, address) in [("del", Namespace::DESKTOP), ("add", MOVED)] {
        let address = format!("{address}/24");
        let desktop = network.desktop();
        run("ip", ["-n", desktop, "addr", verb, &address, "dev", "lan"]).unwrap();
    }
}

/// A builder that was at the desktop's first address.
fn builder(addresses: &[&str]) -> TargetSpec {
    let parsed = addresses.iter().map(|address| address.parse().unwrap());
    TargetSpec {
        id: TargetId::builder("desktop"),
        uri: format!("ssh-ng://nix-builder@desktop:{SSH}").into(),
        addresses: parsed.collect(),
        kind: SpecKind::Builder(BuilderSpec {
            protocol: Protocol::SshNg,
            host: "desktop".into(),
            user: None,
            port: Some(SSH),
            params: Default::default(),
            ssh_options: String::new(),
            has_agent: false,
            ssh_key: None,
            host_keys: HostKeyRule::default(),
            systems: Vec::new(),
            features: Vec::new(),
            mandatory_features: Vec::new(),
            max_jobs: 1,
            speed_factor: 1.0,
            dispatch: Vec::new(),
        }),
    }
}

/// A cache that was there.
fn cache() -> TargetSpec {
    TargetSpec {
        id: TargetId::cache("desktop"),
        uri: format!("http://{}:{CACHE}", Namespace::DESKTOP).into(),
        addresses: vec![Namespace::DESKTOP.to_string().parse().unwrap()],
        kind: SpecKind::Cache(CacheSpec {
            tls: false,
            host: Namespace::DESKTOP.to_string(),
            port: CACHE,
            path: String::new(),
            store_dir: "/nix/store".into(),
            nix_version: NixVersion::default(),
            ssl_cert_file: None,
            proxy: None,
            login: Login::None,
            netrc_file: "/etc/nix/netrc".into(),
            public_keys: Vec::new(),
            unread: None,
            has_own_keys: false,
            require_sigs: true,
            sample: None,
            substituter: None,
            negative_ttl: 3600,
            positive_ttl: 0,
            host_builder: None,
        }),
    }
}

/// Takes whoever lets it connect for the target; counts the sockets.
#[derive(Default)]
struct Whoever {
    open: AtomicUsize,
    most: AtomicUsize,
    all: AtomicUsize,
}

impl Judge for Whoever {
    async fn identify(&self, address: SocketAddr, bound: Duration) -> Identity {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(open, Ordering::Relaxed);
        self.all.fetch_add(1, Ordering::Relaxed);
        let connected = tokio::time::timeout(bound, TcpStream::connect(address)).await;
        self.open.fetch_sub(1, Ordering::Relaxed);
        match connected {
            Ok(Ok(_)) => Identity::Same,
            Ok(Err(_)) | Err(_) => Identity::Nobody(Failure {
                stage: Stage::Connect,
                reason: Reason::TimedOut,
                detail: "".into(),
            }),
        }
    }
}

/// What a search on the laptop comes to.
#[derive(Debug)]
struct Seen {
    search: SearchResult,
    most: usize,
    all: usize,
    took: Duration,
}

/// Searches from the laptop: on a thread of its own, which moves there.
async fn look(network: &Namespace, wanted: TargetSpec, scope: Scope) -> Seen {
    let laptop = format!("/run/netns/{}", network.laptop());
    let (sender, seen) = oneshot::channel();
    let looking = std::thread::spawn(move || {
        let laptop = File::open(laptop).unwrap();
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(laptop.as_fd(), kind).unwrap();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        let judge = Whoever::default();
        let own = [OWN.parse().unwrap()];
        let watch = Stopwatch::start();
        let search = runtime.block_on(search_with(
            &wanted,
            &scope,
            &own,
            &judge,
            &search_sockets(),
        ));
        let seen = Seen {
            search,
            most: judge.most.into_inner(),
            all: judge.all.into_inner(),
            took: watch.elapsed(),
        };
        sender.send(seen).unwrap();
    });
    let seen = seen.await;
    looking.join().unwrap();
    seen.unwrap()
}

fn by_mdns() -> Scope {
    Scope {
        mdns: true,
        ..Scope::default()
    }
}

fn by_sweep(network: &str) -> Scope {
    Scope {
        sweep: vec![network.parse().unwrap()],
        ..Scope::default()
    }
}

#[tokio::test]
async fn a_real_avahi_tells_where_a_service_is() {
    let Some(network) = network() else { return };
    move_desktop(&network);
    let desktop = network.desktop();
    let services = [("_ssh._tcp", SSH), ("_nix_binary_cache._tcp", CACHE)];
    let avahi = Avahi::start_inside(desktop, "desk", &services).await;
    let avahi = avahi.unwrap();
    let moved = |port| SocketAddr::new(MOVED.into(), port);
    let _nginx = Nginx::start_inside(moved(CACHE), Some(desktop))
        .await
        .unwrap();
    let _sshd = Sshd::start_inside(moved(SSH), Some(desktop)).await.unwrap();

    for (wanted, port) in [(builder(&["192.0.2.6"]), SSH), (cache(), CACHE)] {
        let seen = look(&network, wanted, by_mdns()).await;
        let found = Some((moved(port), How::Mdns));
        assert_eq!(seen.search.found, found, "{seen:?}\n{}", avahi.log());
        assert_eq!(seen.all, 1, "nobody else was named");
    }
}

#[tokio::test]
async fn a_real_avahi_tells_where_a_name_is() {
    let Some(network) = network() else { return };
    move_desktop(&network);
    let desktop = network.desktop();
    // No service is offered at all.
    let avahi = Avahi::start_inside(desktop, "desk", &[]).await.unwrap();
    let moved = SocketAddr::new(MOVED.into(), SSH);
    let _sshd = Sshd::start_inside(moved, Some(desktop)).await.unwrap();
    let named = builder(&["192.0.2.6", "Desk.local"]);
    let seen = look(&network, named, by_mdns()).await;
    let found = Some((moved, How::Mdns));
    assert_eq!(seen.search.found, found, "{seen:?}\n{}", avahi.log());

    let unnamed = look(&network, builder(&["192.0.2.6"]), by_mdns()).await;
    assert_eq!((unnamed.search, unnamed.all), (SearchResult::default(), 0));
    // One second for the answers, and nothing to wait for beside them.
    assert!(unnamed.took < Duration::from_secs(2), "{:?}", unnamed.took);
}

#[tokio::test]
async fn a_sweep_finds_the_desktop_in_time_and_within_its_sockets() {
    let Some(network) = network() else { return };
    move_desktop(&network);
    let moved = SocketAddr::new(MOVED.into(), SSH);
    let wanted = || builder(&["192.0.2.6"]);
    // Nobody listens yet: each address is tried, and no answer comes from most.
    let seen = look(&network, wanted(), by_sweep("192.0.2.0/24")).await;
    assert_eq!(seen.search, SearchResult::default());
    assert_eq!((seen.all, seen.most), (252, AT_ONCE));
    assert!(seen.took < Duration::from_secs(3), "{:?}", seen.took);

    let _sshd = Sshd::start_inside(moved, Some(network.desktop()))
        .await
        .unwrap();
    let seen = look(&network, wanted(), by_sweep("192.0.2.0/24")).await;
    assert_eq!(seen.search.found, Some((moved, How::Sweep)), "{seen:?}");
    assert!(seen.most <= AT_ONCE && seen.took < Duration::from_secs(3));

    let foreign = look(&network, wanted(), by_sweep("198.51.100.0/24")).await;
    assert_eq!(foreign.all, 0, "{foreign:?}");
    assert_eq!(foreign.search.refused.len(), 1);
}

/// The laptop's daemon, and a desktop at the address that Nix is configured with.
struct Desk {
    laptop: Laptop,
    network: Namespace,
    desktop: Desktop,
}

impl Desk {
    async fn start(config: &str) -> Option<Self> {
        let network = network()?;
        let desktop = Desktop::start_inside(&network, Namespace::DESKTOP).await;
        let desktop = desktop.unwrap();
        // Only what is asked for happens: polling would come too late.
        let config = format!(
            "[poll]\ninterval = \"60s\"\nfast_interval = \"60s\"\ntimeout = \"500ms\"\nfall = 1\n\
             {config}"
        );
        Some(Self {
            laptop: desktop.watched(&config).await.unwrap(),
            network,
            desktop,
        })
    }

    /// The desktop moves with everything on it, and the laptop sees that it is gone.
    async fn moves(&mut self) {
        move_desktop(&self.network);
        let moved = |port| SocketAddr::new(MOVED.into(), port);
        self.desktop.nginx.move_to(moved(CACHE)).await.unwrap();
        self.desktop.sshd.move_to(moved(SSH)).await.unwrap();
        let check = self.laptop.offloadctl(&["check"]).await.unwrap();
        assert_eq!(check.code, 3, "{check:?}");
    }

    /// Asks for a search, which finds both.
    async fn is_found(&self) {
        let run = self.laptop.offloadctl(&["discover"]).await.unwrap();
        let log = self.laptop.daemon.log();
        assert_eq!(run.code, 0, "{run:?}\n{log}");
        for (kind, port) in [(Kind::Cache, CACHE), (Kind::Builder, SSH)] {
            let target = self.laptop.the(kind).await.unwrap();
            // Nix still goes to where it was.
            let moved = (TargetState::Degraded, Reason::AddressMoved);
            assert_eq!((target.state, target.reason), moved, "{target:#?}");
            assert_eq!(target.address, format!("{MOVED}:{port}"));
            let told = |how: &str| {
                let line = format!("{} {how} at {}", target.label(), target.address);
                run.stdout.contains(&line)
            };
            // offloadd looks by itself for what is gone, and may have been first, or meanwhile.
            let was_first = run.stdout.starts_with("Nothing is missing") || told("is there");
            assert!(was_first || told("was found"), "{run:?}");
        }
    }
}

#[tokio::test]
async fn who_asks_finds_the_desktop_through_avahi_without_any_configuration() {
    let Some(mut desk) = Desk::start("").await else {
        return;
    };
    desk.moves().await;
    let services = [("_ssh._tcp", SSH), ("_nix_binary_cache._tcp", CACHE)];
    let avahi = Avahi::start_inside(desk.network.desktop(), "desk", &services).await;
    let _avahi = avahi.unwrap();
    desk.is_found().await;
    let again = desk.laptop.offloadctl(&["discover"]).await.unwrap();
    assert!(again.stdout.starts_with("Nothing is missing"), "{again:?}");
}

#[tokio::test]
async fn who_asks_finds_the_desktop_by_a_sweep_that_is_configured() {
    let config = "[discover]\nsweep = [\"192.0.2.0/24\"]\n";
    let Some(mut desk) = Desk::start(config).await else {
        return;
    };
    desk.moves().await;
    desk.is_found().await;
}

#[tokio::test]
async fn a_network_that_the_laptop_is_not_in_is_not_swept() {
    let config = "[discover]\nsweep = [\"198.51.100.0/24\"]\n";
    let Some(mut desk) = Desk::start(config).await else {
        return;
    };
    desk.moves().await;
    let run = desk.laptop.offloadctl(&["discover"]).await.unwrap();
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stdout.contains("builder/"), "{run:?}");
    assert!(run.stdout.contains("was not found"), "{run:?}");
    let log = desk.laptop.daemon.log();
    assert!(log.contains("198.51.100.0/24 is not swept"), "{log}");
}
