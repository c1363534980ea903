//! How a command can end, in a sentence and an exit code.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use super::{
    args::{Cli, Command},
    connect::ConnectError,
    doctor::OnceError,
    explain::{DerivationError, NixError},
};
use crate::{
    ClientError, NoDaemon, Printable, Reason,
    errors::{BusError, not_started},
    language::{say, tr, tr_later},
    names, reasons,
};

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
    /// There is no session bus, so nobody to show a notice.
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

    /// What went wrong, in words; nothing where the one who asks knows it.
    pub(super) fn sentence(&self, cli: &Cli) -> Option<String> {
        Some(match self {
            Self::Stopped => return None,
            Self::Output(error) if is_closed(error) => return None,
            Self::Output(error) => say!("standard output: {error}", error),
            Self::Runtime(error) => say!("could not start: {error}", error),
            Self::NoDesktop(error) => {
                say!(
                    "there is no session bus to show notices: {error}",
                    error = Printable::from(error)
                )
            }
            Self::NoTerminal => {
                tr("top is for a terminal; `offloadctl watch` writes a line at each change")
                    .to_owned()
            }
            Self::NoDaemon(error) => no_daemon(error),
            Self::NoDaemonInTime | Self::NoDaemonCame => {
                say!("offloadd is not running; {start}", start = tr(START))
            }
            Self::DaemonGone => say!(
                "offloadd went away and did not come back; {start}",
                start = tr(START)
            ),
            Self::LeftMidway => say!(
                "offloadd went away in the middle of the test build, so nobody knows its end; {start}",
                start = tr(START)
            ),
            Self::NoBuilder => tr(
                "no builder is watched. Give Nix one: on NixOS `nix.buildMachines`, \
                                elsewhere `builders` in /etc/nix/nix.conf; or tell offloadd alone: \
                                `offloadd --builder ssh-ng://nix-builder@HOST`",
            )
            .to_owned(),
            Self::Derivation(path, error) => {
                let path = Printable::from(path.as_path());
                say!(
                    "{path} {error}. A derivation is what `nix-instantiate` prints, or `nix-store --query --deriver PATH`",
                    path,
                    error
                )
            }
            Self::Nix(path, error) => format!("{} {error}", Printable::from(path.as_path())),
            Self::Interrupted => tr("the test build may be running still").to_owned(),
            Self::Silent => tr("offloadd is running but does not answer; \
                             see `systemctl status offloadd`")
            .to_owned(),
            Self::BusGone => tr("the connection to the bus ended").to_owned(),
            Self::UnknownTarget { name, known } => unknown_target(name, known),
            Self::NotReadyInTime(state) => say!("not ready in time: {state}", state),
            Self::Away(state) => say!("not waiting, this machine is away from it: {state}", state),
            Self::NoLongerReady(state) => say!("no longer ready: {state}", state),
            Self::Nonsense(what) => {
                say!(
                    "offloadd's answer makes no sense: {what}",
                    what = Printable::from(what)
                )
            }
            Self::Once(error) => {
                let words = error.to_string();
                let lines: Vec<Printable> = words.lines().map(Printable::from).collect();
                say!(
                    "offloadd is not running, and {why}",
                    why = lines.join("\n  ")
                )
            }
            Self::Connect(error) => error.to_string(),
            Self::NotWoken(why) => say!("nothing was woken: {why}", why),
            Self::ConfigDir(path, error) => {
                format!("{}: {error}", Printable::from(path.as_path()))
            }
            Self::Bus(error) => bus(error, cli),
        })
    }
}

const START: &str = tr_later(
    "start it with `systemctl start offloadd`, or from its source with \
     `cargo run --release --bin offloadd -- --bus embedded`",
);

/// For who has disabled or masked it: no start of it by hand is meant to last.
const ENABLE: &str = tr_later(
    "Where it is turned off: `systemctl unmask offloadd`, `systemctl enable --now offloadd`",
);

fn no_daemon(error: &NoDaemon) -> String {
    let mut sentence = say!("offloadd is not running; {start}.", start = tr(START));
    for tried in &error.tried {
        let (bus, why) = (Printable::from(&tried.bus), Printable::from(&tried.why));
        sentence.push_str(&say!("\n  looked at {bus}: {why}", bus, why));
    }
    sentence
}

