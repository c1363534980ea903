//! Files of variables, as `EnvironmentFile=` of a unit has them.
//!
//! Source: systemd.exec(5), `parse_env_file_internal` in systemd's src/basic/env-file.c.

/// The variables in a file, in its order.
pub(crate) fn variables(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        rest = rest.trim_start();
        if rest.starts_with(['#', ';']) {
            rest = behind_comment(rest);
            continue;
        }
        let end = rest.find(['=', '\n']).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        match behind.strip_prefix('=') {
            Some(value) => {
                let (value, behind) = self::value(value);
                let name = name.trim();
                if is_name(name) {
                    found.push((name.to_owned(), value));
                }
                rest = behind;
            }
            None => rest = behind,
        }
    }
    found
}

/// A comment goes on behind a backslash at the end of its line.
fn behind_comment(text: &str) -> &str {
    let mut before = '\n';
    for (at, char) in text.char_indices() {
        if char == '\n' && before != '\\' {
            return &text[at..];
        }
        before = char;
    }
    ""
}

/// A value up to the end of its line, and what is behind it. Quotes hold blanks and ends of lines.
fn value(text: &str) -> (String, &str) {
    let mut value = String::new();
    // How much of it is not white space at its end.
    let mut kept = 0;
    let mut quote = None;
    let mut chars = text.trim_start_matches([' ', '\t']).chars();
    while let Some(char) = chars.next() {
        match (quote, char) {
            (None, '\n') => break,
            (None, '\'' | '"') => {
                quote = Some(char);
                kept = value.len();
            }
            (Some(open), _) if open == char => {
                quote = None;
                kept = value.len();
            }
            (Some('\''), _) => value.push(char),
            (_, '\\') => match chars.next() {
                Some('\n') | None => {}
                Some(next) => {
                    // Within quotes it is itself before what needs none.
                    if quote.is_some() && !"\"\\`$".contains(next) {
                        value.push('\\');
                    }
                    value.push(next);
                    kept = value.len();
                }
            },
            (_, char) => {
                value.push(char);
                if quote.is_some() || !matches!(char, ' ' | '\t' | '\r') {
                    kept = value.len();
                }
            }
        }
    }
    value.truncate(kept.max(if quote.is_some() { value.len() } else { 0 }));
    (value, chars.as_str())
}

fn is_name(name: &str) -> bool {
    let is_of_it = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(is_of_it)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> String {
        let all = variables(text).into_iter();
        let all: Vec<_> = all.map(|(name, value)| format!("{name}={value}")).collect();
        all.join("|")
    }

    #[test]
    fn variables_are_read_as_systemd_reads_them() {
        for (text, found) in [
            ("A=1\nB=2\n", "A=1|B=2"),
            ("# A=1\n; A=2\nB=2", "B=2"),
            ("# A=1 \\\nB=2\nC=3", "C=3"),
            ("A=one two \n", "A=one two"),
            ("A='one two ' \n", "A=one two "),
            ("A=\"one\ntwo\"\nB=2", "A=one\ntwo|B=2"),
            ("A=one\\\ntwo\n", "A=onetwo"),
            ("A=\"a\\\"b\\c\"\n", "A=a\"b\\c"),
            ("A='a\\b'\n", "A=a\\b"),
            (" A = 1\n", "A=1"),
            ("A=\nB=2\n", "A=|B=2"),
            ("no variable\nB=2\n", "B=2"),
            ("1A=1\nexport B=2\nC=3", "C=3"),
            (
                "http_proxy=http://proxy:3128/\r\n",
                "http_proxy=http://proxy:3128/",
            ),
        ] {
            assert_eq!(read(text), found, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_there_is_read_to_its_end(text in "[ A=#;'\"\\\\\na1]{0,60}") {
            prop_assert!(variables(&text).len() <= text.len());
        }
    }
}
