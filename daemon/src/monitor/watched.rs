//! One target as the monitor holds it: what is configured, the kept session, what was learned.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use offload_client::{
    JobState, Printable, Reason, Stage,
    snapshot::{
        BuilderFacts, CacheFacts, Comparison, DETAIL_ERROR, Detail, Details, Facts, Target, Warning,
    },
};
use tokio::task::AbortHandle;

use crate::{
    drift::{self, Observed, Origin},
    health::{CheckId, TargetHealth},
    probe::{Context, Session},
    report::{Learned, Report, Signs, Tested},
    target::{SpecKind, TargetSpec},
    whereabouts::{Place, Sighting},
};

/// The words of a failed test build.
const TEST_BUILD_ERROR: &str = "test_build_error";

/// One target as the monitor holds it.
pub(super) struct Watched {
    /// What is configured.
    pub(super) spec: Arc<TargetSpec>,
    /// Its place in Nix's order.
    pub(super) position: usize,
    /// What is kept between checks; with the check while one is under way.
    pub(super) session: Option<Session>,
    pub(super) running: Option<Running>,
    /// Whether that is none of the addresses that Nix goes to.
    elsewhere: bool,
    /// What keeps Nix from it, though its checks pass.
    hindrance: Option<Warning>,
    facts: Facts,
    details: Details,
    signs: Signs,
    /// Both before the last check, until it is known whether that changed the verdict.
    before: Option<(Details, Signs)>,
    /// What the last test build showed; checks know nothing of it.
    test_build: Details,
}

/// A check under way.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) check: CheckId,
    pub(super) abort: AbortHandle,
    /// Whether its session may serve the next check too.
    pub(super) keep_session: bool,
}

impl Watched {
    pub(super) fn new(spec: TargetSpec, position: usize) -> Self {
        let spec = Arc::new(spec);
        Self {
            session: None,
            running: None,
            elsewhere: false,
            hindrance: None,
            facts: configured(&spec.kind),
            details: BTreeMap::new(),
            signs: Signs::default(),
            before: None,
            test_build: BTreeMap::new(),
            spec,
            position,
        }
    }

    /// What the next check uses: what the last one has kept, or a session without connections.
    pub(super) fn take_session(
        &mut self,
        checked_by: &Arc<TargetSpec>,
        context: &Arc<Context>,
    ) -> Session {
        let new = || Session::new(checked_by.clone(), context.clone());
        self.session.take().unwrap_or_else(new)
    }

    /// Whatever is kept of the addresses that it was checked at goes.
    pub(super) fn let_go(&mut self) {
        self.session = None;
        if let Some(running) = &mut self.running {
            running.keep_session = false;
        }
    }

    /// Keeps what a check learned; gives back what the health core judges.
    pub(super) fn learn(&mut self, report: Report) -> (Result<Stage, (Stage, Reason)>, Duration) {
        if let Err(failure) = &report.outcome
            && failure.reason == Reason::OutOfResources
        {
            // It could not look: what is known is what it was.
            let (outcome, detail) = ((failure.stage, failure.reason), failure.detail.clone());
            self.details.insert(DETAIL_ERROR.into(), detail.into());
            return (Err(outcome), report.latency);
        }
        match report.facts {
            Some(Learned::Cache(facts)) => self.facts = Facts::Cache(facts),
            Some(Learned::Builder(facts)) => self.facts = Facts::Builder(facts),
            None => {}
        }
        let before = (
            std::mem::replace(&mut self.details, report.details),
            std::mem::replace(&mut self.signs, report.signs),
        );
        self.before = report.outcome.is_err().then_some(before);
        if report.outcome.is_ok() {
            self.elsewhere = report.elsewhere;
        }
        let outcome = report.outcome.map_err(|failure| {
            self.details
                .insert(DETAIL_ERROR.into(), failure.detail.into());
            (failure.stage, failure.reason)
        });
        (outcome, report.latency)
    }

    /// The health core has judged the last check, which failed for `reason`, and `published` stands: what explains a
    /// verdict stays with it.
    pub(super) fn judged(&mut self, reason: Reason, published: Reason) {
        let before = self.before.take();
        if published != Reason::None
            && published != reason
            && let Some(before) = before
        {
            (self.details, self.signs) = before;
        }
    }

