//! A program run on the builder: what `ssh HOST COMMAND` does (RFC 4254, 6.5).

use std::{fmt, mem};

use bytes::{Buf, BytesMut};
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, client::Msg};
use tokio::runtime::Handle;

use offload_client::Printable;

use super::link::{End, Link};
use crate::nix::wire::{Ended, Wire};

/// How much room an answer that is read whole has from the start, in bytes: Nix's settings take most of
/// it, and need not be moved as they come.
const ANSWER_USUAL: usize = 48 * 1024;
/// How much of what a program says on its standard error is kept.
const MAX_STDERR: usize = 4096;
/// How much that nobody reads may come before the program is no longer listened to.
const MAX_IDLE_TALK: usize = 1 << 20;
/// The extended data of a session that is standard error (RFC 4254, 5.2).
const STDERR: u32 = 1;

/// A running program. Dropping it closes its session, and the program's streams with it.
pub(super) struct Exec {
    hear: ChannelReadHalf,
    /// `None` once the session is closed.
    say: Option<ChannelWriteHalf<Msg>>,
    stdout: BytesMut,
    stderr: Vec<u8>,
    /// How much was heard that nobody reads.
    idle_talk: usize,
    exit: Option<Exit>,
    /// It writes nothing more.
    silent: bool,
    /// Nothing more comes of the session at all.
    over: bool,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// With this status.
    Status(u32),
    /// By this signal.
    Signal(String),
}

/// Why no program runs.
#[derive(Debug)]
pub(super) enum StartError {
    /// The server opens no session for this user.
    NoSession(Printable),
    /// The server runs none for this user.
    Refused(Printable),
    /// The connection ended.
    End(End),
}

/// The program has closed its standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Eof;

/// What a program had to say, and how it ended.
#[derive(Clone, Debug)]
pub(super) struct Captured {
    /// Its standard output; `None` where that is more than was to be read.
    pub stdout: Option<BytesMut>,
    /// The beginning of its standard error.
    pub stderr: Printable,
    /// How it ended; `None` where the server did not say.
    pub exit: Option<Exit>,
}

impl Exec {
    /// Starts `command`, which the user's shell on the builder reads.
    pub(super) async fn start(link: &Link, command: &str) -> Result<Self, StartError> {
        let channel = match link.session().await {
            Ok(channel) => channel,
            Err(russh::Error::ChannelOpenFailure(why)) => {
                let why = format!("the server opens no session: {why:?}");
                return Err(StartError::NoSession(why.into()));
            }
            Err(_) => return Err(StartError::End(link.ended().await)),
        };
        let (hear, say) = channel.split();
        let asked = say.exec(true, command).await;
        let mut exec = Self {
            hear,
            say: Some(say),
            stdout: BytesMut::new(),
            stderr: Vec::new(),
            idle_talk: 0,
            exit: None,
            silent: false,
            over: false,
        };
        if asked.is_err() {
            return Err(StartError::End(link.ended().await));
        }
        loop {
            let why = match exec.hear.wait().await {
                Some(ChannelMsg::Success) => return Ok(exec),
                // The window may be opened before the answer.
                Some(ChannelMsg::WindowAdjusted { .. }) => continue,
                Some(ChannelMsg::Failure) => "the server runs no command",
                Some(_) => "the server closes the session that is to run a command",
                None => return Err(StartError::End(link.ended().await)),
            };
            return Err(StartError::Refused(why.into()));
        }
    }

    /// Runs `command` with nothing on its standard input, and reads at most `most` bytes.
    pub(super) async fn capture(
        link: &Link,
        command: &str,
        most: usize,
    ) -> Result<Captured, StartError> {
        let mut exec = Self::start(link, command).await?;
        exec.close_stdin().await;
        exec.stdout.reserve(most.min(ANSWER_USUAL));
        while !exec.silent && exec.stdout.len() <= most {
            exec.hear().await;
        }
        let whole = exec.stdout.len() <= most;
        let exit = if whole { exec.ending().await } else { None };
        if let Some(end) = link.end() {
            return Err(StartError::End(end));
        }
        Ok(Captured {
            stdout: whole.then(|| mem::take(&mut exec.stdout)),
            stderr: exec.stderr(),
            exit,
        })
    }

