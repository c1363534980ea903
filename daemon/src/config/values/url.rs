//! Where caches and builders are: what `nix::uri` makes of a URL, and a friendlier word where it
//! makes nothing of it.

use super::host_key;
use crate::{
    config::error::quoted,
    nix::{
        keys::parse_encoded_host_key,
        uri::{self, StoreUri, UriError, redacted},
    },
    target::Address,
};

const CACHE: &str = "http://desktop:5000";
const BUILDER: &str = "ssh-ng://nix-builder@desktop";

/// The parameter with which Nix takes a host key from a URI.
const HOST_KEY: &str = "base64-ssh-public-host-key";

/// Reads the URL of a cache: `http` or `https`, a host, perhaps a port, a path and Nix's
/// parameters. Returns where it is.
pub(in crate::config) fn cache(url: &str) -> Result<Address, String> {
    let (scheme, rest) = split_scheme(url, CACHE)?;
    if !matches!(scheme, "http" | "https") {
        return Err(other_scheme(
            scheme,
            &["http", "https"],
            "is no scheme offloadd can watch; only http:// and https:// caches are",
        ));
    }
    if userinfo(rest).is_some() {
        return Err(
            "must not carry a user name or password, since every user of this machine can read \
             it on the bus; remove what is before the '@'"
                .into(),
        );
    }
    if rest.contains('#') {
        return Err(format!(
            "{} has a '#'; a cache's URL has none",
            quoted(&redacted(url))
        ));
    }
    match uri::parse(url) {
        Ok(StoreUri::Cache(cache)) => address(url, cache.host, cache.port),
        Ok(StoreUri::Ssh(_)) => Err(unreadable(url, rest, UriError::Scheme, CACHE)),
        Err(error) => Err(unreadable(url, rest, error, CACHE)),
    }
}

/// Reads the URI of a builder: `ssh` or `ssh-ng`, perhaps a user, a host, perhaps a port and `?`
/// parameters. Returns where it is.
pub(in crate::config) fn builder(uri: &str) -> Result<Address, String> {
    let (scheme, rest) = split_scheme(uri, BUILDER)?;
    if !matches!(scheme, "ssh" | "ssh-ng") {
        let only = "is no scheme of a builder; only ssh:// and ssh-ng:// are";
        let wrong = other_scheme(scheme, &["ssh", "ssh-ng"], only);
        return Err(format!("{wrong}, as in {BUILDER:?}"));
    }
    let user = userinfo(rest);
    if user.is_some_and(|user| user.contains(':')) {
        return Err(
            "must not carry a password: ssh takes none from a URI, and every user of this \
             machine can read it on the bus; remove it"
                .into(),
        );
    }
    let path = authority_and_tail(rest).1.split('?').next();
    if path.is_some_and(|path| !path.is_empty()) || rest.contains('#') {
        return Err(format!(
            "{} has a path, but a builder's URI has none; options go behind a '?'",
            quoted(&redacted(uri))
        ));
    }
    match uri::parse(uri) {
        Ok(StoreUri::Ssh(ssh)) => {
            if let Some(encoded) = ssh.params.get(HOST_KEY) {
                parse_encoded_host_key(encoded)
                    .map_err(|error| format!("{HOST_KEY} {}", host_key::told(&error)))?;
            }
            address(uri, ssh.host, ssh.port)
        }
        Ok(StoreUri::Cache(_)) => Err(unreadable(uri, rest, UriError::Scheme, BUILDER)),
        Err(error) => match user {
            Some(user) if !is_user(user) => Err(format!(
                "{} is no user name; write {BUILDER:?}",
                quoted(user)
            )),
            _ => Err(unreadable(uri, rest, error, BUILDER)),
        },
    }
}

/// As [`cache`].
pub(in crate::config) fn check_cache(url: &str) -> Result<(), String> {
    cache(url).map(drop)
}

/// As [`builder`].
pub(in crate::config) fn check_builder(uri: &str) -> Result<(), String> {
    builder(uri).map(drop)
}

/// Nothing is repeated here: without a scheme nobody knows where a password would be.
fn split_scheme<'a>(text: &'a str, example: &str) -> Result<(&'a str, &'a str), String> {
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
        Some((scheme, rest)) if scheme.chars().all(fine) => Ok((scheme, rest)),
        _ => Err(format!("has no scheme; write it as {example:?}")),
    }
}

/// Nix knows its schemes in small letters only.
fn other_scheme(scheme: &str, known: &[&str], otherwise: &str) -> String {
    let small = scheme.to_lowercase();
    if known.contains(&small.as_str()) {
        format!(
            "{} is no scheme to Nix; write it in small letters: {small}://",
            quoted(scheme)
        )
    } else {
        format!("{} {otherwise}", quoted(scheme))
    }
}

