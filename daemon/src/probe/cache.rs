//! The probe of a binary cache: resolve, connect, TLS, HTTP, `nix-cache-info`, signature.

mod ask;
mod authorities;
mod candidates;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod identify;
mod idle;
mod info;
mod link;
mod nar;
mod notes;
mod proxy;
mod redirect;
mod remembered;
mod samples;
mod signature;
#[cfg(test)]
mod tests;
pub(crate) mod tls;
mod witness;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hyper::{
    HeaderMap, StatusCode,
    header::{self, HeaderValue},
};
use offload_client::{Printable, Reason, Stage, snapshot::Detail};
use tokio::select;
use tokio_rustls::rustls::ClientConfig;

use self::{
    ask::{Answer, Question, Sent, Wanted},
    candidates::{Candidates, Rejected},
    idle::Idle,
    info::InfoError,
    link::{Body, Broken, MAX_BODY},
    notes::Notes,
    redirect::{Follow, Hop},
    signature::Deep,
    witness::Witnessed,
};
pub use self::{identify::Identifier, redirect::hosts};
use super::{Context, Trace};
use crate::{
    clock::Stopwatch,
    config::Connection,
    health::Depth,
    report::{Failure, Learned, Report, Signs},
    target::{CacheSpec, SpecKind, TargetSpec},
};

/// The detail that says which name of its certificate is its host's, where that is not as it should be.
const DETAIL_CERTIFICATE: &str = "certificate_name";

/// What is kept between two checks of one cache: its connection and, for https, the authorities.
///
/// Dropping it closes the connection.
pub struct Session {
    spec: Arc<TargetSpec>,
    context: Arc<Context>,
    kept: Option<Idle>,
    /// As [`Report::elsewhere`], of the last check that passed.
    elsewhere: bool,
    authorities: Option<Arc<ClientConfig>>,
    /// What the last deep check found, if it passed.
    deep: Option<Deep>,
    /// The store path that the last deep check was content with.
    sample: Option<String>,
    /// `CacheFacts::signing_key` as it was last seen: a deep check that ends in silence has not seen
    /// another.
    signing_key: Printable,
    /// Who answers as a cache at one of its addresses and signs with another key, as the last deep
    /// check saw that passed elsewhere: a cheap one does not go there, to find that out each time.
    foreign: Vec<Rejected>,
    /// What Nix itself said last.
    witnessed: Option<Witnessed>,
    /// Whose hosts redirects are followed to.
    follows: Follow,
    /// Where the cache sends on to, as a check has followed that somebody asked for, and that passed.
    followed: Option<Hop>,
}

impl Session {
    /// Of the cache `spec`; nothing is connected yet.
    pub fn new(spec: Arc<TargetSpec>, context: Arc<Context>) -> Self {
        Self {
            spec,
            context,
            kept: None,
            elsewhere: false,
            authorities: None,
            deep: None,
            sample: None,
            signing_key: Printable::default(),
            foreign: Vec::new(),
            witnessed: None,
            follows: Follow::Watched,
            followed: None,
        }
    }

    /// Closes the kept connection and forgets the authorities and what was found, but not the key
    /// and where to look for it first.
    fn start_over(&mut self) {
        self.kept = None;
        self.authorities = None;
        self.deep = None;
        self.foreign.clear();
    }

    /// Checks once: up to `nix-cache-info` within [`Context::timeout`], a deep check goes on to the
    /// signature within [`Context::deep_timeout`]. Who answers over a new connection is another one until it is known by
    /// one signature; a cheap check that does not know it goes on as a deep one. Dropping the future closes the connection.
    pub async fn check(&mut self, depth: Depth) -> Report {
        if depth.is_deep() {
            self.start_over();
        }
        self.follows = match depth {
            Depth::Cheap | Depth::Deep => Follow::Watched,
            Depth::Asked => Follow::Anybody,
        };
        self.look(depth).await
    }

