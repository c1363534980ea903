//! Where the gateway listens.

use std::net::SocketAddr;

use crate::config::error::quoted;

/// Reads `127.0.0.1:5001` or `[::1]:5001`; nothing where it is off.
pub(in crate::config) fn parse(text: &str) -> Result<Option<SocketAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let shown = quoted(text);
    let Ok(address) = text.parse::<SocketAddr>() else {
        return Err(format!(
            "{shown} is no address with a port; write \"127.0.0.1:5001\", or \"\" for none"
        ));
    };
    if !address.ip().is_loopback() {
        return Err(format!(
            "{shown} can be reached by other machines, which the gateway is not for; write \"127.0.0.1:{}\"",
            address.port()
        ));
    }
    if address.port() == 0 {
        return Err(format!(
            "{shown} has no port that Nix could be told; write \"127.0.0.1:5001\""
        ));
    }
    Ok(Some(address))
}

pub(in crate::config) fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}
