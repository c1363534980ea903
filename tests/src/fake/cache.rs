//! A binary cache as far as its health shows: `nix-cache-info`.

use std::{convert::Infallible, net::SocketAddr, ops::Deref, sync::atomic::Ordering};

use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming as Body},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;

use super::{Control, Fault, Port, port::Incoming, wire::Flavour};
use crate::Result;

/// A fake cache. It dereferences to its [`Control`].
#[derive(Debug)]
pub struct Cache(Port);

impl Cache {
    /// Starts one on `address` (port 0: a free one).
    ///
    /// # Errors
    /// When the address can't be bound.
    pub async fn start(address: SocketAddr) -> Result<Self> {
        Ok(Self(Port::open(address, Flavour::Http, serve).await?))
    }

    /// `http://host:port`, as Nix would be given it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }
}

impl Deref for Cache {
    type Target = Control;

    fn deref(&self) -> &Control {
        self.0.control()
    }
}

async fn serve(
    Incoming {
        stream,
        state,
        seen,
    }: Incoming,
) {
    let service = service_fn(|request| {
        seen.requests.fetch_add(1, Ordering::Relaxed);
        let answer = answer(&request, state.borrow().fault);
        async move { Ok::<_, Infallible>(answer) }
    });
    // How a connection ends is the wire's business and the client's.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn answer(request: &Request<Body>, fault: Fault) -> Response<Full<Bytes>> {
    let known = request.uri().path() == "/nix-cache-info";
    let (status, kind, body) = match fault {
        Fault::Status(code) => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, "text/plain", "something is wrong\n")
        }
        // A portal answers whatever is asked.
        Fault::CaptivePortal => (StatusCode::OK, "text/html", PORTAL),
        _ if !known => (StatusCode::NOT_FOUND, "text/plain", "not found\n"),
        Fault::WrongStoreDir => (StatusCode::OK, CACHE_INFO, "StoreDir: /gnu/store\n"),
        _ => (StatusCode::OK, CACHE_INFO, INFO),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

const CACHE_INFO: &str = "text/x-nix-cache-info";
/// Format: Nix's manual, "Nix Cache Info".
const INFO: &str = "StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 30\n";
const PORTAL: &str = "<!DOCTYPE html>\n<title>Hotel Network</title>\n<h1>Please log in</h1>\n";
