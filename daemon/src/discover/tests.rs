//! Searches with a judge that knows.

use std::{
    future::pending,
    sync::atomic::{AtomicUsize, Ordering},
};

use offload_client::Kind;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::*;
use crate::{
    probe::search_sockets,
    target::{BuilderSpec, SpecKind, TargetId},
};

/// A builder at these addresses, port 22 where they name none.
pub(super) fn builder(addresses: &[&str]) -> TargetSpec {
    let parsed = addresses.iter().map(|address| address.parse().unwrap());
    TargetSpec {
        id: TargetId {
            kind: Kind::Builder,
            name: "desktop".into(),
        },
        uri: "ssh-ng://nix-builder@desktop".into(),
        addresses: parsed.collect(),
        kind: SpecKind::Builder(BuilderSpec::bare("desktop")),
    }
}

pub(super) fn networks(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Answers as `world` says after `takes`, or at the end of the bound, and counts.
struct Oracle<W> {
    world: W,
    now: AtomicUsize,
    most: AtomicUsize,
    tried: mpsc::UnboundedSender<SocketAddr>,
}

/// What one address says, and after how long.
type Said = (Identity, Duration);

/// How many are open, as long as it lives.
struct Open<'a>(&'a AtomicUsize);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<W: Fn(SocketAddr) -> Said + Sync> Judge for Oracle<W> {
    async fn identify(&self, address: SocketAddr, bound: Duration) -> Identity {
        let _ = self.tried.send(address);
        let open = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        let _open = Open(&self.now);
        self.most.fetch_max(open, Ordering::Relaxed);
        let (proof, takes) = (self.world)(address);
        if takes > bound {
            sleep(bound).await;
            let stage = match proof {
                Identity::Nobody(failure) => failure.stage,
                Identity::Same | Identity::Stranger(_) => Stage::HostKey,
            };
            return Identity::Nobody(silence(stage));
        }
        sleep(takes).await;
        proof
    }
}

/// What a search came to, what it tried, how many at once, and how long it took.
struct Seen {
    search: SearchResult,
    tried: Vec<String>,
    most: usize,
    took: Duration,
}

async fn look(wanted: &TargetSpec, sweep: &str, world: impl Fn(SocketAddr) -> Said + Sync) -> Seen {
    let (sender, mut tried) = mpsc::unbounded_channel();
    let oracle = Oracle {
        world,
        now: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
        tried: sender,
    };
    let scope = Scope {
        sweep: vec![sweep.parse().unwrap()],
        ..Scope::default()
    };
    let began = Instant::now();
    let own = networks(&["192.0.2.2/24", "127.0.0.1/8"]);
    let search = search_with(wanted, &scope, &own, &oracle, &search_sockets()).await;
    let took = began.elapsed();
    assert_eq!(oracle.now.load(Ordering::Relaxed), 0, "all are closed");
    tried.close();
    let mut all = Vec::new();
    while let Some(address) = tried.recv().await {
        all.push(address.to_string());
    }
    Seen {
        search,
        tried: all,
        most: oracle.most.load(Ordering::Relaxed),
        took,
    }
}

fn silence(stage: Stage) -> Failure {
    Failure {
        stage,
        reason: Reason::TimedOut,
        detail: "".into(),
    }
}

fn nobody() -> Said {
    (Identity::Nobody(silence(Stage::Connect)), Duration::MAX)
}

fn somebody_else(address: SocketAddr) -> Said {
    let stranger = Stranger {
        address: address.to_string().into(),
        reason: Reason::HostKeyMismatch,
        expected: "SHA256:a".into(),
        actual: "SHA256:b".into(),
    };
    (Identity::Stranger(stranger), Duration::from_millis(20))
}

#[tokio::test(start_paused = true)]
async fn a_whole_network_takes_less_than_three_seconds_and_64_sockets() {
    let seen = look(&builder(&["192.0.2.6"]), "192.0.2.0/24", |_| nobody()).await;
    assert_eq!(seen.search, SearchResult::default());
    assert_eq!(seen.most, AT_ONCE);
    assert!(seen.took < Duration::from_secs(3), "{:?}", seen.took);
    // Neither this machine, nor where the target is known not to be, nor anybody twice.
    let mut tried = seen.tried.clone();
    tried.sort();
    tried.dedup();
    assert_eq!((tried.len(), seen.tried.len()), (252, 252));
    for left_out in ["192.0.2.0", "192.0.2.2", "192.0.2.6", "192.0.2.255"] {
        assert!(!tried.contains(&format!("{left_out}:22")), "{left_out}");
    }
}

