//! What becomes of a target that is not where it should be.

use std::{sync::Arc, time::Duration};

use offload_client::{Reason, TargetState};

use super::stage::{Answer, Stage, builder, cache};
use crate::{
    config::Discover,
    monitor::{DiscoverError, Input, handle::Command},
    plan::Plan,
    report::Stranger,
    target::{TargetId, TargetSpec},
};

pub(super) const OLD: &str = "127.0.15.6";

pub(super) fn mdns() -> Discover {
    Discover {
        mdns: true,
        sweep: Vec::new(),
    }
}

pub(super) fn ids() -> (TargetId, TargetId) {
    (TargetId::builder("desktop"), TargetId::cache("desktop"))
}

pub(super) fn pair() -> Vec<TargetSpec> {
    vec![cache(&[OLD], Some("desktop")), builder(&[OLD])]
}

pub(super) fn stranger() -> Stranger {
    Stranger {
        address: "127.0.15.6:22".into(),
        reason: Reason::HostKeyMismatch,
        expected: "SHA256:a".into(),
        actual: "SHA256:b".into(),
    }
}

pub(super) fn answered(answer: &mut Answer) -> Option<Result<Vec<TargetId>, DiscoverError>> {
    answer.try_recv().ok()
}

#[tokio::test]
async fn a_builder_that_moved_is_found_and_its_cache_with_it() {
    let (id, cache) = ids();
    let mut stage = Stage::new(pair(), mdns());
    stage.check(&cache, Err(Reason::Refused));
    assert!(!stage.is_sought(&cache), "it is where its builder is");
    stage.check(&id, Err(Reason::Refused));
    assert!(stage.is_sought(&id));
    stage.search(&id, Some("127.0.15.7:22"));
    assert_eq!(stage.tried(&id), [OLD, "127.0.15.7:22"]);
    assert_eq!(stage.tried(&cache), [OLD, "127.0.15.7"]);
    assert!(stage.is_checked(&id) && stage.is_checked(&cache), "at once");
    stage.check(&id, Ok("127.0.15.7:22"));
    stage.check(&cache, Ok("127.0.15.7:5000"));
    for (id, address) in [(&id, "127.0.15.7:22"), (&cache, "127.0.15.7:5000")] {
        let target = stage.published(id);
        assert_eq!(target.state, TargetState::Ready, "the first answer decides");
        assert_eq!(target.address, address);
    }
    assert_eq!(
        *stage.monitor.watched[&id].spec,
        builder(&[OLD]),
        "what is configured stays"
    );

    // And back home: what was found is dropped.
    stage.next(&id, Ok("127.0.15.6:22"));
    assert_eq!(stage.tried(&id), [OLD]);
}

#[tokio::test]
async fn nothing_is_searched_for_unless_that_is_configured() {
    let (id, _) = ids();
    let mut stage = Stage::new(pair(), Discover::default());
    stage.check(&id, Err(Reason::Refused));
    assert!(!stage.is_sought(&id));
}

#[tokio::test]
async fn one_search_at_a_time_and_the_next_with_a_later_check() {
    let (id, _) = ids();
    let mut stage = Stage::new(vec![builder(&[OLD])], mdns());
    stage.check(&id, Err(Reason::HostKeyMismatch));
    let number = |stage: &Stage| stage.number(&id);
    let first = number(&stage);
    stage.next(&id, Err(Reason::HostKeyMismatch));
    assert_eq!(number(&stage), first);
    stage.search(&id, None);
    assert!(!stage.is_sought(&id));
    stage.next(&id, Err(Reason::HostKeyMismatch));
    assert!(stage.is_sought(&id));
}

#[tokio::test]
async fn a_cache_follows_its_builder_to_an_address_it_does_not_know() {
    let (id, cache_id) = ids();
    let targets = vec![
        cache(&[OLD], Some("desktop")),
        builder(&[OLD, "127.0.15.7"]),
    ];
    let mut stage = Stage::new(targets, Discover::default());
    stage.check(&id, Ok("127.0.15.7:22"));
    assert_eq!(stage.tried(&cache_id), [OLD], "it may be there yet");
    stage.check(&cache_id, Err(Reason::Refused));
    assert_eq!(stage.tried(&cache_id), [OLD, "127.0.15.7"]);
    stage.check(&cache_id, Err(Reason::Refused));
    assert!(
        !stage.is_checked(&cache_id),
        "it is looked for there already"
    );

    // 127.0.0.1 is the near end of a tunnel.
    let mut stage = Stage::new(pair(), Discover::default());
    stage.check(&cache_id, Err(Reason::Refused));
    stage.check(&id, Ok("127.0.0.1:2222"));
    assert_eq!(stage.tried(&cache_id), [OLD]);
}

#[tokio::test]
async fn what_was_found_and_what_is_sought_goes_with_the_specification() {
    let (id, _) = ids();
    let mut stage = Stage::new(vec![builder(&[OLD])], mdns());
    stage.check(&id, Err(Reason::Refused));
    stage.search(&id, Some("127.0.15.7:22"));
    stage.check(&id, Err(Reason::Refused));
    assert!(stage.is_sought(&id));
    let plan = |targets| Plan {
        targets,
        discover: mdns(),
        ..Plan::default()
    };
    let now = stage.now;
    stage
        .monitor
        .watch(now, plan(vec![builder(&["127.0.15.9"])]));
    assert!(!stage.is_sought(&id));
    assert_eq!(stage.tried(&id), ["127.0.15.9"]);
    stage.check(&id, Err(Reason::Refused));
    stage.monitor.watch(now, plan(Vec::new()));
    let ended = stage.monitor.searches.next().await.unwrap();
    assert!(ended.is_none(), "it is dropped");
}

