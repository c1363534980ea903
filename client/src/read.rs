//! Everything the daemon knows, read at once: the JSON of `Describe()`, which is of one moment.
//!
//! A reader of any age reads a daemon of any age: a word it does not know becomes the neutral one,
//! what is not there keeps its default.

use zbus::{
    Connection,
    proxy::{CacheProperties, MethodFlags},
};

use crate::{Snapshot, names};

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bus, or the daemon, answered with an error.
    #[error(transparent)]
    Bus(#[from] zbus::Error),
    /// What answered is no snapshot.
    #[error("the daemon's answer can't be read: {0}")]
    Json(#[from] serde_json::Error),
}

/// Reads the snapshot; the bus starts the daemon if it knows how to.
///
/// # Errors
/// [`ReadError`].
pub async fn snapshot(connection: &Connection) -> Result<Snapshot, ReadError> {
    read(connection, MethodFlags::empty()).await
}

/// Reads the snapshot of a daemon that is running: what a widget does, which should start nothing.
///
/// # Errors
/// [`ReadError`].
pub async fn snapshot_if_running(connection: &Connection) -> Result<Snapshot, ReadError> {
    read(connection, MethodFlags::NO_AUTO_START).await
}

/// Makes a snapshot of what `Describe()` or `offloadd --once --json` said.
///
/// # Errors
/// What is wrong with it as JSON, or as a snapshot.
pub fn from_json(json: &str) -> Result<Snapshot, serde_json::Error> {
    serde_json::from_str(json)
}

async fn read(connection: &Connection, flags: MethodFlags) -> Result<Snapshot, ReadError> {
    let manager: zbus::Proxy<'_> = zbus::proxy::Builder::new(connection)
        .destination(names::BUS_NAME)
        .path(names::ROOT_PATH)
        .interface(names::MANAGER)
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    let json = manager.call_with_flags::<_, _, String>("Describe", flags, &());
    Ok(from_json(&json.await?.unwrap_or_default())?)
}
