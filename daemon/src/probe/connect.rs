//! A TCP connection to the first candidate that answers.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, ready},
    stream::FuturesUnordered,
};
use offload_client::{Reason, Stage};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep},
};

use super::{
    Failure, Trace,
    fault::reason_of,
    resolve::{Lookups, Unresolved, literal},
};
use crate::target::Address;

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
    /// From this address of its own.
    pub from: Option<IpAddr>,
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
        Err(failure.unwrap_or_else(|| match self.passed_over {
            true => {
                let why = "no address of the family that ssh_config has (AddressFamily)";
                trace.failure(Reason::SshConfigPrevents, why)
            }
            false => trace.failure(Reason::DnsFailed, "no address to try"),
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
    fn begin(&self, lookups: &Lookups, from: Option<IpAddr>) -> BoxFuture<'static, Step> {
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

/// Connects to `address` and no other.
pub(super) async fn open(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // A check is one small question and one small answer: nothing to gather.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The same from an address of this machine, where one is given.
async fn open_from(
    address: SocketAddr,
    from: Option<IpAddr>,
) -> Result<TcpStream, (Reason, String)> {
    let connecting = |error: io::Error| (reason_of(&error), format!("{address}: {error}"));
    let Some(from) = from else {
        return open(address).await.map_err(connecting);
    };
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.map_err(connecting)?;
    socket.bind((from, 0).into()).map_err(|error| {
        let why = format!("bindaddress {from}: {error}");
        (Reason::SshConfigPrevents, why)
    })?;
    let stream = socket.connect(address).await.map_err(connecting)?;
    stream.set_nodelay(true).map_err(connecting)?;
    Ok(stream)
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
pub(super) mod tests {
    use std::net::Ipv4Addr;

    use tokio::{net::TcpListener, time::timeout};

    use super::*;
    use crate::clock::Stopwatch;

    const DESKTOP: Ipv4Addr = Ipv4Addr::new(127, 0, 15, 6);

    fn candidate(address: SocketAddr) -> Address {
        Address {
            host: address.ip().to_string(),
            port: Some(address.port()),
        }
    }

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((DESKTOP, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// An address that refuses: bound, so that nobody else gets the port, but not listening.
    fn refusing() -> (TcpSocket, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((DESKTOP, 0).into()).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    /// An address that swallows what is sent to it: its queue of connections is full.
    pub(in crate::probe) async fn silent() -> (TcpListener, Vec<TcpStream>, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((DESKTOP, 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut fill = Vec::new();
        while let Ok(stream) = timeout(Duration::from_millis(50), TcpStream::connect(address)).await
        {
            fill.push(stream.unwrap());
            assert!(fill.len() < 16, "the queue never fills");
        }
        (listener, fill, address)
    }

    #[tokio::test]
    async fn the_way_that_ssh_config_has_is_the_only_one() {
        let (listening, address) = listener().await;
        let race = |way: Way| Race::new(&[candidate(address)], 1).by(way);
        let lookups = Lookups::default();
        let from = Some(Ipv4Addr::new(127, 0, 15, 7).into());
        let way = Way {
            from,
            is_ipv6: Some(false),
        };
        let (stream, _) = race(way).next(&lookups, &Trace::new()).await.unwrap();
        let (_, peer) = listening.accept().await.unwrap();
        assert_eq!(
            (peer, Some(peer.ip())),
            (stream.local_addr().unwrap(), from)
        );

        let elsewhere = Some(Ipv4Addr::new(192, 0, 2, 6).into());
        for (way, words) in [
            (
                Way {
                    is_ipv6: Some(true),
                    from: None,
                },
                "AddressFamily",
            ),
            (
                Way {
                    is_ipv6: None,
                    from: elsewhere,
                },
                "bindaddress 192.0.2.6",
            ),
        ] {
            let failed = race(way).next(&lookups, &Trace::new()).await.unwrap_err();
            assert_eq!(failed.reason, Reason::SshConfigPrevents, "{way:?}");
            assert!(failed.detail.contains(words), "{}", failed.detail);
        }
    }

    #[tokio::test]
    async fn the_best_candidate_that_answers_wins() {
        let (_first, first) = listener().await;
        let (_second, second) = listener().await;
        let trace = Trace::new();
        let candidates = [candidate(first), candidate(second)];
        let (stream, address) = connect(&candidates, 1, &Lookups::default(), &trace)
            .await
            .unwrap();
        assert_eq!((address, stream.peer_addr().unwrap()), (first, first));
        assert!(stream.nodelay().unwrap());
        assert_eq!(trace.stage(), Stage::Connect);
        assert_eq!(trace.address(), Some(first.to_string()));
    }

    #[tokio::test]
    async fn a_refusal_gives_way_to_the_next_at_once() {
        let (_refusing, refused) = refusing();
        let (_listener, open) = listener().await;
        let watch = Stopwatch::start();
        let candidates = [candidate(refused), candidate(open)];
        let (_, address) = connect(&candidates, 1, &Lookups::default(), &Trace::new())
            .await
            .unwrap();
        assert_eq!(address, open);
        assert!(watch.elapsed() < HEAD_START, "{:?}", watch.elapsed());
    }

    #[tokio::test]
    async fn silence_gives_way_to_the_next_after_the_head_start() {
        let (_listener, _fill, silent) = silent().await;
        let (_open, open) = listener().await;
        let watch = Stopwatch::start();
        let candidates = [candidate(silent), candidate(open)];
        let (_, address) = connect(&candidates, 1, &Lookups::default(), &Trace::new())
            .await
            .unwrap();
        assert_eq!(address, open);
        assert!(watch.elapsed() >= HEAD_START, "{:?}", watch.elapsed());
    }

    #[tokio::test]
    async fn no_other_wins_while_the_first_may_still_answer() {
        let (_refusing, refused) = refusing();
        let (_open, open) = listener().await;
        let (_silent, fill, slow) = silent().await;
        let lookups = Lookups::default();
        let bound = Duration::from_secs(8);
        let run = async |first: SocketAddr| {
            let mut race = Race::new(&[first, open].map(candidate), 1);
            race.wait_for_first(bound);
            let watch = Stopwatch::start();
            let (_, address) = race.next(&lookups, &Trace::new()).await.unwrap();
            (address, race.is_first(address), watch.elapsed())
        };
        let (address, is_first, took) = run(refused).await;
        assert_eq!((address, is_first), (open, false));
        assert!(took < HEAD_START, "{took:?}");

        // It answers what is sent again, a second later, and the other was there long before.
        let answers = async {
            sleep(HEAD_START * 2).await;
            drop(fill);
            while let Ok((stream, _)) = _silent.accept().await {
                drop(stream);
            }
        };
        let (address, is_first, took) = tokio::select! {
            ended = run(slow) => ended,
            () = answers => unreachable!(),
        };
        assert_eq!((address, is_first), (slow, true));
        assert!(took > HEAD_START * 2, "{took:?}");
    }

    #[tokio::test]
    async fn another_wins_where_the_first_stays_silent() {
        let (_silent, _fill, silent) = silent().await;
        let (_open, open) = listener().await;
        let mut race = Race::new(&[silent, open].map(candidate), 1);
        race.wait_for_first(HEAD_START * 4);
        let watch = Stopwatch::start();
        let (trace, lookups) = (Trace::new(), Lookups::default());
        let (_, address) = race.next(&lookups, &trace).await.unwrap();
        assert_eq!((address, race.is_first(address)), (open, false));
        assert!(watch.elapsed() >= HEAD_START * 2, "{:?}", watch.elapsed());
    }

    #[tokio::test]
    async fn the_addresses_of_a_name_are_the_first_ones() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let name = Address {
            host: "localhost".to_owned(),
            port: Some(address.port()),
        };
        let mut race = Race::new(&[name, candidate(address)], 1);
        race.wait_for_first(HEAD_START * 40);
        let (trace, lookups) = (Trace::new(), Lookups::default());
        let (_, address) = race.next(&lookups, &trace).await.unwrap();
        assert!(race.is_first(address), "{address}");
    }

    #[tokio::test]
    async fn silence_is_told_where_another_candidate_refuses() {
        let (_listener, _fill, silent) = silent().await;
        let (_refusing, refused) = refusing();
        let trace = Trace::new();
        let candidates = [candidate(silent), candidate(refused)];
        let lookups = Lookups::default();
        let attempt = connect(&candidates, 1, &lookups, &trace);
        let bound = Duration::from_millis(500);
        assert!(timeout(bound, attempt).await.is_err(), "one is silent");
        let failure = trace.expired();
        assert_eq!(failure.reason, Reason::TimedOut);
        assert!(failure.detail.contains(&refused.to_string()), "{failure:?}");
    }

    #[tokio::test]
    async fn where_all_fail_the_most_telling_reason_is_given() {
        let (_refusing, refused) = refusing();
        let trace = Trace::new();
        let candidates = [
            Address {
                host: "fe80::1%wlan99".to_owned(),
                port: None,
            },
            Address {
                host: "desktop..invalid".to_owned(),
                port: None,
            },
            candidate(refused),
        ];
        let failure = connect(&candidates, 1, &Lookups::default(), &trace)
            .await
            .unwrap_err();
        assert_eq!(
            (failure.stage, failure.reason),
            (Stage::Connect, Reason::Refused)
        );
        assert_eq!(trace.address(), Some(refused.to_string()));
        assert!(failure.detail.contains("refused"), "{}", failure.detail);
    }

    #[tokio::test]
    async fn a_name_without_address_fails_in_its_own_stage() {
        let candidates = [Address {
            host: "desktop..invalid".to_owned(),
            port: None,
        }];
        let failure = connect(&candidates, 1, &Lookups::default(), &Trace::new())
            .await
            .unwrap_err();
        assert_eq!(
            (failure.stage, failure.reason),
            (Stage::Resolve, Reason::DnsFailed)
        );
    }

    #[tokio::test]
    async fn a_name_is_connected_to_by_any_of_its_addresses() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let candidates = [Address {
            host: "localhost".to_owned(),
            port: None,
        }];
        let (_, address) = connect(&candidates, port, &Lookups::default(), &Trace::new())
            .await
            .unwrap();
        assert_eq!(address, listener.local_addr().unwrap());
    }

    #[tokio::test]
    async fn an_address_is_tried_once_and_eight_at_most() {
        let mut race = Race::new(&[], 1);
        for port in [1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10] {
            let address = (DESKTOP, port).into();
            race.waiting.push_back(Start::Connect(address));
        }
        while race.take_next().is_some() {}
        let ports: Vec<u16> = race.tried.iter().map(SocketAddr::port).collect();
        assert_eq!(ports, [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[tokio::test]
    async fn a_race_goes_on_with_those_that_are_left_and_never_back() {
        let (_silent, _fill, silent) = silent().await;
        let (_first, first) = listener().await;
        let (_refusing, refused) = refusing();
        let (_second, second) = listener().await;
        let (trace, lookups) = (Trace::new(), Lookups::default());
        let candidates = [silent, first, refused, first, second].map(candidate);
        let mut race = Race::new(&candidates, 1);
        for expected in [first, second] {
            let (_, address) = race.next(&lookups, &trace).await.unwrap();
            assert_eq!(address, expected);
            assert!(race.is_open(), "the silent one has not ended");
        }
        let more = timeout(HEAD_START, race.next(&lookups, &trace)).await;
        assert!(more.is_err(), "the silent one is asked again");
    }

    #[tokio::test]
    async fn each_stranger_is_one_of_eight_attempts() {
        let (trace, lookups) = (Trace::new(), Lookups::default());
        let mut listeners = Vec::new();
        for _ in 0..MAX_ATTEMPTS {
            listeners.push(listener().await);
        }
        let addresses: Vec<SocketAddr> = listeners.iter().map(|(_, address)| *address).collect();
        let candidates: Vec<Address> = addresses.iter().copied().map(candidate).collect();
        let mut race = Race::new(&candidates, 1);
        for (number, expected) in addresses.iter().enumerate() {
            assert!(race.is_open(), "{number}");
            let (_, address) = race.next(&lookups, &trace).await.unwrap();
            assert_eq!(address, *expected);
            race.without(address);
        }
        assert!(!race.is_open());
        race.waiting.push_back(Start::Connect((DESKTOP, 1).into()));
        assert!(!race.is_open(), "a ninth");
        assert!(race.next(&lookups, &trace).await.is_err());
    }

    #[tokio::test]
    async fn what_is_left_out_is_no_attempt() {
        let mut race = Race::new(&[], 1);
        for port in 1..=3 {
            race.without((DESKTOP, port).into());
        }
        for port in 1..=20 {
            let address = (DESKTOP, port).into();
            race.waiting.push_back(Start::Connect(address));
        }
        let mut begun = 0;
        while race.take_next().is_some() {
            begun += 1;
        }
        assert_eq!(begun, MAX_ATTEMPTS);
    }

    #[tokio::test]
    async fn what_is_left_out_is_not_connected_to() {
        let (_first, first) = listener().await;
        let (_second, second) = listener().await;
        let (trace, lookups) = (Trace::new(), Lookups::default());
        let mut race = Race::new(&[first, second].map(candidate), 1);
        race.without(first);
        let (_, address) = race.next(&lookups, &trace).await.unwrap();
        assert_eq!(address, second);
        assert!(!race.is_open());
        let failure = race.next(&lookups, &trace).await.unwrap_err();
        assert_eq!(failure.reason, Reason::DnsFailed);
    }

    #[tokio::test]
    async fn nothing_to_try_is_said() {
        let failure = connect(&[], 1, &Lookups::default(), &Trace::new())
            .await
            .unwrap_err();
        assert_eq!(failure.reason, Reason::DnsFailed);
    }
}
