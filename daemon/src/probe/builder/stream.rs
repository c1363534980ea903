//! The stream russh works on: one that its owner can cut, and whose opening was already held.
//!
//! russh moves its stream into a task of its own, which would sit on a silent peer for ever when
//! the check that started it is dropped in the middle of the key exchange. So the owner keeps a
//! [`Cut`]: once that is gone the stream ends, and with it the task and the socket.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
};

/// Bytes in both directions: a TCP connection or a proxy command's pipe.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// Ends its [`Stream`] when dropped.
#[derive(Debug)]
pub(super) struct Cut(
    #[expect(dead_code, reason = "held only for its end")] oneshot::Sender<Infallible>,
);

/// The rest of a connection whose identification lines were already exchanged.
pub(super) struct Stream {
    inner: Box<dyn Duplex>,
    /// What was read beyond russh's back and is still to be read by it.
    replay: Vec<u8>,
    /// How much russh will write that the peer already has.
    written: usize,
    cut: oneshot::Receiver<Infallible>,
    is_cut: bool,
}

impl Stream {
    /// Takes over `inner`, of which `replay` was read and the first `written` bytes were written.
    pub(super) fn new(inner: Box<dyn Duplex>, replay: Vec<u8>, written: usize) -> (Self, Cut) {
        let (sender, cut) = oneshot::channel();
        let stream = Self {
            inner,
            replay,
            written,
            cut,
            is_cut: false,
        };
        (stream, Cut(sender))
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
            buf.put_slice(&this.replay[..count]);
            this.replay.drain(..count);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.inner).poll_read(cx, buf)
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

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
