//! Messages off a socket, one after the other, and of one that is too long the header alone.
//!
//! A bus passes on messages of 128 MiB. What is too long is read away as it comes: nobody can make the daemon
//! take memory for it.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest message that is meant for us, with its header: no method of ours takes as much, and what a bus
/// answers is shorter.
pub(super) const MAX: u64 = 64 * 1024;
/// What is read at once,
const READ: usize = 4096;
/// and of what nobody wants.
const SINK: usize = 64 * 1024;
/// The part of a message's header that every message has (D-Bus specification, "Message Format").
const FIXED: usize = 16;
/// Where the length of the body is in it.
const BODY_LEN: std::ops::Range<usize> = 4..8;

/// What reads them.
#[derive(Debug)]
pub(super) struct Frames<R> {
    read: R,
    buffer: BytesMut,
    /// How much of what comes next nobody wants.
    unwanted: u64,
}

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// As it was sent.
    Whole(Vec<u8>),
    /// It was too long: its header, which says that it has no body.
    Header(Vec<u8>),
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(super) fn new(read: R) -> Self {
        Self {
            read,
            buffer: BytesMut::with_capacity(READ),
            unwanted: 0,
        }
    }

    /// Takes what somebody else read before.
    pub(super) fn give_back(&mut self, bytes: &[u8]) {
        let rest = std::mem::replace(&mut self.buffer, bytes.into());
        self.buffer.unsplit(rest);
    }

    /// What comes next, whatever it is: the greeting of a bus is no message.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read.read(buffer).await
    }

    /// The next message. Whoever stops waiting for it loses nothing.
    ///
    /// # Errors
    /// What reading fails with; `UnexpectedEof` at the end; `InvalidData` where it is no message.
    pub(super) async fn next(&mut self) -> io::Result<Frame> {
        loop {
            self.read_away().await?;
            if let Some(frame) = self.take()? {
                return Ok(frame);
            }
            if self.unwanted == 0 && self.read.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn read_away(&mut self) -> io::Result<()> {
        if self.unwanted == 0 {
            return Ok(());
        }
        let mut sink = vec![0; SINK];
        while self.unwanted > 0 {
            let most = self.unwanted.min(SINK as u64) as usize;
            match self.read.read(&mut sink[..most]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.unwanted -= read as u64,
            }
        }
        Ok(())
    }

    /// What is there of the next message, where that is enough.
    fn take(&mut self) -> io::Result<Option<Frame>> {
        let Some(fixed) = self.buffer.first_chunk::<FIXED>() else {
            return Ok(None);
        };
        let [body, fields] = lengths(fixed)?;
        let header = FIXED as u64 + fields.next_multiple_of(8);
        if header > MAX {
            // Whoever sent it can't be told.
            self.pass(header + body);
            return if self.unwanted == 0 {
                self.take()
            } else {
                Ok(None)
            };
        }
        let is_whole = header + body <= MAX;
        let wanted = if is_whole { header + body } else { header } as usize;
        if self.buffer.len() < wanted {
            self.buffer.reserve(wanted - self.buffer.len());
            return Ok(None);
        }
        let mut bytes = self.buffer.split_to(wanted).to_vec();
        if is_whole {
            return Ok(Some(Frame::Whole(bytes)));
        }
        bytes[BODY_LEN].fill(0);
        self.pass(body);
        Ok(Some(Frame::Header(bytes)))
    }

    /// Passes over the next `count` bytes.
    fn pass(&mut self, count: u64) {
        let here = count.min(self.buffer.len() as u64);
        self.buffer.advance(here as usize);
        self.unwanted = count - here;
    }
}

/// Those of the body and of the header's fields.
fn lengths(fixed: &[u8; FIXED]) -> io::Result<[u64; 2]> {
    let [little, _, _, _, a, b, c, d, _, _, _, _, e, f, g, h] = *fixed;
    let read = match little {
        b'l' => u32::from_le_bytes,
        b'B' => u32::from_be_bytes,
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    Ok([read([a, b, c, d]).into(), read([e, f, g, h]).into()])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{io::AsyncWriteExt, time::timeout};
    use zbus::Message;

    use super::*;

    fn call(body: &str) -> Vec<u8> {
        let call = Message::method_call("/", "Check").build(&body);
        call.unwrap().data().to_vec()
    }

    /// What is read of `bytes`, of which so many come at a time.
    async fn read(bytes: Vec<u8>, at_once: usize) -> Vec<Frame> {
        let (mut ours, theirs) = tokio::io::duplex(at_once);
        let write = tokio::spawn(async move { ours.write_all(&bytes).await });
        let mut frames = Frames::new(theirs);
        let mut read = Vec::new();
        loop {
            match frames.next().await {
                Ok(frame) => read.push(frame),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                    write.await.unwrap().unwrap();
                    assert!(frames.buffer.capacity() <= 2 * MAX as usize);
                    return read;
                }
            }
        }
    }

    #[tokio::test]
    async fn messages_come_one_after_the_other_however_they_arrive() {
        let calls = [call(""), call("desktop"), call(&"x".repeat(60_000))];
        let expected = calls.clone().map(Frame::Whole);
        for at_once in [1, 7, 4096, 1 << 20] {
            assert_eq!(read(calls.concat(), at_once).await, expected);
        }
    }

    #[tokio::test]
    async fn of_what_is_too_long_the_header_is_kept_and_the_next_is_read() {
        let [before, long, next] = ["", &"x".repeat(8_000_000), "next"].map(call);
        for at_once in [1000, 1 << 20] {
            let frames = read([&*before, &long, &next].concat(), at_once).await;
            let [
                Frame::Whole(first),
                Frame::Header(header),
                Frame::Whole(last),
            ] = &frames[..]
            else {
                panic!("{} messages", frames.len());
            };
            assert_eq!((first, last), (&before, &next));
            assert_eq!(header.len(), long.len() - 8_000_000 - 5);
            assert_eq!(header[..4], long[..4]);
            assert_eq!(header[4..8], [0; 4]);
        }
    }

    #[tokio::test]
    async fn a_header_that_is_too_long_is_passed_over() {
        let long = Message::method_call("/long".repeat(20_000), "Check").build(&"body");
        let (long, next) = (long.unwrap().data().to_vec(), call("next"));
        for at_once in [4096, 1 << 20] {
            let frames = read([long.clone(), next.clone()].concat(), at_once).await;
            assert_eq!(frames, [Frame::Whole(next.clone())]);
        }
    }

    #[tokio::test]
    async fn who_stops_waiting_loses_nothing() {
        let (mut ours, theirs) = tokio::io::duplex(1 << 20);
        let mut frames = Frames::new(theirs);
        let (long, next) = (call(&"x".repeat(200_000)), call("next"));
        let bytes = [&*long, &next].concat();
        let mut read = Vec::new();
        for part in bytes.chunks(999) {
            ours.write_all(part).await.unwrap();
            while let Ok(frame) = timeout(Duration::ZERO, frames.next()).await {
                read.push(frame.unwrap());
            }
        }
        assert!(matches!(&read[..], [Frame::Header(_), Frame::Whole(last)] if *last == next));
    }

    #[tokio::test]
    async fn what_was_read_before_comes_first() {
        let (mut ours, theirs) = tokio::io::duplex(1 << 20);
        let call = call("desktop");
        let (before, after) = call.split_at(20);
        ours.write_all(after).await.unwrap();
        let mut frames = Frames::new(theirs);
        frames.give_back(before);
        assert_eq!(frames.next().await.unwrap(), Frame::Whole(call));
    }

    #[tokio::test]
    async fn what_is_no_message_is_an_error() {
        let mut frames = Frames::new(&b"HTTP/1.1 400 Bad Request\r\n"[..]);
        let error = frames.next().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        // The longest that there can be, in the other byte order.
        let mut longest = [0xff; FIXED];
        longest[0] = b'B';
        let mut frames = Frames::new(&longest[..]);
        let error = frames.next().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
