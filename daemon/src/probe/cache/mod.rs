//! The probe of a binary cache: resolve, connect, TLS, HTTP, `nix-cache-info`, signature.

mod ask;
mod authorities;
mod idle;
mod info;
mod link;
mod redirect;
mod samples;
mod signature;
#[cfg(test)]
mod tests;
mod tls;

use std::{collections::BTreeMap, sync::Arc};

use hyper::{
    HeaderMap, StatusCode,
    header::{self, HeaderValue},
};
use offload_client::{
    Reason, Stage,
    snapshot::{CacheFacts, Detail},
};
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

use self::{
    ask::Question,
    idle::Idle,
    info::InfoError,
    link::{Body, Broken, Link, MAX_BODY},
    redirect::Hop,
    signature::Deep,
};
use super::{Context, Failure, Learned, Report, Trace, excerpt::excerpt, resolve::Lookups};
use crate::{
    clock::Stopwatch,
    config::Connection,
    health::Depth,
    target::{SpecKind, TargetSpec},
};

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
    /// What the last deep check found, if it passed.
    deep: Option<Deep>,
    /// The store path that the last deep check was content with.
    sample: Option<String>,
    /// `CacheFacts::signing_key` as it was last seen: a deep check that ends in silence has not seen
    /// another.
    signing_key: String,
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
            deep: None,
            sample: None,
            signing_key: String::new(),
        }
    }

    /// Closes the kept connection and forgets the authorities and what was found, but not the key
    /// and where to look for it first.
    fn start_over(&mut self) {
        self.kept = None;
        self.authorities = None;
        self.deep = None;
    }

    /// Checks once: up to `nix-cache-info` within [`Context::timeout`], a deep check goes on to the
    /// signature within [`Context::deep_timeout`]. Dropping the future closes the connection.
    pub async fn check(&mut self, depth: Depth) -> Report {
        if depth == Depth::Deep {
            self.start_over();
        }
        let spec = self.spec.clone();
        let (watch, trace) = (Stopwatch::start(), Trace::new());
        let mut found = Found::default();
        let bound = self.context.timeout;
        let info = timeout(bound, self.info(&spec, depth, &trace, &mut found)).await;
        let latency = watch.elapsed();
        let mut outcome = match info {
            Ok(outcome) => outcome,
            Err(_) => Err(trace.expired()),
        };
        if outcome.is_ok()
            && depth == Depth::Deep
            && let SpecKind::Cache(cache) = &spec.kind
        {
            let rest = self.context.deep_timeout.saturating_sub(latency);
            outcome = match timeout(rest, self.signature(cache, &trace, &mut found)).await {
                Ok(deep) => deep.map(|deep| self.deep = Some(deep)),
                Err(_) => Err(trace.expired()),
            };
        }
        if let Some(link) = found.link.take().filter(|_| self.keeps()) {
            let closed = self.context.closed.clone();
            self.kept = Some(Idle::new(link, spec.id.clone(), closed));
        }
        if let (Ok(()), Some(deep)) = (&outcome, &self.deep) {
            found.details.extend(deep.details.clone());
        }
        if let Some(facts) = &mut found.facts {
            facts.signing_key.clone_from(&self.signing_key);
        }
        let stage = self
            .deep
            .as_ref()
            .map_or(Stage::CacheInfo, |deep| deep.stage);
        Report {
            outcome: outcome.map(|()| stage),
            latency,
            address: trace.address(),
            facts: found.facts.map(Learned::Cache),
            details: found.details,
            strangers: None,
        }
    }

    fn keeps(&self) -> bool {
        self.context.connection == Connection::Keep
    }

    async fn info(
        &mut self,
        spec: &TargetSpec,
        depth: Depth,
        trace: &Trace,
        found: &mut Found,
    ) -> Result<(), Failure> {
        let SpecKind::Cache(cache) = &spec.kind else {
            return Err(trace.failure(Reason::NotConfigured, "not a cache"));
        };
        let link = match self.kept.take() {
            Some(idle) => idle.recall().await,
            None => None,
        };
        let question = Question {
            hop: Hop::to(cache, "nix-cache-info"),
            stage: Stage::Http,
            patience: self.context.timeout / 2,
            keep: self.keeps() || depth == Depth::Deep,
        };
        let answer = self.ask(question, link, cache, trace, found).await?;
        refuse_status(answer.head.status, trace)?;
        let headers = answer.head.headers.clone();
        let (body, link) = answer.read(MAX_BODY).await.map_err(Broken::failure)?;
        found.link = link;
        trace.enter(Stage::CacheInfo);
        judge(&headers, &body, &cache.store_dir, found).map_err(|error| {
            let mut detail = error.to_string();
            if let Some(Detail::Text(to)) = found.details.get("redirected_to") {
                detail = format!("{detail} (redirected to {to})");
            }
            trace.failure(error.reason(), detail)
        })
    }
}

/// What a check learns on its way, kept when it fails half-way.
#[derive(Default)]
struct Found {
    facts: Option<CacheFacts>,
    details: BTreeMap<String, Detail>,
    /// The connection, where the cache can be asked more over it.
    link: Option<Link>,
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

/// How the body is packed, though nobody asked for that: then it is not read as if it were text.
fn packed(headers: &HeaderMap) -> Option<&HeaderValue> {
    let encoding = headers.get(header::CONTENT_ENCODING);
    encoding.filter(|encoding| *encoding != "identity")
}

fn judge(
    headers: &HeaderMap,
    body: &Body,
    store_dir: &str,
    found: &mut Found,
) -> Result<(), InfoError> {
    if let Some(encoding) = packed(headers) {
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
