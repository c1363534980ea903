//! One HTTP connection to a cache, at work and at rest.
//!
//! This is hyper's connection itself and not a client with a pool (reqwest, hyper-util): a probe
//! must name the stage that failed, and must see the moment in which the peer closes a kept
//! connection that lies idle. A pool hides both.

use std::{error::Error, io, net::SocketAddr, pin::Pin};

use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1::{Builder, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use offload_client::{Printable, Reason, Stage};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    pin, select,
};
use tokio_rustls::rustls;

use crate::probe::fault::reason_of_broken;
use crate::report::Failure;

/// The answer's head may have so many bytes; hyper keeps no larger buffer.
pub(super) const MAX_HEAD: usize = 16 * 1024;

/// What is kept of the body of `nix-cache-info`, and of one that nobody reads.
pub(super) const MAX_BODY: usize = 8 * 1024;

/// What HTTP is spoken over: TCP, TLS, or a test's pipe.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection over which one question at a time is asked.
///
/// Nobody but the owner polls it: while a question is out [`Link::ask`] does, while it is idle
/// [`Resting::ended`] does. Dropping it closes the connection.
pub(super) struct Link {
    /// Who is on the other side.
    pub peer: SocketAddr,
    sender: SendRequest<Empty<Bytes>>,
    /// `None` when it has ended.
    connection: Option<Pin<Box<Http>>>,
}

type Http = Connection<TokioIo<Box<dyn Stream>>, Empty<Bytes>>;

/// An answer's body.
pub(super) struct Body {
    /// Its beginning, as far as it was wanted.
    pub bytes: Vec<u8>,
    /// Whether there is more.
    pub cut: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub(super) struct Broken {
    /// The reason to report.
    pub reason: Reason,
    /// The stage it belongs to.
    pub stage: Stage,
    detail: Printable,
}

impl Link {
    /// Speaks HTTP over `stream`. Nothing is sent yet.
    pub(super) async fn new(stream: Box<dyn Stream>, peer: SocketAddr) -> Result<Self, Broken> {
        let mut builder = Builder::new();
        builder.max_buf_size(MAX_HEAD);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        Ok(Self {
            peer,
            sender,
            connection: Some(Box::pin(connection)),
        })
    }

    /// Asks; answers when the head of the answer is there.
    pub(super) async fn ask(
        &mut self,
        question: Request<Empty<Bytes>>,
    ) -> Result<Response<Incoming>, Broken> {
        let answer = self.sender.send_request(question);
        Ok(drive(&mut self.connection, answer).await?)
    }

    /// Reads the body of the answer, but for what is beyond `most` bytes.
    pub(super) async fn read(
        &mut self,
        mut incoming: Incoming,
        most: usize,
    ) -> Result<Body, Broken> {
        let mut body = Body {
            bytes: Vec::new(),
            cut: false,
        };
        while let Some(frame) = drive(&mut self.connection, incoming.frame()).await {
            let Ok(data) = frame?.into_data() else {
                continue; // trailers
            };
            let room = most - body.bytes.len();
            body.bytes.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                body.cut = true;
                break;
            }
        }
        Ok(body)
    }

    /// Whether another question can be asked: not after `Connection: close`, HTTP/1.0, a body
    /// that ends with the connection, or one that was not read to its end.
    pub(super) async fn is_reusable(&mut self) -> bool {
        let ready = self.sender.ready();
        drive(&mut self.connection, ready).await.is_ok() && self.connection.is_some()
    }

    /// Lays it to rest; `None` where it has ended, or the peer has said more than it was asked.
    pub(super) fn rest(self) -> Option<Resting> {
        let parts = Pin::into_inner(self.connection?).into_parts();
        parts.read_buf.is_empty().then(|| Resting {
            peer: self.peer,
            stream: parts.io.into_inner(),
        })
    }
}

/// A connection between two questions: its stream, without the buffers that HTTP needs, which would be more
/// than all else that is kept of a target.
pub(super) struct Resting {
    peer: SocketAddr,
    stream: Box<dyn Stream>,
}

impl Resting {
    /// Ends when the peer closes the connection, or breaks the silence that it owes us.
    pub(super) async fn ended(&mut self) {
        // How it ended makes no difference: it is of no use any more.
        let _ = self.stream.read(&mut [0]).await;
    }

    /// Speaks HTTP over it again.
    pub(super) async fn wake(self) -> Result<Link, Broken> {
        Link::new(self.stream, self.peer).await
    }
}

/// Runs `work` and with it the connection that it needs to get on.
async fn drive<F: Future>(connection: &mut Option<Pin<Box<Http>>>, work: F) -> F::Output {
    pin!(work);
    if let Some(running) = connection {
        select! {
            biased;
            done = &mut work => return done,
            _ = running => {}
        }
        // Dropped, so that whatever still waits for it is told.
        *connection = None;
    }
    work.await
}

impl Broken {
    /// Whether it may be that a kept connection had been closed before the question came: asking
    /// again on a new one is fair then. An answer that is not HTTP is an answer.
    pub(super) fn may_be_stale(&self) -> bool {
        !matches!(self.reason, Reason::NotHttp | Reason::TlsFailed)
    }

    /// As a check's failure.
    pub(super) fn failure(self) -> Failure {
        Failure {
            stage: self.stage,
            reason: self.reason,
            detail: self.detail,
        }
    }
}

impl From<hyper::Error> for Broken {
    fn from(error: hyper::Error) -> Self {
        let (reason, stage) = if error.is_parse() {
            (Reason::NotHttp, Stage::Http)
        } else {
            let broken = source_io(&error).map(classify);
            broken.unwrap_or((Reason::ConnectionLost, Stage::Http))
        };
        Self {
            reason,
            stage,
            detail: chain(&error).into(),
        }
    }
}

/// What an I/O error within an exchange means.
fn classify(error: &io::Error) -> (Reason, Stage) {
    let inner = error.get_ref();
    if inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
        // TLS 1.3 rejects a client (its missing certificate) only after the handshake.
        return (Reason::TlsFailed, Stage::Tls);
    }
    match error.kind() {
        // hyper's reader of chunked bodies says so of what are no chunks.
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => (Reason::NotHttp, Stage::Http),
        _ => (reason_of_broken(error), Stage::Http),
    }
}

fn source_io(error: &hyper::Error) -> Option<&io::Error> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref() {
            return Some(io);
        }
        source = cause.source();
    }
    None
}

/// The error and its causes in one line, each said once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
