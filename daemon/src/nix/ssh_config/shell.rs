//! `NIX_SSHOPTS`, taken apart.

use super::SshConfigError;

/// Splits as Nix splits `NIX_SSHOPTS` (`shellSplitString`, src/libutil/strings.cc): quotes of both
/// kinds and backslashes, no expansion.
pub(crate) fn shell_split(text: &str) -> Result<Vec<String>, SshConfigError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(SshConfigError::UnclosedQuote)? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(SshConfigError::UnclosedQuote)? {
                        '"' => break,
                        '\\' => match chars.next().ok_or(SshConfigError::UnclosedQuote)? {
                            c @ ('$' | '`' | '"' | '\\') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nix_sshopts_is_split_as_nix_splits_it() {
        let words = shell_split(r#"-o "A=b c" '-F/x y'  a\ b "\x\"" ''"#).unwrap();
        assert_eq!(words, ["-o", "A=b c", "-F/x y", "a b", "\\x\"", ""]);
        for text in ["'a", "\"a", "\"a\\"] {
            assert!(
                matches!(shell_split(text), Err(SshConfigError::UnclosedQuote)),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn quoted_words_are_split_back(words in proptest::collection::vec("[^\0']{1,12}", 0..6)) {
            let text = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(shell_split(&text).unwrap(), words);
        }

        #[test]
        fn any_options_are_split_or_refused(text in "\\PC*") {
            let _ = shell_split(&text);
        }
    }
}
