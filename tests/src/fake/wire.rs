//! What stands between a connection and the server behind it: it holds, spoils or cuts what passes.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, split},
    net::{TcpStream, tcp},
    select,
    sync::watch,
    time::sleep,
};

use super::{
    fault::{Fault, Open, Point},
    port::{Seen, State},
};

/// Bytes that the kernel holds of what the peer does not take, or a few times as many.
const SEND_BUFFER: usize = 32 * 1024;

/// Between two bytes of a slow answer.
const DRIP: Duration = Duration::from_millis(250);
/// Bytes that begin neither an HTTP answer nor an SSH identification, nor an SSH packet.
pub(super) const NOISE: &[u8] = b"\x00\xff\x7f\x13 noise \x00\xfe\xfd\r\n\r\n";

/// Which protocol passes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Flavour {
    /// HTTP.
    Http,
    /// HTTP inside of TLS.
    Tls,
    /// SSH.
    Ssh,
}

impl Flavour {
    /// An answer that begins well, and what follows for ever.
    const fn endless(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Self::Http => (
                b"HTTP/1.1 200 OK\r\nContent-Type: text/x-nix-cache-info\r\n\r\nStoreDir: /nix/store\n",
                b"X-Filler: and so on\n",
            ),
            // RFC 8446, 4 and 5.1: a server's hello of 16 MB, in records of 16 KB.
            Self::Tls => (b"\x16\x03\x03\x40\x00\x02\xff\xff\xff", &[0; 20]),
            // RFC 4253 4.2: other lines may come before the identification.
            Self::Ssh => (b"Welcome\r\n", b"and so on\r\n"),
        }
    }

    /// What may follow the first line for ever: headers, or packets that are to be ignored (RFC 4253,
    /// 6 and 11.2).
    const fn more(self) -> &'static [u8] {
        match self {
            Self::Http => b"X-Filler: and so on\r\n",
            Self::Tls => &[0; 20],
            Self::Ssh => &[0, 0, 0, 12, 6, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        }
    }
}

/// One connection's.
pub(super) struct Wire {
    pub(super) flavour: Flavour,
    /// The state in which the connection was accepted.
    pub(super) began: State,
    pub(super) state: watch::Receiver<State>,
    /// Whether the server says that the fault strikes.
    pub(super) struck: watch::Receiver<bool>,
    pub(super) seen: Arc<Seen>,
}

impl Wire {
    /// Passes on what both sides say until one of them has nothing more to say, or a change since the
    /// connection was accepted ends it.
    pub(super) async fn connect(self, mut client: TcpStream, server: DuplexStream) {
        // It would only delay what is small; a system that can't set it is slower, not wrong.
        let _ = client.set_nodelay(true);
        // What was sent is what the peer took, and not what the kernel would hold for it.
        let _ = set_socket_send_buffer_size(&client, SEND_BUFFER);
        if self.began.fault == Fault::Reset {
            return reset(&client);
        }
        if self.began.fault == Fault::ResetAfter(Point::Connection) {
            // Once the client speaks, its attempt to connect has succeeded.
            let mut first = [0];
            select! {
                _ = client.peek(&mut first) => {}
                _ = ending(self.state.clone(), self.began) => {}
            }
            return reset(&client);
        }

        let ended = {
            let (from_client, to_client) = client.split();
            let (from_server, to_server) = split(server);
            let inward = inward(from_client, to_server, self.state.clone());
            let ending = ending(self.state.clone(), self.began);
            let outward = Outward {
                from: from_server,
                to: to_client,
                // Under a stall, only a connection that began under it comes anywhere.
                wire: self,
                sent: 0,
            };
            select! {
                () = inward => Open::Close,
                end = outward.pass() => end,
                end = ending => end,
            }
        };
        match ended {
            Open::Reset => reset(&client),
            Open::Close | Open::Stay => {
                // The peer may be gone already.
                let _ = client.shutdown().await;
            }
        }
    }
}

