//! What becomes of a target that is not where it should be.

use std::{sync::Arc, time::Duration};

use offload_client::{Reason, TargetState};

use super::{
    targets::{Ways, builder, cache},
    world::{World, ids, mdns},
};
use crate::{
    config::Discover,
    net::Reach::{Far, Near},
    target::TargetSpec,
    whereabouts::{DiscoverError, Event, Sighting},
};

const OLD: &str = "192.0.2.6";

fn pair() -> Vec<TargetSpec> {
    vec![cache(&[OLD], Some("desktop")), builder(&[OLD])]
}

fn networks(world: &mut World, ways: Ways) {
    world.turn(Event::Networks(Arc::new(ways)));
}

#[test]
fn a_builder_that_moved_is_found_and_its_cache_with_it() {
    let (builder, cache) = ids();
    let mut world = World::new(pair(), mdns());
    world.check(&cache, Err(Reason::Refused));
    assert!(!world.is_sought(&cache), "it is where its builder is");
    world.check(&builder, Err(Reason::Refused));
    let asked = world.ask();
    world.search(&builder, Some("192.0.2.7:22"));
    assert_eq!(world.tried(&builder), [OLD, "192.0.2.7:22"]);
    assert_eq!(world.tried(&cache), [OLD, "192.0.2.7"]);
    world.end_check(&builder, Ok("192.0.2.7:22"));
    assert!(
        !world.answers.contains_key(&asked),
        "the cache is checked yet"
    );
    world.end_check(&cache, Ok("192.0.2.7:5000"));
    let both = vec![cache.clone(), builder.clone()];
    assert_eq!(world.answers.get(&asked), Some(&Ok(both)));

    // And back home: what was found is dropped.
    world.check(&builder, Ok("192.0.2.6:22"));
    assert_eq!(world.tried(&builder), [OLD]);
}

#[test]
fn a_cache_that_is_missed_is_looked_for_where_its_builder_proves_its_key() {
    let (builder, cache) = ids();
    for (at, follows) in [("192.0.2.7:22", true), ("127.0.0.1:2222", false)] {
        let mut world = World::new(pair(), Discover::default());
        world.check(&builder, Ok(at));
        assert_eq!(world.tried(&cache), [OLD], "it may be there yet");
        world.check(&cache, Err(Reason::Refused));
        let expected: &[&str] = if follows { &[OLD, "192.0.2.7"] } else { &[OLD] };
        assert_eq!(world.tried(&cache), expected, "{at}");
    }
}

#[test]
fn nothing_is_looked_for_unattended_beyond_what_is_configured() {
    let (id, _) = ids();
    for (discover, reach, sought) in [
        (Discover::default(), Near, false),
        (mdns(), Near, true),
        (mdns(), Far, false),
    ] {
        let mut world = World::new(vec![builder(&[OLD])], discover);
        networks(&mut world, Ways::to([(OLD, reach, 2)]));
        world.check(&id, Err(Reason::Refused));
        assert_eq!(world.is_sought(&id), sought, "{reach:?}");
        world.ask();
        assert!(world.is_sought(&id), "a person may ask");
    }
}

#[test]
fn what_was_found_goes_with_the_way_to_it_and_with_the_specification() {
    let (id, _) = ids();
    let ways = |interface| Ways::to([(OLD, Near, interface), ("192.0.2.7", Near, interface)]);
    let found = || {
        let mut world = World::new(vec![builder(&[OLD])], mdns());
        networks(&mut world, ways(2));
        world.check(&id, Err(Reason::Refused));
        world.search(&id, Some("192.0.2.7:22"));
        assert_eq!(world.tried(&id), [OLD, "192.0.2.7:22"]);
        world
    };
    let mut world = found();
    networks(&mut world, ways(2));
    assert_eq!(world.tried(&id).len(), 2, "nothing changed");
    networks(&mut world, ways(3));
    assert_eq!(world.tried(&id), [OLD]);

    let mut world = found();
    world.plan(vec![builder(&[OLD])], mdns());
    assert_eq!(world.tried(&id).len(), 2, "nothing changed");
    world.plan(vec![builder(&["192.0.2.9"])], mdns());
    assert_eq!(world.tried(&id), ["192.0.2.9"]);
}

