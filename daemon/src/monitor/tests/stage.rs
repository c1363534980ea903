//! A monitor whose checks and searches are answered by the test, at the test's own hours.

use std::{sync::Arc, time::Duration};

use offload_client::{
    Kind, Reason, Stage as CheckStage, TargetState,
    snapshot::{Details, Target},
};
use tokio::sync::oneshot;

pub(super) use crate::whereabouts::tests::targets::{Ways, builder, cache};
use crate::{
    clock::Now,
    config::{Discover, Poll},
    discover::{How, SearchResult},
    monitor::{
        DiscoverError, Finished, Handle, Input, Monitor, handle::Command, searches::Searched,
    },
    plan::Plan,
    probe::Session,
    report::{Failure, Report, Signs, Stranger},
    target::{TargetId, TargetSpec},
    whereabouts::{self, Place},
};

/// A monitor, and the hour.
pub(super) struct Stage {
    pub(super) monitor: Monitor,
    pub(super) handle: Handle,
    pub(super) now: Now,
}

impl Stage {
    pub(super) fn new(targets: Vec<TargetSpec>, discover: Discover) -> Self {
        let plan = Plan {
            targets,
            discover,
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

    pub(super) fn turn(&mut self, input: Input) {
        self.monitor.turn(self.now, input);
        self.monitor.end_turn(self.now);
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
        self.turn(Input::Alarm);
    }

    /// Another configuration.
    pub(super) fn plan(&mut self, targets: Vec<TargetSpec>) {
        let plan = Plan {
            targets,
            ..Plan::default()
        };
        self.monitor.watch(self.now, plan);
        self.monitor.end_turn(self.now);
    }

    pub(super) fn networks(&mut self, routes: Ways) {
        let networks = whereabouts::Event::Networks(Arc::new(routes));
        self.monitor.locate(self.now, networks);
        self.monitor.end_turn(self.now);
    }

    pub(super) fn is_checked(&self, id: &TargetId) -> bool {
        self.monitor.watched[id].running.is_some()
    }

    pub(super) fn is_sought(&self, id: &TargetId) -> bool {
        self.place(id).search().is_some()
    }

    pub(super) fn place(&self, id: &TargetId) -> &Place {
        self.monitor.whereabouts.place(id).unwrap()
    }

    /// The number of the search under way.
    pub(super) fn number(&self, id: &TargetId) -> Option<u64> {
        self.place(id).search().map(|(number, _)| number)
    }

    /// The addresses that the next check of `id` would try.
    pub(super) fn tried(&self, id: &TargetId) -> Vec<String> {
        let spec = self.place(id).checked_by();
        spec.addresses.iter().map(ToString::to_string).collect()
    }

    /// Lets the check under way end: it passed at an address, or failed.
    pub(super) fn check(&mut self, id: &TargetId, outcome: Result<&str, Reason>) {
        self.report(id, outcome, Vec::new());
    }

    pub(super) fn report(
        &mut self,
        id: &TargetId,
        outcome: Result<&str, Reason>,
        strangers: Vec<Stranger>,
    ) {
        let known = (id.kind == Kind::Builder && outcome.is_ok()).then_some(true);
        let address = outcome.ok().map(str::to_owned);
        let outcome = outcome
            .map(|_| CheckStage::System)
            .map_err(|reason| (CheckStage::Connect, reason));
        self.end(id, outcome, address, known, strangers);
    }

    /// Lets the check under way of a builder end at `address`, where its host key is `known` or
    /// merely accepted.
    pub(super) fn proves(&mut self, id: &TargetId, address: &str, known: bool, fault: Reason) {
        let outcome = match fault {
            Reason::None => Ok(CheckStage::System),
            fault => Err((CheckStage::Auth, fault)),
        };
        let address = Some(address.to_owned());
        self.end(id, outcome, address, Some(known), Vec::new());
    }

    fn end(
        &mut self,
        id: &TargetId,
        outcome: Result<CheckStage, (CheckStage, Reason)>,
        address: Option<String>,
        known: Option<bool>,
        strangers: Vec<Stranger>,
    ) {
        let watched = &self.monitor.watched[id];
        let check = watched.running.as_ref().expect("it is checked").check;
        let session = Session::new(watched.spec.clone(), self.monitor.context.clone());
        let report = Report {
            address,
            elsewhere: false,
            outcome: outcome.map_err(|(stage, reason)| Failure {
                stage,
                reason,
                detail: "".into(),
            }),
            latency: Duration::from_millis(1),
            facts: None,
            details: Details::new(),
            signs: Signs {
                proved: known == Some(true),
                ..Signs::default()
            },
            strangers: Some(strangers),
        };
        self.turn(Input::Finished(vec![Finished {
            target: id.clone(),
            check,
            report,
            session,
        }]));
    }

    /// Waits for the next check of `id` and lets it end.
    pub(super) fn next(&mut self, id: &TargetId, outcome: Result<&str, Reason>) {
        while !self.is_checked(id) {
            let wake = self.monitor.health.next_wake().expect("a check is due");
            self.pass(wake.saturating_sub(self.now.boot));
        }
        self.check(id, outcome);
    }

    /// Lets the search under way end.
    pub(super) fn search(&mut self, id: &TargetId, found: Option<&str>) {
        self.search_meets(id, found, Vec::new());
    }

    pub(super) fn search_meets(
        &mut self,
        id: &TargetId,
        found: Option<&str>,
        strangers: Vec<Stranger>,
    ) {
        let number = self.number(id).expect("it is sought");
        let searched = Searched {
            target: id.clone(),
            number,
            search: SearchResult {
                found: found.map(|found| (found.parse().unwrap(), How::Mdns)),
                strangers,
                ..SearchResult::default()
            },
        };
        self.turn(Input::Searched(searched));
    }

    pub(super) fn discover(&mut self) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.turn(Input::Command(Command::Discover { reply }));
        answer
    }

    pub(super) fn published(&self, id: &TargetId) -> Target {
        let label = id.to_string();
        let snapshot = self.handle.snapshot();
        snapshot.find(&label).next().expect("it is watched").clone()
    }

    pub(super) fn state(&self, id: &TargetId) -> TargetState {
        self.published(id).state
    }
}

pub(super) type Answer = oneshot::Receiver<Result<Vec<TargetId>, DiscoverError>>;
