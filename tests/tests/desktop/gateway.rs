//! The gateway: one substituter on loopback, with the desktop's caches behind it. The real Nix fetches by it.

mod desk;
mod moved;

use std::{cell::Cell, collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

use futures_util::future::join_all;
use offload_client::{Kind, Snapshot, TargetState};
use offload_tests::{
    Ground, Laptop, Nginx, NixConf,
    daemon::Launch,
    eventually,
    fake::{Cache, Fault, Point},
    ground::{CACHE_PORT, MOVED, free_address},
    process::system_program,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::timeout,
};

use self::desk::{Answer, Desk};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Nothing is checked again within a test unless something happens.
const POLL: &str =
    "[poll]\ninterval = \"10m\"\nfast_interval = \"10m\"\ndown_max_interval = \"10m\"\nfall = 1\n";
const NEW: SocketAddr = SocketAddr::new(MOVED, CACHE_PORT);
/// What no cache has.
const NOBODYS: &str = "/00000000000000000000000000000000.narinfo";

/// The `[[cache]]` of a fake one.
fn entry(cache: &Cache) -> String {
    format!(
        "[[cache]]\nname = \"fake\"\nurl = \"{}\"\npublic_keys = [\"{}\"]\nsample = \"{}\"\n",
        cache.url(),
        cache.public_key(),
        cache.store_path()
    )
}

fn narinfo(store_path: &str) -> String {
    let name = store_path.rsplit('/').next().unwrap();
    format!("/{}.narinfo", &name[..32])
}

fn nar(narinfo: &Answer) -> String {
    nar_of(&narinfo.body)
}

fn nar_of(narinfo: &str) -> String {
    let mut lines = narinfo.lines();
    let url = lines.find_map(|line| line.strip_prefix("URL: "));
    format!("/{}", url.unwrap())
}

#[tokio::test]
async fn nix_fetches_by_it_and_checks_the_signature_itself() {
    let ground = Ground::take().await.unwrap();
    let nginx = Nginx::start(ground.cache()).await.unwrap();
    let desk = Desk::of(&nginx, "").await;
    assert_eq!(desk.laptop.snapshot().await.unwrap().warnings, []);
    let root = tempfile::tempdir().unwrap();
    let fetched = desk
        .fetch(nginx.store_path(), nginx.public_key(), root.path())
        .await;
    assert_eq!(fetched, Ok(()));

    let strange = "somebody-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let other = tempfile::tempdir().unwrap();
    let refused = desk.fetch(nginx.store_path(), strange, other.path()).await;
    assert!(refused.unwrap_err().contains("signature"));
}

#[tokio::test]
async fn what_is_small_is_handed_on_and_to_what_is_large_it_leads() {
    let ground = Ground::take().await.unwrap();
    let nginx = Nginx::start(ground.cache()).await.unwrap();
    let desk = Desk::of(&nginx, "").await;

    let info = desk.get("/nix-cache-info").await;
    assert_eq!(
        (info.status, info.body.lines().next()),
        (200, Some("StoreDir: /nix/store"))
    );
    let path = narinfo(nginx.store_path());
    let found = desk.get(&path).await;
    assert_eq!(
        (found.status, found.header("content-type")),
        (200, "text/x-nix-narinfo")
    );
    assert!(found.body.contains(nginx.store_path()), "{found:?}");

    let nar = nar(&found);
    let lead = desk.get(&nar).await;
    assert_eq!(lead.status, 307, "{lead:?}");
    assert_eq!(lead.header("location"), format!("{}{nar}", nginx.url()));
    assert_eq!(lead.header("accept-ranges"), "bytes");

    let head = desk.ask("HEAD", &path).await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), found.body.len().to_string());
    assert_eq!(desk.get(NOBODYS).await.status, 404);
}

