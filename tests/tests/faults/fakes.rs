//! The fakes break in exactly the way they were told to, on new connections and on open ones.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use offload_tests::{
    fake::{Cache, Desktop, Fault, Point, SshServer},
    ground::{HERE, MOVED, free_address},
    keys,
};
use russh::{
    client,
    keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const ANY: SocketAddr = SocketAddr::new(HERE, 0);
/// Longer than anything on loopback takes.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than a handshake takes, also in a build that is not optimised.
const STAGE: Duration = Duration::from_secs(1);
/// Long enough to see that nothing comes.
const SILENCE: Duration = Duration::from_millis(150);

const GET: &[u8] = b"GET /nix-cache-info HTTP/1.1\r\nHost: desktop\r\n\r\n";

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    timeout(PATIENCE, TcpStream::connect(address)).await?
}

/// One request on `stream`; what came back until the body of `nix-cache-info` or the end.
async fn get(stream: &mut TcpStream) -> io::Result<String> {
    stream.write_all(GET).await?;
    let mut answer = Vec::new();
    let read = async {
        let mut buffer = [0; 4096];
        loop {
            let length = stream.read(&mut buffer).await?;
            answer.extend_from_slice(&buffer[..length]);
            let text = String::from_utf8_lossy(&answer);
            if length == 0 || text.contains("Priority: 30\n") || answer.len() > 100_000 {
                return Ok(text.into_owned());
            }
        }
    };
    timeout(PATIENCE, read).await?
}

/// Whether the peer says nothing, not even that it is gone.
async fn silent(stream: &mut TcpStream) -> bool {
    timeout(SILENCE, stream.read(&mut [0; 1])).await.is_err()
}

#[tokio::test]
async fn a_healthy_cache_answers_many_requests_on_one_connection() {
    let cache = Cache::start(ANY).await.unwrap();
    let mut stream = connect(cache.address()).await.unwrap();
    for _ in 0..3 {
        let answer = get(&mut stream).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("StoreDir: /nix/store\n"), "{answer}");
    }
    assert_eq!((cache.connections(), cache.requests()), (1, 3));
}

#[tokio::test]
async fn a_stopped_cache_closes_what_is_open_and_refuses_what_is_new() {
    let cache = Cache::start(ANY).await.unwrap();
    let mut open = connect(cache.address()).await.unwrap();
    get(&mut open).await.unwrap();

    cache.set(Fault::Refuse).await.unwrap();
    assert_eq!(
        timeout(PATIENCE, open.read(&mut [0; 1]))
            .await
            .unwrap()
            .unwrap(),
        0
    );
    let refused = connect(cache.address()).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);

    cache.set(Fault::Healthy).await.unwrap();
    let mut again = connect(cache.address()).await.unwrap();
    assert!(get(&mut again).await.unwrap().contains("StoreDir"));
}

