//! All figures at one moment, and their text: OpenMetrics, or Prometheus' own older format, which node_exporter reads.
//!
//! A state is a row for each that there is, of which one is 1: an alert goes by a series that never goes away. Times are
//! seconds since 1970; what never was has no row.

mod families;

use std::{collections::BTreeMap, fmt, sync::Arc};

use offload_client::{
    JobState, Kind, OverallState, Reason, Snapshot, TargetState,
    snapshot::{Detail, Facts, Target},
    test_build,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, prometheus_text, text},
    registry::{Registry, Unit},
};

use self::families::{Families, Label, Labels};
use super::process::Usage;
use crate::{
    gateway::{self, Answered},
    health::Counts,
    target::TargetId,
};

/// How figures are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    OpenMetrics,
    Prometheus,
}

impl Format {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// All figures at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Exposition {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) counts: BTreeMap<TargetId, Counts>,
    /// Nothing where there is no gateway.
    pub(super) gateway: Option<Arc<gateway::Counts>>,
    pub(super) process: Usage,
}

impl Exposition {
    /// Its text.
    pub(super) fn write(self, format: Format) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut written = String::new();
        // A string takes whatever is written.
        let _ = match format {
            Format::OpenMetrics => text::encode(&mut written, &registry),
            Format::Prometheus => prometheus_text::encode(&mut written, &registry),
        };
        written
    }

    fn targets(&self) -> impl Iterator<Item = (Labels<'_>, &Target)> {
        self.snapshot.targets.iter().map(|it| (labels(it), it))
    }

    fn counts(&self) -> impl Iterator<Item = (Labels<'_>, &Counts)> {
        // In the order of the targets, and of none that is there no more.
        self.targets().filter_map(|(labels, target)| {
            let id = TargetId {
                kind: target.kind,
                name: target.name.clone(),
            };
            Some((labels, self.counts.get(&id)?))
        })
    }

    fn of_all(&self, out: &mut Families) -> fmt::Result {
        let version = [("version", self.snapshot.version.as_str())];
        out.gauge(
            "offloadd_build_info",
            "Which offloadd this is",
            None,
            [(version, 1.0)],
        )?;
        let states = OverallState::ALL.iter();
        out.gauge(
            "offloadd_state",
            "The verdict over all targets: 1 at the state that it is",
            None,
            states.map(|state| {
                let is = *state == self.snapshot.state;
                ([("state", state.as_str())], flag(is))
            }),
        )?;
        out.gauge(
            "offloadd_warnings",
            "Differences and faults that are no target's state, of each kind",
            None,
            self.warnings()
                .into_iter()
                .map(|(code, count)| ([("code", code)], count)),
        )
    }

    fn warnings(&self) -> BTreeMap<&'static str, f64> {
        let mut counted = BTreeMap::new();
        for warning in &self.snapshot.warnings {
            *counted.entry(warning.code.as_str()).or_default() += 1.0;
        }
        counted
    }

    fn of_targets(&self, out: &mut Families) -> fmt::Result {
        let states = self.targets().flat_map(|([kind, name], target)| {
            TargetState::ALL.iter().map(move |state| {
                let is = *state == target.state;
                ([kind, name, ("state", state.as_str())], flag(is))
            })
        });
        out.gauge(
            "offloadd_target_state",
            "The verdict over a target: 1 at the state that it is",
            None,
            states,
        )?;
        let reasons = self.targets().filter(|(_, it)| it.reason != Reason::None);
        out.gauge(
            "offloadd_target_reason",
            "Why a target is not ready",
            None,
            reasons.map(|([kind, name], it)| ([kind, name, ("reason", it.reason.as_str())], 1.0)),
        )?;
        let times: [(_, _, Time); 3] = [
            (
                "offloadd_target_state_change_timestamp",
                "When its state last changed",
                |it| it.state_change_timestamp,
            ),
            (
                "offloadd_target_last_check_timestamp",
                "When its last check ended",
                |it| it.last_check_timestamp,
            ),
            (
                "offloadd_target_last_success_timestamp",
                "When a check of it last passed",
                |it| it.last_success_timestamp,
            ),
        ];
        for (name, help, time) in times {
            let known = self.targets().map(|(labels, it)| (labels, time(it)));
            out.times(name, help, known)?;
        }
        Ok(())
    }

    fn of_checks(&self, out: &mut Families) -> fmt::Result {
        out.histogram(
            "offloadd_check_duration",
            "How long its checks took that passed",
            self.counts(),
        )?;
        let failed = self.counts().map(|(labels, it)| (labels, it.failed.into()));
        out.counter(
            "offloadd_checks_failed",
            "Its checks that failed",
            None,
            failed,
        )?;
        let disagreed = self.targets();
        let disagreed = disagreed.map(|(labels, it)| (labels, it.disagreements.into()));
        out.counter(
            "offloadd_disagreements",
            "How often Nix itself said otherwise than its checks",
            None,
            disagreed,
        )?;
        let became = self.counts().flat_map(|([kind, name], counts)| {
            let states = TargetState::ALL.iter().zip(counts.became);
            states
                .map(move |(state, count)| ([kind, name, ("state", state.as_str())], count.into()))
        });
        out.counter(
            "offloadd_target_transitions",
            "How often it came to be in a state",
            None,
            became,
        )
    }

    fn of_builders(&self, out: &mut Families) -> fmt::Result {
        let builders = || self.targets().filter(|(_, it)| it.kind == Kind::Builder);
        let slots = builders().filter_map(|(labels, it)| match &it.facts {
            Facts::Builder(facts) => Some((labels, facts.max_jobs.into())),
            Facts::Cache(_) => None,
        });
        out.gauge(
            "offloadd_builder_slots",
            "How many builds Nix hands it at once",
            None,
            slots,
        )?;
        let used = builders().filter_map(|(labels, it)| match it.details.get("slots_in_use") {
            Some(Detail::Uint(used)) => Some((labels, *used as f64)),
            _ => None,
        });
        out.gauge(
            "offloadd_builder_slots_in_use",
            "How many of them this machine's Nix held at the last check, where that is known",
            None,
            used,
        )?;
        let tested = || builders().filter_map(|(labels, it)| Some((labels, test_build::of(it)?)));
        out.times(
            "offloadd_builder_test_build_timestamp",
            "When Nix last built something there as a test",
            tested().map(|(labels, build)| (labels, build.timestamp)),
        )?;
        out.gauge(
            "offloadd_builder_test_build_passed",
            "Whether that went well",
            None,
            tested().map(|(labels, build)| (labels, flag(build.state == JobState::Succeeded))),
        )
    }

    fn of_gateway(&self, out: &mut Families) -> fmt::Result {
        let Some(counts) = &self.gateway else {
            return Ok(());
        };
        let answers = Answered::ALL.iter();
        out.counter(
            "offloadd_gateway_answers",
            "What Nix was answered; nobody-there is what it would have waited for",
            None,
            answers.map(|it| ([("answer", it.as_str())], counts.of(*it) as f64)),
        )
    }

    fn of_process(&self, out: &mut Families) -> fmt::Result {
        let Usage {
            started,
            processor,
            resident,
        } = self.process;
        out.times(
            "process_start_time",
            "When this offloadd was started",
            [([NOTHING; 0], started)],
        )?;
        out.counter(
            "process_cpu",
            "Processor time that it has used",
            Some(Unit::Seconds),
            [([NOTHING; 0], processor.as_secs_f64())],
        )?;
        let resident = resident.map(|bytes| ([NOTHING; 0], bytes as f64));
        out.gauge(
            "process_resident_memory",
            "Memory that it has",
            Some(Unit::Bytes),
            resident,
        )
    }
}

