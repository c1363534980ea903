//! A connection to the first of several places that accepts one.

use std::{io, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use rustix::net::sockopt;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

use super::ConnectError;
use crate::{Printable, language::say};

/// A silent peer is asked after so long, then so often.
const SILENCE: Duration = Duration::from_secs(5);
const PROBE: Duration = Duration::from_secs(3);
const PROBES: u32 = 3;
/// And given up when nothing has come from it for so long, in milliseconds. The kernel counts the time that
/// this machine runs: one that was suspended has all of it to find its network again.
const GIVE_UP: u32 = 15_000;

/// How long a place may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For itself, before the next one is tried beside it.
    pub head_start: Duration,
    /// To accept the connection, which its kernel does, however busy it is.
    pub accept: Duration,
    /// And then to speak, where that is waited for.
    pub greet: Option<Duration>,
}

/// What ssh is handed: blocking, as one that ssh had made.
pub(super) type Socket = std::net::TcpStream;

/// `host:port`.
pub(super) fn place(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Connects to the first of `places`, best first, that answers within `patience`. `who` is for the message.
pub(super) async fn first(
    places: Vec<String>,
    patience: Patience,
    who: &Printable,
) -> Result<Socket, ConnectError> {
    let won = race(&places, patience).await;
    won.and_then(prepared)
        .map_err(|error| ConnectError::Unreached {
            who: who.clone(),
            why: error.to_string(),
            places,
        })
}

/// Who accepts first has to greet: the next place is tried beside one that does not accept, not beside one that is slow to
/// speak.
async fn race(places: &[String], patience: Patience) -> io::Result<TcpStream> {
    let until = Instant::now() + patience.greet.unwrap_or_default().max(patience.accept);
    let mut places = places.iter();
    let mut dialled = FuturesUnordered::new();
    let mut refused = None;
    loop {
        let next = places.next().filter(|_| Instant::now() < until);
        dialled.extend(next.map(|place| dial(place, patience.accept)));
        let accepted = match next {
            Some(_) => timeout(patience.head_start, dialled.next()).await,
            None => Ok(dialled.next().await),
        };
        let answered = match accepted {
            Ok(Some(Ok(stream))) => greeted(stream, patience, until).await,
            Ok(Some(Err(error))) => Err(error),
            Ok(None) if next.is_none() => break,
            Ok(None) | Err(_) => continue,
        };
        match answered {
            Ok(stream) => return Ok(stream),
            // What the first, and likeliest, has said is what is told.
            Err(error) => _ = refused.get_or_insert(error),
        }
    }
    Err(refused.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}

async fn dial(place: &str, accept: Duration) -> io::Result<TcpStream> {
    let connected = timeout(accept, TcpStream::connect(place)).await;
    connected.map_err(|_| silent(accept))?
}

/// A connection on which somebody has spoken, as an SSH server does first. What it said stays there for ssh.
async fn greeted(stream: TcpStream, patience: Patience, until: Instant) -> io::Result<TcpStream> {
    if let Some(greet) = patience.greet {
        let heard = timeout_at(until, stream.peek(&mut [0])).await;
        if heard.map_err(|_| silent(greet))?? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(stream)
}

/// Whose other end vanishes is noticed; and ssh finds it as it would have made it.
fn prepared(stream: TcpStream) -> io::Result<Socket> {
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, SILENCE)?;
    sockopt::set_tcp_keepintvl(&stream, PROBE)?;
    sockopt::set_tcp_keepcnt(&stream, PROBES)?;
    sockopt::set_tcp_user_timeout(&stream, GIVE_UP)?;
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

fn silent(bound: Duration) -> io::Error {
    let text = say!("no answer within {n} ms", n = bound.as_millis());
    io::Error::new(io::ErrorKind::TimedOut, text)
}
