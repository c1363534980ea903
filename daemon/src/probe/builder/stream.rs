//! The stream russh works on: one that its owner can cut, whose opening was already held, and that
//! is read ahead of it.
//!
//! russh moves its stream into a task of its own, which would sit on a silent peer for ever when
//! the check that started it is dropped in the middle of the key exchange. So the owner keeps a
//! [`Cut`]: once that is gone the stream ends, and with it the task and the socket.
//!
//! russh reads each packet in two parts, its length and the rest. Most packets are short and come
//! together, so what has come is taken from the kernel at once and handed out piecemeal.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader, ReadBuf},
    sync::{oneshot, watch},
};

use super::proposal::{Proposal, Tap};

/// How much is read ahead, in bytes: a login's packets that come together. Reads of more go past it.
/// A kept connection holds as much.
const AHEAD: usize = 4096;

/// How much a server may say until it has let us in, in bytes. Two exchanges of keys, with certificates and a
/// long banner, are a tenth of it; but packets that are to be ignored may be sent for ever.
const MAX_LOGIN: usize = 256 * 1024;

/// Bytes in both directions: a TCP connection or a proxy command's pipe.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// Ends its [`Stream`] when dropped.
#[derive(Debug)]
pub(super) struct Cut {
    _end: oneshot::Sender<Infallible>,
    is_in: Arc<AtomicBool>,
    proposal: watch::Receiver<Option<Proposal>>,
}

impl Cut {
    /// The server has let us in: what it says is no longer counted.
    pub(super) fn let_in(&self) {
        self.is_in.store(true, Ordering::Relaxed);
    }

    /// Where the server's proposal shows, as soon as it has come.
    pub(super) fn proposal(&self) -> watch::Receiver<Option<Proposal>> {
        self.proposal.clone()
    }
}

/// The rest of a connection whose identification lines were already exchanged.
pub(super) struct Stream {
    inner: BufReader<Box<dyn Duplex>>,
    /// What was read beyond russh's back and is still to be read by it.
    replay: Vec<u8>,
    /// How much russh will write that the peer already has.
    written: usize,
    cut: oneshot::Receiver<Infallible>,
    is_cut: bool,
    /// How much was read before the server let us in.
    read: usize,
    is_in: Arc<AtomicBool>,
    tap: Tap,
}

impl Stream {
    /// Takes over `inner`, of which `replay` was read and the first `written` bytes were written.
    pub(super) fn new(inner: Box<dyn Duplex>, replay: Vec<u8>, written: usize) -> (Self, Cut) {
        let (sender, cut) = oneshot::channel();
        let is_in = Arc::new(AtomicBool::new(false));
        let (tap, proposal) = Tap::new();
        let stream = Self {
            inner: BufReader::with_capacity(AHEAD, inner),
            replay,
            written,
            cut,
            is_cut: false,
            read: 0,
            is_in: is_in.clone(),
            tap,
        };
        let cut = Cut {
            _end: sender,
            is_in,
            proposal,
        };
        (stream, cut)
    }

