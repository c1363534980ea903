//! Strangers' bytes, made fit for a journal, a terminal and the bus.

/// The beginning of `bytes` as one printable line of at most `max` characters, without the white
/// space around it; `…` says that something was cut off.
///
/// Letters of any script stay as they are. What could move a cursor, forge a line or reverse the
/// writing is escaped as in Rust (`\n`, `\x1b`, `\u{202e}`), and so is what is no UTF-8 (`\xff`).
pub fn excerpt(bytes: &[u8], max: usize) -> String {
    let bytes = bytes.trim_ascii();
    // Four bytes a character at most: there is no need to decode more of a large page.
    let enough = &bytes[..bytes.len().min(max.saturating_mul(4))];
    let mut line = Line {
        text: String::new(),
        room: max,
    };
    let mut cut = enough.len() < bytes.len();
    for chunk in enough.utf8_chunks() {
        let valid = chunk.valid().chars().map(escape);
        let invalid = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}"));
        if !valid.chain(invalid).all(|piece| line.push(&piece)) {
            cut = true;
            break;
        }
    }
    if cut {
        line.text.push('…');
    }
    line.text
}

struct Line {
    text: String,
    room: usize,
}

impl Line {
    /// Whether there was room: an escape is never cut in two.
    fn push(&mut self, piece: &str) -> bool {
        let left = self.room.checked_sub(piece.chars().count());
        if let Some(left) = left {
            self.room = left;
            self.text.push_str(piece);
        }
        left.is_some()
    }
}

fn escape(character: char) -> String {
    match character {
        '"' | '\'' => character.into(),
        '\n' | '\r' | '\t' => character.escape_default().to_string(),
        control if control.is_ascii_control() => format!("\\x{:02x}", u32::from(control)),
        other => other.escape_debug().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_moves_a_cursor_is_escaped() {
        assert_eq!(
            excerpt(b"a\x1b[2Jb\r\nc \"d\"\x07\r\n", 40),
            r#"a\x1b[2Jb\r\nc "d"\x07"#
        );
        assert_eq!(
            excerpt("\u{202e}txt".as_bytes(), 40),
            r"\u{202e}txt",
            "right-to-left override"
        );
        assert_eq!(excerpt(br"\x1b", 40), r"\\x1b", "nobody forges an escape");
    }

    #[test]
    fn other_peoples_languages_stay_readable() {
        let text = "Zugriff für «größe» verweigert: 拒否";
        assert_eq!(excerpt(text.as_bytes(), 80), text);
    }

    #[test]
    fn long_text_is_cut_between_two_characters() {
        assert_eq!(excerpt(b"abcdef", 3), "abc…");
        assert_eq!(excerpt(b"abc", 3), "abc");
        assert_eq!(excerpt("äöü".as_bytes(), 2), "äö…");
        assert_eq!(excerpt(b"ab\x1bcd", 5), "ab…");
        assert_eq!(excerpt(&[b'x'; 1 << 16], 2), "xx…");
        assert_eq!(excerpt(b"a", 0), "…");
    }

    #[test]
    fn broken_utf8_is_shown_as_bytes() {
        assert_eq!(excerpt(b"a\xff\xfeb", 20), r"a\xff\xfeb");
    }

    proptest! {
        #[test]
        fn any_bytes_become_one_bounded_printable_line(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            text in ".{0,60}", max in 0usize..100,
        ) {
            for bytes in [&bytes, text.as_bytes()] {
                let line = excerpt(bytes, max);
                prop_assert!(line.chars().count() <= max + 1, "{line}");
                let printable = |c: char| "'\"\\".contains(c) || c.escape_debug().count() == 1;
                prop_assert!(line.chars().all(printable), "{line:?}");
            }
        }
    }
}
