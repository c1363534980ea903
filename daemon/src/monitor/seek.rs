//! Looking for targets that are not where they should be, and who waits for that.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use offload_client::{OverallState, Reason, TargetState};
use tokio::{sync::oneshot, task::AbortHandle};

use super::{DiscoverError, Monitor};
use crate::{
    clock::Now,
    config::Discover,
    discover::{self, Scope, Search},
    health::Event,
    target::{Address, SpecKind, TargetId, TargetSpec},
};

/// So long after a search that somebody asked for there is no other one.
const ASKED_PAUSE: Duration = Duration::from_secs(10);

/// How many may wait for a search at once.
const MOST: usize = 64;

/// A search that came to its end.
#[derive(Debug)]
pub(super) struct Searched {
    pub(super) target: TargetId,
    /// That of [`Searching`].
    pub(super) number: u64,
    pub(super) search: Search,
}

/// A search under way; it ends with this.
#[derive(Debug)]
pub(super) struct Searching {
    pub(super) number: u64,
    pub(super) scope: Scope,
    abort: AbortHandle,
}

impl Drop for Searching {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

type Reply = oneshot::Sender<Result<Vec<TargetId>, DiscoverError>>;

/// Who waits for searches.
#[derive(Debug, Default)]
pub(super) struct Seekers {
    /// The number of the last search.
    last: u64,
    /// What was found, and is checked where it was found.
    checking: BTreeSet<TargetId>,
    asked: Option<Asked>,
    /// When the last search that somebody asked for ended (boot clock).
    asked_ended: Option<Duration>,
    /// Who waits for whatever is under way.
    waiting: Vec<oneshot::Sender<()>>,
}

/// A search that somebody asked for.
#[derive(Debug)]
struct Asked {
    searching: BTreeSet<TargetId>,
    found: BTreeSet<TargetId>,
    replies: Vec<Reply>,
}

impl Seekers {
    /// Answers once nothing is under way.
    pub(super) fn wait(&mut self, done: oneshot::Sender<()>) {
        self.waiting.retain(|waiting| !waiting.is_closed());
        if self.waiting.len() < MOST {
            self.waiting.push(done);
        }
    }

    fn end(&mut self, now: Now, answer: impl Fn(&Asked) -> Result<Vec<TargetId>, DiscoverError>) {
        if let Some(asked) = self.asked.take() {
            self.asked_ended = Some(now.boot);
            let answer = answer(&asked);
            for reply in asked.replies {
                let _ = reply.send(answer.clone());
            }
        }
    }
}

impl Monitor {
    /// A target is not where it should be: it is looked for, where that is configured.
    pub(super) fn seek(&mut self, now: Now, id: &TargetId) {
        match self.host(id) {
            // It is where its builder is.
            Some(builder) if self.is_proved(&builder) => self.follow(now, &builder, Some(id)),
            // That is about to be known.
            Some(builder) if self.state(&builder) == Some(TargetState::Unknown) => {}
            // The builder is looked for itself.
            Some(_) if !self.is_cache_with_identity(id) => {}
            Some(_) | None => self.seek_unattended(id),
        }
    }

    /// Only on this machine's own networks, and not through somebody's portal, which answers for every
    /// name and address that is not on the link: who is behind a router is not found there, and
    /// strangers are left in peace.
    fn seek_unattended(&mut self, id: &TargetId) {
        let Some(scope) = configured(&self.discover) else {
            return;
        };
        let health = self.health.target(id);
        let is_page = health.is_some_and(|health| health.reason == Reason::CaptivePortal);
        let may_begin = |watched: &super::Watched| {
            let is_here = match is_page {
                true => watched.outlook.is_on_link(),
                false => watched.outlook.is_near(),
            };
            watched.searching.is_none() && is_here
        };
        if self.watched.get(id).is_some_and(may_begin) {
            self.search(id, scope);
        }
    }

    /// Somebody asks for whatever is not ready.
    pub(super) fn discover(&mut self, now: Now, reply: Reply) {
        self.handle(now, Event::Tick);
        let refused = if self.order.is_empty() {
            Some(DiscoverError::NotConfigured)
        } else if self.is_paused() {
            Some(DiscoverError::Paused)
        } else {
            None
        };
        if let Some(error) = refused {
            let _ = reply.send(Err(error));
            return;
        }
        if let Some(asked) = &mut self.seekers.asked {
            asked.replies.retain(|reply| !reply.is_closed());
            if asked.replies.len() < MOST {
                asked.replies.push(reply);
            } else {
                let _ = reply.send(Err(DiscoverError::RateLimited));
            }
            return;
        }
        let missing: Vec<TargetId> = self
            .order
            .iter()
            .filter(|id| !self.passes(id))
            .cloned()
            .collect();
        if missing.is_empty() {
            let _ = reply.send(Ok(Vec::new()));
            return;
        }
        let ended = self.seekers.asked_ended;
        if ended.is_some_and(|ended| now.boot < ended.saturating_add(ASKED_PAUSE)) {
            let _ = reply.send(Err(DiscoverError::RateLimited));
            return;
        }
        self.seekers.asked = Some(Asked {
            searching: BTreeSet::new(),
            found: BTreeSet::new(),
            replies: vec![reply],
        });
        for id in missing {
            self.search_asked(now, id);
        }
    }

