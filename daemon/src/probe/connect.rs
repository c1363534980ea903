//! A TCP connection to the first candidate that answers.
//!
//! An address that takes the connection and proves nothing has half of the remaining time while others are left.
//!
//! Whether a check took Nix's way is known by the candidate that answered (`Report::elsewhere`), not by its
//! address: a name may lead anywhere, and a port matters. So Nix's own comes first (`plan::candidates`), and no
//! other wins while a packet to it may merely have been lost (`Race::wait_for_first`).

mod open;

use std::{collections::VecDeque, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, ready},
    stream::FuturesUnordered,
};
use offload_client::{Reason, Stage};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

pub use self::open::Source;
pub(super) use self::open::open;
use self::open::open_from;
use super::{
    Trace,
    resolve::{Lookups, Unresolved, literal},
};
use crate::{report::Failure, target::Address};

/// What a candidate has for itself before the next one is tried as well (RFC 8305, 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// So many connections are tried in one check.
const MAX_ATTEMPTS: usize = 8;

/// A key exchange with a machine at work takes that long.
const LEAST_PATIENCE: Duration = Duration::from_millis(300);

/// Connects to the first of `candidates` that answers: a [`Race`] of which only the winner counts.
pub async fn connect(
    candidates: &[Address],
    default_port: u16,
    lookups: &Lookups,
    trace: &Trace,
) -> Result<(TcpStream, SocketAddr), Failure> {
    let mut race = Race::new(candidates, default_port);
    race.next(lookups, trace).await
}

/// The candidates of one check, each connected to at most once.
///
/// The next candidate starts when the one before has failed, or after a head start of 250 ms. Who
/// connects first wins, and the others are let go of; but where [`Race::wait_for_first`] says so, no other
/// wins while the first candidate may still answer: that is where Nix goes, and it goes nowhere else.
/// Where the winner turns out to be somebody else, [`Race::next`] goes on with those that are left.
///
/// It has no bound of its own; the kernel gives a silent address up after two minutes. Nor has the
/// stream: a probe bounds each exchange and drops the connection that leaves one unanswered, so
/// neither TCP keepalives (they would wake an idle machine) nor `TCP_USER_TIMEOUT` are set.
pub struct Race {
    waiting: VecDeque<Start>,
    /// The first candidate, and its addresses as far as they are known.
    first: Option<Address>,
    first_port: u16,
    first_addresses: Vec<SocketAddr>,
    /// How long the others wait for it.
    patience: Duration,
    /// Those that have begun and not ended, each with its number.
    begun: Vec<(usize, Start)>,
    /// The addresses that are not to be connected to any more.
    tried: Vec<SocketAddr>,
    /// How many were connected to, or are being; those let go of are not counted.
    attempts: usize,
    count: usize,
    way: Way,
    /// Whether an address was passed over for its family.
    passed_over: bool,
}

/// How this machine is told to connect.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    /// To IPv6 alone, or to IPv4 alone.
    pub is_ipv6: Option<bool>,
    /// From where.
    pub from: Source,
}

impl Way {
    fn takes(&self, address: SocketAddr) -> bool {
        self.is_ipv6
            .is_none_or(|is_ipv6| address.is_ipv6() == is_ipv6)
    }
}

impl Race {
    /// Between `candidates`, which come best first; `default_port` holds where one names no port.
    pub fn new(candidates: &[Address], default_port: u16) -> Self {
        let first = candidates.first().cloned();
        let first_port = first.as_ref().and_then(|first| first.port);
        let first_port = first_port.unwrap_or(default_port);
        let literal = first.as_ref().and_then(|it| literal(&it.host, first_port));
        Self {
            first,
            first_port,
            first_addresses: literal.into_iter().flatten().collect(),
            patience: Duration::ZERO,
            waiting: candidates
                .iter()
                .take(MAX_ATTEMPTS)
                .map(|address| Start::new(address, default_port))
                .collect(),
            begun: Vec::new(),
            tried: Vec::new(),
            attempts: 0,
            count: 0,
            way: Way::default(),
            passed_over: false,
        }
    }

    /// The same by this way and no other.
    pub fn by(self, way: Way) -> Self {
        Self { way, ..self }
    }

