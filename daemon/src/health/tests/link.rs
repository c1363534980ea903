//! The network changes, or the laptop was asleep. As `scenarios` writes them.

use super::play::play;

#[test]
fn resume_keeps_what_is_shown_and_lets_the_first_answer_decide() {
    play(
        "0s     ok         -> ready
         3s     ok
         10s    refresh
         10s    ok
         3s     ok
         ~30s   ok
         10s    refresh
         10s    timed-out  -> down timed-out
         3s     timed-out
         1s     refresh
         1s     ok         -> ready
         3s     ok
         ~30s   ok",
    );
}

#[test]
fn a_check_from_before_the_link_changed_is_dropped() {
    play(
        "0s     ok       -> ready
         3s     begin
         -      refresh  -> aborted
         3.5s   ok
         3s     ok
         ~30s   ok",
    );
}

#[test]
fn a_burst_of_link_changes_neither_lies_nor_starves() {
    // The failure that the second change overtook is excused, once; the next one counts, and is
    // looked at again because it was overtaken too.
    play(
        "0s     ok         -> ready
         1s     refresh
         -      refresh
         -      timed-out
         0s     begin
         -      refresh
         -      timed-out  -> down timed-out
         0s     ok         -> ready",
    );
}

#[test]
fn a_check_that_slept_with_the_laptop_is_dropped() {
    // Within its time-out it may still end; after 2 s only a suspended one is still there.
    play(
        "0s     begin
         -      refresh
         -      refresh
         -      refresh
         -      refresh  -> aborted
         2s     ok       -> ready",
    );
}

#[test]
fn a_kept_connection_that_the_link_change_cut_is_no_verdict() {
    play(
        "0s     refused          -> down refused
         1s     refresh
         1s     connection-lost
         0s     ok               -> ready",
    );
}
