//! Which of a cache's addresses is the cache.

use std::{future::pending, mem, net::SocketAddr, slice, time::Duration};

use hyper::StatusCode;
use offload_client::{
    Printable, Stage,
    snapshot::{Detail, Details},
};
use tokio::{net::TcpStream, sync::watch};

use super::Notes;
use crate::{
    nix::keys::parse_nix_public_key,
    probe::{
        Trace,
        connect::{Race, connect, patience},
        resolve::Lookups,
    },
    reason::{Who, traits},
    report::{Failure, Stranger},
    target::{Address, CacheSpec, PUBLIC_KEY},
};

/// How much of what a stranger shows is kept.
const MAX_SHOWN: usize = 160;

/// The addresses of one check, and who answered there.
pub(super) struct Candidates<'a> {
    /// How far the check has come.
    pub trace: &'a Trace,
    race: Race,
    /// Who answers now, until it turns out to be somebody else.
    peer: Option<SocketAddr>,
    is_new: bool,
    /// As [`Candidates::is_elsewhere`], of who answered the check that this one comes after.
    inherited: Option<bool>,
    /// Whether who answers now has shown a `nix-cache-info`.
    is_cache: bool,
    /// Whether it says itself that it is out of order.
    is_broken: bool,
    /// When there must be a `nix-cache-info`, on the check's own clock ([`Trace::elapsed`]).
    until: Duration,
    /// When who answers now must have shown one, where others are left.
    limit: watch::Sender<Option<Duration>>,
    rejected: Vec<Rejected>,
    /// What is told if no other is the cache, and what was found there.
    told: Option<(Failure, Notes)>,
}

/// Ends when who answers has had its part of the time.
pub(super) struct Limit(watch::Receiver<Option<Duration>>);

/// Somebody else, who was rejected.
#[derive(Clone)]
pub(super) struct Rejected {
    address: SocketAddr,
    failure: Failure,
    details: Details,
    stranger: Stranger,
}

impl<'a> Candidates<'a> {
    /// Among `addresses`. Those `known` to be others' are passed by without a question.
    pub(super) fn new(
        addresses: &[Address],
        cache: &CacheSpec,
        known: &[Rejected],
        trace: &'a Trace,
    ) -> Self {
        let mut candidates = Self {
            trace,
            race: Race::new(addresses, cache.port),
            peer: None,
            is_new: false,
            inherited: None,
            is_cache: false,
            is_broken: false,
            until: Duration::ZERO,
            limit: watch::Sender::new(None),
            rejected: Vec::new(),
            told: None,
        };
        for rejected in known {
            let notes = Notes {
                details: rejected.details.clone(),
                ..Notes::default()
            };
            candidates.keep_rejected(rejected.clone(), notes);
        }
        candidates
    }

