//! How long a search goes on, and how long what it found holds.

use offload_client::{Reason, TargetState};

use super::{
    moved::{OLD, answered, ids, mdns, pair, stranger},
    stage::{Stage, Ways, builder, cache},
};
use crate::{
    config::Discover,
    discover::{How, SearchResult},
    monitor::{Input, searches::Searched},
    net::Reach,
    plan::Plan,
    target::{SpecKind, TargetSpec},
};

/// The desktop, with a key that its cache is known by.
fn pair_with_key() -> Vec<TargetSpec> {
    let mut pair = pair();
    if let SpecKind::Cache(cache) = &mut pair[0].kind {
        cache.public_keys = vec!["desktop-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=".into()];
    }
    pair
}

#[tokio::test]
async fn a_search_ends_when_its_target_is_ready_where_it_was() {
    let (id, _) = ids();
    let mut stage = Stage::new(vec![builder(&[OLD])], mdns());
    stage.check(&id, Err(Reason::Refused));
    let mut asked = stage.discover();
    let late = Searched {
        target: id.clone(),
        number: stage.number(&id).unwrap(),
        search: SearchResult {
            found: Some(("127.0.15.7:22".parse().unwrap(), How::Mdns)),
            ..SearchResult::default()
        },
    };
    while stage.state(&id) != TargetState::Ready {
        assert!(stage.is_sought(&id), "it is missed yet");
        stage.next(&id, Ok("127.0.15.6:22"));
    }
    assert!(!stage.is_sought(&id));
    assert_eq!(answered(&mut asked), Some(Ok(Vec::new())));
    stage.turn(Input::Searched(late));
    assert_eq!(stage.tried(&id), [OLD]);
    assert!(!stage.is_checked(&id));
}

#[tokio::test]
async fn a_cache_that_is_ready_stays_where_it_is_when_its_builder_is_found_elsewhere() {
    let (id, cache) = ids();
    let mut stage = Stage::new(pair(), mdns());
    stage.check(&cache, Ok("127.0.15.6:5000"));
    stage.check(&id, Err(Reason::Refused));
    stage.search(&id, Some("127.0.15.7:22"));
    assert_eq!(stage.tried(&cache), [OLD]);
    assert!(!stage.is_checked(&cache));
}

#[tokio::test]
async fn where_it_was_found_is_tried_within_the_attempts_of_a_check() {
    let (id, _) = ids();
    let own: Vec<String> = (20..30).map(|end| format!("127.0.15.{end}")).collect();
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let mut stage = Stage::new(vec![builder(&own)], mdns());
    stage.check(&id, Err(Reason::Refused));
    stage.search(&id, Some("127.0.15.7:22"));
    let place = stage.tried(&id).iter().position(|at| at == "127.0.15.7:22");
    assert_eq!(place, Some(4));
}

#[tokio::test]
async fn unattended_a_search_goes_where_it_is_configured_to_and_not_beyond_a_router() {
    let (id, _) = ids();
    let sweep = Discover {
        mdns: false,
        sweep: vec!["192.0.2.0/24".parse().unwrap()],
    };
    let named = vec![builder(&["desk.example"])];
    let mut stage = Stage::new(named, sweep.clone());
    stage.check(&id, Err(Reason::CaptivePortal));
    assert_eq!(stage.state(&id), TargetState::Degraded);
    assert!(!stage.is_sought(&id), "a portal answers to every name");

    let mut stage = Stage::new(vec![builder(&["192.0.2.6"])], sweep);
    stage.networks(Ways::to([("192.0.2.6", Reach::Near, 2)]));
    stage.check(&id, Err(Reason::CaptivePortal));
    assert!(
        stage.is_sought(&id),
        "who is on the link answers for itself"
    );
    stage.search(&id, None);
    stage.next(&id, Err(Reason::HostKeyMismatch));
    let (_, scope) = stage.place(&id).search().unwrap();
    assert!(!scope.mdns && !scope.neighbours && scope.sweep.len() == 1);

    let mut stage = Stage::new(vec![builder(&["192.0.2.6"])], mdns());
    stage.networks(Ways::to([("192.0.2.6", Reach::Far, 2)]));
    stage.check(&id, Err(Reason::Refused));
    assert_eq!(stage.state(&id), TargetState::Down);
    assert!(!stage.is_sought(&id), "it is behind a router");
    let _asked = stage.discover();
    assert!(stage.is_sought(&id), "a person may ask");
}

