//! Substituters that are not ours to poll.

use crate::config::error::quoted;

/// Whether `url` is one of `patterns`: URLs in which `*` stands for any run of characters.
///
/// The case of scheme and host, a trailing slash, the scheme's own port and the parameters Nix
/// hangs on a store's URL (`?priority=10`) make no difference.
pub fn exclude_matches(patterns: &[String], url: &str) -> bool {
    let url = normal(url);
    patterns
        .iter()
        .any(|pattern| glob(normal(pattern).as_bytes(), url.as_bytes()))
}

/// Whether `pattern` could ever match a URL.
pub(in crate::config) fn check(pattern: &str) -> Result<(), String> {
    if pattern.is_empty() {
        return Err("is empty; remove it, or write a URL".into());
    }
    let shown = quoted(pattern);
    if pattern.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!(
            "{shown} has white space, which no URL has; write one URL per item"
        ));
    }
    if !pattern.contains("://") && !pattern.starts_with('*') {
        return Err(format!(
            "{shown} has no scheme, so it matches nothing; write \"https://{pattern}\" or \"*://{pattern}\""
        ));
    }
    Ok(())
}

fn normal(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (Some(scheme.to_lowercase()), rest),
        None => (None, url),
    };
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let (host, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let host = host.to_lowercase();
    let host = match scheme.as_deref() {
        Some("http") => host.strip_suffix(":80").unwrap_or(&host),
        Some("https") => host.strip_suffix(":443").unwrap_or(&host),
        _ => &host,
    };
    let path = path.trim_end_matches('/');
    match scheme {
        Some(scheme) => format!("{scheme}://{host}{path}"),
        None => format!("{host}{path}"),
    }
}

/// Goes back to the last `*` only, which is enough for `*` alone: no pattern is slow.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(expected) if expected == byte => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((star_p, star_t)) => {
                    star = Some((star_p, star_t + 1));
                    p = star_p + 1;
                    t = star_t + 1;
                }
                None => return false,
            },
        }
    }
    pattern
        .get(p..)
        .unwrap_or_default()
        .iter()
        .all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, url: &str) -> bool {
        exclude_matches(&[pattern.to_owned()], url)
    }

    #[test]
    fn the_public_caches_are_excluded_however_they_are_written() {
        let default = crate::config::Settings::default().nix.exclude;
        for (url, excluded) in [
            ("https://cache.nixos.org", true),
            ("https://cache.nixos.org/", true),
            ("HTTPS://Cache.NixOS.org", true),
            ("https://cache.nixos.org:443/", true),
            ("https://cache.nixos.org?priority=40", true),
            ("https://cache.nixos.org/?priority=40", true),
            ("https://nix-community.cachix.org", true),
            ("https://nix-community.cachix.org/", true),
            ("http://cache.nixos.org", false),
            ("https://cache.nixos.org/mirror", false),
            ("https://cache.nixos.org.example.org", false),
            ("https://cachix.org", false),
            ("https://cachix.org.example.org", false),
            ("http://192.0.2.6:5000", false),
            ("", false),
        ] {
            assert_eq!(exclude_matches(&default, url), excluded, "{url}");
        }
    }

    #[test]
    fn a_star_is_any_run() {
        for (pattern, url, expected) in [
            ("*", "http://192.0.2.6:5000", true),
            ("*://192.0.2.*", "http://192.0.2.6:5000", true),
            ("http://*:5000", "http://192.0.2.6:5000/", true),
            ("http://*:5000", "http://192.0.2.6:5001", false),
            ("*a*b*", "http://xaxbx", true),
            ("*a*b", "http://xaxbx", false),
            ("http://desktop/Nix", "http://DESKTOP/Nix", true),
            ("http://desktop/Nix", "http://desktop/nix", false),
            ("http://desktop:80", "http://desktop", true),
            ("http://desktop:8", "http://desktop:80", false),
        ] {
            assert_eq!(matches(pattern, url), expected, "{pattern} {url}");
        }
        assert!(!exclude_matches(&[], "https://cache.nixos.org"));
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_refused() {
        assert!(check("https://*.cachix.org").is_ok());
        assert!(check("*.cachix.org").is_ok());
        for pattern in ["", "cache.nixos.org", "https://a https://b", "https://a\n"] {
            assert!(check(pattern).is_err(), "{pattern:?}");
        }
    }

    proptest! {
        #[test]
        fn every_url_matches_itself_and_a_star(url in "https?://[a-zA-Z0-9.]{1,20}(:[0-9]{1,5})?(/[a-zA-Z0-9/]{0,20})?") {
            prop_assert!(matches(&url, &url));
            prop_assert!(matches("*", &url));
            let trailing = format!("{url}/");
            prop_assert!(matches(&url, &trailing));
        }

        #[test]
        fn matching_never_panics(pattern in ".*", url in ".*") {
            let _ = matches(&pattern, &url);
        }
    }
}
