//! The words for differences between what is declared, deployed, loaded and observed.

use crate::{WarningCode, reasons::Text};

pub(crate) const fn text(code: WarningCode) -> Text {
    let _ = code;
    Text {
        title: "",
        explanation: "",
        remedy: "",
    }
}
