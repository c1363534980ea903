//! Answers one question a connection, to the owner of the socket alone.

use std::{
    io::{self, IoSlice, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            fs::MetadataExt,
            net::{UnixListener, UnixStream},
        },
    },
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use listenfd::ListenFd;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg, sockopt::socket_peercred,
    },
};

use super::{
    agent::{self, AgentError},
    build, dial,
    open::{self, OpenError},
    roots::Nix,
    slots::Slots,
    ssh, watch,
};
use crate::{
    clock::Stopwatch,
    exit,
    helper::wire::{Answer, Request, read_frame},
    nix::{ssh_config::SshConfigError, uri},
};

/// Whoever has said nothing for so long is gone: a check of many builders asks more often.
const IDLE: Duration = Duration::from_secs(30);
/// So long a question may take to come, and its answer to be taken.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many are answered at once: `ssh -G` may have to wait for others.
const MAX_AT_ONCE: usize = 16;
/// What a thread of ours has for its calls, in bytes; the kernel gives it as it is used.
const STACK: usize = 256 << 10;

/// Most answers come alone.
const ALONE: &[OwnedFd] = &[];

pub(super) const NO_BUILDER: &str = "Nix has no such builder";

/// Answers at the socket that systemd hands over, until nobody has asked for a while.
pub fn run() -> ExitCode {
    let listener = match ListenFd::from_env().take_unix_listener(0) {
        Ok(Some(listener)) => listener,
        _ => {
            log(
                Level::Error,
                "started by offload-helper.socket, and by nobody else",
            );
            return exit::USAGE.into();
        }
    };
    match serve(&listener, &Nix::from_environment(), IDLE) {
        Ok(()) => exit::OK.into(),
        Err(error) => {
            log(Level::Error, &error.to_string());
            exit::OS_ERROR.into()
        }
    }
}

/// Answers until nobody has asked for `idle`.
///
/// # Errors
/// The socket can't be listened at.
pub(super) fn serve(listener: &UnixListener, nix: &Nix, idle: Duration) -> io::Result<()> {
    let idle = Timespec::try_from(idle).map_err(io::Error::other)?;
    let owner = owner(listener)?;
    let at_once = AtomicUsize::new(0);
    let lasting = Lasting {
        builds: Slots::new(build::MAX_AT_ONCE),
        proxies: Slots::new(dial::MAX_AT_ONCE),
    };
    listener.set_nonblocking(true)?;
    thread::scope(|scope| {
        loop {
            let mut waited = [PollFd::new(listener, PollFlags::IN)];
            let is_idle = poll(&mut waited, Some(&idle))? == 0;
            // Who waits to be heard is heard by the next one, which systemd starts.
            if (is_idle || nix.is_outdated()) && at_once.load(Ordering::Acquire) == 0 {
                return Ok(());
            }
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                // Who is gone already; nobody yet.
                Err(error) if is_passing(&error) => continue,
                Err(error) => return Err(error),
            };
            let is_apart = at_once.fetch_add(1, Ordering::Acquire) < MAX_AT_ONCE;
            let lasting = is_apart.then_some(&lasting);
            let at_once = &at_once;
            let answer = move || {
                answer(stream, owner, nix, lasting);
                at_once.fetch_sub(1, Ordering::Release);
            };
            if is_apart {
                thread::Builder::new()
                    .stack_size(STACK)
                    .spawn_scoped(scope, answer)?;
            } else {
                answer();
            }
        }
    })
}

/// What takes its time.
struct Lasting {
    builds: Slots,
    proxies: Slots,
}

/// Whether nothing is wrong with the socket, or with us.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
    matches!(error.kind(), ConnectionAborted | Interrupted | WouldBlock)
}

/// Whom the socket is for: the owner that systemd has given it (`SocketUser=`).
fn owner(listener: &UnixListener) -> io::Result<u32> {
    let address = listener.local_addr()?;
    let path = address
        .as_pathname()
        .ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok(std::fs::metadata(path)?.uid())
}

