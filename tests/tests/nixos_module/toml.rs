//! JSON as TOML: what Nixpkgs' `formats.toml` does to a module's settings.

use std::fmt::Write;

use serde_json::{Map, Value};

/// A document whose top level has tables and lists of tables only, as offloadd's has.
pub(crate) fn document(settings: &Value) -> String {
    let mut text = String::new();
    for (section, value) in settings.as_object().unwrap() {
        match value {
            Value::Object(keys) => table(&mut text, &format!("[{section}]"), keys),
            Value::Array(entries) => {
                for entry in entries {
                    let keys = entry.as_object().unwrap();
                    table(&mut text, &format!("[[{section}]]"), keys);
                }
            }
            other => panic!("{section} is {other}"),
        }
    }
    text
}

fn table(text: &mut String, head: &str, keys: &Map<String, Value>) {
    writeln!(text, "{head}").unwrap();
    for (key, value) in keys {
        writeln!(text, "{key} = {}", inline(value)).unwrap();
    }
}

/// Texts, numbers, truth values and lists of them are written alike in both.
fn inline(value: &Value) -> String {
    match value {
        Value::Null | Value::Object(_) => panic!("{value} in a table"),
        other => other.to_string(),
    }
}
