//! The daemon, as a program meets it.

pub(crate) mod bus_back;
mod calls;
mod updates;

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::Stream;
use tokio::{sync::watch, time::timeout};
use zbus::{
    Connection,
    proxy::{CacheProperties, MethodFlags},
};

pub use self::calls::{Waking, Woken};
use crate::{
    Snapshot,
    connect::{self, Bus, NoDaemon, Tried},
    errors::BusError,
    names,
};

/// What the daemon has in memory comes at once, or something is wrong.
const READ: Duration = Duration::from_secs(5);
/// A round of checks has time-outs of its own, and polkit may ask for a password.
const CALL: Duration = Duration::from_secs(180);

/// The daemon, on whichever bus it is; through restarts of both. A clone shares its connection.
///
/// The bus starts the daemon for a call, where it knows how to; for [`Self::watch`] and
/// [`Self::snapshot_if_running`] it never does.
#[derive(Clone, Debug)]
pub struct Client {
    /// Where it is looked for; nothing where whoever made the connection alone knows that.
    places: Option<Places>,
    connection: Arc<watch::Sender<Option<Found>>>,
}

/// A connection, and where it leads as [`Tried::bus`] names it; empty where nobody knows.
type Found = (Connection, String);

/// The bus that was named, or all that there may be.
type Places = Option<Bus>;

/// Why the daemon did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no daemon, or no bus to ask one on.
    #[error(transparent)]
    NoDaemon(#[from] NoDaemon),
    /// The bus, or the daemon, answered with an error.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// What it answered can't be read.
    #[error("the daemon's answer can't be read: {0}")]
    Json(#[from] serde_json::Error),
    /// It is there and does not answer.
    #[error("the daemon does not answer")]
    Silent,
}

impl ClientError {
    /// Whether there is no daemon to ask, or none any more.
    pub fn is_no_daemon(&self) -> bool {
        match self {
            Self::NoDaemon(_) => true,
            Self::Bus(error) => error.is_no_daemon(),
            Self::Json(_) | Self::Silent => false,
        }
    }
}

impl From<zbus::Error> for ClientError {
    fn from(error: zbus::Error) -> Self {
        Self::Bus(error.into())
    }
}

/// One that is connected already, to a bus that only its maker knows: it ends with this connection, and so does what
/// it watches.
impl From<Connection> for Client {
    fn from(connection: Connection) -> Self {
        Self {
            places: None,
            connection: Arc::new(watch::Sender::new(Some((connection, String::new())))),
        }
    }
}

impl Client {
    /// Connects to the bus that the daemon is on: the system's, or the daemon's own. While it is on none, to the one on
    /// which it will appear.
    ///
    /// # Errors
    /// No bus answers.
    pub async fn connect() -> Result<Self, NoDaemon> {
        let client = Self::on(None);
        client.connection().await.map(drop)?;
        Ok(client)
    }

    /// On `bus`, or on whichever it is. It connects when something is asked of it: the bus may be yet to come.
    pub fn on(bus: Option<Bus>) -> Self {
        Self {
            places: Some(bus),
            connection: Arc::default(),
        }
    }

    /// On a bus that was looked for already.
    #[cfg(feature = "cli")]
    pub(crate) fn found(bus: Option<Bus>, found: Found) -> Self {
        Self {
            places: Some(bus),
            connection: Arc::new(watch::Sender::new(Some(found))),
        }
    }

    /// On which bus it was found, as [`Tried::bus`] names it; nothing where one was named.
    #[cfg(feature = "cli")]
    pub(crate) fn place(&self) -> Option<String> {
        if self.places != Some(None) {
            return None;
        }
        let found = self.connection.borrow();
        found.as_ref().map(|(_, place)| place.clone())
    }

    /// The connection, for what is not here: see [`crate::proxy`]. A new one where the last one has ended.
    ///
    /// # Errors
    /// No bus answers.
    pub async fn connection(&self) -> Result<Connection, NoDaemon> {
        if let Some(connection) = self.open_connection() {
            return Ok(connection);
        }
        let Some(bus) = &self.places else {
            let bus = "connection".to_owned();
            let why = "it ended".to_owned();
            return Err(NoDaemon {
                tried: vec![Tried { bus, why }],
            });
        };
        let found = connect::find_bus(bus.as_ref()).await?;
        self.connection.send_replace(Some(found.clone()));
        Ok(found.0)
    }

    /// Whether there is a bus to ask on, as far as is known.
    pub fn has_bus(&self) -> bool {
        self.open_connection().is_some()
    }

    /// What the daemon knows now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn snapshot(&self) -> Result<Snapshot, ClientError> {
        within(READ, self.read(MethodFlags::empty())).await
    }

    /// The same of a daemon that is running: none is started for it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn snapshot_if_running(&self) -> Result<Snapshot, ClientError> {
        within(READ, self.read(MethodFlags::NO_AUTO_START)).await
    }

    /// What the daemon knows now, and again after each change; `None` while there is no daemon, or no bus.
    ///
    /// It follows both across restarts, and starts no daemon. Several signals that come together make one
    /// item, and so do several changes that come while nobody polls: the newest one is what there is. What every check
    /// changes (latency, times, details) is current in each item but makes none.
    ///
    /// To be polled within tokio's runtime; anywhere else it ends at once.
    pub fn watch(&self) -> impl Stream<Item = Option<Snapshot>> + Send + Unpin + use<> {
        updates::updates(self.clone())
    }

    /// The JSON of a [`Snapshot`], words of newer daemons included.
    #[cfg(feature = "cli")]
    pub(crate) async fn json(&self) -> Result<String, ClientError> {
        within(READ, self.describe(MethodFlags::empty())).await
    }

    /// A reader of any age reads a daemon of any age: a word that it does not know becomes the neutral one, what is not
    /// there keeps its default.
    async fn read(&self, flags: MethodFlags) -> Result<Snapshot, ClientError> {
        Ok(serde_json::from_str(&self.describe(flags).await?)?)
    }

    async fn describe(&self, flags: MethodFlags) -> Result<String, ClientError> {
        let manager: zbus::Proxy<'_> = zbus::proxy::Builder::new(&self.connection().await?)
            .destination(names::BUS_NAME)
            .path(names::ROOT_PATH)
            .interface(names::MANAGER)
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        let json = manager.call_with_flags::<_, _, String>("Describe", flags, &());
        Ok(json.await?.unwrap_or_default())
    }

    fn open_connection(&self) -> Option<Connection> {
        let found = self.connection.borrow();
        let open = found.as_ref().filter(|(it, _)| !it.is_closed());
        open.map(|(it, _)| it.clone())
    }

    /// That one has ended, whether or not it knows.
    fn forget(&self, ended: &Connection) {
        self.connection.send_if_modified(|found| {
            let is_it = found
                .as_ref()
                .is_some_and(|(it, _)| it.unique_name() == ended.unique_name());
            if is_it {
                *found = None;
            }
            is_it
        });
    }
}

async fn within<T>(
    patience: Duration,
    asked: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    let answer = timeout(patience, asked).await;
    answer.unwrap_or(Err(ClientError::Silent))
}
