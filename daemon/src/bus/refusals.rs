//! Who is refused is told so, few at a time: a bus passes on to us in the order in which it was given, so whoever
//! calls next waits for all that a storm has in flight. Whose calls are not answered yet can't have others in their
//! place: the bus bounds how many may wait.
//!
//! And they are told so slowly: a bus reads our answers a few KiB at a time among all others'. Answered at once, a
//! flood would fill both ways, and everybody wait behind it.

use std::{num::NonZeroU32, time::Duration};

use offload_client::errors::BusError;
use tokio::sync::mpsc;
use zbus::{Connection, DBusError, Message};

use super::gate::Refusal;

/// How many who are refused may wait to be told so: as many as two users can have in flight on dbus-daemon, which
/// lets each have 256 connections, and each of those wait for 128 answers.
const REFUSALS: usize = 2 * 256 * 128;
/// How many of them are told at once;
const FEW: usize = 16;
/// how long after that the next are;
const PACE: Duration = Duration::from_millis(10);
/// and in how many such turns all of them are, or nearly: ten seconds, before programs take no answer for one.
const TURNS: usize = 1000;

/// A call that is refused: no more of it than it takes to say so.
#[derive(Debug)]
pub(super) struct RefusedCall {
    pub(super) sender: Box<str>,
    pub(super) serial: NonZeroU32,
    pub(super) why: Refusal,
}

/// Where they wait to be told.
pub(super) fn queue() -> (mpsc::Sender<RefusedCall>, mpsc::Receiver<RefusedCall>) {
    mpsc::channel(REFUSALS)
}

/// Tells those who are refused, until the connection is gone.
pub(super) async fn refuse(
    connection: &Connection,
    mut refusals: mpsc::Receiver<RefusedCall>,
) -> zbus::Result<()> {
    let any_call = Message::method_call("/", "Any").build(&())?;
    let mut some = Vec::new();
    loop {
        let count = FEW.max(refusals.len() / TURNS);
        if refusals.recv_many(&mut some, count).await == 0 {
            return Ok(());
        }
        let answers = some
            .drain(..)
            .flat_map(|call: RefusedCall| call.answer(&any_call));
        let answers: Vec<_> = answers.collect();
        connection.send_all(&answers).await?;
        tokio::time::sleep(PACE).await;
    }
}

impl RefusedCall {
    fn answer(&self, any_call: &Message) -> zbus::Result<Message> {
        let error = BusError::Busy(self.why.to_string());
        let answer = Message::error(&any_call.header(), error.name())
            .destination(&*self.sender)
            .reply_serial(Some(self.serial));
        answer.build(&error.description().unwrap_or_default())
    }
}