/// Resolves when the state ends open connections, with how.
async fn ending(mut state: watch::Receiver<State>, began: State) -> Open {
    let over = |now: &State| {
        let new = now.fault != began.fault;
        now.address != began.address || (new && now.fault.open_connections() != Open::Stay)
    };
    match state.wait_for(over).await {
        Ok(now) if now.fault == Fault::Reset => Open::Reset,
        Ok(_) | Err(_) => Open::Close,
    }
}

/// Client to server: held while the desktop is silent.
async fn inward(
    mut from: tcp::ReadHalf<'_>,
    mut to: WriteHalf<DuplexStream>,
    mut state: watch::Receiver<State>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Some(chunk) = read(&mut from, &mut buffer).await {
        let silent = |now: &State| matches!(now.fault, Fault::Silent | Fault::BlackHole);
        if state.wait_for(|now| !silent(now)).await.is_err() || to.write_all(chunk).await.is_err() {
            return;
        }
    }
    // The client has said all; what the server still says may pass, as TCP allows. It learns of
    // the end when this half closes.
    let _ = to.shutdown().await;
    std::future::pending::<()>().await;
}

/// Server to client.
struct Outward<'a> {
    from: ReadHalf<DuplexStream>,
    to: tcp::WriteHalf<'a>,
    wire: Wire,
    /// Bytes so far.
    sent: u64,
}

/// What becomes of the next bytes.
enum Next {
    /// So many of them pass.
    Pass(usize),
    /// One passes, slowly.
    Drip,
    /// None does, for as long as the fault lasts.
    Hold,
    /// Noise comes instead, and the end.
    Noise,
    /// This comes instead, and then this for ever.
    Flood(&'static [u8], &'static [u8]),
    /// The connection is over.
    Over(Open),
}

impl Outward<'_> {
    /// Until the connection is over; how it ends.
    async fn pass(mut self) -> Open {
        let mut buffer = vec![0; 16 * 1024];
        let mut head = Vec::new();
        while let Some(chunk) = read(&mut self.from, &mut buffer).await {
            if let Err(end) = self.write(chunk, &mut head).await {
                return end;
            }
        }
        Open::Close
    }

    /// Passes `chunk` as the fault in force has it; `head` is the beginning of what was sent before.
    /// An error says how the connection ends.
    async fn write(&mut self, chunk: &[u8], head: &mut Vec<u8>) -> Result<(), Open> {
        let mut rest = chunk;
        while !rest.is_empty() {
            let fault = self.wire.state.borrow_and_update().fault;
            let count = match self.next(fault, head, rest) {
                Next::Pass(count) => count,
                Next::Drip => {
                    sleep(DRIP).await;
                    1
                }
                Next::Hold => {
                    self.wire.state.changed().await.map_err(|_| Open::Close)?;
                    continue;
                }
                Next::Noise => {
                    self.send(NOISE).await?;
                    return Err(Open::Close);
                }
                Next::Flood(first, more) => return Err(self.flood(fault, first, more).await),
                Next::Over(end) => return Err(end),
            };
            let (now, later) = rest.split_at_checked(count).ok_or(Open::Close)?;
            self.send(now).await?;
            if head.len() < 64 * 1024 {
                head.extend_from_slice(now);
            }
            rest = later;
        }
        Ok(())
    }

    fn next(&self, fault: Fault, head: &[u8], rest: &[u8]) -> Next {
        let Wire {
            flavour,
            began,
            struck,
            ..
        } = &self.wire;
        let point = match fault {
            Fault::Silent | Fault::BlackHole => return Next::Hold,
            Fault::StallAfter(_) if fault != began.fault => return Next::Hold,
            Fault::SlowDrip => return Next::Drip,
            Fault::Garbage => return Next::Noise,
            Fault::Endless => {
                let (first, more) = flavour.endless();
                return Next::Flood(first, more);
            }
            // The server itself says it as the body.
            Fault::GarbageAfter(Point::Headers) => return Next::Pass(rest.len()),
            Fault::StallAfter(point)
            | Fault::GarbageAfter(point)
            | Fault::EndlessAfter(point)
            | Fault::ResetAfter(point)
            | Fault::DripAfter(point) => point,
            Fault::Healthy
            | Fault::Refuse
            | Fault::Reset
            | Fault::Status(_)
            | Fault::CaptivePortal
            | Fault::WrongStoreDir
            | Fault::Unsigned
            | Fault::ForeignKey
            | Fault::BadSignature
            | Fault::NoNix
            | Fault::NixDaemonDown
            | Fault::Untrusted
            | Fault::ProfileOutput
            | Fault::NotNix
            | Fault::NoPrograms
            | Fault::OldNix
            | Fault::SystemMissing
            | Fault::FeatureMissing
            | Fault::EndAfter(_)
            | Fault::SwappedHostKey
            | Fault::RefusedKey => return Next::Pass(rest.len()),
        };
        let before = match allowance(point, head, rest) {
            Some(before) => before,
            None if *struck.borrow() => 0,
            None => rest.len(),
        };
        match fault {
            _ if before > 0 => Next::Pass(before),
            Fault::GarbageAfter(_) => Next::Noise,
            Fault::EndlessAfter(_) => Next::Flood(b"", flavour.more()),
            Fault::ResetAfter(_) => Next::Over(Open::Reset),
            Fault::DripAfter(_) => Next::Drip,
            _ => Next::Hold,
        }
    }

    /// Writes for as long as the peer reads and the fault lasts.
    async fn flood(&mut self, fault: Fault, first: &[u8], more: &[u8]) -> Open {
        let more = more.repeat(200);
        let mut state = self.wire.state.clone();
        let flood = async {
            self.send(first).await?;
            loop {
                self.send(&more).await?;
            }
        };
        select! {
            Err::<(), _>(end) = flood => end,
            _ = state.wait_for(|now| now.fault != fault) => Open::Close,
        }
    }

    async fn send(&mut self, mut bytes: &[u8]) -> Result<(), Open> {
        while !bytes.is_empty() {
            let count = self.to.write(bytes).await.map_err(|_| Open::Close)?;
            self.sent += count as u64;
            let most = &self.wire.seen.most_sent;
            most.fetch_max(self.sent, Ordering::Relaxed);
            bytes = bytes.get(count..).unwrap_or_default();
        }
        Ok(())
    }
}

