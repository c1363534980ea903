//! `org.freedesktop.DBus.ObjectManager` (D-Bus specification, "Standard Interfaces"), answered from the snapshot: zbus's
//! own asks each object for each property and keeps a copy of all before it writes any.

use std::{collections::HashMap, fmt::Write, sync::Arc};

use async_trait::async_trait;
use offload_client::{
    Snapshot,
    names::{BUILDER, CACHE, JOB, TARGET, job_path},
    snapshot::{Facts, Target},
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use zbus::{
    BoxDBusError, Connection, ObjectPath, ObjectServer, OwnedVariant, Signature, Type, Variant,
    fdo::{self, ManagedObjects, ObjectManager},
    message::{Header, Message},
    names::{InterfaceName, MemberName},
    object_server::{DispatchResult, Interface, SignalEmitter},
};

use super::{
    job::JobObject,
    properties::{Rows, Values},
    target::{BuilderObject, CacheObject, TargetObject},
};
use crate::{
    build::{self, Status},
    monitor::Handle,
};

/// Lists all objects. zbus finds it by its name, and tells through it which objects come and go.
pub(super) struct Objects {
    pub(super) monitor: Handle,
    pub(super) jobs: build::Handle,
}

impl Objects {
    fn now(&self) -> Now {
        let jobs = |board: &build::Board| {
            let jobs = board.iter();
            jobs.map(|(number, job)| (number, job.status.clone()))
                .collect()
        };
        Now {
            snapshot: self.monitor.snapshot(),
            jobs: self.jobs.read(jobs),
        }
    }
}

#[async_trait]
impl Interface for Objects {
    fn name() -> InterfaceName<'static> {
        ObjectManager::name()
    }

    async fn get(
        &self,
        _: &str,
        _: &ObjectServer,
        _: &Connection,
        _: Option<&Header<'_>>,
        _: &SignalEmitter<'_>,
    ) -> Option<Result<OwnedVariant, BoxDBusError>> {
        None
    }

    async fn get_all(
        &self,
        _: &ObjectServer,
        _: &Connection,
        _: Option<&Header<'_>>,
        _: &SignalEmitter<'_>,
    ) -> fdo::Result<HashMap<String, OwnedVariant>> {
        Ok(HashMap::new())
    }

    async fn set_mut(
        &mut self,
        _: &str,
        _: &Variant<'_>,
        _: &ObjectServer,
        _: &Connection,
        _: Option<&Header<'_>>,
        _: &SignalEmitter<'_>,
    ) -> Option<Result<(), BoxDBusError>> {
        None
    }

    fn call<'call>(
        &'call self,
        _: &'call ObjectServer,
        connection: &'call Connection,
        message: &'call Message,
        name: MemberName<'call>,
    ) -> DispatchResult<'call> {
        if name != "GetManagedObjects" {
            return DispatchResult::NotFound;
        }
        let answer = async { Ok::<_, fdo::Error>(self.now()) };
        DispatchResult::new_async(connection, message, answer)
    }

    fn call_mut<'call>(
        &'call mut self,
        _: &'call ObjectServer,
        _: &'call Connection,
        _: &'call Message,
        _: MemberName<'call>,
    ) -> DispatchResult<'call> {
        DispatchResult::NotFound
    }

    fn introspect_to_writer(&self, writer: &mut dyn Write, level: usize) {
        ObjectManager.introspect_to_writer(writer, level);
    }
}

/// All objects at one moment.
struct Now {
    snapshot: Arc<Snapshot>,
    jobs: Vec<(u32, Status)>,
}

impl Type for Now {
    const SIGNATURE: &'static Signature = ManagedObjects::SIGNATURE;
}

impl Serialize for Now {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut objects = serializer.serialize_map(None)?;
        for target in &self.snapshot.targets {
            let path = ObjectPath::from_string_unchecked(target.path());
            objects.serialize_entry(&path, &OfTarget(target))?;
        }
        for (number, status) in &self.jobs {
            let path = ObjectPath::from_string_unchecked(job_path(*number));
            objects.serialize_entry(&path, &OfJob(status))?;
        }
        objects.end()
    }
}

/// A target's interfaces.
struct OfTarget<'a>(&'a Target);

impl Serialize for OfTarget<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut interfaces = serializer.serialize_map(None)?;
        interfaces.serialize_entry(TARGET, &Values(TargetObject::ROWS, self.0))?;
        match &self.0.facts {
            Facts::Cache(facts) => {
                interfaces.serialize_entry(CACHE, &Values(CacheObject::ROWS, facts))?;
            }
            Facts::Builder(facts) => {
                interfaces.serialize_entry(BUILDER, &Values(BuilderObject::ROWS, facts))?;
            }
        }
        interfaces.end()
    }
}

/// A job's one interface.
struct OfJob<'a>(&'a Status);

impl Serialize for OfJob<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(JOB, Values(JobObject::ROWS, self.0))])
    }
}
