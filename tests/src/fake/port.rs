//! A listening address that can be closed, moved and broken while it is in use.

mod listening;

use std::{
    io, mem,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::DuplexStream,
    net::{TcpListener, TcpSocket, TcpStream},
    select,
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, JoinSet},
};

pub(crate) use self::listening::Nobody;
use self::listening::{Listening, Wanted, accept, stand, wanted};
use super::{
    fault::{Fault, Open, Point},
    wire::{Flavour, Wire},
};
use crate::{Error, Result, error::Context};

/// What passes between a connection and the server behind it.
const WIRE_BUFFER: usize = 64 * 1024;
/// Waiting orders; whoever gives one waits for its end.
const ORDERS: usize = 8;
/// Who waits to be accepted, at the most.
const BACKLOG: i32 = 1024;
const NO_BACKLOG: i32 = 1;
/// How long a connection to this machine takes at most; what takes longer is not answered.
const LOOPBACK: Duration = Duration::from_millis(200);

/// A listening address. Dropping it closes the listener and every connection.
#[derive(Debug)]
pub struct Port {
    control: Control,
    keeper: JoinHandle<()>,
}

/// The switch of a [`Port`]. Clones switch the same.
#[derive(Clone, Debug)]
pub struct Control {
    orders: mpsc::Sender<Order>,
    state: watch::Receiver<State>,
    seen: Arc<Seen>,
}

/// What reached a fake, counted since it was started.
#[derive(Debug, Default)]
pub struct Seen {
    pub(super) connections: AtomicU64,
    pub(super) requests: AtomicU64,
    /// Bytes that the most demanding connection was sent.
    pub(super) most_sent: AtomicU64,
}

/// Where a port is and what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) address: SocketAddr,
    pub(super) fault: Fault,
}

/// One connection, as the server behind the port gets it.
pub(super) struct Incoming {
    pub(super) stream: DuplexStream,
    pub(super) state: watch::Receiver<State>,
    pub(super) seen: Arc<Seen>,
    pub(super) strike: Strike,
}

/// With it a server tells the wire of its connection that a fault strikes now, at a point that only the
/// server can see: what is sent from here on is the wire's to spoil.
#[derive(Clone, Debug)]
pub(super) struct Strike(Arc<watch::Sender<bool>>);

impl Strike {
    fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// The fault in force strikes after `point`, where it is one for the wire.
    pub(super) fn reached(&self, point: Point, fault: Fault) {
        let strikes = match fault {
            Fault::ResetAfter(at) | Fault::DripAfter(at) => at == point,
            // Behind the host key, what is a program's own words is the program's to spoil.
            Fault::GarbageAfter(Point::HostKey) | Fault::EndlessAfter(Point::HostKey) => {
                point == Point::HostKey
            }
            _ => false,
        };
        if strikes {
            self.0.send_replace(true);
        }
    }
}

#[derive(Debug)]
struct Order {
    state: State,
    done: oneshot::Sender<io::Result<()>>,
}

impl Port {
    /// Listens on `address` (port 0: a free one) and hands each connection to `serve`.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub(super) async fn open<S, F>(address: SocketAddr, flavour: Flavour, serve: S) -> Result<Self>
    where
        S: Fn(Incoming) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.context(address)?;
        let state = State {
            address: listener.local_addr().context(address)?,
            fault: Fault::Healthy,
        };
        let (publish, state) = watch::channel(state);
        let (orders, receiver) = mpsc::channel(ORDERS);
        let control = Control {
            orders,
            state,
            seen: Arc::default(),
        };
        let keeper = Keeper {
            listening: Listening::Open(listener),
            own: Vec::new(),
            state: publish,
            live: JoinSet::new(),
            flavour,
            seen: control.seen.clone(),
            serve,
        };
        Ok(Self {
            control,
            keeper: tokio::spawn(keeper.keep(receiver)),
        })
    }

    /// Its switch.
    pub fn control(&self) -> &Control {
        &self.control
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Control {
    /// Where it listens, or would.
    pub fn address(&self) -> SocketAddr {
        self.state.borrow().address
    }

    /// What is wrong with it.
    pub fn fault(&self) -> Fault {
        self.state.borrow().fault
    }

    /// Switches to `fault`; open connections have obeyed when this returns.
    ///
    /// # Errors
    /// When the address can't be bound (again), or the port is gone.
    pub async fn set(&self, fault: Fault) -> Result<()> {
        let address = self.address();
        self.order(State { address, fault }).await
    }

    /// Moves to `address`; open connections are closed. The fault stays.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub async fn move_to(&self, address: SocketAddr) -> Result<()> {
        let fault = self.fault();
        self.order(State { address, fault }).await
    }

    /// Connections that were made.
    pub fn connections(&self) -> u64 {
        self.seen.connections.load(Ordering::Relaxed)
    }

    /// Cache: requests that were read. Builder: attempts to authenticate, the method `none`
    /// included.
    pub fn requests(&self) -> u64 {
        self.seen.requests.load(Ordering::Relaxed)
    }

    /// Bytes that the most demanding connection was sent: what the peer took, and what this machine's
    /// kernel holds of it, some 300 KiB.
    pub fn most_sent(&self) -> u64 {
        self.seen.most_sent.load(Ordering::Relaxed)
    }

    async fn order(&self, state: State) -> Result<()> {
        let gone = || Error::Gone("the fake desktop");
        let (done, answer) = oneshot::channel();
        self.orders
            .send(Order { state, done })
            .await
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?.context(state.address)
    }
}

