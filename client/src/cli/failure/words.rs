//! What a failure says.

use super::{Failure, is_closed, is_denied, wants_password};
use crate::{
    NoDaemon, Printable, Reason,
    cli::args::{Cli, Command},
    errors::{BusError, not_started},
    language::{say, tr, tr_later},
    names, reasons,
};

impl Failure {
    /// What went wrong, in words; nothing where the one who asks knows it.
    pub(in crate::cli) fn sentence(&self, cli: &Cli) -> Option<String> {
        Some(match self {
            Self::Stopped => return None,
            Self::Output(error) if is_closed(error) => return None,
            Self::Output(error) => say!("standard output: {error}", error),
            Self::Runtime(error) => say!("could not start: {error}", error),
            Self::NoDesktop(error) => {
                say!(
                    "there is no session bus, so no desktop: {error}",
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

const fn is_test_build(cli: &Cli) -> bool {
    matches!(cli.command, Some(Command::TestBuild { .. }))
}

const fn is_discover(cli: &Cli) -> bool {
    matches!(cli.command, Some(Command::Discover))
}
