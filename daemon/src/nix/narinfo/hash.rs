//! SHA-256 as Nix writes it.
//!
//! Source: `Hash::Hash(rest, algo, isSRI)` and `Hash::to_string` in src/libutil/hash.cc.

use data_encoding::HEXLOWER_PERMISSIVE;

use crate::nix::keys::decode_base64;

/// The digits of Nix's base 32: no e, o, t and u, lest a hash spell a word.
pub(super) const NIX32: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";

const BITS: usize = 256;
const BASE16_LEN: usize = 64;
const NIX32_LEN: usize = 52;
const BASE64_LEN: usize = 44;

/// Reads `sha256:` and base 16, Nix's base 32 or base 64, which its length tells, or `sha256-` and
/// base 64.
pub(super) fn sha256(text: &str) -> Option<[u8; 32]> {
    if let Some(digits) = text.strip_prefix("sha256:") {
        return match digits.len() {
            BASE16_LEN => HEXLOWER_PERMISSIVE
                .decode(digits.as_bytes())
                .ok()?
                .try_into()
                .ok(),
            NIX32_LEN => parse_nix32(digits),
            BASE64_LEN => decode_base64(digits).ok()?.try_into().ok(),
            _ => None,
        };
    }
    let digits = text.strip_prefix("sha256-")?;
    decode_base64(digits).ok()?.try_into().ok()
}

/// Nix's base 32: the bits from the last to the first, five to a digit.
pub(super) fn nix32(hash: &[u8; 32]) -> String {
    let digit = |index: usize| {
        let digit = (0..5).filter(|bit| bit_of(hash, index * 5 + bit));
        digit.map(|bit| 1 << bit).sum::<usize>()
    };
    let digits = (0..NIX32_LEN).rev();
    digits
        .map(|index| char::from(NIX32[digit(index)]))
        .collect()
}

fn parse_nix32(digits: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
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
fn bit_of(hash: &[u8; 32], at: usize) -> bool {
    at < BITS && hash[at / 8] >> (at % 8) & 1 == 1
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

    proptest! {
        #[test]
        fn nix32_round_trips(hash in any::<[u8; 32]>()) {
            let text = nix32(&hash);
            prop_assert_eq!(text.len(), NIX32_LEN);
            prop_assert_eq!(sha256(&format!("sha256:{text}")), Some(hash));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(sha256[:-])?([0-9a-z+/=]{40,66}|\\PC*)") {
            let _ = sha256(&text);
        }
    }
}