/// How much of `rest` may pass before a fault strikes after `point`; `None` where only the server
/// itself knows.
fn allowance(point: Point, sent: &[u8], rest: &[u8]) -> Option<usize> {
    let mark: &[u8] = match point {
        Point::Connection => return Some(0),
        Point::FirstLine => b"\n",
        Point::Headers => b"\r\n\r\n",
        Point::HostKey
        | Point::Auth
        | Point::Magic
        | Point::Version
        | Point::NixVersion
        | Point::Trust
        | Point::Handshake
        | Point::CacheInfo => return None,
    };
    let all = [sent, rest].concat();
    let end = all.windows(mark.len()).position(|window| window == mark);
    let end = end.map_or(all.len(), |at| at + mark.len());
    Some(end.saturating_sub(sent.len()))
}

async fn read<'b, R: AsyncRead + Unpin>(from: &mut R, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    match from.read(buffer).await {
        Ok(0) | Err(_) => None,
        Ok(length) => buffer.get(..length),
    }
}

/// Closing now sends a reset instead of an orderly end.
fn reset(client: &TcpStream) {
    // Without it the close is orderly, which tests of resets would notice.
    let _ = client.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_lets_exactly_the_first_line_pass() {
        let answer = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody";
        let first = allowance(Point::FirstLine, b"", answer);
        let first = first.unwrap();
        assert_eq!(&answer[..first], b"HTTP/1.1 200 OK\r\n");
        assert_eq!(
            allowance(Point::FirstLine, b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
            Some(0)
        );
    }

    #[test]
    fn a_stall_after_the_headers_sees_their_end_across_chunks() {
        assert_eq!(
            allowance(Point::Headers, b"HTTP/1.1 200 OK\r\n", b"\r\nbody"),
            Some(2)
        );
        assert_eq!(
            allowance(Point::Headers, b"HTTP/1.1 200 OK\r\n\r\n", b"body"),
            Some(0)
        );
    }
}
