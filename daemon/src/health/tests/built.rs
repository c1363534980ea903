//! What a test build makes of a builder. `built` and `misbuilt` are the ends of one.

use std::time::Duration;

use offload_client::{Reason, Stage, TargetState};

use super::{
    play::play,
    world::{PASSED, World, answer_next, failed, single},
};
use crate::{config::Poll, health::Event, target::TargetId};

fn tested(world: &mut World, id: &TargetId, outcome: Result<(), Reason>) {
    let target = id.clone();
    world.happen(Event::Tested { target, outcome });
}

fn published(world: &World, id: &TargetId) -> (TargetState, Reason, Stage) {
    let health = world.health.target(id).unwrap();
    (health.state, health.reason, health.stage)
}

#[test]
fn a_failed_test_build_stands_though_checks_pass() {
    play(
        "0s     ok       -> ready
         3s     ok
         10s    misbuilt
         10s    ok       -> degraded build-failed
         ~30s   ok
         ~30s   ok
         10s    built    -> ready
         ~30s   ok",
    );
}

#[test]
fn a_builder_that_goes_away_in_mid_build_is_down_and_nothing_else() {
    play(
        "0s     ok       -> ready
         3s     ok
         10s    misbuilt
         10s    refused  -> down refused
         3s     ok
         3s     ok       -> ready",
    );
}

#[test]
fn what_a_lost_packet_leaves_open_the_next_check_decides() {
    play(
        "0s     ok        -> ready
         3s     ok
         10s    misbuilt
         10s    timed-out
         3s     ok        -> degraded build-failed
         3s     ok
         10s    built     -> ready
         11s    misbuilt
         11s    timed-out
         3s     timed-out
         3s     timed-out -> down timed-out
         ~30s   ok
         3s     ok        -> ready",
    );
}

#[test]
fn a_check_that_began_before_the_build_ended_says_nothing_of_it() {
    play(
        "0s     ok       -> ready
         3s     ok
         ~30s   begin
         -      misbuilt -> aborted
         ~30s   refused  -> down refused",
    );
}

#[test]
fn nix_and_the_checks_disagree_where_a_check_after_the_build_says_otherwise() {
    let (mut world, id) = single(Poll::default(), 3);
    let counted = |world: &World| world.health.target(&id).unwrap().disagreements;
    let fault = Err(Reason::BuildFailed);
    for (before, outcome, after, count) in [
        (PASSED, fault, failed(Reason::Refused), 0),
        (failed(Reason::Refused), Ok(()), PASSED, 0),
        (PASSED, fault, PASSED, 1),
        (PASSED, fault, failed(Reason::Refused), 1),
        (failed(Reason::Refused), Ok(()), failed(Reason::Refused), 2),
        (failed(Reason::Refused), fault, failed(Reason::Refused), 2),
    ] {
        world.run(Duration::from_secs(1800), |_| before);
        tested(&mut world, &id, outcome);
        answer_next(&mut world, &id, after);
        assert_eq!(counted(&world), count, "{before:?}, {outcome:?}, {after:?}");
    }
}

#[test]
fn a_builder_that_comes_back_is_judged_anew() {
    play(
        "0s     ok       -> ready
         3s     ok
         10s    misbuilt
         10s    ok       -> degraded build-failed
         ~30s   refused  -> down refused
         3s     ok
         3s     ok       -> ready",
    );
}

#[test]
fn a_new_specification_makes_a_failed_test_build_old() {
    play(
        "0s     ok       -> ready
         3s     ok
         10s    misbuilt
         10s    ok       -> degraded build-failed
         11s    changed  -> unknown
         11s    ok       -> ready",
    );
}

#[test]
fn a_pause_hides_a_failed_test_build_and_does_not_mend_it() {
    play(
        "0s     ok       -> ready
         3s     ok
         10s    misbuilt
         10s    ok       -> degraded build-failed
         11s    pause    -> paused paused
         12s    resume   -> unknown
         12s    ok       -> degraded build-failed",
    );
}

#[test]
fn a_builder_that_fails_its_checks_keeps_their_reason() {
    play(
        "0s     refused  -> down refused
         1s     misbuilt
         3s     ok
         3s     ok       -> ready",
    );
}

