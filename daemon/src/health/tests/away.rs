//! What the networks of this machine mean to a verdict, and when a target is looked for elsewhere.
//! How to read the scenarios: see `scenarios`.

use std::time::Duration;

use offload_client::{OverallState, Reason, Stage, TargetState};
use proptest::{prelude::*, sample::select};

use super::{
    play::{Play, play},
    properties::{HOUR, SETTLED, any_outcome, any_past, ids},
    world::{PASSED, answer_next, failed, single},
};
use crate::{config::Poll, health::Event, net::Reach};

#[test]
fn without_a_way_it_is_away_at_once_and_back_with_the_first_answer() {
    play(
        "0s     ok       -> ready
         3s     ok
         10s    nowhere  -> away no-route
         ~300s  timed-out
         20s    near
         20s    ok       -> ready
         3s     ok",
    );
    play(
        "0s     begin
         -      nowhere     -> aborted, away no-route
         ~300s  dns-failed
         20s    refresh
         20s    closed
         20s    near
         20s    refused     -> down refused",
    );
}

#[test]
fn a_check_that_finds_the_way_gone_before_the_networks_say_so_is_no_answer() {
    play(
        "0s     ok        -> ready
         3s     ok
         ~30s   no-route
         0s     nowhere   -> away no-route",
    );
    play(
        "0s     refused   -> down refused
         3s     no-route
         0s     nowhere   -> away no-route",
    );
    // The networks have a way, and the kernel does not take it.
    play(
        "0s     ok        -> ready
         3s     ok
         ~30s   no-route
         3s     no-route
         3s     no-route  -> down no-route",
    );
}

#[test]
fn a_check_that_is_asked_for_is_made_though_no_way_is_known() {
    play(
        "0s     ok       -> ready
         3s     ok
         1s     nowhere  -> away no-route
         10s    ask
         10s    timed-out
         10s    ask
         10s    ok
         3s     ok       -> ready
         ~30s   timed-out  -> away no-route
         ~300s  timed-out",
    );
}

#[test]
fn a_name_that_nobody_knows_on_another_network_is_away() {
    // It has answered at home; here it has no address.
    play(
        "0s     ok          -> ready
         3s     ok
         10s    refresh
         10s    dns-failed  -> away dns-failed
         3s     dns-failed
         3s     dns-failed
         ~30s   dns-failed
         ~60s   dns-failed
         60s    refresh
         ~60s   ok          -> ready",
    );
    // Once it is judged by this network, a resolver that stumbles is a fault of this network's.
    play(
        "0s     ok          -> ready
         3s     ok
         ~30s   dns-failed
         3s     dns-failed
         3s     dns-failed  -> down dns-failed",
    );
    // A name of home alone: desktop.local.
    play(
        "0s     begin
         -      by-name
         -      dns-failed  -> away dns-failed
         3s     timed-out   -> down timed-out
         3s     refused     -> down refused",
    );
    // Any other that never answered may be misspelt.
    play("0s dns-failed  -> down dns-failed");
}

#[test]
fn silence_from_afar_is_away_at_the_first_failure() {
    play(
        "0s     ok          -> ready
         3s     ok
         10s    far
         10s    timed-out   -> away timed-out
         ~300s  host-unreachable
         ~300s  host-unreachable  -> away host-unreachable
         ~300s  ok
         3s     ok          -> ready
         ~30s   ok",
    );
}

#[test]
fn what_has_answered_from_afar_is_not_away_for_one_lost_packet() {
    play(
        "0s     ok         -> ready
         1s     far
         1s     ok
         3s     ok
         ~30s   timed-out
         3s     ok
         3s     ok
         ~30s   timed-out
         3s     timed-out
         3s     timed-out  -> down timed-out
         1s     refresh
         1s     timed-out  -> away timed-out",
    );
    // Each of these may lead to it by another way, by which nothing has answered.
    for change in ["refresh", "found", "changed"] {
        let mut play = Play::new();
        for (time, word) in [("0s", "far"), ("0s", "ok"), ("3s", "ok"), ("1s", change)] {
            play.line(time, word);
        }
        play.line("-", "timed-out");
        let health = play.health.target(&play.id).unwrap();
        assert_eq!(health.state, TargetState::Away, "{change}");
    }
}

#[test]
fn a_check_that_the_network_changed_under_proves_no_way() {
    play(
        "0s     begin
         -      refresh
         -      far
         -      ok         -> ready
         3s     timed-out  -> away timed-out",
    );
}

#[test]
fn a_refusal_from_afar_is_somebody() {
    play(
        "0s     ok             -> ready
         1s     far
         1s     refused        -> down refused
         3s     timed-out      -> away timed-out
         ~300s  auth-rejected  -> degraded auth-rejected
         ~30s   dns-failed     -> away dns-failed
         ~300s  refused        -> down refused",
    );
}

#[test]
fn the_first_answer_of_a_far_target_is_not_asked_for_twice() {
    play(
        "0s     begin
         -      far
         -      timed-out  -> away timed-out",
    );
}