    /// Writes to its standard input. Whether it is read nobody says.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        if let Some(say) = &self.say {
            // Where the session has ended, reading tells.
            let _ = say.data_bytes(bytes.to_vec()).await;
        }
    }

    /// Says that nothing more comes on its standard input.
    pub(super) async fn close_stdin(&mut self) {
        if let Some(say) = &self.say {
            let _ = say.eof().await;
        }
    }

    /// Reads the next bytes of its standard output, as many as `into` takes; for ever where they
    /// do not come.
    ///
    /// # Errors
    /// Where the program has closed it before.
    pub(super) async fn read(&mut self, into: &mut [u8]) -> Result<(), Eof> {
        while self.stdout.len() < into.len() {
            if self.silent {
                return Err(Eof);
            }
            self.hear().await;
        }
        self.stdout.copy_to_slice(into);
        Ok(())
    }

    /// What it said on its standard error so far, escaped.
    pub(super) fn stderr(&self) -> Printable {
        Printable::excerpt(self.stderr.trim_ascii(), MAX_STDERR)
    }

    /// The beginning of what it said on its standard error so far, as it came.
    pub(super) fn raw_stderr(&self) -> &[u8] {
        &self.stderr
    }

    /// How it ended, as far as the server has said.
    pub(super) fn exit(&self) -> Option<&Exit> {
        self.exit.as_ref()
    }

    /// Waits for its end, whatever it still has to say on its standard output; `None` where the
    /// server did not say how it ended.
    pub(super) async fn ending(&mut self) -> Option<Exit> {
        while self.exit.is_none() && !self.over {
            let before = self.stdout.len();
            self.hear().await;
            self.idle_talk += self.stdout.len() - before;
            self.stdout.truncate(before);
        }
        self.exit.clone()
    }

    /// Closes its session.
    pub(super) async fn close(mut self) {
        if let Some(say) = self.say.take() {
            let _ = say.close().await;
        }
    }

    /// Waits for one message.
    async fn hear(&mut self) {
        match self.hear.wait().await {
            Some(message) => self.take(message),
            None => self.over = true,
        }
        self.over |= self.idle_talk > MAX_IDLE_TALK;
        self.silent |= self.over;
    }

    fn take(&mut self, message: ChannelMsg) {
        match message {
            ChannelMsg::Data { data } => self.stdout.extend_from_slice(&data),
            ChannelMsg::ExtendedData { data, ext: STDERR } => {
                let room = MAX_STDERR - self.stderr.len();
                let kept = data.get(..room).unwrap_or(&data);
                self.stderr.extend_from_slice(kept);
                self.idle_talk += data.len() - kept.len();
            }
            ChannelMsg::ExitStatus { exit_status } => self.exit = Some(Exit::Status(exit_status)),
            ChannelMsg::ExitSignal { signal_name, .. } => {
                self.exit = Some(Exit::Signal(format!("{signal_name:?}")));
            }
            ChannelMsg::Eof => self.silent = true,
            ChannelMsg::Close => self.over = true,
            _ => {}
        }
    }
}

impl Wire for Exec {
    async fn read(&mut self, into: &mut [u8]) -> Result<(), Ended> {
        Exec::read(self, into).await.map_err(|Eof| Ended)
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.send(bytes).await;
    }
}

impl Drop for Exec {
    /// russh leaves a session open that nobody holds any more.
    fn drop(&mut self) {
        if let (Some(say), Ok(runtime)) = (self.say.take(), Handle::try_current()) {
            runtime.spawn(async move {
                let _ = say.close().await;
            });
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Signal(name) => write!(f, "signal {name}"),
        }
    }
}
