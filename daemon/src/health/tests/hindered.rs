//! What becomes of a target that Nix does not go to, though its checks pass. `hindered` and `lifted` are
//! the beginning and the end of that.

use offload_client::{Kind, OverallState, Reason, Stage, TargetState};

use super::{
    play::play,
    world::{PASSED, World, answer_next, failed, single},
};
use crate::{config::Poll, health::Event, target::TargetId};

#[test]
fn what_nix_does_not_go_to_is_never_ready_and_is_so_at_once_when_it_does() {
    play(
        "0s     hindered
         0s     ok       -> degraded address-moved
         3s     ok
         ~30s   ok
         1s     lifted   -> ready
         ~30s   ok
         1s     hindered -> degraded address-moved
         2s     lifted   -> ready",
    );
}

#[test]
fn what_is_down_stays_down_for_its_own_reason() {
    play(
        "0s     hindered
         0s     refused  -> down refused
         1s     lifted
         2s     hindered
         3s     ok
         3s     ok       -> degraded address-moved
         ~30s   auth-rejected -> degraded auth-rejected",
    );
}

#[test]
fn what_keeps_nix_away_explains_more_than_a_failed_test_build_and_mends_none() {
    play(
        "0s     ok       -> ready
         3s     ok
         1s     misbuilt
         1s     ok       -> degraded build-failed
         2s     hindered -> degraded address-moved
         3s     lifted   -> degraded build-failed
         4s     built    -> ready",
    );
}

#[test]
fn where_nix_may_go_elsewhere_a_test_build_says_and_nothing_else() {
    play(
        "0s     doubted
         0s     ok       -> unknown foreign-build-hook
         3s     ok
         1s     built    -> ready
         ~30s   ok
         1s     misbuilt
         1s     ok       -> degraded build-failed
         2s     built    -> ready
         ~30s   refused  -> down refused
         3s     ok
         3s     ok       -> ready
         1s     unproved -> unknown foreign-build-hook
         2s     hindered -> degraded address-moved
         3s     doubted  -> unknown foreign-build-hook
         4s     lifted   -> ready",
    );
}

#[test]
fn a_new_specification_and_a_pause_lift_nothing() {
    play(
        "0s     ok       -> ready
         3s     ok
         1s     hindered -> degraded address-moved
         2s     changed  -> unknown
         2s     ok       -> degraded address-moved
         3s     ok
         1s     pause    -> paused paused
         2s     resume   -> unknown
         2s     ok       -> degraded address-moved",
    );
}

#[test]
fn its_stage_is_the_last_that_passed() {
    let (mut world, id) = single(Poll::default(), 3);
    let reason = Some(Reason::NotInNixConf);
    let target = id.clone();
    world.happen(Event::Hindered { target, reason });
    answer_next(&mut world, &id, PASSED);
    let health = world.health.target(&id).unwrap();
    assert_eq!((health.stage, health.passes), (Stage::Auth, true));
    assert_eq!(health.state, TargetState::Degraded);
    answer_next(&mut world, &id, failed(Reason::Refused));
    let health = world.health.target(&id).unwrap();
    assert_eq!((health.stage, health.passes), (Stage::Connect, false));
}

#[test]
fn a_kind_of_which_nix_uses_none_counts_where_none_is_watched() {
    let mut world = World::new(Poll::default(), 3);
    let kind = Kind::Builder;
    let reason = Some(Reason::MachinesFileBroken);
    world.happen(Event::KindHindered { kind, reason });
    let overall = |world: &World| {
        let overall = world.health.overall();
        (overall.state, overall.reason, overall.builder_state)
    };
    let broken = Reason::MachinesFileBroken;
    let degraded = OverallState::Degraded;
    assert_eq!(overall(&world), (degraded, broken, degraded));

    let cache = TargetId::cache("desktop");
    world.happen(Event::Added(cache.clone()));
    answer_next(&mut world, &cache, PASSED);
    assert_eq!(overall(&world), (degraded, broken, degraded));

    // Then each of them says so itself.
    world.happen(Event::Added(TargetId::builder("desktop")));
    let unknown = OverallState::Unknown;
    assert_eq!(overall(&world), (unknown, Reason::None, unknown));
    world.happen(Event::Removed(TargetId::builder("desktop")));
    let reason = None;
    world.happen(Event::KindHindered { kind, reason });
    assert_eq!(overall(&world).0, OverallState::Ready);
}
