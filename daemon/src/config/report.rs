//! The configuration that holds, and where each value came from.

use figment::value::{Dict, Value};
use serde::Serialize;

use super::{
    Settings,
    error::printable,
    keys::{SECTIONS, Section},
    merge::Merged,
    raw::KeyPath,
};

/// The configuration that holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The files that were read.
    pub read: Vec<String>,
    /// Every value, in the order of the example configuration.
    pub values: Vec<Held>,
    /// All of it as a configuration file that would read back as the same settings; comments say which files were read
    /// and where each value is from.
    #[serde(skip)]
    pub text: String,
}

/// A value that holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Held {
    /// `poll.interval`, `cache "desktop": url`.
    pub key: String,
    /// As it is in the file.
    pub value: serde_json::Value,
    /// Where it is from: `default`, a file and its line, a variable or a flag.
    pub source: String,
}

/// Shows `merged`, of which `settings` were made.
pub(super) fn report(settings: &Settings, merged: &Merged) -> Report {
    let mut page = Page {
        lines: vec!["# configuration is valid".into()],
        values: Vec::new(),
        merged,
    };
    let read = settings.files.read.iter();
    let read: Vec<String> = read
        .map(|file| printable(&file.to_string_lossy()))
        .collect();
    page.lines
        .extend(read.iter().map(|file| format!("# read: {file}")));
    if read.is_empty() {
        page.lines.push("# read: no file".into());
    }
    for section in &SECTIONS {
        if section.is_list {
            for (name, values) in merged.entries(section.name) {
                page.title(section);
                let path = KeyPath::of(&[section.name, name]);
                page.line("name", &string(name), &path);
                page.values(section, &path, values);
            }
        } else if let Some(values) = merged.table(section.name) {
            page.title(section);
            page.values(section, &KeyPath::of(&[section.name]), values);
        }
    }
    page.lines.push(String::new());
    Report {
        read,
        values: page.values,
        text: page.lines.join("\n"),
    }
}

struct Page<'a> {
    lines: Vec<String>,
    values: Vec<Held>,
    merged: &'a Merged,
}

impl Page<'_> {
    fn title(&mut self, section: &Section) {
        self.lines.extend([String::new(), section.title()]);
    }

    fn values(&mut self, section: &Section, path: &KeyPath, values: &Dict) {
        for key in section.values() {
            if let Some(value) = values.get(key.name).and_then(shown) {
                self.line(key.name, &value, &path.then(key.name));
            }
        }
    }

    fn line(&mut self, key: &str, value: &str, path: &KeyPath) {
        let origin = self.merged.origins.get(path);
        self.lines.push(format!("{key} = {value}  # {origin}"));
        self.values.push(Held {
            key: path.to_string(),
            // What is written here of TOML is JSON as well.
            value: serde_json::from_str(value).unwrap_or_default(),
            source: origin.to_string(),
        });
    }
}

fn shown(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(string(text)),
        Value::Bool(_, flag) => Some(flag.to_string()),
        Value::Num(_, number) => Some(number.to_u128()?.to_string()),
        Value::Array(_, items) => {
            let items: Option<Vec<_>> = items.iter().map(shown).collect();
            Some(format!("[{}]", items?.join(", ")))
        }
        _ => None,
    }
}

/// A basic string of TOML. JSON's escapes are among TOML's; only DEL needs one more.
fn string(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007f")
}
