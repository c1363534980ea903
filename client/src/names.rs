//! Bus name, interfaces, object paths, and how a target's name becomes a path.

use zbus::{MatchRule, message::Type};

use crate::Kind;

/// The well-known bus name.
pub const BUS_NAME: &str = "org.offloadd.Offload1";
/// The root object: `ObjectManager` and the Manager interface.
pub const ROOT_PATH: &str = "/org/offloadd/Offload1";
/// The Manager interface.
pub const MANAGER: &str = "org.offloadd.Offload1.Manager";
/// What caches and builders share.
pub const TARGET: &str = "org.offloadd.Offload1.Target";
/// What only a cache has.
pub const CACHE: &str = "org.offloadd.Offload1.Cache";
/// What only a builder has.
pub const BUILDER: &str = "org.offloadd.Offload1.Builder";
/// What somebody asked for and is under way.
pub const JOB: &str = "org.offloadd.Offload1.Job";
/// The prefix of the errors.
pub const ERROR_PREFIX: &str = "org.offloadd.Offload1.Error";

/// What the bus tells when the daemon comes or goes.
pub(crate) fn owner_changes() -> zbus::Result<MatchRule<'static>> {
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender("org.freedesktop.DBus")
        .interface("org.freedesktop.DBus")
        .member("NameOwnerChanged")
        .add_arg(BUS_NAME);
    rule.build()
}

/// The object path of a target.
pub fn target_path(kind: Kind, name: &str) -> String {
    format!("{ROOT_PATH}/{kind}/{}", escape(name))
}

/// The object path of a job.
pub fn job_path(number: u32) -> String {
    format!("{ROOT_PATH}/job/{number}")
}

/// Escapes a label as systemd's `bus_label_escape` does: letters and digits stay (a leading digit
/// does not), every other byte becomes `_` and two hex digits, nothing becomes `_`.
pub fn escape(label: &str) -> String {
    if label.is_empty() {
        return "_".into();
    }
    let mut escaped = String::with_capacity(label.len());
    for (i, byte) in label.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (i > 0 && byte.is_ascii_digit()) {
            escaped.push(byte.into());
        } else {
            escaped.push_str(&format!("_{byte:02x}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Undoes [`escape`]; `None` where the text is no escaped label.
    fn unescape(escaped: &str) -> Option<String> {
        if escaped == "_" {
            return Some(String::new());
        }
        let mut bytes = Vec::with_capacity(escaped.len());
        let mut rest = escaped.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'_' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                byte if byte.is_ascii_alphanumeric() => byte,
                _ => return None,
            });
        }
        String::from_utf8(bytes).ok()
    }
    #[test]
    fn labels_are_escaped_as_systemd_escapes_them() {
        assert_eq!(escape("desktop"), "desktop");
        assert_eq!(escape("192.0.2.6"), "_3192_2e0_2e2_2e6");
        assert_eq!(escape(""), "_");
    }

    proptest! {
        #[test]
        fn escaping_loses_nothing(label in ".*") {
            prop_assert_eq!(unescape(&escape(&label)), Some(label));
        }

        #[test]
        fn unescaping_never_panics(text in ".*") {
            let _ = unescape(&text);
        }
    }
}
