//! A program run on the builder: what `ssh HOST COMMAND` does (RFC 4254, 6.5).

use std::fmt;

use bytes::{Buf, BytesMut};
use russh::{Channel, ChannelMsg, client::Msg};

use super::link::{End, Link};
use crate::probe::excerpt::excerpt as printable;

/// How much of what a program says on its standard error is kept.
const STDERR_MAX: usize = 4096;
/// The extended data of a session that is standard error (RFC 4254, 5.2).
const STDERR: u32 = 1;

/// A running program. Dropping it closes its session, and the program's streams with it.
pub(super) struct Exec {
    channel: Channel<Msg>,
    stdout: BytesMut,
    stderr: Vec<u8>,
    exit: Option<Exit>,
    /// It writes nothing more.
    silent: bool,
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
    /// The server runs none for this user.
    Refused(String),
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
    pub stdout: Option<Vec<u8>>,
    /// The beginning of its standard error, escaped.
    pub stderr: String,
    /// How it ended; `None` where the server did not say.
    pub exit: Option<Exit>,
}

impl Exec {
    /// Starts `command`, which the user's shell on the builder reads.
    pub(super) async fn start(link: &Link, command: &str) -> Result<Self, StartError> {
        let channel = link.session().await.map_err(|error| broken(link, &error))?;
        let asked = channel.exec(true, command).await;
        asked.map_err(|error| broken(link, &error))?;
        let mut exec = Self {
            stdout: BytesMut::new(),
            stderr: Vec::new(),
            exit: None,
            silent: false,
            channel,
        };
        loop {
            match exec.channel.wait().await {
                Some(ChannelMsg::Success) => return Ok(exec),
                Some(ChannelMsg::Failure) => {
                    return Err(StartError::Refused("the server runs no command".into()));
                }
                // The window may be opened before the answer.
                Some(ChannelMsg::WindowAdjusted { .. }) => {}
                _ => return Err(broken(link, &russh::Error::Disconnect)),
            }
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
        while !exec.silent && exec.stdout.len() <= most {
            exec.hear().await;
        }
        let whole = exec.stdout.len() <= most;
        let exit = match whole {
            true => exec.ending().await,
            false => None,
        };
        if let Some(end) = link.end() {
            return Err(StartError::End(end));
        }
        Ok(Captured {
            stdout: whole.then(|| exec.stdout.to_vec()),
            stderr: exec.stderr(),
            exit,
        })
    }

    /// Writes to its standard input. Whether it is read nobody says.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        // Where the session has ended, reading tells.
        let _ = self.channel.data_bytes(bytes.to_vec()).await;
    }

    /// Says that nothing more comes on its standard input.
    pub(super) async fn close_stdin(&mut self) {
        let _ = self.channel.eof().await;
    }

    /// Reads the next bytes of its standard output, as many as `into` takes; for ever where they
    /// do not come.
    ///
    /// # Errors
    /// Where the program has closed it before: what did come stays to be seen by
    /// [`Exec::unread`].
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

    /// What came on its standard output and was not read.
    pub(super) fn unread(&self) -> &[u8] {
        &self.stdout
    }

    /// What it said on its standard error so far, escaped.
    pub(super) fn stderr(&self) -> String {
        printable(self.stderr.trim_ascii(), STDERR_MAX)
    }

    /// Waits for its end, whatever it still has to say on its standard output; `None` where the
    /// server did not say how it ended.
    pub(super) async fn ending(&mut self) -> Option<Exit> {
        while self.exit.is_none() {
            match self.channel.wait().await {
                Some(ChannelMsg::Data { .. }) => {}
                Some(message) => self.take(message),
                None => break,
            }
        }
        self.exit.clone()
    }

    /// Closes its session.
    pub(super) async fn close(self) {
        let _ = self.channel.close().await;
    }

    /// Waits for one message.
    async fn hear(&mut self) {
        match self.channel.wait().await {
            Some(message) => self.take(message),
            None => self.silent = true,
        }
    }

    fn take(&mut self, message: ChannelMsg) {
        match message {
            ChannelMsg::Data { data } => self.stdout.extend_from_slice(&data),
            ChannelMsg::ExtendedData { data, ext: STDERR } => {
                let room = STDERR_MAX - self.stderr.len();
                let kept = data.get(..room).unwrap_or(&data);
                self.stderr.extend_from_slice(kept);
            }
            ChannelMsg::ExitStatus { exit_status } => self.exit = Some(Exit::Status(exit_status)),
            ChannelMsg::ExitSignal { signal_name, .. } => {
                self.exit = Some(Exit::Signal(format!("{signal_name:?}")));
            }
            ChannelMsg::Eof | ChannelMsg::Close => self.silent = true,
            _ => {}
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

/// The connection's own end where it has one, else what russh says of the session.
fn broken(link: &Link, error: &russh::Error) -> StartError {
    match (link.end(), error) {
        (Some(end), _) => StartError::End(end),
        (None, russh::Error::ChannelOpenFailure(why)) => {
            StartError::Refused(format!("the server opens no session: {why:?}"))
        }
        (None, error) => StartError::End(End::of(error)),
    }
}
