//! Servers that stall, lie or break off, at each stage.

use crate::health::Depth;
use std::future::pending;

use proptest::prelude::*;
use russh::{
    keys::{Algorithm, PrivateKey},
    server,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    super::{
        banner::Banner,
        host_key::HostKeys,
        link::{End, Link, Listener, OpenError},
    },
    sshd::Sshd,
    *,
};

/// Serves each connection with `serve`, and checks it once.
async fn check<F, S>(serve: F) -> Report
where
    F: Fn(TcpStream) -> S + Send + Sync + 'static,
    S: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    let mut probe = Probe::new(spec(port), taking_all(port), Connection::Keep, IMPATIENCE);
    let report = probe.check().await;
    serving.abort();
    report
}

fn taking_all(port: u16) -> SshOptions {
    SshOptions {
        strict_host_key_checking: StrictHostKeyChecking::No,
        ..options(port)
    }
}

#[tokio::test]
async fn one_that_says_nothing_times_out_at_the_banner() {
    let report = check(async |_stream| pending().await).await;
    failed(&report, Stage::Banner, Reason::TimedOut);
    assert!(report.latency >= IMPATIENCE);
}

#[tokio::test]
async fn one_that_drips_times_out_at_the_banner() {
    let report = check(async |mut stream: TcpStream| {
        for byte in b"SSH-2.0-OpenSSH_9.9 and it goes on and on\r\n" {
            stream.write_all(&[*byte]).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    })
    .await;
    failed(&report, Stage::Banner, Reason::TimedOut);
}

#[tokio::test]
async fn one_that_hangs_up_at_once_is_told_from_one_that_does_not_run() {
    let report = check(async |_stream| Ok(())).await;
    let failure = failed(&report, Stage::Banner, Reason::ConnectionLost);
    assert!(
        failure.detail.starts_with("accepted, then closed"),
        "{}",
        failure.detail
    );
}

#[tokio::test]
async fn an_sshd_with_too_many_visitors_is_quoted() {
    let sshd = Sshd::with(&["ed25519"], "MaxStartups 1").await;
    // Somebody who never logs in.
    let mut visitor = TcpStream::connect((HOST, sshd.port)).await.unwrap();
    visitor.read_u8().await.unwrap();
    let report = Probe::keeping(spec(sshd.port), taking_all(sshd.port))
        .check()
        .await;
    let failure = failed(&report, Stage::Banner, Reason::ConnectionLost);
    assert!(
        failure.detail.contains("\"Exceeded MaxStartups\""),
        "{}",
        failure.detail
    );
}

#[tokio::test]
async fn nobody_there_refuses_at_connect() {
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let report = Probe::keeping(spec(port), taking_all(port)).check().await;
    failed(&report, Stage::Connect, Reason::Refused);
}

#[tokio::test]
async fn after_a_failure_ssh_config_is_asked_again() {
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let mut probe = Probe::keeping(spec(port), taking_all(port));
    assert!(probe.session.asked.is_some());
    assert!(probe.session.check(Depth::Cheap).await.outcome.is_err());
    assert!(probe.session.asked.is_none());
}

#[tokio::test]
async fn a_web_server_is_known_by_what_it_answers() {
    let report = check(async |mut stream: TcpStream| {
        // It waits for its client, as web servers do.
        stream.read_u8().await?;
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            .await
    })
    .await;
    let failure = failed(&report, Stage::Banner, Reason::NotSsh);
    assert!(
        failure.detail.contains("HTTP/1.1 400"),
        "{}",
        failure.detail
    );
}

#[tokio::test]
async fn an_endless_greeting_is_not_listened_to() {
    for line in [&b"x"[..], b"hello\r\n"] {
        let report = check(move |mut stream: TcpStream| async move {
            loop {
                stream.write_all(line).await?;
            }
        })
        .await;
        let failure = failed(&report, Stage::Banner, Reason::NotSsh);
        assert!(failure.detail.len() < 300);
    }
}

#[tokio::test]
async fn one_that_stops_after_its_banner_times_out_at_the_host_key() {
    let report = check(async |mut stream: TcpStream| {
        stream.write_all(b"SSH-2.0-tarpit\r\n").await?;
        pending().await
    })
    .await;
    failed(&report, Stage::HostKey, Reason::TimedOut);
    assert_eq!(text(&report, "server_identification"), "SSH-2.0-tarpit");
}

#[tokio::test]
async fn one_that_hangs_up_after_its_banner_loses_the_connection() {
    let report = check(async |mut stream: TcpStream| {
        stream.write_all(b"SSH-2.0-shy\r\n").await?;
        stream.shutdown().await?;
        stream.read_to_end(&mut Vec::new()).await.map(drop)
    })
    .await;
    failed(&report, Stage::HostKey, Reason::ConnectionLost);
}

#[tokio::test]
async fn garbage_after_the_banner_breaks_the_protocol() {
    let report = check(async |mut stream: TcpStream| {
        stream.write_all(b"SSH-2.0-mad\r\n").await?;
        stream.write_all(&[0xff; 4096]).await?;
        stream.read_to_end(&mut Vec::new()).await.map(drop)
    })
    .await;
    failed(&report, Stage::HostKey, Reason::SshProtocol);
}

#[tokio::test]
async fn a_check_given_up_in_the_key_exchange_closes_its_connection() {
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut probe = Probe::new(spec(port), taking_all(port), Connection::Keep, PATIENCE);
    let served = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-tarpit\r\n").await.unwrap();
        let mut sent = Vec::new();
        // The client's line and the first bytes of its key exchange.
        while sent.len() <= super::super::banner::OURS.len() + 2 {
            assert_ne!(stream.read_buf(&mut sent).await.unwrap(), 0);
        }
        stream
    };
    let mut stream = tokio::select! {
        report = probe.check() => panic!("{report:?}"),
        stream = served => stream,
    };
    // The check is dropped, the session is not.
    let rest = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
    assert!(rest.is_ok(), "the connection is still open");
    drop(probe.session);
    assert_eq!(probe.closed.recv().await, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A panic would take the whole daemon down.
    #[test]
    fn no_packet_before_the_keys_makes_the_client_panic(
        packets in prop::collection::vec(
            (prop_oneof![Just(20u8), Just(31), Just(21), any::<u8>()],
             prop::collection::vec(any::<u8>(), 0..120)),
            1..4,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let end = runtime.block_on(hear(&packets));
        prop_assert!(!end.detail.contains("Join"), "{}", end.detail);
    }
}

/// The end of a connection whose server sends these unencrypted packets (RFC 4253, 6) and closes.
async fn hear(packets: &[(u8, Vec<u8>)]) -> End {
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    for (kind, payload) in packets {
        let length = 1 + 1 + payload.len();
        let padding = 4 + (8 - (4 + length + 4) % 8) % 8;
        let mut packet = u32::try_from(length + padding)
            .unwrap()
            .to_be_bytes()
            .to_vec();
        packet.extend([padding as u8, *kind]);
        packet.extend(payload);
        packet.resize(packet.len() + padding, 0);
        far.write_all(&packet).await.unwrap();
    }
    far.shutdown().await.unwrap();
    let banner = Banner {
        identification: "SSH-2.0-fuzz".into(),
        replay: b"SSH-2.0-fuzz\r\n".to_vec(),
    };
    let (closed, _) = mpsc::channel(1);
    let listener = Listener {
        target: TargetId::builder("desktop"),
        closed,
    };
    match Link::open(Box::new(near), banner, HostKeys::default().into(), listener).await {
        Err(OpenError::End(end)) => end,
        Err(OpenError::HostKey(refusal)) => panic!("a key was proved: {refusal}"),
        Ok(_) => panic!("a link came to be"),
    }
}

/// What a russh server does once the keys are exchanged.
#[derive(Clone, Copy)]
enum Manner {
    /// It never answers whether one may come in.
    Ponder,
    /// It lets anybody in, and then wants to open channels to its client.
    Intrude,
}

struct Handler(Manner);

impl server::Handler for Handler {
    type Error = russh::Error;

    async fn auth_none(&mut self, _user: &str) -> Result<server::Auth, russh::Error> {
        match self.0 {
            Manner::Ponder => pending().await,
            Manner::Intrude => Ok(server::Auth::Accept),
        }
    }
}

async fn serve(manner: Manner, stream: TcpStream) -> server::RunningSession<Handler> {
    let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
    let config = server::Config {
        keys: vec![key],
        ..server::Config::default()
    };
    server::run_stream(Arc::new(config), stream, Handler(manner))
        .await
        .unwrap()
}

#[tokio::test]
async fn one_that_ponders_times_out_at_authentication() {
    let report = check(async |stream| {
        serve(Manner::Ponder, stream).await.await.unwrap();
        Ok(())
    })
    .await;
    failed(&report, Stage::Auth, Reason::TimedOut);
    assert!(report.facts.is_some(), "the host key was proved");
}

#[tokio::test]
async fn a_server_that_wants_in_is_refused_and_still_ready() {
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut probe = Probe::keeping(spec(port), taking_all(port));
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let running = serve(Manner::Intrude, stream).await;
        (running.handle(), running)
    });
    let report = probe.check().await;
    assert_ready(&report);
    assert!(
        !report.details.contains_key("identity"),
        "no key was needed"
    );

    let (handle, _running) = serving.await.unwrap();
    assert!(
        handle
            .channel_open_forwarded_tcpip("a", 1, "b", 2)
            .await
            .is_err()
    );
    assert!(handle.channel_open_agent().await.is_err());
    assert!(handle.channel_open_session().await.is_err());
    assert!(handle.channel_open_x11("a", 1).await.is_err());
    assert_ready(&probe.check().await);
}
