//! Words: systems, features, names of builders, and those of which one is to be chosen.

use crate::config::{error::quoted, nearest::nearest};

/// Checks a system or a feature: Nix separates them by commas and white space.
pub(in crate::config) fn check(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty; remove it".into());
    }
    let separates = |c: char| c == ',' || c.is_whitespace() || c.is_control();
    if text.chars().any(separates) {
        return Err(format!(
            "{} is several; write each in its own quotes",
            quoted(text)
        ));
    }
    Ok(())
}

/// Checks the name of a builder, which may be one that Nix's files have.
pub(in crate::config) fn check_host(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty; remove it, or write the name of a builder".into());
    }
    Ok(())
}

/// Checks that `text` is one of `known`.
pub(in crate::config) fn one_of(text: &str, known: &[&str]) -> Result<(), String> {
    if known.contains(&text) {
        return Ok(());
    }
    let meant = nearest(text, known.iter().map(|&word| word.to_owned()));
    let hint = match meant {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => {
            let known: Vec<_> = known.iter().map(|word| format!("{word:?}")).collect();
            format!("write {}", known.join(" or "))
        }
    };
    Err(format!("unknown word {}; {hint}", quoted(text)))
}
