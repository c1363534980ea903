//! Merged inputs: all fragments one over the other, of the right types, not yet believed.

use std::collections::BTreeMap;

use figment::{
    Figment,
    value::{Dict, Value},
};
use serde::{Deserialize, Serialize};

use super::{
    BuilderEntry, CacheEntry, Connection, Discover, NixImport, Poll, Settings,
    error::Place,
    raw::{Fragment, KeyPath, Origin},
    values::{duration, host_key},
};

/// All keys, as texts and numbers.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Inputs {
    pub(super) poll: PollInput,
    pub(super) nix: NixInput,
    pub(super) discover: DiscoverInput,
    pub(super) cache: BTreeMap<String, CacheInput>,
    pub(super) builder: BTreeMap<String, BuilderInput>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PollInput {
    pub(super) interval: String,
    pub(super) fast_interval: String,
    pub(super) down_max_interval: String,
    pub(super) fall: u32,
    pub(super) rise: u32,
    pub(super) timeout: String,
    pub(super) deep_timeout: String,
    pub(super) deep_interval: String,
    pub(super) connection: String,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NixInput {
    pub(super) import: bool,
    pub(super) conf: String,
    pub(super) exclude: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DiscoverInput {
    pub(super) mdns: bool,
    pub(super) sweep: Vec<String>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CacheInput {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) addresses: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) public_keys: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sample: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<String>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BuilderInput {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uri: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) addresses: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ssh_key: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) host_key: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) systems: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) features: Vec<String>,
}

/// The inputs, and where each came from.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) inputs: Inputs,
    pub(super) origins: Origins,
    /// The names of the entries in the order in which they were first met, by section.
    pub(super) order: BTreeMap<&'static str, Vec<String>>,
}

/// Where the value that holds came from.
#[derive(Debug, Default)]
pub(super) struct Origins(BTreeMap<KeyPath, Place>);

/// Merges `fragments`, the later over the earlier.
pub(super) fn merge(fragments: &[Fragment]) -> Result<Merged, Box<figment::Error>> {
    let figment = fragments
        .iter()
        .fold(Figment::new(), |figment, fragment| figment.merge(fragment));
    let inputs = figment.extract()?;
    let mut origins = Origins::default();
    if let Value::Dict(_, root) = figment.find_value("")? {
        origins.note(&root, &KeyPath::default(), &|value, path| {
            let source = figment.get_metadata(value.tag())?.source.clone()?;
            let fragment = fragments
                .iter()
                .find(|fragment| fragment.origin.source() == source)?;
            Some(fragment.places.get(path))
        });
    }
    let mut order: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for fragment in fragments {
        for (&section, names) in &fragment.order {
            let known = order.entry(section).or_default();
            for name in names
                .iter()
                .filter(|name| !known.contains(name))
                .collect::<Vec<_>>()
            {
                // An entry is from where it was first named, whoever adds to it later.
                let path = KeyPath::of(&[section, name]);
                let place = fragment.places.get(&path);
                origins.0.insert(path, place);
                known.push(name.clone());
            }
        }
    }
    Ok(Merged {
        inputs,
        origins,
        order,
    })
}

/// The built-in values as a fragment.
pub(super) fn defaults() -> Result<Fragment, Box<figment::Error>> {
    let mut fragment = Fragment::new(Origin::Default);
    let inputs = Inputs::from(&Settings::default());
    if let Value::Dict(_, values) = Value::serialize(inputs)? {
        fragment.values = values;
    }
    Ok(fragment)
}

impl Origins {
    fn note(
        &mut self,
        table: &Dict,
        path: &KeyPath,
        place: &impl Fn(&Value, &KeyPath) -> Option<Place>,
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
    pub(super) fn get(&self, path: &KeyPath) -> Place {
        self.0.get(path).cloned().unwrap_or(Place::Default)
    }
}

impl From<&Settings> for Inputs {
    fn from(settings: &Settings) -> Self {
        let caches = settings.caches.iter();
        let builders = settings.builders.iter();
        Self {
            poll: (&settings.poll).into(),
            nix: (&settings.nix).into(),
            discover: (&settings.discover).into(),
            cache: caches
                .map(|entry| (entry.name.clone(), entry.into()))
                .collect(),
            builder: builders
                .map(|entry| (entry.name.clone(), entry.into()))
                .collect(),
        }
    }
}

impl From<&Poll> for PollInput {
    fn from(poll: &Poll) -> Self {
        Self {
            interval: duration::show(poll.interval),
            fast_interval: duration::show(poll.fast_interval),
            down_max_interval: duration::show(poll.down_max_interval),
            fall: poll.fall,
            rise: poll.rise,
            timeout: duration::show(poll.timeout),
            deep_timeout: duration::show(poll.deep_timeout),
            deep_interval: duration::show(poll.deep_interval),
            connection: match poll.connection {
                Connection::Keep => "keep".into(),
                Connection::PerCheck => "per-check".into(),
            },
        }
    }
}

impl From<&NixImport> for NixInput {
    fn from(nix: &NixImport) -> Self {
        Self {
            import: nix.import,
            conf: nix.conf.to_string_lossy().into_owned(),
            exclude: nix.exclude.clone(),
        }
    }
}

impl From<&Discover> for DiscoverInput {
    fn from(discover: &Discover) -> Self {
        Self {
            mdns: discover.mdns,
            sweep: discover.sweep.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<&CacheEntry> for CacheInput {
    fn from(entry: &CacheEntry) -> Self {
        Self {
            url: entry.url.clone(),
            addresses: entry.addresses.iter().map(ToString::to_string).collect(),
            public_keys: entry.public_keys.clone(),
            sample: entry.sample.clone(),
            host: entry.host.clone(),
        }
    }
}

impl From<&BuilderEntry> for BuilderInput {
    fn from(entry: &BuilderEntry) -> Self {
        let ssh_key = entry.ssh_key.as_ref();
        Self {
            uri: entry.uri.clone(),
            addresses: entry.addresses.iter().map(ToString::to_string).collect(),
            ssh_key: ssh_key.map(|path| path.to_string_lossy().into_owned()),
            host_key: entry.host_keys.iter().filter_map(host_key::show).collect(),
            systems: entry.systems.clone(),
            features: entry.features.clone(),
        }
    }
}
