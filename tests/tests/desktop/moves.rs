//! A desktop with more than one address: who answers in its place is passed by, and it is followed
//! from one to the other.

use std::net::SocketAddr;

use offload_client::{Kind, Reason, Snapshot, Stage, TargetState, snapshot::Target};
use offload_tests::{
    Ground, Laptop, Nginx, NixConf, Relay, Sshd,
    fake::{Cache, Fault},
    ground::{CACHE_PORT, HERE, MOVED, SSH_PORT, free_address},
    nginx::Signature,
    signals::Content,
};

const OLD_SSH: SocketAddr = SocketAddr::new(HERE, SSH_PORT);
const NEW_SSH: SocketAddr = SocketAddr::new(MOVED, SSH_PORT);
const OLD_CACHE: SocketAddr = SocketAddr::new(HERE, CACHE_PORT);
const NEW_CACHE: SocketAddr = SocketAddr::new(MOVED, CACHE_PORT);
/// Nothing is checked again within a test unless something happens.
const ON_EVENTS: &str = "[poll]\n\
                         interval = \"10m\"\n\
                         fast_interval = \"10m\"\n\
                         down_max_interval = \"10m\"\n\
                         timeout = \"10s\"\n\
                         deep_timeout = \"15s\"\n";
/// Both addresses, the old one first.
const BOTH: &str = "addresses = [\"127.0.15.6\", \"127.0.15.7\"]\n";

/// The laptop, which knows its desktop by a host key and a signing key, and by two addresses.
async fn laptop(nginx: &Nginx, sshd: &Sshd) -> (Laptop, NixConf) {
    // As it was set up: the desktop at its old address, whatever the truth is now.
    let (user, key) = (sshd.user(), sshd.user_key().display());
    let host_key = sshd.host_key().unwrap();
    let builder = format!(
        "[[builder]]\nname = \"desktop\"\nuri = \"ssh-ng://{user}@{OLD_SSH}\"\n\
         ssh_key = \"{key}\"\nhost_key = \"{}\"\n{BOTH}",
        host_key.trim()
    );
    let (url, now) = (format!("http://{OLD_CACHE}"), nginx.url());
    let cache = nginx.entry("desktop").replace(&now, &url) + BOTH;
    // What is declared is the way: Nix, which would stay at the old address, is not asked.
    let config = format!("import = false\n{ON_EVENTS}{cache}{builder}");
    let nix = NixConf::new().unwrap();
    (Laptop::start(&nix, &config).await.unwrap(), nix)
}

fn of(snapshot: &Snapshot, kind: Kind) -> &Target {
    let mut targets = snapshot.targets.iter();
    targets.find(|target| target.kind == kind).unwrap()
}

fn is_at(snapshot: &Snapshot, kind: Kind, address: SocketAddr) -> bool {
    let target = of(snapshot, kind);
    target.state.is_ready() && target.address == address.to_string()
}

async fn until_both_at(laptop: &Laptop, cache: SocketAddr, ssh: SocketAddr) {
    let there = |now: &Snapshot| is_at(now, Kind::Cache, cache) && is_at(now, Kind::Builder, ssh);
    let what = format!("the cache is at {cache}, the builder at {ssh}");
    laptop.until(&what, there).await.unwrap();
}

#[tokio::test]
async fn an_impostor_at_the_old_address_is_passed_by_and_asked_for_nothing() {
    let _ground = Ground::take().await.unwrap();
    let impostor = Sshd::start(OLD_SSH).await.unwrap();
    let web = Cache::start(OLD_CACHE).await.unwrap();
    web.set(Fault::CaptivePortal).await.unwrap();
    let sshd = Sshd::start(NEW_SSH).await.unwrap();
    let nginx = Nginx::start(NEW_CACHE).await.unwrap();

    let (laptop, _nix) = laptop(&nginx, &sshd).await;
    until_both_at(&laptop, NEW_CACHE, NEW_SSH).await;
    assert!(impostor.connections() > 0, "nobody asked the first address");
    assert_eq!(impostor.auth_attempts(), 0, "{}", impostor.log());
    assert!(web.requests() > 0, "nobody asked the first address");
    assert!(sshd.logins() > 0);
    let cache = laptop.the(Kind::Cache).await.unwrap();
    assert_eq!(cache.stage, Stage::Signature);
}

