//! Which checks begin from scratch.

use std::time::Duration;

use offload_client::{Reason, Stage, TargetState};

use super::world::at;
use crate::{
    clock::Now,
    config::Poll,
    health::{CheckId, Depth, Effect, Event, Health, Outcome},
    target::TargetId,
};

const OK: Outcome = Ok(Stage::Auth);
const REDIRECTED: Outcome = Err((Stage::Http, Reason::Redirected));
const REJECTED: Outcome = Err((Stage::Auth, Reason::AuthRejected));

/// One target, and whoever lets its checks end.
struct Desk {
    health: Health,
    id: TargetId,
    now: Now,
    begun: Vec<(CheckId, Depth)>,
}

impl Desk {
    fn new() -> Self {
        let now = at(Duration::from_secs(1_000));
        let mut desk = Self {
            health: Health::new(Poll::default(), 1, now),
            id: TargetId::builder("desktop"),
            now,
            begun: Vec::new(),
        };
        desk.happen(Event::Added(desk.id.clone()));
        desk
    }

    fn happen(&mut self, event: Event) {
        let effects = self.health.handle(self.now, event);
        self.take(effects);
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if let Effect::Start { check, depth, .. } = effect {
                self.begun.push((check, depth));
            }
        }
    }

    /// Lets the next check begin, when it is due, and end; says how deep it was.
    fn check(&mut self, outcome: Outcome) -> Depth {
        if self.begun.is_empty() {
            let wake = self.health.next_wake().expect("a check is scheduled");
            self.now = self.now.after(wake - self.now.boot);
            self.happen(Event::Tick);
        }
        let (check, depth) = self.begun.remove(0);
        self.happen(Event::Reported {
            target: self.id.clone(),
            check,
            outcome,
            latency: Duration::from_millis(1),
        });
        depth
    }
}

#[test]
fn who_comes_back_after_a_lost_connection_has_to_prove_itself() {
    let mut desk = Desk::new();
    while desk.check(OK) != Depth::Cheap {}
    let (target, idle) = (desk.id.clone(), Duration::from_secs(2));
    desk.happen(Event::Closed { target, idle });
    assert_eq!(desk.check(OK), Depth::Deep);
    assert_eq!(desk.check(OK), Depth::Cheap);
}

#[test]
fn a_target_that_stays_ready_is_looked_at_from_scratch_every_deep_interval() {
    let mut desk = Desk::new();
    assert_eq!(desk.check(OK), Depth::Deep);
    let mut last = desk.now.boot;
    let mut deep = 0;
    for _ in 0..200 {
        if desk.check(OK) == Depth::Deep {
            let since = desk.now.boot - last;
            assert!(since >= Duration::from_secs(600), "after {since:?}");
            assert!(since < Duration::from_secs(640), "after {since:?}");
            last = desk.now.boot;
            deep += 1;
        }
    }
    assert!(deep > 5);
}

#[test]
fn nothing_becomes_ready_on_an_old_connection() {
    let mut desk = Desk::new();
    desk.check(OK);
    assert_eq!(desk.check(OK), Depth::Cheap);
    desk.check(REJECTED);
    assert_eq!(desk.check(OK), Depth::Deep);
    assert_eq!(desk.check(OK), Depth::Deep, "the one that makes it ready");
    assert_eq!(desk.check(OK), Depth::Cheap);
}

#[test]
fn whoever_asks_is_answered_from_scratch() {
    let mut desk = Desk::new();
    desk.check(OK);
    assert_eq!(desk.check(OK), Depth::Cheap);
    let effects = desk.health.request(desk.now, &desk.id).unwrap();
    desk.take(effects);
    assert_eq!(desk.check(OK), Depth::Asked);
    assert_eq!(desk.check(OK), Depth::Cheap);
}

#[test]
fn a_cheap_check_gives_way_to_whoever_asks() {
    let mut desk = Desk::new();
    desk.check(OK);
    desk.now = desk.now.after(Duration::from_secs(60));
    desk.happen(Event::Tick);
    let (cheap, depth) = desk.begun.remove(0);
    assert_eq!(depth, Depth::Cheap);
    let effects = desk.health.request(desk.now, &desk.id).unwrap();
    let aborted = Effect::Abort {
        target: desk.id.clone(),
        check: cheap,
    };
    assert!(effects.contains(&aborted));
    desk.take(effects);
    assert_eq!(desk.check(OK), Depth::Asked);
}

