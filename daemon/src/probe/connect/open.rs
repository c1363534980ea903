//! One connection.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use offload_client::Reason;
use tokio::net::{TcpSocket, TcpStream};

use crate::{net::OwnAddresses, probe::fault::reason_of};

/// Which of this machine's addresses a connection comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Whichever the route has.
    #[default]
    Any,
    /// This one (`BindAddress`).
    Address(IpAddr),
    /// That of an interface (`BindInterface`), which may have none of a family.
    Interface(OwnAddresses),
}

impl Source {
    /// The one to bind to for `address`.
    ///
    /// # Errors
    /// Why ssh would not connect there.
    fn of(self, address: SocketAddr) -> Result<Option<IpAddr>, (Reason, String)> {
        let own = match self {
            Self::Any => return Ok(None),
            Self::Address(own) => return Ok(Some(own)),
            Self::Interface(own) => own,
        };
        let (own, family) = match address {
            SocketAddr::V4(_) => (own.v4.map(IpAddr::from), "IPv4"),
            SocketAddr::V6(_) => (own.v6.map(IpAddr::from), "IPv6"),
        };
        let none = || {
            let why = format!("bindinterface: it has no address of {family}, or is down");
            (Reason::SshConfigPrevents, why)
        };
        own.map(Some).ok_or_else(none)
    }
}

/// Connects to `address` and no other.
pub(in crate::probe) async fn open(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // A check is one small question and one small answer: nothing to gather.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The same from an address of this machine, where one is given.
pub(super) async fn open_from(
    address: SocketAddr,
    from: Source,
) -> Result<TcpStream, (Reason, String)> {
    let connecting = |error: io::Error| (reason_of(&error), format!("{address}: {error}"));
    let Some(from) = from.of(address)? else {
        return open(address).await.map_err(connecting);
    };
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.map_err(connecting)?;
    socket.bind((from, 0).into()).map_err(|error| {
        let why = format!("bindaddress {from}: {error}");
        (Reason::SshConfigPrevents, why)
    })?;
    let stream = socket.connect(address).await.map_err(connecting)?;
    stream.set_nodelay(true).map_err(connecting)?;
    Ok(stream)
}