#[tokio::test]
async fn a_silent_cache_holds_open_and_new_connections_until_it_wakes() {
    let cache = Cache::start(ANY).await.unwrap();
    let mut open = connect(cache.address()).await.unwrap();
    get(&mut open).await.unwrap();

    cache.set(Fault::Silent).await.unwrap();
    let mut new = connect(cache.address()).await.unwrap();
    for stream in [&mut open, &mut new] {
        stream.write_all(GET).await.unwrap();
        assert!(silent(stream).await);
    }

    cache.set(Fault::Healthy).await.unwrap();
    for stream in [&mut open, &mut new] {
        let mut answer = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
}

#[tokio::test]
async fn a_black_hole_does_not_even_answer_the_attempt_to_connect() {
    let cache = Cache::start(ANY).await.unwrap();
    cache.set(Fault::BlackHole).await.unwrap();
    let attempt = timeout(SILENCE, TcpStream::connect(cache.address())).await;
    assert!(attempt.is_err(), "{attempt:?}");

    cache.set(Fault::Healthy).await.unwrap();
    let mut stream = connect(cache.address()).await.unwrap();
    assert!(get(&mut stream).await.unwrap().contains("StoreDir"));
}

#[tokio::test]
async fn a_reset_is_a_reset_and_no_orderly_end() {
    let cache = Cache::start(ANY).await.unwrap();
    let mut open = connect(cache.address()).await.unwrap();
    get(&mut open).await.unwrap();
    cache.set(Fault::Reset).await.unwrap();
    let mut new = connect(cache.address()).await.unwrap();
    for stream in [&mut open, &mut new] {
        let end = timeout(PATIENCE, stream.read(&mut [0; 1])).await.unwrap();
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn a_stalled_answer_ends_where_it_was_told_to() {
    let cache = Cache::start(ANY).await.unwrap();
    for (point, whole) in [
        (Point::FirstLine, "HTTP/1.1 200 OK\r\n"),
        (Point::Headers, "\r\n\r\n"),
    ] {
        cache.set(Fault::StallAfter(point)).await.unwrap();
        let mut stream = connect(cache.address()).await.unwrap();
        stream.write_all(GET).await.unwrap();
        let mut got = String::new();
        while let Ok(byte) = timeout(SILENCE, stream.read_u8()).await {
            got.push(char::from(byte.unwrap()));
        }
        assert!(
            got.ends_with(whole) && !got.contains("StoreDir"),
            "{point:?}: {got:?}"
        );
    }
}

#[tokio::test]
async fn wrong_answers_come_on_open_connections_too() {
    let cache = Cache::start(ANY).await.unwrap();
    let mut stream = connect(cache.address()).await.unwrap();
    get(&mut stream).await.unwrap();
    for (fault, expected) in [
        (Fault::Status(503), "HTTP/1.1 503"),
        (Fault::CaptivePortal, "<title>Hotel Network</title>"),
        (Fault::WrongStoreDir, "StoreDir: /gnu/store\n"),
    ] {
        cache.set(fault).await.unwrap();
        stream.write_all(GET).await.unwrap();
        let mut got = String::new();
        while !got.contains(expected) {
            let byte = timeout(PATIENCE, stream.read_u8()).await;
            got.push(char::from(
                byte.unwrap_or_else(|_| panic!("{fault:?}: {got}")).unwrap(),
            ));
        }
        while timeout(SILENCE, stream.read_u8()).await.is_ok() {}
    }
    assert_eq!(cache.connections(), 1);
}

#[tokio::test]
async fn garbage_is_no_http_and_then_the_end() {
    let cache = Cache::start(ANY).await.unwrap();
    cache.set(Fault::Garbage).await.unwrap();
    let mut stream = connect(cache.address()).await.unwrap();
    let answer = get(&mut stream).await.unwrap();
    assert!(
        !answer.is_empty() && !answer.starts_with("HTTP"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn an_endless_answer_goes_on_for_as_long_as_somebody_reads() {
    let cache = Cache::start(ANY).await.unwrap();
    cache.set(Fault::Endless).await.unwrap();
    let mut stream = connect(cache.address()).await.unwrap();
    let answer = get(&mut stream).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.len() > 100_000);
    // The fault's end is the connection's end: what was sent can't be made good.
    cache.set(Fault::Healthy).await.unwrap();
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_slow_answer_drips() {
    let cache = Cache::start(ANY).await.unwrap();
    cache.set(Fault::SlowDrip).await.unwrap();
    let mut stream = connect(cache.address()).await.unwrap();
    stream.write_all(GET).await.unwrap();
    let mut buffer = [0; 64];
    for _ in 0..3 {
        let read = timeout(PATIENCE, stream.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(read, 1);
    }
}

#[tokio::test]
async fn a_moved_desktop_answers_at_the_new_address_only() {
    let desktop = Desktop::start(ANY, free_address().unwrap()).await.unwrap();
    let old = desktop.cache.address();
    let mut open = connect(old).await.unwrap();
    get(&mut open).await.unwrap();
    desktop.move_to(MOVED).await.unwrap();
    assert_eq!(
        timeout(PATIENCE, open.read(&mut [0; 1]))
            .await
            .unwrap()
            .unwrap(),
        0
    );
    assert!(connect(old).await.is_err());
    assert_eq!(desktop.cache.address(), SocketAddr::new(MOVED, old.port()));
    let mut stream = connect(desktop.cache.address()).await.unwrap();
    assert!(get(&mut stream).await.unwrap().contains("StoreDir"));
    log_in(&desktop.ssh, desktop.user_key()).await.unwrap();
}

/// Accepts the host key that the server should have, and no other.
struct Client(String);

impl client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        key: &PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else {
            return Ok(false);
        };
        Ok(key.to_openssh().is_ok_and(|line| line.starts_with(&self.0)))
    }
}

/// Connects and logs in as offloadd does; an error names the stage.
async fn log_in(ssh: &SshServer, key: &Path) -> Result<client::Handle<Client>, &'static str> {
    let key: PrivateKey = load_secret_key(key, None).unwrap();
    let stream = connect(ssh.address()).await.map_err(|_| "connect")?;
    let client = Client(ssh.host_key().to_owned());
    let handshake = client::connect_stream(Arc::default(), stream, client);
    let mut session = timeout(STAGE, handshake)
        .await
        .map_err(|_| "handshake silent")?
        .map_err(|_| "handshake")?;
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
    let auth = timeout(STAGE, session.authenticate_publickey("nix", key));
    let auth = auth.await.map_err(|_| "auth silent")?.map_err(|_| "auth")?;
    if auth.success() {
        Ok(session)
    } else {
        Err("rejected")
    }
}

#[tokio::test]
async fn a_kept_ssh_connection_answers_keepalives_until_the_builder_is_silent() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    let session = log_in(&desktop.ssh, desktop.user_key()).await.unwrap();
    for _ in 0..3 {
        timeout(PATIENCE, session.send_ping())
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(desktop.ssh.connections(), 1);

    desktop.set(Fault::Silent).await.unwrap();
    assert!(timeout(SILENCE, session.send_ping()).await.is_err());
    desktop.set(Fault::Healthy).await.unwrap();
    timeout(PATIENCE, session.send_ping())
        .await
        .unwrap()
        .unwrap();
    assert!(!session.is_closed());

    desktop.set(Fault::Refuse).await.unwrap();
    timeout(PATIENCE, session)
        .await
        .expect("the session must end")
        .ok();
}

#[tokio::test]
async fn each_fault_of_a_builder_shows_at_its_own_stage() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    let ssh = &desktop.ssh;
    for (fault, stage) in [
        (Fault::Refuse, "connect"),
        (Fault::Reset, "handshake"),
        (Fault::Garbage, "handshake"),
        (Fault::Silent, "handshake silent"),
        (Fault::StallAfter(Point::FirstLine), "handshake silent"),
        (Fault::SwappedHostKey, "handshake"),
        (Fault::StallAfter(Point::HostKey), "auth silent"),
        (Fault::RefusedKey, "rejected"),
    ] {
        desktop.set(fault).await.unwrap();
        let failed = log_in(ssh, desktop.user_key()).await.err();
        assert_eq!(failed, Some(stage), "{fault:?}");
    }
    desktop.set(Fault::Healthy).await.unwrap();
    log_in(ssh, desktop.user_key()).await.unwrap();
}

#[tokio::test]
async fn a_swapped_host_key_is_seen_before_anybody_authenticates() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    desktop.set(Fault::SwappedHostKey).await.unwrap();
    assert_eq!(
        log_in(&desktop.ssh, desktop.user_key()).await.err(),
        Some("handshake")
    );
    assert_eq!((desktop.ssh.connections(), desktop.ssh.requests()), (1, 0));
}

#[tokio::test]
async fn a_key_that_is_not_the_users_is_rejected() {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let stranger = directory.path().join("stranger");
    keys::write(&keys::ed25519().unwrap(), &stranger).unwrap();
    let refused = log_in(&desktop.ssh, &stranger).await.err();
    assert_eq!(refused, Some("rejected"));
    assert!(desktop.ssh.requests() > 0);
}
