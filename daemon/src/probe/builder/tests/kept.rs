//! The connection between two checks.

use crate::health::Depth;
use rustix::process::Signal;

use super::{sshd::Sshd, *};

fn probe(sshd: &Sshd, how: Connection, timeout: Duration) -> Probe {
    let builder = BuilderSpec {
        ssh_key: Some(sshd.key()),
        host_keys: pinned(&sshd.path("ed25519")),
        ..spec(sshd.port)
    };
    Probe::new(builder, options(sshd.port), how, timeout)
}

#[tokio::test]
async fn many_checks_are_one_connection() {
    let sshd = Sshd::start().await;
    let mut probe = probe(&sshd, Connection::Keep, PATIENCE);
    let first = probe.check().await;
    assert_ready(&first);
    for _ in 0..20 {
        let next = probe.check().await;
        assert_ready(&next);
        assert_eq!(next.facts, None);
        assert_eq!(next.details, first.details);
        assert_eq!(next.address, first.address);
    }
    assert_eq!(sshd.logged("Accepted publickey"), 1);
    assert!(probe.closed.try_recv().is_err());
}

#[tokio::test]
async fn where_asked_for_each_check_is_a_connection_that_ends_politely() {
    let sshd = Sshd::start().await;
    let mut probe = probe(&sshd, Connection::PerCheck, PATIENCE);
    for _ in 0..3 {
        let report = probe.check().await;
        assert_ready(&report);
        assert!(report.facts.is_some());
    }
    assert_eq!(sshd.logged("Accepted publickey"), 3);
    eventually("all end", async || sshd.logged("Received disconnect") == 3).await;
    assert!(probe.closed.try_recv().is_err());
}

#[tokio::test]
async fn the_end_of_an_idle_connection_is_news_at_once() {
    let sshd = Sshd::start().await;
    let mut probe = probe(&sshd, Connection::Keep, PATIENCE);
    assert_ready(&probe.check().await);
    sshd.signal(Signal::KILL);
    let closed = tokio::time::timeout(PATIENCE, probe.closed.recv()).await;
    let closed = closed.unwrap().unwrap();
    assert_eq!(closed.target, TargetId::builder("desktop"));
    assert!(closed.idle < PATIENCE);

    let report = probe.check().await;
    assert_ready(&report);
    assert!(report.facts.is_some(), "it is a new connection");
    assert_eq!(sshd.logged("Accepted publickey"), 2);
    assert!(probe.closed.try_recv().is_err(), "it is told once");
}

#[tokio::test]
async fn a_server_that_is_gone_is_found_so_within_the_same_check() {
    let mut sshd = Sshd::start().await;
    let mut probe = probe(&sshd, Connection::Keep, PATIENCE);
    assert_ready(&probe.check().await);
    sshd.swap_host_key().await;
    failed(
        &probe.check().await,
        Stage::HostKey,
        Reason::HostKeyMismatch,
    );
}

#[tokio::test]
async fn our_own_closing_is_no_news_and_leaves_nothing_behind() {
    let sshd = Sshd::start().await;
    let Probe {
        mut session,
        mut closed,
    } = probe(&sshd, Connection::Keep, PATIENCE);
    assert_ready(&session.check(Depth::Cheap).await);
    drop(session);
    // Without news until the last sender is gone: the connection's task has ended, too.
    let heard = tokio::time::timeout(PATIENCE, closed.recv()).await;
    assert_eq!(heard, Ok(None));
    eventually("the server sees it", async || sshd.sessions().is_empty()).await;
}

#[tokio::test]
async fn a_connection_gone_silent_is_replaced_within_the_same_check() {
    let sshd = Sshd::start().await;
    let mut probe = probe(&sshd, Connection::Keep, Duration::from_secs(4));
    assert_ready(&probe.check().await);
    // The frozen session stays: it is another connection that answers.
    sshd.signal(Signal::STOP);
    let report = probe.check().await;
    assert_ready(&report);
    assert!(report.facts.is_some(), "it is a new connection");
    assert!(report.latency >= Duration::from_secs(2), "{report:?}");
    assert_eq!(sshd.logged("Accepted publickey"), 2);
    sshd.signal(Signal::CONT);
}

#[tokio::test]
async fn a_server_gone_silent_times_out_at_its_stage_and_in_time() {
    let sshd = Sshd::start().await;
    let bound = Duration::from_secs(2);
    let mut probe = probe(&sshd, Connection::Keep, bound);
    assert_ready(&probe.check().await);
    sshd.signal(Signal::STOP);
    sshd.signal_listener(Signal::STOP);
    let report = probe.check().await;
    failed(&report, Stage::Banner, Reason::TimedOut);
    assert!(report.latency < bound * 2, "{report:?}");
    sshd.signal_listener(Signal::CONT);
}

#[tokio::test]
async fn a_proxy_has_the_time_of_a_deep_check() {
    let sshd = Sshd::start().await;
    let builder = BuilderSpec {
        ssh_key: Some(sshd.key()),
        host_keys: pinned(&sshd.path("ed25519")),
        ..spec(sshd.port)
    };
    // A jump host that takes longer than a check of our own may.
    let slow = format!(
        "sh -c 'sleep 1; exec ssh -F none -i {0} -o BatchMode=yes -o StrictHostKeyChecking=no \
         -o UserKnownHostsFile=/dev/null -p {1} -W {HOST}:{1} root@{HOST}'",
        sshd.key().display(),
        sshd.port,
    );
    let options = SshOptions {
        proxy_command: Some(slow),
        ..options(sshd.port)
    };
    let mut probe = Probe::new(builder, options, Connection::Keep, IMPATIENCE);
    assert_ready(&probe.check().await);
}

#[tokio::test]
async fn a_proxy_that_never_comes_through_ends_with_the_time_of_a_deep_check() {
    let options = SshOptions {
        proxy_command: Some("sleep 1000".into()),
        ..options(1)
    };
    let mut probe = Probe::within(spec(1), options, Connection::Keep, IMPATIENCE, IMPATIENCE);
    failed(&probe.check().await, Stage::Connect, Reason::TimedOut);
}

#[tokio::test]
async fn new_keys_in_between_go_unnoticed() {
    let sshd = Sshd::with(&["ed25519"], "LogLevel DEBUG1\nRekeyLimit 1K").await;
    let mut probe = probe(&sshd, Connection::Keep, PATIENCE);
    for _ in 0..60 {
        assert_ready(&probe.check().await);
    }
    assert_eq!(sshd.logged("Accepted publickey"), 1);
    assert!(sshd.logged("rekeying") > 0, "no new keys were exchanged");
}
