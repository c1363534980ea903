//! Has builders prove themselves when that is due ([`crate::proof`]), and keeps what came of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use data_encoding::HEXLOWER;
use offload_client::{
    JobState, Kind, Printable, Stage, TargetState,
    snapshot::{Facts, Target},
    test_build,
};
use ring::digest::{Context, SHA256};
use tokio::sync::watch;
use zbus::Connection;

use super::{Handle, thrift::Thrift};
use crate::{
    clock::Now,
    monitor,
    proof::Proofs,
    reason::{Weight, traits},
    report::{IDENTITY, SSH_SETUP, Tested},
    target::{BuilderSpec, SpecKind, TargetId, TargetSpec},
};

/// When it is asked again whether this machine can afford one, and whether there is room for one.
const LATER: Duration = Duration::from_secs(600);

/// Proves builders.
#[derive(Debug)]
pub struct Prover {
    monitor: monitor::Handle,
    jobs: Handle,
    thrift: Thrift,
    proofs: Proofs,
    told: watch::Sender<Proofs>,
    /// The builders that have proved themselves to this daemon, and what they were then.
    proved: BTreeMap<TargetId, Arc<TargetSpec>>,
    /// The jobs that have ended and are noted.
    noted: BTreeSet<u32>,
}

impl Prover {
    /// Starts what is due with `jobs`, by the `proofs` that there were. NetworkManager is asked on `bus`. All proofs, as
    /// they change.
    pub fn new(
        monitor: monitor::Handle,
        jobs: Handle,
        proofs: Proofs,
        bus: Option<Connection>,
    ) -> (Self, watch::Receiver<Proofs>) {
        let (told, receiver) = watch::channel(proofs.clone());
        let prover = Self {
            monitor,
            jobs,
            thrift: Thrift::new(bus),
            proofs,
            told,
            proved: BTreeMap::new(),
            noted: BTreeSet::new(),
        };
        (prover, receiver)
    }

    /// Works until the monitor is gone, or the jobs are.
    pub async fn run(mut self) {
        let mut snapshots = self.monitor.subscribe();
        let mut board = self.jobs.subscribe();
        let mut proving = self.monitor.proving();
        loop {
            // What comes from here on is looked at next time.
            snapshots.mark_unchanged();
            board.mark_unchanged();
            proving.mark_unchanged();
            let next = self.look().await;
            let now = Now::read().realtime_usec;
            let wait = next.map(|next| Duration::from_micros(next.saturating_sub(now)));
            let due = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            let changed = tokio::select! {
                changed = snapshots.changed() => changed,
                changed = board.changed() => changed,
                changed = proving.changed() => changed,
                () = due => Ok(()),
            };
            if changed.is_err() {
                return;
            }
        }
    }

    /// Notes what has ended, and starts what is due; when the next is.
    async fn look(&mut self) -> Option<u64> {
        let specs = self.monitor.specs().borrow().clone();
        let snapshot = self.monitor.snapshot();
        let nix = self.monitor.proving().borrow().clone();
        let targets = snapshot.targets.iter();
        let targets: BTreeMap<&str, &Target> = targets
            .filter(|target| target.kind == Kind::Builder)
            .map(|target| (&*target.name, target))
            .collect();
        let builders: Vec<_> = specs
            .iter()
            .filter_map(|spec| {
                let (builder, target) = (builder(spec)?, *targets.get(&*spec.id.name)?);
                Some((spec, target, setup(builder, target, &nix.version)))
            })
            .collect();
        let under_way = self.under_way();
        self.note_ended(|id| {
            let mut builders = builders.iter();
            let found = builders.find(|(spec, ..)| spec.id == *id);
            found.map(|(spec, _, setup)| (Arc::clone(spec), setup.clone()))
        });
        if !specs.is_empty() {
            let watched: BTreeSet<&TargetId> = specs.iter().map(|spec| &spec.id).collect();
            let is_watched = |id: &TargetId| watched.contains(id);
            self.proofs.keep(is_watched);
            self.proved.retain(|id, _| is_watched(id));
        }
        self.told.send_if_modified(|told| {
            let is_new = *told != self.proofs;
            told.clone_from(&self.proofs);
            is_new
        });
        let mut next: Option<u64> = None;
        // Of one under way the snapshot may have the end that is not noted yet: the board changes with it.
        let at_rest = builders
            .iter()
            .filter(|(spec, ..)| !under_way.contains(&spec.id));
        for (spec, target, setup) in at_rest {
            self.show(spec, target, setup).await;
            if !is_for_a_proof(target) {
                continue;
            }
            let now = Now::read().realtime_usec;
            let Some(mut due) = self.proofs.due(&spec.id, setup, nix.builds, now) else {
                continue;
            };
            let is_proved = self
                .proved
                .get(&spec.id)
                .is_some_and(|proved| proved == *spec);
            if target.state == TargetState::Unknown
                && !is_proved
                && self.proofs.holds(&spec.id, setup).is_some()
            {
                // What was kept proves nothing.
                due = now;
            }
            let due = if due <= now {
                self.prove(&spec.id, now).await
            } else {
                Some(due)
            };
            next = next.into_iter().chain(due).min();
        }
        next
    }

