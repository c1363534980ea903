//! What each warning means and how to mend it: people's words, kept off the bus.

use crate::{WarningCode, reasons::Text};

/// The words for `code`.
pub const fn text(code: WarningCode) -> Text {
    match code {
        _ => Text {
            title: "",
            explanation: "",
            remedy: "",
        },
    }
}
