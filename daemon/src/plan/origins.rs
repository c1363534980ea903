//! What is declared and deployed of each target, for [`crate::drift`].

use std::path::Path;

use crate::{config::Location, drift::Side, target::Address};

/// The side of an entry: its own URL's host, then the addresses that it lists. `port` holds where an
/// address names none.
pub(super) fn declared(
    place: &Location,
    own: Option<Address>,
    listed: &[Address],
    port: u16,
) -> Side {
    let mut addresses: Vec<String> = Vec::new();
    for address in own.iter().chain(listed) {
        let shown = shown(&address.host, address.port.unwrap_or(port));
        if !addresses.contains(&shown) {
            addresses.push(shown);
        }
    }
    Side {
        addresses,
        source: place.to_string(),
        ..Side::default()
    }
}

/// The side of something that Nix is configured with.
pub(super) fn deployed(host: &str, port: u16, source: &str) -> Side {
    Side {
        addresses: vec![shown(host, port)],
        source: source.to_owned(),
        ..Side::default()
    }
}

/// `/etc/nix/machines:3`.
pub(super) fn source(file: &Path, line: Option<u32>) -> String {
    let file = file.display();
    line.map_or_else(|| file.to_string(), |line| format!("{file}:{line}"))
}

/// `host:port`.
fn shown(host: &str, port: u16) -> String {
    let address = Address {
        host: host.to_owned(),
        port: Some(port),
    };
    address.to_string()
}
