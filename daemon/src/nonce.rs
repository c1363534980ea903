//! Words that were never used before.

use std::{fs, io};

/// A word of letters and digits that no other call gives.
///
/// # Errors
///
/// Where the kernel gives no random numbers.
pub(crate) fn nonce() -> io::Result<String> {
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    Ok(uuid.chars().filter(char::is_ascii_alphanumeric).collect())
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
