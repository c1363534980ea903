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

use super::{
    Control, Fault, Point, Port,
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
}

impl Cache {
    /// Starts one on `address` (port 0: a free one).
    ///
    /// # Errors
    /// When the address can't be bound, or the system has no randomness to give.
    pub async fn start(address: SocketAddr) -> Result<Self> {
        let sample = Arc::new(Sample::new()?);
        let served = sample.clone();
        let serve = move |incoming: Incoming| serve(incoming, served.clone());
        let port = Port::open(address, Flavour::Http, serve).await?;
        Ok(Self { port, sample })
    }

    /// The key that signs what it serves: `name:base64`.
    pub fn public_key(&self) -> String {
        self.sample.public_key()
    }

    /// The path that it serves: `/nix/store/…`.
    pub fn store_path(&self) -> String {
        self.sample.path()
    }

    /// `http://host:port`, as Nix would be given it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
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
    }: Incoming,
    sample: Arc<Sample>,
) {
    let service = service_fn(|request: Request<Body>| {
        seen.requests.fetch_add(1, Ordering::Relaxed);
        let (sample, mut state) = (sample.clone(), state.clone());
        async move {
            let path = request.uri().path();
            let stalls = |now: &State| now.fault == Fault::StallAfter(Point::CacheInfo);
            if path != "/nix-cache-info" {
                // When nobody can switch any more the connection ends anyway.
                let _ = state.wait_for(|now| !stalls(now)).await;
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
        Fault::EndlessAfter(Point::CacheInfo) => Response::new(Either::Right(Endless)),
        _ if path == sample.narinfo_url() => now(ok, NARINFO, sample.narinfo(fault)),
        _ if path == sample.nar_url() => {
            let nar = Bytes::copy_from_slice(sample.nar());
            Response::new(Either::Left(Full::new(nar)))
        }
        _ => now(StatusCode::NOT_FOUND, "text/plain", "not found\n".into()),
    }
}

/// A body that goes on for as long as somebody reads it.
struct Endless;

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let lines = Bytes::from_static(b"References: and so on\n");
        Poll::Ready(Some(Ok(Frame::data(lines))))
    }
}

const NARINFO: &str = "text/x-nix-narinfo";
/// Format: Nix's manual, "Nix Cache Info".
const INFO: &str = "StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 30\n";
const PORTAL: &str = "<!DOCTYPE html>\n<title>Hotel Network</title>\n<h1>Please log in</h1>\n";
