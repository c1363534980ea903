//! The one path that a fake cache has: a file, its NAR, and a signature over both.

use data_encoding::{BASE64, HEXLOWER};
use ring::{
    digest::{SHA256, digest},
    signature::{Ed25519KeyPair, KeyPair},
};

use super::Fault;
use crate::{Error, Result, keys};

/// A hash in Nix's alphabet, of nothing; it needs a signature, which a path that is addressed by its
/// content would not.
const HASH: &str = "8v1kqz6y3p0xjlr7nswd2mc5fghb94ia";
const NAME: &str = "practice";
const CONTENT: &str = "hello from the practice desktop\n";
const FOREIGN_NAME: &str = "somebody-else-1";

/// A path, its NAR and what signs them.
#[derive(Debug)]
pub(super) struct Sample {
    nar: Vec<u8>,
    /// Of the own key: Nix knows one key of a name.
    key_name: String,
    own: Ed25519KeyPair,
    foreign: Ed25519KeyPair,
}

impl Sample {
    /// With new keys.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub(super) fn new() -> Result<Self> {
        let own = key_pair()?;
        let public = HEXLOWER.encode(own.public_key().as_ref());
        Ok(Self {
            nar: nar(CONTENT),
            key_name: format!("practice-desktop-{}", public.get(..8).unwrap_or(&public)),
            own,
            foreign: key_pair()?,
        })
    }

    /// Its store path.
    pub(super) fn path(&self) -> String {
        format!("/nix/store/{HASH}-{NAME}")
    }

    /// `name:base64`, as `trusted-public-keys` has it.
    pub(super) fn public_key(&self) -> String {
        let public = self.own.public_key();
        format!("{}:{}", self.key_name, BASE64.encode(public.as_ref()))
    }

    /// The path of its narinfo's URL.
    pub(super) fn narinfo_url(&self) -> String {
        format!("/{HASH}.narinfo")
    }

    /// The path of its NAR's URL.
    pub(super) fn nar_url(&self) -> String {
        format!("/nar/{HASH}.nar")
    }

    /// Its NAR (src/libutil/archive.cc).
    pub(super) fn nar(&self) -> &[u8] {
        &self.nar
    }

    /// Its narinfo (src/libstore/nar-info.cc), signed as `fault` has it.
    pub(super) fn narinfo(&self, fault: Fault) -> String {
        let hash = format!("sha256:{}", nix32(digest(&SHA256, &self.nar).as_ref()));
        let size = self.nar.len();
        let path = self.path();
        let url = self.nar_url();
        let mut text = format!(
            "StorePath: {path}\nURL: {}\nCompression: none\nFileHash: {hash}\nFileSize: {size}\n\
             NarHash: {hash}\nNarSize: {size}\nReferences: \n",
            url.trim_start_matches('/'),
        );
        let signer = match fault {
            Fault::Unsigned => None,
            Fault::ForeignKey => Some((FOREIGN_NAME, &self.foreign)),
            Fault::BadSignature => Some((self.key_name.as_str(), &self.foreign)),
            _ => Some((self.key_name.as_str(), &self.own)),
        };
        if let Some((name, key)) = signer {
            // The last part is its references, of which it has none (src/libstore/path-info.cc).
            let signed = key.sign(format!("1;{path};{hash};{size};").as_bytes());
            text += &format!("Sig: {name}:{}\n", BASE64.encode(signed.as_ref()));
        }
        text
    }
}

fn key_pair() -> Result<Ed25519KeyPair> {
    let pair = Ed25519KeyPair::from_seed_unchecked(&keys::seed()?);
    pair.map_err(|error| Error::Unsupported(format!("no ed25519 key of that seed: {error}")))
}

/// The archive of a regular file.
fn nar(content: &str) -> Vec<u8> {
    let mut nar = Vec::new();
    for part in [
        "nix-archive-1",
        "(",
        "type",
        "regular",
        "contents",
        content,
        ")",
    ] {
        nar.extend_from_slice(&(part.len() as u64).to_le_bytes());
        nar.extend_from_slice(part.as_bytes());
        nar.resize(nar.len().next_multiple_of(8), 0);
    }
    nar
}

/// Nix's base 32 (src/libutil/base-nix-32.cc): five bits a digit from the least on, written the
/// other way round.
fn nix32(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";
    let digits = (bytes.len() * 8).div_ceil(5);
    let bit = |at: usize| {
        let byte = bytes.get(at / 8).copied().unwrap_or(0);
        usize::from(byte >> (at % 8) & 1)
    };
    let digit = |index: usize| {
        let value = (0..5)
            .map(|offset| bit(index * 5 + offset) << offset)
            .sum::<usize>();
        char::from(DIGITS.get(value).copied().unwrap_or(b'0'))
    };
    (0..digits).rev().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_32_is_nixs() {
        // nix-hash --type sha256 --flat --base32 /dev/null
        let empty = digest(&SHA256, b"");
        assert_eq!(
            nix32(empty.as_ref()),
            "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73"
        );
    }
}