#[tokio::test]
async fn an_impostor_alone_is_an_alarm_that_no_refusal_hides() {
    let _ground = Ground::take().await.unwrap();
    let impostor = Sshd::start(OLD_SSH).await.unwrap();
    let sshd = Sshd::start(free_address().unwrap()).await.unwrap();
    let nginx = Nginx::start(NEW_CACHE).await.unwrap();

    let (laptop, _nix) = laptop(&nginx, &sshd).await;
    let degraded = laptop.until("it is told", |now| {
        let builder = of(now, Kind::Builder);
        (builder.state, builder.reason) == (TargetState::Degraded, Reason::HostKeyMismatch)
    });
    let builder = of(&degraded.await.unwrap(), Kind::Builder).clone();
    assert_eq!(builder.stage, Stage::HostKey);
    assert_eq!(builder.address, OLD_SSH.to_string());
    assert_eq!(impostor.auth_attempts(), 0, "{}", impostor.log());
    assert_eq!(sshd.connections(), 0);
}

#[tokio::test]
async fn a_cache_that_somebody_else_signs_is_passed_by_also_after_a_lost_connection() {
    let _ground = Ground::take().await.unwrap();
    let foreign = Nginx::start(OLD_CACHE).await.unwrap();
    foreign.sign(Signature::Foreign).unwrap();
    let nginx = Nginx::start(free_address().unwrap()).await.unwrap();
    let relay = Relay::start(NEW_CACHE, nginx.address()).await.unwrap();
    let sshd = Sshd::start(OLD_SSH).await.unwrap();

    let (laptop, _nix) = laptop(&nginx, &sshd).await;
    until_both_at(&laptop, NEW_CACHE, OLD_SSH).await;
    let asked = foreign.requests();
    assert!(asked > 0, "nobody asked the first address");

    // Its connection ends, and whoever answers then has to prove itself, at the first address too.
    let connections = nginx.connections();
    relay.cut();
    let again = |_: &Snapshot| nginx.connections() > connections;
    laptop.until("it is asked again", again).await.unwrap();
    until_both_at(&laptop, NEW_CACHE, OLD_SSH).await;
    assert!(foreign.requests() > asked, "it was asked no more");
}

#[tokio::test]
async fn a_desktop_that_moves_is_followed_at_once_and_its_verdict_stays() {
    let _ground = Ground::take().await.unwrap();
    let nginx = Nginx::start(free_address().unwrap()).await.unwrap();
    let sshd = Sshd::start(free_address().unwrap()).await.unwrap();
    let old_cache = Relay::start(OLD_CACHE, nginx.address()).await.unwrap();
    let old_ssh = Relay::start(OLD_SSH, sshd.address()).await.unwrap();

    let (mut laptop, _nix) = laptop(&nginx, &sshd).await;
    until_both_at(&laptop, OLD_CACHE, OLD_SSH).await;
    laptop.signals.rest().await.unwrap();

    let _new = [
        Relay::start(NEW_CACHE, nginx.address()).await.unwrap(),
        Relay::start(NEW_SSH, sshd.address()).await.unwrap(),
    ];
    old_cache.end().await;
    old_ssh.end().await;
    until_both_at(&laptop, NEW_CACHE, NEW_SSH).await;

    let told = laptop.signals.rest().await.unwrap();
    let verdicts = told
        .iter()
        .filter(|signal| matches!(signal.content, Content::Verdict(..)));
    assert!(verdicts.count() <= 1, "{told:#?}");
    for (kind, address) in [(Kind::Cache, NEW_CACHE), (Kind::Builder, NEW_SSH)] {
        let path = laptop.the(kind).await.unwrap().path();
        let moved = |signal: &&_| sets_address(signal, &path, address);
        assert_eq!(told.iter().filter(moved).count(), 1, "{told:#?}");
    }
}

fn sets_address(signal: &offload_tests::signals::Signal, path: &str, to: SocketAddr) -> bool {
    signal.sets(path, "Address", &to.to_string())
}
