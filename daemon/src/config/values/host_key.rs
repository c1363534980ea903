//! Host keys of builders, in the three forms in which people have them at hand.

use data_encoding::BASE64;
use russh::keys::{Algorithm, PublicKey};

/// Reads the host keys in `text`, one a line:
///
/// - `ssh-ed25519 AAAA… comment`: a `.pub` file of the builder, or a line of `ssh-keyscan` without
///   its host;
/// - the base64 of such a line: the eighth field of Nix's machines file (`base64 -w0
///   /etc/ssh/ssh_host_ed25519_key.pub`; Nix's `src/libstore/ssh.cc` decodes it);
/// - `host ssh-ed25519 AAAA…`: a line of known_hosts (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").
///
/// Comments are dropped, so that equal keys are equal.
pub(in crate::config) fn parse(text: &str) -> Result<Vec<PublicKey>, String> {
    if text.contains("PRIVATE KEY") {
        return Err(
            "holds a private key; put the public one here (ssh_host_ed25519_key.pub of the builder)"
                .into(),
        );
    }
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys = lines.map(line).collect::<Result<Vec<_>, _>>()?;
    match keys.is_empty() {
        true => Err(format!("holds no key; {FORMS}")),
        false => Ok(keys),
    }
}

/// Shows a key as [`parse`] reads it; `None` for one that has no such form.
pub(in crate::config) fn show(key: &PublicKey) -> Option<String> {
    key.to_openssh().ok().map(|text| text.trim().to_owned())
}

const FORMS: &str =
    "write \"ssh-ed25519 AAAA…\", Nix's base64 of that line, or a line of known_hosts";

fn line(line: &str) -> Result<PublicKey, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        [marker, ..] if marker.starts_with('@') => Err(format!(
            "is a {} line of known_hosts, which names no key to expect; {FORMS}",
            crate::config::error::quoted(marker)
        )),
        // First, since a host may be called ssh-server, but no base64 begins like that.
        [_, kind, key, ..] if is_kind(kind) => openssh(kind, key),
        [kind, key, ..] if is_kind(kind) => openssh(kind, key),
        [encoded] => from_base64(encoded),
        _ => Err(format!("is no host key; {FORMS}")),
    }
}

fn from_base64(encoded: &str) -> Result<PublicKey, String> {
    let bytes = BASE64
        .decode(encoded.as_bytes())
        .map_err(|_| format!("is no host key; {FORMS}"))?;
    if PublicKey::from_bytes(&bytes).is_ok() {
        return Err(format!(
            "is only the second word of a key's line; Nix wants the base64 of the whole line \
             (base64 -w0 ssh_host_ed25519_key.pub); {FORMS}"
        ));
    }
    let decoded = String::from_utf8_lossy(&bytes);
    let words: Vec<&str> = decoded.split_whitespace().collect();
    match words.as_slice() {
        [kind, key, ..] if is_kind(kind) => openssh(kind, key),
        _ => Err(format!(
            "is base64, but not of a whole line \"ssh-ed25519 AAAA…\"; {FORMS}"
        )),
    }
}

fn is_kind(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-", "rsa-sha2-"]
        .iter()
        .any(|prefix| word.starts_with(prefix))
}

fn openssh(kind: &str, key: &str) -> Result<PublicKey, String> {
    let mut key = PublicKey::from_openssh(&format!("{kind} {key}")).map_err(|_| {
        "is cut short or mistyped: its base64 is not the key its type promises; copy the whole line"
            .to_owned()
    })?;
    key.set_comment("");
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } | Algorithm::Rsa { .. } => Ok(key),
        other => Err(format!(
            "is of type {}, which no host key is that offloadd can check; use the builder's \
             ed25519, ecdsa or rsa key",
            crate::config::error::quoted(other.as_str())
        )),
    }
}

#[cfg(test)]
pub(in crate::config) mod tests {
    use super::*;
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
        assert_eq!(parse(&several), Ok(vec![key.clone(), key.clone()]));
        assert_eq!(show(&key).as_deref(), Some(KEY));
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
