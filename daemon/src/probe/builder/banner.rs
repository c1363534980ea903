//! The identification lines that open every SSH connection (RFC 4253, 4.2).
//!
//! They are exchanged here and not by russh, because this is where what answers shows that it is
//! no SSH server, and what it is instead. As OpenSSH does, the client speaks first: what waits for
//! its client, such as a web server or a multiplexer of several protocols, then answers at once.

use std::io;

use offload_client::{Printable, Reason};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::probe::fault::reason_of_broken;

/// How offloadd identifies itself, without the line's end.
pub(super) const OURS: &str = concat!("SSH-2.0-offloadd_", env!("CARGO_PKG_VERSION"));

/// The longest line, its end included: RFC 4253's bound for the identification.
const MAX_LINE: usize = 255;
/// How many lines may come before the identification.
const MAX_LINES: usize = 32;
/// How much of a foreign answer is shown.
const MAX_EXCERPT: usize = 120;

/// What OpenSSH says before it closes a connection that it does not want now.
const TURNED_AWAY: [(&str, Reason); 2] = [
    // Chance: the next one may be let in.
    ("Exceeded MaxStartups", Reason::ConnectionLost),
    // PerSourcePenalties: none is, for a while.
    ("Not allowed at this time", Reason::TurnedAway),
];

/// The server's identification.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Banner {
    /// The line without its end: `SSH-2.0-OpenSSH_9.2p1`.
    pub identification: String,
    /// That line and all that was read after it, for whoever reads on.
    pub replay: Vec<u8>,
}

