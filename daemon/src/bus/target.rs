//! `org.offloadd.Offload1.Target`, `.Cache` and `.Builder`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use offload_client::{
    errors::BusError,
    snapshot::{BuilderFacts, CacheFacts, Facts, Target},
    wire,
};
use zbus::{Connection, ObjectServer, OwnedObjectPath, Variant, interface, message::Header};

use super::{
    authority::Authority,
    job,
    polkit::Action,
    properties::{Property, Rows},
    refused::Refused,
    values::Dict,
};
use crate::{
    build,
    forget::{self, ForgetError},
    monitor::{Handle, WakeError, WakeOutcome, Waker},
    target::{SpecKind, TargetId},
};

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

impl Rows for TargetObject {
    type Of = Target;

    const ROWS: &'static [Property<Target>] = &[
        Property::constant("Name", "s", |it| (&it.name).into()),
        Property::constant("Kind", "s", |it| it.kind.as_str().into()),
        Property::constant("Uri", "s", |it| (&it.uri).into()),
        Property::told("Address", "s", |it| (&it.address).into()),
        Property::told("State", "s", |it| it.state.as_str().into()),
        Property::told("Reason", "s", |it| it.reason.as_str().into()),
        Property::told("Stage", "s", |it| it.stage.as_str().into()),
        Property::told("StateChangeTimestamp", "t", |it| {
            it.state_change_timestamp.into()
        }),
        Property::told("StateChangeTimestampMonotonic", "t", |it| {
            it.state_change_timestamp_monotonic.into()
        }),
        Property::told("Waking", "b", |it| it.waking.into()),
        Property::silent("LastCheckTimestamp", "t", |it| {
            it.last_check_timestamp.into()
        }),
        Property::silent("LastSuccessTimestamp", "t", |it| {
            it.last_success_timestamp.into()
        }),
        Property::silent("NextCheckTimestamp", "t", |it| {
            it.next_check_timestamp.into()
        }),
        Property::silent("LatencyUSec", "t", |it| it.latency_usec.into()),
        Property::silent("ConsecutiveFailures", "u", |it| {
            it.consecutive_failures.into()
        }),
        Property::silent("Details", "a{sv}", |it| {
            Variant::new(wire::variants(&it.details))
        }),
    ];

    fn read<T>(&self, read: impl FnOnce(&Target) -> T) -> Option<T> {
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
        found.map(read)
    }
}

impl Rows for CacheObject {
    type Of = CacheFacts;

    const ROWS: &'static [Property<CacheFacts>] = &[
        Property::told("StoreDir", "s", |it| (&it.store_dir).into()),
        Property::told("WantMassQuery", "b", |it| it.want_mass_query.into()),
        Property::told("Priority", "u", |it| it.priority.into()),
        Property::told("SigningKey", "s", |it| (&it.signing_key).into()),
    ];

    fn read<T>(&self, read: impl FnOnce(&CacheFacts) -> T) -> Option<T> {
        let read = |target: &Target| match &target.facts {
            Facts::Cache(facts) => Some(read(facts)),
            Facts::Builder(_) => None,
        };
        self.0.read(read).flatten()
    }
}

impl Rows for BuilderObject {
    type Of = BuilderFacts;

