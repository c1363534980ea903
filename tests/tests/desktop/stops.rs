//! A service of the desktop that stops is noticed when its connection closes, and nothing else
//! suffers for it.

use std::time::Duration;

use offload_client::{Kind, OverallState, Reason, Stage, TargetState};
use offload_tests::{Desktop, Laptop, eventually};
use offloadd::clock::Now;

const PATIENCE: Duration = Duration::from_secs(20);

/// With the intervals that everybody has, returns when no check is due for a long time: what is
/// noticed then at once, no check has found by chance.
async fn at_rest() -> (Desktop, Laptop) {
    let desktop = Desktop::start().await.unwrap();
    let mut laptop = desktop.watched("").await.unwrap();
    let rest = "the first verdicts are confirmed";
    eventually(PATIENCE, rest, async || {
        let now = Now::read().realtime_usec;
        let targets = laptop.snapshot().await.ok()?.targets;
        let rests = targets.iter().all(|target| {
            target.next_check_timestamp > now + 20_000_000
                && target.last_check_timestamp + 1_000_000 < now
        });
        rests.then_some(())
    })
    .await
    .unwrap();
    laptop.signals.rest().await.unwrap();
    (desktop, laptop)
}

#[tokio::test]
async fn a_stopped_cache_is_down_without_a_check_and_ready_after_rise_good_answers() {
    let (mut desktop, mut laptop) = at_rest().await;
    let cache = laptop.the(Kind::Cache).await.unwrap();
    let builder = laptop.the(Kind::Builder).await.unwrap();

    desktop.nginx.stop();
    let down =
        |signal: &offload_tests::signals::Signal| signal.sets(&cache.path(), "State", "down");
    laptop
        .signals
        .until(PATIENCE, "it is down", down)
        .await
        .unwrap();

    let now = laptop.snapshot().await.unwrap();
    assert_eq!(
        (now.state, now.reason),
        (OverallState::Degraded, Reason::Refused)
    );
    assert_eq!(now.cache_state, OverallState::Offline);
    assert_eq!(now.builder_state, OverallState::Ready);
    let stopped = laptop.the(Kind::Cache).await.unwrap();
    assert_eq!(
        (stopped.reason, stopped.stage),
        (Reason::Refused, Stage::Connect)
    );
    let same = laptop.the(Kind::Builder).await.unwrap();
    assert_eq!(same, builder, "the builder suffered for the cache");

    // The first good answer is no verdict, the second is: `rise` is 2.
    desktop.nginx.restart().await.unwrap();
    let object = laptop.target(&cache).await.unwrap();
    assert_eq!(object.check().await.unwrap(), "down");
    assert_eq!(object.consecutive_failures().await.unwrap(), 0);
    assert_eq!(object.check().await.unwrap(), "ready");
    assert!(laptop.until_ready().await.unwrap().state.is_ready());
}

#[tokio::test]
async fn a_killed_builder_is_down_without_a_check_and_ready_after_rise_good_answers() {
    let (mut desktop, mut laptop) = at_rest().await;
    let builder = laptop.the(Kind::Builder).await.unwrap();
    let cache = laptop.the(Kind::Cache).await.unwrap();

    desktop.sshd.stop();
    let down =
        |signal: &offload_tests::signals::Signal| signal.sets(&builder.path(), "State", "down");
    laptop
        .signals
        .until(PATIENCE, "it is down", down)
        .await
        .unwrap();

    let now = laptop.snapshot().await.unwrap();
    assert_eq!(
        (now.state, now.reason),
        (OverallState::Degraded, Reason::Refused)
    );
    assert_eq!(now.builder_state, OverallState::Offline);
    assert_eq!(laptop.the(Kind::Cache).await.unwrap(), cache);

    desktop.sshd.restart().await.unwrap();
    let object = laptop.target(&builder).await.unwrap();
    assert_eq!(object.check().await.unwrap(), "down");
    assert_eq!(object.check().await.unwrap(), "ready");
}

#[tokio::test]
async fn a_session_that_ends_while_the_builder_goes_on_changes_nothing() {
    let (desktop, mut laptop) = at_rest().await;
    let logins = desktop.sshd.logins();
    desktop.sshd.end_sessions().unwrap();
    eventually(PATIENCE, "the laptop is back", async || {
        (desktop.sshd.logins() > logins).then_some(())
    })
    .await
    .unwrap();
    let builder = laptop.until_ready().await.unwrap().targets.remove(1);
    assert_eq!(builder.state, TargetState::Ready);
    assert_eq!(laptop.signals.rest().await.unwrap(), []);
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
    let mut desktop = Desktop::start().await.unwrap();
    let mut laptop = desktop.watched(poll).await.unwrap();
    let cache = laptop.the(Kind::Cache).await.unwrap();
    let builder = laptop.the(Kind::Builder).await.unwrap();
    desktop.nginx.stop();
    desktop.sshd.stop();
    laptop
        .signals
        .until_verdict(PATIENCE, "offline")
        .await
        .unwrap();

    let requests = desktop.nginx.requests();
    desktop.nginx.restart().await.unwrap();
    let ready =
        |signal: &offload_tests::signals::Signal| signal.sets(&cache.path(), "State", "ready");
    laptop
        .signals
        .until(PATIENCE, "the cache is back", ready)
        .await
        .unwrap();
    assert_eq!(desktop.nginx.requests() - requests, 4);

    let logins = desktop.sshd.logins();
    desktop.sshd.restart().await.unwrap();
    let ready =
        |signal: &offload_tests::signals::Signal| signal.sets(&builder.path(), "State", "ready");
    laptop
        .signals
        .until(PATIENCE, "the builder is back", ready)
        .await
        .unwrap();
    // On an old connection nothing becomes ready.
    assert_eq!(desktop.sshd.logins() - logins, 4);
}
