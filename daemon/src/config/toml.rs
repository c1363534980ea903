//! TOML as raw values, with the line of each.

use std::{ops::Range, path::Path};

use figment::value::{Dict, Empty, Tag, Value};
use toml_edit::{ImDocument, Item, TableLike};

use super::{
    error::{Location, Problems},
    raw::KeyPath,
    shape::Raw,
};

/// Reads `text`, the content of `file`. A syntax error is noted with its line; the parser's own
/// picture of that line is not shown, since a key pasted by mistake could be on it.
pub(super) fn read(file: &Path, text: &str, problems: &mut Problems) -> Option<Raw> {
    let lines = Lines::of(text);
    let document = match ImDocument::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let line = error.span().map(|span| lines.line(&span));
            let message = error.message().trim().replace('\n', ", ");
            let place = Location::File(file.to_owned(), line);
            problems.source(place, format!("not valid TOML: {message}"));
            return None;
        }
    };
    let mut walk = Walk {
        file,
        lines,
        raw: Raw::default(),
    };
    walk.raw.values = walk.table(document.as_table(), &KeyPath::default());
    Some(walk.raw)
}

/// Reads a text that is one value of TOML and nothing else.
pub(super) fn value(text: &str) -> Option<Value> {
    text.trim().parse().ok().as_ref().map(plain)
}

fn plain(value: &toml_edit::Value) -> Value {
    use toml_edit::Value::*;
    match value {
        String(text) => text.value().as_str().into(),
        Integer(number) => match u64::try_from(*number.value()) {
            Ok(number) => number.into(),
            Err(_) => (*number.value()).into(),
        },
        Float(number) => (*number.value()).into(),
        Boolean(flag) => (*flag.value()).into(),
        // No key is a date: `shape` says so.
        Datetime(_) => Value::Empty(Tag::Default, Empty::Unit),
        Array(items) => Value::Array(Tag::Default, items.iter().map(plain).collect()),
        InlineTable(table) => table
            .iter()
            .map(|(key, value)| (key.to_owned(), plain(value)))
            .collect::<Dict>()
            .into(),
    }
}

struct Walk<'a> {
    file: &'a Path,
    lines: Lines,
    raw: Raw,
}

impl Walk<'_> {
    fn table(&mut self, table: &dyn TableLike, path: &KeyPath) -> Dict {
        let mut values = Dict::new();
        for (key, item) in table.iter() {
            let path = path.then(key);
            let span = table.key(key).and_then(toml_edit::Key::span);
            self.note(&path, span.or_else(|| item.span()));
            if let Some(value) = self.item(item, &path) {
                values.insert(key.to_owned(), value);
            }
        }
        values
    }

    fn item(&mut self, item: &Item, path: &KeyPath) -> Option<Value> {
        match item {
            Item::None => None,
            Item::Value(value) => Some(self.value(value, path)),
            Item::Table(table) => Some(self.table(table, path).into()),
            Item::ArrayOfTables(tables) => {
                let tables = tables.iter().enumerate().map(|(index, table)| {
                    let path = path.item(index);
                    self.note(&path, table.span());
                    Value::from(self.table(table, &path))
                });
                Some(Value::Array(Tag::Default, tables.collect()))
            }
        }
    }

    fn value(&mut self, value: &toml_edit::Value, path: &KeyPath) -> Value {
        match value {
            toml_edit::Value::InlineTable(table) => self.table(table, path).into(),
            toml_edit::Value::Array(items) => {
                let items = items.iter().enumerate().map(|(index, item)| {
                    let path = path.item(index);
                    self.note(&path, item.span());
                    self.value(item, &path)
                });
                Value::Array(Tag::Default, items.collect())
            }
            scalar => plain(scalar),
        }
    }

    fn note(&mut self, path: &KeyPath, span: Option<Range<usize>>) {
        if let Some(span) = span {
            let place = Location::File(self.file.to_owned(), Some(self.lines.line(&span)));
            self.raw.places.set(path.clone(), place);
        }
    }
}

/// Where lines end.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(end, _)| end).collect())
    }

    fn line(&self, span: &Range<usize>) -> usize {
        self.0.partition_point(|&end| end < span.start) + 1
    }
}
