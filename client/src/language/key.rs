//! What a text is looked up by. The build finds out whether two have the same.

/// FNV-1a (draft-eastlake-fnv): short, and the same wherever this is built.
pub(crate) fn of(english: &str) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    english.bytes().fold(0xcbf2_9ce4_8422_2325, mix)
}
