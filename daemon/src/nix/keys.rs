//! Host keys and signing keys as people and Nix write them.

use std::fmt;

use data_encoding::{BASE64, BASE64_NOPAD};
use russh::keys::{Algorithm, PublicKey};
use thiserror::Error;

use super::text;

/// The longest text that is looked at: a large RSA key has a tenth of this.
const MAX_TEXT: usize = 64 << 10;
/// How many keys one text may hold.
const MAX_KEYS: usize = 64;
/// How much of a marker is told: the longest that OpenSSH knows has 15 characters.
const MAX_MARKER: usize = 20;
/// The size of an Ed25519 public key.
const SIGNING_KEY_LEN: usize = 32;

/// Why a text is no key. None of them repeats more of the text than a marker or a key's type: it
/// may be a private key by mistake.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Nothing there.
    #[error("no key in it")]
    Empty,
    /// Far too long, or far too many.
    #[error("too long for a key")]
    TooLong,
    /// None of the accepted forms.
    #[error(
        "not a host key: expected 'ssh-ed25519 AAAA…', a line of known_hosts, or the base64 of a whole 'ssh-ed25519 AAAA…' line"
    )]
    NotAHostKey,
    /// The base64 of some other text.
    #[error("base64, but not of a whole 'ssh-ed25519 AAAA…' line")]
    NotALine,
    /// A type without a readable key behind it.
    #[error("the key behind its type can't be read")]
    Damaged,
    /// The second column of a `.pub` file alone.
    #[error("only the second column of the key file: its type is missing, give the whole line")]
    TypeMissing,
    /// `@revoked` or `@cert-authority`.
    #[error("a line of known_hosts marked {0:?} is no host key")]
    Marked(String),
    /// A key of a type that no check can verify; its name.
    #[error("a key of type {0:?} can't be checked")]
    Unsupported(String),
    /// Not base64.
    #[error("not base64")]
    NotBase64,
    /// A signing key without `name:`.
    #[error("not a signing key: expected 'name:base64'")]
    NotASigningKey,
    /// A signing key of another size.
    #[error("a signing key has 32 bytes, this one has {0}")]
    WrongLength(usize),
}

/// A key that signs what a cache serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NixPublicKey {
    /// The name that signatures refer to.
    pub name: String,
    /// Ed25519.
    pub key: [u8; SIGNING_KEY_LEN],
}

/// `name:base64`, as in `trusted-public-keys`.
impl fmt::Display for NixPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, BASE64.encode(&self.key))
    }
}

/// Reads host keys, one a line, in any form a person may have at hand: `ssh-ed25519 AAAA…`, a line
/// of known_hosts (`ssh-keyscan` prints them), or what Nix wants in a machines file
/// ([`parse_encoded_host_key`]). Comments are dropped, so that equal keys are equal.
///
/// # Errors
/// [`KeyError`], where not every line is a key.
pub fn parse_host_key(text: &str) -> Result<Vec<PublicKey>, KeyError> {
    if text.len() > MAX_TEXT {
        return Err(KeyError::TooLong);
    }
    let lines = text.lines().map(str::trim);
    let mut keys = Vec::new();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if keys.len() == MAX_KEYS {
            return Err(KeyError::TooLong);
        }
        keys.push(key_line(line)?);
    }
    if keys.is_empty() {
        Err(KeyError::Empty)
    } else {
        Ok(keys)
    }
}

/// Reads the base64 of a whole `.pub` file, as in the eighth field of a machines line and in a
/// store URL's `base64-ssh-public-host-key` (src/libstore/ssh.cc, `parsePublicHostKey`).
///
/// # Errors
/// [`KeyError`], where Nix's ssh would find no key in it.
pub fn parse_encoded_host_key(encoded: &str) -> Result<PublicKey, KeyError> {
    if encoded.len() > MAX_TEXT {
        return Err(KeyError::TooLong);
    }
    let bytes = decode_base64(encoded).map_err(|_| KeyError::NotAHostKey)?;
    if is_key_blob(&bytes) {
        return Err(KeyError::TypeMissing);
    }
    // Most words are base64 as well, but seldom of a text.
    let line = std::str::from_utf8(&bytes).map_err(|_| KeyError::NotAHostKey)?;
    let mut words = text::tokens(line.lines().next().unwrap_or_default());
    match (words.next(), words.next()) {
        (Some(kind), Some(key)) if is_key_type(kind) => checkable(kind, key),
        _ => Err(KeyError::NotALine),
    }
}

