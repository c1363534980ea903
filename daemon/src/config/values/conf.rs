//! Where Nix's configuration is.

use crate::config::error::quoted;

/// Checks an absolute path.
pub(in crate::config) fn check(text: &str) -> Result<(), String> {
    if text.starts_with('/') && !text.contains('\0') {
        return Ok(());
    }
    Err(format!(
        "{} must be an absolute path such as \"/etc/nix/nix.conf\"",
        quoted(text)
    ))
}
