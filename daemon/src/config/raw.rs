//! Raw fragments: what one source says, before anything is merged or believed.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use figment::{
    Metadata, Profile, Provider, Source,
    value::{Dict, Map},
};

use super::{
    error::{Location, printable},
    keys,
};

/// The way to a value: `poll`, `interval`, or `cache`, the entry's name, `addresses`, `0`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyPath(Vec<String>);

/// What one source says. Its lists of tables are tables by name already (`cache` → `desktop` →
/// `url`), because that is how sources merge: entries with the same name field by field.
#[derive(Clone, Debug)]
pub(super) struct Fragment {
    /// The source as a whole.
    pub(super) origin: Origin,
    /// Its values, sections first.
    pub(super) values: Dict,
    /// Where in the source a value is.
    pub(super) places: Locations,
    /// The names of the entries, as they were written one after the other: by section.
    pub(super) order: BTreeMap<&'static str, Vec<String>>,
}

/// Where values are; for a value of its own place unknown that of the table around it holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Locations {
    known: BTreeMap<KeyPath, Location>,
    /// The source as a whole.
    whole: Option<Location>,
}

/// Which kind of source it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    File(PathBuf),
    Env,
    Flags,
}

impl KeyPath {
    pub(super) fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|&key| key.to_owned()).collect())
    }

    pub(super) fn then(&self, key: impl Into<String>) -> Self {
        let mut path = self.clone();
        path.0.push(key.into());
        path
    }

    pub(super) fn item(&self, index: usize) -> Self {
        self.then(index.to_string())
    }

    /// Of an entry without a name: `cache[0]`.
    pub(super) fn nameless(label: &str) -> Self {
        Self::of(&[label])
    }

    /// Whether it has one key only.
    pub(super) fn is_top(&self) -> bool {
        self.0.len() == 1
    }

    /// Whether it is `other` or leads further.
    pub(super) fn is_in(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    fn parent(&self) -> Option<Self> {
        let (_, parent) = self.0.split_last()?;
        Some(Self(parent.to_vec()))
    }
}

/// As a person would name it: `poll.interval`, `cache "desktop": addresses[0]`.
impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut path = self.0.iter();
        let Some(section) = path.next() else {
            return Ok(());
        };
        f.write_str(&printable(section))?;
        let mut separator = ".";
        if keys::is_list(section)
            && let Some(name) = path.next()
        {
            write!(f, " {name:?}")?;
            separator = ": ";
        }
        if let Some(key) = path.next() {
            write!(f, "{separator}{}", printable(key))?;
        }
        path.try_for_each(|index| write!(f, "[{index}]"))
    }
}

impl Fragment {
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            places: Locations::whole(origin.place()),
            origin,
            values: Dict::new(),
            order: BTreeMap::new(),
        }
    }

    /// Notes that `section` has an entry called `name`.
    pub(super) fn note_entry(&mut self, section: &'static str, name: &str) {
        let names = self.order.entry(section).or_default();
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
}

impl Locations {
    pub(super) fn whole(place: Location) -> Self {
        Self {
            known: BTreeMap::new(),
            whole: Some(place),
        }
    }

    pub(super) fn set(&mut self, path: KeyPath, place: Location) {
        self.known.insert(path, place);
    }

    pub(super) fn find(&self, path: &KeyPath) -> Option<&Location> {
        self.known.get(path)
    }

    pub(super) fn get(&self, path: &KeyPath) -> Location {
        let mut longest = Some(path.clone());
        while let Some(path) = longest {
            if let Some(place) = self.known.get(&path) {
                return place.clone();
            }
            longest = path.parent();
        }
        self.whole.clone().unwrap_or(Location::Default)
    }
}

impl Origin {
    fn place(&self) -> Location {
        match self {
            Self::Default => Location::Default,
            Self::File(path) => Location::File(path.clone(), None),
            Self::Env => Location::Env("environment".into()),
            Self::Flags => Location::Flag("flags"),
        }
    }

    /// What figment calls it; two sources never have the same.
    pub(super) fn source(&self) -> Source {
        match self {
            Self::Default => Source::Custom("default".into()),
            Self::File(path) => Source::File(path.clone()),
            Self::Env => Source::Custom("environment".into()),
            Self::Flags => Source::Custom("flags".into()),
        }
    }
}

impl Provider for Fragment {
    fn metadata(&self) -> Metadata {
        Metadata::from("offloadd", self.origin.source())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}