/// What stands before the host. Where what comes first is no host, all before the last `@` is taken
/// for it, so that no part of a password with a slash or a question mark in it is ever repeated.
fn userinfo(rest: &str) -> Option<&str> {
    let (user, _) = rest.rsplit_once('@')?;
    Address::parse(authority_and_tail(rest).0)
        .is_err()
        .then_some(user)
}

fn authority_and_tail(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

fn is_user(user: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '%');
    !user.is_empty() && !user.starts_with('-') && user.chars().all(fine)
}

/// Nix would ask a resolver for `192.0.2` or `-x`, and hear of nothing or, worse, of something.
fn address(url: &str, host: String, port: Option<u16>) -> Result<Address, String> {
    match Address::parse(&host) {
        Ok(address) => Ok(Address { port, ..address }),
        Err(error) => Err(format!("{}: {error}", quoted(&redacted(url)))),
    }
}

/// What is wrong, said of the part where it is wrong, if that can be told.
fn unreadable(url: &str, rest: &str, error: UriError, example: &str) -> String {
    let (authority, _) = authority_and_tail(rest);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let told = match (error, Address::parse(&host.replacen("%25", "%", 1))) {
        (UriError::Invalid(_), Err(error)) => error.to_string(),
        (UriError::Invalid(what), Ok(_)) => format!("Nix does not accept it ({what})"),
        (error, _) => format!("{error}; write it as {example:?}"),
    };
    format!("{}: {told}", quoted(&redacted(url)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls_of_caches_are_read() {
        for (url, at) in [
            ("http://192.0.2.6:5000", "192.0.2.6:5000"),
            ("https://Desktop.local/", "Desktop.local"),
            ("http://desktop/nix/cache?priority=10", "desktop"),
            ("http://desktop?trusted=true", "desktop"),
            ("http://[2001:db8::6]:5000/", "[2001:db8::6]:5000"),
            ("http://[fe80::6%25wlan0]:5000", "[fe80::6%wlan0]:5000"),
            ("http://2001:db8::6", "2001:db8::6"),
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
            ("ssh://desktop?remote-program=nix-store", "desktop"),
            ("ssh://root@2001:db8::6", "2001:db8::6"),
            ("ssh://nix%2Dbuilder@desktop", "desktop"),
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
            ("HTTPS://desktop", "small letters: https://"),
            ("http://2001:db8::6:5000:x", "IPv6"),
            ("http://desktop/%4", "does not accept it ('%' without"),
            ("http://desktop?x=%zz", "does not accept it ('%' without"),
            ("http://[fe80::6%wlan0]:5000", "does not accept it"),
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
            ("SSH://desktop", "small letters: ssh://"),
            ("ssh://desktop/home", "has a path"),
            ("ssh://desktop/", "has a path"),
            (
                "ssh://desktop?base64-ssh-public-host-key=aGVsbG8=",
                "base64-ssh-public-host-key is base64, but",
            ),
            ("ssh://localhost", "as a child process"),
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
        fn what_passes_can_be_watched(
            text in "(https?|HTTP|ssh(-ng)?|s3)://[@\\[\\]:%.?#/a-z0-9=-]{0,16}",
        ) {
            if cache(&text).is_ok() {
                prop_assert!(matches!(uri::parse(&text), Ok(StoreUri::Cache(_))));
            }
            if builder(&text).is_ok() {
                prop_assert!(matches!(uri::parse(&text), Ok(StoreUri::Ssh(_))));
            }
        }

        #[test]
        fn no_part_of_a_password_is_repeated(
            scheme in "(https?|ssh|ssh-ng|ftp|HTTP)", password in "[XYZ/?#@&%:]{3,12}",
        ) {
            let text = format!("{scheme}://me:x{password}@desktop");
            // No message has one of these letters; signs alone every URL has.
            let parts = password.as_bytes().windows(3);
            let parts = parts.filter(|part| part.iter().any(|byte| b"XYZ".contains(byte)));
            for told in [cache(&text), builder(&text)] {
                let told = told.unwrap_err();
                let leak = parts.clone().find(|part| told.as_bytes().windows(3).any(|seen| seen == *part));
                prop_assert_eq!(leak, None, "{}: {}", text, told);
            }
        }

        #[test]
        fn reading_never_panics(text in "(https?|ssh(-ng)?)://[@\\[\\]:%.?#/a-z0-9-]{0,30}|.*") {
            let _ = cache(&text);
            let _ = builder(&text);
        }
    }
}
