//! Follows a daemon on its bus, as a widget does.

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, StreamExt};
use offload_client::{Client, Snapshot};
use zbus::Connection;

use crate::{Error, Result};

const PATIENCE: Duration = Duration::from_secs(15);

/// Reads every change that a daemon publishes.
pub struct Follower {
    /// Its connection to the bus.
    pub connection: Connection,
    updates: Pin<Box<dyn Stream<Item = Option<Snapshot>> + Send>>,
    last: Option<Snapshot>,
}

impl Follower {
    /// Follows the daemon on the bus that `connection` leads to, whether or not it is there yet.
    pub fn new(connection: Connection) -> Self {
        Self {
            updates: Box::pin(Client::from(connection.clone()).watch()),
            connection,
            last: None,
        }
    }

    /// Waits until what is published fits; what it is by then.
    ///
    /// # Errors
    /// [`Error::Late`], with what was published instead.
    pub async fn until(
        &mut self,
        what: &str,
        fits: impl Fn(&Snapshot) -> bool,
    ) -> Result<Snapshot> {
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(last) = self.last.as_ref().filter(|last| fits(last)) {
                    return Ok(last.clone());
                }
                match self.updates.next().await {
                    Some(update) => self.last = update,
                    None => return Err(Error::Gone("the bus")),
                }
            }
        });
        match found.await {
            Ok(found) => found,
            Err(_) => Err(Error::Late {
                what: format!("{what}; published last: {:?}", self.last),
                within: PATIENCE,
            }),
        }
    }
}
