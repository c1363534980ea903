//! `org.offloadd.Offload1.Target`, `.Cache` and `.Builder`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use offload_client::{
    Printable,
    snapshot::{BuilderFacts, CacheFacts, Facts, Target},
};
use zbus::{Connection, ObjectServer, OwnedObjectPath, interface, message::Header};

use super::{
    authority::Authority,
    job,
    polkit::Action,
    refused::Refused,
    values::{self, Dict},
};
use crate::{build, monitor::Handle, target::TargetId};

/// One target on the bus. The same value serves the interface that caches and builders share and
/// the one that only its kind has.
#[derive(Clone)]
pub(super) struct TargetObject {
    pub(super) id: TargetId,
    pub(super) monitor: Handle,
    /// Its place in the snapshot when it was last read.
    pub(super) place: Arc<AtomicUsize>,
    pub(super) authority: Authority,
}

/// What only a cache has.
pub(super) struct CacheObject(pub(super) TargetObject);

/// What only a builder has.
pub(super) struct BuilderObject {
    pub(super) target: TargetObject,
    pub(super) jobs: build::Handle,
}

impl TargetObject {
    /// Reads the target; what is not set where it is gone, which its object is about to be too.
    fn read<T: Default>(&self, read: impl FnOnce(&Target) -> T) -> T {
        let snapshot = self.monitor.snapshot();
        let targets = &snapshot.targets;
        let is_it = |target: &Target| target.kind == self.id.kind && *target.name == *self.id.name;
        // Mostly where it was: whoever reads every property of every target makes no square of it.
        let place = targets.get(self.place.load(Relaxed));
        let found = place.filter(|target| is_it(target)).or_else(|| {
            let place = targets.iter().position(is_it)?;
            self.place.store(place, Relaxed);
            targets.get(place)
        });
        found.map_or_else(T::default, read)
    }
}

impl CacheObject {
    fn read<T: Default>(&self, read: impl FnOnce(&CacheFacts) -> T) -> T {
        self.0.read(|target| match &target.facts {
            Facts::Cache(facts) => read(facts),
            Facts::Builder(_) => T::default(),
        })
    }
}

impl BuilderObject {
    fn read<T: Default>(&self, read: impl FnOnce(&BuilderFacts) -> T) -> T {
        self.target.read(|target| match &target.facts {
            Facts::Builder(facts) => read(facts),
            Facts::Cache(_) => T::default(),
        })
    }
}

