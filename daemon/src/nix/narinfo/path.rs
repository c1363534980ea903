//! Store paths.
//!
//! Source: `StorePath` in src/libstore/path.cc, `StoreDirConfig::parseStorePath` in
//! src/libstore/store-dir-config.cc.

use std::fmt;

use super::hash::NIX32;

/// The digits of the hash that a path begins with.
const HASH_LEN: usize = 32;
/// The most characters of a name.
const MAX_NAME: usize = 211;

/// A path of a store without its directory: `hash-name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StorePath<'a>(&'a str);

/// Why a text is no store path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorePathError {
    /// Elsewhere, or something inside of a store path.
    #[error("is not directly in the store directory")]
    NotInStore,
    /// Nothing that begins with a hash and a dash.
    #[error("does not begin with a hash of 32 digits and a '-'")]
    NoHash,
    /// No name, a very long one, or one with other characters than Nix allows.
    #[error("has no name that Nix allows after its hash")]
    BadName,
}

impl<'a> StorePath<'a> {
    /// Reads `store_dir/hash-name`, slashes behind it or none.
    ///
    /// # Errors
    /// [`StorePathError`].
    pub fn parse(text: &'a str, store_dir: &str) -> Result<Self, StorePathError> {
        let below = text.strip_prefix(store_dir);
        let base = below.and_then(|below| below.strip_prefix('/'));
        let base = base.map(|base| base.trim_end_matches('/'));
        match base {
            Some(base) if !base.contains('/') => Self::parse_base_name(base),
            _ => Err(StorePathError::NotInStore),
        }
    }

    /// Reads `hash-name`.
    ///
    /// # Errors
    /// [`StorePathError::NoHash`], [`StorePathError::BadName`].
    pub fn parse_base_name(text: &'a str) -> Result<Self, StorePathError> {
        let (hash, name) = text.split_once('-').ok_or(StorePathError::NoHash)?;
        if hash.len() != HASH_LEN || !hash.bytes().all(|digit| NIX32.contains(&digit)) {
            return Err(StorePathError::NoHash);
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._?=".contains(&byte);
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(allowed) {
            return Err(StorePathError::BadName);
        }
        Ok(Self(text))
    }

    /// `hash-name`.
    pub fn as_str(&self) -> &'a str {
        self.0
    }

    /// The hash: a narinfo is called after it.
    pub fn hash(&self) -> &'a str {
        &self.0[..HASH_LEN]
    }

    /// What follows the hash and its dash.
    pub fn name(&self) -> &'a str {
        &self.0[HASH_LEN + 1..]
    }

    /// Whether it is a derivation: how to build something, which no cache is asked for.
    pub fn is_derivation(&self) -> bool {
        self.0.ends_with(".drv")
    }
}

impl fmt::Display for StorePath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "0123456789abcdfghijklmnpqrsvwxyz";

    #[test]
    fn a_path_in_the_store_is_a_hash_and_a_name() {
        let text = format!("/nix/store/{HASH}-hello-2.12.1");
        let path = StorePath::parse(&text, "/nix/store").unwrap();
        assert_eq!(path.hash(), HASH);
        assert_eq!(path.as_str(), format!("{HASH}-hello-2.12.1"));
        assert!(!path.is_derivation());
        let text = format!("/srv/store/{HASH}-x.drv");
        assert!(
            StorePath::parse(&text, "/srv/store")
                .unwrap()
                .is_derivation()
        );
    }

    #[test]
    fn what_is_no_path_of_the_store_is_told_apart() {
        use StorePathError::{BadName, NoHash, NotInStore};
        for (text, error) in [
            (format!("/gnu/store/{HASH}-x"), NotInStore),
            (format!("/nix/store{HASH}-x"), NotInStore),
            (format!("/nix/store/{HASH}-x/bin"), NotInStore),
            (format!("{HASH}-x"), NotInStore),
            (String::new(), NotInStore),
            ("/nix/store/".to_owned(), NoHash),
            ("/nix/store/.links".to_owned(), NoHash),
            (format!("/nix/store/{HASH}"), NoHash),
            (format!("/nix/store/{}-x", &HASH[1..]), NoHash),
            (format!("/nix/store/e{}-x", &HASH[1..]), NoHash),
            (format!("/nix/store/{HASH}-"), BadName),
            (format!("/nix/store/{HASH}-a b"), BadName),
            (format!("/nix/store/{HASH}-{}", "x".repeat(212)), BadName),
        ] {
            assert_eq!(StorePath::parse(&text, "/nix/store"), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(/nix/store/)?[0-9a-z]{30,33}-?\\PC*") {
            let _ = StorePath::parse(&text, "/nix/store").map(|path| path.hash().len());
            let _ = StorePath::parse(&text, &text);
        }
    }
}
