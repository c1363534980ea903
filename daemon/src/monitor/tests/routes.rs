//! What a change of this machine's networks does to the checks.

use std::{sync::Arc, time::Duration};

use offload_client::{Reason, TargetState};
use tokio::sync::oneshot;

use super::stage::{Stage, Ways, builder, cache};
use crate::{
    config::Discover,
    health::Event,
    monitor::{CheckError, Input, Monitor, handle::Command},
    net::Reach::{Far, Near},
    plan::Plan,
    report::Signs,
    target::TargetId,
    whereabouts,
};

const SECOND: Duration = Duration::from_secs(1);

fn ids() -> (TargetId, TargetId) {
    (TargetId::builder("desktop"), TargetId::cache("desktop"))
}

#[tokio::test]
async fn only_targets_whose_way_changed_are_checked_again() {
    let (near, other) = ids();
    let targets = vec![cache(&["198.51.100.6"], None), builder(&["192.0.2.6"])];
    let mut stage = Stage::new(targets, Discover::default());
    stage.networks(Ways::to([
        ("192.0.2.6", Near, 2),
        ("198.51.100.6", Near, 3),
    ]));
    stage.check(&near, Ok("192.0.2.6:22"));
    stage.check(&other, Ok("198.51.100.6:5000"));

    // Another address elsewhere, and the same once more.
    for _ in 0..2 {
        stage.networks(Ways::to([
            ("192.0.2.6", Near, 2),
            ("198.51.100.6", Near, 3),
            ("203.0.113.1", Near, 4),
        ]));
        assert!(!stage.is_checked(&near) && !stage.is_checked(&other));
    }
    stage.networks(Ways::to([
        ("192.0.2.6", Near, 5),
        ("198.51.100.6", Near, 3),
    ]));
    assert!(stage.is_checked(&near), "by another interface");
    assert!(!stage.is_checked(&other), "its way is the same");
    assert_eq!(stage.state(&near), TargetState::Ready, "until it answers");
}

#[tokio::test]
async fn without_a_way_it_is_away_at_once_and_checked_when_there_is_one() {
    let (id, _) = ids();
    let mut stage = Stage::new(vec![builder(&["192.0.2.6"])], Discover::default());
    stage.check(&id, Ok("192.0.2.6:22"));
    stage.networks(Ways::default());
    let target = stage.published(&id);
    assert_eq!(
        (target.state, target.reason),
        (TargetState::Away, Reason::NoRoute)
    );
    stage.pass(SECOND * 60);
    assert!(!stage.is_checked(&id));

    stage.networks(Ways::to([("192.0.2.6", Near, 2)]));
    assert!(stage.is_checked(&id));
    stage.check(&id, Ok("192.0.2.6:22"));
    assert_eq!(stage.state(&id), TargetState::Ready);

    // The best of several counts.
    let mut stage = Stage::new(
        vec![builder(&["192.0.2.6", "198.51.100.6"])],
        Discover::default(),
    );
    stage.networks(Ways::to([("198.51.100.6", Far, 2)]));
    stage.check(&id, Err(Reason::TimedOut));
    let target = stage.published(&id);
    assert_eq!(
        (target.state, target.reason),
        (TargetState::Away, Reason::TimedOut)
    );
}

#[tokio::test]
async fn loopback_and_proxies_never_lose_their_way() {
    let (id, other) = ids();
    let targets = vec![cache(&["127.0.15.6"], None), builder(&["192.0.2.6"])];
    let mut stage = Stage::new(targets, Discover::default());
    stage.check(&other, Ok("127.0.15.6:5000"));
    let watched = stage.monitor.watched.get_mut(&id).unwrap();
    let running = watched.running.as_ref().unwrap().check;
    let mut report = super::super::watched::tests::report(Signs {
        proxied: true,
        ..Signs::default()
    });
    report.address = Some("192.0.2.6:22".to_owned());
    let session = watched.take_session(&watched.spec.clone(), &stage.monitor.context);
    stage.turn(Input::Finished(vec![super::Finished {
        target: id.clone(),
        check: running,
        report,
        session,
    }]));
    stage.networks(Ways::default());
    assert_eq!(stage.state(&id), TargetState::Ready);
    assert_eq!(stage.state(&other), TargetState::Ready);
    assert!(!stage.is_checked(&id) && !stage.is_checked(&other));
}

