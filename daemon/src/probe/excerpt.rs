//! Strangers' bytes, made fit for a journal and a terminal.

/// The beginning of `bytes` as printable text of at most `max` characters of the original:
/// what could move a cursor, forge a line or reverse the writing is escaped.
pub fn excerpt(bytes: &[u8], max: usize) -> String {
    // Four bytes a character at most: there is no need to decode more of a large page.
    let enough = &bytes[..bytes.len().min(max.saturating_mul(4))];
    let text = String::from_utf8_lossy(enough);
    let mut out = String::new();
    for (index, character) in text.trim().chars().enumerate() {
        if index == max {
            break;
        }
        match character {
            '"' | '\'' => out.push(character),
            _ => out.extend(character.escape_debug()),
        }
    }
    if text.trim().chars().count() > max || enough.len() < bytes.len() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_a_cursor_is_escaped() {
        assert_eq!(
            excerpt(b"a\x1b[2Jb\r\nc \"d\"", 40),
            r#"a\u{1b}[2Jb\r\nc "d""#
        );
        assert_eq!(
            excerpt("\u{202e}txt".as_bytes(), 40),
            r"\u{202e}txt",
            "right-to-left override"
        );
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(excerpt(b"abcdef", 3), "abc…");
        assert_eq!(excerpt(b"abc", 3), "abc");
        assert_eq!(excerpt(&[b'x'; 1 << 16], 2), "xx…");
    }

    #[test]
    fn broken_utf8_is_shown_as_such() {
        assert_eq!(excerpt(b"\xff\xfe", 8), "\u{fffd}\u{fffd}");
    }
}
