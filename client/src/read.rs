//! Everything the bus carries: `GetManagedObjects` for the targets, and `GetAll` for the Manager,
//! which by D-Bus's rules is no child of itself.
//!
//! A reader of any age reads a daemon of any age: a word it does not know becomes the neutral one, a
//! property that is not there, or of another type, keeps its default.

use std::collections::HashMap;

use zbus::{
    Connection, ObjectPath, OwnedVariant, Variant,
    fdo::ManagedObjects,
    names::InterfaceName,
    proxy::{CacheProperties, MethodFlags},
};

use crate::{
    Kind, OverallState, Printable, Reason, Snapshot, Stage, TargetState, WarningCode, names,
    snapshot::{BuilderFacts, CacheFacts, DESCRIBE_VERSION, Details, Facts, Target, Warning},
    wire,
};

const OBJECT_MANAGER: &str = "org.freedesktop.DBus.ObjectManager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// How often it is read again because it changed meanwhile. What changes faster is never still.
const ATTEMPTS: usize = 5;

/// Reads the snapshot; the bus starts the daemon if it knows how to.
pub async fn snapshot(connection: &Connection) -> zbus::Result<Snapshot> {
    read(connection, MethodFlags::empty()).await
}

/// Reads the snapshot of a daemon that is running: what a widget does, which should start nothing.
pub async fn snapshot_if_running(connection: &Connection) -> zbus::Result<Snapshot> {
    read(connection, MethodFlags::NO_AUTO_START).await
}

/// Reads the targets alone, in no order, of a daemon that is running: one question, for who has no time.
pub async fn targets_if_running(connection: &Connection) -> zbus::Result<Vec<Target>> {
    let flags = MethodFlags::NO_AUTO_START;
    let listing = root(connection, OBJECT_MANAGER).await?;
    let objects = listing.call_with_flags("GetManagedObjects", flags, &());
    Ok(from_objects(&objects.await?.unwrap_or_default()).targets)
}

/// Makes a snapshot of what `GetManagedObjects` answered, with the Manager's own properties added
/// under [`names::ROOT_PATH`].
pub fn from_objects(objects: &ManagedObjects) -> Snapshot {
    let manager = Properties::of(objects, names::ROOT_PATH, names::MANAGER);
    let order = manager.strings("Targets");
    let mut paths: Vec<&str> = objects
        .keys()
        .map(|path| path.as_str())
        .filter(|path| Properties::of(objects, path, names::TARGET).0.is_some())
        .collect();
    // The Manager's order is Nix's; an object that it does not list yet comes last.
    paths.sort_by_key(|path| {
        let rank = order.iter().position(|listed| listed == path);
        (rank.unwrap_or(usize::MAX), *path)
    });
    let targets: Vec<Target> = paths.iter().map(|path| target(objects, path)).collect();
    let warnings = manager.warnings(&targets, &paths);
    Snapshot {
        describe_version: DESCRIBE_VERSION,
        version: manager.string("Version"),
        state: OverallState::from_word(manager.str("State")),
        reason: Reason::from_word(manager.str("Reason")),
        builder_state: OverallState::from_word(manager.str("BuilderState")),
        cache_state: OverallState::from_word(manager.str("CacheState")),
        state_change_timestamp: manager.u64("StateChangeTimestamp"),
        state_change_timestamp_monotonic: manager.u64("StateChangeTimestampMonotonic"),
        targets,
        warnings,
        gateway: Printable::default(),
    }
}

async fn read(connection: &Connection, flags: MethodFlags) -> zbus::Result<Snapshot> {
    let listing = root(connection, OBJECT_MANAGER).await?;
    let properties = root(connection, PROPERTIES).await?;
    let mut manager = manager(&properties, flags).await?;
    let mut objects = ManagedObjects::new();
    for _ in 0..ATTEMPTS {
        let listed = listing.call_with_flags("GetManagedObjects", flags, &());
        objects = listed.await?.unwrap_or_default();
        // The verdict and what it is about are of one moment where it is the same after as before.
        let before = std::mem::replace(&mut manager, self::manager(&properties, flags).await?);
        if before == manager {
            break;
        }
    }
    let path = ObjectPath::from_static_str_unchecked(names::ROOT_PATH);
    let interface = InterfaceName::from_static_str_unchecked(names::MANAGER);
    objects
        .entry(path.into())
        .or_default()
        .insert(interface.into(), manager);
    Ok(from_objects(&objects))
}

async fn manager(
    properties: &zbus::Proxy<'_>,
    flags: MethodFlags,
) -> zbus::Result<HashMap<String, OwnedVariant>> {
    let all = properties.call_with_flags("GetAll", flags, &(names::MANAGER,));
    Ok(all.await?.unwrap_or_default())
}

/// The object that has the Manager and lists the targets.
async fn root<'a>(
    connection: &Connection,
    interface: &'static str,
) -> zbus::Result<zbus::Proxy<'a>> {
    zbus::proxy::Builder::new(connection)
        .destination(names::BUS_NAME)
        .path(names::ROOT_PATH)
        .interface(interface)
        .cache_properties(CacheProperties::No)
        .build()
        .await
}

