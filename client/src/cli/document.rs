//! JSON that somebody else wrote, as `--json` hands it on.

use serde_json::{Error, Value};

use crate::Printable;

/// Reads it whole, words of newer daemons included; all text in it passes the gate.
///
/// # Errors
/// What is wrong with it as JSON.
pub(super) fn read(json: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(json).map(printable)
}

fn printable(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(Printable::from(text).to_string()),
        Value::Array(items) => items.into_iter().map(printable).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| (Printable::from(key).to_string(), printable(value)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hostile_daemon_writes_moves_no_cursor() {
        let json = r#"{"a\u001bb": ["\u009b2J", {"c": "\u202e"}], "d": [1, null, true, "é"]}"#;
        assert_eq!(
            read(json.as_bytes()).unwrap().to_string(),
            r#"{"a\\x1bb":["\\u{9b}2J",{"c":"\\u{202e}"}],"d":[1,null,true,"é"]}"#
        );
    }
}
