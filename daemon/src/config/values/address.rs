//! Where else a target may be.

use crate::{config::error::quoted, target::Address};

/// Reads `host`, `host:port` or `[v6]:port`.
pub(in crate::config) fn parse(text: &str) -> Result<Address, String> {
    if text.contains("://") {
        return Err(
            "is a URL; write only host or host:port, such as \"192.0.2.6\" or \"desktop:5000\""
                .into(),
        );
    }
    if text.contains('@') {
        return Err("has a user; write only host or host:port".into());
    }
    Address::parse(text).map_err(|error| {
        format!(
            "{}: {error}; write host, host:port or [v6]:port",
            quoted(text)
        )
    })
}

/// The one way to write it.
pub(in crate::config) fn normal(text: &str) -> Result<String, String> {
    parse(text).map(|address| address.to_string())
}