#[tokio::test]
async fn a_name_is_where_it_answered_last_and_before_that_wherever_a_network_leads() {
    let (id, _) = ids();
    let mut stage = Stage::new(vec![builder(&["desktop.example"])], Discover::default());
    stage.networks(Ways::default());
    assert_eq!(
        stage.state(&id),
        TargetState::Away,
        "there is no network at all"
    );
    stage.networks(Ways::to([("203.0.113.1", Near, 2)]));
    assert!(stage.is_checked(&id), "it may be anywhere");
    stage.check(&id, Ok("203.0.113.1:22"));
    assert_eq!(stage.state(&id), TargetState::Ready);
    stage.networks(Ways::to([("198.51.100.1", Near, 2)]));
    assert_eq!(
        stage.state(&id),
        TargetState::Away,
        "its address is out of reach"
    );
}

#[tokio::test]
async fn what_answers_is_not_away_whatever_the_routes_say() {
    let (id, _) = ids();
    let mut stage = Stage::new(vec![builder(&["desktop.example"])], Discover::default());
    stage.networks(Ways::to([("203.0.113.1", Near, 2)]));
    stage.check(&id, Ok("192.0.2.6:22"));
    assert_eq!(stage.state(&id), TargetState::Ready);
    stage.next(&id, Err(Reason::TimedOut));
    assert_eq!(
        stage.state(&id),
        TargetState::Away,
        "nor is silence news of it"
    );
}

#[tokio::test]
async fn networks_that_are_known_first_spare_the_first_checks() {
    let (id, _) = ids();
    let plan = Plan {
        targets: vec![builder(&["192.0.2.6"])],
        ..Plan::default()
    };
    let (mut monitor, handle) = Monitor::new(plan, super::Poll::default(), None).unwrap();
    assert!(monitor.watched[&id].running.is_none(), "nothing has begun");
    let now = super::Now::read();
    monitor.turn(now, Input::Command(Command::Refresh));
    let nowhere = Arc::new(Ways::default());
    monitor.locate(now, whereabouts::Event::Networks(nowhere));
    monitor.begin();
    monitor.end_turn(now);
    assert!(monitor.watched[&id].running.is_none());
    assert_eq!(handle.snapshot().targets[0].state, TargetState::Away);
}

#[tokio::test]
async fn another_address_is_judged_by_the_ways_to_it() {
    let (id, _) = ids();
    let mut stage = Stage::new(vec![builder(&["198.51.100.6"])], Discover::default());
    stage.networks(Ways::to([("192.0.2.6", Near, 2)]));
    assert_eq!(stage.state(&id), TargetState::Away);
    stage.plan(vec![builder(&["192.0.2.6"])]);
    assert!(stage.is_checked(&id), "a way leads there");
    stage.check(&id, Ok("192.0.2.6:22"));
    assert_eq!(stage.state(&id), TargetState::Ready);
    stage.plan(vec![builder(&["198.51.100.7"])]);
    assert!(!stage.is_checked(&id));
    assert_eq!(stage.state(&id), TargetState::Away);
}

