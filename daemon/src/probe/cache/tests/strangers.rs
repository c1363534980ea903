//! Somebody else at one of the cache's addresses.

use super::*;
use crate::probe::connect::tests::silent;
use crate::report::Stranger;

/// A cache that may be at any of `addresses`.
fn spec_of(addresses: &[SocketAddr]) -> Arc<TargetSpec> {
    let one = spec(addresses[0], |_| {});
    Arc::new(TargetSpec {
        addresses: addresses.iter().copied().map(Address::from).collect(),
        ..(*one).clone()
    })
}

async fn check_of(addresses: &[SocketAddr]) -> Report {
    let spec = spec_of(addresses);
    let mut session = session_of(spec, Connection::Keep, Duration::from_secs(3)).0;
    session.check(Depth::Cheap).await
}

async fn refusing() -> SocketAddr {
    let listener = TcpListener::bind((DESKTOP, 0)).await.unwrap();
    listener.local_addr().unwrap()
}

fn told(report: &Report) -> Vec<(String, Reason)> {
    let strangers = report.strangers.iter().flatten();
    strangers
        .map(|stranger: &Stranger| (stranger.address.to_string(), stranger.reason))
        .collect()
}

#[tokio::test]
async fn who_is_no_cache_is_passed_by_and_told() {
    let right = Fake::answering(ok(INFO)).await;
    for (answer, reason) in [
        (ok("<html>Hotel</html>"), Reason::CaptivePortal),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into(),
            Reason::HttpStatus,
        ),
        ("SSH-2.0-OpenSSH_9.9\r\n".into(), Reason::NotHttp),
        (ok("Priority: high\n"), Reason::CacheInfoInvalid),
        (ok("StoreDir: /gnu/store\n"), Reason::StoreDirMismatch),
    ] {
        let wrong = Fake::answering(answer).await;
        let report = check_of(&[wrong.address, right.address]).await;
        assert_eq!(verdict(&report), READY);
        assert_eq!(report.address, Some(right.address.to_string()));
        assert_eq!(told(&report), [(wrong.address.to_string(), reason)]);
        assert!(!report.details.contains_key("actual"), "{report:?}");
    }
}

#[tokio::test]
async fn who_answers_as_somebody_else_is_told_before_any_refusal_and_silence() {
    let wrong = Fake::answering(ok("<html>Hotel</html>")).await;
    let (refused, (_listener, _fill, silent)) = (refusing().await, silent().await);
    for addresses in [
        &[wrong.address][..],
        &[wrong.address, refused],
        &[refused, wrong.address],
        &[wrong.address, silent],
    ] {
        let report = check_of(addresses).await;
        let expected = (Stage::CacheInfo, Reason::CaptivePortal);
        assert_eq!(verdict(&report), expected, "{addresses:?}");
        assert_eq!(report.address, Some(wrong.address.to_string()));
        let stranger = (wrong.address.to_string(), Reason::CaptivePortal);
        assert_eq!(told(&report), [stranger], "{addresses:?}");
    }
    let report = check_of(&[refused, refusing().await]).await;
    assert_eq!(verdict(&report), (Stage::Connect, Reason::Refused));
    assert_eq!(report.strangers, Some(Vec::new()));
}

#[tokio::test]
async fn a_kept_connection_asks_nobody_else() {
    let wrong = Fake::answering(ok("It works!")).await;
    let right = Fake::answering(ok(INFO)).await;
    let spec = spec_of(&[wrong.address, right.address]);
    let (mut session, _closed) = session_of(spec, Connection::Keep, PATIENCE);
    assert_eq!(verdict(&session.check(Depth::Cheap).await), READY);
    let cheap = session.check(Depth::Cheap).await;
    assert_eq!((verdict(&cheap), cheap.strangers), (READY, None));
    assert_eq!((wrong.connections(), right.connections()), (1, 1));
}

#[tokio::test]
async fn one_address_is_asked_once() {
    let wrong = Fake::answering(ok("It works!")).await;
    let report = check(&wrong).await;
    let expected = (Stage::CacheInfo, Reason::CaptivePortal);
    assert_eq!(verdict(&report), expected);
    assert_eq!(wrong.connections(), 1);
}

#[tokio::test]
async fn a_stranger_is_held_against_the_cache_s_own_key_and_not_the_public_one() {
    let wrong = Fake::answering(ok("It works!")).await;
    let key = |name: &str| format!("{name}:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    for (trusted, expected) in [
        (&["cache.nixos.org-1", "desktop-1"][..], "desktop-1"),
        (&["cache.nixos.org-1"], "cache.nixos.org-1"),
    ] {
        let keys = trusted.iter().map(|name| key(name)).collect();
        let spec = spec(wrong.address, |cache| cache.public_keys = keys);
        let (mut session, _closed) = session_of(spec, Connection::Keep, PATIENCE);
        let strangers = session.check(Depth::Deep).await.strangers.unwrap();
        assert_eq!(strangers[0].expected, expected);
    }
}

#[tokio::test]
async fn who_is_mute_or_hangs_up_bars_nobodys_way() {
    let mute = Fake::new(|mut stream, _| async move { drain(&mut stream).await }).await;
    let slow = Fake::new(|mut stream, _| async move {
        question(&mut stream).await;
        let _ = stream.write_all(&ok(INFO).as_bytes()[..40]).await;
        drain(&mut stream).await;
    })
    .await;
    let gone = Fake::new(|mut stream, _| async move {
        question(&mut stream).await;
    })
    .await;
    let right = Fake::answering(ok(INFO)).await;
    for wrong in [&mute, &slow, &gone] {
        let report = check_of(&[wrong.address, right.address]).await;
        assert_eq!(verdict(&report), READY);
        assert_eq!(report.address, Some(right.address.to_string()));
        assert_eq!(report.strangers, Some(Vec::new()), "it may be the cache");
    }
}

#[tokio::test]
async fn who_took_the_connection_is_told_before_who_did_not() {
    let mute = Fake::new(|mut stream, _| async move { drain(&mut stream).await }).await;
    let (refused, (_listener, _fill, silent)) = (refusing().await, silent().await);
    for addresses in [
        &[mute.address][..],
        &[mute.address, refused],
        &[refused, mute.address],
        &[mute.address, silent],
    ] {
        let report = check_of(addresses).await;
        let expected = (Stage::Http, Reason::TimedOut);
        assert_eq!(verdict(&report), expected, "{addresses:?}");
        assert_eq!(report.address, Some(mute.address.to_string()));
    }
}

#[tokio::test]
async fn a_cache_that_is_out_of_order_is_no_stranger() {
    let status = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    let (ill, right) = (
        Fake::answering(status).await,
        Fake::answering(ok(INFO)).await,
    );
    let report = check_of(&[ill.address, right.address]).await;
    assert_eq!(verdict(&report), READY);
    assert_eq!(report.address, Some(right.address.to_string()));
    assert_eq!(report.strangers, Some(Vec::new()));
    let report = check_of(&[ill.address, refusing().await]).await;
    assert_eq!(verdict(&report), (Stage::Http, Reason::HttpStatus));
    assert_eq!(report.strangers, Some(Vec::new()));
    let portal = "HTTP/1.1 511 Network Authentication Required\r\nContent-Length: 0\r\n\r\n";
    let portal = Fake::answering(portal).await;
    let report = check_of(&[portal.address, right.address]).await;
    let stranger = (portal.address.to_string(), Reason::CaptivePortal);
    assert_eq!(told(&report), [stranger]);
}