#[tokio::test(start_paused = true)]
async fn searches_for_two_targets_share_64_sockets() {
    let (sender, _tried) = mpsc::unbounded_channel();
    let oracle = Oracle {
        world: |_| nobody(),
        now: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
        tried: sender,
    };
    let scope = Scope {
        sweep: vec!["192.0.2.0/24".parse().unwrap()],
        ..Scope::default()
    };
    let (own, sockets) = (networks(&["192.0.2.2/24"]), search_sockets());
    let (desktop, attic) = (builder(&["192.0.2.6"]), builder(&["192.0.2.7:2222"]));
    let look = |wanted| search_with(wanted, &scope, &own, &oracle, &sockets);
    let began = Instant::now();
    let found = tokio::join!(look(&desktop), look(&attic));
    assert_eq!(found, Default::default());
    assert_eq!(oracle.most.load(Ordering::Relaxed), AT_ONCE);
    assert_eq!(sockets.available_permits(), AT_ONCE);
    assert!(began.elapsed() < Duration::from_secs(3), "in turns");
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_first_proof() {
    let home: SocketAddr = "192.0.2.7:22".parse().unwrap();
    let world = |address| {
        if address == home {
            (Identity::Same, Duration::from_millis(100))
        } else {
            nobody()
        }
    };
    let seen = look(&builder(&["192.0.2.6"]), "192.0.2.0/24", world).await;
    assert_eq!(seen.search.found, Some((home, How::Sweep)));
    assert_eq!(seen.tried.len(), AT_ONCE, "no second batch");
    assert_eq!(seen.took, Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn who_is_slow_with_keys_gets_more_time_but_only_once() {
    let home: SocketAddr = "192.0.2.7:22".parse().unwrap();
    let slow: SocketAddr = "192.0.2.9:22".parse().unwrap();
    let world = |address| match address {
        _ if address == home => (Identity::Same, Duration::from_millis(900)),
        _ if address == slow => (Identity::Nobody(silence(Stage::Banner)), Duration::MAX),
        _ => nobody(),
    };
    let wanted = builder(&["192.0.2.6"]);
    let seen = look(&wanted, "192.0.2.0/24", world).await;
    assert_eq!(seen.search.found, Some((home, How::Sweep)));
    assert!(seen.took < Duration::from_secs(3), "{:?}", seen.took);
    let times = |address: SocketAddr| {
        let address = address.to_string();
        seen.tried.iter().filter(|tried| **tried == address).count()
    };
    assert_eq!((times(home), times(slow)), (2, 2));
    assert_eq!(seen.tried.len(), 252 + 2);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_network_is_refused_without_a_packet() {
    let wanted = builder(&["192.0.2.6"]);
    for foreign in ["198.51.100.0/24", "192.0.0.0/22"] {
        let seen = look(&wanted, foreign, |_| panic!("it was tried")).await;
        assert_eq!(seen.tried, [""; 0]);
        let refused: Vec<Ipv4Net> = vec![foreign.parse().unwrap()];
        let expected = SearchResult {
            refused,
            ..SearchResult::default()
        };
        assert_eq!(seen.search, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn others_are_remembered_up_to_a_bound_and_never_used() {
    let wanted = builder(&["192.0.2.6:2222"]);
    let seen = look(&wanted, "127.0.15.0/24", somebody_else).await;
    assert_eq!(seen.search.found, None);
    assert_eq!(seen.search.others.len(), MAX_STRANGERS);
    // They did not claim to be the target.
    assert_eq!(seen.search.strangers, []);
    assert_eq!(seen.tried.len(), 254);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_search_ends_it() {
    let wanted = builder(&["192.0.2.6"]);
    let world = |_| (Identity::Same, Duration::from_secs(3600));
    let limit = Duration::from_millis(10);
    let looking = look(&wanted, "192.0.2.0/24", world);
    assert!(tokio::time::timeout(limit, looking).await.is_err());
}

#[tokio::test]
async fn a_search_can_be_handed_to_a_task() {
    fn handed<T: Send>(_: &T) {}
    let (closed, _) = mpsc::channel(1);
    let context = Context {
        timeout: HINTED,
        deep_timeout: HINTED,
        connection: crate::config::Connection::Keep,
        closed,
        sockets: search_sockets(),
        cache_hosts: tokio::sync::watch::channel(Default::default()).1,
        nix_daemon: tokio::sync::watch::channel(None).1,
        lookups: Default::default(),
    };
    let search = search(
        Arc::new(builder(&["192.0.2.6"])),
        Scope::default(),
        Arc::default(),
        Arc::new(context),
    );
    handed(&search);
    // Nowhere to look is an answer too.
    let never = pending::<()>();
    tokio::select! {
        search = search => assert_eq!(search, SearchResult::default()),
        () = never => {}
    }
}
