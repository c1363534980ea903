//! Where caches and builders are, as Nix is told: URLs of caches, store URIs of builders.

use crate::{config::error::quoted, target::Address};

/// Reads the URL of a cache: `http` or `https`, a host, perhaps a port, a path and Nix's
/// parameters. Returns where it is.
pub(in crate::config) fn cache(url: &str) -> Result<Address, String> {
    let (scheme, rest) = split_scheme(url, "http://desktop:5000")?;
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err(format!(
            "{} is no scheme offloadd can watch; only http:// and https:// caches are",
            quoted(&scheme)
        ));
    }
    let (user, authority, rest) = split_authority(rest);
    if user.is_some() {
        return Err(
            "must not carry a user name or password, since every user of this machine can read \
             it on the bus; remove what is before the '@'"
                .into(),
        );
    }
    if rest.contains('#') {
        return Err(format!("{} has a '#'; a cache's URL has none", quoted(url)));
    }
    host(authority).map_err(|why| format!("{}: {why}", quoted(url)))
}

/// Reads the URI of a builder as Nix reads it (`src/libstore/store-reference.cc`): `ssh` or
/// `ssh-ng`, perhaps a user, a host, perhaps a port and `?` parameters. Returns where it is.
pub(in crate::config) fn builder(uri: &str) -> Result<Address, String> {
    const EXAMPLE: &str = "ssh-ng://nix-builder@desktop";
    let (scheme, rest) = split_scheme(uri, EXAMPLE)?;
    if !matches!(scheme.as_str(), "ssh" | "ssh-ng") {
        return Err(format!(
            "{} is no scheme of a builder; only ssh:// and ssh-ng:// are, as in {EXAMPLE:?}",
            quoted(&scheme)
        ));
    }
    let (user, authority, rest) = split_authority(rest);
    if let Some(user) = user {
        // A leading '-' would be an option of ssh, a ':' brings a password with it.
        if user.contains(':') {
            return Err(
                "must not carry a password: ssh takes none from a URI, and every user of this \
                 machine can read it on the bus; remove it"
                    .into(),
            );
        }
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
        if user.is_empty() || user.starts_with('-') || !user.chars().all(fine) {
            return Err(format!(
                "{} is no user name; write {EXAMPLE:?}",
                quoted(user)
            ));
        }
    }
    let path = rest.split('?').next().unwrap_or(rest);
    if !matches!(path, "" | "/") || rest.contains('#') {
        return Err(format!(
            "{} has a path, but a builder's URI has none; options go behind a '?'",
            quoted(uri)
        ));
    }
    host(authority).map_err(|why| format!("{}: {why}", quoted(uri)))
}

/// Nothing is repeated here: without a scheme nobody knows where a password would be.
fn split_scheme<'a>(text: &'a str, example: &str) -> Result<(String, &'a str), String> {
    if text.is_empty() {
        return Err(format!("is empty; write it as {example:?}"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "has white space or characters that no URL has; write it as {example:?}"
        ));
    }
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    match text.split_once("://") {
        Some((scheme, rest)) if scheme.chars().all(fine) => Ok((scheme.to_lowercase(), rest)),
        _ => Err(format!("has no scheme; write it as {example:?}")),
    }
}

/// User, host with port, and what follows (`/…`, `?…`). Where what comes first is no host, all
/// before the last `@` is taken for the user, so that no part of a password with a slash or a
/// question mark in it is ever repeated.
fn split_authority(rest: &str) -> (Option<&str>, &str, &str) {
    let first = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) if Address::parse(first).is_err() => (Some(user), rest),
        _ => (None, rest),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    (user, authority, rest)
}

