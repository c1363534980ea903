//! What a server may answer to a question for a narinfo.

use super::*;

#[tokio::test]
async fn other_statuses_fail_with_the_name_of_the_file() {
    for (status, reason) in [
        ("500 Internal Server Error", Reason::HttpStatus),
        ("401 Unauthorized", Reason::HttpStatus),
        ("511 Network Authentication Required", Reason::CaptivePortal),
    ] {
        let server = Server::saying(ABSENT.replace("404 Not Found", status)).await;
        let report = server.check(|_| {}).await;
        assert_eq!(verdict(&report), (Stage::Signature, reason));
        let expected = format!("{}: {status}", narinfo_name(&STORE.path));
        assert_eq!(detail(&report), expected);
        assert_eq!(report.details["sample"], STORE.path.as_str().into());
    }
}

#[tokio::test]
async fn what_is_no_narinfo_is_told_with_what_it_is() {
    let good = SIGNED.narinfo(&STORE.path);
    let endless = format!("Deriver: {}", "x".repeat(2 << 20));
    for (text, told) in [
        ("<html>Hotel WiFi</html>", "not a narinfo but: <html>"),
        (INFO, "StorePath is missing"),
        ("", "StorePath is missing"),
        (&good[..good.len() - 1], "line 10 is not 'Name: value'"),
        (
            &good.replace("NarHash: sha256:", "NarHash: md5:"),
            "NarHash can't be read",
        ),
        (&SIGNED.narinfo(&STORE.reference), "is of another path: "),
        (&endless, "more than 1048576 bytes"),
    ] {
        let server = Server::saying(ok(text)).await;
        let report = server.check(|_| {}).await;
        assert_eq!(
            verdict(&report),
            (Stage::Signature, Reason::NarinfoInvalid),
            "{told}"
        );
        assert!(detail(&report).contains(told), "{}", detail(&report));
    }
}

#[tokio::test]
async fn a_body_without_end_is_not_read_to_its_end() {
    let fake = Fake::new(|mut stream, _| async move {
        question(&mut stream).await;
        let info = ok(&SIGNED.file("nix-cache-info").unwrap());
        stream.write_all(info.as_bytes()).await.unwrap();
        question(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
        stream.write_all(head).await.unwrap();
        pour(&mut stream, &[b'x'; 4096]).await;
    });
    let asked = mpsc::channel(1).1;
    let server = Server {
        fake: fake.await,
        asked,
    };
    let report = server.check(|_| {}).await;
    assert_eq!(verdict(&report), (Stage::Signature, Reason::NarinfoInvalid));
}

#[tokio::test]
async fn silence_and_a_cut_are_told_by_their_stage() {
    let silent = Server::new(|_| None).await;
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nStorePath: ";
    let half = Server::saying(half).await;
    for server in [&silent, &half] {
        let mut session = server.session_within(Connection::Keep, IMPATIENCE, |_| {});
        let report = session.check(Depth::Deep).await;
        assert_eq!(verdict(&report), (Stage::Signature, Reason::TimedOut));
        assert_eq!(report.details["sample"], STORE.path.as_str().into());
        assert_eq!(report.address, Some(server.fake.address.to_string()));
    }
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nX: Connection: close";
    let report = Server::saying(cut).await.check(|_| {}).await;
    assert_eq!(verdict(&report), (Stage::Signature, Reason::ConnectionLost));
    let noise = Server::saying("SSH-2.0-OpenSSH_9.2p1\r\n").await;
    let report = noise.check(|_| {}).await;
    assert_eq!(verdict(&report), (Stage::Signature, Reason::NotHttp));
}

#[tokio::test]
async fn redirects_of_a_narinfo_are_followed() {
    let server = Server::new(|name| match name {
        "moved" => Some(ok(&SIGNED.narinfo(&STORE.path))),
        _ => Some("HTTP/1.1 307 Moved\r\nLocation: /moved\r\nContent-Length: 0\r\n\r\n".into()),
    })
    .await;
    let report = server.check(|_| {}).await;
    assert_eq!(verdict(&report), SIGNATURE);
    assert_eq!(server.fake.connections(), 1);
}

#[tokio::test]
async fn a_packed_narinfo_is_passed_over() {
    let packed = ok("\u{1}\u{2}").replace("\r\n\r\n", "\r\nContent-Encoding: br\r\n\r\n");
    let server = Server::saying(packed).await;
    let report = server.check(|_| {}).await;
    assert_eq!(verdict(&report), READY);
    assert_eq!(report.details["sample_missing"], Detail::Bool(true));
}