impl Collector for Exposition {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut out = Families(encoder);
        self.of_all(&mut out)?;
        self.of_targets(&mut out)?;
        self.of_checks(&mut out)?;
        self.of_builders(&mut out)?;
        self.of_gateway(&mut out)?;
        self.of_process(&mut out)
    }
}

/// Microseconds of `CLOCK_REALTIME`, 0 for never.
type Time = fn(&Target) -> u64;
const NOTHING: Label = ("", "");

fn labels(target: &Target) -> Labels<'_> {
    [
        ("kind", target.kind.as_str()),
        ("name", target.name.as_str()),
    ]
}

fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use offload_client::{Printable, WarningCode, snapshot::Warning};

    use super::*;

    fn exposition() -> Exposition {
        let builder = Target {
            // Whatever a person calls it.
            name: Printable::from("desk\"\\top"),
            kind: Kind::Builder,
            state: TargetState::Degraded,
            reason: Reason::AuthRejected,
            last_check_timestamp: 1_700_000_000_500_000,
            facts: Facts::Builder(offload_client::snapshot::BuilderFacts {
                max_jobs: 4,
                ..Default::default()
            }),
            details: [("slots_in_use".into(), 1.into())].into(),
            ..Target::default()
        };
        let counts = Counts {
            passed_within: [0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            passed_in: Duration::from_millis(7_503),
            failed: 5,
            became: [0, 1, 2, 0, 0, 0],
        };
        let id = TargetId {
            kind: builder.kind,
            name: builder.name.clone(),
        };
        Exposition {
            snapshot: Arc::new(Snapshot {
                version: "1.2.3".into(),
                state: OverallState::Offline,
                targets: vec![builder].into(),
                warnings: vec![Warning {
                    code: WarningCode::AddressMismatch,
                    ..Warning::default()
                }],
                ..Snapshot::default()
            }),
            counts: [(id, counts)].into(),
            gateway: Some(Arc::default()),
            process: Usage {
                started: 1_700_000_000_000_000,
                processor: Duration::from_millis(1_250),
                resident: Some(8 << 20),
            },
        }
    }

    #[test]
    fn all_that_is_known_has_its_figure() {
        let expected = include_str!("expected.txt");
        let written = exposition().write(Format::OpenMetrics);
        assert!(written == expected, "{written}");
    }

    #[test]
    fn node_exporter_knows_no_other_type_and_no_end() {
        let written = exposition().write(Format::Prometheus);
        assert!(
            !written.contains("# EOF") && !written.contains("# UNIT"),
            "{written}"
        );
        let types = written.lines().filter(|line| line.starts_with("# TYPE"));
        let known = ["counter", "gauge", "histogram"];
        for line in types {
            assert!(known.iter().any(|it| line.ends_with(it)), "{line}");
        }
    }
}