    /// Keeps what a test build showed, beside what the checks learn.
    pub(super) fn tested(&mut self, tested: Tested) {
        let (state, reason) = match tested.outcome {
            Ok(()) => (JobState::Succeeded, Reason::None),
            Err(reason) => (JobState::Failed, reason),
        };
        let took = u64::try_from(tested.took.as_micros()).unwrap_or(u64::MAX);
        self.test_build = [
            ("test_build", Detail::from(state.as_str())),
            ("test_build_reason", reason.as_str().into()),
            ("test_build_timestamp", tested.finished.into()),
            ("test_build_usec", took.into()),
            ("test_build_place", tested.place.into()),
            (TEST_BUILD_ERROR, tested.detail.into()),
        ]
        .map(|(key, detail)| (key.into(), detail))
        .into();
    }

    /// What the last test build showed is of something else: another is to come.
    pub(super) fn unproved(&mut self) {
        self.test_build = [("test_build".into(), Detail::from(""))].into();
    }

    /// Holds what is known of it against its `origin`, as if its checks pass now: why Nix does not go there.
    pub(super) fn hinder(&mut self, origin: Option<&Origin>, place: &Place) -> Option<Reason> {
        self.hindrance = origin.and_then(|origin| {
            let seen = self.observed(place, true);
            drift::hindrance(&self.spec.id, origin, &seen)
        });
        self.hindrance.as_ref()?.code.hinders()
    }

    /// What keeps Nix from it, where that is what `reason` says.
    fn hindered(&self, reason: Reason) -> Option<&Warning> {
        let hindrance = self.hindrance.as_ref();
        hindrance.filter(|hindrance| hindrance.code.hinders() == Some(reason))
    }

    /// The particulars of a failure for `reason`: the last check's, or the last test build's.
    pub(super) fn failure(&self, reason: Reason) -> &str {
        let failure = match (self.hindered(reason), self.build_failure(reason)) {
            (Some(hindrance), _) => hindrance.details.get(DETAIL_ERROR),
            (None, Some(failure)) => Some(failure),
            (None, None) => self.details.get(DETAIL_ERROR),
        };
        match failure {
            Some(Detail::Text(text)) => text,
            _ => "",
        }
    }

    fn build_failure(&self, reason: Reason) -> Option<&Detail> {
        let of_build = self.test_build.get("test_build_reason");
        of_build.filter(|of_build| **of_build == Detail::from(reason.as_str()))?;
        self.test_build.get(TEST_BUILD_ERROR)
    }

    /// What the last check learned and the last test build showed. Where that, or what keeps Nix away, is
    /// what makes the target less than ready, its words are the target's.
    fn described(&self, health: &TargetHealth) -> Details {
        let mut details = self.details.clone();
        details.extend(self.test_build.clone());
        if health.stage == Stage::Build
            && let Some(failure) = self.build_failure(health.reason)
        {
            details.insert(DETAIL_ERROR.into(), failure.clone());
        }
        if let Some(hindrance) = self.hindered(health.reason) {
            details.remove(DETAIL_ERROR);
            details.extend(hindrance.details.clone());
        }
        details
    }

    /// What checks and searches have shown of it; whether its checks pass now, the health core knows.
    pub(super) fn observed(&self, place: &Place, passes: bool) -> Observed {
        let known = |text: &Printable| (!text.is_empty()).then(|| text.clone());
        let (key, priority) = match &self.facts {
            // Before a check has learned of a store directory, its priority is nobody's word.
            Facts::Cache(facts) => (
                known(&facts.signing_key),
                (!facts.store_dir.is_empty()).then_some(facts.priority),
            ),
            Facts::Builder(facts) => (known(&facts.host_key_fingerprint), None),
        };
        Observed {
            passes,
            elsewhere: self.elsewhere,
            steered: self.signs.steered,
            address: place.answered().cloned(),
            key,
            priority,
            ssh_config: self.signs.ssh_config.clone(),
            host_key_known: self.signs.host_key_known,
            unsupported: self.signs.unsupported.clone(),
            strangers: place.strangers(),
            stale_misses: self.signs.stale_misses,
            stale_hits: self.signs.stale_hits,
            scarce: self.signs.scarce.clone(),
        }
    }

