//! The probe of a binary cache: resolve, connect, TLS, HTTP, `nix-cache-info`.

mod authorities;
mod idle;
mod info;
mod link;
mod redirect;
#[cfg(test)]
mod tests;
mod tls;

use std::{collections::BTreeMap, sync::Arc};

use http_body_util::Empty;
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header,
};
use offload_client::{
    Reason, Stage,
    snapshot::{CacheFacts, Detail},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{client::TlsStream, rustls::ClientConfig};

use self::{
    idle::Idle,
    info::InfoError,
    link::{Body, Broken, Link, MAX_BODY, Stream},
    redirect::{Astray, Hop, is_redirect},
    tls::TlsError,
};
use super::{
    Context, Failure, Learned, Report, Trace, connect::connect, excerpt::excerpt, resolve::Lookups,
};
use crate::{
    clock::Stopwatch,
    config::Connection,
    health::Depth,
    target::{Address, CacheSpec, SpecKind, TargetSpec},
};

/// So many redirects are followed.
const MAX_REDIRECTS: usize = 3;

const USER_AGENT: &str = concat!("offloadd/", env!("CARGO_PKG_VERSION"));

/// What is kept between two checks of one cache: its connection, what its names are looked up with
/// and, for https, the authorities.
///
/// Dropping it closes the connection.
pub struct Session {
    spec: Arc<TargetSpec>,
    context: Arc<Context>,
    kept: Option<Idle>,
    authorities: Option<Arc<ClientConfig>>,
    lookups: Lookups,
    /// How far the last deep check came, if it passed.
    reached: Option<Stage>,
}

impl Session {
    /// Of the cache `spec`; nothing is connected yet.
    pub fn new(spec: Arc<TargetSpec>, context: Arc<Context>) -> Self {
        Self {
            spec,
            context,
            kept: None,
            authorities: None,
            lookups: Lookups::default(),
            reached: None,
        }
    }

    /// Closes the kept connection and forgets the authorities and what was found.
    fn start_over(&mut self) {
        self.kept = None;
        self.authorities = None;
        self.reached = None;
    }

    /// Checks once, within [`Context::timeout`]. Dropping the future closes the connection.
    pub async fn check(&mut self, depth: Depth) -> Report {
        if depth == Depth::Deep {
            self.start_over();
        }
        let watch = Stopwatch::start();
        let trace = Trace::new();
        let mut found = Found::default();
        let bound = self.context.timeout;
        let outcome = match timeout(bound, self.run(&trace, &mut found)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(trace.expired()),
        };
        Report {
            outcome: outcome.map(|()| self.reached.unwrap_or(Stage::CacheInfo)),
            latency: watch.elapsed(),
            address: trace.address(),
            facts: found.facts.map(Learned::Cache),
            details: found.details,
        }
    }

    async fn run(&mut self, trace: &Trace, found: &mut Found) -> Result<(), Failure> {
        let spec = self.spec.clone();
        let SpecKind::Cache(cache) = &spec.kind else {
            return Err(trace.failure(Reason::NotConfigured, "not a cache"));
        };
        let mut link = match self.kept.take() {
            Some(idle) => idle.recall().await,
            None => None,
        };
        let mut hop = Hop::first(cache);
        let mut elsewhere: Option<Address> = None;
        for _ in 0..=MAX_REDIRECTS {
            let candidates = elsewhere
                .as_ref()
                .map_or(&spec.addresses[..], std::slice::from_ref);
            let exchange = self.exchange(link.take(), cache, candidates, &hop, trace);
            let (mut used, response) = exchange.await?;
            let (head, incoming) = response.into_parts();
            found.note_server(&head.headers);
            if !is_redirect(head.status) {
                refuse_status(head.status, trace)?;
                let body = used.read(incoming).await.map_err(Broken::failure)?;
                let ours = elsewhere.is_none() && self.context.connection == Connection::Keep;
                if ours && !body.cut && used.is_reusable().await {
                    let closed = self.context.closed.clone();
                    self.kept = Some(Idle::new(used, spec.id.clone(), closed));
                }
                trace.enter(Stage::CacheInfo);
                return judge(&head.headers, &body, &cache.store_dir, found).map_err(|error| {
                    let mut detail = error.to_string();
                    if let Some(Detail::Text(to)) = found.details.get("redirected_to") {
                        detail = format!("{detail} (redirected to {to})");
                    }
                    trace.failure(error.reason(), detail)
                });
            }
            let next = hop
                .follow(head.headers.get(header::LOCATION))
                .map_err(|Astray| {
                    let detail = format!("{} without a usable Location", status_text(head.status));
                    trace.failure(Reason::HttpStatus, detail)
                })?;
            found.note_redirect(&next);
            if !hop.same_origin(&next) {
                elsewhere = Some(next.candidate(&hop, used.peer));
            } else {
                let body = used.read(incoming).await.map_err(Broken::failure)?;
                link = (!body.cut && used.is_reusable().await).then_some(used);
            }
            hop = next;
        }
        let detail = format!("more than {MAX_REDIRECTS} redirects");
        Err(trace.failure(Reason::HttpStatus, detail))
    }

    /// Asks over `link`, and over a new connection where there is none.
    ///
    /// One that has rested may have been closed in the meantime, or lead nowhere since this
    /// machine slept or changed its network. Its breaking says nothing of the cache, and its
    /// silence little: half of the time is left for a new one, whose stages tell what is wrong.
    async fn exchange(
        &mut self,
        link: Option<Link>,
        cache: &CacheSpec,
        candidates: &[Address],
        hop: &Hop,
        trace: &Trace,
    ) -> Result<(Link, Response<Incoming>), Failure> {
        if let Some(mut link) = link {
            trace.enter(Stage::Http);
            trace.at(link.peer);
            let answer = link.ask(self.question(hop, trace)?);
            match timeout(self.context.timeout / 2, answer).await {
                Ok(Ok(response)) => return Ok((link, response)),
                Ok(Err(broken)) if !broken.may_be_stale() => return Err(broken.failure()),
                Ok(Err(_)) | Err(_) => {}
            }
        }
        let mut link = self.open(cache, candidates, hop, trace).await?;
        let response = link.ask(self.question(hop, trace)?).await;
        Ok((link, response.map_err(Broken::failure)?))
    }

    async fn open(
        &mut self,
        cache: &CacheSpec,
        candidates: &[Address],
        hop: &Hop,
        trace: &Trace,
    ) -> Result<Link, Failure> {
        let (stream, peer) = connect(candidates, hop.port, &mut self.lookups, trace).await?;
        let stream: Box<dyn Stream> = if hop.tls {
            trace.enter(Stage::Tls);
            let secured = self.secure(cache, &hop.host, stream).await;
            Box::new(secured.map_err(|error| trace.failure(error.reason(), error.to_string()))?)
        } else {
            Box::new(stream)
        };
        trace.enter(Stage::Http);
        Link::new(stream, peer).await.map_err(Broken::failure)
    }

    async fn secure(
        &mut self,
        cache: &CacheSpec,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, TlsError> {
        let config = match self.authorities.take() {
            Some(config) => config,
            None => tls::load(cache.ssl_cert_file.as_deref())?,
        };
        let stream = tls::handshake(config.clone(), host, stream).await?;
        // Kept only now: after a failure they are read again, should somebody have mended them.
        self.authorities = Some(config);
        Ok(stream)
    }

    fn question(&self, hop: &Hop, trace: &Trace) -> Result<Request<Empty<Bytes>>, Failure> {
        let connection = match self.context.connection {
            Connection::Keep => "keep-alive",
            Connection::PerCheck => "close",
        };
        Request::get(&hop.path)
            .header(header::HOST, hop.authority().as_bytes())
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "*/*")
            .header(header::CONNECTION, connection)
            .body(Empty::new())
            // The URL was read as one, so this is next to impossible.
            .map_err(|error| trace.failure(Reason::NotHttp, format!("the question: {error}")))
    }
}

/// What a check learns on its way, kept when it fails half-way.
#[derive(Default)]
struct Found {
    facts: Option<CacheFacts>,
    details: BTreeMap<String, Detail>,
}

impl Found {
    /// Which program answers: it tells a cache from a portal.
    fn note_server(&mut self, headers: &HeaderMap) {
        if let Some(server) = headers.get(header::SERVER) {
            let server = excerpt(server.as_bytes(), 80);
            self.details.insert("server".to_owned(), server.into());
        }
    }

    fn note_redirect(&mut self, to: &Hop) {
        let to = excerpt(to.authority().as_bytes(), 80);
        self.details.insert("redirected_to".to_owned(), to.into());
    }
}

/// Any status but 200 fails; 511 is there for captive portals to say so (RFC 6585, 6).
fn refuse_status(status: StatusCode, trace: &Trace) -> Result<(), Failure> {
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::NETWORK_AUTHENTICATION_REQUIRED => {
            Err(trace.failure(Reason::CaptivePortal, status_text(status)))
        }
        _ => Err(trace.failure(Reason::HttpStatus, status_text(status))),
    }
}

