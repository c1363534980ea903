//! From a host to the addresses to try.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs},
    sync::Arc,
};

use futures_util::{
    FutureExt, TryFutureExt,
    future::{BoxFuture, Shared},
};
use offload_client::Reason;
use rustix::net::{AddressFamily, SocketType, netdevice, socket};
use tokio::task::{AbortHandle, spawn_blocking};

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
            // The address is known; it is the way there that is missing.
            Self::Interface { .. } => Reason::NoRoute,
            Self::Lookup { .. } | Self::Empty { .. } => Reason::DnsFailed,
        }
    }
}

/// The lookups of one target that its checks have begun, kept between them.
///
/// Names go through the machine's own `getaddrinfo` (hosts file, mDNS, VPN: whatever nsswitch.conf
/// says), as Nix's do. That call blocks a thread of the runtime's pool and can't be interrupted: a
/// check that is given up leaves it to end by itself. The next check waits for the same call
/// instead of making another, so that a name whose resolver is silent holds one thread and no
/// more, and never those that other targets need.
#[derive(Default)]
pub struct Lookups(HashMap<String, Pending>);

/// The addresses of a host, best first, at most [`MAX_ADDRESSES`].
pub type Lookup = BoxFuture<'static, Result<Vec<SocketAddr>, Unresolved>>;

struct Pending {
    running: AbortHandle,
    found: Found,
}

type Found = Shared<BoxFuture<'static, Result<Vec<SocketAddr>, Arc<io::Error>>>>;

impl Drop for Pending {
    fn drop(&mut self) {
        // Of use only while it waits for a thread.
        self.running.abort();
    }
}

impl Lookups {
    /// Looks `host` up, or joins in where that is still being done.
    pub fn resolve(&mut self, host: &str, port: u16) -> Lookup {
        self.resolve_with(host, port, |host| (host, 0).to_socket_addrs())
    }

    fn resolve_with<Addresses: Iterator<Item = SocketAddr>>(
        &mut self,
        host: &str,
        port: u16,
        ask: impl FnOnce(&str) -> io::Result<Addresses> + Send + 'static,
    ) -> Lookup {
        // What came to an end after its check had is an answer of long ago.
        self.0.retain(|_, pending| !pending.running.is_finished());
        let pending = self.0.entry(host.to_owned());
        let pending = pending.or_insert_with_key(|host| {
            let host = host.clone();
            Pending::new(move || ask(&host).map(interleave))
        });
        let (found, host) = (pending.found.clone(), host.to_owned());
        async move {
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
}

impl Pending {
    fn new(ask: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static) -> Self {
        let asked = spawn_blocking(ask);
        Self {
            running: asked.abort_handle(),
            found: asked
                .map(|ended| ended.map_err(io::Error::other)?)
                .map_err(Arc::new)
                .boxed()
                .shared(),
        }
    }
}

/// What a literal address stands for; `None` where `host` is a name.
pub(super) fn literal(host: &str, port: u16) -> Option<Result<SocketAddr, Unresolved>> {
    if let Some((address, zone)) = host.split_once('%') {
        let address: Ipv6Addr = address.parse().ok()?;
        let scope = scope_id(zone);
        return Some(scope.map(|scope| SocketAddrV6::new(address, port, 0, scope).into()));
    }
    let address: IpAddr = host.parse().ok()?;
    Some(Ok(SocketAddr::new(address, port)))
}

/// RFC 4007, 11.2: a zone is an interface's name or, as on Linux, its number.
fn scope_id(zone: &str) -> Result<u32, Unresolved> {
    if let Ok(number) = zone.parse() {
        return Ok(number);
    }
    socket(AddressFamily::INET, SocketType::DGRAM, None)
        .and_then(|any| netdevice::name_to_index(any, zone))
        .map_err(|errno| Unresolved::Interface {
            zone: zone.to_owned(),
            source: errno.into(),
        })
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
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn literals_need_no_resolver() {
        for (host, expected) in [
            ("127.0.15.6", "127.0.15.6:5000"),
            ("::1", "[::1]:5000"),
            ("fe80::1%7", "[fe80::1%7]:5000"),
        ] {
            let address = literal(host, 5000).unwrap().unwrap();
            assert_eq!(address, expected.parse().unwrap());
        }
        assert!(literal("desktop.local", 5000).is_none());
        assert!(literal("desktop%lo", 5000).is_none());
    }

    #[test]
    fn a_zone_may_be_an_interface() {
        let address = literal("fe80::1%lo", 1).unwrap().unwrap();
        assert_eq!(address, "[fe80::1%1]:1".parse().unwrap());
    }

    #[test]
    fn an_interface_that_is_not_there_is_a_missing_way() {
        let error = literal("fe80::1%wlan99", 1).unwrap().unwrap_err();
        assert_eq!(error.reason(), Reason::NoRoute);
        assert!(error.to_string().contains("wlan99"), "{error}");
    }

    #[tokio::test]
    async fn a_name_goes_through_the_resolver() {
        let found = Lookups::default().resolve("localhost", 5000).await.unwrap();
        assert!(
            found
                .iter()
                .all(|address| address.ip().is_loopback() && address.port() == 5000)
        );
    }

    #[tokio::test]
    async fn what_no_resolver_can_take_is_a_dns_failure() {
        // An empty label: refused by the resolver's own code, without a question to anyone.
        let asked = Lookups::default().resolve("desktop..invalid", 1);
        assert_eq!(asked.await.unwrap_err().reason(), Reason::DnsFailed);
    }

    #[tokio::test]
    async fn a_check_joins_the_lookup_that_an_earlier_one_left() {
        let (answer, wait) = std::sync::mpsc::channel();
        let mut lookups = Lookups::default();
        let first = lookups.resolve_with("desktop", 1, move |_| Ok(wait.recv().into_iter()));
        drop(first);
        let never = |_: &str| -> io::Result<std::iter::Empty<SocketAddr>> {
            Err(io::Error::other("asked twice"))
        };
        let second = lookups.resolve_with("desktop", 22, never);
        // Another name does not wait for it.
        let other =
            lookups.resolve_with("other", 1, |_| Ok(addresses(&["127.0.15.7:0"]).into_iter()));
        assert_eq!(other.await.unwrap(), addresses(&["127.0.15.7:1"]));
        answer.send("127.0.15.6:0".parse().unwrap()).unwrap();
        assert_eq!(second.await.unwrap(), addresses(&["127.0.15.6:22"]));
    }

    #[tokio::test]
    async fn an_answer_of_long_ago_is_asked_for_again() {
        let mut lookups = Lookups::default();
        for answer in ["127.0.15.6:1", "127.0.15.7:1"] {
            let expected = addresses(&[answer]);
            let found = expected.clone();
            let asked = lookups.resolve_with("desktop", 1, move |_| Ok(found.into_iter()));
            assert_eq!(asked.await.unwrap(), expected);
        }
    }

    #[test]
    fn neither_family_is_lost_to_the_limit() {
        let found = addresses(&[
            "[fe80::1%1]:1",
            "[fd00::1]:1",
            "[fd00::1]:1",
            "[fd00::2]:1",
            "[fd00::3]:1",
            "127.0.15.6:1",
        ]);
        assert_eq!(
            interleave(found.into_iter()),
            addresses(&[
                "[fe80::1%1]:1",
                "127.0.15.6:1",
                "[fd00::1]:1",
                "[fd00::2]:1"
            ])
        );
    }
}