#[tokio::test]
async fn who_asked_for_a_check_is_answered_by_the_one_that_took_its_place() {
    type Happens = fn(&mut Stage, &TargetId);
    let by = |interface| Ways::to([("192.0.2.6", Near, interface)]);
    let begin = || {
        let (id, _) = ids();
        let mut stage = Stage::new(vec![builder(&["192.0.2.6"])], Discover::default());
        stage.networks(by(2));
        stage.check(&id, Ok("192.0.2.6:22"));
        let asked = ask(&mut stage, &id);
        assert!(stage.is_checked(&id));
        (stage, id, asked)
    };
    let changes: [(&str, Happens); 4] = [
        ("refresh", |stage, _| {
            stage.turn(Input::Command(Command::Refresh));
        }),
        ("way", |stage, _| {
            stage.networks(Ways::to([("192.0.2.6", Near, 3)]));
        }),
        ("found", |stage, id| {
            let target = id.clone();
            stage.monitor.handle(stage.now, Event::Found { target });
        }),
        ("specification", |stage, _| {
            stage.plan(vec![builder(&["192.0.2.6", "192.0.2.7"])]);
        }),
    ];
    for (what, happens) in changes {
        let (mut stage, id, mut asked) = begin();
        happens(&mut stage, &id);
        assert!(stage.is_checked(&id) && asked.try_recv().is_err(), "{what}");
        stage.check(&id, Ok("192.0.2.6:22"));
        assert_eq!(asked.try_recv(), Ok(Ok(())), "{what}");
    }

    // Nor is a check that is made once more an answer.
    let (mut stage, id, mut asked) = begin();
    stage.check(&id, Err(Reason::ConnectionLost));
    assert!(stage.is_checked(&id) && asked.try_recv().is_err());
    stage.check(&id, Err(Reason::ConnectionLost));
    assert_eq!(asked.try_recv(), Ok(Ok(())));

    // Where nobody looks any more, there is nothing to wait for.
    let (mut stage, _, mut asked) = begin();
    stage.networks(Ways::default());
    assert_eq!(asked.try_recv(), Ok(Ok(())), "it is away");
    let (mut stage, _, mut asked) = begin();
    let (done, _paused) = oneshot::channel();
    stage.turn(Input::Command(Command::Pause {
        duration: None,
        done,
    }));
    assert_eq!(asked.try_recv(), Ok(Ok(())), "it is paused");
    let (mut stage, _, mut asked) = begin();
    stage.plan(Vec::new());
    assert_eq!(asked.try_recv(), Ok(Err(CheckError::NoSuchTarget)));
}

fn ask(stage: &mut Stage, id: &TargetId) -> oneshot::Receiver<Result<(), CheckError>> {
    let (reply, answer) = oneshot::channel();
    let target = Some(id.clone());
    stage.turn(Input::Command(Command::Check { target, reply }));
    answer
}

#[tokio::test]
async fn a_name_of_home_that_nobody_knows_is_away_and_any_other_down() {
    let cafe = || Ways::to([("203.0.113.1", Near, 2)]);
    for (host, expected) in [
        ("desktop.local", TargetState::Away),
        ("desktop.lan.", TargetState::Away),
        ("Desktop.home.arpa", TargetState::Away),
        ("desktop", TargetState::Away),
        ("desktop.tail1234.ts.net", TargetState::Away),
        ("desktop.fritz.box", TargetState::Away),
        ("desktop.speedport.ip", TargetState::Away),
        ("desktop.attlocal.net", TargetState::Away),
        ("fritz.box.example.org", TargetState::Down),
        ("desktop.example.org", TargetState::Down),
        ("local.example.org", TargetState::Down),
    ] {
        let (id, _) = ids();
        let mut stage = Stage::new(vec![builder(&[host])], Discover::default());
        stage.networks(cafe());
        stage.check(&id, Err(Reason::DnsFailed));
        assert_eq!(stage.state(&id), expected, "{host}");
    }
    // This machine is in the tailnet, whose names it can ask for.
    let (id, _) = ids();
    let mut stage = Stage::new(
        vec![builder(&["desktop.tail1234.ts.net"])],
        Discover::default(),
    );
    stage.networks(Ways::to([("100.100.100.100", Near, 3)]));
    stage.check(&id, Err(Reason::DnsFailed));
    assert_eq!(stage.state(&id), TargetState::Down);
}
