//! `offloadctl connect HOST PORT`: the `ProxyCommand` of Nix's ssh. It dials a builder where it is now, hands
//! ssh the socket (`ProxyUseFdpass`) and is gone: nothing of it stays in the way of the data.
//!
//! Whose host key it is, ssh decides, as ever. What offloadd does not watch is not dialled. Where no daemon
//! answers at once it dials what ssh would have: Nix is never worse off than without it.

mod ask;
mod dial;
mod hand_over;

use std::{io, time::Duration};

use futures_util::{FutureExt, future::select_ok};
use tokio::time::{sleep, timeout};

use self::{
    ask::Daemon,
    dial::{Patience, Socket},
};
use super::{
    args::Cli,
    failure::{Failure, Outcome},
};
use crate::{
    Printable, Reason, TargetState,
    language::{say, tr},
    reasons,
    snapshot::Target,
};

/// Who has not said by then where a builder is has not said it.
const ASKING: Duration = Duration::from_millis(50);
/// How long is looked whether who was not there is.
const LOOKING: Duration = Duration::from_millis(200);
/// So often who is woken is looked at.
const WAKING: Duration = Duration::from_millis(500);
/// Each place where it may be has this for itself, or as many of its round trips, before the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(25);
const HEAD_START_AT_MOST: Duration = Duration::from_millis(150);
/// What is there accepts within this, or within so many of its round trips, but never later than that.
const ACCEPT: Duration = Duration::from_millis(300);
const ROUND_TRIPS: u32 = 10;
const ACCEPT_AT_MOST: Duration = Duration::from_millis(500);
/// And greets within this.
const GREET: Duration = Duration::from_secs(1);
/// Where nobody knows. ssh itself waits for the greeting.
const UNKNOWN: Patience = Patience {
    head_start: HEAD_START_AT_MOST,
    accept: Duration::from_secs(3),
    greet: None,
};

/// Why ssh gets no socket.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// Standard output is not what ssh makes of it.
    #[error(
        "{}",
        tr(
            "standard output is no socket of ssh's: `connect` is for ssh_config's ProxyCommand, together with \
         `ProxyUseFdpass yes`; `offloadctl steer --print` writes both"
        )
    )]
    NotSsh,
    /// No builder that is watched is called so.
    #[error("{}", say!(
        "{host} on port {port} is no builder that offloadd watches, so it is not dialled{known}. Give Nix that \
         builder, or take its `Host` out of what leads to `offloadctl connect` in ssh_config",
        host = .host, port = .port, known = known(.watched)
    ))]
    Foreign {
        host: Printable,
        port: u16,
        /// The builders that are watched.
        watched: Vec<String>,
    },
    /// The verdict says that nothing would come of it.
    #[error("{}", refusal(.0))]
    NotThere(Box<Target>),
    /// It did not accept a connection.
    #[error("{}", say!(
        "{who} can't be reached at {places}: {why}; Nix goes on without it. `offloadctl check` says more",
        who = .who, places = tried(.places), why = .why
    ))]
    Unreached {
        who: Printable,
        places: Vec<String>,
        why: String,
    },
    /// ssh did not take the socket.
    #[error("{}", say!("ssh did not take the connection: {error}", error = .0))]
    HandOver(io::Error),
}

/// Ends when ssh has the socket.
pub(super) async fn connect(cli: &Cli, host: &str, port: u16) -> Result<Outcome, Failure> {
    hand_over::check()?;
    let asked = timeout(ASKING, Daemon::find(cli.bus.as_ref())).await;
    let (socket, daemon) = match asked.ok().flatten() {
        Some(daemon) => (watched(&daemon, host, port).await, Some(daemon)),
        None => (unseen(host, port).await, None),
    };
    match socket {
        Ok(socket) => hand_over::hand_over(socket)?,
        Err(error) => {
            if let (ConnectError::Unreached { .. }, Some(daemon)) = (&error, &daemon) {
                daemon.tell(host, port).await;
            }
            return Err(error.into());
        }
    }
    Ok(Outcome::Ready)
}

/// What ssh would have dialled.
async fn unseen(host: &str, port: u16) -> Result<Socket, ConnectError> {
    dial::first(vec![dial::place(host, port)], UNKNOWN, &host.into()).await
}