#[tokio::test]
async fn only_what_a_cache_has_is_asked_for_and_only_by_this_machine() {
    let ground = Ground::take().await.unwrap();
    let nginx = Nginx::start(ground.cache()).await.unwrap();
    let desk = Desk::of(&nginx, "").await;
    let asked = nginx.requests();
    for path in [
        "/",
        "/etc/passwd",
        "/nar/../nix-cache-info",
        "http://127.0.0.1:1/nix-cache-info",
    ] {
        assert_eq!(desk.get(path).await.status, 404, "{path}");
    }
    let path = narinfo(nginx.store_path());
    let put = desk.ask("PUT", &path).await;
    assert_eq!((put.status, put.header("allow")), (405, "GET, HEAD"));
    assert_eq!(
        desk.ask_as("desktop.example.org", "GET", &path)
            .await
            .status,
        404
    );
    assert_eq!(nginx.requests(), asked);
}

#[tokio::test]
async fn a_cache_that_is_away_is_a_miss_and_one_that_is_back_is_asked_at_once() {
    let ground = Ground::take().await.unwrap();
    let mut nginx = Nginx::start(ground.cache()).await.unwrap();
    let desk = Desk::of(&nginx, "").await;
    let path = narinfo(nginx.store_path());
    let nar = nar(&desk.get(&path).await);
    nginx.stop();
    desk.until("desktop", TargetState::Down).await;
    for (path, status) in [
        (&path, 404),
        (&nar, 404),
        (&"/nix-cache-info".to_owned(), 200),
    ] {
        assert_eq!(desk.get(path).await.status, status, "{path}");
    }

    nginx.restart().await.unwrap();
    // Nobody checks it for ten minutes: who asks is reason enough, once the verdict is not of just now.
    let back = async || Some(desk.get(&path).await).filter(|it| it.status == 200);
    eventually(PATIENCE, "it is asked again", back)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_cache_that_is_gone_before_anybody_knows_leads_nix_nowhere() {
    let ground = Ground::take().await.unwrap();
    let cache = Cache::start(ground.cache()).await.unwrap();
    let entry = entry(&cache);
    let desk = Desk::start(&entry, &[&cache.public_key()]).await;
    desk.laptop.until_ready().await.unwrap();
    let path = narinfo(&cache.store_path());
    let nar = nar(&desk.get(&path).await);
    assert_eq!(desk.get(&nar).await.status, 307);

    // It accepts, and says no more.
    cache.set(Fault::Silent).await.unwrap();
    assert_eq!(desk.get(&path).await.status, 404);
    desk.until("fake", TargetState::Down).await;
    assert_eq!(desk.get(&nar).await.status, 404);
}

#[tokio::test]
async fn who_is_slow_with_a_path_and_speaks_is_waited_for() {
    let ground = Ground::take().await.unwrap();
    let cache = Cache::start(ground.cache()).await.unwrap();
    let desk = Desk::start(&entry(&cache), &[&cache.public_key()]).await;
    desk.laptop.until_ready().await.unwrap();
    let requests = cache.requests();
    cache
        .set(Fault::StallAfter(Point::CacheInfo))
        .await
        .unwrap();
    let path = narinfo(&cache.store_path());
    let recovers = async {
        // The path, and whether it speaks at all.
        let asked = async || (cache.requests() >= requests + 2).then_some(());
        eventually(PATIENCE, "it is asked whether it speaks", asked)
            .await
            .unwrap();
        cache.set(Fault::Healthy).await.unwrap();
    };
    let (found, ()) = tokio::join!(desk.get(&path), recovers);
    assert_eq!(found.status, 200, "{found:?}");
}

#[tokio::test]
async fn who_accepts_no_connection_is_asked_for_nothing_over_one_that_was_kept() {
    let ground = Ground::take().await.unwrap();
    let cache = Cache::start(ground.cache()).await.unwrap();
    let desk = Desk::start(&entry(&cache), &[&cache.public_key()]).await;
    desk.laptop.until_ready().await.unwrap();
    let path = narinfo(&cache.store_path());
    assert_eq!(desk.get(&path).await.status, 200);
    cache.set(Fault::BlackHole).await.unwrap();
    let requests = cache.requests();
    // What is known of it holds for a second.
    let missing = async || (desk.get(&path).await.status == 404).then_some(());
    eventually(PATIENCE, "it is a miss", missing).await.unwrap();
    let asked = cache.requests() - requests;
    assert_eq!(desk.get(&path).await.status, 404);
    assert_eq!(cache.requests() - requests, asked);
    desk.until("fake", TargetState::Down).await;
}

#[tokio::test]
async fn who_has_not_answered_is_not_asked_again_before_a_check_has_passed() {
    let ground = Ground::take().await.unwrap();
    let nginx = Nginx::start(ground.cache()).await.unwrap();
    // It stays ready, whatever becomes of a check.
    let poll = POLL.replace("fall = 1", "fall = 100");
    let desk = Desk::start_at(&poll, &nginx.entry("desktop"), &[nginx.public_key()]).await;
    desk.laptop.until_ready().await.unwrap();
    nginx.freeze().unwrap();
    for _ in 0..4 {
        assert_eq!(desk.get(NOBODYS).await.status, 404);
    }
    nginx.thaw().unwrap();
    let path = narinfo(nginx.store_path());
    let back = async || Some(desk.get(&path).await).filter(|it| it.status == 200);
    eventually(PATIENCE, "it is asked again", back)
        .await
        .unwrap();
    // What it was asked while it stood still it has read since.
    assert_eq!(nginx.requests_of(NOBODYS), 1, "{}", nginx.log());
}

#[tokio::test]
async fn the_same_path_asked_again_is_a_reason_to_look() {
    let ground = Ground::take().await.unwrap();
    let nginx = Nginx::start(ground.cache()).await.unwrap();
    let desk = Desk::of(&nginx, "").await;
    let cache = desk.laptop.the(Kind::Cache).await.unwrap();
    let nar = nar(&desk.get(&narinfo(nginx.store_path())).await);
    assert_eq!(desk.get(&nar).await.status, 307);
    let checks = desk.laptop.checks(&cache);
    assert_eq!(desk.get(&nar).await.status, 307);
    let checked = async || (desk.laptop.checks(&cache) > checks).then_some(());
    eventually(PATIENCE, "it is checked", checked)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_cache_that_moved_is_where_nix_is_led_and_is_ready() {
    let ground = Ground::take().await.unwrap();
    let nginx = Nginx::start(NEW).await.unwrap();
    let old = format!("http://{}", ground.cache());
    let entry = nginx.entry("desktop").replace(&nginx.url(), &old);
    let entry = entry + &format!("addresses = [\"{MOVED}\"]\n");
    let desk = Desk::start(&entry, &[nginx.public_key()]).await;
    desk.laptop.until_ready().await.unwrap();
    assert_eq!(desk.laptop.snapshot().await.unwrap().warnings, []);
    let nar = nar(&desk.get(&narinfo(nginx.store_path())).await);
    let lead = desk.get(&nar).await;
    assert_eq!(lead.header("location"), format!("{}{nar}", nginx.url()));
    let root = tempfile::tempdir().unwrap();
    let fetched = desk
        .fetch(nginx.store_path(), nginx.public_key(), root.path())
        .await;
    assert_eq!(fetched, Ok(()));
}

#[tokio::test]
async fn of_several_caches_the_one_that_has_it_is_heard_and_led_to() {
    let ground = Ground::take().await.unwrap();
    let nginx = Nginx::start(NEW).await.unwrap();
    // That one answers a check, and of what it is asked beside that nothing.
    let slow = Cache::start(ground.cache()).await.unwrap();
    let entry = entry(&slow);
    let key = slow.public_key();
    let desk = Desk::start(
        &(entry + &nginx.entry("desktop")),
        &[&key, nginx.public_key()],
    )
    .await;
    desk.laptop.until_ready().await.unwrap();
    slow.set(Fault::StallAfter(Point::CacheInfo)).await.unwrap();
    let found = desk.get(&narinfo(nginx.store_path())).await;
    assert_eq!(found.status, 200, "{found:?}");
    let lead = desk.get(&nar(&found)).await;
    assert_eq!(
        lead.header("location"),
        format!("{}{}", nginx.url(), nar(&found))
    );
}

#[tokio::test]
async fn while_one_of_two_caches_comes_and_goes_whoever_asks_is_answered_by_the_other() {
    /// As many connections as Nix has.
    const CLIENTS: usize = 25;
    const BRISK: &str = "[poll]\ninterval = \"1s\"\nfast_interval = \"100ms\"\ndown_max_interval = \"1s\"\ntimeout = \"500ms\"\n\
                         fall = 1\nrise = 1\n";
    let ground = Ground::take().await.unwrap();
    let steady = Cache::start(ground.cache()).await.unwrap();
    let mut flapping = Nginx::start(NEW).await.unwrap();
    let entries = entry(&steady) + &flapping.entry("flapping");
    let key = steady.public_key();
    let keys = [&*key, flapping.public_key()];
    let desk = Desk::start_at(BRISK, &entries, &keys).await;
    desk.laptop.until_ready().await.unwrap();
    let path = narinfo(&steady.store_path());
    let nar = nar(&desk.get(&path).await);
    let is_over = Cell::new(false);
    let ask = async || {
        while !is_over.get() {
            assert_eq!(desk.get(&path).await.status, 200);
            assert_eq!(desk.get(NOBODYS).await.status, 404);
            let lead = desk.get(&nar).await;
            // Of one that has gone since it was heard there is nothing to be had.
            assert!([307, 404].contains(&lead.status), "{lead:?}");
        }
    };
    let flap = async {
        for _ in 0..5 {
            flapping.stop();
            desk.until("flapping", TargetState::Down).await;
            flapping.restart().await.unwrap();
            desk.until("flapping", TargetState::Ready).await;
        }
        is_over.set(true);
    };
    tokio::join!(join_all((0..CLIENTS).map(|_| ask())), flap);
}

#[tokio::test]
async fn of_a_nar_that_it_knows_nothing_of_it_asks_who_has_it() {
    let ground = Ground::take().await.unwrap();
    let nginx = Nginx::start(NEW).await.unwrap();
    let other = Cache::start(ground.cache()).await.unwrap();
    let nar = {
        let desk = Desk::of(&nginx, "").await;
        nar(&desk.get(&narinfo(nginx.store_path())).await)
    };
    let entries = entry(&other) + &nginx.entry("desktop");
    let desk = Desk::start(&entries, &[&other.public_key(), nginx.public_key()]).await;
    desk.laptop.until_ready().await.unwrap();
    let lead = desk.get(&nar).await;
    assert_eq!(
        lead.header("location"),
        format!("{}{nar}", nginx.url()),
        "{lead:?}"
    );
    assert_eq!(desk.get("/nar/nobodys.nar.xz").await.status, 404);
}

#[tokio::test]
async fn where_nix_goes_by_itself_is_told() {
    let ground = Ground::take().await.unwrap();
    let nginx = Nginx::start(ground.cache()).await.unwrap();
    let gateway = free_address().unwrap();
    let nix = NixConf::new().unwrap();
    nix.set_caches(&[(&nginx.url(), nginx.public_key())])
        .unwrap();
    let config = format!("[steer]\ngateway = \"{gateway}\"\n");
    let laptop = Laptop::start(&nix, &config).await.unwrap();
    let snapshot = laptop.until_ready().await.unwrap();
    let codes: Vec<&str> = snapshot
        .warnings
        .iter()
        .map(|it| it.code.as_str())
        .collect();
    assert_eq!(codes, ["not-steered"]);
    let page = laptop.offloadctl(&["status"]).await.unwrap().stdout;
    assert!(page.contains("offloadctl steer --print"), "{page}");
}
