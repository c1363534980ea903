//! The daemon's figures for who watches many laptops: as a page (`[metrics] listen`, which Prometheus reads), and as a
//! file (`[metrics] textfile`, which node_exporter reads). Both are made when they are read or written: nothing is
//! kept for them but the counts of `health` and of the gateway.

mod exposition;
mod process;
mod textfile;

use std::{io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use hyper::{
    Method, Request, StatusCode,
    body::Incoming,
    header::{self, HeaderMap},
};
use tokio::net::TcpListener;

pub use self::textfile::Textfile;
use self::{
    exposition::{Exposition, Format},
    process::Process,
};
use crate::{
    gateway,
    http::{self, Answer, Sockets, plain, set},
    monitor::Handle,
};

/// What the figures are made of.
#[derive(Clone, Debug)]
pub struct Metrics {
    monitor: Handle,
    gateway: Option<Arc<gateway::Counts>>,
    process: Process,
}

impl Metrics {
    /// Those of what `monitor` watches, and of the gateway where there is one.
    pub fn new(monitor: Handle, gateway: Option<Arc<gateway::Counts>>) -> Self {
        Self {
            monitor,
            gateway,
            process: Process::started_now(),
        }
    }

    async fn read(&self) -> Exposition {
        let counts = self.monitor.counts().await;
        Exposition {
            // After the counts, so that it has what was counted.
            snapshot: self.monitor.snapshot(),
            counts: counts.into_iter().collect(),
            gateway: self.gateway.clone(),
            process: self.process.usage(),
        }
    }
}

/// The page, listening.
#[derive(Debug)]
pub struct Page {
    listener: TcpListener,
    address: SocketAddr,
    metrics: Metrics,
}

impl Page {
    /// Listens on `address`.
    ///
    /// # Errors
    /// The address can't be had.
    pub fn open(address: SocketAddr, sockets: &mut Sockets, metrics: Metrics) -> io::Result<Self> {
        Ok(Self {
            listener: sockets.listen(address)?,
            address,
            metrics,
        })
    }

    /// Serves until it is dropped.
    pub async fn run(self) {
        let (metrics, address) = (self.metrics, self.address);
        let answer = async |request: Request<Incoming>| {
            // What others may reach, they may reach by any name.
            if address.ip().is_loopback() && !http::is_to_here(&request) {
                return plain(StatusCode::NOT_FOUND, Bytes::new());
            }
            answer(&metrics, &request).await
        };
        http::serve(self.listener, answer).await;
    }
}

async fn answer(metrics: &Metrics, request: &Request<Incoming>) -> Answer {
    if request.uri().path() != "/metrics" {
        let text = Bytes::from_static(b"the metrics are at /metrics\n");
        return plain(StatusCode::NOT_FOUND, text);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, Bytes::new());
        set(&mut answer, header::ALLOW, "GET, HEAD");
        return answer;
    }
    let format = accepted(request.headers());
    let text = metrics.read().await.write(format);
    let mut answer = plain(StatusCode::OK, text.into());
    set(&mut answer, header::CONTENT_TYPE, format.content_type());
    answer
}

/// OpenMetrics for who asks for it, as Prometheus does; else what everything else reads.
fn accepted(headers: &HeaderMap) -> Format {
    let mut accepted = headers.get_all(header::ACCEPT).iter();
    let is_open = |value: &header::HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        text.contains("application/openmetrics-text")
    };
    if accepted.any(is_open) {
        Format::OpenMetrics
    } else {
        Format::Prometheus
    }
}
