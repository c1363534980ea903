//! A binary cache with one path: `nix-cache-info`, a signed narinfo and its NAR.

use std::{
    convert::Infallible,
    net::SocketAddr,
    ops::Deref,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{self, Poll},
};

use http_body_util::{Either, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Frame, Incoming as Body},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::{
    Certificate, Control, Fault, Point, Port,
    narinfo::Sample,
    port::{Incoming, State},
    wire::{Flavour, NOISE},
};
use crate::Result;

/// A fake cache. It dereferences to its [`Control`].
#[derive(Debug)]
pub struct Cache {
    port: Port,
    sample: Arc<Sample>,
    scheme: &'static str,
}

impl Cache {
    /// Starts one on `address` (port 0: a free one).
    ///
    /// # Errors
    /// When the address can't be bound, or the system has no randomness to give.
    pub async fn start(address: SocketAddr) -> Result<Self> {
        Self::serve(address, None).await
    }

    /// The same behind TLS.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_secured(address: SocketAddr, certificate: &Certificate) -> Result<Self> {
        Self::serve(address, Some(certificate.acceptor())).await
    }

    async fn serve(address: SocketAddr, tls: Option<TlsAcceptor>) -> Result<Self> {
        let sample = Arc::new(Sample::new()?);
        let (served, scheme, flavour) = match &tls {
            Some(_) => (sample.clone(), "https", Flavour::Tls),
            None => (sample.clone(), "http", Flavour::Http),
        };
        let serve = move |incoming: Incoming| serve(incoming, served.clone(), tls.clone());
        Ok(Self {
            port: Port::open(address, flavour, serve).await?,
            sample,
            scheme,
        })
    }

    /// The key that signs what it serves: `name:base64`.
    pub fn public_key(&self) -> String {
        self.sample.public_key()
    }

    /// The path that it serves: `/nix/store/…`.
    pub fn store_path(&self) -> String {
        self.sample.path()
    }

    /// `http://host:port`, or with https, as Nix would be given it.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address())
    }
}

impl Deref for Cache {
    type Target = Control;

    fn deref(&self) -> &Control {
        self.port.control()
    }
}

async fn serve(
    Incoming {
        stream,
        state,
        seen,
        strike,
    }: Incoming,
    sample: Arc<Sample>,
    tls: Option<TlsAcceptor>,
) {
    let stream: Box<dyn Stream> = match tls {
        // How far a handshake came is the client's to tell.
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => Box::new(stream),
            Err(_) => return,
        },
        None => Box::new(stream),
    };
    let service = service_fn(|request: Request<Body>| {
        seen.requests.fetch_add(1, Ordering::Relaxed);
        let (sample, mut state, strike) = (sample.clone(), state.clone(), strike.clone());
        async move {
            let path = request.uri().path();
            let stalls = |now: &State| now.fault == Fault::StallAfter(Point::CacheInfo);
            if path != "/nix-cache-info" {
                // When nobody can switch any more the connection ends anyway.
                let _ = state.wait_for(|now| !stalls(now)).await;
                strike.reached(Point::CacheInfo, state.borrow().fault);
            }
            let fault = state.borrow().fault;
            Ok::<_, Infallible>(answer(path, fault, &sample))
        }
    });
    // How a connection ends is the wire's business and the client's.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// What HTTP is spoken over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What is sent: all at once, or for ever.
type Answer = Either<Full<Bytes>, Endless>;

fn answer(path: &str, fault: Fault, sample: &Sample) -> Response<Answer> {
    let now = |status, kind, body: String| {
        let mut response = Response::new(Either::Left(Full::new(Bytes::from(body))));
        *response.status_mut() = status;
        let kind = HeaderValue::from_static(kind);
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    };
    let ok = StatusCode::OK;
    match fault {
        Fault::Status(code) => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            now(status, "text/plain", "something is wrong\n".into())
        }
        // A portal answers whatever is asked.
        Fault::CaptivePortal => now(ok, "text/html", PORTAL.into()),
        Fault::GarbageAfter(Point::Headers) => {
            Response::new(Either::Left(Full::new(Bytes::from_static(NOISE))))
        }
        _ if path == "/nix-cache-info" => {
            let wrong = fault == Fault::WrongStoreDir;
            let info = if wrong {
                "StoreDir: /gnu/store\n"
            } else {
                INFO
            };
            now(ok, "text/x-nix-cache-info", info.into())
        }
        Fault::GarbageAfter(Point::CacheInfo) => {
            now(ok, NARINFO, String::from_utf8_lossy(NOISE).into_owned())
        }
        Fault::EndAfter(Point::CacheInfo) => now(ok, NARINFO, String::new()),
        Fault::EndlessAfter(Point::CacheInfo) => {
            let lines = Bytes::from("References: and so on\n".repeat(500));
            Response::new(Either::Right(Endless(lines)))
        }
        _ if path == sample.narinfo_url() => now(ok, NARINFO, sample.narinfo(fault)),
        _ if path == sample.nar_url() => {
            let nar = Bytes::copy_from_slice(sample.nar());
            Response::new(Either::Left(Full::new(nar)))
        }
        _ => now(StatusCode::NOT_FOUND, "text/plain", "not found\n".into()),
    }
}

/// A body that goes on for as long as somebody reads it.
struct Endless(Bytes);

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(self.0.clone()))))
    }
}

const NARINFO: &str = "text/x-nix-narinfo";
/// Format: Nix's manual, "Nix Cache Info".
const INFO: &str = "StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 30\n";
const PORTAL: &str = "<!DOCTYPE html>\n<title>Hotel Network</title>\n<h1>Please log in</h1>\n";
