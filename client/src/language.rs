//! The language of people's words, chosen once for a process.
//!
//! English stands in the code, where a reader sees it, and is the key to every other: `client/po/` has a catalogue for each,
//! as gettext's, which the build makes a table of. It is looked into where [`follow`] was called and the locale asks for it,
//! and never else: programs and the journal have English.

mod catalogue;
#[cfg(feature = "help")]
#[doc(hidden)]
pub mod help;
mod key;
mod locale;
mod table;
#[cfg(test)]
#[cfg(feature = "cli")]
mod tests;

use std::sync::OnceLock;

#[doc(hidden)]
pub use catalogue::Catalogue;
use locale::Language;
use table::{PORTUGUESE, Table};

/// What this process speaks where that is not English.
static SPOKEN: OnceLock<&Table> = OnceLock::new();

const PT_BR: &str = include_str!("../po/pt_BR.po");

/// Speaks from now on what the locale asks for (locale(7): `LANGUAGE`, `LC_ALL`, `LC_MESSAGES`, `LANG`), where there is a
/// catalogue for it. It does so once: what was said before was English.
pub fn follow(variable: impl Fn(&str) -> Option<String>) {
    match Language::of(&variable) {
        Language::English => {}
        Language::Portuguese => {
            SPOKEN.get_or_init(|| &PORTUGUESE);
        }
    }
}

/// What all texts are in Portuguese, for who reads the whole catalogue.
#[doc(hidden)]
pub fn portuguese() -> Catalogue {
    Catalogue::read(PT_BR)
}

/// Whether this process speaks English.
#[cfg(feature = "help")]
#[doc(hidden)]
pub fn is_english() -> bool {
    SPOKEN.get().is_none()
}

/// `text` in the language of this process.
pub(crate) fn tr(text: &'static str) -> &'static str {
    translated(text).unwrap_or(text)
}

/// Marks a text of a table, for the catalogues: who reads the table translates it.
pub(crate) const fn tr_later(text: &'static str) -> &'static str {
    text
}

/// `text` in the language of this process, where that is not English.
pub(crate) fn translated(text: &str) -> Option<&'static str> {
    SPOKEN.get()?.get(text)
}

/// A translation with what belongs into it, for [`say!`]; nothing is as good as any other value.
pub(crate) fn fill(text: &str, values: &[(&str, &dyn std::fmt::Display)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let (key, tail) = after.split_once('}').unwrap_or((after, ""));
        if let Some((_, value)) = values.iter().find(|(name, _)| *name == key) {
            filled.push_str(&value.to_string());
        }
        rest = tail;
    }
    filled.push_str(rest);
    filled
}

/// `format!` in the language of this process: `say!("no {what} at {place}", what = "cache", place)`. The compiler holds the
/// English to its values, a test the translations to the English.
macro_rules! say {
    (@value $name:ident) => { $name };
    (@value $name:ident $value:expr) => { $value };
    ($text:literal $(, $name:ident $(= $value:expr)?)* $(,)?) => {
        match $crate::language::translated($text) {
            None => format!($text $(, $name = $crate::language::say!(@value $name $($value)?))*),
            Some(text) => $crate::language::fill(
                text,
                &[$((stringify!($name), &$crate::language::say!(@value $name $($value)?))),*],
            ),
        }
    };
}
pub(crate) use say;
