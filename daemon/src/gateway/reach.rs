//! Where a cache is asked: where it answered last, as long as somebody accepts a connection there; and else where a check
//! would find it, which Nix need not wait for.
//!
//! Who is at another address of its own is the cache if it shows what that has signed, and gets no login meanwhile.

use std::{borrow::Cow, cell::RefCell, net::SocketAddr, pin::pin, time::Duration};

use futures_util::{
    FutureExt, StreamExt,
    future::{LocalBoxFuture, Shared},
    stream::FuturesUnordered,
};
use offload_client::{
    Printable,
    snapshot::{Detail, Facts, Target},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

use super::{MOST, caches::Cache, memory::Memory};
use crate::{
    clock::Now,
    monitor::Handle,
    probe::{Identifier, Identity},
    target::{Address, SpecKind, TargetId, TargetSpec},
};

/// How long a cache may take to accept a connection, and how long that is known.
pub(super) const DIAL: Duration = Duration::from_millis(300);
const DIALLED: Duration = Duration::from_secs(1);
/// What it has for itself before it is looked for at its other addresses as well.
const HEAD_START: Duration = Duration::from_millis(50);
/// Who has not begun to answer by then, nor what was asked before that, hangs: nginx with 64 busy programs on two cores, or
/// with four that write to its disk and its files out of memory, took 0.24 s at the most, of 250 times.
const SPEAK: Duration = Duration::from_millis(300);
/// Who is so near, by what its last check took.
const ROUND_TRIPS: u32 = 10;
/// How long it may take to show there who it is.
const IDENTIFY: Duration = Duration::from_millis(400);
/// How long it is asked there, where no check passes before.
const FOUND: Duration = Duration::from_secs(10);

/// Whether somebody accepts a connection, for all who want to know.
type Dial = Shared<LocalBoxFuture<'static, bool>>;
/// Where else the cache is, likewise.
type Look = Shared<LocalBoxFuture<'static, Option<SocketAddr>>>;

/// Where caches are asked.
pub(super) struct Reach {
    monitor: Handle,
    dialled: RefCell<Memory<SocketAddr, Dial>>,
    looks: RefCell<Memory<TargetId, Look>>,
    /// Where else a cache is, and when that was found, in microseconds of `CLOCK_REALTIME`.
    found: RefCell<Memory<TargetId, (SocketAddr, u64)>>,
}

impl Reach {
    pub(super) fn new(monitor: Handle) -> Self {
        Self {
            monitor,
            dialled: RefCell::new(Memory::new(DIALLED, MOST)),
            looks: RefCell::new(Memory::new(DIALLED, MOST)),
            found: RefCell::new(Memory::new(FOUND, MOST)),
        }
    }

    /// The cache where it accepts connections, if it does. Who asks within a second shares the answer.
    pub(super) async fn reach<'a>(&self, cache: &'a Cache) -> Option<Cow<'a, Cache>> {
        if let Some(address) = self.found_at(cache)
            && self.accepts(address).await
        {
            return Some(Cow::Owned(cache.found_at(address)));
        }
        let own = async { self.accepts(cache.address?).await.then_some(()) };
        let mut own = pin!(own);
        let mut elsewhere = pin!(self.elsewhere(cache));
        let is_there = match timeout(HEAD_START, &mut own).await {
            Ok(is_there) => is_there,
            Err(_) => tokio::select! {
                biased;
                is_there = &mut own => is_there,
                found = &mut elsewhere => match found {
                    Some(found) => return Some(found),
                    None => return own.await.map(|()| Cow::Borrowed(cache)),
                },
            },
        };
        match is_there {
            Some(()) => Some(Cow::Borrowed(cache)),
            None => elsewhere.await,
        }
    }

    /// The cache at another address of its own, if it is there. With TLS it is where its name leads, for Nix as well.
    pub(super) async fn elsewhere<'a>(&self, cache: &Cache) -> Option<Cow<'a, Cache>> {
        let now = Now::read();
        let known = self.looks.borrow().get(now, &cache.id).cloned();
        let look = known.unwrap_or_else(|| {
            let look = find(self.monitor.clone(), cache.clone());
            let look = look.boxed_local().shared();
            let mut looks = self.looks.borrow_mut();
            looks.put(now, cache.id.clone(), look.clone());
            look
        });
        let address = look.await?;
        let now = Now::read();
        let mut found = self.found.borrow_mut();
        found.put(now, cache.id.clone(), (address, now.realtime_usec));
        Some(Cow::Owned(cache.found_at(address)))
    }

    /// Whether the cache speaks, to who asks anew. Its kernel accepts connections for one that hangs; one that builds with
    /// all its cores is slow and speaks. Of one that is far away a while says nothing.
    pub(super) async fn is_heard(&self, cache: &Cache) -> bool {
        let Some(address) = cache.address else {
            return false;
        };
        let Ok(Ok(mut stream)) = timeout(DIAL, TcpStream::connect(address)).await else {
            self.forget(cache);
            return false;
        };
        if cache.latency * ROUND_TRIPS > SPEAK {
            return true;
        }
        let (path, host) = (&cache.spec.path, cache.authority());
        let question = format!(
            "GET {path}/nix-cache-info HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        );
        let answer = async {
            stream.write_all(question.as_bytes()).await?;
            stream.read(&mut [0]).await
        };
        // That it closes the connection, or wants TLS, is an answer too.
        timeout(SPEAK, answer).await.is_ok()
    }

    /// What was known of where it is does not hold.
    pub(super) fn forget(&self, cache: &Cache) {
        if let Some(address) = cache.address {
            self.dialled.borrow_mut().remove(&address);
        }
        self.looks.borrow_mut().remove(&cache.id);
        self.found.borrow_mut().remove(&cache.id);
    }

    /// Where it was found, until a check has passed.
    fn found_at(&self, cache: &Cache) -> Option<SocketAddr> {
        let found = self.found.borrow();
        let (address, since) = found.get(Now::read(), &cache.id)?;
        (!cache.has_passed_since(*since)).then_some(*address)
    }

    async fn accepts(&self, address: SocketAddr) -> bool {
        let now = Now::read();
        let known = self.dialled.borrow().get(now, &address).cloned();
        let dial = known.unwrap_or_else(|| {
            let dial = dial(address).boxed_local().shared();
            self.dialled.borrow_mut().put(now, address, dial.clone());
            dial
        });
        dial.await
    }
}

