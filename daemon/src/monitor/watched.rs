//! One target as the monitor holds it: what is configured, the kept session, what was learned.

mod place;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use offload_client::{
    JobState, Printable, Reason, Stage,
    snapshot::{
        BuilderFacts, CacheFacts, Comparison, DETAIL_ERROR, Detail, Details, Facts, Target, Warning,
    },
};
use tokio::task::AbortHandle;

use self::place::{Found, first_address};
use super::{outlook::Outlook, seek::Searching};
use crate::{
    drift::{self, Observed, Origin},
    health::{CheckId, TargetHealth},
    probe::{
        Context, Learned, Report, Session, Stranger,
        builder::{DETAIL_PROVED, DETAIL_STEERED, DETAIL_UNSUPPORTED},
        cache::has_identity,
    },
    report::Tested,
    target::{CacheSpec, SpecKind, TargetSpec},
};

/// The words of a failed test build.
const TEST_BUILD_ERROR: &str = "test_build_error";

/// The detail of a builder that is reached through a proxy command.
const DETAIL_PROXY: &str = "proxy";

/// So many strangers of one check or search are told of: more are no help to anybody.
const MAX_STRANGERS: usize = 16;

/// One target as the monitor holds it.
pub(super) struct Watched {
    /// What is configured.
    pub(super) spec: Arc<TargetSpec>,
    /// Its place in Nix's order.
    pub(super) position: usize,
    /// Where it was found, where that is none of its own addresses.
    found: Option<Found>,
    /// What it is checked by: `spec`, with `found` behind its own addresses.
    pub(super) checked_by: Arc<TargetSpec>,
    /// A search under way.
    pub(super) searching: Option<Searching>,
    /// What the networks of this machine mean to it.
    pub(super) outlook: Outlook,
    /// What is kept between checks; with the check while one is under way.
    pub(super) session: Option<Session>,
    pub(super) running: Option<Running>,
    address: Printable,
    /// Whether `address` is of a check.
    located: bool,
    /// Whether it has answered there.
    answered: bool,
    /// Whether that is none of the addresses that Nix goes to.
    elsewhere: bool,
    /// What keeps Nix from it, though its checks pass.
    hindrance: Option<Warning>,
    /// Where the last check saw it prove a host key that is known.
    proved: Option<IpAddr>,
    /// Who else answered: to the last deep check, and to the last search.
    strangers: [Vec<Stranger>; 2],
    /// Whether the check of what the last search found is still to come.
    has_news: bool,
    facts: Facts,
    details: Details,
    /// The same before the last check, until it is known whether that changed the verdict.
    details_before: Option<Details>,
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
            address: first_address(&spec),
            located: false,
            answered: false,
            elsewhere: false,
            hindrance: None,
            proved: None,
            strangers: [Vec::new(), Vec::new()],
            has_news: false,
            facts: configured(&spec.kind),
            details: BTreeMap::new(),
            details_before: None,
            test_build: BTreeMap::new(),
            found: None,
            checked_by: spec.clone(),
            searching: None,
            outlook: Outlook::default(),
            spec,
            position,
        }
    }

    /// What the next check uses: what the last one has kept, or a session without connections.
    pub(super) fn take_session(&mut self, context: &Arc<Context>) -> Session {
        let new = || Session::new(self.checked_by.clone(), context.clone());
        self.session.take().unwrap_or_else(new)
    }

    /// What a search is to look for: a cache that has shown with which key it signs is known by that
    /// one. Nix may trust others, and each of them is some other cache's.
    pub(super) fn known_by(&self) -> Arc<TargetSpec> {
        let (SpecKind::Cache(cache), Facts::Cache(facts)) = (&self.spec.kind, &self.facts) else {
            return self.spec.clone();
        };
        if cache.public_keys.len() < 2
            || !cache
                .public_keys
                .iter()
                .any(|key| *key == facts.signing_key)
        {
            return self.spec.clone();
        }
        let cache = CacheSpec {
            public_keys: vec![facts.signing_key.to_string()],
            ..cache.clone()
        };
        Arc::new(TargetSpec {
            kind: SpecKind::Cache(cache),
            ..TargetSpec::clone(&self.spec)
        })
    }

    /// Whether something can prove who it is, where it is no builder.
    pub(super) fn is_cache_with_identity(&self) -> bool {
        match &self.known_by().kind {
            SpecKind::Cache(cache) => has_identity(cache),
            SpecKind::Builder(_) => false,
        }
    }

    /// Keeps whom a search met in its place, instead of whom an earlier one met: until the next deep
    /// check passes that is not the one of what this search `has_found`.
    pub(super) fn met(&mut self, mut strangers: Vec<Stranger>, has_found: bool) {
        strangers.truncate(MAX_STRANGERS);
        self.strangers[1] = strangers;
        self.has_news = has_found;
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
        let is_proved = report.details.get(DETAIL_PROVED) == Some(&Detail::Bool(true));
        self.locate(report.address, report.outcome.is_ok(), is_proved);
        if let Some(mut strangers) = report.strangers {
            strangers.truncate(MAX_STRANGERS);
            self.strangers[0] = strangers;
            if report.outcome.is_ok() && !std::mem::take(&mut self.has_news) {
                self.strangers[1].clear();
            }
        }
        match report.facts {
            Some(Learned::Cache(facts)) => self.facts = Facts::Cache(facts),
            Some(Learned::Builder(facts)) => self.facts = Facts::Builder(facts),
            None => {}
        }
        self.details_before = Some(std::mem::replace(&mut self.details, report.details));
        if report.outcome.is_ok() {
            self.elsewhere = report.elsewhere;
            self.come_home();
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
        let before = self.details_before.take();
        if published != Reason::None && published != reason {
            self.details = before.unwrap_or_else(|| std::mem::take(&mut self.details));
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

    /// Holds what is known of it against its `origin`, as if its checks pass now: why Nix does not go there.
    pub(super) fn hinder(&mut self, origin: Option<&Origin>) -> Option<Reason> {
        self.hindrance = origin.and_then(|origin| {
            let seen = self.observed(true);
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
    pub(super) fn observed(&self, passes: bool) -> Observed {
        let known = |text: &Printable| (!text.is_empty()).then(|| text.clone());
        let (key, priority) = match &self.facts {
            // Before a check has learned of a store directory, its priority is nobody's word.
            Facts::Cache(facts) => (
                known(&facts.signing_key),
                (!facts.store_dir.is_empty()).then_some(facts.priority),
            ),
            Facts::Builder(facts) => (known(&facts.host_key_fingerprint), None),
        };
        let mut strangers = self.strangers[0].clone();
        for met in &self.strangers[1] {
            if !strangers.iter().any(|known| known.address == met.address) {
                strangers.push(met.clone());
            }
        }
        Observed {
            passes,
            elsewhere: self.elsewhere,
            steered: self.details.get(DETAIL_STEERED) == Some(&Detail::Bool(true)),
            address: self.answered.then(|| self.address.clone()),
            key,
            priority,
            ssh_config: match self.details.get("ssh_config_host") {
                Some(Detail::Text(host)) => Some(host.clone()),
                _ => None,
            },
            host_key_known: match self.details.get("host_key_known") {
                Some(Detail::Bool(known)) => Some(*known),
                _ => None,
            },
            unsupported: self.details.get(DETAIL_UNSUPPORTED).cloned(),
            strangers,
            stale_misses: match self.details.get("stale_misses") {
                Some(Detail::Uint(misses)) => *misses,
                _ => 0,
            },
        }
    }

    pub(super) fn describe(&self, health: &TargetHealth, layers: Vec<Comparison>) -> Target {
        Target {
            name: self.spec.id.name.clone(),
            kind: self.spec.id.kind,
            uri: self.spec.uri.clone(),
            address: self.address.clone(),
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
            facts: self.facts.clone(),
            details: self.described(health),
            layers,
        }
    }
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

    pub(in crate::monitor) fn report(details: Details) -> Report {
        Report {
            outcome: Ok(Stage::Auth),
            latency: Duration::ZERO,
            address: None,
            elsewhere: false,
            facts: None,
            details,
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
        let mut told = |details| {
            let watched = monitor.watched.get_mut(&id).unwrap();
            assert_eq!(watched.learn(report(details)).0, Ok(Stage::Auth));
            monitor.touched.insert(id.clone());
            monitor.publish(Now::read());
            handle.snapshot().warnings.clone()
        };
        assert_eq!(told(BTreeMap::new()), []);
        let options = Detail::List(vec![
            "bindaddress 192.0.2.1".into(),
            "checkhostip yes".into(),
        ]);
        let found = told(BTreeMap::from([(
            DETAIL_UNSUPPORTED.into(),
            options.clone(),
        )]));
        let expected = Warning {
            code: WarningCode::SshOptionIgnored,
            target: Some((Kind::Builder, "desktop".into())),
            details: BTreeMap::from([("option".into(), options)]),
        };
        assert_eq!(found, [expected]);
        let words = offload_client::warnings::explanation_for(&found[0]);
        assert!(
            words.contains("bindaddress 192.0.2.1, checkhostip yes"),
            "{words}"
        );
        assert_eq!(told(BTreeMap::new()), []);
    }
}
