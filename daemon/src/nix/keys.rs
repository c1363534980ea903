//! Host keys and signing keys as people and Nix write them.

use data_encoding::BASE64_NOPAD;
use russh::keys::PublicKey;
use thiserror::Error;

use super::text;

/// The longest text that is looked at: a large RSA key has a tenth of this.
const MAX_TEXT: usize = 64 << 10;
/// How many keys one text may hold.
const MAX_KEYS: usize = 64;
/// The size of an Ed25519 public key.
const SIGNING_KEY_LEN: usize = 32;

/// Why a text is no key. None of them repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Nothing there.
    #[error("no key in it")]
    Empty,
    /// Far too long.
    #[error("too long for a key")]
    TooLong,
    /// None of the accepted forms.
    #[error(
        "not a host key: expected 'ssh-ed25519 AAAA…', a line of known_hosts, or the base64 of a whole 'ssh-ed25519 AAAA…' line"
    )]
    NotAHostKey,
    /// A type without a readable key behind it.
    #[error("the key behind its type can't be read")]
    Damaged,
    /// The second column of a `.pub` file alone.
    #[error("only the second column of the key file: its type is missing, give the whole line")]
    TypeMissing,
    /// `@revoked` or `@cert-authority`.
    #[error("a line marked '@revoked' or '@cert-authority' is no host key")]
    Marked,
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

/// Reads host keys in any form a person may have at hand: `ssh-ed25519 AAAA…`, a line of
/// known_hosts (`ssh-keyscan` prints them), several lines of these, or what Nix wants in a machines
/// file: the base64 of a whole `.pub` file (src/libstore/ssh.cc, `parsePublicHostKey`). Comments
/// are dropped, so that equal keys are equal.
///
/// # Errors
/// [`KeyError`], where not every line is a key.
pub fn parse_host_key(text: &str) -> Result<Vec<PublicKey>, KeyError> {
    if text.len() > MAX_TEXT {
        return Err(KeyError::TooLong);
    }
    let text = text.trim();
    if text.is_empty() {
        return Err(KeyError::Empty);
    }
    if text.contains(char::is_whitespace) {
        return key_lines(text);
    }
    let bytes = decode_base64(text).map_err(|_| KeyError::NotAHostKey)?;
    if is_key_blob(&bytes) {
        return Err(KeyError::TypeMissing);
    }
    let line = std::str::from_utf8(&bytes).map_err(|_| KeyError::NotAHostKey)?;
    if !line.trim().contains(char::is_whitespace) {
        return Err(KeyError::NotAHostKey);
    }
    key_lines(line)
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

fn key_lines(text: &str) -> Result<Vec<PublicKey>, KeyError> {
    let mut keys = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if keys.len() == MAX_KEYS {
            return Err(KeyError::TooLong);
        }
        keys.push(key_line(line)?);
    }
    if keys.is_empty() {
        return Err(KeyError::Empty);
    }
    Ok(keys)
}

/// `type key [comment]` or `hosts type key [comment]`.
fn key_line(line: &str) -> Result<PublicKey, KeyError> {
    if line.starts_with('@') {
        return Err(KeyError::Marked);
    }
    let mut words = text::tokens(line);
    let (first, second, third) = (words.next(), words.next(), words.next());
    let found = match (first, second, third) {
        (Some(kind), Some(key), _) if is_key_type(kind) && !is_key_type(key) => {
            parse_type_and_key(kind, key)
        }
        (_, Some(kind), Some(key)) if is_key_type(kind) => parse_type_and_key(kind, key),
        _ => return Err(KeyError::NotAHostKey),
    };
    found.ok_or(KeyError::Damaged)
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
