//! One target as the monitor holds it: what is configured, the kept session, what was learned.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use offload_client::{
    Reason, Stage,
    snapshot::{BuilderFacts, CacheFacts, DETAIL_ERROR, Detail, Facts, Target},
};
use tokio::task::AbortHandle;

use crate::{
    health::{CheckId, TargetHealth},
    probe::{Learned, Report, Session},
    target::{SpecKind, TargetSpec},
};

/// One target as the monitor holds it.
pub(super) struct Watched {
    pub(super) spec: Arc<TargetSpec>,
    /// What is kept between checks; with the check while one is under way.
    pub(super) session: Option<Session>,
    pub(super) running: Option<Running>,
    address: String,
    /// Whether `address` is of a check.
    located: bool,
    facts: Facts,
    details: BTreeMap<String, Detail>,
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
    pub(super) fn new(spec: TargetSpec) -> Self {
        Self {
            session: None,
            running: None,
            address: first_address(&spec),
            located: false,
            facts: configured(&spec.kind),
            details: BTreeMap::new(),
            spec: Arc::new(spec),
        }
    }

    /// Keeps what a check learned; gives back what the health core judges.
    pub(super) fn learn(&mut self, report: Report) -> (Result<Stage, (Stage, Reason)>, Duration) {
        // Where it answered, or, before it ever did, where it was first looked for: the others that
        // a failed check has tried on its way are no news.
        if let Some(address) = report.address
            && (report.outcome.is_ok() || !self.located)
        {
            self.address = address;
            self.located = true;
        }
        match report.facts {
            Some(Learned::Cache(facts)) => self.facts = Facts::Cache(facts),
            Some(Learned::Builder(facts)) => self.facts = Facts::Builder(facts),
            None => {}
        }
        self.details = report.details;
        let outcome = report.outcome.map_err(|failure| {
            self.details
                .insert(DETAIL_ERROR.to_owned(), failure.detail.into());
            (failure.stage, failure.reason)
        });
        (outcome, report.latency)
    }

    /// The particulars of the last check's failure.
    pub(super) fn failure(&self) -> &str {
        match self.details.get(DETAIL_ERROR) {
            Some(Detail::Text(text)) => text,
            _ => "",
        }
    }

    pub(super) fn describe(&self, health: &TargetHealth) -> Target {
        Target {
            name: self.spec.id.name.to_string(),
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
            details: self.details.clone(),
        }
    }
}

/// What is known of a target before its first check.
fn configured(kind: &SpecKind) -> Facts {
    match kind {
        SpecKind::Cache(_) => Facts::Cache(CacheFacts::default()),
        SpecKind::Builder(spec) => Facts::Builder(BuilderFacts {
            protocol: spec.protocol.as_str().to_owned(),
            systems: spec.systems.clone(),
            features: spec.features.clone(),
            max_jobs: spec.max_jobs,
            speed_factor: spec.speed_factor,
            trusted: "unknown".to_owned(),
            ..BuilderFacts::default()
        }),
    }
}

fn first_address(spec: &TargetSpec) -> String {
    let port = match &spec.kind {
        SpecKind::Cache(cache) => cache.port,
        SpecKind::Builder(builder) => builder.port.unwrap_or(22),
    };
    spec.addresses.first().map_or_else(String::new, |address| {
        let port = address.port.unwrap_or(port);
        if address.host.contains(':') {
            format!("[{}]:{port}", address.host)
        } else {
            format!("{}:{port}", address.host)
        }
    })
}