#[test]
fn after_a_resume_the_first_answer_is_from_scratch() {
    let mut desk = Desk::new();
    desk.check(OK);
    desk.happen(Event::Refresh(None));
    assert_eq!(desk.check(OK), Depth::Deep);
}

#[test]
fn a_deep_check_under_other_bounds_is_made_again_under_the_new_ones() {
    let mut desk = Desk::new();
    desk.check(OK);
    let effects = desk.health.request(desk.now, &desk.id).unwrap();
    desk.take(effects);
    assert_eq!(desk.begun.len(), 1, "it is under way");
    desk.happen(Event::PollChanged(Poll {
        timeout: Duration::from_secs(1),
        ..Poll::default()
    }));
    assert_eq!(desk.check(OK), Depth::Asked);
    assert_eq!(
        desk.check(OK),
        Depth::Deep,
        "what the last one kept is gone"
    );
    assert_eq!(desk.check(OK), Depth::Cheap);
}

#[test]
fn what_is_withheld_from_nobody_who_asked_is_looked_at_for_who_does() {
    let mut desk = Desk::new();
    let target = |desk: &Desk| {
        let health = desk.health.target(&desk.id).unwrap();
        (health.state, health.reason)
    };
    let unknown = (TargetState::Unknown, Reason::Redirected);
    // Somebody asks while a check is under way that nobody had asked for.
    let effects = desk.health.request(desk.now, &desk.id).unwrap();
    assert!(effects.is_empty(), "it is shared");
    assert_eq!(desk.check(REDIRECTED), Depth::Deep);
    assert_eq!(target(&desk), (TargetState::Unknown, Reason::None));
    assert_eq!(desk.begun.len(), 1, "it goes on at once");
    assert_eq!(desk.check(OK), Depth::Asked);
    assert_eq!(target(&desk), (TargetState::Ready, Reason::None));
    // What the asked one found holds as long as what any deep check finds.
    while desk.check(OK) == Depth::Cheap {}
    desk.happen(Event::Refresh(None));
    assert_eq!(desk.check(REDIRECTED), Depth::Deep);
    assert_eq!(target(&desk), unknown);
    // And asked, it is looked at again, however often it was not.
    assert_eq!(desk.check(REDIRECTED), Depth::Deep);
    let effects = desk.health.request(desk.now, &desk.id).unwrap();
    desk.take(effects);
    assert_eq!(desk.check(REJECTED), Depth::Asked);
    assert_eq!(target(&desk).0, TargetState::Degraded);
    assert_eq!(desk.check(REDIRECTED), Depth::Deep);
    assert_eq!(target(&desk), unknown, "no red for our own reluctance");
    let effects = desk.health.request(desk.now, &desk.id).unwrap();
    desk.take(effects);
    assert_eq!(desk.check(OK), Depth::Asked);
    assert_eq!(target(&desk).0, TargetState::Ready, "one answer is enough");
}

#[test]
fn what_is_withheld_is_looked_at_more_and_more_seldom() {
    let mut desk = Desk::new();
    let mut waits = Vec::new();
    for _ in 0..6 {
        let before = desk.now.boot;
        desk.check(REDIRECTED);
        waits.push((desk.now.boot - before).as_secs_f64());
    }
    for (wait, expected) in waits.iter().zip([0.0, 30.0, 60.0, 120.0, 300.0, 300.0]) {
        assert!((wait - expected).abs() <= expected / 10.0, "{waits:?}");
    }
}

#[test]
fn who_asked_is_answered_though_the_network_changes_meanwhile() {
    let mut desk = Desk::new();
    desk.check(OK);
    let effects = desk.health.request(desk.now, &desk.id).unwrap();
    desk.take(effects);
    desk.happen(Event::Found {
        target: desk.id.clone(),
    });
    assert_eq!(
        desk.begun.remove(0).1,
        Depth::Asked,
        "the one that was aborted"
    );
    assert_eq!(desk.check(OK), Depth::Asked);
    assert_eq!(desk.check(OK), Depth::Cheap);
}

#[test]
fn what_was_asked_for_before_a_pause_is_not_asked_for_after_it() {
    let mut desk = Desk::new();
    let effects = desk.health.request(desk.now, &desk.id).unwrap();
    desk.take(effects);
    desk.happen(Event::Pause { until: None });
    desk.begun.clear();
    desk.happen(Event::Resume);
    assert_eq!(desk.check(OK), Depth::Deep);
}
