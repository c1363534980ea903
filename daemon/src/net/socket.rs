//! The netlink sockets: one that asks for everything there is, one that listens for changes.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind,
        netlink::SocketAddrNetlink, recvfrom, sendto, socket_with, sockopt,
    },
};
use tokio::io::unix::AsyncFd;

use super::wire::{self, Malformed, Message, Messages};

/// Groups of the kernel's news (`RTMGRP_*`, linux/rtnetlink.h): links, and the addresses and routes
/// of IPv4 and IPv6.
pub(super) const NETWORK: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
/// `RTMGRP_NEIGH`.
pub(super) const NEIGHBOURS: u32 = 0x4;

/// The kernel writes no part of a dump larger than what it was given room for before, and begins
/// with 8 KiB at most (`netlink_dump`, net/netlink/af_netlink.c).
const BUFFER: usize = 16 << 10;
/// How often a dump is begun again because something changed meanwhile. The last one is taken as
/// it is: whoever follows the changes reads again anyway.
const ATTEMPTS: usize = 8;
/// The kernel answers at once; where something else plays its part, that does not hold the daemon.
const PATIENCE: Duration = Duration::from_secs(1);
/// More entries than that are refused: no laptop has them, and they would be memory.
const MOST: usize = 4096;

/// Asks for everything there is of a kind.
#[derive(Debug)]
pub(super) struct Dumper {
    socket: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

/// Reads a message of the wanted kind into the entries found so far.
pub(super) type Reader<T> = fn(&Message<'_>, &mut Vec<T>) -> Result<(), Malformed>;

/// What a dump asks for.
pub(super) struct Question<'a> {
    /// `RTM_GET…`.
    pub(super) ask: u16,
    /// `RTM_NEW…`, of which the answer is made.
    pub(super) answer: u16,
    /// The fixed part of the request, and its attributes.
    pub(super) body: &'a [u8],
}

/// How a dump ended.
enum Dumped {
    Whole,
    /// Something changed meanwhile, or there was no room for all of it.
    Again,
}

impl Dumper {
    /// Fails where netlink is not permitted.
    pub(super) fn new() -> io::Result<Self> {
        let socket = open(SocketFlags::empty(), 0)?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
        Ok(Self {
            socket,
            buffer: vec![0; BUFFER],
            sequence: 0,
        })
    }

    /// Everything that `question` asks for.
    pub(super) fn dump<T>(
        &mut self,
        question: &Question<'_>,
        read: Reader<T>,
    ) -> io::Result<Vec<T>> {
        let mut found = Vec::new();
        for _ in 0..ATTEMPTS {
            found.clear();
            let mut take = |message: &Message<'_>| {
                read(message, &mut found).map_err(invalid)?;
                if found.len() > MOST {
                    return Err(io::Error::other("there are too many to be kept"));
                }
                Ok(())
            };
            if let Dumped::Whole = self.attempt(question, &mut take)? {
                break;
            }
        }
        Ok(found)
    }

    fn attempt(
        &mut self,
        question: &Question<'_>,
        take: &mut dyn FnMut(&Message<'_>) -> io::Result<()>,
    ) -> io::Result<Dumped> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = wire::dump_request(question.ask, self.sequence, question.body);
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(&self.socket, &request, SendFlags::empty(), &kernel)?;
        let mut interrupted = false;
        loop {
            let length = match receive(&self.socket, &mut self.buffer) {
                Ok(Some(length)) => length,
                Ok(None) => continue,
                Err(Errno::NOBUFS) => {
                    interrupted = true;
                    continue;
                }
                Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Err(error.into()),
            };
            let datagram = self.buffer.get(..length);
            for message in Messages::of(datagram.ok_or_else(|| invalid(Malformed::Length))?) {
                let message = message.map_err(invalid)?;
                if message.sequence != self.sequence {
                    continue;
                }
                interrupted |= message.flags & wire::DUMP_INTERRUPTED != 0;
                match message.kind {
                    wire::DONE | wire::ERROR => {
                        status(&message)?;
                        return Ok(if interrupted {
                            Dumped::Again
                        } else {
                            Dumped::Whole
                        });
                    }
                    wire::OVERRUN => interrupted = true,
                    kind if kind == question.answer => take(&message)?,
                    _ => {}
                }
            }
        }
    }
}

/// Hears of what changes, from its creation on.
#[derive(Debug)]
pub(super) struct Listener(AsyncFd<OwnedFd>);

/// What a [`Listener`] heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// As many bytes of the kernel's.
    Datagram(usize),
    /// There was more than was taken away in time.
    Lost,
}

impl Listener {
    /// Listens to `groups`. Fails where netlink is not permitted.
    #[expect(
        deprecated,
        reason = "`AsyncFd::register` is for descriptors that could be closed while registered; \
                  this one is owned by the AsyncFd, and this crate forbids unsafe code"
    )]
    pub(super) fn new(groups: u32) -> io::Result<Self> {
        let socket = open(SocketFlags::NONBLOCK, groups)?;
        AsyncFd::new(socket).map(Self)
    }

    /// Waits for the next change. A datagram that has no room in `buffer` is cut off. Nothing is
    /// lost when dropped.
    pub(super) async fn next(&self, buffer: &mut [u8]) -> io::Result<Heard> {
        loop {
            let mut ready = self.0.readable().await?;
            match receive(self.0.get_ref(), buffer) {
                Ok(Some(length)) => return Ok(Heard::Datagram(length.min(buffer.len()))),
                Ok(None) => {}
                Err(Errno::NOBUFS) => return Ok(Heard::Lost),
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn open(flags: SocketFlags, groups: u32) -> io::Result<OwnedFd> {
    // No protocol is NETLINK_ROUTE, whose number is 0.
    let flags = flags | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// The whole length of the next datagram, though it may have been cut off; `None` where it is not
/// the kernel's.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Result<Option<usize>, Errno> {
    let (_, length, sender) = recvfrom(socket, buffer, RecvFlags::TRUNC)?;
    let sender = sender.map(SocketAddrNetlink::try_from);
    let is_kernel = matches!(sender, Some(Ok(sender)) if sender.pid() == 0);
    Ok(is_kernel.then_some(length))
}

/// What an answer's end says: 0, or an error's number below it (`struct nlmsgerr`).
fn status(message: &Message<'_>) -> io::Result<()> {
    let code = wire::u32_at(message.body, 0).unwrap_or(0).cast_signed();
    match code.checked_neg() {
        Some(error) if error > 0 => Err(io::Error::from_raw_os_error(error)),
        _ => Ok(()),
    }
}

pub(super) fn invalid(error: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
