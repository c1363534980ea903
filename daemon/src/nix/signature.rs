//! Signatures over store paths.
//!
//! Source: `verifyDetached` and `BorrowedCryptoValue::parse` in
//! src/libutil/signature/local-keys.cc, `ValidPathInfo::checkSignatures` in
//! src/libstore/path-info.cc, `getDefaultPublicKeys` in src/libstore/keys.cc.

use offload_client::Printable;
use ring::signature::{ED25519, UnparsedPublicKey};

use super::keys::{NixPublicKey, decode_base64};

/// The size of an Ed25519 signature.
const SIGNATURE_LEN: usize = 64;
/// So many of the names in a narinfo are told.
const MAX_NAMES: usize = 4;
/// So many characters of one name are told.
const MAX_NAME: usize = 80;

/// Why none of the signatures makes Nix trust what it is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is none.
    #[error("no signature")]
    Unsigned,
    /// None is by a trusted key.
    #[error("signed by {}, which is not trusted", .0.join(", "))]
    Untrusted(Vec<Printable>),
    /// There is a trusted key of that name, and the signature is another key's, or over something
    /// else.
    #[error("the signature of {0} does not fit the trusted key of that name")]
    Wrong(Printable),
    /// There is a trusted key of that name, and what follows the name is no signature: Nix gives
    /// up on the path, even where another signature is good.
    #[error("what {0} signed with is no signature")]
    Malformed(Printable),
}

impl SignatureError {
    /// The keys that signed, as they are called in the signatures; few.
    pub fn names(&self) -> &[Printable] {
        match self {
            Self::Unsigned => &[],
            Self::Untrusted(names) => names,
            Self::Wrong(name) | Self::Malformed(name) => std::slice::from_ref(name),
        }
    }
}

/// Whether a text is a signature, whoever made it and over whatever (`Signature::parse`).
pub(super) fn is_signature(text: &str) -> bool {
    let (name, encoded) = split(text);
    !name.is_empty() && decode_base64(encoded).is_ok_and(|bytes| !bytes.is_empty())
}

/// The first of the trusted `keys` that a good signature over `fingerprint` is by. Of two keys with
/// one name the first counts.
///
/// # Errors
/// [`SignatureError`], where Nix would refuse it for want of a signature.
pub fn verify<'k>(
    fingerprint: &str,
    signatures: &[&str],
    keys: &'k [NixPublicKey],
) -> Result<&'k NixPublicKey, SignatureError> {
    let mut untrusted = Vec::new();
    let (mut good, mut wrong) = (None, None);
    for (name, encoded) in signatures.iter().map(|signature| split(signature)) {
        let Some(key) = keys.iter().find(|key| key.name == name) else {
            let name = shown(name);
            if untrusted.len() < MAX_NAMES && !untrusted.contains(&name) {
                untrusted.push(name);
            }
            continue;
        };
        let bytes = decode_base64(encoded).ok();
        let Some(bytes) = bytes.filter(|bytes| bytes.len() == SIGNATURE_LEN) else {
            return Err(SignatureError::Malformed(shown(name)));
        };
        let public = UnparsedPublicKey::new(&ED25519, key.key);
        match public.verify(fingerprint.as_bytes(), &bytes) {
            Ok(()) => good = good.or(Some(key)),
            Err(_) => wrong = wrong.or_else(|| Some(shown(name))),
        }
    }
    match (good, wrong) {
        (Some(key), _) => Ok(key),
        (None, Some(name)) => Err(SignatureError::Wrong(name)),
        (None, None) if untrusted.is_empty() => Err(SignatureError::Unsigned),
        (None, None) => Err(SignatureError::Untrusted(untrusted)),
    }
}

/// `name:base64`; what has no name is by a key without one.
fn split(signature: &str) -> (&str, &str) {
    match signature.split_once(':') {
        Some((name, encoded)) if !name.is_empty() => (name, encoded),
        _ => ("", ""),
    }
}

/// The name of a key that is not trusted.
fn shown(name: &str) -> Printable {
    match name {
        "" => "a key without a name".into(),
        name => Printable::excerpt(name.as_bytes(), MAX_NAME),
    }
}

#[cfg(test)]
mod tests;