/// Reads `name:base64` as Nix does (src/libutil/signature/local-keys.cc).
///
/// # Errors
/// [`KeyError`], where Nix would call the key corrupt or not valid.
pub fn parse_nix_public_key(text: &str) -> Result<NixPublicKey, KeyError> {
    if text.len() > MAX_TEXT {
        return Err(KeyError::TooLong);
    }
    let (name, encoded) = text
        .split_once(':')
        .filter(|(name, _)| !name.is_empty())
        .ok_or(KeyError::NotASigningKey)?;
    let bytes = decode_base64(encoded)?;
    Ok(NixPublicKey {
        name: name.to_owned(),
        key: bytes
            .try_into()
            .map_err(|bytes: Vec<u8>| KeyError::WrongLength(bytes.len()))?,
    })
}

/// Decodes as Nix's `base64::decode` (src/libutil/base-n.cc): `=` ends it wherever it stands,
/// padding may be missing, bits left over are dropped, line ends are skipped.
pub(crate) fn decode_base64(text: &str) -> Result<Vec<u8>, KeyError> {
    let mut digits: Vec<u8> = text
        .bytes()
        .take_while(|byte| *byte != b'=')
        .filter(|byte| *byte != b'\n')
        .collect();
    let length = digits.len() * 6 / 8;
    // A last digit alone is checked and dropped, as are bits left over of the last two or three.
    if digits.len() % 4 == 1 {
        digits.push(b'A');
    }
    let mut lenient = BASE64_NOPAD.specification();
    lenient.check_trailing_bits = false;
    let encoding = lenient.encoding().map_err(|_| KeyError::NotBase64)?;
    let mut bytes = encoding.decode(&digits).map_err(|_| KeyError::NotBase64)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Reads `type base64`, without a comment. The type must be the one in the key.
pub(super) fn parse_type_and_key(kind: &str, encoded: &str) -> Option<PublicKey> {
    let mut key = PublicKey::from_openssh(&format!("{kind} {encoded}")).ok()?;
    key.set_comment("");
    Some(key)
}

/// `type key [comment]`, `hosts type key [comment]`, or base64.
fn key_line(line: &str) -> Result<PublicKey, KeyError> {
    let mut words = text::tokens(line);
    match (words.next(), words.next(), words.next()) {
        (Some(marker), _, _) if marker.starts_with('@') => {
            let marker = marker.chars().take(MAX_MARKER).collect();
            Err(KeyError::Marked(marker))
        }
        // First, since a host may be called ssh-server, but no base64 begins like that.
        (_, Some(kind), Some(key)) if is_key_type(kind) => checkable(kind, key),
        (Some(kind), Some(key), _) if is_key_type(kind) => checkable(kind, key),
        (Some(encoded), None, _) => parse_encoded_host_key(encoded),
        _ => Err(KeyError::NotAHostKey),
    }
}

fn checkable(kind: &str, encoded: &str) -> Result<PublicKey, KeyError> {
    let key = parse_type_and_key(kind, encoded).ok_or(KeyError::Damaged)?;
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } | Algorithm::Rsa { .. } => Ok(key),
        other => Err(KeyError::Unsupported(other.as_str().to_owned())),
    }
}

fn is_key_type(word: &str) -> bool {
    word.starts_with("ssh-") || word.starts_with("ecdsa-sha2-") || word.starts_with("sk-")
}

/// Whether `bytes` start as a key does on the wire (RFC 4253, 6.6): a length and a type's name.
fn is_key_blob(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else {
        return false;
    };
    let name = rest.get(..u32::from_be_bytes(*length) as usize);
    name.and_then(|name| std::str::from_utf8(name).ok())
        .is_some_and(is_key_type)
}

#[cfg(test)]
mod tests;
