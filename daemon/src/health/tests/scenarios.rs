//! Scenarios: what one target answers, when it is asked, and what that makes of it.
//!
//! The first column is the time since the last check ended, the second what happened: a check began
//! and got that answer, or another event. After the arrow stands what came of it. `~30s` is jittered:
//! 27 to 33 s. `-` is half a second later, with the check still in flight, or the answer to that.

use super::play::play;

#[test]
fn nginx_is_stopped_and_started_much_later() {
    play(
        "0s     ok       -> ready
         3s     ok
         ~30s   ok
         ~30s   refused  -> down refused
         3s     refused
         3s     refused
         ~30s   refused
         ~60s   refused
         ~120s  refused
         ~300s  refused
         ~300s  ok
         3s     ok       -> ready
         ~30s   ok",
    );
}

#[test]
fn sshd_is_killed_and_comes_back() {
    play(
        "0s     ok       -> ready
         3s     ok
         12s    closed
         12s    refused  -> down refused
         3s     ok
         3s     ok       -> ready
         ~30s   ok",
    );
}

#[test]
fn the_desktop_becomes_a_black_hole() {
    play(
        "0s     ok         -> ready
         3s     ok
         ~30s   timed-out
         3s     timed-out
         3s     timed-out  -> down timed-out
         ~30s   timed-out
         ~60s   timed-out
         ~120s  ok
         3s     ok         -> ready
         ~30s   ok",
    );
}

#[test]
fn the_first_answer_decides_alone() {
    play("0s ok                  -> ready");
    play("0s timed-out           -> down timed-out");
    play("0s host-key-mismatch   -> degraded host-key-mismatch");
}

#[test]
fn a_desktop_that_is_off_at_start_is_looked_at_fast_before_the_back_off() {
    play(
        "0s     timed-out  -> down timed-out
         3s     timed-out
         3s     timed-out
         ~30s   timed-out
         ~60s   timed-out",
    );
}

#[test]
fn the_key_is_removed_and_put_back() {
    play(
        "0s     ok             -> ready
         3s     ok
         ~30s   auth-rejected  -> degraded auth-rejected
         ~30s   auth-rejected
         ~60s   auth-rejected
         ~120s  auth-rejected
         ~300s  ok
         3s     ok             -> ready
         ~30s   ok",
    );
}

#[test]
fn a_fault_to_mend_shows_again_when_the_desktop_does() {
    play(
        "0s     auth-rejected  -> degraded auth-rejected
         ~30s   timed-out
         3s     timed-out
         3s     timed-out      -> down timed-out
         ~30s   timed-out
         ~60s   auth-rejected  -> degraded auth-rejected
         ~30s   auth-rejected
         ~60s   refused        -> down refused",
    );
}

#[test]
fn another_host_key_is_told_at_once_from_any_state() {
    play(
        "0s     ok                 -> ready
         3s     host-key-mismatch  -> degraded host-key-mismatch
         ~30s   auth-rejected      -> degraded auth-rejected
         ~60s   host-key-mismatch  -> degraded host-key-mismatch",
    );
    play(
        "0s     refused            -> down refused
         3s     host-key-mismatch  -> degraded host-key-mismatch
         ~30s   host-key-mismatch",
    );
}

#[test]
fn a_server_that_drops_some_checks_stays_ready() {
    play(
        "0s     ok         -> ready
         3s     ok
         ~30s   timed-out
         3s     timed-out
         3s     ok
         3s     timed-out
         3s     ok
         3s     ok
         ~30s   ok",
    );
}

#[test]
fn a_server_that_flaps_stays_down_and_does_not_restart_the_back_off() {
    play(
        "0s     refused  -> down refused
         3s     refused
         3s     refused
         ~30s   ok
         3s     refused
         ~60s   ok
         3s     refused
         ~120s  refused
         ~300s  ok
         3s     ok       -> ready
         ~30s   refused  -> down refused
         3s     refused",
    );
}

#[test]
fn another_reason_for_being_absent_counts_when_it_comes_twice() {
    play(
        "0s     timed-out         -> down timed-out
         3s     host-unreachable
         3s     timed-out
         ~30s   host-unreachable
         3s     timed-out
         ~120s  refused           -> down refused
         ~300s  refused",
    );
}

