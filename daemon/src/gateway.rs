//! The gateway: the caches of the local network as one substituter on loopback, for Nix, which loses a minute and
//! more over a cache that is not there, and never finds one that has moved.
//!
//! What is small it hands on, from all caches at once; to what is large it leads Nix (`answer`). Signatures are
//! Nix's to check, as ever. Only caches that are watched are asked, and only for what a binary cache has
//! (`request`).

mod answer;
mod caches;
mod counts;
mod memory;
mod presence;
mod reach;
mod request;
mod returns;
mod upstream;

use std::{io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use hyper::{Request, StatusCode, body::Incoming};
use tokio::net::TcpListener;

use self::answer::Answers;
pub use self::counts::{Answered, Counts};
use crate::{
    http::{self, Answer, Sockets, plain},
    monitor::Handle,
};

/// No more caches or paths than this are remembered, but for who has which NAR.
const MOST: usize = 256;

/// The gateway, listening.
pub struct Gateway {
    listener: TcpListener,
    answers: Answers,
    address: SocketAddr,
}

impl Gateway {
    /// Listens on `address`, and leads to the caches that `monitor` watches.
    ///
    /// # Errors
    /// The address can't be had.
    pub fn open(address: SocketAddr, sockets: &mut Sockets, monitor: Handle) -> io::Result<Self> {
        Ok(Self {
            listener: sockets.listen(address)?,
            answers: Answers::new(monitor)?,
            address,
        })
    }

    /// What it has answered since it was opened, as it goes on.
    pub fn counts(&self) -> Arc<Counts> {
        self.answers.counts()
    }

    /// Serves until it is dropped.
    pub async fn run(self) {
        tokio::join!(
            http::serve(self.listener, async |request| answer(
                &self.answers,
                request
            )
            .await),
            self.answers.returns().follow(self.address)
        );
    }
}

async fn answer(answers: &Answers, request: Request<Incoming>) -> Answer {
    if !http::is_to_here(&request) {
        return missing();
    }
    let target = request.uri().path_and_query();
    let target = target.map_or("", |target| target.as_str());
    answers.answer(request.method(), target).await
}

/// Nobody has it.
fn missing() -> Answer {
    plain(StatusCode::NOT_FOUND, Bytes::new())
}
