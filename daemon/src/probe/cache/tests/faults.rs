//! Servers that stall, babble, or hang up.

use tokio::{net::TcpSocket, time};

use super::*;
use crate::health::Depth;
use crate::probe::connect::tests::silent;

#[tokio::test]
async fn silence_is_told_by_the_stage_it_fell_in() {
    let half_head = Fake::new(|mut stream, _| async move {
        question(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nX-").await.unwrap();
        drain(&mut stream).await;
    });
    let half_body = Fake::answering(ok(INFO)[..60].to_owned());
    let nothing = Fake::new(|mut stream, _| async move { drain(&mut stream).await });
    for fake in [half_head.await, half_body.await, nothing.await] {
        let report = check_impatiently(spec(fake.address, |_| {})).await;
        assert_eq!(verdict(&report), (Stage::Http, Reason::TimedOut));
        assert_eq!(report.address, Some(fake.address.to_string()));
    }
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_told_by_its_stage() {
    let fake = Fake::new(|mut stream, _| async move { drain(&mut stream).await }).await;
    let (bundle, _key) = tls::certificate(&[]);
    let spec = spec(fake.address, |cache| {
        cache.tls = true;
        cache.ssl_cert_file = Some(bundle.path.clone());
    });
    let report = check_impatiently(spec).await;
    assert_eq!(verdict(&report), (Stage::Tls, Reason::TimedOut));
}

#[tokio::test]
async fn a_connection_that_is_never_taken_is_told_by_its_stage() {
    let (_listener, _queue, address) = silent().await;
    let report = check_impatiently(spec(address, |_| {})).await;
    assert_eq!(verdict(&report), (Stage::Connect, Reason::TimedOut));
    assert_eq!(report.address, Some(address.to_string()));
}

#[tokio::test]
async fn a_slow_drip_does_not_outlast_the_bound() {
    let fake = Fake::new(|mut stream, _| async move {
        question(&mut stream).await;
        for byte in ok(INFO).bytes() {
            if stream.write_all(&[byte]).await.is_err() {
                break;
            }
            time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let report = check_impatiently(spec(fake.address, |_| {})).await;
    assert_eq!(verdict(&report), (Stage::Http, Reason::TimedOut));
    assert!(report.latency < 4 * IMPATIENCE, "{:?}", report.latency);
}

#[tokio::test]
async fn what_is_not_http_is_told_apart() {
    for answer in [
        "SSH-2.0-OpenSSH_9.2p1\r\n",
        "+OK ready\r\n\r\n",
        "HTTP/1.1 OK 200\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ] {
        let report = check(&Fake::answering(answer).await).await;
        assert_eq!(verdict(&report), (Stage::Http, Reason::NotHttp), "{answer}");
    }
}

#[tokio::test]
async fn endless_headers_are_not_read_to_their_end() {
    let one_header = Fake::new(|mut stream, _| async move {
        question(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await.unwrap();
        pour(&mut stream, &[b'x'; 4096]).await;
    });
    let many_headers = Fake::new(|mut stream, _| async move {
        question(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        pour(&mut stream, b"X: y\r\n").await;
    });
    for fake in [one_header.await, many_headers.await] {
        let report = check(&fake).await;
        assert_eq!(verdict(&report), (Stage::Http, Reason::NotHttp));
    }
}

#[tokio::test]
async fn a_head_has_room_enough_and_no_more() {
    for (size, expected) in [
        (link::MAX_HEAD / 2, READY),
        (2 * link::MAX_HEAD, (Stage::Http, Reason::NotHttp)),
    ] {
        let header = format!("\r\nX: {}\r\n\r\n", "x".repeat(size));
        let fake = Fake::answering(ok(INFO).replace("\r\n\r\n", &header)).await;
        let report = check(&fake).await;
        assert_eq!(verdict(&report), expected, "{size}");
    }
}

#[tokio::test]
async fn an_endless_body_is_not_read_to_its_end() {
    for (begin, reason) in [
        (INFO, Reason::CacheInfoInvalid),
        ("<html>", Reason::CaptivePortal),
    ] {
        let fake = Fake::new(move |mut stream, _| async move {
            question(&mut stream).await;
            let head = format!("HTTP/1.1 200 OK\r\n\r\n{begin}");
            stream.write_all(head.as_bytes()).await.unwrap();
            pour(&mut stream, &[b'#'; 4096]).await;
        })
        .await;
        let report = check(&fake).await;
        assert_eq!(verdict(&report), (Stage::CacheInfo, reason));
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_is_lost_not_refused() {
    for sent in [0, 12, 60] {
        for reset in [false, true] {
            let fake = Fake::new(move |mut stream, _| async move {
                question(&mut stream).await;
                stream
                    .write_all(&ok(INFO).as_bytes()[..sent])
                    .await
                    .unwrap();
                if reset {
                    stream.set_zero_linger().unwrap();
                }
            })
            .await;
            let report = check(&fake).await;
            let expected = (Stage::Http, Reason::ConnectionLost);
            assert_eq!(verdict(&report), expected, "{sent} {reset} {report:?}");
            // A new connection that breaks is not tried again.
            assert_eq!(fake.connections(), 1);
        }
    }
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((DESKTOP, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    let (mut session, _events) = session_of(spec(address, |_| {}), Connection::Keep, PATIENCE);
    let report = session.check(Depth::Cheap).await;
    assert_eq!(verdict(&report), (Stage::Connect, Reason::Refused));
}

#[tokio::test]
async fn another_address_that_answers_makes_up_for_one_that_refuses() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((DESKTOP, 0).into()).unwrap();
    let refusing = socket.local_addr().unwrap();
    let fake = Fake::answering(ok(INFO)).await;
    let mut spec = Arc::unwrap_or_clone(spec(fake.address, |_| {}));
    let first = Address {
        host: refusing.ip().to_string(),
        port: Some(refusing.port()),
    };
    spec.addresses.insert(0, first);
    let (mut session, _events) = session_of(Arc::new(spec), Connection::Keep, PATIENCE);
    let report = session.check(Depth::Cheap).await;
    assert_eq!(verdict(&report), READY);
    assert_eq!(report.address, Some(fake.address.to_string()));
}

#[tokio::test]
async fn ipv6_will_do() {
    let fake = Fake::at("[::1]:0".parse().unwrap(), |mut stream, _| async move {
        let head = question(&mut stream).await.unwrap();
        assert!(head.to_lowercase().contains("\r\nhost: [::1]:"), "{head}");
        stream.write_all(ok(INFO).as_bytes()).await.unwrap();
        drain(&mut stream).await;
    })
    .await;
    let report = check(&fake).await;
    assert_eq!(verdict(&report), READY);
    assert_eq!(report.address, Some(fake.address.to_string()));
}

#[tokio::test]
async fn a_builder_is_no_cache() {
    let mut spec = Arc::unwrap_or_clone(spec((DESKTOP, 1).into(), |_| {}));
    spec.kind = SpecKind::Builder(crate::target::BuilderSpec {
        protocol: crate::target::Protocol::SshNg,
        host: "desktop".to_owned(),
        user: None,
        port: None,
        params: BTreeMap::new(),
        ssh_options: String::new(),
        has_agent: false,
        ssh_key: None,
        host_keys: Default::default(),
        systems: Vec::new(),
        features: Vec::new(),
        mandatory_features: Vec::new(),
        max_jobs: 1,
        speed_factor: 1.0,
        dispatch: Vec::new(),
    });
    let (mut session, _events) = session_of(Arc::new(spec), Connection::Keep, PATIENCE);
    let report = session.check(Depth::Cheap).await;
    assert_eq!(verdict(&report), (Stage::None, Reason::NotConfigured));
}
