//! Hashes as Nix writes them.
//!
//! Source: `Hash::Hash(rest, algo, isSRI)` and `Hash::to_string` in src/libutil/hash.cc.

use data_encoding::HEXLOWER_PERMISSIVE;

use crate::nix::keys::decode_base64;

/// The digits of Nix's base 32: no e, o, t and u, lest a hash spell a word.
pub(super) const NIX32: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";

/// An algorithm that every Nix knows; BLAKE3 is an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

impl Algorithm {
    /// Reads its name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "md5" => Self::Md5,
            "sha1" => Self::Sha1,
            "sha256" => Self::Sha256,
            "sha512" => Self::Sha512,
            _ => return None,
        })
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The bytes of a hash.
    fn size(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// Reads base 16, Nix's base 32 or base 64, which its length tells.
    pub(super) fn parse_digits(self, digits: &str) -> Option<Vec<u8>> {
        let size = self.size();
        let length = digits.len();
        let hash = if length == size * 2 {
            HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?
        } else if length == nix32_len(size) {
            parse_nix32(digits, size)?
        } else if length == size.div_ceil(3) * 4 {
            decode_base64(digits).ok()?
        } else {
            return None;
        };
        (hash.len() == size).then_some(hash)
    }
}

/// Reads `sha256:` and its digits, or `sha256-` and base 64; and so of every other algorithm.
pub(super) fn parse(text: &str) -> Option<(Algorithm, Vec<u8>)> {
    if let Some((name, digits)) = text.split_once(':') {
        let algorithm = Algorithm::parse(name)?;
        return Some((algorithm, algorithm.parse_digits(digits)?));
    }
    let (name, digits) = text.split_once('-')?;
    let algorithm = Algorithm::parse(name)?;
    let hash = decode_base64(digits).ok()?;
    (hash.len() == algorithm.size()).then_some((algorithm, hash))
}

/// Reads a hash that is SHA-256.
pub(super) fn sha256(text: &str) -> Option<[u8; 32]> {
    match parse(text)? {
        (Algorithm::Sha256, hash) => hash.try_into().ok(),
        _ => None,
    }
}

/// Nix's base 32: the bits from the last to the first, five to a digit.
pub(super) fn nix32(hash: &[u8]) -> String {
    let digit = |index: usize| {
        let digit = (0..5).filter(|bit| bit_of(hash, index * 5 + bit));
        digit.map(|bit| 1 << bit).sum::<usize>()
    };
    let digits = (0..nix32_len(hash.len())).rev();
    digits
        .map(|index| char::from(NIX32[digit(index)]))
        .collect()
}

fn nix32_len(size: usize) -> usize {
    (size * 8).div_ceil(5)
}

fn parse_nix32(digits: &str, size: usize) -> Option<Vec<u8>> {
    let mut hash = vec![0; size];
    for (index, character) in digits.bytes().rev().enumerate() {
        let digit = NIX32.iter().position(|known| *known == character)?;
        for at in (0..5).filter(|bit| digit >> bit & 1 == 1) {
            let at = index * 5 + at;
            // The first digit has room for more than a hash has.
            *hash.get_mut(at / 8)? |= 1 << (at % 8);
        }
    }
    Some(hash)
}

/// Whether a bit is set; those after the last are not.
fn bit_of(hash: &[u8], at: usize) -> bool {
    hash.get(at / 8)
        .is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// Nix's own opinion.
    fn nix_hash(to: &str, hash: &str) -> String {
        let output = Command::new("nix-hash")
            .args([to, "--type", "sha256", hash])
            .env("NIX_CONF_DIR", "/nonexistent")
            .output()
            .expect("nix-hash of the package nix-bin");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn every_form_that_nix_writes_is_read_as_nix_reads_it() {
        for seed in [0_u8, 1, 77, 128, 255] {
            let hash: [u8; 32] =
                std::array::from_fn(|at| seed.wrapping_mul(at as u8 + 1) ^ at as u8);
            let hex = data_encoding::HEXLOWER.encode(&hash);
            let ours = nix32(&hash);
            assert_eq!(ours, nix_hash("--to-base32", &hex));
            assert_eq!(nix_hash("--to-base16", &ours), hex);
            let base64 = data_encoding::BASE64.encode(&hash);
            for text in [
                format!("sha256:{hex}"),
                format!("sha256:{}", hex.to_uppercase()),
                format!("sha256:{ours}"),
                format!("sha256:{base64}"),
                format!("sha256-{base64}"),
            ] {
                assert_eq!(sha256(&text), Some(hash), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_sha256_is_refused() {
        let digits = "0".repeat(52);
        for text in [
            digits.clone(),
            format!("md5:{digits}"),
            format!("sha512:{digits}"),
            format!("sha256:{digits}0"),
            format!("sha256-{digits}"),
            format!("sha256:{}e", &digits[1..]),
            // 260 bits.
            format!("sha256:z{}", &digits[1..]),
            format!("sha256:{digits}\r"),
            "sha256:".to_owned(),
            String::new(),
        ] {
            assert_eq!(sha256(&text), None, "{text}");
        }
    }

    #[test]
    fn every_algorithm_has_its_length() {
        for (name, size) in [("md5", 16), ("sha1", 20), ("sha256", 32), ("sha512", 64)] {
            let algorithm = Algorithm::parse(name).unwrap();
            let hash: Vec<u8> = (0..size).collect();
            let base64 = data_encoding::BASE64.encode(&hash);
            for text in [
                format!("{name}:{}", data_encoding::HEXLOWER.encode(&hash)),
                format!("{name}:{}", nix32(&hash)),
                format!("{name}:{base64}"),
                format!("{name}-{base64}"),
            ] {
                assert_eq!(parse(&text), Some((algorithm, hash.clone())), "{text}");
            }
            let hex = data_encoding::HEXLOWER.encode(&hash);
            assert_eq!(parse(&format!("{name}:{hex}0")), None);
        }
        assert_eq!(parse("blake3:00"), None);
    }

    proptest! {
        #[test]
        fn nix32_round_trips(hash in any::<[u8; 32]>()) {
            let text = nix32(&hash);
            prop_assert_eq!(text.len(), 52);
            prop_assert_eq!(sha256(&format!("sha256:{text}")), Some(hash));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(sha256[:-])?([0-9a-z+/=]{40,66}|\\PC*)") {
            let _ = sha256(&text);
        }
    }
}