/// Whether somebody accepts a connection now.
async fn dial(address: SocketAddr) -> bool {
    matches!(timeout(DIAL, TcpStream::connect(address)).await, Ok(Ok(_)))
}

/// The first of its other addresses at which the cache shows who it is.
async fn find(monitor: Handle, cache: Cache) -> Option<SocketAddr> {
    let snapshot = monitor.snapshot();
    let mut targets = snapshot.targets.iter();
    let target = targets.find(|it| it.kind == cache.id.kind && it.name == cache.id.name)?;
    if cache.spec.tls || cache.spec.proxy.is_some() {
        return None;
    }
    let spec = {
        let specs = monitor.specs();
        let specs = specs.borrow();
        let spec = specs.iter().find(|spec| spec.id == cache.id)?;
        known(spec, target)
    };
    let context = monitor.context();
    let identifier = Identifier::new(&spec, context).await;
    let until = Instant::now() + DIAL;
    let look = async |place: &Printable| {
        let place = Address::parse(place).ok()?;
        let port = place.port.unwrap_or(cache.spec.port);
        let addresses = timeout_at(until, context.lookups.resolve(&place.host, port)).await;
        for address in addresses.ok()?.ok()? {
            // No URL names the zone of an address.
            let is_usable = matches!(address, SocketAddr::V4(_))
                || matches!(address, SocketAddr::V6(address) if address.scope_id() == 0);
            if !is_usable
                || cache.address == Some(address)
                || !matches!(
                    timeout_at(until, TcpStream::connect(address)).await,
                    Ok(Ok(_))
                )
            {
                continue;
            }
            let identity = identifier.identify(address, IDENTIFY).await;
            tracing::debug!("{} at {address}: {identity:?}", cache.id);
            if identity == Identity::Same {
                return Some(address);
            }
        }
        None
    };
    // A check may have found it since it was looked for where it was.
    let places = [&target.address].into_iter().chain(&target.elsewhere);
    let mut looks: FuturesUnordered<_> = places.map(look).collect();
    while let Some(found) = looks.next().await {
        if found.is_some() {
            return found;
        }
    }
    None
}

/// What proves the cache with one question: the path that its last check was content with, signed by the same key.
fn known(spec: &TargetSpec, target: &Target) -> TargetSpec {
    let key = match &target.facts {
        Facts::Cache(facts) => facts.signing_key.clone(),
        Facts::Builder(_) => Printable::default(),
    };
    let mut known = spec.known_by(&key);
    if let SpecKind::Cache(cache) = &mut known.kind {
        // What Nix remembers of it and says to it is its checks' affair.
        cache.substituter = None;
        if let Some(Detail::Text(sample)) = target.details.get("sample") {
            cache.sample = Some(sample.to_string());
        }
    }
    known
}
