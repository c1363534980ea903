//! The keys that sign what a cache serves.

use crate::{
    config::error::quoted,
    nix::keys::{KeyError, parse_nix_public_key},
};

/// The bytes of an Ed25519 secret key as Nix keeps it: seed and public key.
const SECRET: usize = 64;

/// Checks a key of Nix's form `name:base64-of-32-bytes` (`nix key convert-secret-to-public`). What
/// follows the colon is never repeated: it may be the secret key by mistake.
pub(in crate::config) fn check(text: &str) -> Result<(), String> {
    let Some((name, _)) = text.split_once(':') else {
        return Err(format!("has no ':'; {FORM}"));
    };
    if name.is_empty() {
        return Err(format!("has no name before the ':'; {FORM}"));
    }
    // In nix.conf, where it must stand as well, these would be two keys.
    if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("has white space in its name; {FORM}"));
    }
    let error = match parse_nix_public_key(text) {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    let name = quoted(name);
    Err(match error {
        KeyError::WrongLength(SECRET) => format!(
            "{name} is a secret key; take it out of here, and put the public one in its place \
             (nix key convert-secret-to-public)"
        ),
        KeyError::WrongLength(length) => {
            format!("{name} has {length} bytes after the ':' instead of 32; copy the whole key")
        }
        KeyError::NotBase64 => {
            format!("{name} is not followed by valid base64; copy the whole key")
        }
        other => format!("{name}: {other}; {FORM}"),
    })
}

const FORM: &str = "write \"name:base64\", as in trusted-public-keys of nix.conf";

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::BASE64;
    use proptest::prelude::*;

    #[test]
    fn public_keys_are_a_name_and_32_bytes() {
        let key = BASE64.encode(&[7; 32]);
        assert_eq!(check(&format!("desktop-1:{key}")), Ok(()));
        // As Nix, which stops at the first '='.
        assert_eq!(
            check(&format!("desktop-1:{}", key.trim_end_matches('='))),
            Ok(())
        );
        for (text, told) in [
            (key.clone(), "has no ':'"),
            (format!(":{key}"), "has no name"),
            (format!("my key:{key}"), "white space"),
            (format!("desktop-1:x!{key}"), "valid base64"),
            (format!("desktop-1: {key}"), "valid base64"),
            ("desktop-1:".into(), "0 bytes"),
            (format!("desktop-1:{}", BASE64.encode(&[7; 31])), "31 bytes"),
        ] {
            let error = check(&text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn a_secret_key_is_recognised_and_not_repeated() {
        let secret = BASE64.encode(&[9; 64]);
        let error = check(&format!("desktop-1:{secret}")).unwrap_err();
        assert!(error.contains("is a secret key"), "{error}");
        assert!(!error.contains(&secret[..8]), "{error}");
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in ".*") {
            let _ = check(&text);
        }
    }
}