#[test]
fn a_changed_specification_starts_anew() {
    play(
        "0s     ok             -> ready
         3s     ok
         10s    changed        -> unknown
         10s    auth-rejected  -> degraded auth-rejected
         ~30s   begin
         -      changed        -> aborted, unknown
         ~30s   ok             -> ready",
    );
}

#[test]
fn a_pause_drops_everything_and_its_end_starts_anew() {
    play(
        "0s     ok         -> ready
         3s     begin
         -      pause      -> aborted, paused paused
         600s   refresh
         600s   closed
         990s   resume     -> unknown
         990s   timed-out  -> down timed-out",
    );
    play(
        "0s     ok         -> ready
         1s     pause-60s  -> paused paused
         30s    pause-60s
         90s    tick       -> unknown
         90s    ok         -> ready",
    );
}

#[test]
fn asking_restarts_the_back_off_and_shares_a_check() {
    play(
        "0s     refused  -> down refused
         3s     refused
         3s     refused
         ~30s   refused
         ~60s   refused
         10s    ask
         10s    refused
         3s     begin
         -      ask
         -      refused
         3s     refused
         ~30s   refused",
    );
}

#[test]
fn a_refusal_that_has_become_silence_is_told_at_once() {
    play(
        "0s    refused     -> down refused
         3s    refused
         3s    refused
         ~30s  timed-out   -> down timed-out
         ~60s  refused     -> down refused
         ~120s connection-lost -> down connection-lost
         ~300s timed-out   -> down timed-out",
    );
}

#[test]
fn a_server_that_punishes_many_wrong_logins_does_not_hide_what_is_wrong() {
    // OpenSSH 9.8 and later: after 15 s worth of penalties nobody of this address is let in for a while.
    play(
        "0s     auth-rejected@auth      -> degraded auth-rejected
         1s     ask
         1s     auth-rejected@auth
         1s     ask
         1s     turned-away@banner
         1s     ask
         1s     connection-lost@banner
         ~60s   connection-lost@host-key
         ~120s  auth-rejected@auth
         ~30s   ok
         3s     ok                      -> ready",
    );
}

#[test]
fn what_was_found_long_ago_does_not_stand_before_a_server_that_only_hangs_up() {
    play(
        "0s     nix-missing@handshake  -> degraded nix-missing
         ~30s   turned-away@banner
         ~30s   turned-away@banner
         ~60s   turned-away@banner
         ~120s  turned-away@banner
         ~300s  turned-away@banner
         ~300s  turned-away@banner     -> down turned-away
         ~300s  ok
         3s     ok                     -> ready",
    );
}

#[test]
fn who_turns_away_a_stranger_is_down_and_not_asked_before_it_may_forget() {
    play(
        "0s     turned-away@banner  -> down turned-away
         ~30s   turned-away@banner
         ~60s   turned-away@banner
         ~120s  auth-rejected@auth  -> degraded auth-rejected",
    );
    // What worked goes no more: Nix is turned away as well.
    play(
        "0s     ok                  -> ready
         3s     turned-away@banner  -> down turned-away
         ~30s   ok
         3s     ok                  -> ready",
    );
    // A refusal, silence, or another host key is news.
    play(
        "0s     auth-rejected@auth          -> degraded auth-rejected
         ~30s   turned-away@banner
         ~30s   host-key-mismatch@host-key  -> degraded host-key-mismatch
         ~60s   refused                     -> down refused",
    );
}

#[test]
fn a_login_that_is_cut_is_looked_at_again_before_it_is_a_fault_to_mend() {
    play(
        "0s     login-refused@auth
         0s     login-refused@auth  -> degraded login-refused",
    );
    // The desktop was shutting down.
    play(
        "0s     ok                  -> ready
         3s     ok
         ~30s   login-refused@auth
         0s     refused             -> down refused",
    );
    // It flaps.
    play(
        "0s     refused             -> down refused
         3s     login-refused@auth
         0s     refused
         3s     login-refused@auth
         0s     ok
         3s     ok                  -> ready",
    );
    play(
        "0s     auth-rejected@auth       -> degraded auth-rejected
         ~30s   login-refused@handshake
         0s     login-refused@handshake  -> degraded login-refused
         ~60s   login-refused@handshake
         ~120s  ok
         3s     ok                       -> ready",
    );
}
