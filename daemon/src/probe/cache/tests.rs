//! The probe against servers that misbehave in one way each.

mod answers;
mod faults;
mod keep;
mod login;
mod nar;
mod nix;
mod redirects;
mod signature;
mod strangers;
mod tls;

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::*;
use crate::{
    health::Depth,
    nix::{netrc::Login, version::NixVersion},
    report::Closed,
    target::{Address, CacheSpec, TargetId},
};

const DESKTOP: Ipv4Addr = Ipv4Addr::new(127, 0, 15, 6);

/// Long enough for a loaded machine, short enough for a test that waits for it.
const PATIENCE: Duration = Duration::from_secs(10);
const IMPATIENCE: Duration = Duration::from_millis(250);

const INFO: &str = "StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 30\n";

/// A server that does with each connection what the test says; dropping it closes them all.
struct Fake {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Fake {
    async fn new<F, Fut>(behave: F) -> Self
    where
        F: Fn(TcpStream, usize) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::at((DESKTOP, 0).into(), behave).await
    }

    async fn at<F, Fut>(address: SocketAddr, behave: F) -> Self
    where
        F: Fn(TcpStream, usize) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = connections.clone();
        let server = tokio::spawn(async move {
            let mut handlers = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let count = counter.fetch_add(1, Ordering::Relaxed) + 1;
                handlers.spawn(behave(stream, count));
            }
        });
        Self {
            address,
            connections,
            server,
        }
    }

    /// Answers every question with the same bytes and keeps the connection.
    async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::new(move |mut stream, _| {
            let answer = answer.clone();
            async move {
                while question(&mut stream).await.is_some() {
                    let _ = stream.write_all(&answer).await;
                }
            }
        })
        .await
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Reads one request's head; `None` when the connection ends first.
async fn question(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

/// Reads until the other side closes.
async fn drain(stream: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = [0; 1024];
    while !matches!(stream.read(&mut buffer).await, Ok(0) | Err(_)) {}
}

/// Writes `piece` for ever.
async fn pour(stream: &mut (impl AsyncWrite + Unpin), piece: &[u8]) {
    while stream.write_all(piece).await.is_ok() {}
}

/// A good answer with a length.
fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// A cache at `address`, and what a test wants different.
fn spec(address: SocketAddr, change: impl FnOnce(&mut CacheSpec)) -> Arc<TargetSpec> {
    let cache = cache_spec(|cache| {
        cache.host = address.ip().to_string();
        cache.port = address.port();
        change(cache);
    });
    Arc::new(TargetSpec {
        id: TargetId::cache("desktop"),
        uri: format!("http://user:s3cret@{address}").into(),
        addresses: vec![Address {
            host: address.ip().to_string(),
            port: None,
        }],
        kind: SpecKind::Cache(cache),
    })
}

/// A cache that no test asks as it is.
pub(super) fn cache_spec(change: impl FnOnce(&mut CacheSpec)) -> CacheSpec {
    let mut cache = CacheSpec {
        tls: false,
        host: "desktop".to_owned(),
        port: 80,
        path: String::new(),
        store_dir: "/nix/store".to_owned(),
        nix_version: NixVersion::default(),
        ssl_cert_file: None,
        proxy: None,
        login: Login::None,
        netrc_file: "/etc/nix/netrc".into(),
        public_keys: Vec::new(),
        unread: None,
        has_own_keys: false,
        require_sigs: true,
        substituter: None,
        negative_ttl: 3600,
        positive_ttl: 30 * 24 * 3600,
        sample: None,
        host_builder: None,
    };
    change(&mut cache);
    cache
}

fn context(connection: Connection, timeout: Duration) -> (Context, mpsc::Receiver<Closed>) {
    let (closed, events) = mpsc::channel(4);
    let context = Context {
        timeout,
        deep_timeout: timeout,
        connection,
        closed,
        sockets: crate::probe::search_sockets(),
        cache_hosts: watch::channel(BTreeSet::new()).1,
        nix_daemon: tokio::sync::watch::channel(None).1,
        lookups: crate::probe::Lookups::default(),
    };
    (context, events)
}

fn session_of(
    spec: Arc<TargetSpec>,
    connection: Connection,
    timeout: Duration,
) -> (Session, mpsc::Receiver<Closed>) {
    let (context, events) = context(connection, timeout);
    (Session::new(spec, Arc::new(context)), events)
}

/// A session that no test lets check anything.
pub(super) fn any_session() -> Session {
    let nowhere = spec((DESKTOP, 1).into(), |_| {});
    session_of(nowhere, Connection::Keep, PATIENCE).0
}

/// A session that keeps its connection and has time.
fn session(fake: &Fake) -> (Session, mpsc::Receiver<Closed>) {
    session_of(spec(fake.address, |_| {}), Connection::Keep, PATIENCE)
}

/// One check of `fake` by a new session.
async fn check(fake: &Fake) -> Report {
    session(fake).0.check(Depth::Cheap).await
}

/// One check that is expected to run out of time.
async fn check_impatiently(spec: Arc<TargetSpec>) -> Report {
    session_of(spec, Connection::Keep, IMPATIENCE)
        .0
        .check(Depth::Cheap)
        .await
}

/// Stage and reason of a failed check; nothing of it may hold the URL's password.
fn verdict(report: &Report) -> (Stage, Reason) {
    assert!(!format!("{report:?}").contains("s3cret"), "{report:?}");
    match &report.outcome {
        Ok(stage) => (*stage, Reason::None),
        Err(failure) => {
            assert!(!failure.detail.is_empty());
            (failure.stage, failure.reason)
        }
    }
}

const READY: (Stage, Reason) = (Stage::CacheInfo, Reason::None);
