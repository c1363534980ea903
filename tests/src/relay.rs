//! A second address of what listens elsewhere, which can be taken away.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    select,
    sync::Notify,
    task::{JoinHandle, JoinSet},
};

use crate::{Result, error::Context};

/// Hands on what comes to one address. With one at the old and one at the new address a desktop moves
/// as a real one does: what runs on it goes on running.
#[derive(Debug)]
pub struct Relay {
    serving: JoinHandle<()>,
    cut: Arc<Notify>,
}

impl Relay {
    /// Listens `at` one address for what listens at another.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start(at: SocketAddr, to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(at).await.context(at)?;
        let cut = Arc::new(Notify::new());
        let serving = tokio::spawn(serve(listener, to, cut.clone()));
        Ok(Self { serving, cut })
    }

    /// Ends all connections and goes on listening.
    pub fn cut(&self) {
        self.cut.notify_one();
    }

    /// Waits until nothing of it is left.
    pub async fn end(mut self) {
        self.serving.abort();
        // That it was aborted is no news.
        let _ = (&mut self.serving).await;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, to: SocketAddr, cut: Arc<Notify>) {
    let mut connections = JoinSet::new();
    loop {
        select! {
            accepted = listener.accept() => {
                let Ok((near, _)) = accepted else { return };
                connections.spawn(hand_on(near, to));
            }
            // Those that ended are forgotten as they end.
            Some(_) = connections.join_next() => {}
            () = cut.notified() => connections.abort_all(),
        }
    }
}

/// Until either side ends it; whoever can't be reached has closed at once.
async fn hand_on(mut near: TcpStream, to: SocketAddr) {
    if let Ok(mut far) = TcpStream::connect(to).await {
        let _ = copy_bidirectional(&mut near, &mut far).await;
    }
}
