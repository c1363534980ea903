//! The connection between two checks.

use crate::health::Depth;
use tokio::{sync::Notify, time::timeout};

use super::*;

#[tokio::test]
async fn a_kept_connection_serves_the_next_check() {
    let fake = Fake::answering(ok(INFO)).await;
    let (mut session, mut events) = session(&fake);
    for _ in 0..5 {
        let report = session.check(Depth::Cheap).await;
        assert_eq!(verdict(&report), READY);
        assert_eq!(report.address, Some(fake.address.to_string()));
    }
    assert_eq!(fake.connections(), 1);
    drop(session);
    assert_eq!(events.recv().await, None, "it was us who closed it");
}

#[tokio::test]
async fn a_connection_per_check_is_closed_after_each() {
    let (gone, mut goodbyes) = mpsc::channel(4);
    let fake = Fake::new(move |mut stream, _| {
        let gone = gone.clone();
        async move {
            let head = question(&mut stream).await.unwrap();
            assert!(head.contains("connection: close\r\n"), "{head}");
            stream.write_all(ok(INFO).as_bytes()).await.unwrap();
            drain(&mut stream).await;
            gone.send(()).await.unwrap();
        }
    })
    .await;
    let spec = spec(fake.address, |_| {});
    let (mut session, mut events) = session_of(spec, Connection::PerCheck, PATIENCE);
    for count in 1..=2 {
        assert_eq!(verdict(&session.check(Depth::Cheap).await), READY);
        goodbyes.recv().await.unwrap();
        assert_eq!(fake.connections(), count);
    }
    drop(session);
    assert_eq!(events.recv().await, None);
}

#[tokio::test]
async fn a_peer_that_closes_an_idle_connection_is_told_once() {
    let close = Arc::new(Notify::new());
    let closing = close.clone();
    let fake = Fake::new(move |mut stream, _| {
        let closing = closing.clone();
        async move {
            question(&mut stream).await;
            stream.write_all(ok(INFO).as_bytes()).await.unwrap();
            closing.notified().await;
        }
    })
    .await;
    let (mut session, mut events) = session(&fake);
    assert_eq!(verdict(&session.check(Depth::Cheap).await), READY);
    let rest = Duration::from_millis(150);
    let early = timeout(rest, events.recv()).await;
    assert!(early.is_err(), "nothing happened, but {early:?}");
    close.notify_one();
    let event = events.recv().await.unwrap();
    assert_eq!(event.target, TargetId::cache("desktop"));
    assert!(event.idle >= rest, "{:?}", event.idle);
    // The next check finds its way by itself, and nothing is told twice.
    assert_eq!(verdict(&session.check(Depth::Cheap).await), READY);
    assert_eq!(fake.connections(), 2);
    drop(session);
    assert_eq!(events.recv().await, None);
}

#[tokio::test]
async fn a_desktop_that_goes_away_is_noticed_and_then_refuses() {
    let fake = Fake::answering(ok(INFO)).await;
    let (mut session, mut events) = session(&fake);
    assert_eq!(verdict(&session.check(Depth::Cheap).await), READY);
    let rest = Duration::from_millis(120);
    assert!(timeout(rest, events.recv()).await.is_err());
    drop(fake);
    assert!(events.recv().await.is_some());
    let report = session.check(Depth::Cheap).await;
    assert_eq!(verdict(&report), (Stage::Connect, Reason::Refused));
}

#[tokio::test]
async fn a_server_that_does_not_keep_connections_causes_no_event() {
    let say = |head: &str| format!("HTTP/1.{head}\r\n\r\n{INFO}");
    let length = INFO.len();
    for answer in [
        ok(INFO),
        say(&format!(
            "1 200 OK\r\nConnection: close\r\nContent-Length: {length}"
        )),
        say(&format!("0 200 OK\r\nContent-Length: {length}")),
        say("1 200 OK"),
    ] {
        let sent = answer.clone();
        let fake = Fake::new(move |mut stream, _| {
            let sent = sent.clone();
            async move {
                question(&mut stream).await;
                stream.write_all(sent.as_bytes()).await.unwrap();
            }
        })
        .await;
        let (mut session, mut events) = session(&fake);
        for count in 1..=3 {
            assert_eq!(
                verdict(&session.check(Depth::Cheap).await),
                READY,
                "{answer}"
            );
            assert_eq!(fake.connections(), count);
        }
        drop(session);
        assert_eq!(events.recv().await, None, "{answer}");
    }
}

