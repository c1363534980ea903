//! Helper programs (`ssh -G`, ssh_config's `ProxyCommand`, Nix): started, heard and ended in one way.
//!
//! Each leads a process group of its own, and with it what it starts: a pipeline's parts, a jump
//! host's ssh, what `Match exec` runs. The group ends with the program, where patience with it ends,
//! and with this process on SIGTERM and SIGINT. What has left the group (setsid(1), a master of ssh's
//! ControlPersist) can't be had.
//!
//! Who is killed (SIGKILL, want of memory) ends nothing any more. Then systemd does, with all that
//! is in the unit's control group, whatever its process group (KillMode=control-group, its default).
//! The kernel's own PR_SET_PDEATHSIG is no help: it ends the program alone and leaves what that has
//! started, which is what stays; and it is set between fork and exec, where Rust has only unsafe code.
//!
//! Who floods is read slowly and not cut off: a `ProxyCommand` writes its complaints where somebody reads them; a
//! pipe that nobody reads would block one that is merely verbose, and a closed one would end it.

use std::{
    io,
    ops::ControlFlow,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::{
    io::{AsyncRead, AsyncReadExt, Interest, unix::AsyncFd},
    pin,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    select,
    time::{Instant, sleep_until, timeout},
};

use crate::{clock::within, limits};

/// How much is read at once, in bytes.
const CHUNK: usize = 4096;
/// How much of one output is read without a pause, in bytes: far more than any of our programs says in
/// a second when all is well, a verbose `ssh` too.
const BURST: usize = 256 << 10;
/// How long the pause is, from the last one on.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the pipes of a program that has ended are heard, which others may hold open.
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(200);

/// A running program and all that it started, which end when this is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
}

/// The other ends of what a program reads and writes.
#[derive(Debug)]
pub(crate) struct Pipes {
    /// `None` unless it was asked for.
    pub stdin: Option<ChildStdin>,
    pub stdout: ChildStdout,
    pub stderr: ChildStderr,
}

/// Which of its outputs a program writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Results.
    Output,
    /// What it has to say of its work.
    Error,
}

/// How [`run`] ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The program ended by itself.
    Ended(ExitStatus),
    /// Whoever heard it had enough.
    Enough,
    /// Time ran out.
    TimedOut,
}

/// Runs `command` to its end, for `bound` of this process' own time at the most, with nothing to read. What it writes goes to
/// `heard` as it comes, which may [break](ControlFlow::Break) it off.
///
/// # Errors
/// When it can't be started, heard or waited for.
pub(crate) async fn run(
    command: &mut Command,
    stdin: Stdio,
    bound: Duration,
    mut heard: impl FnMut(Stream, &[u8]) -> ControlFlow<()>,
) -> io::Result<End> {
    let (mut program, pipes) = Program::start(command, stdin)?;
    let (mut stdout, mut stderr) = (Paced::new(pipes.stdout), Paced::new(pipes.stderr));
    let whole = async {
        let hearing = hear(&mut stdout, &mut stderr, &mut heard);
        pin!(hearing);
        let mut status = None;
        let flow = select! {
            biased;
            flow = &mut hearing => flow?,
            ended = program.ended() => {
                status = Some(ended?);
                let rest = timeout(LAST_WORDS, hearing).await;
                rest.unwrap_or(Ok(ControlFlow::Continue(())))?
            }
        };
        Ok(match (flow, status) {
            (ControlFlow::Break(()), _) => End::Enough,
            (ControlFlow::Continue(()), Some(status)) => End::Ended(status),
            (ControlFlow::Continue(()), None) => End::Ended(program.ended().await?),
        })
    };
    within(bound, whole).await.unwrap_or(Ok(End::TimedOut))
}

/// Hears both to their ends, or until that is enough.
async fn hear(
    stdout: &mut Paced<ChildStdout>,
    stderr: &mut Paced<ChildStderr>,
    heard: &mut impl FnMut(Stream, &[u8]) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let mut flow = ControlFlow::Continue(());
    while flow.is_continue() && (stdout.is_open() || stderr.is_open()) {
        flow = select! {
            biased;
            chunk = stdout.read(), if stdout.is_open() => heard(Stream::Output, chunk?),
            chunk = stderr.read(), if stderr.is_open() => heard(Stream::Error, chunk?),
        };
    }
    Ok(flow)
}

