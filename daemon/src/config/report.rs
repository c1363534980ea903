//! `--check-config`: the configuration that holds, and where each value came from.

use figment::value::{Dict, Value};
use serde::Serialize;

use super::{
    Settings,
    error::printable,
    inputs::{BuilderInput, CacheInput, DiscoverInput, NixInput, Origins, PollInput},
    raw::KeyPath,
    schema,
};

/// Shows `settings` as a configuration file that would read back as the same settings; comments
/// say which files were read and where each value is from.
pub(super) fn render(settings: &Settings, origins: &Origins) -> String {
    let mut page = Page {
        lines: vec!["# configuration is valid".into()],
        origins,
    };
    for file in &settings.files.read {
        let file = file.to_string_lossy();
        page.lines.push(format!("# read: {}", printable(&file)));
    }
    if settings.files.read.is_empty() {
        page.lines.push("# read: no file".into());
    }
    page.section("poll", PollInput::from(&settings.poll));
    page.section("nix", NixInput::from(&settings.nix));
    page.section("discover", DiscoverInput::from(&settings.discover));
    for cache in &settings.caches {
        page.entry("cache", &cache.name, CacheInput::from(cache));
    }
    for builder in &settings.builders {
        page.entry("builder", &builder.name, BuilderInput::from(builder));
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
    origins: &'a Origins,
}

impl Page<'_> {
    fn section(&mut self, section: &str, input: impl Serialize) {
        self.lines.extend([String::new(), format!("[{section}]")]);
        self.keys(section, &KeyPath::of(&[section]), input);
    }

    fn entry(&mut self, section: &str, name: &str, input: impl Serialize) {
        let path = KeyPath::of(&[section, name]);
        self.lines.extend([String::new(), format!("[[{section}]]")]);
        self.line("name", &string(name), &path);
        self.keys(section, &path, input);
    }

    /// In the order of the schema.
    fn keys(&mut self, section: &str, path: &KeyPath, input: impl Serialize) {
        let values = match Value::serialize(input) {
            Ok(Value::Dict(_, values)) => values,
            _ => Dict::new(),
        };
        for (key, _) in schema::keys(section) {
            if let Some(value) = values.get(*key).and_then(shown) {
                self.line(key, &value, &path.then(*key));
            }
        }
    }

    fn line(&mut self, key: &str, value: &str, path: &KeyPath) {
        let origin = self.origins.get(path);
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
