//! What an operating system's error means: the one place that reads error numbers.
//!
//! What this machine lacks is nobody's fault: want of descriptors, threads or memory is `out-of-resources`, which
//! leaves a verdict as it was. It outweighs what others said, since who could not be tried may have been the one.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    time::Duration,
};

use offload_client::{Reason, Stage};
use rustix::{
    event::{EventfdFlags, eventfd},
    io::Errno,
};

use crate::{net, report::Failure};

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
            _ if is_want(error) => Reason::OutOfResources,
            // PIPE, CONNABORTED, NETRESET: it says nothing about the peer, so it asks for another try.
            _ => Reason::ConnectionLost,
        };
    }
    match error.kind() {
        ErrorKind::TimedOut => Reason::TimedOut,
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Reason::Refused,
        _ if is_want(error) => Reason::OutOfResources,
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

/// Whether this machine lacks what was to be done with: descriptors (its own or the system's), memory,
/// buffers, or what a user may have of them (`epoll_ctl(2)`, `pipe(7)`). It says nothing of any peer.
pub fn is_want(error: &io::Error) -> bool {
    match Errno::from_io_error(error) {
        Some(errno) => matches!(
            errno,
            Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS | Errno::NOSPC
        ),
        None => error.kind() == ErrorKind::OutOfMemory,
    }
}

/// The reason behind a thread or a program that could not be started; `otherwise` where that is not
/// for want of anything. (`EAGAIN` is the number of processes: `fork(2)`, `pthread_create(3)`.)
pub fn reason_of_start(error: &io::Error, otherwise: Reason) -> Reason {
    match Errno::from_io_error(error) {
        Some(Errno::AGAIN) => Reason::OutOfResources,
        _ if is_want(error) => Reason::OutOfResources,
        _ => otherwise,
    }
}

/// The reason behind a name that has no address. Of what `getaddrinfo(3)` says, the number is here
/// where it is the system's (`EAI_SYSTEM`), and the words where it is its own (`EAI_MEMORY`).
pub(super) fn reason_of_lookup(error: &io::Error) -> Reason {
    const NO_MEMORY: [&str; 2] = ["Memory allocation failure", "Out of memory"];
    let words = error.to_string();
    if is_want(error) || NO_MEMORY.iter().any(|said| words.contains(said)) {
        Reason::OutOfResources
    } else {
        Reason::DnsFailed
    }
}

/// After a check that `took` so long: silence of who is not there is told as that, where the kernel knows it. It asks for
/// three seconds who has that address (`mcast_solicit` and `retrans_time_ms`, arp(7)), and would have told a check that
/// had waited for it.
pub(super) fn find_absent(failure: &mut Failure, address: Option<&str>, took: Duration) {
    if (failure.stage, failure.reason) != (Stage::Connect, Reason::TimedOut) {
        return;
    }
    let address = address.and_then(|address| address.parse::<SocketAddr>().ok());
    // Without netlink it is silence as before.
    if let Some(address) = address
        && net::is_absent(address.ip(), took).is_ok_and(|absent| absent)
    {
        failure.reason = Reason::HostUnreachable;
        failure.detail = format!("{}; nobody has {}", failure.detail, address.ip()).into();
    }
}

/// A check that has failed proves nothing where this machine has no files to give: whatever it could
/// not open (known_hosts, a key, the authorities) looked as if it were not there.
pub(super) fn excuse(failure: &mut Failure) {
    /// What a check has open when it fails is closed by now.
    const ROOM: usize = 8;
    let room: io::Result<Vec<_>> = (0..ROOM)
        .map(|_| eventfd(0, EventfdFlags::CLOEXEC).map_err(io::Error::from))
        .collect();
    if let Some(want) = room.err().filter(is_want)
        && failure.reason != Reason::OutOfResources
    {
        failure.detail = format!("{want}; {}", failure.detail).into();
        failure.reason = Reason::OutOfResources;
    }
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
            (Errno::PIPE, Reason::ConnectionLost),
            (Errno::MFILE, Reason::OutOfResources),
            (Errno::NFILE, Reason::OutOfResources),
            (Errno::NOMEM, Reason::OutOfResources),
            (Errno::NOBUFS, Reason::OutOfResources),
            (Errno::NOSPC, Reason::OutOfResources),
        ] {
            assert_eq!(reason_of(&errno.into()), reason, "{errno:?}");
        }
    }

    #[test]
    fn what_can_not_be_started_for_want_of_processes_is_nobodys_fault() {
        for (errno, reason) in [
            (Errno::AGAIN, Reason::OutOfResources),
            (Errno::NOMEM, Reason::OutOfResources),
            (Errno::NOENT, Reason::ProxyFailed),
        ] {
            let found = reason_of_start(&errno.into(), Reason::ProxyFailed);
            assert_eq!(found, reason, "{errno:?}");
        }
    }

    #[test]
    fn a_resolver_that_lacks_something_is_no_name_without_address() {
        let says = |words: &str| {
            io::Error::other(format!("failed to lookup address information: {words}"))
        };
        for (error, reason) in [
            (Errno::MFILE.into(), Reason::OutOfResources),
            (says("Memory allocation failure"), Reason::OutOfResources),
            (says("Name or service not known"), Reason::DnsFailed),
        ] {
            assert_eq!(reason_of_lookup(&error), reason, "{error}");
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
