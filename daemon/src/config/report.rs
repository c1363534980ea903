//! `--check-config`: the configuration that holds, and where each value came from.

use figment::value::{Dict, Value};

use super::{
    Settings,
    error::printable,
    keys::{SECTIONS, Section},
    merge::Merged,
    raw::KeyPath,
};

/// Shows `merged` as a configuration file that would read back as the same `settings`; comments
/// say which files were read and where each value is from.
pub(super) fn render(settings: &Settings, merged: &Merged) -> String {
    let mut page = Page {
        lines: vec!["# configuration is valid".into()],
        merged,
    };
    for file in &settings.files.read {
        let file = file.to_string_lossy();
        page.lines.push(format!("# read: {}", printable(&file)));
    }
    if settings.files.read.is_empty() {
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
    if settings.caches.is_empty() && settings.builders.is_empty() && !settings.nix.import {
        page.lines.push(String::new());
        page.lines.push(
            "# nothing is watched: add a [[cache]] or a [[builder]], --cache or --builder".into(),
        );
    }
    page.lines.push(String::new());
    page.lines.join("\n")
}

struct Page<'a> {
    lines: Vec<String>,
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