/// The number and, where it is a known one, its name.
fn status_text(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(name) => format!("{} {name}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

fn judge(
    headers: &HeaderMap,
    body: &Body,
    store_dir: &str,
    found: &mut Found,
) -> Result<(), InfoError> {
    // None was asked for; what is packed is not read as if it were text.
    let encoding = headers.get(header::CONTENT_ENCODING);
    if let Some(encoding) = encoding.filter(|encoding| *encoding != "identity") {
        let encoding = excerpt(encoding.as_bytes(), 40);
        return Err(InfoError::Invalid(format!("Content-Encoding: {encoding}")));
    }
    if body.cut && !info::is_page(&body.bytes) {
        return Err(InfoError::Invalid(format!("more than {MAX_BODY} bytes")));
    }
    let parsed = info::parse(&body.bytes, store_dir);
    match &parsed {
        Ok(facts) => found.facts = Some(facts.clone()),
        Err(InfoError::StoreDir {
            found: facts,
            expected,
        }) => {
            let actual = excerpt(facts.store_dir.as_bytes(), 128);
            found.details.insert("actual".to_owned(), actual.into());
            let expected = expected.clone().into();
            found.details.insert("expected".to_owned(), expected);
            found.facts = Some(facts.clone());
        }
        Err(InfoError::Page(_) | InfoError::Invalid(_)) => {}
    }
    parsed.map(|_| ())
}
