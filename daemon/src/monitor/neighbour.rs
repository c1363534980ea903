//! What is done when somebody appears at an address.

use std::net::{IpAddr, SocketAddr};

use offload_client::TargetState;

use super::{Monitor, watched::Watched};
use crate::{clock::Now, health::Event};

impl Monitor {
    /// Checks at once what is missed and may be at `address`.
    pub(super) fn appeared(&mut self, now: Now, address: IpAddr) {
        let missed = self.order.iter().filter(|id| {
            let state = self.health.target(id).map(|health| health.state);
            matches!(state, Some(TargetState::Down | TargetState::Away))
        });
        let concerned = missed.filter(|id| {
            let watched = self.watched.get(id);
            watched.is_some_and(|watched| may_be_at(watched, address))
        });
        for id in concerned.cloned().collect::<Vec<_>>() {
            self.handle(now, Event::Appeared(id));
        }
    }
}

/// Whether `address` is one that is configured, or the one where the target was last looked for: of
/// a name, what it resolved to.
fn may_be_at(watched: &Watched, address: IpAddr) -> bool {
    let mut configured = watched.spec.addresses.iter();
    let last = watched.address().parse::<SocketAddr>();
    configured.any(|one| is_literally(&one.host, address))
        || last.is_ok_and(|last| last.ip() == address)
}

fn is_literally(host: &str, address: IpAddr) -> bool {
    let host = host.split_once('%').map_or(host, |(host, _zone)| host);
    host.parse() == Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_address_is_known_with_its_zone_or_without() {
        for (host, address) in [
            ("192.0.2.6", "192.0.2.6"),
            ("2001:db8:0::6", "2001:db8::6"),
            ("fe80::6%wlan0", "fe80::6"),
        ] {
            assert!(is_literally(host, address.parse().unwrap()), "{host}");
        }
        for (host, address) in [("desktop", "192.0.2.6"), ("192.0.2.7", "192.0.2.6")] {
            assert!(!is_literally(host, address.parse().unwrap()), "{host}");
        }
    }
}
