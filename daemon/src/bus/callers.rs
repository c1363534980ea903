//! Who calls: whose a connection is, and how much of theirs is under way.

use std::{sync::Arc, time::Duration};

use offload_client::errors::BusError;
use tokio::sync::{Notify, watch};
use zbus::{Connection, fdo};

use super::gate::{Gate, Owner};
use crate::clock::Stopwatch;

/// Longer than the bus takes to say whose a connection is, in a storm too.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who calls.
#[derive(Debug)]
pub(super) struct Callers {
    /// The way to ask; where there is none, the connection of the call is.
    asking: Option<Connection>,
    // Nobody follows it: it is the one place that both halves of the socket and the objects see.
    gate: watch::Sender<Gate>,
    clock: Stopwatch,
    /// A call is over, and another may have its turn.
    over: Notify,
}

impl Default for Callers {
    fn default() -> Self {
        Self {
            asking: None,
            gate: watch::Sender::new(Gate::default()),
            clock: Stopwatch::start(),
            over: Notify::new(),
        }
    }
}

impl Callers {
    /// Those of whom is asked over `asking`.
    pub(super) fn asked_over(asking: Connection) -> Arc<Self> {
        Arc::new(Self {
            asking: Some(asking),
            ..Self::default()
        })
    }

    /// The way to ask the bus, or another on it, something about a call that came over `connection`.
    pub(super) fn asking<'a>(&'a self, connection: &'a Connection) -> &'a Connection {
        self.asking.as_ref().unwrap_or(connection)
    }

    /// Whose connection `sender` is, as the bus says, which is asked once; nobody's where it has gone.
    ///
    /// # Errors
    /// `Busy` where the bus does not answer in time; `Failed` where it can't be asked.
    pub(super) async fn owner(
        &self,
        connection: &Connection,
        sender: &str,
    ) -> Result<Owner, BusError> {
        if let Some(owner) = self.with(|gate| gate.owner(sender)) {
            return Ok(owner);
        }
        const BUS: &str = "org.freedesktop.DBus";
        let (path, member) = ("/org/freedesktop/DBus", "GetConnectionUnixUser");
        let asking = self.asking(connection);
        let question = asking.call_method(Some(BUS), path, Some(BUS), member, &sender);
        let unknown = |why: &str| format!("the caller is not known: {why}");
        let owner = match tokio::time::timeout(PATIENCE, question).await {
            Ok(Ok(answer)) => answer.body().deserialize().map(Some),
            // It has no uid, or is gone, and asks no more.
            Ok(Err(zbus::Error::MethodError(..))) => Ok(None),
            Ok(Err(zbus::Error::FDO(error))) if matches!(*error, fdo::Error::NameHasNoOwner(_)) => {
                Ok(None)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => return Err(BusError::Busy(unknown("the bus does not answer"))),
        };
        let owner = owner.map_err(|error| BusError::Failed(unknown(&error.to_string())))?;
        self.with(|gate| gate.learn(sender, owner));
        Ok(owner)
    }

    /// The call `serial` of `sender` was answered with so many bytes.
    pub(super) fn answered(&self, sender: &str, serial: u32, bytes: usize) {
        let now = self.now();
        self.with(|gate| gate.answered(now, (sender, serial), bytes));
        self.over.notify_one();
    }

    /// Until a call is over.
    pub(super) async fn over(&self) {
        self.over.notified().await;
    }

    /// On the clock of the gate.
    pub(super) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Asks the gate, or tells it something.
    pub(super) fn with<T: Default>(&self, play: impl FnOnce(&mut Gate) -> T) -> T {
        let mut result = T::default();
        self.gate.send_if_modified(|gate| {
            result = play(gate);
            false
        });
        result
    }
}
