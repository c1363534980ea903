//! Finds whole addresses in a text: 127.0.15.7, but not in 127.0.15.71 or 1.127.0.15.7.

use std::ops::Range;

use super::correction::Correction;

/// A wrong address in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Occurrence<'a> {
    /// Which bytes.
    pub(super) range: Range<usize>,
    /// Which one.
    pub(super) correction: &'a Correction,
    /// What to write there.
    pub(super) right: String,
}

/// All of them, in order.
pub(super) fn all<'a>(text: &str, corrections: &'a [Correction]) -> Vec<Occurrence<'a>> {
    let mut occurrences = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match corrections
            .iter()
            .find_map(|correction| occurrence(text, at, correction))
        {
            Some(occurrence) => {
                at = occurrence.range.end;
                occurrences.push(occurrence);
            }
            None => at += 1,
        }
    }
    occurrences
}

/// Whether what is wrong begins at byte `at`.
fn occurrence<'a>(text: &str, at: usize, correction: &'a Correction) -> Option<Occurrence<'a>> {
    let needle = correction.wrong.as_bytes();
    let (before, rest) = text.as_bytes().split_at_checked(at)?;
    let (found, after) = rest.split_at_checked(needle.len())?;
    if !found.eq_ignore_ascii_case(needle) {
        return None;
    }
    let v6 = correction.wrong.contains(':')
        && !correction.wrong.starts_with('[')
        && !has_port(correction);
    let bracketed = v6 && before.last() == Some(&b'[') && after.first() == Some(&b']');
    if !(ends_before(before, v6) && begins_after(after, v6)) {
        return None;
    }
    // A name of one word is many things: only where a host stands is it the host.
    let word = !correction.wrong.contains(['.', ':']);
    if word && !(in_authority(before, after) || is_host_name(before)) {
        return None;
    }
    let end = at + needle.len();
    let right_is_v6 = correction.right.contains(':') && !has_port(correction);
    Some(match (bracketed, right_is_v6) {
        // The brackets go with an IPv6 address, and only with that.
        (true, false) if !correction.right.is_empty() => Occurrence {
            range: at - 1..end + 1,
            correction,
            right: correction.right.clone(),
        },
        (false, true) if !v6 && in_authority(before, after) => Occurrence {
            range: at..end,
            correction,
            right: format!("[{}]", correction.right),
        },
        _ => Occurrence {
            range: at..end,
            correction,
            right: correction.right.clone(),
        },
    })
}

/// `host:port`, not IPv6.
fn has_port(correction: &Correction) -> bool {
    correction.wrong.starts_with('[') || correction.wrong.matches(':').count() == 1
}

/// Whether an address can begin after `before`.
fn ends_before(before: &[u8], v6: bool) -> bool {
    match before.last() {
        Some(b'.' | b'-' | b'_') => false,
        Some(b':') => !v6,
        Some(last) => last.is_ascii() && !last.is_ascii_alphanumeric(),
        None => true,
    }
}

/// Whether an address can end before `after`.
fn begins_after(after: &[u8], v6: bool) -> bool {
    let more = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    match after.first() {
        // The end of a sentence.
        Some(b'.') => !more(after.get(1)),
        Some(b'-' | b'_' | b'%') => false,
        Some(b':') => !v6,
        Some(next) => next.is_ascii() && !next.is_ascii_alphanumeric(),
        None => true,
    }
}

/// Whether what stands between is the host of a URI or of `host:port`.
fn in_authority(before: &[u8], after: &[u8]) -> bool {
    let port = after.first() == Some(&b':') && after.get(1).is_some_and(u8::is_ascii_digit);
    port || before.ends_with(b"//") || before.last() == Some(&b'@')
}

