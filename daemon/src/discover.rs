//! Looks for a target that is at none of its addresses, and knows it by its identity.
//!
//! What other machines say of themselves is a hint where to look and no more: only an address at
//! which the identity is proved is ever used. Nobody outside of this machine's own networks is asked
//! or tried.
//!
//! An announced port is not taken: Nix would go to its own. All searches share 64 sockets.

mod answers;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod ground;
mod mdns;

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use ipnet::{IpNet, Ipv4Net};
use offload_client::{Reason, Stage};
use tokio::sync::Semaphore;

use crate::{
    net::{self, Network},
    probe::{Context, Identifier, Identity, SEARCH_SOCKETS},
    report::{Failure, Stranger},
    target::TargetSpec,
};
use ground::Ground;
use mdns::Asker;

/// How many addresses one search tries at once, where no other takes of the daemon's sockets.
pub const AT_ONCE: usize = SEARCH_SOCKETS;
/// The most strangers of each sort that are remembered.
pub const MAX_STRANGERS: usize = 16;

/// How long one address of a sweep may take: most have nobody.
const SWEPT: Duration = Duration::from_millis(250);
/// How long one may take at which somebody is.
const HINTED: Duration = Duration::from_millis(1500);

/// Where to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Where it was found before this daemon was started.
    pub remembered: Option<IpAddr>,
    /// By multicast DNS.
    pub mdns: bool,
    /// In the kernel's neighbour table.
    pub neighbours: bool,
    /// At every address of these networks.
    pub sweep: Vec<Ipv4Net>,
}

/// By which of them a target was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It was found there before.
    Remembered,
    /// Multicast DNS.
    Mdns,
    /// The neighbour table.
    Neighbour,
    /// A sweep.
    Sweep,
}

/// What a search came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchResult {
    /// Where the target proved to be, and how it was found.
    pub found: Option<(SocketAddr, How)>,
    /// Who answered to its name without being it; at most [`MAX_STRANGERS`].
    pub strangers: Vec<Stranger>,
    /// Who else was met on the way, and claimed nothing: every machine of a network has a host key
    /// of its own. At most [`MAX_STRANGERS`].
    pub others: Vec<Stranger>,
    /// Networks that were not swept, since this machine is not in them.
    pub refused: Vec<Ipv4Net>,
}

/// Who can tell whether the target is at an address.
pub trait Judge: Sync {
    /// Tries to prove it within `bound`, with one socket.
    fn identify(
        &self,
        address: SocketAddr,
        bound: Duration,
    ) -> impl Future<Output = Identity> + Send + '_;

    /// The host and the port that the target's own host stands for, where that is not what its
    /// specification says.
    fn leads_to(&self) -> Option<(&str, u16)> {
        None
    }
}

/// Looks for `wanted`: bounded in time and in sockets, of which all searches of a daemon share
/// [`SEARCH_SOCKETS`], and it ends with the first address at which
/// the target's identity is proved. Dropping the future ends it.
pub async fn search(
    wanted: Arc<TargetSpec>,
    scope: Scope,
    network: Arc<Network>,
    context: Arc<Context>,
) -> SearchResult {
    let identity = Identifier::new(&wanted, &context).await;
    let own = ground::with_own_addresses(&network.own());
    search_with(&wanted, &scope, &own, &identity, &context.sockets).await
}

/// The same with `own` for the networks that this machine has an address in, each with that address
/// and its prefix, and another judge of who the target is.
pub async fn search_with<J: Judge>(
    wanted: &TargetSpec,
    scope: &Scope,
    own: &[IpNet],
    judge: &J,
    sockets: &Semaphore,
) -> SearchResult {
    let mut hunt = Hunt {
        ground: Arc::new(Ground::new(own, wanted, judge.leads_to())),
        judge,
        sockets,
        tried: HashSet::new(),
        slow: Vec::new(),
        result: SearchResult::default(),
    };
    hunt.run(scope).await;
    if let Some((address, how)) = hunt.result.found {
        tracing::info!("{} is at {address}, found by {how:?}", wanted.id);
    }
    hunt.result
}

/// An address to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    address: SocketAddr,
    /// Whether it was given for the target's own name.
    named: bool,
}

/// One search under way.
struct Hunt<'a, J> {
    ground: Arc<Ground>,
    judge: &'a J,
    sockets: &'a Semaphore,
    tried: HashSet<SocketAddr>,
    /// Where somebody is who was not through in time.
    slow: Vec<Candidate>,
    result: SearchResult,
}

