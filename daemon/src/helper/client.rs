//! Asks the helper.

use std::{
    env,
    fs::File,
    io::{self, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::unix::pipe,
};

use super::wire::{self, Answer, Ended, Line, Offered, Request, Watched};
use crate::{clock::within, file, program::Stream};

/// Where systemd listens for it (`offload-helper.socket`).
const SOCKET: &str = "/run/offload-helper.socket";
/// So long is waited for a file, and each time for the next bytes: it is on this machine, and answers within
/// milliseconds; where it has to be started, within a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(1);

/// The same where ssh is asked, for which the helper has two seconds.
const PATIENCE_WITH_SSH: Duration = Duration::from_secs(4);

/// Where the helper is asked.
#[derive(Clone, Debug)]
pub(crate) struct Helper {
    socket: PathBuf,
}

impl Helper {
    /// The one at `OFFLOADD_HELPER`, or where systemd has it; `None` where there is none, and for root, who needs
    /// none.
    pub(crate) fn of_this_machine() -> Option<Self> {
        let socket = env::var_os("OFFLOADD_HELPER").map_or_else(|| SOCKET.into(), PathBuf::from);
        let is_needed = !rustix::process::geteuid().is_root();
        (is_needed && socket.exists()).then_some(Self { socket })
    }

    #[cfg(test)]
    pub(crate) fn at(socket: &Path) -> Self {
        let socket = socket.to_owned();
        Self { socket }
    }

    /// Opens a file that root's Nix reads, or root's ssh for the builder with the URI `store`.
    ///
    /// It is waited for, since the files are read in one go: no network is in it, and no more than a second.
    ///
    /// # Errors
    /// `NotFound`; `PermissionDenied` where the helper refuses; what [`file::regular`] says; that it can't be
    /// asked, or does not answer.
    pub(crate) fn open(&self, path: &Path, store: &str) -> io::Result<File> {
        let question = Request::Open {
            path: path.to_owned(),
            store: store.to_owned(),
        };
        let (_, file) = self.handed_over(&question, PATIENCE)?;
        file::regular(file.into())
    }

    /// An inotify that root has made, of the folders in which root's Nix and ssh read something. It tells without the
    /// helper, which is waited for here.
    ///
    /// # Errors
    /// It can't be asked, does not answer, or can't watch.
    pub(crate) fn watch(&self) -> io::Result<(Vec<Watched>, OwnedFd)> {
        let (row, inotify) = self.handed_over(&Request::Watch, PATIENCE_WITH_SSH)?;
        Ok((Watched::decode_all(&row)?, inotify))
    }

    /// What is answered with a descriptor.
    fn handed_over(
        &self,
        question: &Request,
        patience: Duration,
    ) -> io::Result<(Vec<u8>, OwnedFd)> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(&question.encode())?;
        let (answer, descriptor) = read(&mut stream)?;
        Ok((done(answer)?, descriptor.ok_or(wire::WireError)?))
    }
}

impl Helper {
    /// What root's ssh would do for the builder with the URI `store`: the answer of `ssh -G`.
    ///
    /// # Errors
    /// `Other` with what ssh says, where it refuses; anything else where it could not be asked.
    pub(crate) async fn resolve(&self, store: &str) -> io::Result<Vec<u8>> {
        let store = store.to_owned();
        self.ask(&Request::Resolve { store }).await
    }