#[test]
fn what_no_way_leads_to_is_away_until_one_does() {
    let (id, _) = ids();
    let mut world = World::new(vec![builder(&[OLD])], Discover::default());
    let state = |world: &World| world.health.target(&id).unwrap().state;
    networks(&mut world, Ways::default());
    assert_eq!(state(&world), TargetState::Away);
    assert!(world.checks.is_empty());
    networks(&mut world, Ways::to([(OLD, Near, 2)]));
    world.end_check(&id, Ok("192.0.2.6:22"));
    assert_eq!(state(&world), TargetState::Ready);
}

#[test]
fn who_appears_where_something_is_missed_is_looked_at_at_once() {
    let (id, _) = ids();
    let mut world = World::new(vec![builder(&[OLD])], Discover::default());
    world.check(&id, Err(Reason::Refused));
    while world.health.target(&id).unwrap().state != TargetState::Down {
        world.check(&id, Err(Reason::Refused));
    }
    world.turn(Event::Appeared("192.0.2.7".parse().unwrap()));
    assert!(world.checks.is_empty(), "that is somebody else");
    world.turn(Event::Appeared(OLD.parse().unwrap()));
    assert!(world.checks.contains_key(&id));
}

#[test]
fn who_asks_again_soon_is_refused_and_who_asks_meanwhile_shares() {
    let (id, _) = ids();
    let mut world = World::new(vec![builder(&[OLD])], Discover::default());
    world.check(&id, Err(Reason::Refused));
    let both = [world.ask(), world.ask()];
    let quiet = world.wait();
    assert_eq!(world.searches.len(), 1);
    world.search(&id, None);
    for asked in both {
        assert_eq!(world.answers[&asked], Ok(Vec::new()));
    }
    assert!(world.quiet.contains(&quiet));
    world.pass(Duration::from_millis(9_900));
    let soon = world.ask();
    assert_eq!(world.answers[&soon], Err(DiscoverError::RateLimited));
    world.pass(Duration::from_millis(200));
    let later = world.ask();
    assert!(!world.answers.contains_key(&later) && world.is_sought(&id));
    world.turn(Event::GaveUp(vec![later]));
    world.search(&id, None);
    assert!(!world.answers.contains_key(&later), "nobody is there");

    let mut nothing = World::new(Vec::new(), mdns());
    let asked = nothing.ask();
    assert_eq!(nothing.answers[&asked], Err(DiscoverError::NotConfigured));
}

/// A check that ends before it connects, over a key that can't be read, has seen no proxy and says nothing of one.
#[test]
fn who_is_behind_a_proxy_stays_there_while_checks_end_before_they_connect() {
    let (id, _) = ids();
    let mut world = World::new(vec![builder(&[OLD])], Discover::default());
    networks(&mut world, Ways::to([(OLD, Near, 2)]));
    world.check(&id, Ok("192.0.2.6:22"));
    let see = |world: &mut World, proxied, has_connected: bool| {
        let sighting = Sighting {
            proxied,
            strangers: has_connected.then(Vec::new),
            ..Sighting::default()
        };
        let target = id.clone();
        world.tell(Event::Seen { target, sighting });
    };
    let state = |world: &World| world.health.target(&id).unwrap().state;

    see(&mut world, true, true);
    see(&mut world, false, false);
    networks(&mut world, Ways::to([("198.51.100.1", Near, 3)]));
    assert_ne!(
        state(&world),
        TargetState::Away,
        "only the proxy knows where it goes"
    );

    see(&mut world, false, true);
    networks(&mut world, Ways::to([("198.51.100.2", Near, 3)]));
    assert_eq!(
        state(&world),
        TargetState::Away,
        "there is no proxy any more"
    );
}
