//! `org.offloadd.Offload1.Manager`.

use std::{sync::Arc, time::Duration};

use offload_client::{Kind, Snapshot, errors::BusError};
use zbus::{
    Connection, OwnedObjectPath, Variant, interface, message::Header, object_server::SignalEmitter,
};

use super::{
    authority::Authority,
    polkit::Action,
    properties::{Property, Rows},
    refused::Refused,
    values::{self, Dict},
};
use crate::{
    explain,
    monitor::{DiscoverError, Handle},
    nix::build_hook::Build,
};

/// How many features a build may ask for, and how long the words of one may be, in bytes.
const MAX_FEATURES: usize = 64;
const MAX_WORD: usize = 256;

/// The verdict over everything, and what may be asked of the daemon as a whole.
pub(super) struct Manager {
    pub(super) monitor: Handle,
    pub(super) authority: Authority,
}

impl Manager {
    fn now(&self) -> Arc<Snapshot> {
        self.monitor.snapshot()
    }
}

impl Rows for Manager {
    type Of = Snapshot;

    const ROWS: &'static [Property<Snapshot>] = &[
        Property::constant("Version", "s", |it| (&it.version).into()),
        Property::told("State", "s", |it| it.state.as_str().into()),
        Property::told("Reason", "s", |it| it.reason.as_str().into()),
        Property::told("BuilderState", "s", |it| it.builder_state.as_str().into()),
        Property::told("CacheState", "s", |it| it.cache_state.as_str().into()),
        Property::told("StateChangeTimestamp", "t", |it| {
            it.state_change_timestamp.into()
        }),
        Property::told("StateChangeTimestampMonotonic", "t", |it| {
            it.state_change_timestamp_monotonic.into()
        }),
        Property::told_unless("Targets", "ao", values::are_same_objects, |it| {
            Variant::new(values::targets(it))
        }),
        Property::told_unless(
            "Warnings",
            "a(ssa{sv})",
            |old, new| old.warnings == new.warnings,
            |it| Variant::new(values::warnings(it)),
        ),
        Property::told("RootCause", "(sss)", |it| {
            Variant::new(values::root_cause(it))
        }),
    ];

    fn read<T>(&self, read: impl FnOnce(&Snapshot) -> T) -> Option<T> {
        Some(read(&self.now()))
    }
}

#[interface(name = "org.offloadd.Offload1.Manager", introspection_docs = false)]
impl Manager {
    /// Checks every target and answers with the verdict.
    #[zbus(out_args("state"))]
    async fn check(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<String, Refused> {
        self.authority
            .require(connection, &header, Action::Check)
            .await?;
        self.monitor.check(None).await?;
        Ok(self.now().state.to_string())
    }

    /// Makes no check for that long, or until `Resume()` where it is 0.
    async fn pause(
        &self,
        usec: u64,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Refused> {
        self.authority
            .require(connection, &header, Action::Pause)
            .await?;
        let duration = (usec > 0).then(|| Duration::from_micros(usec));
        self.monitor.pause(duration).await;
        Ok(())
    }

    /// Ends a pause.
    async fn resume(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Refused> {
        self.authority
            .require(connection, &header, Action::Pause)
            .await?;
        self.monitor.resume().await;
        Ok(())
    }

    /// Looks for every target that is at none of its addresses; those that were found.
    #[zbus(out_args("targets"))]
    async fn discover(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Vec<OwnedObjectPath>, Refused> {
        self.authority
            .require(connection, &header, Action::Discover)
            .await?;
        let found = self.monitor.discover().await.map_err(refusal)?;
        Ok(values::paths(&found))
    }

    /// The object of the target of that kind and name: a path escapes what a name may have in it.
    #[zbus(out_args("target"))]
    async fn get_target(&self, kind: &str, name: &str) -> Result<OwnedObjectPath, Refused> {
        if ![Kind::Cache, Kind::Builder]
            .iter()
            .any(|known| known.as_str() == kind)
        {
            let text = format!("kind {kind:?} is neither \"cache\" nor \"builder\"");
            return Err(Refused::InvalidArgs(text));
        }
        let now = self.now();
        let mut targets = now.targets.iter();
        let target = targets.find(|target| target.kind.as_str() == kind && target.name == name);
        let path = target.and_then(|target| OwnedObjectPath::try_from(target.path()).ok());
        Ok(path
            .ok_or_else(|| BusError::NoSuchTarget(format!("there is no {kind} called {name:?}")))?)
    }

    /// Where Nix would send a build for that system with those required features, as JSON.
    #[zbus(out_args("json"))]
    async fn explain(
        &self,
        system: &str,
        features: Vec<String>,
        options: Dict,
    ) -> Result<String, Refused> {
        let mut build = build(system, features, &options)?;
        let hook = self.monitor.hook().await.filter(|hook| hook.is_known);
        let hook = hook.ok_or_else(|| {
            let why = "Nix's own configuration is not read (`[nix] import = false`)";
            BusError::Failed(why.to_owned())
        })?;
        if build.system.is_empty() {
            let own = hook.here.systems.first();
            build.system = own.cloned().unwrap_or_default();
        }
        let explained = explain::explain(&build, &hook, &self.now());
        let json = serde_json::to_string(&explained);
        Ok(json.map_err(|error| BusError::Failed(error.to_string()))?)
    }

    /// The whole snapshot as JSON.
    #[zbus(out_args("json"))]
    async fn describe(&self) -> Result<String, Refused> {
        let json = serde_json::to_string(&*self.now());
        Ok(json.map_err(|error| BusError::Failed(error.to_string()))?)
    }

    /// The verdict over everything changed. (Its name is taken by the property's own signal.)
    #[zbus(signal, name = "StateChanged")]
    pub(super) async fn verdict_changed(
        emitter: &SignalEmitter<'_>,
        old: &str,
        new: &str,
        reason: &str,
    ) -> zbus::Result<()>;
}

/// The build that is asked about.
///
/// # Errors
///
/// `InvalidArgs` where it is more than any build, or an option is not known or of another type.
fn build(system: &str, features: Vec<String>, options: &Dict) -> Result<Build, Refused> {
    let refused = |why: String| Err(Refused::InvalidArgs(why));
    let is_long = |word: &str| word.len() > MAX_WORD;
    if features.len() > MAX_FEATURES || is_long(system) || features.iter().any(|it| is_long(it)) {
        return refused(format!(
            "more than {MAX_FEATURES} features, or a word of more than {MAX_WORD} bytes"
        ));
    }
    let mut build = Build {
        system: system.to_owned(),
        features,
        prefers_local: false,
    };
    for (name, value) in options {
        if name != "prefer-local-build" {
            return refused(format!("not known: option {name}"));
        }
        match bool::try_from(&**value) {
            Ok(prefers) => build.prefers_local = prefers,
            Err(_) => return refused(format!("not of type b: option {name}")),
        }
    }
    Ok(build)
}

fn refusal(error: DiscoverError) -> BusError {
    let text = error.to_string();
    match error {
        DiscoverError::NotConfigured => BusError::NotConfigured(text),
        DiscoverError::Paused => BusError::Busy(text),
        DiscoverError::RateLimited => BusError::RateLimited(text),
        DiscoverError::Stopping => BusError::Failed(text),
    }
}
