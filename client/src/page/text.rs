//! Text from elsewhere made safe for a terminal, and prose wrapped.

use unicode_width::UnicodeWidthStr;

/// The most characters of one value that a page shows.
const LONGEST: usize = 300;

/// `text` as it may go to a terminal: control characters, and those that would reorder or hide
/// what stands beside them, are shown as escapes; what is very long is cut.
pub fn clean(text: &str) -> String {
    let mut safe = String::with_capacity(text.len().min(LONGEST));
    for (i, c) in text.chars().enumerate() {
        if i == LONGEST {
            safe.push('…');
            break;
        }
        if is_harmful(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Words of ours with words of the wire in them, made safe as [`clean`] does: each word by itself, so
/// that together they may be longer than one value.
pub fn clean_prose(prose: &str) -> String {
    let words: Vec<String> = prose.split(' ').map(clean).collect();
    words.join(" ")
}

/// A whole line made safe as [`clean`] does, with its tabs: it is there to be copied.
#[cfg(feature = "cli")]
pub(super) fn clean_line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) && c != '\t' {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// The columns that `text` takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// Prose, indented, each line `columns` wide at the most. A longer word stays whole, and a command
/// in backticks does where a line can hold it: both are there to be copied. Ends with a newline.
pub(super) fn wrap(prose: &str, first_indent: &str, indent: &str, columns: usize) -> String {
    let mut wrapped = String::new();
    let mut line = first_indent.to_owned();
    let mut empty = true;
    for word in words(prose, columns.saturating_sub(width(indent))) {
        if !empty && width(&line) + 1 + width(&word) > columns {
            wrapped.push_str(&line);
            wrapped.push('\n');
            indent.clone_into(&mut line);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(&word);
        empty = false;
    }
    if !empty {
        wrapped.push_str(&line);
        wrapped.push('\n');
    }
    wrapped
}

/// The words of `prose`; what stands in one pair of backticks is one word, unless it is wider than
/// `widest`.
fn words(prose: &str, widest: usize) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = prose.split_whitespace();
    while let Some(word) = rest.next() {
        let mut span = vec![word];
        if opens(word) {
            for next in rest.clone() {
                span.push(next);
                if opens(next) {
                    break;
                }
            }
        }
        let joined = span.join(" ");
        if span.len() > 1 && span.last().is_some_and(|last| opens(last)) && width(&joined) <= widest
        {
            // What the span took from the iterator's copy.
            rest.nth(span.len() - 2);
            words.push(joined);
        } else {
            words.push(word.to_owned());
        }
    }
    words
}

/// Whether a word opens a pair of backticks, or closes one, and does not do both.
fn opens(word: &str) -> bool {
    word.matches('`').count() % 2 == 1
}

/// Controls (C0, DEL, C1), line and paragraph separators, and the invisible characters that
/// reorder text or take no room.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_never_reach_the_terminal() {
        assert_eq!(
            clean("\x1b[2Jgone\u{9b}x\r\n"),
            "\\u{1b}[2Jgone\\u{9b}x\\r\\n"
        );
        assert_eq!(clean("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(
            clean("Schreibtisch-Rechner 机 é"),
            "Schreibtisch-Rechner 机 é"
        );
    }

    #[test]
    fn prose_is_wrapped_by_columns_and_words_stay_whole() {
        assert_eq!(
            wrap("one two /a/very/long/path 机机机 x", "- ", "  ", 10),
            "- one two\n  /a/very/long/path\n  机机机 x\n"
        );
        assert_eq!(wrap("", "- ", "  ", 10), "");
    }

    #[test]
    fn a_command_stays_on_one_line_where_a_line_can_hold_it() {
        assert_eq!(
            wrap(
                "see with `ip address` (or `a b c d e f g h i j k`).",
                "",
                "",
                20
            ),
            "see with\n`ip address` (or `a\nb c d e f g h i j\nk`).\n"
        );
        assert_eq!(wrap("a ` b", "", "", 3), "a `\nb\n");
    }

    proptest! {
        #[test]
        fn clean_text_is_clean(text in ".*") {
            prop_assert!(!clean(&text).chars().any(is_harmful));
        }

        #[test]
        fn wrapping_loses_no_word(text in ".{0,200}", columns in 0..100usize) {
            let wrapped = wrap(&text, "    ", "    ", columns);
            let words = |s: &str| s.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&wrapped), words(&text));
        }
    }
}