    /// Of who answers now, for questions that come after the check's own end.
    pub(super) fn afterwards<'b>(&self, cache: &CacheSpec, trace: &'b Trace) -> Candidates<'b> {
        let peer = self.peer.map(Address::from);
        let mut candidates = Candidates::new(peer.as_slice(), cache, &[], trace);
        candidates.peer = self.peer;
        candidates.inherited = self.is_elsewhere();
        candidates
    }

    /// Begins with who is next: there is `bound` for all that are left until one of them shows a
    /// `nix-cache-info`.
    pub(super) fn begin(&mut self, bound: Duration) -> Limit {
        (self.is_cache, self.is_broken) = (false, false);
        self.race.wait_for_first(bound);
        self.until = self.trace.elapsed() + bound;
        self.limit.send_replace(None);
        Limit(self.limit.subscribe())
    }

    /// Connects to who is next, or again to who answers now.
    pub(super) async fn connect(
        &mut self,
        lookups: &Lookups,
    ) -> Result<(TcpStream, SocketAddr), Failure> {
        if let Some(peer) = self.peer {
            let candidate = Address::from(peer);
            return connect(
                slice::from_ref(&candidate),
                peer.port(),
                lookups,
                self.trace,
            )
            .await;
        }
        self.is_new = true;
        let (stream, peer) = self.race.next(lookups, self.trace).await?;
        self.peer = Some(peer);
        if self.race.is_open() {
            let now = self.trace.elapsed();
            let limit = now + patience(self.until.saturating_sub(now));
            self.limit.send_replace(Some(limit));
        }
        Ok((stream, peer))
    }

    /// Whether who answers now is at another address than the first; `None` where nobody was looked for.
    pub(super) fn is_elsewhere(&self) -> Option<bool> {
        let found = || Some(!self.race.is_first(self.peer.filter(|_| self.is_new)?));
        self.inherited.or_else(found)
    }

    /// Whether it was connected to.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// `peer` has answered over a connection that was there already.
    pub(super) fn answered(&mut self, peer: SocketAddr) {
        self.peer.get_or_insert(peer);
    }

    /// The answer has this status. One of 500 and more is of a server that is out of order, which the
    /// cache itself may be; but for 511, which is a portal's.
    pub(super) fn has_status(&mut self, status: StatusCode) {
        let is_portal = status == StatusCode::NETWORK_AUTHENTICATION_REQUIRED;
        self.is_broken = status.is_server_error() && !is_portal;
    }

    /// What fails now is not the fault of who answers.
    pub(super) fn forget_peer(&mut self) {
        self.peer = None;
    }

    /// Time has run out, which nobody's identity is to blame for.
    pub(super) fn expired(&mut self) -> Failure {
        self.peer = None;
        self.trace.expired()
    }

    /// What answers is a cache: those that are none are of no account any more.
    pub(super) fn is_cache(&mut self) {
        self.is_cache = true;
        let told = self.told.as_ref();
        if told.is_some_and(|(failure, _)| failure.stage != Stage::Signature) {
            self.trace.settle();
            self.told = None;
        }
    }

    /// Goes on with the next address after `failure`, with the `notes` of this one; or says
    /// why the check has failed, and what was found where it did. Who was mute, or hung up, is passed
    /// by where others are left, unless it has shown that it is a cache.
    pub(super) fn reject(
        &mut self,
        failure: Failure,
        mut notes: Notes,
        cache: &CacheSpec,
    ) -> Option<(Failure, Notes)> {
        let is_other = traits(failure.reason).is_of_identity();
        let goes_on = is_other || !self.is_cache && self.race.is_open();
        let Some(address) = self.peer.take().filter(|_| goes_on) else {
            let failure = self.trace.told_before(failure);
            let told = self.told.take().filter(|(told, _)| *told == failure);
            return Some((failure, told.map_or(notes, |(_, notes)| notes)));
        };
        self.race.without(address);
        if self.race.is_open() {
            notes.link = None;
        }
        // It may be the cache, out of order or moved.
        let is_certain = traits(failure.reason).who == Who::Another;
        if self.is_broken || !is_certain {
            self.note(failure, address, notes);
            return None;
        }
        let rejected = Rejected {
            address,
            stranger: stranger(address, &failure, &notes, cache),
            details: notes.details.clone(),
            failure,
        };
        self.keep_rejected(rejected, notes);
        None
    }

    fn keep_rejected(&mut self, rejected: Rejected, notes: Notes) {
        self.race.without(rejected.address);
        self.note(rejected.failure.clone(), rejected.address, notes);
        self.rejected.push(rejected);
    }

    fn note(&mut self, failure: Failure, address: SocketAddr, notes: Notes) {
        if self.trace.note(failure.clone(), Some(address.to_string())) {
            self.told = Some((failure, notes));
        }
    }

    /// Who was taken for a cache until it came to signatures, for the checks that don't look at any.
    pub(super) fn take_foreign(&mut self) -> Vec<Rejected> {
        let rejected = mem::take(&mut self.rejected).into_iter();
        rejected
            .filter(|rejected| rejected.failure.stage == Stage::Signature)
            .collect()
    }

    /// For the report: `None` where nobody was looked for.
    pub(super) fn strangers(&self) -> Option<Vec<Stranger>> {
        let strangers = self
            .rejected
            .iter()
            .map(|rejected| rejected.stranger.clone());
        self.is_new.then(|| strangers.collect())
    }
}

impl Limit {
    /// Waits for it; for ever where nobody else is left.
    pub(super) async fn passed(mut self, trace: &Trace) {
        let limit = self.0.wait_for(Option::is_some).await.map(|limit| *limit);
        match limit {
            Ok(Some(limit)) => trace.until(limit).await,
            Ok(None) | Err(_) => pending().await,
        }
    }
}

fn stranger(address: SocketAddr, failure: &Failure, notes: &Notes, cache: &CacheSpec) -> Stranger {
    let keys = cache.public_keys.iter();
    let mut names: Vec<String> = keys
        .filter_map(|key| parse_nix_public_key(key).ok())
        .map(|key| key.name)
        .collect();
    // The public cache's key says nothing of who the cache is, where it has another.
    let has_own = names.iter().any(|name| name != PUBLIC_KEY);
    names.retain(|name| !has_own || name != PUBLIC_KEY);
    let detail = |key: &str| notes.details.get(key).map(Detail::to_string);
    let shown = match failure.stage {
        Stage::Signature => detail("signed_by"),
        _ => detail("actual"),
    };
    let shown = shown.unwrap_or_else(|| failure.detail.to_string());
    Stranger {
        address: address.to_string().into(),
        reason: failure.reason,
        expected: names.join(", ").into(),
        actual: Printable::excerpt(shown.as_bytes(), MAX_SHOWN),
    }
}