#[interface(name = "org.offloadd.Offload1.Target", introspection_docs = false)]
impl TargetObject {
    /// Checks this target and answers with its state.
    #[zbus(out_args("state"))]
    async fn check(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<String, Refused> {
        self.authority
            .require(connection, &header, Action::Check)
            .await?;
        self.monitor.check(Some(self.id.clone())).await?;
        Ok(self.read(|target| target.state.to_string()))
    }

    /// The last `max` changes that are kept, newest first: time, state, reason, latency.
    #[zbus(out_args("entries"))]
    async fn get_history(&self, max: u32) -> Vec<(u64, String, String, u64)> {
        let history = self.monitor.history(self.id.clone(), max as usize).await;
        let entries = history.into_iter();
        let entry = |entry: offload_client::snapshot::HistoryEntry| {
            let (state, reason) = (entry.state.to_string(), entry.reason.to_string());
            (entry.timestamp, state, reason, entry.latency_usec)
        };
        entries.map(entry).collect()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> String {
        self.id.name.to_string()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn kind(&self) -> String {
        self.id.kind.to_string()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn uri(&self) -> Printable {
        self.read(|target| target.uri.clone())
    }

    #[zbus(property)]
    fn address(&self) -> Printable {
        self.read(|target| target.address.clone())
    }

    #[zbus(property)]
    fn state(&self) -> String {
        self.read(|target| target.state.to_string())
    }

    #[zbus(property)]
    fn reason(&self) -> String {
        self.read(|target| target.reason.to_string())
    }

    #[zbus(property)]
    fn stage(&self) -> String {
        self.read(|target| target.stage.to_string())
    }

    #[zbus(property)]
    fn state_change_timestamp(&self) -> u64 {
        self.read(|target| target.state_change_timestamp)
    }

    #[zbus(property)]
    fn state_change_timestamp_monotonic(&self) -> u64 {
        self.read(|target| target.state_change_timestamp_monotonic)
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn last_check_timestamp(&self) -> u64 {
        self.read(|target| target.last_check_timestamp)
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn last_success_timestamp(&self) -> u64 {
        self.read(|target| target.last_success_timestamp)
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn next_check_timestamp(&self) -> u64 {
        self.read(|target| target.next_check_timestamp)
    }

    #[zbus(property(emits_changed_signal = "false"), name = "LatencyUSec")]
    fn latency_usec(&self) -> u64 {
        self.read(|target| target.latency_usec)
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn consecutive_failures(&self) -> u32 {
        self.read(|target| target.consecutive_failures)
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn details(&self) -> Dict {
        self.read(|target| values::dict(&target.details))
    }
}

#[interface(name = "org.offloadd.Offload1.Cache", introspection_docs = false)]
impl CacheObject {
    #[zbus(property)]
    fn store_dir(&self) -> Printable {
        self.read(|facts| facts.store_dir.clone())
    }

    #[zbus(property)]
    fn want_mass_query(&self) -> bool {
        self.read(|facts| facts.want_mass_query)
    }

    #[zbus(property)]
    fn priority(&self) -> u32 {
        self.read(|facts| facts.priority)
    }

    #[zbus(property)]
    fn signing_key(&self) -> Printable {
        self.read(|facts| facts.signing_key.clone())
    }
}

#[interface(name = "org.offloadd.Offload1.Builder", introspection_docs = false)]
impl BuilderObject {
    /// Builds a trivial derivation on it.
    #[zbus(out_args("job"))]
    async fn test_build(
        &self,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> Result<OwnedObjectPath, Refused> {
        let timeout = timeout(&options)?;
        let authority = &self.target.authority;
        let uid = authority
            .require(connection, &header, Action::TestBuild)
            .await?;
        let number = self.jobs.start(&self.target.id, timeout, uid).await?;
        Ok(job::announce(server, &self.jobs, authority, number).await?)
    }

    #[zbus(property)]
    fn protocol(&self) -> Printable {
        self.read(|facts| facts.protocol.clone())
    }

    #[zbus(property)]
    fn systems(&self) -> Vec<Printable> {
        self.read(|facts| facts.systems.clone())
    }

    #[zbus(property)]
    fn features(&self) -> Vec<Printable> {
        self.read(|facts| facts.features.clone())
    }

    #[zbus(property)]
    fn max_jobs(&self) -> u32 {
        self.read(|facts| facts.max_jobs)
    }

    #[zbus(property)]
    fn speed_factor(&self) -> f64 {
        self.read(|facts| facts.speed_factor)
    }

    #[zbus(property)]
    fn nix_version(&self) -> Printable {
        self.read(|facts| facts.nix_version.clone())
    }

    #[zbus(property)]
    fn trusted(&self) -> Printable {
        self.read(|facts| facts.trusted.clone())
    }

    #[zbus(property)]
    fn host_key_fingerprint(&self) -> Printable {
        self.read(|facts| facts.host_key_fingerprint.clone())
    }
}

/// The time limit among the options of a test build.
///
/// # Errors
///
/// `InvalidArgs` where an option is not known, is of another type, or asks for no time or too much:
/// what was asked for is done or refused, never something else.
fn timeout(options: &Dict) -> Result<Duration, Refused> {
    let mut timeout = build::TIMEOUT;
    for (name, value) in options {
        // Why comes first: of a long name only the beginning is shown.
        let refused = |why: &str| Refused::InvalidArgs(format!("{why}: option {name}"));
        if name != "timeout" {
            return Err(refused("not known"));
        }
        let usec = u64::try_from(&**value).map_err(|_| refused("not of type t (microseconds)"))?;
        timeout = Duration::from_micros(usec);
        if timeout.is_zero() || timeout > build::TIMEOUT_MAX {
            return Err(refused("not between 1 and 600000000"));
        }
    }
    Ok(timeout)
}