fn unknown_target(name: &str, known: &[String]) -> String {
    let name = Printable::from(name);
    match known {
        [] => say!("there is no target called {name}: nothing is watched", name),
        known => {
            let known: Vec<Printable> = known.iter().map(Printable::from).collect();
            say!(
                "there is no target called {name}; there is {known}",
                name,
                known = known.join(", ")
            )
        }
    }
}

fn bus(error: &BusError, cli: &Cli) -> String {
    match error {
        BusError::NotConfigured(_) => {
            let words = reasons::text(Reason::NotConfigured);
            format!("{}: {} {}", words.title, words.explanation, words.remedy)
        }
        BusError::NoSuchTarget(_) => tr("that target is no longer watched").to_owned(),
        BusError::RateLimited(_) if is_discover(cli) => {
            tr("it was looked for only just now; try again in ten seconds").to_owned()
        }
        BusError::RateLimited(_) => {
            tr("it was checked only just now; try again in a few seconds").to_owned()
        }
        BusError::Busy(_) if is_test_build(cli) => {
            tr("a test build is running on that builder already, or too much is asked of offloadd at once; \
             try again when that is done")
            .to_owned()
        }
        BusError::Busy(_) if is_discover(cli) => {
            tr("the checks are paused, and so are searches (`offloadctl resume` ends that), or too much is asked of \
             offloadd at once")
            .to_owned()
        }
        BusError::Busy(_) => tr("too much is asked of offloadd at once; try again in a moment").to_owned(),
        BusError::TimedOut(_) => tr("offloadd could not finish in time; try again").to_owned(),
        BusError::NotAuthorized(why) => not_authorized(why, cli),
        BusError::Failed(why) => say!("offloadd could not do that: {why}", why = Printable::from(why)),
        BusError::ZBus(error) if not_started(error).is_some() => {
            let why = Printable::from(not_started(error).unwrap_or_default());
            say!(
                "offloadd is not running, and the bus can't start it: {why}; {start}. {enable}",
                why,
                start = tr(START),
                enable = tr(ENABLE)
            )
        }
        BusError::ZBus(_) if error.is_no_daemon() => {
            say!("offloadd is not running any more; {start}", start = tr(START))
        }
        BusError::ZBus(error) if wants_password(error).is_some() => {
            not_authorized(wants_password(error).unwrap_or_default(), cli)
        }
        BusError::ZBus(error) if is_denied(error) => {
            let error = Printable::from(error.to_string());
            say!("the bus does not let you talk to offloadd: {error}", error)
        }
        BusError::ZBus(error) => {
            let error = Printable::from(error.to_string());
            match &cli.bus {
                Some(bus) => {
                    let bus = Printable::from(bus.to_string());
                    say!("the bus {bus}: {error}", bus, error)
                }
                None => say!("the bus: {error}", error),
            }
        }
    }
}

/// Who may: root, and whom polkit allows the action.
fn not_authorized(why: &str, cli: &Cli) -> String {
    let (what, action) = match cli.command {
        Some(Command::TestBuild { .. }) => (tr("start or end a test build"), "test-build"),
        Some(Command::Discover) => (tr("search the network"), "discover"),
        Some(Command::Wake { .. }) => (tr("wake a desktop"), "wake"),
        Some(Command::ForgetMisses { .. }) => (tr("change what Nix remembers"), "forget-misses"),
        _ => (tr("do that"), "pause"),
    };
    let why = match Printable::from(why) {
        why if why.is_empty() => String::new(),
        why => format!(" ({why})"),
    };
    say!(
        "you are not allowed to {what}{why}; use `sudo`, or let polkit allow you the action {action}",
        what,
        why,
        action = format!("{}.{action}", names::BUS_NAME)
    )
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

const fn is_test_build(cli: &Cli) -> bool {
    matches!(cli.command, Some(Command::TestBuild { .. }))
}

const fn is_discover(cli: &Cli) -> bool {
    matches!(cli.command, Some(Command::Discover))
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
