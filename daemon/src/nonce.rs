//! Words that were never used before.

use std::io;

use data_encoding::HEXLOWER;
use rustix::{
    io::retry_on_intr,
    rand::{GetRandomFlags, getrandom},
};

/// A word of letters and digits that no other call gives.
///
/// # Errors
///
/// Where the kernel gives no random numbers.
pub(crate) fn nonce() -> io::Result<String> {
    // Not from /proc/sys, which a sandbox may hide.
    let mut bytes = [0; 16];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled += retry_on_intr(|| getrandom(&mut *rest, GetRandomFlags::empty()))?;
    }
    Ok(HEXLOWER.encode(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_comes_twice_and_all_can_be_part_of_a_store_path() {
        let (one, other) = (nonce().unwrap(), nonce().unwrap());
        assert_ne!(one, other);
        for word in [one, other] {
            assert_eq!(word.len(), 32);
            assert!(word.chars().all(|char| char.is_ascii_alphanumeric()));
        }
    }
}
