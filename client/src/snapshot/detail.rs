//! Particulars.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{Printable, language::tr};

/// Particulars by key.
pub type Details = BTreeMap<Printable, Detail>;

/// One particular of [`Target::details`](super::Target::details) or [`Warning::details`](super::Warning::details).
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Detail {
    /// Yes or no.
    Bool(bool),
    /// A count, or microseconds where the key ends in `_usec`.
    Uint(u64),
    /// Any other number.
    Float(f64),
    /// Text: a machine's, such as an address or an error message; not a sentence for people.
    Text(Printable),
    /// Several.
    List(Vec<Printable>),
}

impl fmt::Display for Detail {
    /// As a person would read it; a list with commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(true) => f.write_str(tr("yes")),
            Self::Bool(false) => f.write_str(tr("no")),
            Self::Uint(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Text(text) => f.write_str(text),
            Self::List(items) => f.write_str(&items.join(", ")),
        }
    }
}

impl From<&str> for Detail {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Detail {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Printable> for Detail {
    fn from(text: Printable) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Printable>> From<Vec<T>> for Detail {
    fn from(items: Vec<T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

impl From<bool> for Detail {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Detail {
    fn from(value: u64) -> Self {
        Self::Uint(value)
    }
}
