use std::sync::mpsc;

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
    let (answer, wait) = mpsc::channel();
    let lookups = Lookups::default();
    let first = lookups.resolve_with("desktop", 1, move |_| Ok(wait.recv().into_iter()));
    drop(first);
    let never = |_: &str| -> io::Result<std::iter::Empty<SocketAddr>> {
        Err(io::Error::other("asked twice"))
    };
    let second = lookups.resolve_with("desktop", 22, never);
    // Another name does not wait for it.
    let other = lookups.resolve_with("other", 1, |_| Ok(addresses(&["127.0.15.7:0"]).into_iter()));
    assert_eq!(other.await.unwrap(), addresses(&["127.0.15.7:1"]));
    answer.send("127.0.15.6:0".parse().unwrap()).unwrap();
    assert_eq!(second.await.unwrap(), addresses(&["127.0.15.6:22"]));
}

#[tokio::test]
async fn an_answer_of_long_ago_is_asked_for_again() {
    let lookups = Lookups::default();
    for answer in ["127.0.15.6:1", "127.0.15.7:1"] {
        let expected = addresses(&[answer]);
        let found = expected.clone();
        let asked = lookups.resolve_with("desktop", 1, move |_| Ok(found.into_iter()));
        assert_eq!(asked.await.unwrap(), expected);
    }
}

#[tokio::test]
async fn names_without_an_answer_leave_threads_to_those_with_one() {
    let lookups = Lookups::new(Shares::new(8));
    let mut was_known = false;
    // The resolver gives up now and then, and is asked again.
    for round in 0..20 {
        let mut silence = Vec::new();
        for dead in 0..32 {
            let (until, end) = mpsc::channel::<()>();
            silence.push(until);
            let asked = lookups.resolve_with(&format!("dead{dead}"), 1, move |_| {
                let _ = end.recv();
                Ok(std::iter::empty())
            });
            // It is given up, unless there was no thread to ask with.
            if let Some(ended) = asked.now_or_never() {
                assert_eq!(ended.unwrap_err().reason(), Reason::OutOfResources);
            }
        }
        let found = addresses(&["127.0.15.6:1"]);
        let answer = found.clone();
        let asked = lookups.resolve_with("desktop", 1, move |_| Ok(answer.into_iter()));
        match asked.await {
            Ok(addresses) => {
                was_known = true;
                assert_eq!(addresses, found);
            }
            // As new as the others, it may have to wait until they are known.
            Err(error) => {
                assert_eq!(error.reason(), Reason::OutOfResources);
                assert!(!was_known && round < 16, "{round}");
            }
        }
        let silent = || {
            let all = lookups.pending.borrow();
            let is_silent = |name: &str| name != "desktop" && !all[name].running.is_finished();
            all.keys().filter(|name| is_silent(name)).count()
        };
        assert!(silent() <= 6, "{}", silent());
        drop(silence);
        while silent() > 0 {
            tokio::task::yield_now().await;
        }
    }
    assert!(was_known);
}

#[tokio::test]
async fn names_without_an_end_are_not_remembered_for_ever() {
    let lookups = Lookups::default();
    for number in 0..2 * REMEMBERED {
        let host = format!("name{number}");
        let asked = lookups.resolve_with(&host, 1, |_| Ok(std::iter::empty()));
        assert_eq!(asked.await.unwrap_err().reason(), Reason::DnsFailed);
    }
    assert!(lookups.pending.borrow().len() <= REMEMBERED);
}

#[tokio::test]
async fn all_targets_of_a_silent_name_wait_in_one_thread() {
    let (answer, wait) = mpsc::channel();
    let lookups = Lookups::default();
    let first = lookups.resolve_with("desktop", 1, move |_| Ok(wait.recv().into_iter()));
    let of_another = lookups.clone();
    let never = |_: &str| -> io::Result<std::iter::Empty<SocketAddr>> {
        Err(io::Error::other("asked twice"))
    };
    let second = of_another.resolve_with("desktop", 2, never);
    answer.send("127.0.15.6:0".parse().unwrap()).unwrap();
    assert_eq!(first.await.unwrap(), addresses(&["127.0.15.6:1"]));
    assert_eq!(second.await.unwrap(), addresses(&["127.0.15.6:2"]));
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