    /// Of a check that may take `bound`: no other candidate wins while the first may still answer, in
    /// which one lost packet is sent again (a SYN after a second), as long as it leaves time for another.
    pub fn wait_for_first(&mut self, bound: Duration) {
        self.patience = bound * 5 / 8;
    }

    /// Whether `address` is one of the first candidate.
    pub fn is_first(&self, address: SocketAddr) -> bool {
        self.first_addresses.contains(&address)
    }

    /// Leaves `address` out. It counts as an attempt only where it was one.
    pub fn without(&mut self, address: SocketAddr) {
        if !self.tried.contains(&address) {
            self.tried.push(address);
        }
    }

    /// Whether there is a candidate that was not tried yet. A name counts as one: whether it has an
    /// address beside those that were, only its lookup tells.
    pub fn is_open(&self) -> bool {
        let mut waiting = self.waiting.iter();
        self.attempts < MAX_ATTEMPTS
            && waiting.any(
                |start| !matches!(start, Start::Connect(address) if self.tried.contains(address) || !self.way.takes(*address)),
            )
    }

    /// Connects to the first of those that are left. Where all fail, the failure is the most telling
    /// one, of whatever was noted in `trace` before as well: silence says more than a
    /// refusal, however it ended.
    ///
    /// A name is looked up by way of `lookups`, which outlive the check. It enters the stages resolve
    /// and connect in `trace` and leaves there who answered.
    pub async fn next(
        &mut self,
        lookups: &Lookups,
        trace: &Trace,
    ) -> Result<(TcpStream, SocketAddr), Failure> {
        trace.enter(Stage::Resolve);
        let mut running = FuturesUnordered::new();
        let mut head_start = pin!(sleep(HEAD_START));
        let mut patience = pin!(sleep(self.patience));
        let mut next_may_start = true;
        // Who has connected, while the first candidate may still do so.
        let mut second: Option<(TcpStream, SocketAddr)> = None;
        loop {
            if let Some((stream, address)) = second.take_if(|_| !self.may_first_answer()) {
                return Ok(self.won(stream, address, trace));
            }
            if next_may_start && let Some(next) = self.take_next() {
                match &next {
                    Start::Connect(address) => {
                        trace.enter(Stage::Connect);
                        trace.at(address);
                    }
                    Start::Resolve(name, _) => trace.looking_up(name),
                    Start::Fail(_) => {}
                }
                let number = self.count;
                self.count += 1;
                running.push(
                    next.begin(lookups, self.way.from)
                        .map(move |step| (number, step)),
                );
                self.begun.push((number, next));
                head_start.as_mut().reset(Instant::now() + HEAD_START);
                next_may_start = false;
            }
            tokio::select! {
                biased;
                step = running.next() => {
                    let Some((number, step)) = step else { break };
                    let ended = self.begun.extract_if(.., |(begun, _)| *begun == number).next();
                    let is_of_first = ended.is_some_and(|(_, ended)| self.is_of_first(&ended));
                    match step {
                        Step::Connected(address, stream) => {
                            let waits = !self.is_first(address) && !patience.is_elapsed();
                            if waits && self.may_first_answer() {
                                second.get_or_insert((stream, address));
                                continue;
                            }
                            if let Some((_, address)) = second {
                                self.put_back(Start::Connect(address));
                            }
                            return Ok(self.won(stream, address, trace));
                        }
                        Step::Resolved(addresses) => {
                            if is_of_first {
                                self.first_addresses.extend(&addresses);
                            }
                            for address in addresses.into_iter().rev() {
                                self.waiting.push_front(Start::Connect(address));
                            }
                        }
                        Step::Failed(failure, address) => {
                            trace.note(failure, address.map(|address| address.to_string()));
                        }
                    }
                    next_may_start = true;
                }
                () = patience.as_mut(), if second.is_some() => {
                    if let Some((stream, address)) = second.take() {
                        return Ok(self.won(stream, address, trace));
                    }
                }
                () = head_start.as_mut(), if !next_may_start && !self.waiting.is_empty() => {
                    next_may_start = true;
                }
            }
        }
        let failure = trace.told();
        Err(failure.unwrap_or_else(|| {
            if self.passed_over {
                let why = "no address of the family that ssh_config has (AddressFamily)";
                trace.failure(Reason::SshConfigPrevents, why)
            } else {
                trace.failure(Reason::DnsFailed, "no address to try")
            }
        }))
    }

