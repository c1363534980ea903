//! What each reason means and how to mend it: people's words, kept off the bus.

use crate::Reason;

/// What people are told of a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// A few words: the headline.
    pub title: &'static str,
    /// What was seen, in a sentence.
    pub explanation: &'static str,
    /// What to do about it; empty where there is nothing to do.
    pub remedy: &'static str,
}

/// The words for `reason`.
pub const fn text(reason: Reason) -> Text {
    match reason {
        Reason::None => Text {
            title: "",
            explanation: "",
            remedy: "",
        },
        _ => Text {
            title: "",
            explanation: "",
            remedy: "",
        },
    }
}
