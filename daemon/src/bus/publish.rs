//! What changed between two snapshots, as signals: for each interface of each object at most one
//! `PropertiesChanged`, with values, and only of what really changed.

use std::borrow::Cow;

use offload_client::{
    Snapshot,
    names::ROOT_PATH,
    snapshot::{Facts, Target},
};
use zbus::{Connection, fdo, object_server::SignalEmitter};

use super::{
    manager::Manager,
    properties::{Rows, changed},
    target::{BuilderObject, CacheObject, TargetObject},
};

/// Tells what of its properties changed, if anything did.
pub(super) async fn publish_changed<I: Rows>(
    emitter: &SignalEmitter<'_>,
    old: &I::Of,
    new: &I::Of,
) -> zbus::Result<()> {
    let changed = changed(I::ROWS, old, new);
    if changed.is_empty() {
        return Ok(());
    }
    fdo::Properties::properties_changed(emitter, I::name(), changed, Cow::default()).await
}

/// Tells what is new of a target. One that is new itself was announced with all its properties.
pub(super) async fn target(
    connection: &Connection,
    old: &Target,
    new: &Target,
) -> zbus::Result<()> {
    let emitter = SignalEmitter::new(connection, new.path())?;
    publish_changed::<TargetObject>(&emitter, old, new).await?;
    match (&old.facts, &new.facts) {
        (Facts::Cache(old), Facts::Cache(new)) => {
            publish_changed::<CacheObject>(&emitter, old, new).await
        }
        (Facts::Builder(old), Facts::Builder(new)) => {
            publish_changed::<BuilderObject>(&emitter, old, new).await
        }
        // A name that changed its kind is another object.
        (Facts::Cache(_), Facts::Builder(_)) | (Facts::Builder(_), Facts::Cache(_)) => Ok(()),
    }
}

/// Tells what is new of the verdict over all targets.
pub(super) async fn manager(
    connection: &Connection,
    old: &Snapshot,
    new: &Snapshot,
) -> zbus::Result<()> {
    let emitter = SignalEmitter::new(connection, ROOT_PATH)?;
    publish_changed::<Manager>(&emitter, old, new).await?;
    if old.state == new.state {
        return Ok(());
    }
    let (old, reason) = (old.state.as_str(), new.reason.as_str());
    Manager::verdict_changed(&emitter, old, new.state.as_str(), reason).await
}