    fn search_asked(&mut self, now: Now, id: TargetId) {
        let mut wanted = Vec::new();
        match self.host(&id) {
            Some(builder) if self.is_proved(&builder) => {
                self.follow(now, &builder, Some(&id));
                return;
            }
            Some(builder) => {
                wanted.extend(Some(builder).filter(|builder| !self.passes(builder)));
                wanted.extend(Some(id).filter(|id| self.is_cache_with_identity(id)));
            }
            None => wanted.push(id),
        }
        for wanted in wanted {
            let scope = Scope {
                mdns: true,
                neighbours: true,
                sweep: self.discover.sweep.clone(),
            };
            let Some(watched) = self.watched.get(&wanted) else {
                continue;
            };
            // A search that looks in fewer places gives way.
            if watched
                .searching
                .as_ref()
                .is_none_or(|under_way| under_way.scope != scope)
            {
                self.search(&wanted, scope);
            }
            if let Some(asked) = &mut self.seekers.asked {
                asked.searching.insert(wanted);
            }
        }
    }

    fn search(&mut self, id: &TargetId, scope: Scope) {
        let Some(watched) = self.watched.get_mut(id) else {
            return;
        };
        self.seekers.last = self.seekers.last.wrapping_add(1);
        let number = self.seekers.last;
        let search = discover::search(
            watched.known_by(),
            scope.clone(),
            self.network.clone(),
            self.context.clone(),
        );
        let target = id.clone();
        let abort = self.searches.spawn(async move {
            let search = search.await;
            Searched {
                target,
                number,
                search,
            }
        });
        watched.searching = Some(Searching {
            number,
            scope,
            abort,
        });
    }

    /// A search ended. What it found is checked there at once, and so are the caches of a builder.
    pub(super) fn searched(&mut self, now: Now, searched: Searched) {
        let Searched {
            target,
            number,
            search,
        } = searched;
        let Some(watched) = self.watched.get_mut(&target) else {
            return;
        };
        let is_this = |searching: &mut Searching| searching.number == number;
        if watched.searching.take_if(is_this).is_none() {
            return;
        }
        watched.met(search.strangers, search.found.is_some());
        self.touched.insert(target.clone());
        let Some((address, how)) = search.found else {
            tracing::debug!("{target} was not found");
            return;
        };
        if self.passes(&target) {
            tracing::debug!("{target} is ready where it is, and at {address} as well");
            return;
        }
        tracing::info!("{target} was found at {address}, by {how:?}");
        self.find(now, &target, found(address), None);
        for cache in self.caches_of(&target) {
            let host = found(address).host;
            self.give(now, &target, &cache, host);
        }
    }

    /// A check ended, and what it learned is kept: other addresses may be known now.
    pub(super) fn checked(&mut self, now: Now, id: &TargetId, passed: bool) {
        self.place(now, id);
        if passed
            && self.passes(id)
            && let Some(watched) = self.watched.get_mut(id)
        {
            // Who asked for the search is told what was found, which is nothing new.
            watched.searching = None;
        }
        self.follow(now, id, None);
    }

    /// Caches that are missing, all or `only` one, get the address at which their builder proves its
    /// host key. What else is wrong with the builder is no matter of theirs.
    fn follow(&mut self, now: Now, builder: &TargetId, only: Option<&TargetId>) {
        let watched = self.watched.get(builder);
        let Some(address) = watched.and_then(|watched| watched.proved_at()) else {
            return;
        };
        for cache in self.caches_of(builder) {
            if only.is_none_or(|only| *only == cache) {
                self.give(now, builder, &cache, address.to_string());
            }
        }
    }

    /// A cache that is missing may be at `host`, where its builder is: checked there, unless it is
    /// looked for there already.
    fn give(&mut self, now: Now, builder: &TargetId, cache: &TargetId, host: String) {
        let failed = matches!(
            self.state(cache),
            Some(TargetState::Degraded | TargetState::Down | TargetState::Away)
        );
        let is_missing = failed && !self.passes(cache);
        let address = Address { host, port: None };
        let watched = self.watched.get(cache);
        if is_missing && watched.is_some_and(|watched| !watched.is_looked_for_at(&address)) {
            let from = self.watched.get(builder).map(|builder| &builder.spec);
            self.find(now, cache, address, from.cloned());
        }
    }

