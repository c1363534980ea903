//! One entry in the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): `NAME`, a newline,
//! the value's length as 64 little-endian bits, the value, a newline.

use std::fmt;

use tracing::{
    Level, Metadata,
    field::{Field, Visit},
};

/// What the journal calls this program, and `SyslogIdentifier` on the bus.
pub(crate) const IDENTIFIER: &str = "offloadd";

/// An entry that is being written.
pub(super) struct Entry(pub(super) Vec<u8>);

impl Entry {
    /// With what is known of the place that logs: level, target, file and line.
    pub(super) fn new(of: &Metadata<'_>) -> Self {
        let mut entry = Self::of_level(*of.level());
        entry.put("TARGET", of.target());
        if let Some(file) = of.file() {
            entry.put("CODE_FILE", file);
        }
        if let Some(line) = of.line() {
            entry.put("CODE_LINE", &line.to_string());
        }
        entry
    }

    /// A warning that so many entries were lost.
    pub(super) fn of_lost(lost: usize) -> Self {
        let mut entry = Self::of_level(Level::WARN);
        entry.put("MESSAGE", &lost_line(lost));
        entry
    }

    fn of_level(level: Level) -> Self {
        let mut entry = Self(Vec::with_capacity(512));
        // syslog(3)'s levels: info is "notice", so that debug can be "info".
        let priority = match level {
            Level::ERROR => "3",
            Level::WARN => "4",
            Level::INFO => "5",
            Level::DEBUG => "6",
            Level::TRACE => "7",
        };
        entry.put("PRIORITY", priority);
        entry.put("SYSLOG_IDENTIFIER", IDENTIFIER);
        entry
    }

    /// The journal takes names of capitals, digits and `_`, which does not stand first.
    fn put(&mut self, name: &str, value: &str) {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let bytes = name
            .bytes()
            .map(|byte| if byte == b'.' { b'_' } else { byte });
        let bytes = bytes.skip_while(|byte| !byte.is_ascii_alphabetic());
        let Self(entry) = self;
        entry.extend(bytes.filter(allowed).map(|byte| byte.to_ascii_uppercase()));
        entry.push(b'\n');
        entry.extend((value.len() as u64).to_le_bytes());
        entry.extend(value.as_bytes());
        entry.push(b'\n');
    }
}

/// The words for entries or lines that are lost.
pub(super) fn lost_line(lost: usize) -> String {
    format!("{lost} messages before this one are lost: nobody read them in time")
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), &format!("{value:?}"));
    }
}
