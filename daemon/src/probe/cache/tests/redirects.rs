//! Where the cache sends us, and whether we go.

use std::sync::OnceLock;

use tokio::net::TcpSocket;

use super::*;

const REDIRECTED: (Stage, Reason) = (Stage::Http, Reason::Redirected);

/// A check that somebody asked for.
async fn ask(fake: &Fake) -> Report {
    session(fake).0.check(Depth::Asked).await
}

/// A redirect, by its `Location`.
fn moved(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

#[tokio::test]
async fn a_redirect_to_another_path_is_followed_on_the_same_connection() {
    let fake = Fake::new(|mut stream, _| async move {
        while let Some(head) = question(&mut stream).await {
            let answer = if head.starts_with("GET /real/info ") {
                ok(INFO)
            } else {
                moved("/real/info")
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let (mut session, _events) = session(&fake);
    assert_eq!(verdict(&session.check(Depth::Cheap).await), READY);
    assert_eq!(verdict(&session.check(Depth::Cheap).await), READY);
    assert_eq!(fake.connections(), 1);
}

#[tokio::test]
async fn a_redirect_to_another_port_of_the_same_machine_is_followed() {
    let real = Fake::answering(ok(INFO)).await;
    let front = Fake::answering(moved(&format!("http://{}/info", real.address))).await;
    let (mut session, _events) = session(&front);
    for _ in 0..2 {
        let report = session.check(Depth::Cheap).await;
        assert_eq!(verdict(&report), READY);
        assert_eq!(report.address, Some(real.address.to_string()));
        assert_eq!(
            report.details["redirected_to"],
            Detail::from(real.address.to_string())
        );
    }
}

/// Another machine, and its `Location` with a password.
async fn elsewhere(answer: String) -> (Fake, String) {
    let answer: Arc<str> = answer.into();
    let other = Fake::at(([127, 0, 15, 7], 0).into(), move |mut stream, _| {
        let answer = answer.clone();
        async move {
            while question(&mut stream).await.is_some() {
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    })
    .await;
    let location = format!(
        "http://guest:s3cret@{}/nix/nix-cache-info?back=1",
        other.address
    );
    (other, location)
}

#[tokio::test]
async fn a_redirect_to_another_machine_is_told_and_not_followed_unasked() {
    let (other, location) = elsewhere(ok(INFO)).await;
    let front = Fake::answering(moved(&location)).await;
    let (mut session, _events) = session(&front);
    for depth in [Depth::Cheap, Depth::Deep] {
        let report = session.check(depth).await;
        assert_eq!(verdict(&report), REDIRECTED, "{depth:?}");
        assert_eq!(report.address, Some(front.address.to_string()));
        let there = other.address.to_string();
        assert_eq!(report.details["redirected_to"], there.as_str().into());
        let url = format!("http://{there}/nix");
        assert_eq!(report.details["moved_to"], url.into());
        // It may well be the cache, which Nix would find there.
        assert_eq!(report.strangers, Some(Vec::new()));
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn who_asks_is_told_how_nix_fares_and_cheap_checks_say_it_again() {
    let (other, location) = elsewhere(ok(INFO)).await;
    let front = Fake::answering(moved(&location)).await;
    let (mut session, _events) = session(&front);
    let report = session.check(Depth::Asked).await;
    assert_eq!(verdict(&report), READY);
    assert_eq!(report.address, Some(other.address.to_string()));
    let there = Detail::from(other.address.to_string());
    assert_eq!(report.details["redirected_to"], there);
    let asked = other.connections();
    for _ in 0..3 {
        assert_eq!(verdict(&session.check(Depth::Cheap).await), READY);
    }
    assert_eq!(verdict(&session.check(Depth::Deep).await), REDIRECTED);
    assert_eq!(verdict(&session.check(Depth::Cheap).await), REDIRECTED);
    assert_eq!(other.connections(), asked);
}

#[tokio::test]
async fn a_redirect_that_leads_elsewhere_by_now_is_not_what_was_asked_for() {
    let (_other, location) = elsewhere(ok(INFO)).await;
    let places = Arc::new([moved(&location), moved("http://127.0.15.8/nix-cache-info")]);
    let front = Fake::new(move |mut stream, count| {
        let places = places.clone();
        async move {
            // Nothing is kept: each check is a connection.
            question(&mut stream).await;
            let place = &places[usize::from(count > 1)];
            let _ = stream.write_all(place.as_bytes()).await;
        }
    })
    .await;
    let (mut session, _events) = session(&front);
    assert_eq!(verdict(&session.check(Depth::Asked).await), READY);
    assert_eq!(verdict(&session.check(Depth::Cheap).await), REDIRECTED);
}

#[tokio::test]
async fn a_redirect_to_another_watched_cache_is_followed() {
    let (other, location) = elsewhere(ok(INFO)).await;
    let front = Fake::answering(moved(&location)).await;
    let (mut context, _events) = context(Connection::Keep, PATIENCE);
    let watched = spec(other.address, |_| {});
    let watched = hosts(&[TargetSpec::clone(&watched)]);
    context.cache_hosts = watch::channel(watched).1;
    let mut session = Session::new(spec(front.address, |_| {}), Arc::new(context));
    let report = session.check(Depth::Cheap).await;
    assert_eq!(verdict(&report), READY);
    assert_eq!(report.address, Some(other.address.to_string()));
}

#[tokio::test]
async fn a_redirect_to_another_page_of_another_machine_is_a_captive_portal() {
    let (portal, location) = elsewhere(ok("<!DOCTYPE html><title>Log in</title>")).await;
    let location = location.replace("/nix/nix-cache-info", "/login");
    let front = Fake::answering(moved(&location)).await;
    let report = session(&front).0.check(Depth::Deep).await;
    assert_eq!(verdict(&report), (Stage::Http, Reason::CaptivePortal));
    let detail = report.outcome.unwrap_err().detail;
    let there = format!("redirects to {}", portal.address);
    assert!(detail.contains(&there), "{detail}");
    assert_eq!(portal.connections(), 0);
}

#[tokio::test]
async fn a_page_behind_a_redirect_is_a_captive_portal_and_its_host_is_named() {
    let (portal, location) = elsewhere(ok("<!DOCTYPE html><title>Log in</title>")).await;
    let report = ask(&Fake::answering(moved(&location)).await).await;
    assert_eq!(verdict(&report), (Stage::CacheInfo, Reason::CaptivePortal));
    let detail = report.outcome.unwrap_err().detail;
    assert!(
        detail.contains(&format!("redirected to {}", portal.address)),
        "{detail}"
    );
}

#[tokio::test]
async fn a_redirect_to_a_machine_that_is_off_says_which_stage_failed_there() {
    // Bound, so that nobody else gets the port, but not listening.
    let other = TcpSocket::new_v4().unwrap();
    other.bind(([127, 0, 15, 7], 0).into()).unwrap();
    let address = other.local_addr().unwrap();
    let location = format!("http://{address}/nix-cache-info");
    let report = ask(&Fake::answering(moved(&location)).await).await;
    assert_eq!(verdict(&report), (Stage::Connect, Reason::Refused));
    assert_eq!(report.address, Some(address.to_string()));
}

#[tokio::test]
async fn redirects_between_two_machines_end() {
    let there = Arc::new(OnceLock::<String>::new());
    let location = there.clone();
    let front = Fake::new(move |mut stream, _| {
        let location = location.clone();
        async move {
            while question(&mut stream).await.is_some() {
                let answer = moved(location.get().unwrap());
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    })
    .await;
    let back = moved(&format!("http://{}/", front.address));
    let (_other, location) = elsewhere(back).await;
    there.set(location).unwrap();
    let report = ask(&front).await;
    assert_eq!(verdict(&report), (Stage::Http, Reason::HttpStatus));
    assert_eq!(front.connections(), 2);
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let fake = Fake::answering(moved("/nix-cache-info")).await;
    let report = check(&fake).await;
    assert_eq!(verdict(&report), (Stage::Http, Reason::HttpStatus));
    assert_eq!(fake.connections(), 1);
}

#[tokio::test]
async fn a_redirect_nowhere_is_a_status() {
    let answer = "HTTP/1.1 301 Moved Permanently\r\nContent-Length: 0\r\n\r\n";
    let report = check(&Fake::answering(answer).await).await;
    assert_eq!(verdict(&report), (Stage::Http, Reason::HttpStatus));
}