    /// Shows the last proof where it holds, and that one is to come where none does.
    async fn show(&self, spec: &TargetSpec, target: &Target, setup: &str) {
        let last = test_build::of(target);
        let id = spec.id.clone();
        match self.proofs.holds(&id, setup) {
            Some(proof) if last.is_none() => {
                let tested = Tested {
                    outcome: Ok(()),
                    blames: false,
                    place: Printable::default(),
                    detail: Printable::default(),
                    finished: proof.at,
                    took: Duration::from_micros(proof.took),
                };
                self.monitor.recalled(id, tested).await;
            }
            None if last.map_or(!test_build::is_yet_to_come(target), |last| {
                last.state == JobState::Succeeded
            }) =>
            {
                self.monitor.unproved(id).await;
            }
            Some(_) | None => {}
        }
    }

    /// Begins one where this machine can afford it; when to look again otherwise. Its end is told by the board.
    async fn prove(&self, builder: &TargetId, now: u64) -> Option<u64> {
        let later = now.saturating_add(LATER.as_micros() as u64);
        if let Some(why) = self.thrift.asks_to_wait().await {
            tracing::debug!("no test build of {builder} yet: {why}");
            return Some(later);
        }
        if self.under_way().contains(builder) {
            return None;
        }
        match self.jobs.start_unasked(builder).await {
            Ok(_) => None,
            Err(error) => {
                tracing::debug!("no test build of {builder}: {error}");
                Some(later)
            }
        }
    }

    /// The builders that have a job that has not ended.
    fn under_way(&self) -> BTreeSet<TargetId> {
        self.jobs.read(|board| {
            let running = board.iter().filter(|(_, job)| job.status.finished == 0);
            running.map(|(_, job)| job.status.builder.clone()).collect()
        })
    }

    /// Notes the jobs that have ended; one that was ended by somebody shows nothing.
    fn note_ended(&mut self, setup: impl Fn(&TargetId) -> Option<(Arc<TargetSpec>, String)>) {
        let ended: Vec<_> = self.jobs.read(|board| {
            let all = board.iter().filter(|(_, job)| job.status.finished != 0);
            all.map(|(number, job)| (number, job.status.clone()))
                .collect()
        });
        for (number, status) in &ended {
            if self.noted.insert(*number)
                && status.state != JobState::Cancelled
                && let Some((spec, setup)) = setup(&status.builder)
            {
                let passed = status.state == JobState::Succeeded;
                let took = status.finished.saturating_sub(status.started);
                self.proofs
                    .ended(&spec.id, &setup, status.finished, took, passed);
                if passed {
                    self.proved.insert(spec.id.clone(), spec);
                }
            }
        }
        self.noted
            .retain(|noted| ended.iter().any(|(number, _)| number == noted));
    }
}

/// A builder that Nix has.
fn builder(spec: &Arc<TargetSpec>) -> Option<&BuilderSpec> {
    match &spec.kind {
        SpecKind::Builder(builder) if !builder.store().is_empty() => Some(builder),
        SpecKind::Builder(_) | SpecKind::Cache(_) => None,
    }
}

/// Whether all that the checks can see is well, or what the last test build found is what is wrong.
fn is_for_a_proof(target: &Target) -> bool {
    match target.state {
        TargetState::Ready => true,
        TargetState::Degraded => target.stage == Stage::Build,
        TargetState::Unknown => {
            traits(target.reason).weight == Weight::Withheld && target.stage >= Stage::HostKey
        }
        TargetState::Down | TargetState::Away | TargetState::Paused => false,
    }
}

/// A digest of what Nix has of it, and of what it is.
fn setup(builder: &BuilderSpec, target: &Target, nix: &str) -> String {
    let mut digest = Context::new(&SHA256);
    let mut add = |text: &str| {
        digest.update(&(text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    };
    add(nix);
    for way in &builder.dispatch {
        add(&way.line);
    }
    if let Facts::Builder(facts) = &target.facts {
        add(&facts.nix_version);
        add(&facts.host_key_fingerprint);
    }
    // The key that logs in, and what ssh goes by.
    for detail in [IDENTITY, SSH_SETUP] {
        if let Some(told) = target.details.get(detail) {
            add(&told.to_string());
        }
    }
    let digest = digest.finish();
    HEXLOWER.encode(digest.as_ref().get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_key_and_another_answer_of_ssh_are_another_setup() {
        let builder = BuilderSpec::bare("desktop");
        let with = |details: &[(&str, &str)]| {
            let details = details.iter();
            let details = details.map(|(key, value)| ((*key).into(), (*value).into()));
            let target = Target {
                kind: Kind::Builder,
                details: details.collect(),
                ..Target::default()
            };
            setup(&builder, &target, "2.34.8")
        };
        let one = with(&[(IDENTITY, "/k"), (SSH_SETUP, "1")]);
        assert_eq!(
            one,
            with(&[(IDENTITY, "/k"), (SSH_SETUP, "1"), ("slots", "4")])
        );
        assert_ne!(one, with(&[(IDENTITY, "/l"), (SSH_SETUP, "1")]));
        assert_ne!(one, with(&[(IDENTITY, "/k"), (SSH_SETUP, "2")]));
    }
}
