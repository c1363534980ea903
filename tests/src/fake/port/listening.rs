//! What stands at a port: somebody, nobody, or who takes connections and says nothing.

use super::*;

/// What stands at the address.
#[derive(Debug)]
pub(super) enum Listening {
    /// Somebody who accepts.
    Open(TcpListener),
    /// A full queue that nobody empties: the kernel drops every further attempt.
    Full {
        listener: TcpListener,
        queue: Vec<TcpStream>,
    },
    /// Nobody.
    Closed,
}

/// An address at which not even an attempt to connect is answered, as long as this is there.
#[derive(Debug)]
pub(crate) struct Nobody(
    #[expect(dead_code, reason = "it stands as long as it is held")] Listening,
);

impl Nobody {
    /// Takes the address.
    ///
    /// # Errors
    /// When it can't be bound.
    pub(crate) async fn at(address: SocketAddr) -> Result<Self> {
        nobody(address).await.map(Self).context(address)
    }
}

/// A [`Listening`] that is not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Open,
    Full,
    Closed,
}

pub(super) async fn accept(listening: &Listening) -> io::Result<(TcpStream, SocketAddr)> {
    match listening {
        Listening::Open(listener) => listener.accept().await,
        Listening::Full { .. } | Listening::Closed => std::future::pending().await,
    }
}

/// What must stand at the address under `fault`.
pub(super) fn wanted(fault: Fault) -> Wanted {
    match fault {
        Fault::Refuse => Wanted::Closed,
        Fault::BlackHole => Wanted::Full,
        _ => Wanted::Open,
    }
}

/// Has what `state` wants stand where `before` stood.
pub(super) async fn stand(before: Listening, state: State) -> io::Result<Listening> {
    match (wanted(state.fault), before) {
        (Wanted::Closed, _) => Ok(Listening::Closed),
        (Wanted::Open, Listening::Open(listener)) => Ok(Listening::Open(listener)),
        (Wanted::Open, Listening::Full { listener, .. }) => {
            rustix::net::listen(&listener, BACKLOG)?;
            Ok(Listening::Open(listener))
        }
        (Wanted::Open, Listening::Closed) => {
            Ok(Listening::Open(TcpListener::bind(state.address).await?))
        }
        (Wanted::Full, Listening::Open(listener)) => {
            rustix::net::listen(&listener, NO_BACKLOG)?;
            fill(listener).await
        }
        (Wanted::Full, full @ Listening::Full { .. }) => Ok(full),
        (Wanted::Full, Listening::Closed) => nobody(state.address).await,
    }
}

async fn nobody(address: SocketAddr) -> io::Result<Listening> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    fill(socket.listen(NO_BACKLOG.unsigned_abs())?).await
}

/// Linux drops connection attempts to a listener whose queue is full, and answers nothing.
async fn fill(listener: TcpListener) -> io::Result<Listening> {
    let address = listener.local_addr()?;
    let mut queue = Vec::new();
    while let Ok(connected) = tokio::time::timeout(LOOPBACK, TcpStream::connect(address)).await {
        queue.push(connected?);
    }
    Ok(Listening::Full { listener, queue })
}