/// Whether what follows is the value of `hostName`, as in `nix.buildMachines`.
fn is_host_name(before: &[u8]) -> bool {
    let Some(before) = before.strip_suffix(b"\"") else {
        return false;
    };
    let name = before.trim_ascii_end().strip_suffix(b"=");
    name.is_some_and(|name| name.trim_ascii_end().ends_with(b"hostName"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn replaced(text: &str, wrong: &str, right: &str) -> String {
        let corrections = [Correction {
            wrong: wrong.into(),
            right: right.into(),
        }];
        let mut out = text.to_owned();
        for occurrence in all(text, &corrections).iter().rev() {
            out.replace_range(occurrence.range.clone(), &occurrence.right);
        }
        out
    }

    #[test]
    fn whole_addresses_are_found() {
        for (text, expected) in [
            ("127.0.15.7", "NEW"),
            ("\"http://127.0.15.7:5000/\"", "\"http://NEW:5000/\""),
            ("u@127.0.15.7?x=1", "u@NEW?x=1"),
            ("it is 127.0.15.7. Yes", "it is NEW. Yes"),
            ("127.0.15.7/32, 127.0.15.7", "NEW/32, NEW"),
        ] {
            assert_eq!(replaced(text, "127.0.15.7", "NEW"), expected);
        }
    }

    #[test]
    fn parts_of_other_addresses_are_not() {
        for text in [
            "127.0.15.71",
            "1127.0.15.7",
            "1.127.0.15.7",
            "127.0.15.7.1",
            "127.0.15.7.example.org",
            "ip-127.0.15.7",
            "127.0.15.7-old",
            "é127.0.15.7",
        ] {
            assert_eq!(replaced(text, "127.0.15.7", "NEW"), text);
        }
        for text in ["2001:db8::70", "1:2001:db8::7", "2001:db8::7:1"] {
            assert_eq!(replaced(text, "2001:db8::7", "NEW"), text);
        }
    }

    #[test]
    fn names_are_found_in_any_case() {
        let text = "Desktop.Lan desktop.lan.example my-desktop.lan";
        let expected = "pc.lan desktop.lan.example my-desktop.lan";
        assert_eq!(replaced(text, "desktop.lan", "pc.lan"), expected);
    }

    #[test]
    fn a_name_of_one_word_is_a_host_only_where_one_stands() {
        let text =
            "name = \"pc\"; x.pc = 1; hostName = \"pc\"; \"ssh://u@pc\" http://pc/ pc:5000 pc";
        let expected =
            "name = \"pc\"; x.pc = 1; hostName = \"N\"; \"ssh://u@N\" http://N/ N:5000 pc";
        assert_eq!(replaced(text, "pc", "N"), expected);
    }

    #[test]
    fn brackets_go_with_ipv6() {
        for (text, wrong, right, expected) in [
            (
                "http://[2001:DB8::7]:5000",
                "2001:db8::7",
                "192.0.2.6",
                "http://192.0.2.6:5000",
            ),
            (
                "http://[2001:db8::7]:5000",
                "2001:db8::7",
                "2001:db8::6",
                "http://[2001:db8::6]:5000",
            ),
            (
                "http://192.0.2.7:5000",
                "192.0.2.7",
                "2001:db8::6",
                "http://[2001:db8::6]:5000",
            ),
            (
                "ssh://u@192.0.2.7",
                "192.0.2.7",
                "2001:db8::6",
                "ssh://u@[2001:db8::6]",
            ),
            (
                "host = \"192.0.2.7\"",
                "192.0.2.7",
                "2001:db8::6",
                "host = \"2001:db8::6\"",
            ),
            (
                "192.0.2.7:5000 192.0.2.7:50001",
                "192.0.2.7:5000",
                "192.0.2.7:5001",
                "192.0.2.7:5001 192.0.2.7:50001",
            ),
        ] {
            assert_eq!(replaced(text, wrong, right), expected);
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_searched(text in ".*", tail in "[0-9.:é\\[\\]]{0,20}") {
            let text = format!("{text}127.0.15.7{tail}");
            for (wrong, right) in [("127.0.15.7", "::1"), ("7", ""), ("[::1]:5", "[::1]:6")] {
                replaced(&text, wrong, right);
            }
        }
    }
}