    /// The same with what is kept: one address after the other until what answers is the cache.
    async fn look(&mut self, depth: Depth) -> Report {
        let spec = self.spec.clone();
        let (watch, trace) = (Stopwatch::start(), Trace::new());
        let SpecKind::Cache(cache) = &spec.kind else {
            let failure = trace.failure(Reason::NotConfigured, "not a cache");
            return Report {
                outcome: Err(failure),
                latency: watch.elapsed(),
                address: None,
                elsewhere: false,
                facts: None,
                details: BTreeMap::new(),
                signs: Signs::default(),
                strangers: None,
            };
        };
        let mut candidates = Candidates::new(&spec.addresses, cache, &self.foreign, &trace);
        let (mut outcome, mut notes, latency) = loop {
            let mut notes = Notes::default();
            let (outcome, latency) = self
                .look_at_next(cache, depth, watch, &mut candidates, &mut notes)
                .await;
            match outcome {
                Ok(()) => break (Ok(()), notes, latency),
                Err(failure) => {
                    if let Some((failure, notes)) = candidates.reject(failure, notes, cache) {
                        break (Err(failure), notes, latency);
                    }
                }
            }
        };
        if notes.doubts {
            self.start_over();
            return Box::pin(self.look(Depth::Deep)).await;
        }
        if let Some(link) = notes.link.take().filter(|_| self.keeps()) {
            let closed = self.context.closed.clone();
            self.kept = Some(Idle::new(link, spec.id.clone(), closed));
        }
        let mut signs = Signs {
            proxied: cache.proxy.is_some(),
            ..Signs::default()
        };
        notes.note_proxy(cache);
        if let (Ok(()), Some(deep)) = (&outcome, &self.deep) {
            notes.details.extend(deep.details.clone());
            signs.stale_misses = deep.stale_misses;
            signs.stale_hits = deep.stale_hits;
        }
        if outcome.is_ok()
            && let Some(elsewhere) = candidates.is_elsewhere()
        {
            self.elsewhere = elsewhere;
        }
        if let (Ok(()), Some(deep), true) = (&outcome, self.deep.clone(), depth.is_deep()) {
            outcome = self.witness(cache, &deep, depth).await;
        }
        let strangers = candidates.strangers();
        if outcome.is_ok() && depth.is_deep() {
            self.foreign = candidates.take_foreign();
            self.followed = notes.beyond.take();
        }
        let stage = self
            .deep
            .as_ref()
            .map_or(Stage::CacheInfo, |deep| deep.stage);
        Report {
            outcome: outcome.map(|()| stage),
            latency,
            address: trace.address(),
            elsewhere: self.elsewhere,
            facts: notes.facts.map(Learned::Cache),
            details: notes.details,
            signs,
            strangers,
        }
    }

    /// All stages at the next address, and how long it took until there was a `nix-cache-info`.
    async fn look_at_next(
        &mut self,
        cache: &CacheSpec,
        depth: Depth,
        watch: Stopwatch,
        candidates: &mut Candidates<'_>,
        notes: &mut Notes,
    ) -> (Result<(), Failure>, Duration) {
        let (quick, whole) = (self.context.timeout, self.context.deep_timeout);
        let bound = match depth {
            Depth::Cheap => quick.saturating_sub(candidates.trace.elapsed()),
            Depth::Deep | Depth::Asked => {
                quick.min(whole.saturating_sub(candidates.trace.elapsed()))
            }
        };
        let (trace, limit) = (candidates.trace, candidates.begin(bound));
        let info = async {
            select! {
                biased;
                info = self.info(cache, depth, candidates, notes) => info,
                () = limit.passed(trace) => Err(trace.failure(Reason::TimedOut, "no answer in time")),
            }
        };
        let info = trace.within(bound, info).await;
        let latency = watch.elapsed();
        let mut outcome = info.unwrap_or_else(|| Err(candidates.expired()));
        if outcome.is_ok() {
            candidates.is_cache();
            if depth.is_deep() {
                let rest = whole.saturating_sub(trace.elapsed());
                let signature = self.signature(cache, candidates, notes);
                outcome = match trace.within(rest, signature).await {
                    Some(Ok(mut deep)) => {
                        let rest = whole.saturating_sub(trace.elapsed()).min(quick);
                        let trace = Trace::new();
                        let afterwards = candidates.afterwards(cache, &trace);
                        let remembered = self.remembered(cache, afterwards, notes, &mut deep);
                        // What is found out by then is found out.
                        let _ = trace.within(rest, Box::pin(remembered)).await;
                        // A check on the connection that is kept sees none.
                        let noted = notes.details.get_key_value(DETAIL_CERTIFICATE);
                        deep.details
                            .extend(noted.map(|(key, value)| (key.clone(), value.clone())));
                        self.deep = Some(deep);
                        Ok(())
                    }
                    Some(Err(failure)) => Err(failure),
                    None => Err(candidates.expired()),
                };
            } else if candidates.is_new() && notes.facts.is_some() {
                let rest = quick.saturating_sub(trace.elapsed());
                let recognised = self.is_recognised(cache, candidates, notes);
                let recognised = trace.within(rest, recognised).await;
                // What is wrong there a deep check says.
                notes.doubts = recognised != Some(true);
            }
        }
        if let Some(facts) = &mut notes.facts {
            facts.signing_key = self.signing_key.clone();
        }
        (outcome, latency)
    }

