//! What Nix is answered. A miss is 404: silent in every version of Nix, with `fallback` and without, where every
//! other refusal costs time, lines or the build. So nothing here is told to Nix as an error of a cache.
//!
//! `307` has `Accept-Ranges`, without which Nix forgets to resume.

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::HashSet,
    future::pending,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, future::join, stream::FuturesUnordered};
use hyper::{
    Method, StatusCode,
    header::{self, HeaderValue},
};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    MOST,
    caches::Cache,
    counts::{Answered, Counts},
    memory::Memory,
    missing,
    presence::{LOOKING, Presence},
    reach::{DIAL, Reach},
    request::{self, Asked, Refusal},
    returns::Returns,
    upstream::{Reply, Upstream, UpstreamError},
};
use crate::{
    clock::Now,
    http::{Answer, plain, set},
    monitor::Handle,
    probe::Lookups,
    target::TargetId,
};

/// How long all caches together have for an answer.
const ANSWER: Duration = Duration::from_secs(1);
/// Who has not answered by then is slow.
const SLOW: Duration = Duration::from_millis(150);
/// The same path asked for again within this time: where Nix was sent it got nothing.
const AGAIN: Duration = Duration::from_secs(5);
/// How long it is known which cache has a NAR, of how many.
const HELD: Duration = Duration::from_secs(3600);
const HELD_MOST: usize = 4096;
/// How long the addresses of a name are known.
const RESOLVED: Duration = Duration::from_secs(30);
/// Without a word of any cache, as nix-serve has it (`Priority`).
const PRIORITY: u32 = 30;

/// Answers requests.
pub(super) struct Answers {
    presence: Presence,
    returns: Returns,
    upstream: Upstream,
    reach: Reach,
    lookups: Lookups,
    redirected: RefCell<Memory<String, TargetId>>,
    /// Which cache has a NAR, by its path.
    holders: RefCell<Memory<String, TargetId>>,
    resolved: RefCell<Memory<String, Vec<IpAddr>>>,
    counts: Arc<Counts>,
}

impl Answers {
    pub(super) fn new(monitor: Handle) -> io::Result<Self> {
        Ok(Self {
            presence: Presence::new(monitor.clone()),
            returns: Returns::new(monitor.clone()),
            upstream: Upstream::new(monitor.clone())?,
            lookups: monitor.context().lookups.clone(),
            reach: Reach::new(monitor),
            redirected: RefCell::new(Memory::new(AGAIN, MOST)),
            holders: RefCell::new(Memory::new(HELD, HELD_MOST)),
            resolved: RefCell::new(Memory::new(RESOLVED, MOST)),
            counts: Arc::default(),
        })
    }

    /// Which caches have come back.
    pub(super) fn returns(&self) -> &Returns {
        &self.returns
    }