/// Answers one connection; with nothing that takes its time where others wait for that.
fn answer(stream: UnixStream, owner: u32, nix: &Nix, lasting: Option<&Lasting>) {
    // The mode of the socket keeps others out: this holds where somebody has loosened it.
    let caller = match socket_peercred(&stream) {
        Ok(caller) if [0, owner].contains(&caller.uid.as_raw()) => caller.pid,
        Ok(caller) => {
            let (pid, uid) = (caller.pid, caller.uid);
            return log(
                Level::Warning,
                &format!("process {pid} of user {uid}: refused, it is none of offloadd's"),
            );
        }
        Err(error) => return log(Level::Warning, &error.to_string()),
    };
    let caller = format!("process {caller}");
    let mut bounded = Bounded {
        stream: &stream,
        since: Stopwatch::start(),
    };
    let request = read_frame(&mut bounded).and_then(|frame| Ok(Request::decode(&frame)?));
    let request = match request {
        Ok(request) => request,
        Err(error) => return log(Level::Warning, &format!("{caller}: no question: {error}")),
    };
    let asked = told(&request);
    let (answer, descriptor): (_, Option<OwnedFd>) = match &request {
        Request::Open { path, store } => {
            if nix.reads(path, store) {
                match open::open(path) {
                    Ok(file) => (Answer::Done(Vec::new()), Some(file.into())),
                    Err(error) => (refusal(error), None),
                }
            } else {
                (
                    Answer::Refused("neither root's Nix nor its ssh reads it".into()),
                    None,
                )
            }
        }
        Request::Resolve { store } => match nix
            .builder(store)
            .map(|builder| ssh::ask(&builder, &nix.environment()))
        {
            Some(Ok(text)) => (Answer::Done(text.into_bytes()), None),
            // It would refuse Nix as well.
            Some(Err(SshConfigError::Refused(why))) => (Answer::Failed(why), None),
            Some(Err(error)) => {
                log(Level::Debug, &format!("{caller}: {error}"));
                (Answer::Missing, None)
            }
            None => (Answer::Refused(NO_BUILDER.into()), None),
        },
        Request::Identities { store } => match nix.builder(store) {
            Some(builder) => (
                signed(agent::identities(&builder, &nix.environment())),
                None,
            ),
            None => (Answer::Refused(NO_BUILDER.into()), None),
        },
        Request::Sign { store, data } => match nix.builder(store) {
            Some(builder) => (
                signed(agent::sign(&builder, &nix.environment(), data)),
                None,
            ),
            None => (Answer::Refused(NO_BUILDER.into()), None),
        },
        Request::Forget { cache } => (nix.forget(cache), None),
        Request::Watch => match watch::watch(nix) {
            Ok((row, inotify)) => (Answer::Done(row), Some(inotify.into())),
            Err(error) => (Answer::Failed(error.to_string()), None),
        },
        Request::Build { store, seconds } => {
            let timeout = Duration::from_secs((*seconds).into());
            let tell = |told: Answer| send(&stream, &told.encode(), ALONE).is_ok();
            let build = || build::build(nix, store, timeout, &stream, tell);
            let built = lasting.and_then(|lasting| lasting.builds.run(build));
            (built.unwrap_or_else(busy), None)
        }
        Request::Dial { store } => match nix.builder(store) {
            Some(builder) => {
                let begun = Answer::Begun(String::new()).encode();
                let hand_over = |ends: &[OwnedFd]| send(&stream, &begun, ends);
                let dial = || dial::dial(&builder, &nix.environment(), &stream, hand_over);
                let dialled = lasting.and_then(|lasting| lasting.proxies.run(dial));
                (dialled.unwrap_or_else(busy), None)
            }
            None => (Answer::Refused(NO_BUILDER.into()), None),
        },
    };
    match &answer {
        Answer::Done(_) | Answer::Begun(_) | Answer::Line(_) => {
            log(Level::Debug, &format!("{caller}: {asked}"));
        }
        Answer::Missing => log(Level::Debug, &format!("{caller}: {asked}: not there")),
        Answer::Failed(why) => log(Level::Debug, &format!("{caller}: {asked}: {why}")),
        Answer::Refused(why) => log(
            Level::Warning,
            &format!("{caller}: {asked}: refused, {why}"),
        ),
    }
    if let Err(error) = send(&stream, &answer.encode(), descriptor.as_slice()) {
        log(Level::Debug, &format!("{caller}: {error}"));
    }
}

fn busy() -> Answer {
    Answer::Refused("too much is under way".into())
}

/// A question as it is told.
fn told(request: &Request) -> String {
    match request {
        Request::Open { path, .. } => format!("open {}", path.display()),
        Request::Resolve { store } => format!("resolve {}", uri::redacted(store)),
        Request::Identities { store } => format!("identities of {}", uri::redacted(store)),
        Request::Sign { store, .. } => format!("sign for {}", uri::redacted(store)),
        Request::Forget { cache } => format!("forget misses of {}", uri::redacted(cache)),
        Request::Build { store, .. } => format!("build on {}", uri::redacted(store)),
        Request::Dial { store } => format!("dial {}", uri::redacted(store)),
        Request::Watch => "watch".to_owned(),
    }
}

fn signed(answer: Result<Vec<u8>, AgentError>) -> Answer {
    match answer {
        Ok(bytes) => Answer::Done(bytes),
        Err(AgentError::Ssh(error)) => Answer::Failed(error.to_string()),
        Err(error) => Answer::Refused(error.to_string()),
    }
}

fn refusal(error: OpenError) -> Answer {
    match error {
        OpenError::Io(error) if error.kind() == io::ErrorKind::NotFound => Answer::Missing,
        OpenError::Io(error) => Answer::Failed(error.to_string()),
        error => Answer::Refused(error.to_string()),
    }
}

/// Sends a frame, and with its first byte two descriptors at the most.
fn send(mut stream: &UnixStream, frame: &[u8], descriptors: &[OwnedFd]) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    let sent = sendmsg(
        stream,
        &[IoSlice::new(frame)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    stream.write_all(&frame[sent..])
}

/// A connection that is read for so long and no longer, however slowly it says something.
struct Bounded<'a> {
    stream: &'a UnixStream,
    since: Stopwatch,
}

impl Read for Bounded<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = PATIENCE.saturating_sub(self.since.elapsed());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(into)
    }
}

/// How much a line matters, as sd-daemon(3) has it.
#[derive(Clone, Copy)]
enum Level {
    Error = 3,
    Warning = 4,
    Debug = 7,
}

/// A line for the journal, which reads the level at its beginning.
fn log(level: Level, text: &str) {
    // A path or an error may have line breaks in it: it is one line all the same.
    let line = format!("<{}>{}\n", level as u8, text.escape_debug());
    let _ = io::stderr().write_all(line.as_bytes());
}