#[tokio::test]
async fn a_close_that_follows_the_answer_at_once_is_told_like_any_other() {
    let fake = Fake::new(|mut stream, _| async move {
        question(&mut stream).await;
        stream.write_all(ok(INFO).as_bytes()).await.unwrap();
        // After the answer was read: a server that stops just then must not wait for its turn.
        tokio::time::sleep(Duration::from_millis(10)).await;
    })
    .await;
    let (mut session, mut events) = session(&fake);
    assert_eq!(verdict(&session.check(Depth::Cheap).await), READY);
    assert!(events.recv().await.unwrap().idle < Duration::from_millis(500));
}

/// Answers `good` questions on the first connection, then hangs up on the next one; what comes
/// after on new connections is up to `later`.
async fn hanging_up(good: usize, later: bool) -> Fake {
    Fake::new(move |mut stream, count| async move {
        let mut answers = if count == 1 { good } else { usize::from(later) };
        while question(&mut stream).await.is_some() && answers > 0 {
            stream.write_all(ok(INFO).as_bytes()).await.unwrap();
            answers -= 1;
        }
    })
    .await
}

#[tokio::test]
async fn a_stale_connection_is_replaced_within_the_check() {
    let fake = hanging_up(1, true).await;
    let (mut session, mut events) = session(&fake);
    assert_eq!(verdict(&session.check(Depth::Cheap).await), READY);
    assert_eq!(verdict(&session.check(Depth::Cheap).await), READY);
    assert_eq!(fake.connections(), 2);
    drop(session);
    assert_eq!(events.recv().await, None);
}

#[tokio::test]
async fn a_stale_connection_is_replaced_only_once() {
    let fake = hanging_up(1, false).await;
    let (mut session, _events) = session(&fake);
    assert_eq!(verdict(&session.check(Depth::Cheap).await), READY);
    let report = session.check(Depth::Cheap).await;
    assert_eq!(verdict(&report), (Stage::Http, Reason::ConnectionLost));
    assert_eq!(fake.connections(), 2);
}

/// Answers one question a connection, on `good` connections; the rest is silence.
async fn falling_silent(good: usize) -> Fake {
    Fake::new(move |mut stream, count| async move {
        question(&mut stream).await;
        if count <= good {
            stream.write_all(ok(INFO).as_bytes()).await.unwrap();
        }
        drain(&mut stream).await;
    })
    .await
}

#[tokio::test]
async fn a_kept_connection_that_leads_nowhere_is_replaced_within_the_check() {
    let fake = falling_silent(2).await;
    let bound = Duration::from_secs(1);
    let (mut session, _events) = session_of(spec(fake.address, |_| {}), Connection::Keep, bound);
    assert_eq!(verdict(&session.check(Depth::Cheap).await), READY);
    let report = session.check(Depth::Cheap).await;
    assert_eq!(verdict(&report), READY);
    assert!(report.latency >= bound / 2, "{:?}", report.latency);
    assert_eq!(fake.connections(), 2);
}

#[tokio::test]
async fn a_desktop_that_freezes_is_silent_on_a_new_connection_too() {
    let fake = falling_silent(1).await;
    let spec = spec(fake.address, |_| {});
    let (mut session, mut events) = session_of(spec, Connection::Keep, 2 * IMPATIENCE);
    assert_eq!(verdict(&session.check(Depth::Cheap).await), READY);
    for count in 2..=3 {
        let report = session.check(Depth::Cheap).await;
        assert_eq!(verdict(&report), (Stage::Http, Reason::TimedOut));
        assert_eq!(report.address, Some(fake.address.to_string()));
        assert_eq!(fake.connections(), count);
    }
    drop(session);
    assert_eq!(events.recv().await, None);
}

#[tokio::test]
async fn dropping_the_session_or_the_check_closes_the_connection() {
    let (told, mut tales) = mpsc::channel(4);
    let fake = Fake::new(move |mut stream, count| {
        let told = told.clone();
        async move {
            question(&mut stream).await;
            if count == 1 {
                stream.write_all(ok(INFO).as_bytes()).await.unwrap();
            } else {
                told.send("asked").await.unwrap();
            }
            drain(&mut stream).await;
            told.send("closed").await.unwrap();
        }
    })
    .await;
    let (mut resting, _events) = session(&fake);
    assert_eq!(verdict(&resting.check(Depth::Cheap).await), READY);
    drop(resting);
    assert_eq!(tales.recv().await, Some("closed"));

    let (mut asking, _events) = session(&fake);
    tokio::select! {
        report = asking.check(Depth::Cheap) => panic!("it is never answered: {report:?}"),
        tale = tales.recv() => assert_eq!(tale, Some("asked")),
    }
    assert_eq!(tales.recv().await, Some("closed"));
}

#[tokio::test]
async fn a_session_moves_between_tasks() {
    let fake = Fake::answering(ok(INFO)).await;
    let (mut session, _events) = session(&fake);
    let task = tokio::spawn(async move { session.check(Depth::Cheap).await });
    assert_eq!(verdict(&task.await.unwrap()), READY);
}