#[test]
fn where_a_check_cannot_look_as_far_as_nix_goes_what_nix_has_built_decides() {
    play(
        "0s     known-hosts-unreadable@host-key -> unknown known-hosts-unreadable
         10s    built    -> ready
         ~30s   known-hosts-unreadable@host-key
         10s    misbuilt
         10s    known-hosts-unreadable@host-key -> degraded build-failed
         ~120s  known-hosts-unreadable@host-key
         10s    built    -> ready
         11s    unproved -> unknown known-hosts-unreadable",
    );
}

#[test]
fn a_builder_that_nix_has_proved_is_down_as_soon_as_it_is_not_there() {
    play(
        "0s     not-visible@auth -> unknown not-visible
         10s    built    -> ready
         ~30s   refused  -> down refused
         3s     not-visible@auth -> ready",
    );
}

#[test]
fn what_was_built_makes_nothing_ready_where_nobody_is_heard() {
    play(
        "0s     ssh-config-unsupported@connect -> unknown ssh-config-unsupported
         10s    built
         11s    misbuilt
         11s    host-key-mismatch@host-key -> degraded host-key-mismatch
         10s    built",
    );
}

#[test]
fn a_new_specification_is_yet_to_be_proved() {
    play(
        "0s     ssh-config-unsupported@host-key -> unknown ssh-config-unsupported
         10s    built    -> ready
         11s    changed  -> unknown
         11s    ssh-config-unsupported@host-key -> unknown ssh-config-unsupported",
    );
}

#[test]
fn nix_does_not_go_where_something_keeps_it_away_though_it_could_build_there() {
    play(
        "0s     ssh-config-unsupported@host-key -> unknown ssh-config-unsupported
         10s    built    -> ready
         11s    hindered -> degraded address-moved
         12s    lifted   -> ready",
    );
}

#[test]
fn the_stage_of_a_failed_test_build_is_its_own() {
    let (mut world, id) = single(Poll::default(), 3);
    answer_next(&mut world, &id, PASSED);
    tested(&mut world, &id, Err(Reason::BuiltLocally));
    answer_next(&mut world, &id, PASSED);
    let local = (TargetState::Degraded, Reason::BuiltLocally, Stage::Build);
    assert_eq!(published(&world, &id), local);
    answer_next(&mut world, &id, PASSED);
    assert_eq!(published(&world, &id), local);
    tested(&mut world, &id, Err(Reason::BuiltElsewhere));
    answer_next(&mut world, &id, PASSED);
    assert_eq!(published(&world, &id).1, Reason::BuiltElsewhere);
    tested(&mut world, &id, Ok(()));
    let ready = (TargetState::Ready, Reason::None, Stage::Auth);
    assert_eq!(published(&world, &id), ready);
}

#[test]
fn a_lost_packet_does_not_mend_a_failed_test_build() {
    let (mut world, id) = single(Poll::default(), 3);
    answer_next(&mut world, &id, PASSED);
    tested(&mut world, &id, Err(Reason::BuildFailed));
    answer_next(&mut world, &id, PASSED);
    answer_next(&mut world, &id, failed(Reason::TimedOut));
    let expected = (TargetState::Degraded, Reason::BuildFailed, Stage::Build);
    assert_eq!(published(&world, &id), expected);
}

#[test]
fn what_says_nothing_of_the_builder_does_not_count() {
    let (mut world, id) = single(Poll::default(), 3);
    answer_next(&mut world, &id, PASSED);
    for reason in [Reason::BuilderFull, Reason::None, Reason::TimedOut] {
        tested(&mut world, &id, Err(reason));
        assert_eq!(world.state(&id), TargetState::Ready, "{reason}");
    }
    tested(&mut world, &id, Err(Reason::BuildFailed));
    tested(&mut world, &id, Err(Reason::BuilderFull));
    answer_next(&mut world, &id, PASSED);
    assert_eq!(published(&world, &id).1, Reason::BuildFailed);
}

#[test]
fn a_builder_that_misbuilds_is_not_checked_more_often() {
    let run = |misbuilt: bool| {
        let (mut world, id) = single(Poll::default(), 3);
        answer_next(&mut world, &id, PASSED);
        answer_next(&mut world, &id, PASSED);
        if misbuilt {
            tested(&mut world, &id, Err(Reason::BuildFailed));
        } else {
            world.request(&id);
        }
        answer_next(&mut world, &id, PASSED);
        world.run(Duration::from_secs(3600), |_| PASSED);
        world.starts
    };
    assert_eq!(run(true), run(false));
}