impl<J: Judge> Hunt<'_, J> {
    async fn run(&mut self, scope: &Scope) {
        let remembered = self.ground.near(scope.remembered.into_iter().collect());
        if self
            .go(Source::list(remembered), How::Remembered, HINTED)
            .await
        {
            return;
        }
        if scope.mdns {
            let asker = Asker::start(self.ground.clone()).await;
            if self
                .go(Source::Heard(Box::new(asker)), How::Mdns, HINTED)
                .await
            {
                return;
            }
        }
        // These were just tried, or there would be no search. (One that announces itself is news.)
        self.tried.extend(self.ground.known());
        if scope.neighbours && self.neighbours().await {
            return;
        }
        for network in &scope.sweep {
            if self.sweep(*network).await {
                return;
            }
        }
    }

    async fn neighbours(&mut self) -> bool {
        let neighbours = net::neighbours().await.unwrap_or_else(|error| {
            tracing::debug!("the neighbour table can't be read: {error}");
            Vec::new()
        });
        let near = self.ground.near(neighbours);
        self.go(Source::list(near), How::Neighbour, HINTED).await
    }

    async fn sweep(&mut self, network: Ipv4Net) -> bool {
        let ground = self.ground.clone();
        let Some(addresses) = ground.addresses(network) else {
            tracing::debug!("{network} is not swept: this machine is not in it");
            self.result.refused.push(network);
            return false;
        };
        if self.go(Source::list(addresses), How::Sweep, SWEPT).await {
            return true;
        }
        // A key exchange may take longer than it takes to learn that nobody is there.
        let slow = std::mem::take(&mut self.slow);
        for Candidate { address, .. } in &slow {
            self.tried.remove(address);
        }
        self.go(Source::list(slow), How::Sweep, HINTED).await
    }

    /// Tries all of `candidates` that were not tried yet, until one is the target: whether one is.
    async fn go(&mut self, mut candidates: Source, how: How, bound: Duration) -> bool {
        let (judge, sockets) = (self.judge, self.sockets);
        let mut proofs = FuturesUnordered::new();
        let mut more = true;
        loop {
            let (candidate, proof) = tokio::select! {
                biased;
                next = candidates.next(), if more && proofs.len() < AT_ONCE => {
                    match next {
                        Some(next) if self.tried.insert(next.address) => proofs.push(async move {
                            // Never closed, so there is always one at last.
                            let _permit = sockets.acquire().await;
                            (next, judge.identify(next.address, bound).await)
                        }),
                        Some(_) => {}
                        None => more = false,
                    }
                    continue;
                }
                Some(proof) = proofs.next() => proof,
                else => return false,
            };
            match proof {
                Identity::Same => {
                    self.result.found = Some((candidate.address, how));
                    return true;
                }
                Identity::Stranger(stranger) => {
                    tracing::debug!("at {} is somebody else", candidate.address);
                    let met = if candidate.named {
                        &mut self.result.strangers
                    } else {
                        &mut self.result.others
                    };
                    if met.len() < MAX_STRANGERS {
                        met.push(stranger);
                    }
                }
                Identity::Nobody(failure) if is_slow(&failure) && self.slow.len() < AT_ONCE => {
                    self.slow.push(candidate);
                }
                Identity::Nobody(_) => {}
            }
        }
    }
}

/// Where candidates come from.
enum Source {
    /// They are known.
    List(Box<dyn Iterator<Item = Candidate> + Send>),
    /// They are heard of one by one.
    Heard(Box<Asker>),
}

impl Source {
    fn list<I: Iterator<Item = Candidate> + Send + 'static>(
        candidates: impl IntoIterator<IntoIter = I>,
    ) -> Self {
        Self::List(Box::new(candidates.into_iter()))
    }

    /// The next one; `None` where there is no more. Nothing is lost where it is dropped.
    async fn next(&mut self) -> Option<Candidate> {
        match self {
            Self::List(candidates) => candidates.next(),
            Self::Heard(asker) => asker.next().await,
        }
    }
}

/// Whether somebody took the connection, and no more in the time that there was.
fn is_slow(failure: &Failure) -> bool {
    failure.reason == Reason::TimedOut
        && !matches!(failure.stage, Stage::None | Stage::Resolve | Stage::Connect)
}

impl Judge for Identifier {
    async fn identify(&self, address: SocketAddr, bound: Duration) -> Identity {
        Identifier::identify(self, address, bound).await
    }

    fn leads_to(&self) -> Option<(&str, u16)> {
        Identifier::leads_to(self)
    }
}

#[cfg(test)]
mod tests;
