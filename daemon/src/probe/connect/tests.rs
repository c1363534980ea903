use std::net::Ipv4Addr;

use tokio::net::TcpSocket;
use tokio::{net::TcpListener, time::timeout};

use super::*;
use crate::{clock::Stopwatch, net::OwnAddresses};

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
    while let Ok(stream) = timeout(Duration::from_millis(50), TcpStream::connect(address)).await {
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
        from: Source::Address(Ipv4Addr::new(127, 0, 15, 7).into()),
        is_ipv6: Some(false),
    };
    let (stream, _) = race(way).next(&lookups, &Trace::new()).await.unwrap();
    let (_, peer) = listening.accept().await.unwrap();
    assert_eq!(
        (peer, Some(peer.ip())),
        (stream.local_addr().unwrap(), from)
    );

    let elsewhere = Source::Address(Ipv4Addr::new(192, 0, 2, 6).into());
    let mute = OwnAddresses {
        v4: None,
        v6: Some(std::net::Ipv6Addr::LOCALHOST),
    };
    for (way, words) in [
        (
            Way {
                is_ipv6: Some(true),
                from: Source::Any,
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
        (
            Way {
                is_ipv6: None,
                from: Source::Interface(mute),
            },
            "no address of IPv4",
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
