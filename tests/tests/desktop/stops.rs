//! A service of the desktop that stops is noticed when its connection closes, and nothing else
//! suffers for it.

use std::time::Duration;

use offload_client::{Kind, OverallState, Reason, Stage, TargetState};
use offload_tests::{Ground, Laptop, Nginx, NixConf, Sshd, eventually};
use offloadd::clock::{Now, Stopwatch};

const PATIENCE: Duration = Duration::from_secs(20);
/// What the daemon promises for an active refusal.
const AT_ONCE: Duration = Duration::from_secs(1);

struct Desk {
    nginx: Nginx,
    sshd: Sshd,
    laptop: Laptop,
    _nix: NixConf,
    _ground: Ground,
}

impl Desk {
    async fn start(config: &str) -> Self {
        let ground = Ground::take().await.unwrap();
        let nginx = Nginx::start(ground.cache()).await.unwrap();
        let sshd = Sshd::start(ground.ssh()).await.unwrap();
        let nix = NixConf::for_desktop(&nginx, &sshd).unwrap();
        let laptop = Laptop::start(&nix, config).await.unwrap();
        laptop.until_ready().await.unwrap();
        Self {
            nginx,
            sshd,
            laptop,
            _nix: nix,
            _ground: ground,
        }
    }

    /// With the intervals that everybody has, returns when no check is due for a long time: what is
    /// noticed then at once, no check has found by chance.
    async fn at_rest() -> Self {
        let mut desk = Self::start("").await;
        let rest = "the first verdicts are confirmed";
        eventually(PATIENCE, rest, async || {
            let now = Now::read().realtime_usec;
            let targets = desk.laptop.snapshot().await.ok()?.targets;
            let rests = targets.iter().all(|target| {
                target.next_check_timestamp > now + 20_000_000
                    && target.last_check_timestamp + 1_000_000 < now
            });
            rests.then_some(())
        })
        .await
        .unwrap();
        desk.laptop.signals.rest().await.unwrap();
        desk
    }
}

#[tokio::test]
async fn a_stopped_cache_is_down_within_a_second_and_ready_after_rise_good_answers() {
    let mut desk = Desk::at_rest().await;
    let cache = desk.laptop.the(Kind::Cache).await.unwrap();
    let builder = desk.laptop.the(Kind::Builder).await.unwrap();

    let watch = Stopwatch::start();
    desk.nginx.stop();
    let down =
        |signal: &offload_tests::signals::Signal| signal.sets(&cache.path(), "State", "down");
    desk.laptop
        .signals
        .until(PATIENCE, "it is down", down)
        .await
        .unwrap();
    let took = watch.elapsed();
    assert!(took < AT_ONCE, "it took {took:?}");

    let now = desk.laptop.snapshot().await.unwrap();
    assert_eq!(
        (now.state, now.reason),
        (OverallState::Degraded, Reason::Refused)
    );
    assert_eq!(now.cache_state, OverallState::Offline);
    assert_eq!(now.builder_state, OverallState::Ready);
    let stopped = desk.laptop.the(Kind::Cache).await.unwrap();
    assert_eq!(
        (stopped.reason, stopped.stage),
        (Reason::Refused, Stage::Connect)
    );
    let same = desk.laptop.the(Kind::Builder).await.unwrap();
    assert_eq!(same, builder, "the builder suffered for the cache");

    // The first good answer is no verdict, the second is: `rise` is 2.
    desk.nginx.restart().await.unwrap();
    let object = desk.laptop.target(&cache).await.unwrap();
    assert_eq!(object.check().await.unwrap(), "down");
    assert_eq!(object.consecutive_failures().await.unwrap(), 0);
    assert_eq!(object.check().await.unwrap(), "ready");
    assert!(desk.laptop.until_ready().await.unwrap().state.is_ready());
}

#[tokio::test]
async fn a_killed_builder_is_down_within_a_second_and_ready_after_rise_good_answers() {
    let mut desk = Desk::at_rest().await;
    let builder = desk.laptop.the(Kind::Builder).await.unwrap();
    let cache = desk.laptop.the(Kind::Cache).await.unwrap();

    let watch = Stopwatch::start();
    desk.sshd.stop();
    let down =
        |signal: &offload_tests::signals::Signal| signal.sets(&builder.path(), "State", "down");
    desk.laptop
        .signals
        .until(PATIENCE, "it is down", down)
        .await
        .unwrap();
    let took = watch.elapsed();
    assert!(took < AT_ONCE, "it took {took:?}");

    let now = desk.laptop.snapshot().await.unwrap();
    assert_eq!(
        (now.state, now.reason),
        (OverallState::Degraded, Reason::Refused)
    );
    assert_eq!(now.builder_state, OverallState::Offline);
    assert_eq!(desk.laptop.the(Kind::Cache).await.unwrap(), cache);

    desk.sshd.restart().await.unwrap();
    let object = desk.laptop.target(&builder).await.unwrap();
    assert_eq!(object.check().await.unwrap(), "down");
    assert_eq!(object.check().await.unwrap(), "ready");
}

#[tokio::test]
async fn a_session_that_ends_while_the_builder_goes_on_changes_nothing() {
    let mut desk = Desk::at_rest().await;
    let logins = desk.sshd.logins();
    desk.sshd.end_sessions().unwrap();
    eventually(PATIENCE, "the laptop is back", async || {
        (desk.sshd.logins() > logins).then_some(())
    })
    .await
    .unwrap();
    let builder = desk.laptop.until_ready().await.unwrap().targets.remove(1);
    assert_eq!(builder.state, TargetState::Ready);
    assert_eq!(desk.laptop.signals.rest().await.unwrap(), []);
}

#[tokio::test]
async fn what_comes_back_is_found_without_being_asked_after_exactly_rise_checks() {
    // More than the two that are the default, and after the back-off has begun.
    let poll = "[poll]\n\
                interval = \"1s\"\n\
                fast_interval = \"100ms\"\n\
                down_max_interval = \"1s\"\n\
                timeout = \"500ms\"\n\
                rise = 4\n";
    let mut desk = Desk::start(poll).await;
    let cache = desk.laptop.the(Kind::Cache).await.unwrap();
    let builder = desk.laptop.the(Kind::Builder).await.unwrap();
    desk.nginx.stop();
    desk.sshd.stop();
    desk.laptop
        .signals
        .until_verdict(PATIENCE, "offline")
        .await
        .unwrap();

    let requests = desk.nginx.requests();
    desk.nginx.restart().await.unwrap();
    let ready =
        |signal: &offload_tests::signals::Signal| signal.sets(&cache.path(), "State", "ready");
    desk.laptop
        .signals
        .until(PATIENCE, "the cache is back", ready)
        .await
        .unwrap();
    assert_eq!(desk.nginx.requests() - requests, 4);

    let logins = desk.sshd.logins();
    desk.sshd.restart().await.unwrap();
    let ready =
        |signal: &offload_tests::signals::Signal| signal.sets(&builder.path(), "State", "ready");
    desk.laptop
        .signals
        .until(PATIENCE, "the builder is back", ready)
        .await
        .unwrap();
    // On an old connection nothing becomes ready.
    assert_eq!(desk.sshd.logins() - logins, 4);
}
