//! What the server says, and what that means.

use offload_client::snapshot::CacheFacts;

use crate::health::Depth;

use super::*;

#[tokio::test]
async fn a_healthy_cache_is_ready_and_says_what_it_is() {
    let (asked, mut heads) = mpsc::channel(1);
    let fake = Fake::new(move |mut stream, _| {
        let asked = asked.clone();
        async move {
            let head = question(&mut stream).await.unwrap();
            asked.send(head).await.unwrap();
            let answer = ok(INFO).replace("\r\n\r\n", "\r\nServer: harmonia/2\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            drain(&mut stream).await;
        }
    })
    .await;
    let spec = spec(fake.address, |cache| cache.path = "/my cache".to_owned());
    let (mut session, _events) = session_of(spec, Connection::Keep, PATIENCE);
    let report = session.check(Depth::Cheap).await;
    assert_eq!(verdict(&report), READY);
    assert_eq!(report.address, Some(fake.address.to_string()));
    assert!(report.latency > Duration::ZERO);
    let facts = CacheFacts {
        store_dir: "/nix/store".into(),
        want_mass_query: true,
        priority: 30,
        signing_key: "".into(),
    };
    assert_eq!(report.facts, Some(Learned::Cache(facts)));
    assert_eq!(report.details["server"], Detail::from("harmonia/2"));

    let head = heads.recv().await.unwrap().to_lowercase();
    assert!(
        head.starts_with("get /my%20cache/nix-cache-info http/1.1\r\n"),
        "{head}"
    );
    for line in [
        format!("host: {}", fake.address),
        format!("user-agent: offloadd/{}", env!("CARGO_PKG_VERSION")),
        "accept: */*".to_owned(),
    ] {
        assert!(
            head.contains(&format!("\r\n{line}\r\n")),
            "{line} in {head}"
        );
    }
}

#[tokio::test]
async fn every_usual_form_of_body_is_read() {
    let length = INFO.len();
    for (form, answer) in [
        ("length", ok(INFO)),
        (
            "chunks",
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 5\r\n{}\r\n{:x}\r\n{}\r\n0\r\nX-Trailer: 1\r\n\r\n",
                &INFO[..5],
                length - 5,
                &INFO[5..]
            ),
        ),
        (
            "interim answer first",
            format!("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n{}", ok(INFO)),
        ),
        ("bare line feeds", ok(INFO).replace("\r\n", "\n")),
        ("created", ok(INFO).replace("200 OK", "201 Created")),
        ("in part", ok(INFO).replace("200 OK", "206 Partial Content")),
    ] {
        let report = check(&Fake::answering(answer).await).await;
        assert_eq!(verdict(&report), READY, "{form}: {report:?}");
    }
}

#[tokio::test]
async fn each_status_has_its_reason() {
    for (status, reason) in [
        ("202 Accepted", Reason::HttpStatus),
        ("304 Not Modified", Reason::HttpStatus),
        ("401 Unauthorized", Reason::HttpStatus),
        ("404 Not Found", Reason::HttpStatus),
        ("500 Internal Server Error", Reason::HttpStatus),
        ("599", Reason::HttpStatus),
        ("511 Network Authentication Required", Reason::CaptivePortal),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        let report = check(&Fake::answering(answer).await).await;
        assert_eq!(verdict(&report), (Stage::Http, reason), "{status}");
        assert_eq!(report.outcome.unwrap_err().detail, status);
    }
}

#[tokio::test]
async fn a_status_is_told_without_waiting_for_its_page() {
    let answer = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 100\r\n\r\n";
    let report = check(&Fake::answering(answer).await).await;
    assert_eq!(verdict(&report), (Stage::Http, Reason::HttpStatus));
}

#[tokio::test]
async fn each_body_has_its_reason() {
    let page = "<!DOCTYPE html><title>Hotel WiFi</title>";
    let long = "# a comment\n".repeat(MAX_BODY);
    for (body, reason) in [
        (page.to_owned(), Reason::CaptivePortal),
        ("Welcome".to_owned(), Reason::CaptivePortal),
        (format!("{page}{long}"), Reason::CaptivePortal),
        (format!("{INFO}{long}"), Reason::CacheInfoInvalid),
        (String::new(), Reason::CacheInfoInvalid),
        ("Priority: high\n".to_owned(), Reason::CacheInfoInvalid),
        (
            "StoreDir: /gnu/store\n".to_owned(),
            Reason::StoreDirMismatch,
        ),
    ] {
        let report = check(&Fake::answering(ok(&body)).await).await;
        assert_eq!(verdict(&report), (Stage::CacheInfo, reason), "{report:?}");
    }
}

#[tokio::test]
async fn the_two_store_directories_are_named() {
    let report = check(&Fake::answering(ok("StoreDir: /gnu/store\n")).await).await;
    assert_eq!(report.details["actual"], "/gnu/store".into());
    assert_eq!(report.details["expected"], "/nix/store".into());
}

#[tokio::test]
async fn a_body_of_the_largest_size_is_still_read() {
    let padding = "#".repeat(MAX_BODY - INFO.len());
    let report = check(&Fake::answering(ok(&format!("{INFO}{padding}"))).await).await;
    assert_eq!(verdict(&report), READY);
}

#[tokio::test]
async fn a_wrong_store_directory_is_named_and_learned() {
    let report = check(&Fake::answering(ok("StoreDir: /gnu/store\n")).await).await;
    let detail = &report.outcome.as_ref().unwrap_err().detail;
    assert!(
        detail.contains("/gnu/store") && detail.contains("/nix/store"),
        "{detail}"
    );
    let Some(Learned::Cache(facts)) = report.facts else {
        panic!("nothing learned");
    };
    assert_eq!(facts.store_dir, "/gnu/store");
}

#[tokio::test]
async fn a_packed_body_is_not_read_as_text() {
    let answer = ok(INFO).replace("\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\n");
    let report = check(&Fake::answering(answer).await).await;
    assert_eq!(
        verdict(&report),
        (Stage::CacheInfo, Reason::CacheInfoInvalid)
    );
}