/// The task that owns the listener and the connections.
struct Keeper<S> {
    listening: Listening,
    /// Of the connections that filled the queue: they are not a client's when they come out of it.
    own: Vec<SocketAddr>,
    state: watch::Sender<State>,
    live: JoinSet<()>,
    flavour: Flavour,
    seen: Arc<Seen>,
    serve: S,
}

impl<S, F> Keeper<S>
where
    S: Fn(Incoming) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    async fn keep(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            select! {
                order = orders.recv() => {
                    let Some(Order { state, done }) = order else { return };
                    let obeyed = self.obey(state).await;
                    // Whoever ordered may have given up waiting.
                    let _ = done.send(obeyed);
                }
                Ok((stream, peer)) = accept(&self.listening) => {
                    if !self.own.contains(&peer) {
                        self.take(stream);
                    }
                }
                Some(_) = self.live.join_next() => {}
            }
        }
    }

    async fn obey(&mut self, new: State) -> io::Result<()> {
        let old = *self.state.borrow();
        let moved = old.address != new.address;
        // The listener first: nobody slips in between. One that goes on being there stays the same: a gap between
        // two would refuse whoever dials just then, and reset who waits to be accepted.
        let before = mem::replace(&mut self.listening, Listening::Closed);
        let stays = !moved && wanted(new.fault) != Wanted::Closed;
        let before = if stays { before } else { Listening::Closed };
        self.own.clear();
        if let Listening::Full { queue, .. } = &before {
            let addresses = queue.iter().map(TcpStream::local_addr);
            self.own = addresses.collect::<io::Result<_>>()?;
        }
        self.state.send_replace(new);
        if moved || new.fault.open_connections() != Open::Stay {
            // The connections have seen the new state and end themselves: in good order or not.
            while self.live.join_next().await.is_some() {}
        }
        self.listening = stand(before, new).await?;
        Ok(())
    }

    fn take(&mut self, stream: TcpStream) {
        self.seen.connections.fetch_add(1, Ordering::Relaxed);
        let (near, far) = tokio::io::duplex(WIRE_BUFFER);
        let strike = Strike::new();
        let struck = strike.0.subscribe();
        let server = (self.serve)(Incoming {
            stream: far,
            state: self.state.subscribe(),
            seen: self.seen.clone(),
            strike,
        });
        let wire = Wire {
            flavour: self.flavour,
            began: *self.state.borrow(),
            state: self.state.subscribe(),
            struck,
            seen: self.seen.clone(),
        };
        let wire = wire.connect(stream, near);
        self.live.spawn(async move {
            let server = async {
                server.await;
                // What it wrote last is still on the wire, which ends when it has passed.
                std::future::pending::<()>().await;
            };
            select! {
                () = wire => {}
                () = server => {}
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::{io::ErrorKind, net::TcpStream};

    use super::*;
    use crate::{fake::Cache, ground::free_address};

    #[tokio::test]
    async fn who_waits_to_be_accepted_is_not_reset_when_it_falls_silent() {
        let cache = Cache::start(free_address().unwrap()).await.unwrap();
        for _ in 0..10 {
            // The kernel takes it; nobody has accepted it yet.
            let waiting = TcpStream::connect(cache.address()).unwrap();
            cache.set(Fault::BlackHole).await.unwrap();
            waiting.set_nonblocking(true).unwrap();
            let heard = waiting.peek(&mut [0]).unwrap_err();
            assert_eq!(heard.kind(), ErrorKind::WouldBlock);
            cache.set(Fault::Healthy).await.unwrap();
        }
    }
}
