//! Where metrics are read.

use std::net::SocketAddr;

use crate::config::error::quoted;

/// Reads `127.0.0.1:9559` or `[::]:9559`; nothing where they are not.
pub(in crate::config) fn parse(text: &str) -> Result<Option<SocketAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(Some(address)),
        Ok(_) => Err(format!(
            "{} has no port that could be told to anybody; write \"127.0.0.1:9559\"",
            quoted(text)
        )),
        Err(_) => Err(format!(
            "{} is no address with a port; write \"127.0.0.1:9559\", or \"\" for none",
            quoted(text)
        )),
    }
}

pub(in crate::config) fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}