#[tokio::test]
async fn a_pause_ends_the_searches() {
    let (id, _) = ids();
    let mut stage = Stage::new(vec![builder(&[OLD])], mdns());
    stage.check(&id, Err(Reason::Refused));
    let mut asked = stage.discover();
    let (done, _paused) = tokio::sync::oneshot::channel();
    stage.turn(Input::Command(Command::Pause {
        duration: None,
        done,
    }));
    assert!(!stage.is_sought(&id));
    assert_eq!(answered(&mut asked), Some(Err(DiscoverError::Paused)));
    assert_eq!(
        answered(&mut stage.discover()),
        Some(Err(DiscoverError::Paused))
    );
}

#[tokio::test]
async fn who_asks_is_answered_when_what_was_found_is_checked() {
    let (id, cache) = ids();
    let mut stage = Stage::new(pair(), Discover::default());
    stage.check(&id, Err(Reason::TimedOut));
    stage.check(&cache, Err(Reason::TimedOut));
    let mut answers = [stage.discover(), stage.discover()];
    let (_, scope) = stage.place(&id).search().unwrap();
    assert!(scope.mdns && scope.neighbours && scope.sweep.is_empty());
    stage.search(&id, Some("127.0.15.7:22"));
    stage.check(&id, Ok("127.0.15.7:22"));
    assert_eq!(
        answered(&mut answers[0]),
        None,
        "the cache is not checked yet"
    );
    stage.check(&cache, Ok("127.0.15.7:5000"));
    for mut answer in answers {
        let both = vec![cache.clone(), id.clone()];
        assert_eq!(answered(&mut answer), Some(Ok(both)), "they share it");
    }
    assert_eq!(stage.state(&cache), TargetState::Ready);
    assert_eq!(
        answered(&mut stage.discover()),
        Some(Ok(Vec::new())),
        "all is well"
    );
}

#[tokio::test]
async fn asking_again_soon_is_refused_and_later_is_not() {
    let (id, _) = ids();
    let mut stage = Stage::new(vec![builder(&[OLD])], Discover::default());
    stage.check(&id, Err(Reason::Refused));
    let mut first = stage.discover();
    stage.search(&id, None);
    assert_eq!(answered(&mut first), Some(Ok(Vec::new())));
    stage.now = stage.now.after(Duration::from_millis(9_900));
    assert_eq!(
        answered(&mut stage.discover()),
        Some(Err(DiscoverError::RateLimited))
    );
    stage.now = stage.now.after(Duration::from_millis(200));
    assert_eq!(answered(&mut stage.discover()), None, "it is under way");
    assert!(stage.is_sought(&id));

    let mut nothing = Stage::new(Vec::new(), mdns());
    let refused = Some(Err(DiscoverError::NotConfigured));
    assert_eq!(answered(&mut nothing.discover()), refused);
}

#[tokio::test]
async fn what_checks_and_searches_show_is_what_is_compared() {
    let (id, _) = ids();
    let mut stage = Stage::new(vec![builder(&[OLD, "127.0.15.7"])], mdns());
    assert_eq!(stage.monitor.drift.observed(&id).address, None);
    stage.report(&id, Ok("127.0.15.7:22"), vec![stranger()]);
    let observed = &stage.monitor.drift.observed(&id);
    assert!(observed.passes);
    assert_eq!(observed.address.as_deref(), Some("127.0.15.7:22"));
    assert_eq!(observed.strangers, [stranger()]);
    stage.next(&id, Ok("127.0.15.7:22"));
    assert_eq!(
        stage.monitor.drift.observed(&id).strangers,
        [],
        "it went away"
    );
}

#[tokio::test]
async fn who_waits_for_searches_waits_for_the_check_of_what_they_found() {
    let (id, _) = ids();
    let mut stage = Stage::new(vec![builder(&[OLD])], mdns());
    stage.check(&id, Err(Reason::Refused));
    let (done, mut over) = tokio::sync::oneshot::channel();
    stage.turn(Input::Command(Command::Searched { done }));
    stage.search(&id, Some("127.0.15.7:22"));
    assert!(over.try_recv().is_err());
    stage.check(&id, Ok("127.0.15.7:22"));
    assert_eq!(over.try_recv(), Ok(()));
}

#[tokio::test]
async fn a_search_ends_with_the_networks_that_it_looks_at() {
    let (id, _) = ids();
    let mut stage = Stage::new(vec![builder(&[OLD])], mdns());
    stage.check(&id, Err(Reason::Refused));
    let number = |stage: &Stage| stage.number(&id);
    let here = Arc::new(crate::net::read_now().unwrap());
    stage.turn(Input::Command(Command::Network(here.clone())));
    assert!(!stage.is_sought(&id));
    stage.next(&id, Err(Reason::Refused));
    assert!(stage.is_sought(&id), "with the next check that misses it");

    // Somebody who asked waits for a search of the networks that are there now.
    let mut answer = stage.discover();
    let first = number(&stage);
    stage.turn(Input::Command(Command::Network(here)));
    assert_eq!(number(&stage), first, "nothing changed");
    stage.turn(Input::Command(Command::Network(Arc::default())));
    assert!(stage.is_sought(&id) && number(&stage) != first);
    assert_eq!(answered(&mut answer), None);
    stage.search(&id, None);
    assert_eq!(answered(&mut answer), Some(Ok(Vec::new())));
}
