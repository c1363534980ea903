//! What is published: the numbers of a target, the verdict over all, and who may ask.

use std::time::Duration;

use offload_client::{OverallState, Reason, Stage, TargetState};

use super::{
    play::Play,
    world::{PASSED, World, answer_next, failed, single},
};
use crate::{
    config::Poll,
    health::{Denied, Effect, Event},
    target::TargetId,
};

#[test]
fn the_published_numbers_follow_the_checks() {
    let mut play = Play::new();
    play.line("0s", "ok");
    let health = play.health.target(&play.id).unwrap().clone();
    assert_eq!(health.state, TargetState::Ready);
    assert_eq!(health.stage, Stage::Auth);
    assert_eq!(health.since, play.ended);
    assert_eq!(health.last_check, play.ended.realtime_usec);
    assert_eq!(health.last_success, play.ended.realtime_usec);
    assert_eq!(health.next_check, play.ended.realtime_usec + 3_000_000);
    assert_eq!(health.latency, Duration::from_millis(5));
    let risen = play.ended;

    play.line("3s", "timed-out");
    play.line("3s", "timed-out");
    let health = play.health.target(&play.id).unwrap().clone();
    assert_eq!(
        (health.state, health.reason),
        (TargetState::Ready, Reason::None)
    );
    assert_eq!(
        health.stage,
        Stage::Auth,
        "what does not count yet is not told"
    );
    assert_eq!(health.consecutive_failures, 2);
    assert_eq!(health.last_check, play.ended.realtime_usec);
    assert_eq!(health.last_success, risen.realtime_usec);
    assert_eq!(health.since, risen);

    play.line("3s", "timed-out");
    let entries = play.health.history(&play.id, 9);
    let words: Vec<_> = entries
        .iter()
        .map(|e| (e.state, e.reason, e.latency_usec))
        .collect();
    assert_eq!(
        words,
        [
            (TargetState::Down, Reason::TimedOut, 2_000_000),
            (TargetState::Ready, Reason::None, 5_000),
        ]
    );
    assert_eq!(entries[0].timestamp, play.ended.realtime_usec);
    assert_eq!(play.health.history(&play.id, 1), entries[..1]);
}

#[test]
fn another_reason_leaves_the_time_of_the_state_alone() {
    let mut play = Play::new();
    play.line("0s", "auth-rejected");
    let since = play.ended;
    play.line("~30s", "host-key-mismatch");
    let health = play.health.target(&play.id).unwrap();
    assert_eq!(health.reason, Reason::HostKeyMismatch);
    assert_eq!(health.since, since);
}

#[test]
fn the_verdict_over_all_waits_for_all_and_names_the_worst() {
    let (mut world, builder) = single(Poll::default(), 3);
    let cache = TargetId::cache("desktop");
    world.happen(Event::Added(cache.clone()));
    world.answer(&cache, PASSED, Duration::ZERO);
    assert_eq!(world.health.overall().cache_state, OverallState::Ready);
    assert_eq!(world.health.overall().state, OverallState::Unknown);

    world.pass(Duration::from_millis(20));
    let check = world.in_flight(&builder).unwrap();
    let report = Event::Reported {
        target: builder.clone(),
        check,
        outcome: failed(Reason::AuthRejected),
        latency: Duration::ZERO,
    };
    let effects = world.health.handle(world.now, report);
    assert_eq!(
        effects,
        [
            Effect::Changed {
                target: builder,
                old: (TargetState::Unknown, Reason::None),
                new: (TargetState::Degraded, Reason::AuthRejected),
            },
            Effect::OverallChanged {
                old: OverallState::Unknown,
                new: OverallState::Degraded,
                reason: Reason::AuthRejected,
            },
        ]
    );
    assert_eq!(world.health.overall().builder_state, OverallState::Degraded);
    assert_eq!(world.health.overall().since, world.now);
}

#[test]
fn a_steady_success_has_no_effect_at_all() {
    let (mut world, id) = single(Poll::default(), 3);
    answer_next(&mut world, &id, PASSED);
    world.wake();
    let check = world.in_flight(&id).unwrap();
    let effects = world.health.handle(
        world.now,
        Event::Reported {
            target: id,
            check,
            outcome: PASSED,
            latency: Duration::ZERO,
        },
    );
    assert_eq!(effects, []);
}

#[test]
fn nothing_to_watch_is_unknown_and_says_why() {
    let mut world = World::new(Poll::default(), 3);
    assert_eq!(world.health.overall().reason, Reason::NotConfigured);
    assert_eq!(world.health.next_wake(), None);
    let id = TargetId::cache("desktop");
    world.happen(Event::Added(id.clone()));
    world.answer(&id, PASSED, Duration::ZERO);
    assert_eq!(world.health.overall().cache_state, OverallState::Ready);
    assert_eq!(world.health.overall().builder_state, OverallState::Unknown);
    world.happen(Event::Removed(id.clone()));
    assert_eq!(world.health.overall().reason, Reason::NotConfigured);
    assert_eq!(world.health.next_wake(), None);
    assert_eq!(world.health.target(&id), None);
}

