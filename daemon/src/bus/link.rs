//! The way to the bus, with a gate in it: a call that is too much is refused as it is read, before zbus makes a
//! task of it.
//!
//! zbus starts a task for each call, as many as come, and each keeps its answer until the bus takes it. So what is
//! let in is counted until its answer is written ([`Gate`]).
//!
//! Who is refused is told so, few at a time: a bus passes on to us in the order in which it was given, so whoever
//! calls next waits for all that a storm has in flight. Whose calls are not answered yet can't have others in their
//! place: the bus bounds how many may wait.
//!
//! The daemon's own questions, to the bus and to polkit, go over a second connection: on the first their answers
//! would come after all that is waiting there.

use std::{io, num::NonZeroU32, os::fd::OwnedFd, sync::Arc, time::Duration};

use offload_client::errors::BusError;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
};
use zbus::{
    Address, Connection, DBusError, Message,
    address::transport::{Transport, UnixSocket},
    connection::{
        self,
        socket::{BoxedSplit, ReadHalf, Split, WriteHalf},
    },
    message::{Flags, Header, Type},
};

use super::gate::{Gate, Owner, Refusal, Weight};
use crate::clock::Stopwatch;

/// How many who are refused may wait to be told so: as many as two users can have in flight on dbus-daemon, which
/// lets each have 256 connections, and each of those wait for 128 answers.
const REFUSALS: usize = 2 * 256 * 128;
/// How many of them are told at once;
const FEW: usize = 16;
/// how long after that the next are;
const PACE: Duration = Duration::from_millis(10);
/// and in how many such turns all of them are, or nearly: ten seconds, before programs take no answer for one.
const TURNS: usize = 1000;
/// Longer than the bus takes to say whose a connection is.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest body of a call: no method of ours takes as much.
const BODY_MAX: u32 = 64 * 1024;
/// What is read at once.
const READ: usize = 4096;

/// A connection that is to be made, and who calls over it.
#[derive(Debug)]
pub struct Link {
    pub(super) builder: connection::Builder<'static>,
    pub(super) callers: Arc<Callers>,
    pub(super) refusals: Option<mpsc::Receiver<RefusedCall>>,
}

/// Who calls.
#[derive(Debug)]
pub(super) struct Callers {
    /// The way to ask; where there is none, the connection of the call is.
    asking: Option<Connection>,
    // Nobody follows it: it is the one place that both halves of the socket and the objects see.
    gate: watch::Sender<Gate>,
    clock: Stopwatch,
}

impl Link {
    /// A link to the bus at `address`. Of the ways to a bus only a Unix socket has a gate in it; others are for
    /// those who know who is at their other end.
    ///
    /// # Errors
    /// Nobody listens there, or it is no bus.
    pub async fn to(address: Address) -> zbus::Result<Self> {
        let Some(stream) = open(&address).await? else {
            return Ok(Self::from(connection::Builder::address(address)));
        };
        let (read, write) = stream.into_split();
        let asking = connection::Builder::address(address).build().await?;
        let callers = Arc::new(Callers {
            asking: Some(asking),
            ..Callers::default()
        });
        let (refused, refusals) = mpsc::channel(REFUSALS);
        let reader = Reader {
            bytes: Bytes(BufReader::with_capacity(READ, read)),
            callers: callers.clone(),
            refused,
        };
        let writer = Writer {
            stream: write,
            callers: callers.clone(),
        };
        let split: BoxedSplit = Split::new(Box::new(reader) as _, Box::new(writer) as _);
        Ok(Self {
            builder: connection::Builder::socket(split),
            callers,
            refusals: Some(refusals),
        })
    }
}

/// Without a gate.
impl From<connection::Builder<'static>> for Link {
    fn from(builder: connection::Builder<'static>) -> Self {
        Self {
            builder,
            callers: Arc::default(),
            refusals: None,
        }
    }
}

async fn open(address: &Address) -> io::Result<Option<UnixStream>> {
    let Transport::Unix(unix) = address.transport() else {
        return Ok(None);
    };
    match unix.path() {
        UnixSocket::File(path) => UnixStream::connect(path).await.map(Some),
        UnixSocket::Abstract(name) => {
            let mut path = std::ffi::OsString::from("\0");
            path.push(name);
            UnixStream::connect(path).await.map(Some)
        }
        _ => Ok(None),
    }
}

impl Default for Callers {
    fn default() -> Self {
        Self {
            asking: None,
            gate: watch::Sender::new(Gate::default()),
            clock: Stopwatch::start(),
        }
    }
}

impl Callers {
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
            Ok(Err(error)) => Err(error),
            Err(_) => return Err(BusError::Busy(unknown("the bus does not answer"))),
        };
        let owner = owner.map_err(|error| BusError::Failed(unknown(&error.to_string())))?;
        self.with(|gate| gate.learn(sender, owner));
        Ok(owner)
    }

    fn with<T: Default>(&self, play: impl FnOnce(&mut Gate) -> T) -> T {
        let mut result = T::default();
        self.gate.send_if_modified(|gate| {
            result = play(gate);
            false
        });
        result
    }
}

