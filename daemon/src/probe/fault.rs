//! What an operating system's error means: the one place that reads error numbers.

use std::io::{self, ErrorKind};

use offload_client::{Reason, Stage};
use rustix::io::Errno;

use super::Failure;

/// The reason behind a failed attempt to connect.
///
/// The numbers are those of `connect(2)`, `ip(7)` and `tcp(7)`; what a router's ICMP message
/// becomes stands in the kernel's `icmp_err_convert`, what a `blackhole`, `prohibit` or
/// `unreachable` route gives in `ip-route(8)`.
pub fn reason_of(error: &io::Error) -> Reason {
    if let Some(errno) = Errno::from_io_error(error) {
        return match errno {
            Errno::CONNREFUSED | Errno::CONNRESET | Errno::NOPROTOOPT => Reason::Refused,
            Errno::TIMEDOUT => Reason::TimedOut,
            Errno::HOSTUNREACH | Errno::HOSTDOWN | Errno::NONET => Reason::HostUnreachable,
            // An address that is not ours any more, an interface that went, a route that
            // forbids, a local firewall or the unit's own IPAddressDeny=: never left this machine.
            Errno::NETUNREACH
            | Errno::NETDOWN
            | Errno::ADDRNOTAVAIL
            | Errno::AFNOSUPPORT
            | Errno::NODEV
            | Errno::INVAL
            | Errno::ACCESS
            | Errno::PERM => Reason::NoRoute,
            // PIPE, CONNABORTED, NETRESET and whatever this machine lacks (MFILE, NOBUFS, …):
            // it says nothing about the peer, so it asks for another try.
            _ => Reason::ConnectionLost,
        };
    }
    match error.kind() {
        ErrorKind::TimedOut => Reason::TimedOut,
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Reason::Refused,
        _ => Reason::ConnectionLost,
    }
}

/// The reason behind an exchange that broke off after the connection stood: a reset is no
/// refusal then.
pub fn reason_of_broken(error: &io::Error) -> Reason {
    match reason_of(error) {
        Reason::Refused => Reason::ConnectionLost,
        reason => reason,
    }
}

/// Orders what several candidates said; the highest says the most. What an answer says of who
/// answers says more than any silence, and a host key more than anything.
pub(super) const fn rank(reason: Reason) -> u8 {
    match reason {
        Reason::HostKeyMismatch => 12,
        Reason::HostKeyUnknown | Reason::KnownHostsUnreadable | Reason::SshConfigUnsupported => 11,
        Reason::SshProtocol => 10,
        Reason::Unsigned | Reason::UntrustedSignature | Reason::StoreDirMismatch => 9,
        Reason::NotSsh
        | Reason::NotHttp
        | Reason::HttpStatus
        | Reason::Redirected
        | Reason::CaptivePortal
        | Reason::CacheInfoInvalid
        | Reason::TlsFailed => 8,
        Reason::Refused => 6,
        Reason::HostUnreachable => 5,
        Reason::NoRoute => 4,
        Reason::ConnectionLost => 3,
        Reason::TimedOut => 2,
        Reason::DnsFailed => 1,
        _ => 0,
    }
}

/// The same of a whole failure: who took the connection and then said nothing, or hung up, says more
/// than those who were not there.
pub(super) fn weight(failure: &Failure) -> u8 {
    match failure.stage {
        Stage::None | Stage::Resolve | Stage::Connect => rank(failure.reason),
        _ => rank(failure.reason).max(ANSWERED),
    }
}

/// The least weight of a failure after somebody took the connection.
pub(super) const ANSWERED: u8 = 7;

/// Whether a failure is of who answers, and not of the way there: another candidate may be the one.
pub(super) const fn is_of_identity(reason: Reason) -> bool {
    rank(reason) >= rank(Reason::NotSsh)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_number_has_its_reason() {
        for (errno, reason) in [
            (Errno::CONNREFUSED, Reason::Refused),
            (Errno::CONNRESET, Reason::Refused),
            (Errno::TIMEDOUT, Reason::TimedOut),
            (Errno::HOSTUNREACH, Reason::HostUnreachable),
            (Errno::NETUNREACH, Reason::NoRoute),
            (Errno::ADDRNOTAVAIL, Reason::NoRoute),
            (Errno::ACCESS, Reason::NoRoute),
            (Errno::MFILE, Reason::ConnectionLost),
        ] {
            assert_eq!(reason_of(&errno.into()), reason, "{errno:?}");
        }
    }

    #[test]
    fn a_reset_in_an_exchange_is_a_lost_connection() {
        assert_eq!(
            reason_of_broken(&Errno::CONNRESET.into()),
            Reason::ConnectionLost
        );
        assert_eq!(reason_of_broken(&Errno::TIMEDOUT.into()), Reason::TimedOut);
    }
}
