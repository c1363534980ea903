//! What becomes of a test build's result between checks. The clock is the test's, and so are the
//! checks: those that the monitor begins never get a turn, and are answered here.

mod asked;
mod found;
mod moved;
mod routes;
mod stage;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use offload_client::{JobState, Reason, Stage, TargetState, snapshot::Detail, test_build};

use super::{Finished, Handle, Input, Monitor, handle::Command};
pub(super) use crate::whereabouts::tests::targets::desktop;
use crate::{
    clock::Now,
    config::Poll,
    health::Event,
    plan::Plan,
    probe::Session,
    report::{Failure, Report, Signs, Tested},
};

/// A monitor of one builder, and the hour.
struct Watch {
    monitor: Monitor,
    handle: Handle,
    now: Now,
}

impl Watch {
    fn start() -> Self {
        let plan = Plan {
            targets: vec![desktop()],
            ..Plan::default()
        };
        let (mut monitor, handle) = Monitor::new(plan, Poll::default(), None).unwrap();
        monitor.begin();
        let now = Now::read();
        Self {
            monitor,
            handle,
            now,
        }
    }

    /// Lets the next check end. `None` passes.
    fn check(&mut self, failure: Option<Reason>) {
        let id = desktop().id;
        let is_running = |monitor: &Monitor| monitor.watched[&id].running.is_some();
        if !is_running(&self.monitor) {
            let wake = self.monitor.health.next_wake().unwrap();
            self.now = self.now.after(wake.saturating_sub(self.now.boot));
            self.turn(Input::Alarm);
        }
        let running = self.monitor.watched[&id].running.as_ref().unwrap();
        let check = running.check;
        let outcome = match failure {
            None => Ok(Stage::System),
            Some(reason) => Err(Failure {
                stage: Stage::Connect,
                reason,
                detail: "a check's words".into(),
            }),
        };
        let spec = self.monitor.watched[&id].spec.clone();
        let finished = Finished {
            target: id,
            check,
            report: Report {
                strangers: None,
                outcome,
                latency: Duration::from_millis(1),
                address: None,
                elsewhere: false,
                facts: None,
                details: BTreeMap::from([("slots".into(), 1.into())]),
                signs: Signs::default(),
            },
            session: Session::new(spec, self.monitor.context.clone()),
        };
        self.turn(Input::Finished(vec![finished]));
    }

    fn test_build(&mut self, outcome: Result<(), Reason>, place: &str) {
        let tested = Tested {
            outcome,
            blames: outcome.is_err_and(|reason| reason != Reason::BuilderFull),
            place: place.into(),
            detail: outcome.map_or("a build's words", |()| "").into(),
            finished: self.now.realtime_usec,
            took: Duration::from_secs(1),
        };
        self.turn(Input::Command(Command::Tested {
            spec: Arc::new(desktop()),
            tested,
            done: tokio::sync::oneshot::channel().0,
        }));
    }

    fn turn(&mut self, input: Input) {
        self.monitor.turn(self.now, input);
        self.monitor.end_turn(self.now);
    }

    fn published(&self) -> (TargetState, Reason, Stage) {
        let snapshot = self.handle.snapshot();
        let target = &snapshot.targets[0];
        (target.state, target.reason, target.stage)
    }

    fn error(&self) -> Option<Detail> {
        self.handle.snapshot().targets[0]
            .details
            .get("error")
            .cloned()
    }
}

const READY: (TargetState, Reason, Stage) = (TargetState::Ready, Reason::None, Stage::System);

#[tokio::test]
async fn a_failed_test_build_stays_published_until_one_succeeds() {
    let mut watch = Watch::start();
    watch.turn(Input::Alarm);
    watch.check(None);
    watch.check(None);
    assert_eq!(watch.published(), READY);

    for reason in [Reason::BuildFailed, Reason::BuiltElsewhere] {
        watch.test_build(Err(reason), "tower");
        watch.check(None);
        // An hour and more of checks, the cheap ones and the deep ones.
        for _ in 0..150 {
            let failed = (TargetState::Degraded, reason, Stage::Build);
            assert_eq!(watch.published(), failed);
            assert_eq!(watch.error(), Some("a build's words".into()));
            watch.check(None);
        }
        let snapshot = watch.handle.snapshot();
        let kept = test_build::of(&snapshot.targets[0]).unwrap();
        assert_eq!((kept.state, kept.reason), (JobState::Failed, reason));
        assert_eq!(kept.place, "tower");
        assert_eq!(snapshot.targets[0].details["slots"], 1.into());
    }
    watch.test_build(Ok(()), "desktop");
    assert_eq!(watch.published(), READY);
    assert_eq!(watch.error(), None);
}

#[tokio::test]
async fn a_builder_that_was_full_stays_ready_with_that_in_its_details() {
    let mut watch = Watch::start();
    watch.turn(Input::Alarm);
    watch.check(None);
    watch.test_build(Err(Reason::BuilderFull), "");
    assert_eq!(watch.published(), READY);
    let snapshot = watch.handle.snapshot();
    let kept = test_build::of(&snapshot.targets[0]).unwrap();
    assert_eq!(kept.reason, Reason::BuilderFull);
    assert_eq!(kept.error, "a build's words");
    assert_eq!(watch.error(), None);
}

#[tokio::test]
async fn a_check_that_fails_has_its_own_words_though_a_test_build_failed_before() {
    let mut watch = Watch::start();
    watch.turn(Input::Alarm);
    watch.check(None);
    watch.test_build(Err(Reason::BuildFailed), "");
    watch.check(Some(Reason::Refused));
    let down = (TargetState::Down, Reason::Refused, Stage::Connect);
    assert_eq!(watch.published(), down);
    assert_eq!(watch.error(), Some("a check's words".into()));
}

#[tokio::test]
async fn a_test_build_of_another_specification_is_old_news() {
    let mut watch = Watch::start();
    watch.turn(Input::Alarm);
    watch.check(None);
    let mut other = desktop();
    other.uri = format!("{}?compress=true", other.uri).into();
    let plan = Plan {
        targets: vec![other],
        ..Plan::default()
    };
    watch.monitor.watch(watch.now, plan);
    watch.monitor.handle(watch.now, Event::Tick);
    watch.test_build(Err(Reason::BuildFailed), "");
    watch.check(None);
    assert_eq!(watch.published(), READY);
    assert_eq!(test_build::of(&watch.handle.snapshot().targets[0]), None);
}
