//! The gateway: the caches of the local network as one substituter on loopback, for Nix, which loses a minute and
//! more over a cache that is not there, and never finds one that has moved.
//!
//! What is small it hands on, from all caches at once; to what is large it leads Nix (`answer`). Signatures are
//! Nix's to check, as ever. Only caches that are watched are asked, and only for what a binary cache has
//! (`request`).
//!
//! It is one task with all its connections in it: what they share is borrowed, and nothing is locked.

mod answer;
mod caches;
mod listen;
mod memory;
mod reply;
mod request;
mod returns;
mod upstream;

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use hyper::{Request, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use self::{
    answer::Answers,
    reply::{Answer, missing},
};
use crate::monitor::Handle;

/// So many connections are served at once; Nix opens 25 (`http-connections`). Others wait, and none is refused.
const CONNECTIONS: usize = 128;
/// How long a connection may be idle, or take to ask.
const IDLE: Duration = Duration::from_secs(60);
/// The head of a request has no more bytes.
const MAX_HEAD: usize = 16 * 1024;

/// The gateway, listening.
pub struct Gateway {
    listener: TcpListener,
    answers: Answers,
    address: SocketAddr,
    monitor: Handle,
}

impl Gateway {
    /// Listens on `address`, and leads to the caches that `monitor` watches.
    ///
    /// # Errors
    /// The address can't be had.
    pub fn open(address: SocketAddr, monitor: Handle) -> io::Result<Self> {
        Ok(Self {
            listener: listen::listen(address)?,
            answers: Answers::new(monitor.clone())?,
            address,
            monitor,
        })
    }

    /// Serves until it is dropped.
    pub async fn run(self) {
        tokio::join!(
            self.serve_all(),
            returns::follow(self.address, self.monitor.clone())
        );
    }

    async fn serve_all(&self) {
        let mut served = FuturesUnordered::new();
        loop {
            tokio::select! {
                stream = self.accept(), if served.len() < CONNECTIONS => served.push(self.serve(stream)),
                Some(()) = served.next(), if !served.is_empty() => {}
            }
        }
    }

    async fn accept(&self) -> TcpStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(error) => tracing::debug!("the gateway: {error}"),
            }
            // Of descriptors there may be more in a moment.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn serve(&self, stream: TcpStream) {
        let service = service_fn(async |request| Ok::<_, Infallible>(self.answer(request).await));
        let mut server = http1::Builder::new();
        server
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .max_buf_size(MAX_HEAD)
            .pipeline_flush(true);
        let ended = server.serve_connection(TokioIo::new(stream), service).await;
        if let Err(error) = ended {
            tracing::debug!("the gateway: {error}");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let host = request.headers().get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok());
        if !host.is_none_or(is_here) || request.uri().scheme().is_some() {
            // A page of somebody's whose name leads here is not Nix, nor is who takes this for a proxy.
            return missing();
        }
        let target = request.uri().path_and_query();
        let target = target.map_or("", |target| target.as_str());
        self.answers.answer(request.method(), target).await
    }
}

/// Whether `host`, perhaps with a port, is this machine by an address or by `localhost`.
fn is_here(host: &str) -> bool {
    let address = host.parse::<SocketAddr>().map(|address| address.ip());
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match address.or_else(|_| bare.parse()) {
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
