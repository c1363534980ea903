//! Connections that the server closes. As `scenarios` writes them.

use super::play::play;

#[test]
fn a_server_that_closes_idle_connections_after_5_s_is_not_polled_every_5_s() {
    play(
        "0s     ok       -> ready
         3s     ok
         5s     closed
         5s     ok
         5s     closed
         ~30s   ok
         5s     closed
         ~30s   ok
         2s     closed
         2s     refused  -> down refused",
    );
}

#[test]
fn what_is_known_of_idle_connections_ends_with_a_failure_or_a_link_change() {
    play(
        "0s     ok       -> ready
         5ms    closed
         0.005s ok
         5ms    closed
         ~30s   timed-out
         3s     ok
         5ms    closed
         0.005s ok
         5ms    closed
         ~30s   ok
         10s    refresh
         10s    ok
         5ms    closed
         0.005s ok",
    );
}

#[test]
fn a_restart_of_the_server_does_not_hide_its_shutdown() {
    play(
        "0s     ok       -> ready
         3s     ok
         2s     closed
         2s     ok
         20s    closed
         20s    refused  -> down refused",
    );
}

#[test]
fn a_close_right_after_a_check_is_looked_into_at_once() {
    play(
        "0s     ok       -> ready
         10ms   closed
         0.01s  refused  -> down refused",
    );
}

#[test]
fn a_close_right_after_a_close_waits_for_a_second() {
    play(
        "0s     ok       -> ready
         2s     closed
         2s     ok
         10ms   closed
         0.995s refused  -> down refused",
    );
}

#[test]
fn a_close_says_nothing_of_what_is_not_ready() {
    play(
        "0s     auth-rejected  -> degraded auth-rejected
         5s     closed
         ~30s   timed-out
         1s     closed
         3s     auth-rejected",
    );
}

#[test]
fn a_cut_connection_is_looked_at_again_at_once() {
    play(
        "0s     ok               -> ready
         3s     ok
         ~30s   connection-lost
         0s     ok
         3s     ok
         ~30s   connection-lost
         0s     connection-lost  -> down connection-lost
         3s     connection-lost
         ~30s   connection-lost",
    );
    play(
        "0s     connection-lost
         0s     auth-rejected    -> degraded auth-rejected
         ~30s   connection-lost
         0s     timed-out
         3s     timed-out        -> down timed-out",
    );
}
