//! Lines for a terminal: how wide they are, and prose wrapped.

use unicode_width::UnicodeWidthStr;

#[cfg(feature = "cli")]
use crate::Printable;

/// A line of a file, with its tabs: it is there to be copied.
#[cfg(feature = "cli")]
pub(super) fn printable_line(line: &str) -> String {
    let parts: Vec<Printable> = line.split('\t').map(Printable::from).collect();
    parts.join("\t")
}

/// The columns that `text` takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Prose, indented, each line `columns` wide at the most. A longer word stays whole, and a command
/// in backticks does where a line can hold it: both are there to be copied. Ends with a newline.
pub(crate) fn wrap(prose: &str, first_indent: &str, indent: &str, columns: usize) -> String {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
        fn wrapping_loses_no_word(text in ".{0,200}", columns in 0..100usize) {
            let wrapped = wrap(&text, "    ", "    ", columns);
            let words = |s: &str| s.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&wrapped), words(&text));
        }
    }
}
