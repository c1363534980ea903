//! What changed between two snapshots, as signals: for each interface of each object at most one
//! `PropertiesChanged`, with values, and only of what really changed.

use std::{borrow::Cow, collections::HashMap};

use offload_client::{
    Printable, Snapshot,
    names::{BUILDER, CACHE, MANAGER, ROOT_PATH, TARGET},
    snapshot::{Facts, Target},
};
use zbus::{Connection, Variant, fdo, names::InterfaceName, object_server::SignalEmitter};

use super::{Changes, manager::Manager, values};

/// The changed properties of one interface.
struct Properties<'a>(HashMap<&'static str, Variant<'a>>);

impl<'a> Properties<'a> {
    fn new() -> Self {
        Self(HashMap::new())
    }

    fn note<T: PartialEq>(
        &mut self,
        property: &'static str,
        old: &T,
        new: &'a T,
        value: impl FnOnce(&'a T) -> Variant<'a>,
    ) {
        if old != new {
            self.0.insert(property, value(new));
        }
    }

    async fn emit(self, connection: &Connection, path: &str, interface: &str) -> zbus::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let emitter = SignalEmitter::new(connection, path.to_owned())?;
        let interface = InterfaceName::try_from(interface.to_owned())?;
        fdo::Properties::properties_changed(&emitter, interface, self.0, Cow::default()).await
    }
}

/// Tells what is new in `new`: the targets first, then the verdict over them.
pub(super) async fn publish(
    connection: &Connection,
    old: &Snapshot,
    new: &Snapshot,
    changes: &Changes<'_>,
) -> zbus::Result<()> {
    // A target that is new was announced with all its properties.
    for (old, new) in &changes.other {
        publish_target(connection, old, new).await?;
    }
    publish_manager(connection, old, new, changes.are_same_objects).await
}

async fn publish_target(connection: &Connection, old: &Target, new: &Target) -> zbus::Result<()> {
    let path = new.path();
    let mut target = Properties::new();
    target.note("Address", &old.address, &new.address, Variant::from);
    target.note("State", &old.state, &new.state, |word| word.as_str().into());
    target.note("Reason", &old.reason, &new.reason, |word| {
        word.as_str().into()
    });
    target.note("Stage", &old.stage, &new.stage, |word| word.as_str().into());
    target.note(
        "StateChangeTimestamp",
        &old.state_change_timestamp,
        &new.state_change_timestamp,
        number,
    );
    target.note(
        "StateChangeTimestampMonotonic",
        &old.state_change_timestamp_monotonic,
        &new.state_change_timestamp_monotonic,
        number,
    );
    target.emit(connection, &path, TARGET).await?;

    let mut own = Properties::new();
    match (&old.facts, &new.facts) {
        (Facts::Cache(old), Facts::Cache(new)) => {
            own.note("StoreDir", &old.store_dir, &new.store_dir, Variant::from);
            own.note(
                "WantMassQuery",
                &old.want_mass_query,
                &new.want_mass_query,
                |v| (*v).into(),
            );
            own.note("Priority", &old.priority, &new.priority, |v| (*v).into());
            own.note(
                "SigningKey",
                &old.signing_key,
                &new.signing_key,
                Variant::from,
            );
            own.emit(connection, &path, CACHE).await
        }
        (Facts::Builder(old), Facts::Builder(new)) => {
            own.note("Protocol", &old.protocol, &new.protocol, Variant::from);
            own.note("Systems", &old.systems, &new.systems, list);
            own.note("Features", &old.features, &new.features, list);
            own.note("MaxJobs", &old.max_jobs, &new.max_jobs, |v| (*v).into());
            own.note("SpeedFactor", &old.speed_factor, &new.speed_factor, |v| {
                (*v).into()
            });
            own.note(
                "NixVersion",
                &old.nix_version,
                &new.nix_version,
                Variant::from,
            );
            own.note("Trusted", &old.trusted, &new.trusted, Variant::from);
            own.note(
                "HostKeyFingerprint",
                &old.host_key_fingerprint,
                &new.host_key_fingerprint,
                Variant::from,
            );
            own.emit(connection, &path, BUILDER).await
        }
        // A name that changed its kind is another object.
        (Facts::Cache(_), Facts::Builder(_)) | (Facts::Builder(_), Facts::Cache(_)) => Ok(()),
    }
}

async fn publish_manager(
    connection: &Connection,
    old: &Snapshot,
    new: &Snapshot,
    are_same_objects: bool,
) -> zbus::Result<()> {
    let mut manager = Properties::new();
    manager.note("State", &old.state, &new.state, |word| word.as_str().into());
    manager.note("Reason", &old.reason, &new.reason, |word| {
        word.as_str().into()
    });
    manager.note(
        "BuilderState",
        &old.builder_state,
        &new.builder_state,
        |w| w.as_str().into(),
    );
    manager.note("CacheState", &old.cache_state, &new.cache_state, |word| {
        word.as_str().into()
    });
    manager.note(
        "StateChangeTimestamp",
        &old.state_change_timestamp,
        &new.state_change_timestamp,
        number,
    );
    manager.note(
        "StateChangeTimestampMonotonic",
        &old.state_change_timestamp_monotonic,
        &new.state_change_timestamp_monotonic,
        number,
    );
    if !are_same_objects {
        let (old, new) = (values::targets(old), values::targets(new));
        if old != new {
            manager.0.insert("Targets", new.into());
        }
    }
    if old.warnings != new.warnings {
        manager.0.insert("Warnings", values::warnings(new).into());
    }
    let root_cause = values::root_cause(new);
    if values::root_cause(old) != root_cause {
        manager.0.insert("RootCause", Variant::new(root_cause));
    }
    manager.emit(connection, ROOT_PATH, MANAGER).await?;

    if old.state == new.state {
        return Ok(());
    }
    let emitter = SignalEmitter::new(connection, ROOT_PATH)?;
    let (old, reason) = (old.state.as_str(), new.reason.as_str());
    Manager::verdict_changed(&emitter, old, new.state.as_str(), reason).await
}

fn list(list: &Vec<Printable>) -> Variant<'_> {
    list.as_slice().into()
}

fn number(number: &u64) -> Variant<'_> {
    (*number).into()
}
