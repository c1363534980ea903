//! The way to the bus, between its socket and zbus: what is read passes the entrance ([`Entrance`]), and what is
//! written says which call is over.
//!
//! zbus starts a task for each call, as many as come, and each keeps its answer until the bus takes it. So what is
//! let in is counted until its answer is written ([`Gate`](super::gate::Gate)).
//!
//! The daemon's own questions, to the bus and to polkit, go over a second connection: on the first their answers
//! would come after all that is waiting there.

use std::{io, os::fd::OwnedFd, sync::Arc};

use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::{
    io::AsyncWriteExt,
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};
use zbus::{
    Address, Message,
    address::transport::{Transport, UnixSocket},
    connection::{
        self,
        socket::{BoxedSplit, ReadHalf, Split, WriteHalf},
    },
    message::Type,
};

use super::{
    callers::Callers,
    entrance::Entrance,
    frames::{Frame, Frames},
    refusals::{self, RefusedCall},
};

/// How much may be on its way to the bus: dbus-daemon takes 2 KiB at a time, and whatever is on the way is before
/// the next answer.
const ON_THE_WAY: usize = 8 * 1024;

/// A connection that is to be made, and who calls over it.
#[derive(Debug)]
pub struct Link {
    pub(super) builder: connection::Builder<'static>,
    pub(super) callers: Arc<Callers>,
    pub(super) refusals: Option<mpsc::Receiver<RefusedCall>>,
}

impl Link {
    /// A link to the bus at `address`. Of the ways to a bus only a Unix socket has a gate in it; others are for
    /// those who know who is at their other end.
    ///
    /// # Errors
    /// Nobody listens there, or it is no bus.
    pub async fn to(address: Address) -> zbus::Result<Self> {
        let (Some(first), Some(second)) = (open(&address).await?, open(&address).await?) else {
            return Ok(Self::from(connection::Builder::address(address)));
        };
        let (read, write) = second.into_split();
        let asking = connect(Reader::new(read), Writer::new(write))
            .build()
            .await?;
        let callers = Callers::asked_over(asking.clone());
        let (refused, refusals) = refusals::queue();
        set_socket_send_buffer_size(&first, ON_THE_WAY).map_err(io::Error::from)?;
        let (read, write) = first.into_split();
        let reader = Reader {
            entrance: Some(Entrance::new(asking, callers.clone(), refused)),
            ..Reader::new(read)
        };
        let writer = Writer {
            callers: Some(callers.clone()),
            ..Writer::new(write)
        };
        Ok(Self {
            builder: connect(reader, writer),
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

fn connect(reader: Reader, writer: Writer) -> connection::Builder<'static> {
    let split: BoxedSplit = Split::new(Box::new(reader) as _, Box::new(writer) as _);
    connection::Builder::socket(split)
}

/// The half that reads. It reads no descriptors: no method takes any, and the bus lets nobody send them to who said
/// so.
#[derive(Debug)]
struct Reader {
    frames: Frames<OwnedReadHalf>,
    /// Through which calls pass.
    entrance: Option<Entrance>,
}

impl Reader {
    fn new(read: OwnedReadHalf) -> Self {
        Self {
            frames: Frames::new(read),
            entrance: None,
        }
    }
}

#[async_trait::async_trait]
impl ReadHalf for Reader {
    async fn receive_message(
        &mut self,
        seq: u64,
        received: &mut Vec<u8>,
        _: &mut Vec<OwnedFd>,
    ) -> zbus::Result<Message> {
        self.frames.give_back(received);
        received.clear();
        loop {
            let call = self.entrance.as_mut().and_then(Entrance::next);
            if let Some(call) = call {
                return parse(seq, call.data().to_vec()).await;
            }
            let arrived = match &mut self.entrance {
                Some(entrance) => tokio::select! {
                    biased;
                    () = entrance.wait() => continue,
                    arrived = self.frames.next() => arrived?,
                },
                None => self.frames.next().await?,
            };
            let (is_whole, bytes) = match arrived {
                Frame::Whole(bytes) => (true, bytes),
                Frame::Header(bytes) => (false, bytes),
            };
            // What the bus let through and zbus does not know is not for us.
            let Ok(message) = parse(seq, bytes).await else {
                continue;
            };
            match &mut self.entrance {
                Some(entrance) if message.message_type() == Type::MethodCall => {
                    if is_whole {
                        entrance.take(message);
                    } else {
                        entrance.refuse_long(&message);
                    }
                }
                _ if is_whole => return Ok(message),
                _ => {}
            }
        }
    }

    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        Ok((self.frames.read(buffer).await?, Vec::new()))
    }
}

/// The message of these bytes, which are all of it.
async fn parse(seq: u64, mut bytes: Vec<u8>) -> zbus::Result<Message> {
    Parser
        .receive_message(seq, &mut bytes, &mut Vec::new())
        .await
}

/// Reads nothing; what zbus has in hand is enough for it.
#[derive(Debug)]
struct Parser;

#[async_trait::async_trait]
impl ReadHalf for Parser {
    async fn recvmsg(&mut self, _: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        Ok((0, Vec::new()))
    }
}

/// The half that writes.
#[derive(Debug)]
struct Writer {
    stream: OwnedWriteHalf,
    /// Who is told what is over.
    callers: Option<Arc<Callers>>,
    /// Whether a name was asked for: signals before that are for nobody. zbus sends one for each interface that is
    /// there from the start.
    is_announced: bool,
}

impl Writer {
    fn new(stream: OwnedWriteHalf) -> Self {
        Self {
            stream,
            callers: None,
            is_announced: false,
        }
    }

    /// Whether anybody may wait for it.
    fn is_for_somebody(&mut self, message: &Message) -> bool {
        if self.is_announced {
            return true;
        }
        let header = message.header();
        self.is_announced = header
            .member()
            .is_some_and(|member| *member == "RequestName");
        message.message_type() != Type::Signal
    }

    /// An answer is the end of its call.
    fn sent(&self, message: &Message) {
        let Some(callers) = &self.callers else {
            return;
        };
        if !matches!(message.message_type(), Type::MethodReturn | Type::Error) {
            return;
        }
        let header = message.header();
        if let (Some(to), Some(serial)) = (header.destination(), header.reply_serial()) {
            callers.answered(to.as_str(), serial.get(), message.data().len());
        }
    }
}

#[async_trait::async_trait]
impl WriteHalf for Writer {
    async fn send_message(&mut self, message: &Message) -> zbus::Result<()> {
        if self.is_for_somebody(message) {
            self.stream.write_all(message.data()).await?;
            self.sent(message);
        }
        Ok(())
    }

    async fn send_messages(&mut self, messages: &[Message]) -> zbus::Result<()> {
        let all: Vec<&[u8]> = messages.iter().map(|message| &**message.data()).collect();
        self.stream.write_all(&all.concat()).await?;
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