    /// Whether a check that is not to follow a redirect has it from the last deep one what is behind it.
    fn repeats(&self, depth: Depth, notes: &Notes) -> bool {
        depth == Depth::Cheap && self.deep.is_some() && self.is_followed(notes)
    }

    /// Whether the last deep check went on to where this one is sent.
    fn is_followed(&self, notes: &Notes) -> bool {
        notes.beyond.is_some() && notes.beyond == self.followed
    }

    fn keeps(&self) -> bool {
        self.context.connection == Connection::Keep
    }

    async fn info(
        &mut self,
        cache: &CacheSpec,
        depth: Depth,
        candidates: &mut Candidates<'_>,
        notes: &mut Notes,
    ) -> Result<(), Failure> {
        let trace = candidates.trace;
        let link = match self.kept.take() {
            Some(idle) => idle.recall().await,
            None => None,
        };
        let question = Question {
            hop: Hop::to(cache, "nix-cache-info"),
            stage: Stage::Http,
            patience: self.context.timeout / 2,
            keep: self.keeps() || depth.is_deep() || self.recognised_by(cache).is_some(),
            wanted: Wanted::All,
        };
        let asked = self.ask(question, link, cache, candidates, notes).await;
        let answer = match asked {
            // The last deep check went on there, and found what this one says again.
            Err(failure) if failure.reason == Reason::Redirected && self.repeats(depth, notes) => {
                return Ok(());
            }
            asked => asked?,
        };
        refuse(&answer, cache, notes, trace)?;
        let headers = answer.head.headers.clone();
        let (body, link) = answer.read(MAX_BODY).await.map_err(Broken::failure)?;
        notes.link = link;
        trace.enter(Stage::CacheInfo);
        judge(&headers, &body, &cache.store_dir, notes).map_err(|error| {
            let mut detail = error.to_string();
            if let Some(Detail::Text(to)) = notes.details.get("redirected_to") {
                detail = format!("{detail} (redirected to {to})");
            }
            trace.failure(error.reason(), detail)
        })
    }
}

/// Any status fails but those that Nix takes for success (`successfulStatuses`, src/libstore/filetransfer.cc); 511 is there for captive portals to say so (RFC 6585, 6). What a login would change
/// is not known where Nix may have one that did not go with the question.
fn refuse(
    answer: &Answer,
    cache: &CacheSpec,
    notes: &mut Notes,
    trace: &Trace,
) -> Result<(), Failure> {
    let status = answer.head.status;
    let reason = match status {
        StatusCode::OK
        | StatusCode::CREATED
        | StatusCode::NO_CONTENT
        | StatusCode::PARTIAL_CONTENT => return Ok(()),
        StatusCode::NETWORK_AUTHENTICATION_REQUIRED => Reason::CaptivePortal,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            notes.note_login(answer.login, cache);
            match answer.login {
                Sent::Login | Sent::Nothing => Reason::HttpStatus,
                Sent::NotVisible | Sent::Withheld => Reason::NotVisible,
            }
        }
        _ => Reason::HttpStatus,
    };
    Err(trace.failure(reason, status_text(status)))
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
    notes: &mut Notes,
) -> Result<(), InfoError> {
    if let Some(encoding) = packed(headers) {
        let encoding = Printable::excerpt(encoding.as_bytes(), 40);
        return Err(InfoError::Invalid(format!("Content-Encoding: {encoding}")));
    }
    if body.cut && !info::is_page(&body.bytes) {
        return Err(InfoError::Invalid(format!("more than {MAX_BODY} bytes")));
    }
    let parsed = info::parse(&body.bytes, store_dir);
    match &parsed {
        Ok(facts) => notes.facts = Some(facts.clone()),
        Err(InfoError::StoreDir {
            found: facts,
            expected,
        }) => {
            let actual = Printable::excerpt(facts.store_dir.as_bytes(), 128);
            notes.details.insert("actual".into(), actual.into());
            let expected = expected.clone().into();
            notes.details.insert("expected".into(), expected);
            notes.facts = Some(facts.clone());
        }
        Err(InfoError::Page(_) | InfoError::Invalid(_)) => {}
    }
    parsed.map(|_| ())
}
