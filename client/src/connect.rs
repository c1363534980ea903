//! Finds the bus that the daemon is on.
//!
//! A named bus is the only one tried. Without one it is the system bus where the daemon's name is
//! owned there (or the bus would start it), else the socket of [`crate::embedded`].

use std::{fmt, str::FromStr, time::Duration};

use tokio::time::timeout;
use zbus::address::{Address, Transport, transport::UnixSocket};
use zbus::{Connection, connection};

use crate::{
    embedded,
    language::{say, tr},
    names,
};

/// How long a bus may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// A bus to look for the daemon on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bus {
    /// The machine's.
    System,
    /// The user's.
    Session,
    /// The daemon's own, inside its process.
    Embedded,
    /// A D-Bus address: `unix:path=/…`.
    Address(String),
}

/// What was given is neither a bus nor an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a bus: system, session, embedded or an address such as unix:path=/run/x/bus")]
pub struct NotABus;

/// No daemon was found.
#[derive(Debug, thiserror::Error)]
#[error("offloadd is not running ({})", list(.tried))]
pub struct NoDaemon {
    /// What was tried, and why it was not there.
    pub tried: Vec<Tried>,
}

/// A bus without a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// `system bus`, or a socket's path.
    pub bus: String,
    /// Why the daemon was not found there.
    pub why: String,
}

/// Connects to the bus that the daemon is on; where that is, as [`Tried::bus`] names it.
///
/// # Errors
/// No bus that was tried has a daemon.
#[cfg(feature = "cli")]
pub(crate) async fn find(bus: Option<&Bus>) -> Result<(Connection, String), NoDaemon> {
    let survey = survey(bus).await;
    survey.daemon.ok_or(NoDaemon {
        tried: survey.tried,
    })
}

/// The embedded buses that have a daemon too, as `--bus` takes them, where `place` is the one that was found.
#[cfg(feature = "cli")]
pub(crate) async fn others(place: &str) -> Vec<String> {
    let mut others = Vec::new();
    for socket in embedded::candidates() {
        let candidate = BusPlace::Socket(socket.clone());
        // A file is looked for before anybody is spoken to.
        if candidate.to_string() == place || !socket.exists() {
            continue;
        }
        if let Ok(Ok((_, true))) = timeout(PATIENCE, candidate.connect()).await {
            others.push(embedded::address(&socket).to_string());
        }
    }
    others
}

/// Connects to the bus that the daemon is on or, while it is on none, to the one on which it will
/// appear; where that is, as [`Tried::bus`] names it.
///
/// # Errors
/// No bus answers.
pub(crate) async fn find_bus(bus: Option<&Bus>) -> Result<(Connection, String), NoDaemon> {
    let survey = survey(bus).await;
    survey.daemon.or(survey.bus).ok_or(NoDaemon {
        tried: survey.tried,
    })
}

/// Connects to a bus, by default the system's, without asking whether the daemon is there: for who has no time.
///
/// # Errors
/// It does not answer.
#[cfg(feature = "cli")]
pub(crate) async fn open(bus: Option<&Bus>) -> Result<Connection, String> {
    let place = match bus {
        None | Some(Bus::System) => BusPlace::System,
        Some(Bus::Session) => BusPlace::Session,
        Some(Bus::Address(address)) => BusPlace::Address(address.clone()),
        Some(Bus::Embedded) => {
            let sockets = embedded::candidates();
            let found = sockets.into_iter().find(|path| path.exists());
            BusPlace::Socket(found.ok_or(tr("there is no embedded bus"))?)
        }
    };
    place.open().await
}

#[derive(Default)]
struct Survey {
    daemon: Option<(Connection, String)>,
    bus: Option<(Connection, String)>,
    tried: Vec<Tried>,
}

impl Survey {
    /// Tries one bus; whether the daemon is there.
    async fn visit(&mut self, place: BusPlace) -> bool {
        let why = match timeout(PATIENCE, place.connect()).await {
            Ok(Ok((connection, true))) => {
                self.daemon = Some((connection, place.to_string()));
                return true;
            }
            Ok(Ok((connection, false))) => {
                self.bus.get_or_insert((connection, place.to_string()));
                say!("nobody owns the name {name}", name = names::BUS_NAME)
            }
            Ok(Err(why)) => why,
            Err(_) => say!("no answer within {n} s", n = PATIENCE.as_secs()),
        };
        self.tried.push(Tried {
            bus: place.to_string(),
            why,
        });
        false
    }
}