fn target(objects: &ManagedObjects, path: &str) -> Target {
    let common = Properties::of(objects, path, names::TARGET);
    let (path_kind, path_name) = from_path(path).unwrap_or_default();
    let kind = match common.str("Kind") {
        "" => path_kind,
        word => Kind::from_word(word),
    };
    Target {
        name: common.text("Name").map_or(path_name, Printable::from),
        kind,
        uri: common.string("Uri"),
        address: common.string("Address"),
        state: TargetState::from_word(common.str("State")),
        reason: Reason::from_word(common.str("Reason")),
        stage: Stage::from_word(common.str("Stage")),
        state_change_timestamp: common.u64("StateChangeTimestamp"),
        state_change_timestamp_monotonic: common.u64("StateChangeTimestampMonotonic"),
        last_check_timestamp: common.u64("LastCheckTimestamp"),
        last_success_timestamp: common.u64("LastSuccessTimestamp"),
        next_check_timestamp: common.u64("NextCheckTimestamp"),
        latency_usec: common.u64("LatencyUSec"),
        consecutive_failures: common.u32("ConsecutiveFailures"),
        facts: facts(objects, path, kind),
        details: match common.get("Details") {
            Some(Variant::Dict(dict)) => particulars(dict),
            _ => Default::default(),
        },
        layers: Vec::new(),
    }
}

fn facts(objects: &ManagedObjects, path: &str, kind: Kind) -> Facts {
    match kind {
        Kind::Cache => {
            let cache = Properties::of(objects, path, names::CACHE);
            Facts::Cache(CacheFacts {
                store_dir: cache.string("StoreDir"),
                want_mass_query: cache.bool("WantMassQuery"),
                priority: cache.u32("Priority"),
                signing_key: cache.string("SigningKey"),
            })
        }
        Kind::Builder => {
            let builder = Properties::of(objects, path, names::BUILDER);
            Facts::Builder(BuilderFacts {
                protocol: builder.string("Protocol"),
                systems: builder.strings("Systems"),
                features: builder.strings("Features"),
                max_jobs: builder.u32("MaxJobs"),
                speed_factor: builder.f64("SpeedFactor"),
                nix_version: builder.string("NixVersion"),
                trusted: builder.string("Trusted"),
                host_key_fingerprint: builder.string("HostKeyFingerprint"),
            })
        }
    }
}

/// What a target's object path says of it.
fn from_path(path: &str) -> Option<(Kind, Printable)> {
    let (kind, label) = path
        .strip_prefix(names::ROOT_PATH)?
        .strip_prefix('/')?
        .split_once('/')?;
    let kind = *Kind::ALL.iter().find(|known| known.as_str() == kind)?;
    Some((kind, names::unescape(label)?.into()))
}

fn particulars(dict: &zbus::Dict<'_, '_>) -> Details {
    dict.iter()
        .filter_map(|(key, value)| match key {
            Variant::Str(key) => Some((key.as_str().into(), wire::detail(value))),
            _ => None,
        })
        .collect()
}

/// One interface's properties; nothing where the object does not have it.
struct Properties<'a>(Option<&'a HashMap<String, OwnedVariant>>);

impl<'a> Properties<'a> {
    fn of(objects: &'a ManagedObjects, path: &str, interface: &str) -> Self {
        let found = objects
            .iter()
            .find(|(candidate, _)| candidate.as_str() == path)
            .and_then(|(_, interfaces)| {
                interfaces
                    .iter()
                    .find(|(candidate, _)| candidate.as_str() == interface)
            });
        Self(found.map(|(_, properties)| properties))
    }

    fn get(&self, name: &str) -> Option<&'a Variant<'static>> {
        self.0?.get(name).map(|value| &**value)
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        match self.get(name)? {
            Variant::Str(text) => Some(text.as_str()),
            _ => None,
        }
    }

    fn str(&self, name: &str) -> &'a str {
        self.text(name).unwrap_or_default()
    }

    fn string(&self, name: &str) -> Printable {
        self.str(name).into()
    }

    fn bool(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Variant::Bool(true)))
    }

    fn u64(&self, name: &str) -> u64 {
        match self.get(name) {
            Some(Variant::U64(value)) => *value,
            _ => 0,
        }
    }

    fn u32(&self, name: &str) -> u32 {
        match self.get(name) {
            Some(Variant::U32(value)) => *value,
            _ => 0,
        }
    }

    fn f64(&self, name: &str) -> f64 {
        match self.get(name) {
            Some(Variant::F64(value)) => *value,
            _ => 0.0,
        }
    }

    fn strings(&self, name: &str) -> Vec<Printable> {
        match self.get(name) {
            Some(Variant::Array(items)) => items
                .iter()
                .filter_map(|item| match item {
                    Variant::Str(text) => Some(text.as_str().into()),
                    Variant::ObjectPath(path) => Some(path.as_str().into()),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    fn warnings(&self, targets: &[Target], paths: &[&str]) -> Vec<Warning> {
        let Some(Variant::Array(items)) = self.get("Warnings") else {
            return Vec::new();
        };
        items
            .iter()
            .filter_map(|item| {
                let Variant::Structure(fields) = item else {
                    return None;
                };
                let [
                    Variant::Str(code),
                    Variant::Str(path),
                    Variant::Dict(details),
                ] = fields.fields()
                else {
                    return None;
                };
                let known = paths.iter().position(|known| *known == path.as_str());
                Some(Warning {
                    code: WarningCode::from_word(code),
                    target: match known.and_then(|i| targets.get(i)) {
                        Some(target) => Some((target.kind, target.name.clone())),
                        None => from_path(path),
                    },
                    details: particulars(details),
                })
            })
            .collect()
    }
}
