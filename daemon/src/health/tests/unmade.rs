//! Checks that could not be made for want of this machine's own.

use std::time::Duration;

use offload_client::{Reason, TargetState};
use proptest::prelude::*;

use super::{
    play::play,
    properties::{any_past, ids},
    world::failed,
};

#[test]
fn what_was_known_stays_and_is_looked_at_again_soon() {
    play(
        "0s   ok -> ready
         3s   ok
         ~30s out-of-resources
         3s   out-of-resources
         3s   refused -> down refused
         3s   out-of-resources
         3s   out-of-resources
         3s   ok
         3s   ok -> ready",
    );
}

#[test]
fn where_nothing_was_known_that_is_why() {
    play(
        "0s out-of-resources -> unknown out-of-resources
         3s out-of-resources
         3s timed-out -> down timed-out",
    );
}

#[test]
fn nothing_is_believed_for_ever() {
    let soon = "3s out-of-resources\n".repeat(19);
    let later = "~30s out-of-resources\n".repeat(8);
    play(&format!(
        "0s   ok -> ready
         3s   ok
         ~30s out-of-resources
         {soon}3s out-of-resources
         {later}~30s out-of-resources -> unknown out-of-resources
         ~30s out-of-resources
         ~30s ok -> ready",
    ));
}

proptest! {
    #[test]
    fn what_this_machine_lacks_brings_nobody_down(past in any_past(), secs in 1..3_600_u64) {
        let mut world = past.world();
        let before = ids().map(|id| world.state(&id));
        world.run(Duration::from_secs(secs), |_| failed(Reason::OutOfResources));
        for (id, before) in ids().into_iter().zip(before) {
            let now = world.state(&id);
            prop_assert!(now == before || now == TargetState::Unknown, "{before} {now}");
        }
    }
}
