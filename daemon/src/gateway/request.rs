//! What may be asked of a binary cache, and what kind of answer it has.
//!
//! Source: `BinaryCacheStore` and `HttpBinaryCacheStore` (src/libstore/binary-cache-store.cc,
//! http-binary-cache-store.cc). Anything else is nothing that Nix asks.

use hyper::Method;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// `nix-cache-info`: known here.
    Info,
    /// What is small enough to be handed on: a narinfo, a realisation.
    Small(String),
    /// What the caches themselves hand out: a NAR, a log, a listing.
    Large(String),
}

/// Why nothing is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Only GET and HEAD ask.
    Method,
    /// No cache has such a path.
    Path,
}

/// No path of Nix's is longer: a store path's name has 211 characters at the most, an output's or a
/// query's come on top.
const MAX_PATH: usize = 1024;
/// The characters of a hash in Nix's base 32 (src/libutil/base-nix-32.cc).
const BASE_32: &[u8] = b"0123456789abcdfghijklmnpqrsvwxyz";
const HASH_LEN: usize = 32;

/// Reads the head of a request; `target` is the path with its query.
pub(super) fn read(method: &Method, target: &str) -> Result<Asked, Refusal> {
    if method != Method::GET && method != Method::HEAD {
        return Err(Refusal::Method);
    }
    let path = target.strip_prefix('/').ok_or(Refusal::Path)?;
    if path.len() > MAX_PATH || !path.bytes().all(is_plain) || path.split('/').any(is_dots) {
        return Err(Refusal::Path);
    }
    if path == "nix-cache-info" {
        return Ok(Asked::Info);
    }
    let asked = || target.to_owned();
    match path.split_once('/') {
        None if is_of_hash(path, ".narinfo") => Ok(Asked::Small(asked())),
        None if is_of_hash(path, ".ls") => Ok(Asked::Large(asked())),
        Some(("realisations" | "build-trace-v2", name)) if !name.is_empty() => {
            Ok(Asked::Small(asked()))
        }
        Some(("nar" | "log" | "debuginfo", name)) if !name.is_empty() => Ok(Asked::Large(asked())),
        _ => Err(Refusal::Path),
    }
}

fn is_of_hash(path: &str, suffix: &str) -> bool {
    let hash = path.strip_suffix(suffix);
    hash.is_some_and(|hash| hash.len() == HASH_LEN && hash.bytes().all(|c| BASE_32.contains(&c)))
}

/// What stands in the names of store paths, in hashes and in queries.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'/' | b'.' | b'-' | b'_' | b'+' | b'?' | b'=' | b'%' | b'&' | b'!' | b':' | b'~'
        )
}

/// What a server may take for the way out of its folder.
fn is_dots(part: &str) -> bool {
    let part = part.split('?').next().unwrap_or(part).to_ascii_lowercase();
    matches!(part.replace("%2e", ".").as_str(), "." | "..")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "00bgd045z0d4icpbc2yyz4gx48ak44la";

    #[test]
    fn what_nix_asks_a_cache_for_is_known() {
        let get = |path: &str| read(&Method::GET, path);
        assert_eq!(get("/nix-cache-info"), Ok(Asked::Info));
        for path in [
            format!("/{HASH}.narinfo"),
            "/realisations/sha256:0f8c9a!out.doi".to_owned(),
            format!("/build-trace-v2/{HASH}-hello.drv/out.doi"),
        ] {
            assert_eq!(get(&path), Ok(Asked::Small(path)));
        }
        for path in [
            "/nar/0f8c9a.nar.xz".to_owned(),
            format!("/nar/0f8c9a.nar?hash={HASH}"),
            format!("/nar/{HASH}-sha256:0f8c9a.nar"),
            format!("/log/{HASH}-hello-2.12.1.drv"),
            format!("/{HASH}.ls"),
            "/debuginfo/0123abcd".to_owned(),
        ] {
            assert_eq!(get(&path), Ok(Asked::Large(path)));
        }
        assert_eq!(read(&Method::HEAD, "/nix-cache-info"), Ok(Asked::Info));
    }

    #[test]
    fn nothing_else_is_asked_of_a_cache() {
        for method in [Method::PUT, Method::POST, Method::DELETE, Method::CONNECT] {
            assert_eq!(read(&method, "/nix-cache-info"), Err(Refusal::Method));
        }
        for path in [
            "/",
            "",
            "nix-cache-info",
            "//nix-cache-info",
            "/etc/passwd",
            "/nar/",
            "/nar/../../etc/passwd",
            "/nar/%2e%2E/x",
            "/nar/a b",
            "/nar/a\\b",
            "/nar/x#y",
            "/short.narinfo",
            "/eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee.narinfo",
            "http://192.0.2.6/nix-cache-info",
            "/serve/00bgd045z0d4icpbc2yyz4gx48ak44la/index.html",
        ] {
            assert_eq!(read(&Method::GET, path), Err(Refusal::Path), "{path}");
        }
        let long = format!("/nar/{}", "a".repeat(MAX_PATH));
        assert_eq!(read(&Method::GET, &long), Err(Refusal::Path));
    }

    proptest! {
        #[test]
        fn what_is_handed_on_has_no_way_out_and_no_second_line(path in "/(nar/|log/|)[ -~]{0,80}") {
            if let Ok(Asked::Small(path) | Asked::Large(path)) = read(&Method::GET, &path) {
                prop_assert!(!path.contains([' ', '\r', '\n', '#', '\\', '"']));
                prop_assert!(!path.split('/').any(|part| part == ".."));
            }
        }
    }
}
