//! The gateway's socket: systemd's, which is there before the daemon and after it; else one of its own.

use std::{io, net::SocketAddr};

use listenfd::ListenFd;
use tokio::net::TcpListener;

/// Listens on `address`, with the socket that systemd holds there (`offload-gateway.socket`) where it does.
///
/// # Errors
/// It can't be had.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let mut handed = ListenFd::from_env();
    for index in 0..handed.len() {
        // What is no TCP socket is not meant for it.
        let Ok(Some(socket)) = handed.take_tcp_listener(index) else {
            continue;
        };
        let local = socket.local_addr()?;
        if local == address {
            socket.set_nonblocking(true)?;
            return TcpListener::from_std(socket);
        }
        tracing::warn!(
            "offload-gateway.socket is at {local}, and [steer] gateway at {address}: nobody answers at {local}"
        );
    }
    let socket = std::net::TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}
