//! Text from outside: the one gate that it passes on its way to the bus, the journal and a terminal.

use std::{borrow::Borrow, fmt, ops::Deref, path::Path, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};
use zbus::{Signature, Type, Variant};

/// A line of text that is safe wherever it is shown, however it came: valid UTF-8, at most
/// [`Printable::MAX`] bytes, and without any character that could move a cursor, forge a line, reverse
/// the writing or hide.
///
/// It is made of any text or bytes, and never fails. Such a character, and a byte that is no UTF-8, is
/// replaced by its name as Rust would write it: `\n`, `\x1b`, `\u{202e}`, `\xff`; a tab by a space. What is too long ends
/// with `…`, and no name is cut in two. Everything else stays as it is, letters of any script and
/// backslashes too: what has passed once passes again unchanged.
///
/// Clones share their text.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Printable(Arc<str>);

/// Stands where something was cut off.
const CUT: char = '…';

impl Printable {
    /// The most bytes that one has.
    pub const MAX: usize = 4096;

    /// The beginning of `bytes` without the white space around it: at most `max` characters, and a `…`
    /// where something was cut off.
    pub fn excerpt(bytes: &[u8], max: usize) -> Self {
        Self::of(bytes.trim_ascii(), max)
    }

    /// Whether `text` passes as it is.
    pub fn passes(text: &str) -> bool {
        is_printable(text, Self::MAX)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(bytes: &[u8], max: usize) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) if is_printable(text, max) => Self(text.into()),
            _ => Self(replaced(bytes, max).into()),
        }
    }
}

/// Whether nothing in `text` is to be replaced or cut.
fn is_printable(text: &str, max: usize) -> bool {
    let is_short = text.len() <= max || text.chars().nth(max).is_none();
    is_short && text.len() <= Printable::MAX && !text.chars().any(is_harmful)
}

fn replaced(bytes: &[u8], max: usize) -> String {
    // Four bytes a character at most: there is no need to decode more of a large page.
    let enough = max.saturating_mul(4).min(Printable::MAX + 1);
    let enough = &bytes[..bytes.len().min(enough)];
    let mut text = String::new();
    let mut room = max;
    // Where there is room for the sign that something was cut off.
    let mut end = 0;
    for piece in pieces(enough) {
        let left = room.checked_sub(piece.chars().count());
        let Some(left) = left.filter(|_| text.len() + piece.len() <= Printable::MAX) else {
            return cut(text, end);
        };
        room = left;
        text.push_str(&piece);
        if text.len() + CUT.len_utf8() <= Printable::MAX {
            end = text.len();
        }
    }
    if enough.len() < bytes.len() {
        cut(text, end)
    } else {
        text
    }
}

fn cut(mut text: String, end: usize) -> String {
    text.truncate(end);
    text.push(CUT);
    text
}

/// What is shown for each character, and for each byte that is part of none.
fn pieces(bytes: &[u8]) -> impl Iterator<Item = String> {
    bytes.utf8_chunks().flat_map(|chunk| {
        let broken = chunk.invalid().iter();
        let broken = broken.map(|byte| format!("\\x{byte:02x}"));
        chunk.valid().chars().map(shown).chain(broken)
    })
}

fn shown(c: char) -> String {
    match c {
        c if !is_harmful(c) => c.into(),
        '\t' => ' '.into(),
        '\n' | '\r' => c.escape_default().to_string(),
        c if c.is_ascii() => format!("\\x{:02x}", u32::from(c)),
        c => c.escape_unicode().to_string(),
    }
}

