//! When two caches are one.

use crate::nix::uri::CacheUri;

/// Equal for what is one cache.
pub(super) fn key(cache: &CacheUri) -> (String, u16, bool, String) {
    let host = cache.host.to_ascii_lowercase();
    let port = cache.effective_port();
    (host, port, cache.tls, cache.path.clone())
}

pub(super) fn is_same(a: &CacheUri, b: &CacheUri) -> bool {
    a.host.eq_ignore_ascii_case(&b.host) && is_same_but_for_host(a, b)
}

pub(super) fn is_same_but_for_host(a: &CacheUri, b: &CacheUri) -> bool {
    a.tls == b.tls && a.effective_port() == b.effective_port() && a.path == b.path
}