#[test]
fn a_shorter_interval_holds_at_once() {
    let (mut world, id) = single(Poll::default(), 3);
    answer_next(&mut world, &id, PASSED);
    answer_next(&mut world, &id, PASSED);
    let interval = Duration::from_secs(5);
    world.happen(Event::PollChanged(Poll {
        interval,
        ..Poll::default()
    }));
    let wake = world.health.next_wake().unwrap();
    assert!(wake - world.now.boot <= interval * 11 / 10);
}

#[test]
fn checks_that_are_asked_for_too_often_are_gathered_for_each_target() {
    let (mut world, id) = single(Poll::default(), 3);
    let other = TargetId::cache("other");
    world.happen(Event::Added(other.clone()));
    world.answer(&id, PASSED, Duration::ZERO);
    world.answer(&other, PASSED, Duration::ZERO);
    for _ in 0..5 {
        world.request(&id);
        assert!(world.in_flight(&id).is_some(), "granted");
        assert_eq!(world.health.request(world.now, &id), Ok(vec![]), "shared");
        world.answer(&id, PASSED, Duration::ZERO);
    }
    for _ in 0..100 {
        world.request(&id);
        assert_eq!(world.in_flight(&id), None, "not yet");
        assert!(world.health.is_asked(&id));
    }
    world.request(&other);
    assert!(world.in_flight(&other).is_some());
    world.answer(&other, PASSED, Duration::ZERO);
    world.wake();
    assert!(world.in_flight(&id).is_some(), "one for all of them");
    world.answer(&id, PASSED, Duration::ZERO);
    assert!(!world.health.is_asked(&id));
    world.pass(Duration::from_secs(2));
    world.request(&id);
    assert!(world.in_flight(&id).is_some(), "and no debt is left");
    world.answer(&id, PASSED, Duration::ZERO);

    let missing = TargetId::cache("missing");
    assert_eq!(
        world.health.request(world.now, &missing),
        Err(Denied::NoSuchTarget)
    );
    world.health.handle(world.now, Event::Pause { until: None });
    assert_eq!(world.health.request(world.now, &id), Err(Denied::Paused));
}

#[test]
fn a_link_change_of_one_target_checks_that_one() {
    let (mut world, id) = single(Poll::default(), 3);
    let other = TargetId::cache("other");
    world.happen(Event::Added(other.clone()));
    world.answer(&id, PASSED, Duration::ZERO);
    world.answer(&other, PASSED, Duration::ZERO);
    world.happen(Event::Refresh(Some(id.clone())));
    assert!(world.in_flight(&id).is_some());
    assert_eq!(world.in_flight(&other), None);
    world.happen(Event::Refresh(None));
    assert!(world.in_flight(&other).is_some());
}

#[test]
fn who_appears_where_a_target_is_missed_is_looked_at_and_proves_no_more_than_before() {
    let (mut world, id) = single(Poll::default(), 3);
    answer_next(&mut world, &id, failed(Reason::Refused));
    assert_eq!(world.in_flight(&id), None);
    world.happen(Event::Appeared(id.clone()));
    let check = world.in_flight(&id);
    assert!(check.is_some());
    // It is being found out.
    world.happen(Event::Appeared(id.clone()));
    assert_eq!(world.in_flight(&id), check);
    world.answer(&id, PASSED, Duration::ZERO);
    assert_eq!(world.state(&id), TargetState::Down);
    answer_next(&mut world, &id, PASSED);
    assert_eq!(world.state(&id), TargetState::Ready);
    world.happen(Event::Pause { until: None });
    world.happen(Event::Appeared(id.clone()));
    assert_eq!(world.in_flight(&id), None);
}

#[test]
fn a_close_never_puts_a_check_off() {
    let poll = Poll {
        interval: Duration::from_millis(500),
        ..Poll::default()
    };
    let (mut world, id) = single(poll, 3);
    answer_next(&mut world, &id, PASSED);
    let close = |world: &mut World, idle| {
        let idle = Duration::from_millis(idle);
        world.pass(idle);
        let target = id.clone();
        world.happen(Event::Closed { target, idle });
    };
    close(&mut world, 300);
    world.answer(&id, PASSED, Duration::ZERO);
    let wake = world.health.next_wake();
    close(&mut world, 10);
    assert_eq!(world.health.next_wake(), wake);
}

#[test]
fn failures_are_counted_anew_after_a_pause() {
    let (mut world, id) = single(Poll::default(), 3);
    answer_next(&mut world, &id, failed(Reason::TimedOut));
    answer_next(&mut world, &id, failed(Reason::TimedOut));
    let failures = |world: &World| world.health.target(&id).unwrap().consecutive_failures;
    assert_eq!(failures(&world), 2);
    world.happen(Event::Pause { until: None });
    world.happen(Event::Resume);
    assert_eq!(failures(&world), 0);
}