/// What a [`Printable`] never has: controls (C0, DEL, C1), line and paragraph separators, what takes no
/// room or reorders what stands beside it (Unicode's `Default_Ignorable_Code_Point`, of which
/// `Bidi_Control` is a part, and the interlinear annotations), and the codes that are no characters,
/// which systemd and older D-Bus libraries take for broken UTF-8.
fn is_harmful(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    let is_no_character = matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
    c.is_control()
        || is_no_character
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

impl Deref for Printable {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Printable {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Printable {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Printable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Printable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl From<&[u8]> for Printable {
    fn from(bytes: &[u8]) -> Self {
        Self::of(bytes, Self::MAX)
    }
}

impl From<&str> for Printable {
    fn from(text: &str) -> Self {
        Self::of(text.as_bytes(), Self::MAX)
    }
}

impl From<&String> for Printable {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Printable {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&Path> for Printable {
    fn from(path: &Path) -> Self {
        path.as_os_str().as_encoded_bytes().into()
    }
}

impl From<&Printable> for Printable {
    fn from(text: &Printable) -> Self {
        text.clone()
    }
}

macro_rules! compared_with {
    ($($other:ty),*) => {$(
        impl PartialEq<$other> for Printable {
            fn eq(&self, other: &$other) -> bool {
                let (this, other): (&str, &str) = (self, other);
                this == other
            }
        }

        impl PartialEq<Printable> for $other {
            fn eq(&self, other: &Printable) -> bool {
                other == self
            }
        }
    )*};
}

compared_with!(str, &str, String);

impl Serialize for Printable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Printable {
    /// Whatever an older daemon, or a hostile one, wrote.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Printable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<Printable, E> {
                Ok(text.into())
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl Type for Printable {
    const SIGNATURE: &'static Signature = &Signature::Str;
}

impl From<Printable> for Variant<'_> {
    fn from(text: Printable) -> Self {
        text.0.into()
    }
}

impl<'a> From<&'a Printable> for Variant<'a> {
    fn from(text: &'a Printable) -> Self {
        text.as_str().into()
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Printable {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Printable".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn excerpt(bytes: &[u8], max: usize) -> String {
        Printable::excerpt(bytes, max).to_string()
    }

    #[test]
    fn what_moves_a_cursor_is_replaced() {
        assert_eq!(
            excerpt(b"a\x1b[2Jb\r\nc \"d\"\x07\r\n", 40),
            r#"a\x1b[2Jb\r\nc "d"\x07"#
        );
        for (text, shown) in [
            ("a\0b", r"a\x00b"),
            ("a\tb", "a b"),
            ("\u{9b}2J", r"\u{9b}2J"),
            ("a\u{85}b", r"a\u{85}b"),
            ("\u{202e}txt", r"\u{202e}txt"),
            ("a\u{2028}b\u{2029}c", r"a\u{2028}b\u{2029}c"),
            ("pay\u{200b}pal\u{ad}", r"pay\u{200b}pal\u{ad}"),
            ("a\u{fffe}\u{fdd0}\u{1ffff}", r"a\u{fffe}\u{fdd0}\u{1ffff}"),
        ] {
            assert_eq!(Printable::from(text), shown);
        }
    }

    #[test]
    fn other_peoples_languages_stay_readable() {
        let text = "Zugriff für «größe» verweigert: 拒否 · אין גישה · पहुँच \\";
        assert_eq!(Printable::from(text), text);
    }

    #[test]
    fn long_text_is_cut_between_two_characters() {
        assert_eq!(excerpt(b"abcdef", 3), "abc…");
        assert_eq!(excerpt(b"abc", 3), "abc");
        assert_eq!(excerpt("äöü".as_bytes(), 2), "äö…");
        assert_eq!(excerpt("äöü".as_bytes(), 3), "äöü");
        assert_eq!(excerpt(b"ab\x1bcd", 5), "ab…");
        assert_eq!(excerpt(b"ab\xffcd", 6), r"ab\xff…");
        assert_eq!(excerpt(&[b'x'; 1 << 16], 2), "xx…");
        assert_eq!(excerpt(b"a", 0), "…");
        let long = Printable::from("ä".repeat(Printable::MAX));
        assert_eq!(
            (long.len(), long.chars().last()),
            (Printable::MAX - 1, Some('…'))
        );
        let whole = "x".repeat(Printable::MAX);
        assert_eq!(Printable::from(&whole), whole);
        let controls = Printable::from("\n".repeat(Printable::MAX / 2 + 1));
        assert!(controls.ends_with(r"\n…") && controls.len() <= Printable::MAX);
    }

    #[test]
    fn broken_utf8_is_shown_as_bytes() {
        assert_eq!(excerpt(b"a\xff\xfeb", 20), r"a\xff\xfeb");
    }

    /// Bytes of any kind, with what is to be replaced among them as often as what is not.
    fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
        let text = prop_oneof![
            prop::char::range('\0', '\u{a0}'),
            prop::char::range('\u{2000}', '\u{206f}'),
            prop::char::range('\u{fdc0}', '\u{ffff}'),
            any::<char>(),
        ];
        let text = text.prop_map(|c| c.to_string().into_bytes());
        let piece = prop_oneof![prop::collection::vec(any::<u8>(), 1..8), text];
        prop::collection::vec(piece, 0..80).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_bytes_become_one_bounded_printable_line(
            bytes in any_bytes(), times in prop_oneof![Just(1usize), 20..80usize], max in 0usize..100,
        ) {
            let all = Printable::from(&*bytes.repeat(times));
            let excerpt = Printable::excerpt(&bytes, max);
            prop_assert!(excerpt.chars().count() <= max + 1, "{}", excerpt);
            for text in [all, excerpt] {
                prop_assert!(text.len() <= Printable::MAX, "{}", text.len());
                prop_assert!(!text.chars().any(is_harmful), "{:?}", text);
                prop_assert_eq!(&Printable::from(text.as_str()), &text, "passes again");
            }
        }

        #[test]
        fn what_is_read_is_printable_whoever_wrote_it(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let read: Printable = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read, Printable::from(&text));
        }
    }
}