async fn survey(bus: Option<&Bus>) -> Survey {
    let embedded = || embedded::candidates().into_iter().map(BusPlace::Socket);
    let places: Vec<BusPlace> = match bus {
        Some(Bus::System) => vec![BusPlace::System],
        Some(Bus::Session) => vec![BusPlace::Session],
        Some(Bus::Address(address)) => vec![BusPlace::Address(address.clone())],
        Some(Bus::Embedded) => embedded().collect(),
        None => std::iter::once(BusPlace::System)
            .chain(embedded())
            .collect(),
    };
    let mut survey = Survey::default();
    for place in places {
        if survey.visit(place).await {
            break;
        }
    }
    survey
}

/// The files of the sockets that [`find_bus`] looks at; of a bus without one, none.
pub(crate) fn sockets(bus: Option<&Bus>) -> Vec<std::path::PathBuf> {
    let file = |address: zbus::Result<Address>| match address.ok()?.transport() {
        Transport::Unix(unix) => match unix.path() {
            UnixSocket::File(path) => Some(path.clone()),
            _ => None,
        },
        _ => None,
    };
    match bus {
        Some(Bus::System) => file(Address::system()).into_iter().collect(),
        Some(Bus::Session) => file(Address::session()).into_iter().collect(),
        Some(Bus::Address(address)) => file(address.parse()).into_iter().collect(),
        Some(Bus::Embedded) => embedded::candidates(),
        None => file(Address::system())
            .into_iter()
            .chain(embedded::candidates())
            .collect(),
    }
}

/// One place to connect to.
enum BusPlace {
    System,
    Session,
    Socket(std::path::PathBuf),
    Address(String),
}

impl BusPlace {
    /// A connection, and whether the daemon is or would be there.
    async fn connect(&self) -> Result<(Connection, bool), String> {
        let connection = self.open().await?;
        let there = has_daemon(&connection)
            .await
            .map_err(|error| plain(&error))?;
        Ok((connection, there))
    }

    async fn open(&self) -> Result<Connection, String> {
        let builder = match self {
            Self::System => connection::Builder::system(),
            Self::Session => connection::Builder::session(),
            Self::Socket(path) => {
                embedded::check(path).map_err(|error| error.to_string())?;
                connection::Builder::address(embedded::address(path))
            }
            Self::Address(address) => connection::Builder::address(address.as_str()),
        };
        builder.build().await.map_err(|error| plain(&error))
    }
}

impl fmt::Display for BusPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str(tr("system bus")),
            Self::Session => f.write_str(tr("session bus")),
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Address(address) => f.write_str(address),
        }
    }
}

/// Whether the daemon's name is owned, or would be once it is called.
async fn has_daemon(connection: &Connection) -> zbus::Result<bool> {
    let bus = zbus::fdo::DBusProxy::new(connection).await?;
    let name = zbus::names::BusName::try_from(names::BUS_NAME)?;
    if bus.name_has_owner(name).await? {
        return Ok(true);
    }
    let startable = bus.list_activatable_names().await?;
    Ok(startable
        .iter()
        .any(|name| name.as_str() == names::BUS_NAME))
}

/// The operating system's words where it is its error: the address stands beside it anyway.
fn plain(error: &zbus::Error) -> String {
    match error {
        zbus::Error::Connection(source, _) => source.to_string(),
        zbus::Error::InputOutput(source) => source.to_string(),
        other => other.to_string(),
    }
}

fn list(tried: &[Tried]) -> String {
    let items: Vec<String> = tried
        .iter()
        .map(|Tried { bus, why }| format!("{bus}: {why}"))
        .collect();
    items.join("; ")
}

impl FromStr for Bus {
    type Err = NotABus;

    fn from_str(text: &str) -> Result<Self, NotABus> {
        match text {
            "system" => Ok(Self::System),
            "session" => Ok(Self::Session),
            "embedded" => Ok(Self::Embedded),
            // Every D-Bus address is `transport:key=value,…`.
            address if address.contains(':') => Ok(Self::Address(address.to_owned())),
            _ => Err(NotABus),
        }
    }
}

impl fmt::Display for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "system",
            Self::Session => "session",
            Self::Embedded => "embedded",
            Self::Address(address) => address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_is_a_word_or_an_address() {
        for text in ["system", "session", "embedded", "unix:path=/run/x/bus"] {
            assert_eq!(
                text.parse::<Bus>().map(|bus| bus.to_string()),
                Ok(text.into())
            );
        }
        assert_eq!("sytem".parse::<Bus>(), Err(NotABus));
    }

    #[tokio::test]
    async fn a_bus_that_is_not_there_is_named() {
        let bus = Bus::Address("unix:path=/nonexistent/bus".into());
        let error = find(Some(&bus)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "offloadd is not running (unix:path=/nonexistent/bus: No such file or directory (os error 2))"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_bus_that_never_answers_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("bus");
        let _silent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let bus = Bus::Address(embedded::address(&socket).to_string());
        let error = find(Some(&bus)).await.unwrap_err();
        assert_eq!(error.tried[0].why, "no answer within 2 s");
    }
}