#[test]
fn a_pause_wins_over_away() {
    play(
        "0s     ok       -> ready
         1s     pause    -> paused paused
         2s     nowhere
         9s     resume   -> away no-route
         ~300s  timed-out",
    );
    play(
        "0s     ok       -> ready
         1s     nowhere  -> away no-route
         2s     pause    -> paused paused
         3s     near
         9s     resume   -> unknown
         9s     ok       -> ready",
    );
}

#[test]
fn where_it_was_found_the_first_answer_decides_alone() {
    play(
        "0s     refused  -> down refused
         1s     found
         1s     ok       -> ready
         3s     begin
         -      found    -> aborted
         3.5s   ok",
    );
}

#[test]
fn it_is_looked_for_at_each_deep_check_that_misses_it_and_by_no_other() {
    let mut play = Play::new();
    for (time, word, seeks) in [
        ("0s", "ok", 0),
        ("3s", "ok", 0),
        // That was a cheap one: it went to where the target had been, and nowhere else.
        ("30s", "refused", 0),
        ("3s", "refused", 1),
        ("3s", "timed-out", 2),
        ("30s", "host-key-mismatch", 3),
        ("30s", "auth-rejected", 3),
        ("30s", "host-key-unknown", 3),
        ("30s", "not-ssh", 4),
        ("1s", "far", 4),
        ("0s", "timed-out", 4),
        ("1s", "nowhere", 4),
        ("300s", "timed-out", 4),
    ] {
        play.line(time, word);
        assert_eq!(play.seeks, seeks, "{time} {word}");
    }
}

proptest! {
    #[test]
    fn what_no_way_leads_to_is_away_whatever_was_before(
        past in any_past(), reason in select(&[Reason::TimedOut, Reason::NoRoute][..]),
    ) {
        let slowest = past.slowest();
        let mut world = past.world();
        for id in ids() {
            world.reach(&id, Reach::Nowhere);
            let health = world.health.target(&id).unwrap();
            let standing = (health.state, health.reason, health.stage);
            prop_assert_eq!(standing, (TargetState::Away, Reason::NoRoute, Stage::Connect));
            prop_assert_eq!(world.in_flight(&id), None, "it is aborted");
        }
        prop_assert_eq!(world.health.overall().state, OverallState::Away);
        let (starts, changes, seeks) = (world.starts, world.changes, world.seeks);
        world.run(HOUR, |_| failed(reason));
        let most = HOUR.as_millis() / (slowest * 9 / 10).as_millis() + 1;
        prop_assert!((world.starts - starts) as u128 <= most * 3);
        prop_assert_eq!((world.changes, world.seeks), (changes, seeks));

        for id in ids() {
            world.reach(&id, Reach::Near);
            prop_assert!(world.in_flight(&id).is_some(), "it is looked at at once");
            world.answer(&id, PASSED, Duration::ZERO);
            prop_assert_eq!(world.state(&id), TargetState::Ready);
        }
    }

    #[test]
    fn a_way_from_afar_is_judged_by_the_answers(past in any_past(), outcome in any_outcome()) {
        let mut world = past.world();
        for id in ids() {
            world.reach(&id, Reach::Far);
        }
        // Nothing has answered by that way.
        world.happen(Event::Refresh(None));
        world.run(SETTLED, |_| outcome);
        for id in ids() {
            let state = world.state(&id);
            let is_absence = |reason| {
                let absent = ["timed-out", "no-route", "host-unreachable", "dns-failed"];
                absent.contains(&Reason::as_str(reason))
            };
            match outcome {
                // That is no answer.
                Err((_, Reason::OutOfResources)) => {}
                Err((_, reason)) => {
                    prop_assert_eq!(state == TargetState::Away, is_absence(reason));
                }
                Ok(_) => prop_assert!(state != TargetState::Away && state != TargetState::Down),
            }
        }
    }

    #[test]
    fn what_has_answered_from_afar_is_judged_as_what_is_near(
        outcomes in proptest::collection::vec(any_outcome(), 1..30),
    ) {
        let [mut near, mut far] = [Reach::Near, Reach::Far].map(|reach| {
            let (mut world, id) = single(Poll::default(), 1);
            world.reach(&id, reach);
            answer_next(&mut world, &id, PASSED);
            (world, id)
        });
        for outcome in outcomes {
            for (world, id) in [&mut near, &mut far] {
                answer_next(world, id, outcome);
            }
            prop_assert_eq!(near.0.health.target(&near.1), far.0.health.target(&far.1));
        }
    }

    #[test]
    fn ways_that_come_and_go_change_nothing_that_answers(
        reaches in proptest::collection::vec(select(&[Reach::Near, Reach::Far][..]), 1..30),
    ) {
        let (mut world, id) = single(Poll::default(), 1);
        answer_next(&mut world, &id, PASSED);
        let changes = world.changes;
        for reach in reaches {
            world.reach(&id, reach);
            answer_next(&mut world, &id, PASSED);
        }
        prop_assert_eq!(world.changes, changes);
    }
}
