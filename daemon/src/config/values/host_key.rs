//! Host keys of builders: what `nix::keys` reads, and a friendlier word where it reads nothing.

use russh::keys::PublicKey;

use crate::{
    config::error::quoted,
    nix::keys::{KeyError, parse_host_key},
};

/// Reads the host keys in `text`, one a line:
///
/// - `ssh-ed25519 AAAA… comment`: a `.pub` file of the builder, or a line of `ssh-keyscan` without
///   its host;
/// - the base64 of such a line: the eighth field of Nix's machines file (`base64 -w0
///   /etc/ssh/ssh_host_ed25519_key.pub`);
/// - `host ssh-ed25519 AAAA…`: a line of known_hosts.
pub(in crate::config) fn parse(text: &str) -> Result<Vec<PublicKey>, String> {
    if text.contains("PRIVATE KEY") {
        return Err(
            "holds a private key; put the public one here (ssh_host_ed25519_key.pub of the builder)"
                .into(),
        );
    }
    parse_host_key(text).map_err(|error| told(&error))
}

/// As [`parse`].
pub(in crate::config) fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}

const FORMS: &str =
    "write \"ssh-ed25519 AAAA…\", Nix's base64 of that line, or a line of known_hosts";

/// What is wrong with a host key, and what to write instead.
pub(super) fn told(error: &KeyError) -> String {
    match error {
        KeyError::Empty => format!("holds no key; {FORMS}"),
        KeyError::TooLong => format!("is too long for host keys; {FORMS}"),
        KeyError::NotALine => {
            format!("is base64, but not of a whole line \"ssh-ed25519 AAAA…\"; {FORMS}")
        }
        KeyError::Damaged => "is cut short or mistyped: its base64 is not the key its type \
                              promises; copy the whole line"
            .into(),
        KeyError::TypeMissing => format!(
            "is only the second word of a key's line; Nix wants the base64 of the whole line \
             (base64 -w0 ssh_host_ed25519_key.pub); {FORMS}"
        ),
        KeyError::Marked(marker) => format!(
            "is a {} line of known_hosts, which names no key to expect; {FORMS}",
            quoted(marker)
        ),
        KeyError::Unsupported(kind) => format!(
            "is of type {}, which no host key is that offloadd can check; use the builder's \
             ed25519, ecdsa or rsa key",
            quoted(kind)
        ),
        KeyError::NotAHostKey
        | KeyError::NotBase64
        | KeyError::NotASigningKey
        | KeyError::WrongLength(_) => format!("is no host key; {FORMS}"),
    }
}

#[cfg(test)]
pub(in crate::config) mod tests {
    use super::*;
    use data_encoding::BASE64;
    use proptest::prelude::*;

    pub(in crate::config) const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEcbCzAVQ26aLrR4QxsMSSkTDnMGGn7+YeEr2Zqp2Gv3";

    #[test]
    fn the_three_forms_are_the_same_key() {
        let key = PublicKey::from_openssh(KEY).unwrap();
        let whole_line = BASE64.encode(format!("{KEY} root@desktop\n").as_bytes());
        for text in [
            KEY.to_owned(),
            format!("{KEY} root@desktop"),
            whole_line,
            format!("192.0.2.6 {KEY}"),
            format!("ssh-server {KEY}"),
            format!("[desktop.local]:2222,192.0.2.6 {KEY} comment here"),
            format!("|1|c2FsdA==|aGFzaA== {KEY}"),
        ] {
            assert_eq!(parse(&text), Ok(vec![key.clone()]), "{text}");
        }
        let several = format!("# desktop:22 SSH-2.0-OpenSSH_9.2\ndesktop {KEY}\n\n{KEY}\n");
        assert_eq!(parse(&several), Ok(vec![key.clone(), key]));
    }

    #[test]
    fn what_is_no_host_key_is_refused() {
        let column_two = KEY.split(' ').nth(1).unwrap();
        for (text, told) in [
            ("", "holds no key"),
            ("# nothing", "holds no key"),
            ("desktop", "is no host key"),
            ("some words only", "is no host key"),
            ("ssh-ed25519 AAAA", "cut short"),
            (
                "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIEcbCzAVQ26aLrR4QxsMSSkTDnMGGn7+YeEr2Zqp2Gv3",
                "cut short",
            ),
            (column_two, "only the second word"),
            ("aGVsbG8=", "not of a whole line"),
            ("@revoked * ssh-ed25519 AAAA", "@revoked"),
            (
                "@cert-authority *.local ssh-ed25519 AAAA",
                "@cert-authority",
            ),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nsecret", "private key"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "(ssh-[a-z0-9]{1,8}|[A-Za-z0-9+/=]{0,40}|@[a-z]{3})( [A-Za-z0-9+/=]{0,80}){0,3}|.*") {
            let _ = parse(&text);
        }
    }
}
