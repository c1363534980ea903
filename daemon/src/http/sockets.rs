//! Listening sockets: systemd's, which are there before the daemon and after it; else of its own.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
};

use listenfd::ListenFd;
use tokio::net::TcpListener;

/// The TCP sockets that systemd holds for the daemon (`offload-gateway.socket`, `offload-metrics.socket`).
#[derive(Debug, Default)]
pub struct Sockets(Vec<StdListener>);

impl Sockets {
    /// Takes what was handed over (sd_listen_fds(3)). What is no TCP socket is not meant for anybody here.
    pub fn from_environment() -> Self {
        let mut handed = ListenFd::from_env();
        let sockets =
            (0..handed.len()).filter_map(|at| handed.take_tcp_listener(at).ok().flatten());
        Self(sockets.collect())
    }

    /// Listens on `address`, with the socket that systemd holds there where it does.
    ///
    /// # Errors
    /// It can't be had.
    pub fn listen(&mut self, address: SocketAddr) -> io::Result<TcpListener> {
        let is_there =
            |socket: &StdListener| socket.local_addr().is_ok_and(|local| local == address);
        let socket = match self.0.iter().position(is_there) {
            Some(at) => self.0.swap_remove(at),
            None => StdListener::bind(address)?,
        };
        socket.set_nonblocking(true)?;
        TcpListener::from_std(socket)
    }
}

/// Who connects to one that nobody has taken would wait for ever.
impl Drop for Sockets {
    fn drop(&mut self) {
        for local in self.0.iter().filter_map(|socket| socket.local_addr().ok()) {
            tracing::warn!(
                "systemd holds a socket at {local}, which is neither [steer] gateway nor [metrics] listen: nobody answers there"
            );
        }
    }
}