/// Where the daemon says that it is.
async fn watched(daemon: &Daemon, host: &str, port: u16) -> Result<Socket, ConnectError> {
    let target = daemon.builder(host, port)?;
    if !is_refused(&target) {
        return at(&target, host, port).await;
    }
    // It may be back: what the last check saw may be as old as that check was long. It is checked, and tried where it was.
    if !is_set_aside(&target) {
        let checked = async {
            match daemon.look(&target).await {
                Some(now) if !is_refused(&now) => at(&now, host, port).await,
                Some(_) | None => Err(ConnectError::NotThere(Box::new(target.clone()))),
            }
        };
        let mut ways = vec![checked.boxed()];
        if is_absent(&target) {
            ways.push(at(&target, host, port).boxed());
        }
        if let Ok(Ok((socket, _))) = timeout(LOOKING, select_ok(ways)).await {
            return Ok(socket);
        }
    }
    if is_absent(&target)
        && let Ok(Some(wait)) = timeout(ASKING, daemon.wake(&target)).await
        && let Ok(socket) = timeout(wait, awake(daemon, &target, host, port)).await
    {
        return Ok(socket);
    }
    Err(ConnectError::NotThere(Box::new(target)))
}

/// A connection to `target`, which sleeps and is woken, as soon as it is there.
async fn awake(daemon: &Daemon, target: &Target, host: &str, port: u16) -> Socket {
    loop {
        if let Some(now) = daemon.look(target).await
            && !is_refused(&now)
            && let Ok(socket) = at(&now, host, port).await
        {
            return socket;
        }
        sleep(WAKING).await;
    }
}

/// A connection to `target`: to where it answered last, to where ssh would have gone, or to where else it may be.
async fn at(target: &Target, host: &str, port: u16) -> Result<Socket, ConnectError> {
    let mut places = vec![target.address.to_string()];
    let own = std::iter::once(dial::place(host, port));
    for place in own.chain(target.elsewhere.iter().map(ToString::to_string)) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    dial::first(places, patience(target), &target.label().into()).await
}

/// For who is down the street and not there, Nix need not wait as long as for who is across the country.
fn patience(target: &Target) -> Patience {
    let round_trip = Duration::from_micros(target.latency_usec);
    let accept = round_trip.saturating_mul(ROUND_TRIPS);
    Patience {
        head_start: accept.clamp(HEAD_START, HEAD_START_AT_MOST),
        accept: accept.clamp(ACCEPT, ACCEPT_AT_MOST),
        greet: Some(GREET),
    }
}

/// Whether ssh gets no socket by this verdict.
fn is_refused(target: &Target) -> bool {
    is_absent(target) || is_impostor(target) || is_set_aside(target)
}

/// Whether nobody has answered there.
fn is_absent(target: &Target) -> bool {
    // What has passed its last check is on its way up.
    target.state == TargetState::Down && target.consecutive_failures > 0
}

/// Whether somebody else has.
fn is_impostor(target: &Target) -> bool {
    target.state == TargetState::Degraded && target.reason == Reason::HostKeyMismatch
}

/// Whether nobody is to go there, whatever a check would show.
fn is_set_aside(target: &Target) -> bool {
    matches!(target.state, TargetState::Away | TargetState::Paused)
}

/// One line: who, how it is, why, what to do.
fn refusal(target: &Target) -> String {
    let why = match reasons::title_for(target) {
        "" => String::new(),
        title => format!(": {title}"),
    };
    let address = match target.address.as_str() {
        "" => String::new(),
        address => format!(" ({address})"),
    };
    let remedy = reasons::remedy_for(target);
    let (label, state) = (Printable::from(target.label()), target.state);
    say!(
        "{label} is {state}{why}{address}; Nix goes on without it. {remedy}",
        label,
        state,
        why,
        address,
        remedy
    )
    .trim_end()
    .to_owned()
}

fn known(watched: &[String]) -> String {
    match watched {
        [] => String::new(),
        watched => {
            let watched: Vec<Printable> = watched.iter().map(Printable::from).collect();
            say!(" (it watches {targets})", targets = watched.join(", "))
        }
    }
}

fn tried(places: &[String]) -> Printable {
    places.join(tr(" and ")).into()
}

impl ConnectError {
    /// Whether it is the command line, or ssh_config, that is wrong.
    pub(super) const fn is_usage(&self) -> bool {
        matches!(self, Self::NotSsh | Self::Foreign { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_near_is_waited_for_less_and_nobody_for_long() {
        for (round_trip, accept) in [(0, 300), (800, 300), (40_000, 400), (600_000, 500)] {
            let target = Target {
                latency_usec: round_trip,
                ..Target::default()
            };
            assert_eq!(patience(&target).accept, Duration::from_millis(accept));
        }
    }
}
