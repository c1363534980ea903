//! Why a connection ended, in our words.

use std::io;

use offload_client::{Printable, Reason};
use russh::{Disconnect, client::RemoteDisconnectInfo};

use super::{super::proposal::Proposal, HostKeys, MAX_WORDS};
use crate::probe::fault::reason_of_broken;

/// Why a connection ended or never came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::probe::builder) struct End {
    /// The code for it.
    pub reason: Reason,
    /// The particulars.
    pub detail: Printable,
}

impl End {
    pub(in crate::probe::builder) fn of(error: &russh::Error) -> Self {
        use russh::Error;
        let reason = match error {
            // Of our own making: it said too much.
            Error::IO(error) if error.kind() == io::ErrorKind::InvalidData => Reason::SshProtocol,
            Error::IO(error) => reason_of_broken(error),
            Error::Disconnect
            | Error::HUP
            | Error::SendError
            | Error::RecvError
            | Error::Join(_) => Reason::ConnectionLost,
            Error::NoAuthMethod => Reason::AuthRejected,
            // It shows a host key that it can't sign with: as good as another host's.
            Error::WrongServerSig => Reason::HostKeyMismatch,
            _ => Reason::SshProtocol,
        };
        Self {
            reason,
            detail: Printable::excerpt(error.to_string().as_bytes(), 2 * MAX_WORDS),
        }
    }

    /// ssh would find nothing in common with the server.
    pub(super) fn unmatched(why: &str) -> Self {
        Self {
            reason: Reason::SshProtocol,
            detail: Printable::excerpt(why.as_bytes(), 2 * MAX_WORDS),
        }
    }

    /// russh finds nothing in common with it, and ssh perhaps does.
    pub(super) fn without_match(
        error: &russh::Error,
        ours: &HostKeys,
        theirs: Option<&Proposal>,
    ) -> Self {
        let is_asked = !ours.algorithms.kex.is_empty();
        match theirs.map(|theirs| theirs.unmatched(ours)) {
            Some(Some(why)) => Self::unmatched(&why),
            Some(None) if is_asked => Self {
                reason: Reason::SshConfigUnsupported,
                detail: Printable::excerpt(
                    format!("ssh would come to terms with the server, and offloadd can't: {error}")
                        .as_bytes(),
                    2 * MAX_WORDS,
                ),
            },
            Some(None) | None => Self::of(error),
        }
    }

    pub(super) fn said(info: &RemoteDisconnectInfo) -> Self {
        let reason = match info.reason_code {
            // OpenSSH says this under the code of a protocol error.
            _ if info.message.contains("authentication failures") => Reason::AuthRejected,
            Disconnect::AuthCancelledByUser
            | Disconnect::NoMoreAuthMethodsAvailable
            | Disconnect::IllegalUserName => Reason::AuthRejected,
            Disconnect::ProtocolError
            | Disconnect::KeyExchangeFailed
            | Disconnect::Reserved
            | Disconnect::MACError
            | Disconnect::CompressionError
            | Disconnect::ProtocolVersionNotSupported
            | Disconnect::HostKeyNotVerifiable => Reason::SshProtocol,
            Disconnect::HostNotAllowedToConnect
            | Disconnect::TooManyConnections
            | Disconnect::ServiceNotAvailable
            | Disconnect::ConnectionLost
            | Disconnect::ByApplication => Reason::ConnectionLost,
        };
        let words = Printable::excerpt(info.message.as_bytes(), MAX_WORDS);
        Self {
            reason,
            detail: format!("the server closed the connection: \"{words}\"").into(),
        }
    }
}
