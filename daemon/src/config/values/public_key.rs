//! The keys that sign what a cache serves.

use data_encoding::BASE64;

use crate::config::error::quoted;

/// An Ed25519 public key.
const PUBLIC: usize = 32;
/// An Ed25519 secret key as Nix keeps it: seed and public key.
const SECRET: usize = 64;

/// Checks a key of Nix's form `name:base64-of-32-bytes` (`nix key convert-secret-to-public`,
/// `src/libutil/signature/local-keys.cc`). What follows the colon is never repeated: it may be
/// the secret key by mistake.
pub(in crate::config) fn check(text: &str) -> Result<(), String> {
    let Some((name, key)) = text.split_once(':') else {
        return Err(format!("has no ':'; {FORM}"));
    };
    if name.is_empty() {
        return Err(format!("has no name before the ':'; {FORM}"));
    }
    if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("has white space in its name; {FORM}"));
    }
    match BASE64.decode(key.as_bytes()).map(|bytes| bytes.len()) {
        Ok(PUBLIC) => Ok(()),
        Ok(SECRET) => Err(format!(
            "{} is a secret key; take it out of here, and put the public one in its place \
             (nix key convert-secret-to-public)",
            quoted(name)
        )),
        Ok(length) => Err(format!(
            "{} has {length} bytes after the ':' instead of {PUBLIC}; copy the whole key",
            quoted(name)
        )),
        Err(_) => Err(format!(
            "{} is not followed by valid base64; copy the whole key",
            quoted(name)
        )),
    }
}

const FORM: &str = "write \"name:base64\", as in trusted-public-keys of nix.conf";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn public_keys_are_a_name_and_32_bytes() {
        let key = BASE64.encode(&[7; 32]);
        assert_eq!(check(&format!("desktop-1:{key}")), Ok(()));
        for (text, told) in [
            (key.clone(), "has no ':'"),
            (format!(":{key}"), "has no name"),
            (format!("my key:{key}"), "white space"),
            (format!("desktop-1:{key}x"), "valid base64"),
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