    fn won(
        &mut self,
        stream: TcpStream,
        address: SocketAddr,
        trace: &Trace,
    ) -> (TcpStream, SocketAddr) {
        self.let_go();
        trace.enter(Stage::Connect);
        trace.at(address);
        (stream, address)
    }

    /// Whether the first candidate is being tried, or still to be.
    fn may_first_answer(&self) -> bool {
        let begun = self.begun.iter().map(|(_, start)| start);
        let mut all = begun.chain(&self.waiting);
        all.any(|start| self.is_of_first(start))
    }

    fn is_of_first(&self, start: &Start) -> bool {
        match start {
            Start::Connect(address) => self.is_first(*address),
            Start::Resolve(host, port) => {
                let first = self.first.as_ref();
                first.is_some_and(|first| first.host == *host) && self.first_port == *port
            }
            Start::Fail(_) => false,
        }
    }

    /// The next that was not tried yet, within the limit.
    fn take_next(&mut self) -> Option<Start> {
        while let Some(next) = self.waiting.pop_front() {
            if let Start::Connect(address) = next {
                if !self.way.takes(address) {
                    self.passed_over = true;
                    continue;
                }
                if self.attempts >= MAX_ATTEMPTS || self.tried.contains(&address) {
                    continue;
                }
                self.tried.push(address);
                self.attempts += 1;
            }
            return Some(next);
        }
        None
    }

    /// What has not ended may begin again.
    fn let_go(&mut self) {
        for (_, start) in std::mem::take(&mut self.begun).into_iter().rev() {
            self.put_back(start);
        }
    }

    /// It may begin again, before the others.
    fn put_back(&mut self, start: Start) {
        if let Start::Connect(address) = start {
            self.tried.retain(|tried| *tried != address);
            self.attempts = self.attempts.saturating_sub(1);
        }
        self.waiting.push_front(start);
    }
}

/// How long who took the connection has to prove who it is while others are left to be tried, in a
/// check that has `left`: half of that. The last one has all of it.
pub(super) fn patience(left: Duration) -> Duration {
    (left / 2).max(LEAST_PATIENCE)
}

/// A piece of work that may begin.
enum Start {
    Resolve(String, u16),
    Connect(SocketAddr),
    /// A literal address that can't be used: fails when its turn comes.
    Fail(Arc<Unresolved>),
}

/// How a piece of work ended.
enum Step {
    Resolved(Vec<SocketAddr>),
    Connected(SocketAddr, TcpStream),
    Failed(Failure, Option<SocketAddr>),
}

impl Start {
    fn new(address: &Address, default_port: u16) -> Self {
        let port = address.port.unwrap_or(default_port);
        match literal(&address.host, port) {
            Some(Ok(address)) => Self::Connect(address),
            Some(Err(error)) => Self::Fail(Arc::new(error)),
            None => Self::Resolve(address.host.clone(), port),
        }
    }

    /// Begins the work; a lookup that it does not finish is left to the next check.
    fn begin(&self, lookups: &Lookups, from: Source) -> BoxFuture<'static, Step> {
        match self {
            Self::Resolve(host, port) => lookups
                .resolve(host, *port)
                .map(|found| match found {
                    Ok(addresses) => Step::Resolved(addresses),
                    Err(error) => unresolved(&error),
                })
                .boxed(),
            Self::Fail(error) => ready(unresolved(error)).boxed(),
            Self::Connect(address) => {
                let address = *address;
                open_from(address, from)
                    .map(move |opened| match opened {
                        Ok(stream) => Step::Connected(address, stream),
                        Err((reason, detail)) => Step::Failed(
                            Failure {
                                stage: Stage::Connect,
                                reason,
                                detail: detail.into(),
                            },
                            Some(address),
                        ),
                    })
                    .boxed()
            }
        }
    }
}

fn unresolved(error: &Unresolved) -> Step {
    let failure = Failure {
        stage: Stage::Resolve,
        reason: error.reason(),
        detail: error.to_string().into(),
    };
    Step::Failed(failure, None)
}

#[cfg(test)]
pub(super) mod tests;