    /// Whether the owner is gone. Both halves are polled by one task, so that the last waker
    /// registered is always the right one.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> bool {
        self.is_cut = self.is_cut || Pin::new(&mut self.cut).poll(cx).is_ready();
        self.is_cut
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.poll_cut(cx) {
            return Poll::Ready(Ok(()));
        }
        if !this.replay.is_empty() {
            let count = this.replay.len().min(buf.remaining());
            this.tap.hear(&this.replay[..count]);
            buf.put_slice(&this.replay[..count]);
            this.replay.drain(..count);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        if !this.is_in.load(Ordering::Relaxed) {
            this.tap.hear(&buf.filled()[before..]);
            this.read += buf.filled().len() - before;
            if this.read > MAX_LOGIN {
                let flood = format!("more than {MAX_LOGIN} bytes before it let us in");
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, flood)));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.poll_cut(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if this.written > 0 {
            let count = this.written.min(buf.len());
            this.written -= count;
            return Poll::Ready(Ok(count));
        }
        Pin::new(&mut this.inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.poll_cut(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    /// Never fails: russh would take the failure to close a dead connection for the reason of its
    /// death, and tell its handler nothing.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.poll_cut(cx) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.inner).poll_shutdown(cx).map(|_| Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// Counts how often it was read from.
    struct Counted(DuplexStream, Arc<AtomicUsize>);

    impl AsyncRead for Counted {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let this = self.get_mut();
            this.1.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut this.0).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Counted {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
        }

        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.get_mut().0).poll_flush(cx)
        }

        fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
        }
    }

    #[tokio::test]
    async fn short_packets_that_came_together_are_one_read_and_a_long_one_is_not_cut_up() {
        let (near, mut far) = duplex(64 * 1024);
        let reads = Arc::new(AtomicUsize::new(0));
        let near = Counted(near, reads.clone());
        let (mut stream, _cut) = Stream::new(Box::new(near), Vec::new(), 0);
        let sent: Vec<u8> = (0..10 * 16).collect();
        far.write_all(&sent).await.unwrap();
        let mut read = vec![0; sent.len()];
        for packet in read.chunks_mut(16) {
            let (length, rest) = packet.split_at_mut(4);
            stream.read_exact(length).await.unwrap();
            stream.read_exact(rest).await.unwrap();
        }
        assert_eq!(read, sent);
        assert_eq!(reads.swap(0, Ordering::Relaxed), 1);

        let long = vec![7; 8 * AHEAD];
        far.write_all(&long).await.unwrap();
        let mut read = vec![0; long.len()];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(read, long);
        assert_eq!(reads.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_server_that_says_more_than_a_login_takes_is_not_listened_to() {
        for is_in in [false, true] {
            let (stream, cut) = Stream::new(Box::new(duplex(1).0), Vec::new(), 0);
            let endless = tokio::io::join(tokio::io::repeat(2), tokio::io::sink());
            let mut stream = Stream {
                inner: BufReader::new(Box::new(endless)),
                ..stream
            };
            if is_in {
                cut.let_in();
            }
            let mut read = vec![0; 2 * MAX_LOGIN];
            let ended = stream
                .read_exact(&mut read)
                .await
                .map_err(|error| error.kind());
            let expected = if is_in {
                Ok(read.len())
            } else {
                Err(io::ErrorKind::InvalidData)
            };
            assert_eq!(ended, expected);
        }
    }

    #[tokio::test]
    async fn what_was_exchanged_before_is_neither_lost_nor_sent_twice() {
        let (near, mut far) = duplex(64);
        let (mut stream, _cut) = Stream::new(Box::new(near), b"SSH-2.0-x\r\n".to_vec(), 4);
        far.write_all(b"more").await.unwrap();
        let mut read = [0; 15];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"SSH-2.0-x\r\nmore");

        stream.write_all(b"id\r\nkexinit").await.unwrap();
        let mut written = [0; 7];
        far.read_exact(&mut written).await.unwrap();
        assert_eq!(&written, b"kexinit");
    }

    #[tokio::test]
    async fn a_cut_ends_a_read_that_waits_and_a_write_that_is_stuck() {
        let (near, _far) = duplex(1);
        let (stream, cut) = Stream::new(Box::new(near), Vec::new(), 0);
        let reading = tokio::spawn(async move {
            let mut stream = stream;
            let read = stream.read(&mut [0; 8]).await;
            (read, stream.write_all(b"more than fits").await)
        });
        tokio::task::yield_now().await;
        drop(cut);
        let (read, written) = reading.await.unwrap();
        assert_eq!(read.unwrap(), 0);
        assert_eq!(
            written.unwrap_err().kind(),
            io::ErrorKind::ConnectionAborted
        );

        let (near, _far) = duplex(1);
        let (mut stream, cut) = Stream::new(Box::new(near), Vec::new(), 0);
        let writing = tokio::spawn(async move { stream.write_all(b"more than fits").await });
        tokio::task::yield_now().await;
        drop(cut);
        assert!(writing.await.unwrap().is_err());
    }
}
