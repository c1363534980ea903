//! Has forgotten what Nix remembers as missing from a cache: for an hour it would not ask again, and build what is there.

use std::{io, time::Duration};

use crate::{helper::Helper, target::CacheSpec};

/// So often it is tried while somebody writes: a build does, in its turns.
const TRIES: u32 = 5;
/// The time between two.
const BETWEEN: Duration = Duration::from_millis(500);

/// Why it is remembered yet.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// This process is no client of offload-helper's, or there is none.
    #[error("only root may, and there is no offload-helper")]
    NoHelper,
    /// Nix does not take from it.
    #[error("Nix has no such substituter")]
    NotNixs,
    /// What is in the way.
    #[error("{0}")]
    Failed(#[source] io::Error),
}

/// Forgets what Nix remembers as missing from the substituter with this URL: how many paths.
///
/// # Errors
/// [`ForgetError`]
pub async fn misses(url: &str) -> Result<u64, ForgetError> {
    let helper = Helper::of_this_machine().ok_or(ForgetError::NoHelper)?;
    let mut tries = 0;
    loop {
        tries += 1;
        match helper.forget(url).await {
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(ForgetError::NotNixs);
            }
            Err(error) if tries == TRIES => return Err(ForgetError::Failed(error)),
            Err(_) => tokio::time::sleep(BETWEEN).await,
        }
    }
}

/// The URL of a cache, in one of its spellings.
pub fn url(cache: &CacheSpec) -> String {
    let scheme = if cache.tls { "https" } else { "http" };
    let (host, port, path) = (&cache.host, cache.port, &cache.path);
    if host.contains(':') {
        format!("{scheme}://[{host}]:{port}{path}")
    } else {
        format!("{scheme}://{host}:{port}{path}")
    }
}
