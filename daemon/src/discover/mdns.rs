//! One-shot questions by multicast DNS (RFC 6762, 5.1 and 5.4), from a port of our own: answers come
//! back to it alone (6.7), and nobody needs to be joined.
//!
//! A firewall that lets in only what belongs to a connection, as NixOS's does, drops them: an answer
//! from 192.0.2.7 belongs to none, since 224.0.0.251 was asked. Then nothing is heard, unless port
//! 5353 is let in as a source.
//!
//! The questions leave by every network that this machine has an IPv4 address in, but never by
//! loopback: nobody else is there.

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
    time::Duration,
};

use futures_util::future::select_all;
use tokio::{
    net::UdpSocket,
    time::{Instant, sleep_until},
};

use super::{
    Candidate,
    answers::{Answers, MAX_PACKET},
    ground::Ground,
};

/// `224.0.0.251`, port 5353 (RFC 6762, 3).
const EVERYBODY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 251), PORT);
const PORT: u16 = 5353;
/// RFC 6762, 11.
const TTL: u32 = 255;

/// How long answers are waited for: a responder takes up to 120 ms (RFC 6762, 6).
const PATIENCE: Duration = Duration::from_secs(1);
/// When the questions are asked once more: either packet may have been lost.
const AGAIN: Duration = Duration::from_millis(300);
/// By how many networks.
const MAX_SOCKETS: usize = 8;
/// How many packets are read: a flood is not worth more. On a large network everybody answers.
const MAX_PACKETS: usize = 512;

/// Asks, and hands on the addresses that it hears of.
pub(super) struct Asker {
    ground: Arc<Ground>,
    sockets: Vec<UdpSocket>,
    answers: Answers,
    heard: VecDeque<Candidate>,
    packets: usize,
    again: Option<Instant>,
    until: Instant,
    buffer: Vec<u8>,
}

impl Asker {
    /// Asks for the first time.
    pub(super) async fn start(ground: Arc<Ground>) -> Self {
        let mut sockets = Vec::new();
        for address in ground.own_addresses().take(MAX_SOCKETS) {
            match open(address).await {
                Ok(socket) => sockets.push(socket),
                Err(error) => tracing::debug!("no multicast from {address}: {error}"),
            }
        }
        let now = Instant::now();
        let answers = Answers::new(ground.service(), ground.names());
        let asker = Self {
            ground,
            sockets,
            answers,
            heard: VecDeque::new(),
            packets: MAX_PACKETS,
            again: Some(now + AGAIN),
            until: now + PATIENCE,
            // One more, to tell what is too long.
            buffer: vec![0; MAX_PACKET + 1],
        };
        asker.ask().await;
        asker
    }

    /// The next address that was named and is near; `None` when the time is up. Nothing is lost where
    /// it is dropped.
    pub(super) async fn next(&mut self) -> Option<Candidate> {
        loop {
            if let Some(candidate) = self.heard.pop_front() {
                return Some(candidate);
            }
            if self.sockets.is_empty() || self.packets == 0 {
                return None;
            }
            let wake = self.again.unwrap_or(self.until);
            tokio::select! {
                () = sleep_until(wake) => match self.again.take() {
                    Some(_) => self.ask().await,
                    None => return None,
                },
                index = readable(&self.sockets) => self.receive(index).await,
            }
        }
    }

    async fn ask(&self) {
        let Some(question) = self.answers.question() else {
            return;
        };
        for socket in &self.sockets {
            send(socket, &question).await;
        }
    }

    async fn receive(&mut self, index: usize) {
        let Some(socket) = self.sockets.get(index) else {
            return;
        };
        let (length, from) = match socket.try_recv_from(&mut self.buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => {
                tracing::debug!("no answers by multicast any more: {error}");
                self.sockets.swap_remove(index);
                return;
            }
        };
        self.packets = self.packets.saturating_sub(1);
        // An answer is from that port (RFC 6762, 6), and from this link (11).
        if from.port() != PORT || !self.ground.is_near(from.ip()) {
            return;
        }
        let packet = self.buffer.get(..length).unwrap_or_default();
        self.answers.read(packet);
        for (ip, port) in self.answers.news() {
            if !self.ground.is_near(ip) {
                continue;
            }
            self.heard.push_back(match port {
                Some(port) => Candidate {
                    address: SocketAddr::new(ip, port),
                    named: true,
                },
                None => self.ground.candidate(ip),
            });
        }
        // Last: what was heard must not be lost where this is dropped.
        if let Some(question) = self.answers.next_question() {
            send(socket, &question).await;
        }
    }
}

/// Bound to an address, a socket sends multicasts by that address's interface.
async fn open(address: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((address, 0)).await?;
    socket.set_multicast_ttl_v4(TTL)?;
    // This machine is not what is looked for.
    socket.set_multicast_loop_v4(false)?;
    Ok(socket)
}

async fn send(socket: &UdpSocket, question: &[u8]) {
    if let Err(error) = socket.send_to(question, EVERYBODY).await {
        tracing::debug!("a question by multicast could not be sent: {error}");
    }
}

/// The first socket on which something came, or that is broken.
async fn readable(sockets: &[UdpSocket]) -> usize {
    let waiting = sockets.iter().map(|socket| Box::pin(socket.readable()));
    let (_, index, _) = select_all(waiting).await;
    index
}
