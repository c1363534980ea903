//! All fragments one over the other: of the right types, not yet believed.

use std::collections::BTreeMap;

use figment::{
    Figment,
    value::{Dict, Value},
};

use super::{
    error::Location,
    keys::SECTIONS,
    raw::{Fragment, KeyPath, Origin},
    toml,
};

/// The values that hold, and where each came from.
#[derive(Debug, Default)]
pub(super) struct Merged {
    values: Dict,
    pub(super) origins: Origins,
    /// The names of the entries in the order in which they were first met, by section.
    order: BTreeMap<&'static str, Vec<String>>,
}

/// Where the value that holds came from.
#[derive(Debug, Default)]
pub(super) struct Origins(BTreeMap<KeyPath, Location>);

/// Merges `fragments`, the later over the earlier.
pub(super) fn merge(fragments: &[Fragment]) -> Result<Merged, Box<figment::Error>> {
    let figment = fragments
        .iter()
        .fold(Figment::new(), |figment, fragment| figment.merge(fragment));
    let mut merged = Merged::default();
    if let Value::Dict(_, values) = figment.find_value("")? {
        merged
            .origins
            .note(&values, &KeyPath::default(), &|value, path| {
                let source = figment.get_metadata(value.tag())?.source.clone()?;
                let fragment = fragments
                    .iter()
                    .find(|fragment| fragment.origin.source() == source)?;
                Some(fragment.places.get(path))
            });
        merged.values = values;
    }
    for fragment in fragments {
        for (&section, names) in &fragment.order {
            let known = merged.order.entry(section).or_default();
            for name in names {
                if known.contains(name) {
                    continue;
                }
                // An entry is from where it was first named, whoever adds to it later.
                let path = KeyPath::of(&[section, name]);
                let place = fragment.places.get(&path);
                merged.origins.0.insert(path, place);
                known.push(name.clone());
            }
        }
    }
    Ok(merged)
}

/// The built-in values as a fragment.
pub(super) fn defaults() -> Fragment {
    let mut fragment = Fragment::new(Origin::Default);
    for section in SECTIONS.iter().filter(|section| !section.is_list) {
        let values = section.values();
        let values = values.filter_map(|key| Some((key.name.to_owned(), toml::value(key.value)?)));
        let values: Dict = values.collect();
        fragment
            .values
            .insert(section.name.to_owned(), values.into());
    }
    fragment
}

impl Merged {
    /// The table `section`.
    pub(super) fn table(&self, section: &str) -> Option<&Dict> {
        self.values.get(section)?.as_dict()
    }

    /// The entries of the list of tables `section`, in the order in which they were first met.
    pub(super) fn entries(&self, section: &str) -> impl Iterator<Item = (&str, &Dict)> {
        let tables = self.table(section);
        let names = self.order.get(section).into_iter().flatten();
        names.filter_map(move |name| Some((name.as_str(), tables?.get(name)?.as_dict()?)))
    }

    /// Where `key` of an entry is written, or, where it is not, the entry itself.
    pub(super) fn place(&self, section: &str, name: &str, key: &str) -> Location {
        let entry = KeyPath::of(&[section, name]);
        let written = self.origins.0.get(&entry.then(key));
        written.cloned().unwrap_or_else(|| self.origins.get(&entry))
    }
}

impl Origins {
    fn note(
        &mut self,
        table: &Dict,
        path: &KeyPath,
        place: &impl Fn(&Value, &KeyPath) -> Option<Location>,
    ) {
        for (key, value) in table {
            let path = path.then(key);
            let items = value.as_array().unwrap_or_default();
            for (index, item) in items.iter().enumerate() {
                let path = path.item(index);
                if let Some(place) = place(item, &path) {
                    self.0.insert(path, place);
                }
            }
            if let Some(place) = place(value, &path) {
                self.0.insert(path.clone(), place);
            }
            if let Value::Dict(_, table) = value {
                self.note(table, &path, place);
            }
        }
    }

    /// Where the value at `path` came from.
    pub(super) fn get(&self, path: &KeyPath) -> Location {
        self.0.get(path).cloned().unwrap_or(Location::Default)
    }
}