fn host(authority: &str) -> Result<Address, String> {
    // RFC 6874: in a URI the zone's '%' is written %25.
    let authority = match authority.starts_with('[') {
        true => authority.replacen("%25", "%", 1),
        false => authority.to_owned(),
    };
    let address = Address::parse(&authority).map_err(|error| error.to_string())?;
    match address.host.contains(':') && !authority.starts_with('[') {
        true => Err("an IPv6 address is written in brackets: [2001:db8::6]".into()),
        false => Ok(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls_of_caches_are_read() {
        for (url, at) in [
            ("http://192.0.2.6:5000", "192.0.2.6:5000"),
            ("HTTPS://Desktop.local/", "Desktop.local"),
            ("http://desktop/nix/cache?priority=10", "desktop"),
            ("http://desktop?trusted=true", "desktop"),
            ("http://[2001:db8::6]:5000/", "[2001:db8::6]:5000"),
            ("http://[fe80::6%25wlan0]:5000", "[fe80::6%wlan0]:5000"),
            ("http://desktop/?x=a@b", "desktop"),
            ("http://desktop:5000/?x=a@b", "desktop:5000"),
        ] {
            let address = cache(url).map(|address| address.to_string());
            assert_eq!(address.as_deref(), Ok(at), "{url}");
        }
    }

    #[test]
    fn uris_of_builders_are_read() {
        for (uri, at) in [
            ("ssh://desktop", "desktop"),
            ("ssh-ng://nix-builder@192.0.2.6", "192.0.2.6"),
            ("ssh-ng://nix-builder@192.0.2.6:2222", "192.0.2.6:2222"),
            (
                "ssh://root@[2001:db8::6]:22?compress=true",
                "[2001:db8::6]:22",
            ),
            ("ssh://desktop/?remote-program=nix-store", "desktop"),
        ] {
            let address = builder(uri).map(|address| address.to_string());
            assert_eq!(address.as_deref(), Ok(at), "{uri}");
        }
    }

    #[test]
    fn bad_urls_are_refused() {
        for (url, told) in [
            ("", "is empty"),
            ("desktop:5000", "has no scheme"),
            ("ftp://desktop", "\"ftp\" is no scheme"),
            ("file:///nix/cache", "\"file\" is no scheme"),
            ("http://", "the host is empty"),
            ("http://:5000", "the host is empty"),
            ("http://desk top", "white space"),
            ("http://desktop:0", "the port must be"),
            ("http://desktop:99999", "the port must be"),
            ("http://2001:db8::6", "in brackets"),
            ("http://192.0.2", "IPv4"),
            ("http://desktop/#x", "has a '#'"),
            ("http://größe", "characters that no URL has"),
        ] {
            let error = cache(url).unwrap_err();
            assert!(error.contains(told), "{url}: {error}");
        }
        for (uri, told) in [
            ("nix-builder@desktop", "has no scheme"),
            ("http://desktop", "\"http\" is no scheme of a builder"),
            ("ssh://@desktop", "is no user name"),
            ("ssh://-oProxyCommand=id@desktop", "is no user name"),
            ("ssh://-oProxyCommand=id", "the host is neither"),
            ("ssh://desktop/home", "has a path"),
            ("ssh://root@2001:db8::6", "in brackets"),
        ] {
            let error = builder(uri).unwrap_err();
            assert!(error.contains(told), "{uri}: {error}");
        }
    }

    #[test]
    fn passwords_are_refused_and_not_repeated() {
        for text in [
            "http://me:secret@desktop",
            "http://secret@desktop:5000",
            "http://me:sec/secret@desktop",
            "http://me:sec?secret@desktop",
            "me:secret@desktop",
            "ftp://me:secret@desktop",
            "http://me:p@secret@desktop",
            "http://me:secret x@desktop",
        ] {
            let error = cache(text).unwrap_err();
            assert!(!error.contains("secret"), "{text}: {error}");
        }
        for text in [
            "ssh://me:secret@desktop",
            "ssh-ng://me:sec/secret@desktop/x",
            "ssh-ng://me:sec?secret@desktop",
            "ssh://me:p@secret@desktop",
            "me:secret@desktop",
            "http://me:secret@desktop",
        ] {
            let error = builder(text).unwrap_err();
            assert!(!error.contains("secret"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "(https?|ssh(-ng)?)://[@\\[\\]:%.?#/a-z0-9-]{0,30}|.*") {
            let _ = cache(&text);
            let _ = builder(&text);
        }
    }
}