    /// Builds something new, as root and through its Nix, on the builder with the URI `store` alone; for `timeout` at
    /// the most. What there is to be told of it goes to `heard`. Dropping the future ends it.
    ///
    /// # Errors
    /// It can't be asked, does not answer, or does not build; a build that fails is none.
    pub(crate) async fn build(
        &self,
        store: &str,
        timeout: Duration,
        mut heard: impl FnMut(Told),
    ) -> io::Result<Ended> {
        let question = Request::Build {
            store: store.to_owned(),
            // A second more than none.
            seconds: u32::try_from(timeout.as_millis().div_ceil(1000)).unwrap_or(u32::MAX),
        };
        let exchange = async {
            let mut stream = self.send(&question).await?;
            loop {
                match answer(&mut stream).await? {
                    Answer::Begun(word) => heard(Told::Begun(word)),
                    Answer::Line(Line { is_output, text }) => {
                        let stream = if is_output {
                            Stream::Output
                        } else {
                            Stream::Error
                        };
                        heard(Told::Line(stream, text));
                    }
                    answer => return Ok(Ended::decode(&done(answer)?)?),
                }
            }
        };
        // It ends by its own time.
        let ended = within(timeout + PATIENCE_WITH_SSH, exchange).await;
        ended.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Forgets what Nix remembers as missing from the substituter with the URL `cache`: how many paths.
    ///
    /// # Errors
    /// `PermissionDenied` where it is none of Nix's; `Other` with what is in the way: somebody writes, or there is no
    /// `sqlite3`. Anything else where it can't be asked.
    pub(crate) async fn forget(&self, cache: &str) -> io::Result<u64> {
        let cache = cache.to_owned();
        let count = self.ask(&Request::Forget { cache }).await?;
        let count = std::str::from_utf8(&count).ok();
        let count = count.and_then(|count| count.parse().ok());
        Ok(count.ok_or(wire::WireError)?)
    }

    /// Starts what root's ssh has as its proxy for the builder with the URI `store`.
    ///
    /// # Errors
    /// `PermissionDenied` where root's ssh has none there, or too many run; `Other` with what is in the way. Anything
    /// else where it can't be asked.
    pub(crate) async fn dial(&self, store: &str) -> io::Result<RootsProxy> {
        let store = store.to_owned();
        let exchange = async {
            let mut control = self.send(&Request::Dial { store }).await?;
            let (answer, descriptors) = answer_with(&mut control).await?;
            let Answer::Begun(_) = answer else {
                done(answer)?;
                return Err(wire::WireError.into());
            };
            let [Some(socket), Some(complaints)] = descriptors else {
                return Err(wire::WireError.into());
            };
            let socket = UnixStream::from(socket);
            socket.set_nonblocking(true)?;
            Ok(RootsProxy {
                socket: tokio::net::UnixStream::from_std(socket)?,
                complaints: pipe::Receiver::from_owned_fd(complaints)?,
                life: Life(control),
            })
        };
        let proxy = within(PATIENCE_WITH_SSH, exchange).await;
        proxy.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn ask(&self, question: &Request) -> io::Result<Vec<u8>> {
        let exchange = async {
            let mut stream = self.send(question).await?;
            done(answer(&mut stream).await?)
        };
        let answer = within(PATIENCE_WITH_SSH, exchange).await;
        answer.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn send(&self, question: &Request) -> io::Result<tokio::net::UnixStream> {
        let mut stream = tokio::net::UnixStream::connect(&self.socket).await?;
        stream.write_all(&question.encode()).await?;
        Ok(stream)
    }
}

async fn answer(stream: &mut tokio::net::UnixStream) -> io::Result<Answer> {
    Ok(answer_with(stream).await?.0)
}

/// An answer, and the descriptors that come with its first byte.
async fn answer_with(
    stream: &mut tokio::net::UnixStream,
) -> io::Result<(Answer, [Option<OwnedFd>; 2])> {
    let reading = stream.async_io(Interest::READABLE, || first_byte(&*stream));
    let (first, descriptors) = reading.await?;
    let mut length = [first, 0, 0, 0];
    stream.read_exact(&mut length[1..]).await?;
    let mut frame = vec![0; wire::frame_length(length)?];
    stream.read_exact(&mut frame).await?;
    Ok((Answer::decode(&frame)?, descriptors))
}

/// A proxy that root's ssh would go through, running.
#[derive(Debug)]
pub(crate) struct RootsProxy {
    /// What it reads and writes.
    pub(crate) socket: tokio::net::UnixStream,
    /// What it complains of.
    pub(crate) complaints: pipe::Receiver,
    pub(crate) life: Life,
}

/// That of a [`RootsProxy`], which ends with this.
#[derive(Debug)]
pub(crate) struct Life(tokio::net::UnixStream);

impl Life {
    /// Waits for its end.
    ///
    /// # Errors
    /// The helper does not say how it ended, or could not start it.
    pub(crate) async fn ended(&mut self) -> io::Result<Ended> {
        Ok(Ended::decode(&done(answer(&mut self.0).await?)?)?)
    }
}

/// What is told of a test build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It begins; its paths have this word in their names.
    Begun(String),
    /// Nix says that.
    Line(Stream, String),
}

/// Root's keys, for one builder.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) helper: Helper,
    /// Its URI, as the list of builders has it.
    pub(crate) store: String,
}

impl Agent {
    /// The keys that root's ssh would offer there, in its order.
    ///
    /// # Errors
    /// It can't be asked, or does not say.
    pub(crate) async fn identities(&self) -> io::Result<Vec<Offered>> {
        let store = self.store.clone();
        let row = self.helper.ask(&Request::Identities { store }).await?;
        Ok(Offered::decode_all(&row)?)
    }

    /// A signature with one of them, as ssh writes it, of what a client signs to log in there.
    ///
    /// # Errors
    /// It can't be asked, or does not sign.
    pub(crate) async fn sign(&self, data: Vec<u8>) -> io::Result<Vec<u8>> {
        let store = self.store.clone();
        self.helper.ask(&Request::Sign { store, data }).await
    }
}

/// What was answered with, or why not.
fn done(answer: Answer) -> io::Result<Vec<u8>> {
    let (kind, why) = match answer {
        Answer::Done(bytes) => return Ok(bytes),
        Answer::Missing => return Err(io::ErrorKind::NotFound.into()),
        Answer::Refused(why) => (io::ErrorKind::PermissionDenied, why),
        Answer::Failed(why) => (io::ErrorKind::Other, why),
        Answer::Begun(_) | Answer::Line(_) => return Err(wire::WireError.into()),
    };
    Err(io::Error::new(kind, why))
}

/// Reads an answer, and the descriptor that comes with its first byte.
fn read(stream: &mut UnixStream) -> io::Result<(Answer, Option<OwnedFd>)> {
    let (first, [descriptor, _]) = first_byte(&*stream)?;
    let frame = wire::read_frame(&mut Read::chain(&[first][..], stream))?;
    Ok((Answer::decode(&frame)?, descriptor))
}

/// Reads one byte, and the descriptors that come with it.
fn first_byte(stream: impl AsFd) -> io::Result<(u8, [Option<OwnedFd>; 2])> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut first = [0];
    let received = recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut first)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut descriptors = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
        _ => Vec::new(),
    });
    Ok((first[0], [descriptors.next(), descriptors.next()]))
}