    /// `from` is of the builder that `address` is known from, if it is another target's.
    fn find(&mut self, now: Now, id: &TargetId, address: Address, from: Option<Arc<TargetSpec>>) {
        if self.is_paused() {
            return;
        }
        let Some(watched) = self.watched.get_mut(id) else {
            return;
        };
        watched.find(address, from);
        self.place(now, id);
        self.handle(now, Event::Found { target: id.clone() });
        self.seekers.checking.insert(id.clone());
        if let Some(asked) = &mut self.seekers.asked {
            asked.found.insert(id.clone());
        }
    }

    /// Nobody looks while checks are paused.
    pub(super) fn stop_searches(&mut self) {
        if self.is_paused() {
            for watched in self.watched.values_mut() {
                watched.searching = None;
            }
        }
    }

    /// Answers those who wait for a search, once it is over and what it found is checked.
    pub(super) fn answer_seekers(&mut self, now: Now) {
        let (watched, seekers) = (&self.watched, &mut self.seekers);
        let is_checked = |id: &TargetId| watched.get(id).is_some_and(|w| w.running.is_some());
        let is_sought = |id: &TargetId| watched.get(id).is_some_and(|w| w.searching.is_some());
        seekers.checking.retain(|id| is_checked(id));
        if let Some(asked) = &mut seekers.asked {
            asked.searching.retain(|id| is_sought(id));
            asked.found.retain(|id| watched.contains_key(id));
            let is_over = asked.searching.is_empty() && seekers.checking.is_disjoint(&asked.found);
            if self.health.overall().state == OverallState::Paused {
                seekers.end(now, |_| Err(DiscoverError::Paused));
            } else if is_over {
                let order = &self.order;
                let found = |asked: &Asked| {
                    let found = order.iter().filter(|id| asked.found.contains(id));
                    Ok(found.cloned().collect())
                };
                seekers.end(now, found);
            }
        }
        if !seekers.waiting.is_empty()
            && seekers.checking.is_empty()
            && !watched.keys().any(is_sought)
        {
            for done in seekers.waiting.drain(..) {
                let _ = done.send(());
            }
        }
    }

    /// The builder that is watched on the same machine as a cache.
    pub(super) fn host(&self, id: &TargetId) -> Option<TargetId> {
        let SpecKind::Cache(cache) = &self.watched.get(id)?.spec.kind else {
            return None;
        };
        let builder = TargetId::builder(cache.host_builder.as_ref()?);
        self.watched.contains_key(&builder).then_some(builder)
    }

    fn caches_of(&self, builder: &TargetId) -> Vec<TargetId> {
        let ids = self.order.iter();
        let caches = ids.filter(|id| self.host(id).as_ref() == Some(builder));
        caches.cloned().collect()
    }

    fn state(&self, id: &TargetId) -> Option<TargetState> {
        self.health.target(id).map(|health| health.state)
    }

    /// Whether it passes its checks: whatever else is the matter, it is not missing.
    fn passes(&self, id: &TargetId) -> bool {
        let health = self.health.target(id);
        health.is_some_and(|health| health.passes)
    }

    fn is_proved(&self, builder: &TargetId) -> bool {
        let watched = self.watched.get(builder);
        watched.is_some_and(|watched| watched.proved_at().is_some())
    }

    fn is_cache_with_identity(&self, id: &TargetId) -> bool {
        let watched = self.watched.get(id);
        watched.is_some_and(|watched| watched.is_cache_with_identity())
    }

    fn is_paused(&self) -> bool {
        self.health.overall().state == OverallState::Paused
    }

    /// The searches look at networks that this machine has left. What somebody asked for is searched
    /// for anew; anything else, when the next check misses it.
    pub(super) fn end_searches(&mut self) {
        let asked = self.seekers.asked.as_ref();
        let is_asked = |id| asked.is_some_and(|asked| asked.searching.contains(id));
        let mut again = Vec::new();
        for (id, watched) in &mut self.watched {
            if let Some(ended) = watched.searching.take()
                && is_asked(id)
            {
                again.push((id.clone(), ended.scope.clone()));
            }
        }
        for (id, scope) in again {
            self.search(&id, scope);
        }
    }
}

/// Where to look without being asked; nowhere unless that is configured.
fn configured(discover: &Discover) -> Option<Scope> {
    let is_enabled = discover.mdns || !discover.sweep.is_empty();
    is_enabled.then(|| Scope {
        mdns: discover.mdns,
        neighbours: discover.mdns,
        sweep: discover.sweep.clone(),
    })
}

/// As an address of a target is written, with the zone of a link-local one.
fn found(address: SocketAddr) -> Address {
    let host = match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
        SocketAddr::V4(_) | SocketAddr::V6(_) => address.ip().to_string(),
    };
    Address {
        host,
        port: Some(address.port()),
    }
}
