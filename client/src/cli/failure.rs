//! How a command can end, in an exit code and a sentence.

mod words;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use super::{
    args::Cli,
    connect::ConnectError,
    doctor::OnceError,
    explain::{DerivationError, NixError},
};
use crate::{ClientError, NoDaemon, Printable, errors::BusError};

/// The command line makes no sense (sysexits.h: EX_USAGE).
pub(super) const USAGE: u8 = 64;
const NOT_READY: u8 = 3;
const NO_DAEMON: u8 = 4;
const UNAVAILABLE: u8 = 69;
const SOFTWARE: u8 = 70;
const OS_ERROR: u8 = 71;
const IO_ERROR: u8 = 74;
const TRY_AGAIN: u8 = 75;
const NO_PERMISSION: u8 = 77;
/// What a shell says of a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// All of them, for what lists them elsewhere.
#[cfg(test)]
pub(super) const CODES: [u8; 11] = [
    0,
    NOT_READY,
    NO_DAEMON,
    USAGE,
    UNAVAILABLE,
    SOFTWARE,
    OS_ERROR,
    IO_ERROR,
    TRY_AGAIN,
    NO_PERMISSION,
    INTERRUPTED,
];

/// The end of a command that did what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Ready, or done.
    Ready,
    /// What was asked about is not ready.
    NotReady,
}

impl Outcome {
    pub(super) const fn ready(ready: bool) -> Self {
        if ready { Self::Ready } else { Self::NotReady }
    }

    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Ready => 0,
            Self::NotReady => NOT_READY,
        }
    }
}

/// The end of one that could not.
#[derive(Debug)]
pub(super) enum Failure {
    /// No daemon was found.
    NoDaemon(NoDaemon),
    /// It went away, and did not come back.
    DaemonGone,
    /// It never came.
    NoDaemonCame,
    /// It went away while a test build was followed.
    LeftMidway,
    /// A test build was asked for, and no builder is watched.
    NoBuilder,
    /// A derivation that was asked about can't be read.
    Derivation(PathBuf, DerivationError),
    /// Nix does not say what was asked of a path of the store.
    Nix(PathBuf, NixError),
    /// Somebody pressed Ctrl-C, and knows it.
    Stopped,
    /// No daemon came in time.
    NoDaemonInTime,
    /// Somebody would not wait for the end of what they had cancelled.
    Interrupted,
    /// It is there and does not answer.
    Silent,
    /// The bus answered with an error.
    Bus(BusError),
    /// The connection to the bus ended.
    BusGone,
    /// No target has this name; these exist.
    UnknownTarget { name: String, known: Vec<String> },
    /// It did not become ready in time; this is how it is instead.
    NotReadyInTime(String),
    /// It was waited for, and this machine is on no network that reaches it; this is how it is.
    Away(String),
    /// It was held while ready, and is not any more; this is how it is instead.
    NoLongerReady(String),
    /// What the daemon said makes no sense.
    Nonsense(String),
    /// No daemon runs, and one round without it was not to be had either.
    Once(OnceError),
    /// The configuration tree that was named is no directory that can be read.
    ConfigDir(PathBuf, io::Error),
    /// ssh gets no socket.
    Connect(ConnectError),
    /// A desktop can't be woken, and why.
    NotWoken(Printable),
    /// There is no session bus, so nobody to show a notice or an icon.
    NoDesktop(String),
    /// What is a screen was asked for where there is none.
    NoTerminal,
    /// Standard output could not be written.
    Output(io::Error),
    /// The runtime could not be started.
    Runtime(io::Error),
}

impl Failure {
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::NoDaemon(_)
            | Self::NoDaemonInTime
            | Self::DaemonGone
            | Self::NoDaemonCame
            | Self::LeftMidway
            | Self::Silent => NO_DAEMON,
            Self::UnknownTarget { .. }
            | Self::ConfigDir(..)
            | Self::Derivation(..)
            | Self::NoTerminal => USAGE,
            Self::Nix(_, NixError::Path(_) | NixError::NoStorePath(_)) => USAGE,
            Self::Nix(..) | Self::NoDesktop(_) => UNAVAILABLE,
            Self::Once(OnceError::NotFound(_)) => NO_DAEMON,
            Self::Once(OnceError::TimedOut(_)) => TRY_AGAIN,
            Self::Once(OnceError::Run(..) | OnceError::Failed { .. }) => UNAVAILABLE,
            Self::Once(OnceError::TooMuch(_)) => SOFTWARE,
            Self::NotReadyInTime(_) | Self::Away(_) | Self::NoLongerReady(_) | Self::NoBuilder => {
                NOT_READY
            }
            Self::Connect(error) if error.is_usage() => USAGE,
            Self::Connect(ConnectError::HandOver(_)) => IO_ERROR,
            Self::Connect(_) | Self::NotWoken(_) => NOT_READY,
            Self::Interrupted | Self::Stopped => INTERRUPTED,
            Self::BusGone => UNAVAILABLE,
            Self::Nonsense(_) => SOFTWARE,
            Self::Runtime(_) => OS_ERROR,
            // Whoever read us has read enough.
            Self::Output(error) if is_closed(error) => 0,
            Self::Output(_) => IO_ERROR,
            Self::Bus(error) => match error {
                BusError::NotConfigured(_) => NOT_READY,
                BusError::NoSuchTarget(_) => USAGE,
                BusError::RateLimited(_) | BusError::Busy(_) | BusError::TimedOut(_) => TRY_AGAIN,
                BusError::NotAuthorized(_) => NO_PERMISSION,
                BusError::Failed(_) => SOFTWARE,
                BusError::ZBus(_) if error.is_no_daemon() => NO_DAEMON,
                BusError::ZBus(error) if is_denied(error) || wants_password(error).is_some() => {
                    NO_PERMISSION
                }
                BusError::ZBus(_) => UNAVAILABLE,
            },
        }
    }

    /// Whether it means that no daemon answers.
    pub(super) fn is_no_daemon(&self) -> bool {
        self.code() == NO_DAEMON
    }

    /// Says on standard error what went wrong.
    pub(super) fn report(&self, cli: &Cli) {
        if let Some(sentence) = self.sentence(cli) {
            // Where not even standard error can be written the exit code has to do.
            let _ = writeln!(io::stderr(), "{}: {sentence}", cli.name);
        }
    }
}

/// polkit would have to ask a person, which the call did not allow.
fn wants_password(error: &zbus::Error) -> Option<&str> {
    match error {
        zbus::Error::FDO(error) => match &**error {
            zbus::fdo::Error::InteractiveAuthorizationRequired(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn is_denied(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::FDO(error) if matches!(**error, zbus::fdo::Error::AccessDenied(_)))
}

fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NoDaemon(error) => error.into(),
            ClientError::Bus(error) => error.into(),
            ClientError::Json(error) => Self::Nonsense(error.to_string()),
            ClientError::Silent => Self::Silent,
        }
    }
}

impl From<BusError> for Failure {
    fn from(error: BusError) -> Self {
        Self::Bus(error)
    }
}

impl From<zbus::Error> for Failure {
    fn from(error: zbus::Error) -> Self {
        Self::Bus(error.into())
    }
}

impl From<OnceError> for Failure {
    fn from(error: OnceError) -> Self {
        Self::Once(error)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

impl From<NoDaemon> for Failure {
    fn from(error: NoDaemon) -> Self {
        Self::NoDaemon(error)
    }
}