    const ROWS: &'static [Property<BuilderFacts>] = &[
        Property::told("Protocol", "s", |it| (&it.protocol).into()),
        Property::told("Systems", "as", |it| it.systems.as_slice().into()),
        Property::told("Features", "as", |it| it.features.as_slice().into()),
        Property::told("MaxJobs", "u", |it| it.max_jobs.into()),
        Property::told("SpeedFactor", "d", |it| it.speed_factor.into()),
        Property::told("NixVersion", "s", |it| (&it.nix_version).into()),
        Property::told("Trusted", "s", |it| (&it.trusted).into()),
        Property::told("HostKeyFingerprint", "s", |it| {
            (&it.host_key_fingerprint).into()
        }),
    ];

    fn read<T>(&self, read: impl FnOnce(&BuilderFacts) -> T) -> Option<T> {
        let read = |target: &Target| match &target.facts {
            Facts::Builder(facts) => Some(read(facts)),
            Facts::Cache(_) => None,
        };
        self.target.read(read).flatten()
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
        let state = self.read(|target| target.state.to_string());
        Ok(state.unwrap_or_default())
    }

    /// Sends the desktop that it is on a magic packet: how that is, and for how long to wait for it.
    #[zbus(out_args("outcome", "wait"))]
    async fn wake(
        &self,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(String, u64), Refused> {
        let (waker, action) = if is_on_demand(&options)? {
            (Waker::Demand, Action::Check)
        } else {
            (Waker::Person, Action::Wake)
        };
        self.authority.require(connection, &header, action).await?;
        let woken = self.monitor.wake(self.id.clone(), waker).await;
        let woken = woken.map_err(refusal)?;
        let outcome = match woken.outcome {
            WakeOutcome::NotWanted => "not-wanted",
            WakeOutcome::Awake => "awake",
            WakeOutcome::Waking => "waking",
        };
        let wait = u64::try_from(woken.wait.as_micros()).unwrap_or(u64::MAX);
        Ok((outcome.to_owned(), wait))
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
}

#[interface(name = "org.offloadd.Offload1.Cache", introspection_docs = false)]
impl CacheObject {
    /// Has Nix ask it again for what it lacked.
    #[zbus(out_args("forgotten"))]
    async fn forget_misses(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<u64, Refused> {
        let TargetObject {
            id,
            monitor,
            authority,
            ..
        } = &self.0;
        authority
            .require(connection, &header, Action::ForgetMisses)
            .await?;
        let spec = monitor.spec(id.clone()).await;
        let cache = spec.and_then(|spec| match &spec.kind {
            SpecKind::Cache(cache) => Some(forget::url(cache)),
            SpecKind::Builder(_) => None,
        });
        let gateway = monitor.snapshot().gateway.clone();
        let gateway = (!gateway.is_empty()).then(|| format!("http://{gateway}"));
        let mut forgotten = Err(ForgetError::NotNixs);
        // What is behind the gateway Nix knows by that.
        for url in cache.into_iter().chain(gateway) {
            match (forget::misses(&url).await, &mut forgotten) {
                (Ok(count), Ok(all)) => *all += count,
                (Err(ForgetError::NotNixs), _) => {}
                (result, _) => forgotten = result,
            }
        }
        Ok(forgotten.map_err(|error| BusError::Failed(error.to_string()))?)
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
}

/// Whether it is somebody who would use it that asks, who has no say in whether it is woken.
///
/// # Errors
///
/// `InvalidArgs` where an option is not known, or of another type.
fn is_on_demand(options: &Dict) -> Result<bool, Refused> {
    let mut is_on_demand = false;
    for (name, value) in options {
        let refused = |why: &str| Refused::InvalidArgs(format!("{why}: option {name}"));
        if name != "on-demand" {
            return Err(refused("not known"));
        }
        is_on_demand = bool::try_from(&**value).map_err(|_| refused("not of type b"))?;
    }
    Ok(is_on_demand)
}

fn refusal(error: WakeError) -> BusError {
    let text = error.to_string();
    match error {
        WakeError::NoSuchTarget => BusError::NoSuchTarget(text),
        WakeError::Paused => BusError::Busy(text),
        WakeError::Unseen => BusError::NotConfigured(text),
        WakeError::Elsewhere(_) | WakeError::Unsent(_) | WakeError::Stopping => {
            BusError::Failed(text)
        }
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
        if timeout.is_zero() || timeout > build::MAX_TIMEOUT {
            return Err(refused("not between 1 and 600000000"));
        }
    }
    Ok(timeout)
}
