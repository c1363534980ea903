//! What a stranger sent, made fit to show: printable, one line, bounded.

/// The bytes of a foreign text as one printable line of at most `max` characters.
///
/// Anything but printable ASCII becomes `\xNN`, so that neither a terminal nor a log can be
/// addressed by it; line ends at the end are dropped, and `…` says that something was cut off.
pub(super) fn printable(bytes: &[u8], max: usize) -> String {
    let bytes = bytes.trim_ascii_end();
    let mut line = String::new();
    for &byte in bytes {
        let width = match byte {
            b' '..=b'~' => 1,
            _ => 4,
        };
        if line.len() + width > max {
            line.push('…');
            break;
        }
        if width == 1 {
            line.push(byte.into());
        } else {
            line.push_str(&format!("\\x{byte:02x}"));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::printable;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(printable(b"\x1b[2JHello\xff\r\n", 64), "\\x1b[2JHello\\xff");
    }

    proptest! {
        #[test]
        fn any_bytes_become_one_bounded_printable_line(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            max in 0usize..100,
        ) {
            let line = printable(&bytes, max);
            prop_assert!(line.chars().count() <= max + 1);
            prop_assert!(line.chars().all(|c| c == '…' || (' '..='~').contains(&c)));
        }
    }
}
