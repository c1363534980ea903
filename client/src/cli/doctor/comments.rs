//! Which parts of a configuration file are comments.
//!
//! Nix: `#` and `/* */` outside of `"…"` and `''…''`, whose `${…}` are code again (Nix's manual,
//! "Comments", "String literal"; src/libexpr/lexer.l). TOML: `#` outside of its four kinds of string.

use std::{ops::Range, path::Path};

/// Strings in code in strings … this deep at the most; what is deeper is taken as it comes.
const DEEPEST: usize = 256;

/// The comments of the file `name`, in order, by what its ending says that it is.
pub(super) fn of(name: &Path, text: &str) -> Vec<Range<usize>> {
    match name.extension().and_then(|ending| ending.to_str()) {
        Some("nix") => of_nix(text),
        Some("toml") => of_toml(text),
        _ => Vec::new(),
    }
}

/// Whether byte `at` is in one of these `comments`.
pub(super) fn is_in(comments: &[Range<usize>], at: usize) -> bool {
    // They are in order, so that the first that does not end before it decides.
    let next = comments.partition_point(|comment| comment.end <= at);
    comments
        .get(next)
        .is_some_and(|comment| comment.contains(&at))
}

/// The comments of a Nix expression, in order.
fn of_nix(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut comments = Vec::new();
    let mut modes = vec![Mode::Code(0)];
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(mode) = modes.last_mut() else { break };
        at += match mode {
            Mode::Code(depth) => match rest {
                [b'#', ..] => {
                    let end = at + line(rest);
                    comments.push(at..end);
                    end - at
                }
                [b'/', b'*', ..] => {
                    let end = at + block(rest);
                    comments.push(at..end);
                    end - at
                }
                [b'"', ..] => enter(&mut modes, Mode::Text, 1),
                // A name may end in primes: foldl''.
                [b'\'', b'\'', ..] if !ends_in_name(bytes.get(..at)) => {
                    enter(&mut modes, Mode::Indented, 2)
                }
                [b'{', ..] => {
                    *depth += 1;
                    1
                }
                [b'}', ..] if *depth > 0 => {
                    *depth -= 1;
                    1
                }
                [b'}', ..] if modes.len() > 1 => leave(&mut modes, 1),
                _ => 1,
            },
            Mode::Text => match rest {
                [b'\\', ..] | [b'$', b'$', ..] => 2,
                [b'$', b'{', ..] => enter(&mut modes, Mode::Code(0), 2),
                [b'"', ..] => leave(&mut modes, 1),
                _ => 1,
            },
            Mode::Indented => match rest {
                [b'\'', b'\'', b'\'' | b'$', ..] => 3,
                [b'\'', b'\'', b'\\', ..] => 4,
                [b'\'', b'\'', ..] => leave(&mut modes, 2),
                [b'$', b'$', ..] => 2,
                [b'$', b'{', ..] => enter(&mut modes, Mode::Code(0), 2),
                _ => 1,
            },
        };
    }
    comments
}

/// The comments of a TOML document, in order.
fn of_toml(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut comments = Vec::new();
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        at += match rest {
            [b'#', ..] => {
                let end = at + line(rest);
                comments.push(at..end);
                end - at
            }
            [quote @ (b'"' | b'\''), two, three, ..] if two == quote && three == quote => {
                3 + string(rest.get(3..).unwrap_or_default(), &[*quote; 3])
            }
            [quote @ (b'"' | b'\''), ..] => {
                1 + string(rest.get(1..).unwrap_or_default(), &[*quote])
            }
            _ => 1,
        };
    }
    comments
}

enum Mode {
    /// With so many braces open.
    Code(usize),
    Text,
    Indented,
}

fn enter(modes: &mut Vec<Mode>, mode: Mode, width: usize) -> usize {
    if modes.len() < DEEPEST {
        modes.push(mode);
    }
    width
}

fn leave(modes: &mut Vec<Mode>, width: usize) -> usize {
    if modes.len() > 1 {
        modes.pop();
    }
    width
}

/// To the end of the line.
fn line(rest: &[u8]) -> usize {
    let end = rest.iter().position(|byte| *byte == b'\n');
    end.unwrap_or(rest.len())
}

/// To behind `*/`.
fn block(rest: &[u8]) -> usize {
    let inside = rest.get(2..).unwrap_or_default();
    let end = inside.windows(2).position(|two| two == b"*/");
    end.map_or(rest.len(), |end| end + 4)
}

fn ends_in_name(before: Option<&[u8]>) -> bool {
    let last = before.and_then(<[u8]>::last);
    last.is_some_and(|last| last.is_ascii_alphanumeric() || matches!(last, b'_' | b'\'' | b'-'))
}

/// To behind `end`. A string on one line ends with the line at the latest.
fn string(rest: &[u8], end: &[u8]) -> usize {
    let escapes = end.first() == Some(&b'"');
    let mut at = 0;
    while let Some(tail) = rest.get(at..).filter(|tail| !tail.is_empty()) {
        match tail {
            _ if tail.starts_with(end) => return at + end.len(),
            [b'\n', ..] if end.len() == 1 => return at,
            [b'\\', ..] if escapes => at += 2,
            _ => at += 1,
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nix(text: &str) -> Vec<&str> {
        of_nix(text).into_iter().map(|range| &text[range]).collect()
    }

    fn toml(text: &str) -> Vec<&str> {
        of_toml(text)
            .into_iter()
            .map(|range| &text[range])
            .collect()
    }

    #[test]
    fn nix_comments_are_found_outside_of_strings() {
        for (text, comments) in [
            ("a = 1; # one\nb = 2;", &["# one"][..]),
            ("/* a\nb */ c /* d", &["/* a\nb */", "/* d"]),
            (r##"a = "x # y \" # z"; # c"##, &["# c"]),
            ("a = '' # no ''' ''$ ''\\' # no\n''; # c", &["# c"]),
            (r##""${f "#" { a = "}"; } # c"##, &["# c"]),
            (r##"u = "http://x/#y${toString 1}#"; #c"##, &["#c"]),
            ("foldl'' a # c\n 'x", &["# c"]),
            (r##""$${no # " # c"##, &["# c"]),
            ("", &[]),
        ] {
            assert_eq!(nix(text), comments, "{text}");
        }
    }

    #[test]
    fn toml_comments_are_found_outside_of_strings() {
        for (text, comments) in [
            ("a = \"x#\\\"#\" # c\nb = '#\\' # d", &["# c", "# d"][..]),
            ("a = \"\"\"\n# no\n\"\"\" # c", &["# c"]),
            ("a = '''\n#''' # c", &["# c"]),
            ("a = \"open # no\n# c", &["# c"]),
            ("a = \"\" # c", &["# c"]),
        ] {
            assert_eq!(toml(text), comments, "{text}");
        }
    }

    proptest! {
        #[test]
        fn comments_of_anything_are_parts_of_it(text in "[\"'#{}$\\\\/*a\né]{0,60}") {
            for range in of_nix(&text).into_iter().chain(of_toml(&text)) {
                prop_assert!(text.get(range).is_some());
            }
        }
    }
}
