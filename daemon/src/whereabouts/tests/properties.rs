//! What holds whatever happens, in whatever order.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use offload_client::{OverallState, Reason};
use proptest::prelude::*;

use super::{
    targets::{Ways, builder, cache},
    world::{World, ids, mdns},
};
use crate::{
    config::Discover,
    health,
    net::Reach,
    target::{TargetId, TargetSpec},
    whereabouts::Event,
};

const ADDRESSES: [&str; 4] = ["192.0.2.6", "192.0.2.7", "198.51.100.8", "127.0.0.1"];

#[derive(Clone, Debug)]
enum Step {
    /// The check under way of one ends: at an address, or not.
    Check(bool, Option<usize>, Reason),
    /// The search under way for one ends.
    Search(bool, Option<usize>),
    Networks(Vec<(usize, bool, u32)>),
    Moved,
    Appeared(usize),
    Ask,
    Wait,
    Pause,
    Resume,
    Pass(u64),
    Plan(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let address = 0..ADDRESSES.len();
    let reason = prop::sample::select(vec![
        Reason::Refused,
        Reason::TimedOut,
        Reason::HostKeyMismatch,
        Reason::CaptivePortal,
        Reason::OutOfResources,
    ]);
    prop_oneof![
        4 => (any::<bool>(), prop::option::of(address.clone()), reason)
            .prop_map(|(one, at, reason)| Step::Check(one, at, reason)),
        3 => (any::<bool>(), prop::option::of(address.clone()))
            .prop_map(|(one, at)| Step::Search(one, at)),
        1 => prop::collection::vec((address.clone(), any::<bool>(), 1_u32..3), 0..4)
            .prop_map(Step::Networks),
        1 => Just(Step::Moved),
        1 => address.clone().prop_map(Step::Appeared),
        2 => Just(Step::Ask),
        1 => Just(Step::Wait),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        3 => (0_u64..60).prop_map(Step::Pass),
        1 => (address, any::<bool>()).prop_map(|(at, searches)| Step::Plan(at, searches)),
    ]
}

fn pair(address: &str) -> Vec<TargetSpec> {
    vec![cache(&[address], Some("desktop")), builder(&[address])]
}

fn one(is_builder: bool) -> TargetId {
    let (builder, cache) = ids();
    if is_builder { builder } else { cache }
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::Check(which, at, reason) => {
            let id = one(which);
            if world.checks.contains_key(&id) {
                let at = at.map(|at| format!("{}:1", ADDRESSES[at]));
                world.end_check(&id, at.as_deref().ok_or(reason));
            }
        }
        Step::Search(which, at) => {
            let id = one(which);
            if world.is_sought(&id) {
                let at = at.map(|at| format!("{}:1", ADDRESSES[at]));
                world.search(&id, at.as_deref());
            }
        }
        Step::Networks(ways) => {
            let ways = ways.into_iter().map(|(at, is_near, interface)| {
                let reach = if is_near { Reach::Near } else { Reach::Far };
                (ADDRESSES[at].parse().unwrap(), (reach, interface))
            });
            let ways = Ways(ways.collect::<BTreeMap<_, _>>());
            world.turn(Event::Networks(Arc::new(ways)));
        }
        Step::Moved => world.turn(Event::Moved),
        Step::Appeared(at) => world.turn(Event::Appeared(ADDRESSES[at].parse().unwrap())),
        Step::Ask => {
            world.ask();
        }
        Step::Wait => {
            world.wait();
        }
        Step::Pause => {
            world.judge(health::Event::Pause { until: None });
            world.turn(Event::Paused);
        }
        Step::Resume => {
            world.judge(health::Event::Resume);
            world.turn(Event::TurnEnded);
        }
        Step::Pass(seconds) => world.pass(Duration::from_secs(seconds)),
        Step::Plan(at, searches) => {
            let discover = if searches {
                mdns()
            } else {
                Discover::default()
            };
            world.plan(pair(ADDRESSES[at]), discover);
        }
    }
}

fn holds(world: &World) -> Result<(), TestCaseError> {
    let is_paused = world.health.overall().state == OverallState::Paused;
    prop_assert!(
        !is_paused || world.searches.is_empty(),
        "nobody looks while paused"
    );
    let mut sought = 0;
    for id in [one(true), one(false)] {
        let place = world.place(&id);
        let (own, tried) = (&place.spec().addresses, &place.checked_by().addresses);
        prop_assert!(own.iter().all(|own| tried.contains(own)), "{:?}", tried);
        prop_assert!(tried.len() <= own.len() + 1, "{:?}", tried);
        if let Some((number, _)) = place.search() {
            let under_way = world.searches.get(&number).map(|(target, _)| target);
            prop_assert_eq!(under_way, Some(&id), "it is the one that began last");
            sought += 1;
        }
    }
    prop_assert_eq!(world.searches.len(), sought, "each target has one at most");
    let is_idle = world.searches.is_empty() && world.checks.is_empty();
    let answered = world.answers.len() + world.quiet.len();
    prop_assert!(
        !is_idle || answered as u64 == world.requests,
        "nobody waits for nothing"
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_forgotten_and_nothing_is_sought_twice(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new(pair(ADDRESSES[0]), mdns());
        for step in steps {
            take(&mut world, step);
            holds(&world)?;
        }
    }
}