/// A call that is refused: no more of it than it takes to say so.
#[derive(Debug)]
pub(super) struct RefusedCall {
    sender: Box<str>,
    serial: NonZeroU32,
    why: Refusal,
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

/// The half that reads.
#[derive(Debug)]
struct Reader {
    bytes: Bytes,
    callers: Arc<Callers>,
    refused: mpsc::Sender<RefusedCall>,
}

impl Reader {
    /// Whether a call is let in; who made it is told where it is not.
    async fn lets_in(&self, call: &Message) -> bool {
        let header = call.header();
        // No bus in between, or a call that is none: nothing that could be counted.
        let (Some(sender), Some(member)) = (header.sender(), header.member()) else {
            return true;
        };
        let why = match self.admit(&header, sender, member).await {
            Ok(is_admitted) => return is_admitted,
            Err(why) => why,
        };
        if wants_answer(&header) {
            let refused = RefusedCall {
                sender: sender.as_str().into(),
                serial: header.primary().serial_num(),
                why,
            };
            // One too many gets no answer at all: to wait for room would be to let everybody wait.
            let _ = self.refused.try_send(refused);
        }
        false
    }

    /// The same; nobody is told who has gone.
    async fn admit(
        &self,
        header: &Header<'_>,
        sender: &str,
        member: &str,
    ) -> Result<bool, Refusal> {
        let primary = header.primary();
        if primary.body_len() > BODY_MAX {
            return Err(Refusal::TooLong);
        }
        let Some(asking) = &self.callers.asking else {
            return Ok(true);
        };
        let owner = self.callers.owner(asking, sender).await;
        let Some(uid) = owner.map_err(|_| Refusal::Unknown)? else {
            return Ok(false);
        };
        let now = self.callers.clock.elapsed();
        let call = (sender, primary.serial_num().get());
        let (weight, wants_answer) = (Weight::of(member), wants_answer(header));
        let refusal = self.callers.with(|gate| {
            let entered = gate.enter(now, uid, call, weight, wants_answer);
            entered.err()
        });
        refusal.map_or(Ok(true), Err)
    }
}

fn wants_answer(header: &Header<'_>) -> bool {
    let flags = header.primary().flags();
    !flags.contains(Flags::NO_REPLY_EXPECTED)
}

#[async_trait::async_trait]
impl ReadHalf for Reader {
    async fn receive_message(
        &mut self,
        seq: u64,
        received: &mut Vec<u8>,
        fds: &mut Vec<OwnedFd>,
    ) -> zbus::Result<Message> {
        loop {
            let message = self.bytes.receive_message(seq, received, fds).await?;
            if message.message_type() != Type::MethodCall || self.lets_in(&message).await {
                return Ok(message);
            }
        }
    }

    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        self.bytes.recvmsg(buffer).await
    }
}

/// Reads no descriptors: no method takes any, and the bus lets nobody send them to who said so.
#[derive(Debug)]
struct Bytes(BufReader<OwnedReadHalf>);

#[async_trait::async_trait]
impl ReadHalf for Bytes {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        Ok((self.0.read(buffer).await?, Vec::new()))
    }
}

/// The half that writes.
#[derive(Debug)]
struct Writer {
    stream: OwnedWriteHalf,
    callers: Arc<Callers>,
}

impl Writer {
    /// An answer is the end of its call.
    fn sent(&self, message: &Message) {
        if !matches!(message.message_type(), Type::MethodReturn | Type::Error) {
            return;
        }
        let header = message.header();
        if let (Some(to), Some(serial)) = (header.destination(), header.reply_serial()) {
            let now = self.callers.clock.elapsed();
            let call = (to.as_str(), serial.get());
            let bytes = message.data().len();
            self.callers.with(|gate| gate.answered(now, call, bytes));
        }
    }
}

#[async_trait::async_trait]
impl WriteHalf for Writer {
    async fn send_message(&mut self, message: &Message) -> zbus::Result<()> {
        self.stream.write_all(message.data()).await?;
        self.sent(message);
        Ok(())
    }

    async fn send_messages(&mut self, messages: &[Message]) -> zbus::Result<()> {
        let all: Vec<u8> = messages
            .iter()
            .flat_map(|message| message.data().iter())
            .copied()
            .collect();
        self.stream.write_all(&all).await?;
        for message in messages {
            self.sent(message);
        }
        Ok(())
    }

    async fn sendmsg(
        &mut self,
        buffer: &[u8],
        _: &[std::os::fd::BorrowedFd<'_>],
    ) -> io::Result<usize> {
        self.stream.write(buffer).await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }
}