impl Program {
    /// Starts `command`, whose output is heard through the pipes.
    ///
    /// # Errors
    /// When the kernel does not start it.
    pub(crate) fn start(command: &mut Command, stdin: Stdio) -> io::Result<(Self, Pipes)> {
        let child = command
            // Nobody is there to be asked, as where Nix starts ssh (build-remote.cc).
            .env_remove("DISPLAY")
            .env_remove("SSH_ASKPASS")
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        if let Some(id) = child.id() {
            limits::give_back(id);
        }
        let mut program = Self { child };
        let child = &mut program.child;
        let stdin = child.stdin.take();
        match (child.stdout.take(), child.stderr.take()) {
            (Some(stdout), Some(stderr)) => {
                let pipes = Pipes {
                    stdin,
                    stdout,
                    stderr,
                };
                Ok((program, pipes))
            }
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Waits for the program to end, and ends what it leaves behind.
    ///
    /// # Errors
    /// When the kernel can't say.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.is_over().await?;
        // Before the program is reaped: its group goes by its number, which is free then.
        self.end_group();
        self.child.wait().await
    }

    /// Waits for the end of the program, and leaves it to be reaped. (A process' descriptor is
    /// readable from its end on: pidfd_open(2).)
    #[expect(
        deprecated,
        reason = "`AsyncFd::register` is for descriptors that could be closed while registered; \
                  this one is owned by the AsyncFd, and this crate forbids unsafe code"
    )]
    async fn is_over(&self) -> io::Result<()> {
        let Some(pid) = self.pid() else {
            return Ok(());
        };
        let process = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
        let process = AsyncFd::with_interest(process, Interest::READABLE)?;
        process.readable().await.map(drop)
    }

    fn end_group(&self) {
        if let Some(group) = self.pid() {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// `None` once the program is reaped, so that the number never names somebody else.
    fn pid(&self) -> Option<Pid> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        id.and_then(Pid::from_raw)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end_group();
    }
}

/// One of a program's outputs, read to its end but no faster than a bounded rate.
///
/// A pipe that nobody reads blocks a program that is merely verbose, and one that is closed ends it
/// (SIGPIPE): a proxy that works for ssh, whose complaints Nix reads, must live with neither. Who
/// floods its pipe waits for us nearly all the time, which costs neither side anything.
#[derive(Debug)]
pub(crate) struct Paced<R> {
    pipe: R,
    chunk: Vec<u8>,
    is_open: bool,
    /// What may be read before the next pause.
    left: usize,
    /// When the next pause is over.
    until: Instant,
}

impl<R: AsyncRead + Unpin> Paced<R> {
    pub(crate) fn new(pipe: R) -> Self {
        Self {
            pipe,
            chunk: Vec::with_capacity(CHUNK),
            is_open: true,
            left: BURST,
            until: Instant::now() + PAUSE,
        }
    }

    /// Whether there may be more.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// What has come, once something has; nothing at the end. Dropping the future loses nothing.
    pub(crate) async fn read(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            sleep_until(self.until).await;
            (self.left, self.until) = (BURST, Instant::now() + PAUSE);
        }
        self.chunk.clear();
        let most = CHUNK.min(self.left) as u64;
        (&mut self.pipe)
            .take(most)
            .read_buf(&mut self.chunk)
            .await?;
        self.left -= self.chunk.len();
        self.is_open = !self.chunk.is_empty();
        Ok(&self.chunk)
    }
}

/// Cuts what is heard into lines of at most `max` bytes; the rest of a longer one is dropped.
#[derive(Debug)]
pub(crate) struct Lines {
    max: usize,
    line: Vec<u8>,
}

impl Lines {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            line: Vec::new(),
        }
    }

    /// Hands on the lines that `chunk` completes.
    pub(crate) fn take(&mut self, chunk: &[u8], mut heard: impl FnMut(&[u8])) {
        for byte in chunk {
            match byte {
                b'\n' => {
                    heard(&self.line);
                    self.line.clear();
                }
                byte if self.line.len() < self.max => self.line.push(*byte),
                _ => {}
            }
        }
    }

    /// Hands on what came after the last line's end.
    pub(crate) fn finish(mut self, mut heard: impl FnMut(&[u8])) {
        if !self.line.is_empty() {
            heard(&self.line);
            self.line.clear();
        }
    }
}

#[cfg(test)]
mod tests;
