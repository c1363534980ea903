//! The file that node_exporter reads.

use std::path::{Path, PathBuf};

use crate::config::error::quoted;

/// Reads an absolute path that ends in `.prom`; nothing where no file is written.
pub(in crate::config) fn parse(text: &str) -> Result<Option<PathBuf>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let path = Path::new(text);
    if !path.is_absolute() || text.contains('\0') {
        return Err(format!(
            "{} must be an absolute path such as \"/run/offloadd/offloadd.prom\", or \"\" for none",
            quoted(text)
        ));
    }
    if path.extension().is_none_or(|extension| extension != "prom") {
        return Err(format!(
            "{} must end in \".prom\": node_exporter reads no other file",
            quoted(text)
        ));
    }
    Ok(Some(path.to_owned()))
}

pub(in crate::config) fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}
