//! Which of a cache's addresses is the cache.

use std::{collections::BTreeMap, mem, net::SocketAddr, slice};

use offload_client::{Stage, snapshot::Detail};
use tokio::net::TcpStream;

use super::{Found, signature::PUBLIC_KEY};
use crate::{
    nix::keys::parse_nix_public_key,
    probe::{
        Failure, Stranger, Trace,
        connect::{Race, connect},
        excerpt::excerpt,
        fault::is_of_identity,
        resolve::Lookups,
    },
    target::{Address, CacheSpec},
};

/// How much of what a stranger shows is kept.
const SHOWN_MAX: usize = 160;

/// The addresses of one check, and who answered there.
pub(super) struct Search<'a> {
    /// How far the check has come.
    pub trace: &'a Trace,
    race: Race,
    /// Who answers now, until it turns out to be somebody else.
    peer: Option<SocketAddr>,
    is_new: bool,
    passed: Vec<Passed>,
    /// What is told if no other is the cache, and what was found there.
    told: Option<(Failure, Found)>,
}

/// Somebody else, who was passed by.
#[derive(Clone)]
pub(super) struct Passed {
    address: SocketAddr,
    failure: Failure,
    details: BTreeMap<String, Detail>,
    stranger: Stranger,
}

impl<'a> Search<'a> {
    /// Among `addresses`. Those `known` to be others' are passed by without a question.
    pub(super) fn new(
        addresses: &[Address],
        cache: &CacheSpec,
        known: &[Passed],
        trace: &'a Trace,
    ) -> Self {
        let mut search = Self {
            trace,
            race: Race::new(addresses, cache.port),
            peer: None,
            is_new: false,
            passed: Vec::new(),
            told: None,
        };
        for passed in known {
            let found = Found {
                details: passed.details.clone(),
                ..Found::default()
            };
            search.pass(passed.clone(), found);
        }
        search
    }

    /// Of who answers now, for questions that come after the check's own end.
    pub(super) fn afterwards<'b>(&self, cache: &CacheSpec, trace: &'b Trace) -> Search<'b> {
        let peer = self.peer.map(Address::from);
        let mut search = Search::new(peer.as_slice(), cache, &[], trace);
        search.peer = self.peer;
        search
    }

    /// Connects to who is next, or again to who answers now.
    pub(super) async fn connect(
        &mut self,
        lookups: &mut Lookups,
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
        Ok((stream, peer))
    }

    /// `peer` has answered over a connection that was there already.
    pub(super) fn answered(&mut self, peer: SocketAddr) {
        self.peer.get_or_insert(peer);
    }

    /// What fails now is not the fault of who answers.
    pub(super) fn acquit(&mut self) {
        self.peer = None;
    }

    /// Time has run out, which nobody's identity is to blame for.
    pub(super) fn expired(&mut self) -> Failure {
        self.peer = None;
        self.trace.expired()
    }

    /// What answers is a cache: those that are none are of no account any more.
    pub(super) fn is_cache(&mut self) {
        let told = self.told.as_ref();
        if told.is_some_and(|(failure, _)| failure.stage != Stage::Signature) {
            self.trace.settle();
            self.told = None;
        }
    }

    /// Goes on with the next address after `failure`, with what was `found` at this one; or says
    /// why the check has failed, and what was found where it did.
    pub(super) fn pass_by(
        &mut self,
        failure: Failure,
        mut found: Found,
        cache: &CacheSpec,
    ) -> Option<(Failure, Found)> {
        let Some(address) = self.peer.take().filter(|_| is_of_identity(failure.reason)) else {
            let failure = self.trace.told_before(failure);
            let told = self.told.take();
            return Some((failure, told.map_or(found, |(_, found)| found)));
        };
        self.race.without(address);
        if self.race.is_open() {
            found.link = None;
        }
        let passed = Passed {
            address,
            stranger: stranger(address, &failure, &found, cache),
            details: found.details.clone(),
            failure,
        };
        self.pass(passed, found);
        None
    }

    fn pass(&mut self, passed: Passed, found: Found) {
        self.race.without(passed.address);
        let (failure, address) = (passed.failure.clone(), passed.address.to_string());
        if self.trace.note(failure.clone(), Some(address)) {
            self.told = Some((failure, found));
        }
        self.passed.push(passed);
    }

    /// Who was taken for a cache until it came to signatures, for the checks that don't look at any.
    pub(super) fn take_foreign(&mut self) -> Vec<Passed> {
        let passed = mem::take(&mut self.passed).into_iter();
        passed
            .filter(|passed| passed.failure.stage == Stage::Signature)
            .collect()
    }

    /// For the report: `None` where nobody was looked for.
    pub(super) fn strangers(&self) -> Option<Vec<Stranger>> {
        let strangers = self.passed.iter().map(|passed| passed.stranger.clone());
        self.is_new.then(|| strangers.collect())
    }
}

fn stranger(address: SocketAddr, failure: &Failure, found: &Found, cache: &CacheSpec) -> Stranger {
    let keys = cache.public_keys.iter();
    let mut names: Vec<String> = keys
        .filter_map(|key| parse_nix_public_key(key).ok())
        .map(|key| key.name)
        .collect();
    // The public cache's key says nothing of who the cache is, where it has another.
    let has_own = names.iter().any(|name| name != PUBLIC_KEY);
    names.retain(|name| !has_own || name != PUBLIC_KEY);
    let detail = |key: &str| found.details.get(key).map(Detail::to_string);
    let shown = match failure.stage {
        Stage::Signature => detail("signed_by"),
        _ => detail("actual"),
    };
    let shown = shown.unwrap_or_else(|| failure.detail.clone());
    Stranger {
        address: address.to_string(),
        reason: failure.reason,
        expected: names.join(", "),
        actual: excerpt(shown.as_bytes(), SHOWN_MAX),
    }
}
