//! From a host to the addresses to try.
//!
//! Names are looked up in threads of their own, one for each name that has no answer, whichever targets wait for
//! it. Half of them at most are for names that had none the last time, so that those that had one always find a
//! place.

mod literal;

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
    thread::{self, JoinHandle},
};

use futures_util::{
    FutureExt, TryFutureExt,
    future::{BoxFuture, Shared},
};
use offload_client::Reason;
use tokio::sync::{oneshot, watch};

pub(super) use self::literal::literal;
use super::{
    fault,
    shares::{Claim, Share, Shares},
};

/// So many addresses of one name are used: a name with more is no desktop's.
pub const MAX_ADDRESSES: usize = 4;

/// Why a host has no address.
#[derive(Debug, thiserror::Error)]
pub enum Unresolved {
    /// The zone of `fe80::1%zone` is no interface of this machine.
    #[error("no network interface {zone}: {source}")]
    Interface {
        /// The zone as written.
        zone: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// The resolver says no, or says nothing.
    #[error("{host}: {source}")]
    Lookup {
        /// The name.
        host: String,
        /// What the resolver says.
        source: Arc<io::Error>,
    },
    /// The resolver could not be asked: this machine has no thread for that.
    #[error("{host}: no thread to look it up with: {source}")]
    Thread {
        /// The name.
        host: String,
        /// Why not.
        source: io::Error,
    },
    /// The resolver knows the name, but no address of it.
    #[error("{host}: no address")]
    Empty {
        /// The name.
        host: String,
    },
}

impl Unresolved {
    /// The reason to report.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Interface { source, .. } if fault::is_want(source) => Reason::OutOfResources,
            // The address is known; it is the way there that is missing.
            Self::Interface { .. } => Reason::NoRoute,
            Self::Lookup { source, .. } => fault::reason_of_lookup(source),
            Self::Empty { .. } => Reason::DnsFailed,
            Self::Thread { .. } => Reason::OutOfResources,
        }
    }
}

/// So many names are looked up at once. A thread that waits for one takes some ten kilobytes of memory.
const THREADS: usize = 128;

/// Of so many names it is known how they fared the last time; with one more, all are new again. A
/// redirect may name any.
const REMEMBERED: usize = 1_024;

/// The lookups of all targets that are under way.
///
/// Names go through the machine's own `getaddrinfo` (hosts file, mDNS, VPN: whatever nsswitch.conf
/// says), as Nix's do. That call blocks a thread and can't be interrupted: a check that is given up
/// leaves it to end by itself. The next one waits for the same call instead of making another, so that
/// a name whose resolver is silent holds one thread and no more; and such names together never hold
/// those that others need. The threads are no runtime's: what else blocks has its own.
///
/// (A watch channel without receivers is a cell that may be shared.)
#[derive(Clone, Debug)]
pub struct Lookups {
    threads: Shares,
    pending: Arc<watch::Sender<HashMap<String, Pending>>>,
}

/// The addresses of a host, best first, at most [`MAX_ADDRESSES`].
pub type Lookup = BoxFuture<'static, Result<Vec<SocketAddr>, Unresolved>>;

/// A lookup under way, or the last one.
#[derive(Debug)]
struct Pending {
    running: JoinHandle<()>,
    found: SharedLookup,
}

type SharedLookup = Shared<BoxFuture<'static, Result<Vec<SocketAddr>, Arc<io::Error>>>>;

impl Default for Lookups {
    fn default() -> Self {
        Self::new(Shares::new(THREADS))
    }
}

impl Lookups {
    fn new(threads: Shares) -> Self {
        Self {
            threads,
            pending: Arc::new(watch::Sender::new(HashMap::new())),
        }
    }

    /// Looks `host` up, or joins in where that is still being done.
    pub fn resolve(&self, host: &str, port: u16) -> Lookup {
        self.resolve_with(host, port, |host| (host, 0).to_socket_addrs())
    }

    fn resolve_with<Addresses: Iterator<Item = SocketAddr>>(
        &self,
        host: &str,
        port: u16,
        ask: impl FnOnce(&str) -> io::Result<Addresses> + Send + 'static,
    ) -> Lookup {
        let (found, host) = (self.join_or_begin(host, ask), host.to_owned());
        async move {
            let found = match found {
                Ok(found) => found,
                Err(source) => return Err(Unresolved::Thread { host, source }),
            };
            match found.await {
                Ok(addresses) if addresses.is_empty() => Err(Unresolved::Empty { host }),
                Ok(mut addresses) => {
                    addresses.iter_mut().for_each(|each| each.set_port(port));
                    Ok(addresses)
                }
                Err(source) => Err(Unresolved::Lookup { host, source }),
            }
        }
        .boxed()
    }

    fn join_or_begin<Addresses: Iterator<Item = SocketAddr>>(
        &self,
        host: &str,
        ask: impl FnOnce(&str) -> io::Result<Addresses> + Send + 'static,
    ) -> io::Result<SharedLookup> {
        let claim = match self.pending.borrow().get(host) {
            None => Claim::New,
            Some(pending) if !pending.running.is_finished() => return Ok(pending.found.clone()),
            // What came to an end after its check had is an answer of long ago.
            Some(pending) if pending.found.peek().is_none() => Claim::Slow,
            Some(_) => Claim::Quick,
        };
        let share = self.threads.try_take(claim);
        let share = share.ok_or_else(|| io::Error::other("too many names have no answer"))?;
        let name = host.to_owned();
        let pending = Pending::begin(share, move || ask(&name).map(interleave))?;
        let found = pending.found.clone();
        self.pending.send_modify(|all| {
            if all.len() >= REMEMBERED {
                all.retain(|_, pending| !pending.running.is_finished());
            }
            all.insert(host.to_owned(), pending);
        });
        Ok(found)
    }
}

impl Pending {
    fn begin(
        share: Share,
        ask: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> io::Result<Self> {
        let (answer, answered) = oneshot::channel();
        let thread = thread::Builder::new().name("resolver".to_owned());
        let running = thread.spawn(move || {
            let found = ask();
            drop(share);
            // Nobody may be waiting any more.
            let _ = answer.send(found);
        })?;
        Ok(Self {
            running,
            found: answered
                .map(|ended| ended.map_err(io::Error::other)?)
                .map_err(Arc::new)
                .boxed()
                .shared(),
        })
    }
}

/// Alternates the two families, starting with the resolver's favourite (RFC 8305, 4), so that
/// neither is lost to the limit; doubles are dropped.
fn interleave(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut found: Vec<SocketAddr> = found.take(64).collect();
    let Some(first) = found.first().map(SocketAddr::is_ipv6) else {
        return found;
    };
    let mut out = Vec::new();
    let mut wanted = first;
    while out.len() < MAX_ADDRESSES && !found.is_empty() {
        let next = found.iter().position(|address| address.is_ipv6() == wanted);
        let address = found.remove(next.unwrap_or(0));
        if !out.contains(&address) {
            out.push(address);
            wanted = !address.is_ipv6();
        }
    }
    out
}

#[cfg(test)]
mod tests;