    /// What was answered so far.
    pub(super) fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// Answers one request; `target` is the path with its query.
    pub(super) async fn answer(&self, method: &Method, target: &str) -> Answer {
        match request::read(method, target) {
            Ok(Asked::Info) => self.info(),
            Ok(Asked::Small(path)) => self.counted(self.small(&path).await),
            Ok(Asked::Large(path)) => self.counted(self.large(&path).await),
            Err(Refusal::Path) => missing(),
            Err(Refusal::Method) => {
                let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, Bytes::new());
                set(&mut answer, header::ALLOW, "GET, HEAD");
                answer
            }
        }
    }

    fn counted(&self, answer: Option<Answer>) -> Answer {
        let answered = match &answer {
            None => Answered::NobodyThere,
            Some(answer) if answer.status() == StatusCode::OK => Answered::Found,
            Some(answer) if answer.status() == StatusCode::NOT_FOUND => Answered::Missing,
            Some(_) => Answered::Redirected,
        };
        self.counts.count(answered);
        answer.unwrap_or_else(missing)
    }

    /// `nix-cache-info`, whatever becomes of the caches: a store that has none is dropped by Nix.
    fn info(&self) -> Answer {
        let caches = self.presence.caches();
        let store_dir = caches
            .first()
            .map_or("/nix/store", |it| it.spec.store_dir.as_str());
        let known = || {
            caches
                .iter()
                .filter(|cache| !cache.facts.store_dir.is_empty())
        };
        let wants = known().count() == 0 || known().any(|cache| cache.facts.want_mass_query);
        let priority = known().map(|cache| cache.facts.priority).min();
        let text = format!(
            "StoreDir: {store_dir}\nWantMassQuery: {}\nPriority: {}\n",
            u8::from(wants),
            priority.unwrap_or(PRIORITY)
        );
        let mut answer = plain(StatusCode::OK, text.into());
        set(&mut answer, header::CONTENT_TYPE, "text/x-nix-cache-info");
        answer
    }

    /// All usable caches are asked at once, and the first that has it is heard. Nothing where there is none.
    async fn small(&self, path: &str) -> Option<Answer> {
        let began = Instant::now();
        let caches = self.presence.usable().await;
        if caches.is_empty() {
            return None;
        }
        // One that was waited for has as long as one that was looked at.
        let until = (began + ANSWER).max(Instant::now() + (ANSWER - LOOKING));
        let ask = async |cache| (cache, self.hear(cache, path).await);
        let mut asked: FuturesUnordered<_> = caches.iter().map(ask).collect();
        let mut silent: HashSet<&TargetId> = caches.iter().map(|cache| &cache.id).collect();
        let mut unheard = silent.clone();
        while let Ok(Some((cache, reply))) = timeout_at(until, asked.next()).await {
            silent.remove(&cache.id);
            match reply {
                Ok(Reply::Here(body)) => {
                    self.hold(cache, path, &body);
                    let mut answer = plain(StatusCode::OK, body);
                    set(&mut answer, header::CONTENT_TYPE, "text/x-nix-narinfo");
                    return Some(answer);
                }
                Ok(Reply::Itself) => return Some(self.lead(cache, path).await),
                Ok(Reply::Missing) => _ = unheard.remove(&cache.id),
                Err(error) => {
                    tracing::debug!("{}: {path}: {error}", cache.id);
                    if matches!(error, UpstreamError::Nowhere) {
                        self.presence.doubt(&cache.id);
                    }
                    self.presence.suspect(&cache.id);
                }
            }
        }
        for id in silent {
            tracing::debug!("{id}: {path}: no answer within {ANSWER:?}");
            self.presence.doubt(id);
            self.presence.suspect(id);
        }
        self.returns.are_unheard(unheard);
        Some(missing())
    }

    /// What a cache says, where it is: a kept connection to who has vanished would be waited for all the time that there
    /// is. One that has accepted a connection a moment ago may be gone by now, or hang: who is slow has to speak on another,
    /// and is looked for elsewhere.
    async fn hear(&self, cache: &Cache, path: &str) -> Result<Reply, UpstreamError> {
        let place = self.reach(cache).await.ok_or(UpstreamError::Nowhere)?;
        let mut reply = pin!(self.upstream.get(&place, path));
        if let Ok(reply) = timeout(SLOW, &mut reply).await {
            return reply;
        }
        let elsewhere = async {
            let (is_there, found) =
                join(self.reach.is_heard(&place), self.reach.elsewhere(cache)).await;
            match found {
                Some(place) => self.upstream.get(&place, path).await,
                None if is_there => pending().await,
                None => Err(UpstreamError::Nowhere),
            }
        };
        tokio::select! {
            biased;
            reply = &mut reply => reply,
            reply = elsewhere => reply,
        }
    }

    /// Nix is sent to the cache that has it. Nothing where there is none.
    async fn large(&self, path: &str) -> Option<Answer> {
        let caches = self.presence.usable().await;
        if caches.is_empty() {
            return None;
        }
        let holder = self
            .holders
            .borrow()
            .get(Now::read(), &path.to_owned())
            .cloned();
        let held = caches
            .iter()
            .find(|cache| Some(&cache.id) == holder.as_ref());
        let holder = match (held, &caches[..]) {
            (Some(cache), _) | (None, [cache]) => Some(cache),
            (None, _) => self.holder(&caches, path).await,
        };
        Some(match holder {
            Some(cache) => self.lead(cache, path).await,
            None => missing(),
        })
    }

    /// The first cache that says that it has `path`.
    async fn holder<'a>(&self, caches: &'a [Cache], path: &str) -> Option<&'a Cache> {
        let until = Instant::now() + ANSWER;
        let ask = async |cache| match self.reach(cache).await {
            Some(place) => (cache, self.upstream.has(&place, path).await),
            None => (cache, Err(UpstreamError::Nowhere)),
        };
        let mut asked: FuturesUnordered<_> = caches.iter().map(ask).collect();
        while let Ok(Some((cache, has))) = timeout_at(until, asked.next()).await {
            match has {
                Ok(true) => return Some(cache),
                Ok(false) => {}
                Err(_) => self.presence.suspect(&cache.id),
            }
        }
        None
    }

    /// Sends Nix to `cache`, which is dialled first: a wrong redirect costs Nix a time-out. Nix resumes a NAR only
    /// where the first answer said that ranges are taken (src/libstore/filetransfer.cc).
    async fn lead(&self, cache: &Cache, path: &str) -> Answer {
        let now = Now::read();
        let again = self.redirected.borrow().get(now, &path.to_owned()) == Some(&cache.id);
        if again {
            self.reach.forget(cache);
            self.presence.suspect(&cache.id);
        }
        let place = self.reach(cache).await;
        let Some((place, address)) = place.and_then(|it| it.address.map(|at| (it, at))) else {
            self.returns.are_unheard([&cache.id]);
            self.presence.doubt(&cache.id);
            self.presence.suspect(&cache.id);
            return missing();
        };
        let location = if cache.spec.tls || self.is_at_home(&place, address).await {
            place.own_url(path)
        } else {
            place.url_at(address, path)
        };
        let Ok(location) = HeaderValue::try_from(location) else {
            return missing();
        };
        let mut redirected = self.redirected.borrow_mut();
        redirected.put(now, path.to_owned(), cache.id.clone());
        let mut answer = plain(StatusCode::TEMPORARY_REDIRECT, Bytes::new());
        answer.headers_mut().insert(header::LOCATION, location);
        set(&mut answer, header::ACCEPT_RANGES, "bytes");
        answer
    }

    /// The cache where it accepts connections, if it does. One that is elsewhere is to be found there by a check, too.
    async fn reach<'a>(&self, cache: &'a Cache) -> Option<Cow<'a, Cache>> {
        let place = self.reach.reach(cache).await?;
        if matches!(place, Cow::Owned(_)) {
            self.presence.suspect(&cache.id);
        }
        Some(place)
    }

    /// Whether Nix, by the name or address that is configured, gets to where the cache is.
    async fn is_at_home(&self, cache: &Cache, address: SocketAddr) -> bool {
        if let Some(is_named) = cache.is_named_by(address) {
            return is_named;
        }
        let (host, port) = (&cache.spec.host, cache.spec.port);
        let known = self.resolved.borrow().get(Now::read(), host).cloned();
        let found = match known {
            Some(known) => known,
            None => {
                let found = timeout(DIAL, self.lookups.resolve(host, port)).await;
                let found = found.map_or_else(|_| Vec::new(), Result::unwrap_or_default);
                let found: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
                let mut resolved = self.resolved.borrow_mut();
                resolved.put(Now::read(), host.clone(), found.clone());
                found
            }
        };
        port == address.port() && found.contains(&address.ip())
    }

    /// Remembers whose NAR a narinfo names.
    fn hold(&self, cache: &Cache, path: &str, body: &[u8]) {
        if path.ends_with(".narinfo")
            && let Some(nar) = nar_of(body)
        {
            let mut holders = self.holders.borrow_mut();
            holders.put(Now::read(), format!("/{nar}"), cache.id.clone());
        }
    }
}

/// The `URL` of a narinfo, where that is below the cache's own (src/libstore/nar-info.cc).
fn nar_of(narinfo: &[u8]) -> Option<&str> {
    let mut lines = std::str::from_utf8(narinfo).ok()?.lines();
    let url = lines.find_map(|line| line.strip_prefix("URL: "))?;
    (!url.contains("://")).then_some(url)
}