#[tokio::test]
async fn what_was_found_goes_when_the_way_to_it_changes() {
    let (id, cache_id) = ids();
    let own = "192.0.2.6";
    let targets = vec![cache(&[own], Some("desktop")), builder(&[own])];
    let mut stage = Stage::new(targets, mdns());
    let ways = |interface| {
        let near = |address| (address, Reach::Near, interface);
        Ways::to([near(own), near("192.0.2.7")])
    };
    stage.networks(ways(2));
    stage.check(&cache_id, Err(Reason::Refused));
    stage.check(&id, Err(Reason::Refused));
    stage.search(&id, Some("192.0.2.7:22"));
    stage.check(&id, Ok("192.0.2.7:22"));
    stage.check(&cache_id, Ok("192.0.2.7:5000"));
    stage.networks(ways(2));
    assert_eq!(stage.tried(&id), [own, "192.0.2.7:22"], "nothing changed");
    stage.networks(ways(3));
    for id in [&id, &cache_id] {
        assert_eq!(stage.tried(id), [own]);
        assert!(stage.is_checked(id));
    }
    stage.check(&cache_id, Err(Reason::Refused));
    assert_eq!(stage.tried(&cache_id), [own], "what was proved is past");
}

#[tokio::test]
async fn what_a_cache_got_from_its_builder_goes_with_the_builders_specification() {
    let (id, cache_id) = ids();
    let mut stage = Stage::new(pair(), Discover::default());
    stage.check(&cache_id, Err(Reason::Refused));
    stage.check(&id, Ok("127.0.15.7:22"));
    assert_eq!(stage.tried(&cache_id), [OLD, "127.0.15.7"]);
    stage.check(&cache_id, Ok("127.0.15.7:5000"));
    let now = stage.now;
    let plan = |builder| Plan {
        targets: vec![cache(&[OLD], Some("desktop")), builder],
        ..Plan::default()
    };
    stage.monitor.watch(now, plan(builder(&[OLD])));
    assert_eq!(
        stage.tried(&cache_id),
        [OLD, "127.0.15.7"],
        "it is the same"
    );
    stage.monitor.watch(now, plan(builder(&["127.0.15.9"])));
    assert_eq!(stage.tried(&cache_id), [OLD]);
    assert!(stage.is_checked(&cache_id));
}

#[tokio::test]
async fn a_cache_follows_any_builder_that_proves_a_known_host_key_and_no_other() {
    let (id, cache) = ids();
    for (known, fault, follows) in [
        (true, Reason::None, true),
        (true, Reason::AuthRejected, true),
        (false, Reason::None, false),
        (false, Reason::AuthRejected, false),
    ] {
        let mut stage = Stage::new(pair(), Discover::default());
        stage.check(&cache, Err(Reason::Refused));
        stage.proves(&id, "127.0.15.7:22", known, fault);
        let expected: &[&str] = if follows {
            &[OLD, "127.0.15.7"]
        } else {
            &[OLD]
        };
        assert_eq!(stage.tried(&cache), expected, "{known} {fault}");
    }
}

#[tokio::test]
async fn a_cache_with_a_key_is_searched_for_itself_where_its_builder_is_not_known_to_be() {
    let (id, cache) = ids();
    let mut stage = Stage::new(pair_with_key(), mdns());
    stage.check(&cache, Err(Reason::Refused));
    assert!(!stage.is_sought(&cache), "its builder is about to be known");
    stage.check(&id, Err(Reason::Refused));
    stage.next(&cache, Err(Reason::Refused));
    assert!(stage.is_sought(&cache) && stage.is_sought(&id));
    stage.search(&cache, Some("127.0.15.7:5000"));
    assert_eq!(stage.tried(&cache), [OLD, "127.0.15.7:5000"]);
    assert_eq!(stage.tried(&id), [OLD]);

    let mut stage = Stage::new(pair_with_key(), mdns());
    stage.proves(&id, "127.0.15.6:22", true, Reason::AuthRejected);
    stage.check(&cache, Err(Reason::Refused));
    assert!(!stage.is_sought(&cache), "it is where its builder is");
}

#[tokio::test]
async fn whom_a_search_met_is_told_of_until_a_later_deep_check_passes() {
    let (id, _) = ids();
    let mut stage = Stage::new(vec![builder(&[OLD])], mdns());
    let strangers = |stage: &Stage| stage.monitor.drift.observed(&id).strangers.clone();
    stage.check(&id, Err(Reason::Refused));
    stage.search_meets(&id, None, vec![stranger()]);
    assert_eq!(strangers(&stage), [stranger()]);
    stage.next(&id, Err(Reason::Refused));
    stage.search(&id, None);
    assert_eq!(strangers(&stage), [], "the next search met nobody");

    stage.next(&id, Err(Reason::Refused));
    stage.search_meets(&id, Some("127.0.15.7:22"), vec![stranger()]);
    stage.check(&id, Ok("127.0.15.7:22"));
    assert_eq!(
        strangers(&stage),
        [stranger()],
        "it was met on the way there"
    );
    stage.next(&id, Ok("127.0.15.7:22"));
    assert_eq!(strangers(&stage), []);
}
