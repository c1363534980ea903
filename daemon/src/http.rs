//! Serving HTTP to this machine's own programs: Nix, and who collects metrics.
//!
//! It is one task with all its connections in it: what they share is borrowed, and nothing is locked.

mod sockets;

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

pub use self::sockets::Sockets;

/// So many connections are served at once; Nix opens 25 (`http-connections`). Others wait, and none is refused.
const MAX_CONNECTIONS: usize = 128;
/// How long a connection may be idle, or take to ask.
const IDLE: Duration = Duration::from_secs(60);
/// The head of a request has no more bytes.
const MAX_HEAD: usize = 16 * 1024;

/// What is answered.
pub(crate) type Answer = Response<Full<Bytes>>;

pub(crate) fn plain(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer
}

pub(crate) fn set(answer: &mut Answer, name: HeaderName, value: &'static str) {
    let value = HeaderValue::from_static(value);
    answer.headers_mut().insert(name, value);
}

/// Serves until it is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    answer: impl AsyncFn(Request<Incoming>) -> Answer,
) {
    let mut served = FuturesUnordered::new();
    loop {
        tokio::select! {
            stream = accept(&listener), if served.len() < MAX_CONNECTIONS => served.push(one(stream, &answer)),
            Some(()) = served.next(), if !served.is_empty() => {}
        }
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => tracing::debug!("accept: {error}"),
        }
        // Of descriptors there may be more in a moment.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn one(stream: TcpStream, answer: &impl AsyncFn(Request<Incoming>) -> Answer) {
    let service = service_fn(async |request| Ok::<_, Infallible>(answer(request).await));
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(MAX_HEAD)
        .pipeline_flush(true);
    let ended = server.serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = ended {
        tracing::debug!("a connection ended: {error}");
    }
}

/// Whether `request` is to this machine itself: a page of somebody's whose name leads here does not ask so, nor who
/// takes this for a proxy.
pub(crate) fn is_to_here(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok());
    host.is_none_or(is_here) && request.uri().scheme().is_none()
}

/// Whether `host`, perhaps with a port, is this machine by an address or by `localhost`.
fn is_here(host: &str) -> bool {
    let address = host.parse::<SocketAddr>().map(|address| address.ip());
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match address.or_else(|_| bare.parse::<IpAddr>()) {
        Ok(address) => address.is_loopback(),
        Err(_) => host.split(':').next() == Some("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_asks_this_machine_itself_is_answered() {
        for (host, is) in [
            ("127.0.0.1:5001", true),
            ("127.0.0.1", true),
            ("[::1]:5001", true),
            ("[::1]", true),
            ("localhost:5001", true),
            ("192.0.2.6:5001", false),
            ("desktop:5001", false),
            ("localhost.example.org:5001", false),
            ("", false),
        ] {
            assert_eq!(is_here(host), is, "{host}");
        }
    }
}
