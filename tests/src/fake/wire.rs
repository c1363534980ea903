//! What stands between a connection and the server behind it: it holds, spoils or cuts what passes.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, split},
    net::{TcpStream, tcp},
    select,
    sync::watch,
};

use super::{
    fault::{Fault, Open, Point},
    port::State,
};

/// Between two bytes of a slow answer.
const DRIP: Duration = Duration::from_millis(100);
/// Bytes that begin neither an HTTP answer nor an SSH identification, nor an SSH packet.
pub(super) const NOISE: &[u8] = b"\x00\xff\x7f\x13 noise \x00\xfe\xfd\r\n\r\n";

/// Which protocol passes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Flavour {
    /// HTTP.
    Http,
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
            // RFC 4253 4.2: other lines may come before the identification.
            Self::Ssh => (b"Welcome\r\n", b"and so on\r\n"),
        }
    }
}

/// Passes on what both sides say until one of them has nothing more to say, or a change since
/// `began`, the state in which the connection was accepted, ends it.
pub(super) async fn connect(
    client: TcpStream,
    server: DuplexStream,
    flavour: Flavour,
    began: State,
    state: watch::Receiver<State>,
) {
    // It would only delay what is small; a system that can't set it is slower, not wrong.
    let _ = client.set_nodelay(true);
    if began.fault == Fault::Reset {
        return reset(&client);
    }

    let mut client = client;
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = split(server);
        let inward = inward(from_client, to_server, state.clone());
        let outward = Outward {
            from: from_server,
            to: to_client,
            flavour,
            // Under a stall, only a connection that began under it comes anywhere.
            began: began.fault,
            state: state.clone(),
        };
        select! {
            () = inward => Open::Close,
            () = outward.pass() => Open::Close,
            end = ending(state, began) => end,
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
    flavour: Flavour,
    began: Fault,
    state: watch::Receiver<State>,
}

impl Outward<'_> {
    async fn pass(mut self) {
        let mut buffer = vec![0; 16 * 1024];
        let mut sent = Vec::new();
        while let Some(chunk) = read(&mut self.from, &mut buffer).await {
            if self.write(chunk, &mut sent).await.is_none() {
                return;
            }
        }
    }

    /// Passes `chunk` as the fault in force has it; `sent` is the head of what was sent before.
    /// `None` when the connection is over.
    async fn write(&mut self, chunk: &[u8], sent: &mut Vec<u8>) -> Option<()> {
        let mut rest = chunk;
        while !rest.is_empty() {
            let fault = self.state.borrow_and_update().fault;
            let pass = match fault {
                Fault::Silent | Fault::BlackHole => 0,
                Fault::StallAfter(_) if fault != self.began => 0,
                Fault::StallAfter(point) => allowance(point, sent, rest),
                Fault::SlowDrip => 1,
                Fault::Garbage => {
                    self.to.write_all(NOISE).await.ok()?;
                    return None;
                }
                Fault::Endless => return self.flood().await,
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
                | Fault::GarbageAfter(_)
                | Fault::EndlessAfter(_)
                | Fault::EndAfter(_)
                | Fault::SwappedHostKey
                | Fault::RefusedKey => rest.len(),
            };
            if pass == 0 {
                self.state.changed().await.ok()?;
                continue;
            }
            let (now, later) = rest.split_at_checked(pass)?;
            self.to.write_all(now).await.ok()?;
            if sent.len() < 64 * 1024 {
                sent.extend_from_slice(now);
            }
            rest = later;
            if fault == Fault::SlowDrip {
                tokio::time::sleep(DRIP).await;
            }
        }
        Some(())
    }

    /// Writes for as long as the peer reads and the fault lasts.
    async fn flood(&mut self) -> Option<()> {
        let (first, line) = self.flavour.endless();
        self.to.write_all(first).await.ok()?;
        let lines = line.repeat(200);
        while self.state.borrow().fault == Fault::Endless {
            select! {
                written = self.to.write_all(&lines) => written.ok()?,
                changed = self.state.changed() => changed.ok()?,
            }
        }
        None
    }
}

/// How much of `rest` may pass before the connection stalls at `point`.
fn allowance(point: Point, sent: &[u8], rest: &[u8]) -> usize {
    let mark: &[u8] = match point {
        Point::FirstLine => b"\n",
        Point::Headers => b"\r\n\r\n",
        // The server itself stalls there: only it knows where that is.
        Point::HostKey
        | Point::Auth
        | Point::Magic
        | Point::Version
        | Point::NixVersion
        | Point::Trust
        | Point::Handshake
        | Point::CacheInfo => return rest.len(),
    };
    let all = [sent, rest].concat();
    let end = all.windows(mark.len()).position(|window| window == mark);
    let end = end.map_or(all.len(), |at| at + mark.len());
    end.saturating_sub(sent.len())
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
        assert_eq!(&answer[..first], b"HTTP/1.1 200 OK\r\n");
        assert_eq!(
            allowance(Point::FirstLine, b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
            0
        );
    }

    #[test]
    fn a_stall_after_the_headers_sees_their_end_across_chunks() {
        assert_eq!(
            allowance(Point::Headers, b"HTTP/1.1 200 OK\r\n", b"\r\nbody"),
            2
        );
        assert_eq!(
            allowance(Point::Headers, b"HTTP/1.1 200 OK\r\n\r\n", b"body"),
            0
        );
    }
}
