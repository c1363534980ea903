//! Who is woken, when, and for how long it is waited for.

use std::time::Duration;

use offload_client::Reason;

use super::{
    targets::{builder, cache},
    world::{World, ids},
};
use crate::{
    config::{Discover, Wake},
    net::{Link, Links, Mac, Station},
    target::TargetId,
    whereabouts::{Event, WakeError, WakeOutcome, Waker, Woken},
};

const HOME: &str = "192.0.2.6";
const LAN: u32 = 2;
const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn mac() -> Mac {
    "02:00:00:00:00:06".parse().unwrap()
}

fn link() -> Link {
    Link {
        network: "192.0.2.0/24".parse().unwrap(),
        router: "02:00:00:00:00:01".parse().ok(),
    }
}

fn here() -> Links {
    Links::only(LAN, link())
}

/// A cache and a builder on one machine, both ready, whose hardware address is known.
fn seen(wake: Wake) -> World {
    let (builder_id, cache_id) = ids();
    let specs = vec![cache(&[HOME], Some("desktop")), builder(&[HOME])];
    let mut world = World::new(specs.clone(), Discover::default());
    world.wake = wake;
    world.plan(specs, Discover::default());
    world.check(&cache_id, Ok("192.0.2.6:5000"));
    world.check(&builder_id, Ok("192.0.2.6:22"));
    let station = Station {
        mac: mac(),
        link: link(),
    };
    let target = builder_id;
    world.tell(Event::Stationed { target, station });
    world
}

/// The same, asleep for a while.
fn asleep(wake: Wake) -> World {
    let (builder, cache) = ids();
    let mut world = seen(wake);
    for id in [&builder, &cache] {
        world.check(id, Err(Reason::HostUnreachable));
    }
    world
}

const OFF: Wake = Wake {
    on_demand: false,
    wait: Duration::ZERO,
};
const WAITING: Wake = Wake {
    on_demand: true,
    wait: seconds(20),
};

fn wake_on(
    world: &mut World,
    id: &TargetId,
    waker: Waker,
    links: &Links,
) -> Result<Woken, WakeError> {
    let woken = world
        .whereabouts
        .wake(world.now, id, waker, links, &world.health);
    let (woken, effects) = woken?;
    world.carry_out(effects);
    Ok(woken)
}

fn wake(world: &mut World, id: &TargetId, waker: Waker) -> Result<Woken, WakeError> {
    wake_on(world, id, waker, &here())
}

#[test]
fn who_is_awake_is_sent_nothing() {
    let (builder, cache) = ids();
    let mut world = seen(WAITING);
    let awake = Woken {
        outcome: WakeOutcome::Awake,
        ..Woken::default()
    };
    for waker in [Waker::Person, Waker::Demand] {
        assert_eq!(wake(&mut world, &builder, waker).unwrap(), awake);
    }
    // Its cache is not there, and it is.
    world.check(&cache, Err(Reason::TimedOut));
    world.check(&cache, Err(Reason::TimedOut));
    world.check(&cache, Err(Reason::TimedOut));
    assert_eq!(wake(&mut world, &cache, Waker::Demand).unwrap(), awake);
    assert!(!world.whereabouts.is_waking(&cache));
}

#[test]
fn who_refuses_is_not_asleep() {
    let (builder, cache) = ids();
    let mut world = seen(WAITING);
    world.check(&builder, Err(Reason::Refused));
    world.check(&cache, Err(Reason::Refused));
    let woken = wake(&mut world, &cache, Waker::Demand).unwrap();
    assert_eq!(woken, Woken::default());
    // A person may know better.
    let woken = wake(&mut world, &cache, Waker::Person).unwrap();
    assert_eq!(woken.packet, Some((mac(), LAN)));
}

#[test]
fn one_packet_is_sent_in_a_while_whoever_asks_and_it_is_waited_for_once() {
    let (builder, cache) = ids();
    let mut world = asleep(WAITING);
    let first = wake(&mut world, &cache, Waker::Demand).unwrap();
    assert_eq!(first.packet, Some((mac(), LAN)));
    assert_eq!(
        (first.outcome, first.wait),
        (WakeOutcome::Waking, seconds(20))
    );
    assert!(world.whereabouts.is_waking(&builder) && world.whereabouts.is_waking(&cache));
    world.now = world.now.after(seconds(4));
    let second = wake(&mut world, &builder, Waker::Demand).unwrap();
    assert_eq!((second.packet, second.wait), (None, seconds(16)));
    world.now = world.now.after(seconds(2));
    let third = wake(&mut world, &builder, Waker::Person).unwrap();
    assert!(third.packet.is_some());
    // It does not come up: who asks later goes on at once.
    world.now = world.now.after(seconds(40));
    let late = wake(&mut world, &cache, Waker::Demand).unwrap();
    assert_eq!(late.wait, Duration::ZERO);
    assert!(late.packet.is_some());
}