/// Why there is no identification.
#[derive(Debug, thiserror::Error)]
pub(super) enum BannerError {
    /// The connection ended before a single byte.
    #[error("accepted, then closed before the SSH identification: {0}")]
    Closed(#[source] io::Error),
    /// OpenSSH said why it does not want this connection, and closed it.
    #[error("accepted, then turned away: \"{0}\"")]
    TurnedAway(&'static str, Reason),
    /// The connection ended in the middle of the identification.
    #[error("closed in the middle of its identification: {0}")]
    Lost(#[source] io::Error),
    /// Something else answered: the excerpt.
    #[error("not an SSH identification: \"{0}\"")]
    NotSsh(Printable),
    /// A version of the protocol that nobody speaks any more, or a line that breaks its rules.
    #[error("unusable SSH identification: \"{0}\"")]
    Unusable(Printable),
}

impl BannerError {
    /// The code for it.
    pub(super) fn reason(&self) -> Reason {
        match self {
            // Something accepted the connection, which a service that does not run would not.
            Self::Closed(error) | Self::Lost(error) => reason_of_broken(error),
            Self::TurnedAway(_, reason) => *reason,
            Self::NotSsh(_) => Reason::NotSsh,
            Self::Unusable(_) => Reason::SshProtocol,
        }
    }
}

/// Sends [`OURS`] and reads the server's identification.
pub(super) async fn exchange<S>(stream: &mut S) -> Result<Banner, BannerError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // A peer that has already closed may still have said why: what it said is read either way.
    let _ = stream.write_all(format!("{OURS}\r\n").as_bytes()).await;
    let _ = stream.flush().await;
    read(stream).await
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Banner, BannerError> {
    let mut pending = Vec::with_capacity(MAX_LINE + 1);
    // The first line that was no identification: what a person is shown of it.
    let mut first: Option<Printable> = None;
    let mut lines = 0;
    loop {
        if let Some(end) = pending.iter().position(|&byte| byte == b'\n') {
            if pending.starts_with(b"SSH-") {
                return identified(pending, end);
            }
            let line = Printable::excerpt(&pending[..end], MAX_EXCERPT);
            lines += 1;
            if lines > MAX_LINES {
                return Err(BannerError::NotSsh(first.unwrap_or(line)));
            }
            if !line.is_empty() {
                first.get_or_insert(line);
            }
            pending.drain(..=end);
            continue;
        }
        if pending.len() >= MAX_LINE {
            let line = Printable::excerpt(&pending, MAX_EXCERPT);
            return Err(BannerError::NotSsh(first.unwrap_or(line)));
        }
        let room = (MAX_LINE - pending.len()) as u64;
        match (&mut *stream).take(room).read_buf(&mut pending).await {
            Ok(0) => return Err(ended(&pending, first, io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {}
            Err(error) => return Err(ended(&pending, first, error)),
        }
    }
}

/// Judges the line `pending[..end]`, which starts with `SSH-`.
fn identified(pending: Vec<u8>, end: usize) -> Result<Banner, BannerError> {
    let line = &pending[..end];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    // 1.99 is a server that also speaks version 1 (RFC 4253, 5.1).
    let speaks_2 = line.starts_with(b"SSH-2.0-") || line.starts_with(b"SSH-1.99-");
    match std::str::from_utf8(line) {
        Ok(line) if speaks_2 => Ok(Banner {
            identification: line.to_owned(),
            replay: pending,
        }),
        _ => Err(BannerError::Unusable(Printable::excerpt(line, MAX_EXCERPT))),
    }
}

/// The connection ended with `pending` as its last words.
fn ended(pending: &[u8], first: Option<Printable>, error: io::Error) -> BannerError {
    let last = Printable::excerpt(pending, MAX_EXCERPT);
    match first {
        None if last.is_empty() => BannerError::Closed(error),
        None if pending.starts_with(b"SSH-") => BannerError::Lost(error),
        first => {
            let line = first.unwrap_or(last);
            let said = TURNED_AWAY.iter().find(|(said, _)| *said == line.as_str());
            match said {
                Some((said, reason)) => BannerError::TurnedAway(said, *reason),
                None => BannerError::NotSsh(line),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn of(bytes: &[u8]) -> Result<Banner, BannerError> {
        read(&mut &bytes[..]).await
    }

    #[tokio::test]
    async fn what_follows_the_identification_is_kept_for_the_key_exchange() {
        let banner = of(b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n\0\0\x04kex")
            .await
            .unwrap();
        assert_eq!(banner.identification, "SSH-2.0-OpenSSH_9.2p1 Debian");
        assert_eq!(
            banner.replay,
            b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n\0\0\x04kex"
        );
    }

    #[tokio::test]
    async fn lines_before_the_identification_are_skipped() {
        let banner = of(b"Welcome\r\nto the desktop\nSSH-1.99-old\nrest")
            .await
            .unwrap();
        assert_eq!(banner.identification, "SSH-1.99-old");
        assert_eq!(banner.replay, b"SSH-1.99-old\nrest");
    }

    #[tokio::test]
    async fn a_connection_that_was_accepted_and_closed_is_lost_unless_something_else_was_said() {
        for (said, reason) in [
            (&b""[..], Reason::ConnectionLost),
            (b"Exceeded MaxStartups\r\n", Reason::ConnectionLost),
            (b"Not allowed at this time\r\n", Reason::TurnedAway),
            (b"SSH-2.0-Ope", Reason::ConnectionLost),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", Reason::NotSsh),
            (b"gar\x00bage", Reason::NotSsh),
            (b"SSH-1.5-ancient\n", Reason::SshProtocol),
            (b"SSH-2.0-\xff\xfe\n", Reason::SshProtocol),
        ] {
            let error = of(said).await.unwrap_err();
            assert_eq!(error.reason(), reason, "{error}");
        }
    }

    #[tokio::test]
    async fn the_excerpt_is_the_first_line_escaped() {
        let error = of(b"\x1b]0;owned\x07\r\nsecond\r\n").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "not an SSH identification: \"\\x1b]0;owned\\x07\""
        );
    }

    #[tokio::test]
    async fn a_line_without_end_and_lines_without_end_are_given_up() {
        let mut endless = tokio::io::repeat(b'x');
        assert!(matches!(
            read(&mut endless).await,
            Err(BannerError::NotSsh(_))
        ));
        let mut lines = tokio::io::repeat(b'\n');
        assert!(matches!(
            read(&mut lines).await,
            Err(BannerError::NotSsh(_))
        ));
    }

    #[tokio::test]
    async fn the_longest_identification_allowed_is_read() {
        let longest = format!("SSH-2.0-{}\r\n", "a".repeat(MAX_LINE - 10));
        assert_eq!(longest.len(), MAX_LINE);
        assert!(of(longest.as_bytes()).await.is_ok());
        let longer = format!("SSH-2.0-{}\r\n", "a".repeat(MAX_LINE - 9));
        assert!(of(longer.as_bytes()).await.is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_a_verdict(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            if let Ok(banner) = runtime.block_on(of(&bytes)) {
                prop_assert!(banner.identification.starts_with("SSH-"));
                prop_assert!(banner.replay.len() <= MAX_LINE);
            }
        }
    }
}