    pub(super) fn describe(
        &self,
        health: &TargetHealth,
        place: &Place,
        layers: Vec<Comparison>,
    ) -> Target {
        Target {
            name: self.spec.id.name.clone(),
            kind: self.spec.id.kind,
            uri: self.spec.uri.clone(),
            address: place.address().clone(),
            state: health.state,
            reason: health.reason,
            stage: health.stage,
            state_change_timestamp: health.since.realtime_usec,
            state_change_timestamp_monotonic: health.since.monotonic_usec,
            last_check_timestamp: health.last_check,
            last_success_timestamp: health.last_success,
            next_check_timestamp: health.next_check,
            latency_usec: health.latency.as_micros() as u64,
            consecutive_failures: health.consecutive_failures,
            waking: false,
            disagreements: health.disagreements,
            facts: self.facts.clone(),
            details: self.described(health),
            elsewhere: place.elsewhere(),
            layers,
        }
    }
}

/// What a check shows of where its target is; nothing where it could not look.
pub(super) fn sighting(report: &Report) -> Option<Sighting> {
    if let Err(failure) = &report.outcome
        && failure.reason == Reason::OutOfResources
    {
        return None;
    }
    Some(Sighting {
        address: report.address.clone(),
        passed: report.outcome.is_ok(),
        proved: report.signs.proved,
        proxied: report.signs.proxied,
        station: report.signs.station.clone(),
        signing_key: match &report.facts {
            Some(Learned::Cache(facts)) => Some(facts.signing_key.clone()),
            Some(Learned::Builder(_)) | None => None,
        },
        strangers: report.strangers.clone(),
    })
}

/// What is known of a target before its first check.
fn configured(kind: &SpecKind) -> Facts {
    match kind {
        SpecKind::Cache(_) => Facts::Cache(CacheFacts::default()),
        SpecKind::Builder(spec) => Facts::Builder(BuilderFacts {
            protocol: spec.protocol.as_str().into(),
            systems: spec.systems.clone(),
            features: spec.features.clone(),
            max_jobs: spec.max_jobs,
            speed_factor: spec.speed_factor,
            trusted: "unknown".into(),
            ..BuilderFacts::default()
        }),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use offload_client::{Kind, WarningCode};

    use super::*;
    use crate::{
        clock::Now,
        config::Poll,
        monitor::{Monitor, tests::desktop},
        plan::Plan,
    };

    pub(in crate::monitor) fn report(signs: Signs) -> Report {
        Report {
            outcome: Ok(Stage::Auth),
            latency: Duration::ZERO,
            address: None,
            elsewhere: false,
            facts: None,
            details: Details::new(),
            signs,
            strangers: None,
        }
    }

    #[tokio::test]
    async fn an_ssh_option_that_is_not_honoured_is_warned_of_while_it_is_there() {
        let spec = desktop();
        let id = spec.id.clone();
        let plan = Plan {
            targets: vec![spec],
            ..Plan::default()
        };
        let (mut monitor, handle) = Monitor::new(plan, Poll::default(), None).unwrap();
        let mut told = |unsupported: &[&str]| {
            let unsupported = unsupported.iter().map(|option| (*option).into()).collect();
            let signs = Signs {
                unsupported,
                ..Signs::default()
            };
            let watched = monitor.watched.get_mut(&id).unwrap();
            assert_eq!(watched.learn(report(signs)).0, Ok(Stage::Auth));
            monitor.touched.insert(id.clone());
            monitor.publish(Now::read());
            handle.snapshot().warnings.clone()
        };
        assert_eq!(told(&[]), []);
        let options = ["bindaddress 192.0.2.1", "checkhostip yes"];
        let found = told(&options);
        let expected = Warning {
            code: WarningCode::SshOptionIgnored,
            target: Some((Kind::Builder, "desktop".into())),
            details: BTreeMap::from([("option".into(), options.to_vec().into())]),
        };
        assert_eq!(found, [expected]);
        let words = offload_client::warnings::explanation_for(&found[0]);
        assert!(
            words.contains("bindaddress 192.0.2.1, checkhostip yes"),
            "{words}"
        );
        assert_eq!(told(&[]), []);
    }
}