#[test]
fn who_is_woken_is_looked_at_until_it_is_there_or_has_had_its_time() {
    let (builder, cache) = ids();
    let mut world = asleep(OFF);
    assert_eq!(world.whereabouts.next_wake(), None);
    wake(&mut world, &builder, Waker::Person).unwrap();
    let due = world.whereabouts.next_wake().unwrap();
    assert_eq!(due, world.now.boot + seconds(2));
    world.checks.clear();
    world.now = world.now.after(seconds(2));
    world.tell(Event::Tick);
    world.pass(Duration::ZERO);
    assert!(world.checks.contains_key(&builder) && world.checks.contains_key(&cache));
    world.end_check(&builder, Ok("192.0.2.6:22"));
    assert!(!world.whereabouts.is_waking(&builder) && !world.whereabouts.is_waking(&cache));
    assert_eq!(world.whereabouts.next_wake(), None);

    let mut world = asleep(OFF);
    wake(&mut world, &builder, Waker::Person).unwrap();
    world.now = world.now.after(seconds(90));
    world.tell(Event::Tick);
    assert!(!world.whereabouts.is_waking(&builder));
}

#[test]
fn on_demand_nobody_is_woken_unless_it_is_configured() {
    let (builder, _) = ids();
    let mut world = asleep(OFF);
    let woken = wake(&mut world, &builder, Waker::Demand).unwrap();
    assert_eq!(woken, Woken::default());
    assert_eq!(world.whereabouts.next_wake(), None);
}

#[test]
fn on_another_link_nobody_is_woken() {
    let (builder, _) = ids();
    let another = Link {
        router: "02:00:00:00:00:99".parse().ok(),
        ..link()
    };
    let unknown = Link {
        router: None,
        ..link()
    };
    for links in [
        Links::default(),
        Links::only(LAN, another),
        Links::only(LAN, unknown),
    ] {
        let mut world = asleep(WAITING);
        let refused = wake_on(&mut world, &builder, Waker::Person, &links);
        assert!(
            matches!(refused, Err(WakeError::Elsewhere(_))),
            "{refused:?}"
        );
        let unasked = wake_on(&mut world, &builder, Waker::Demand, &links);
        assert_eq!(unasked.unwrap(), Woken::default());
        assert!(!world.whereabouts.is_waking(&builder));
    }
}

#[test]
fn who_is_not_known_by_a_host_key_has_no_hardware_address() {
    let (builder_id, cache_id) = ids();
    let mut world = World::new(vec![cache(&[HOME], None)], Discover::default());
    let station = Station {
        mac: mac(),
        link: link(),
    };
    let target = cache_id.clone();
    world.tell(Event::Stationed { target, station });
    world.check(&cache_id, Err(Reason::HostUnreachable));
    let refused = wake(&mut world, &cache_id, Waker::Person);
    assert!(matches!(refused, Err(WakeError::Unseen)), "{refused:?}");
    let refused = wake(&mut world, &builder_id, Waker::Person);
    assert!(
        matches!(refused, Err(WakeError::NoSuchTarget)),
        "{refused:?}"
    );

    // And another builder of that name is not who was seen.
    let mut world = asleep(OFF);
    world.plan(vec![builder(&["192.0.2.7"])], Discover::default());
    world.check(&builder_id, Err(Reason::HostUnreachable));
    let refused = wake(&mut world, &builder_id, Waker::Person);
    assert!(matches!(refused, Err(WakeError::Unseen)), "{refused:?}");
}

#[test]
fn a_router_that_was_not_heard_of_for_a_while_is_the_router_still() {
    let (builder, _) = ids();
    let mut world = asleep(OFF);
    let station = Station {
        mac: mac(),
        link: Link {
            router: None,
            ..link()
        },
    };
    let target = builder.clone();
    world.tell(Event::Stationed { target, station });
    let woken = wake(&mut world, &builder, Waker::Person).unwrap();
    assert_eq!(woken.packet, Some((mac(), LAN)));
}
