//! One connection.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use offload_client::Reason;
use tokio::net::{TcpSocket, TcpStream};

use crate::probe::fault::reason_of;

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
    from: Option<IpAddr>,
) -> Result<TcpStream, (Reason, String)> {
    let connecting = |error: io::Error| (reason_of(&error), format!("{address}: {error}"));
    let Some(from) = from else {
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
