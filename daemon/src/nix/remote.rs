//! What another machine's Nix is configured to build: `nix config show --json` of new versions,
//! `nix show-config --json` of old ones.
//!
//! Source: `BaseSetting::toJSONObject` (src/libutil/include/nix/util/config-impl.hh), printed by
//! src/nix/config.cc; old versions have no `defaultValue`. What a machine then builds itself says
//! `DerivationBuildingGoal` (src/libstore/build/derivation-building-goal.cc; before it
//! `canBuildLocally` in src/libstore/{derivation-options,parsed-derivations}.cc): its system is
//! `system` or one of `extra-platforms`, each feature it asks for is one of `system-features`, and
//! `max-jobs` is not 0.

use std::fmt;

use offload_client::Printable;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, SeqAccess, Visitor},
};
use thiserror::Error;

/// How many words of one list are read: far more than any machine has.
const MAX_WORDS: usize = 256;
/// How long the setting `builders` may be, in bytes.
const MAX_BUILDERS: usize = 16 * 1024;

/// The features that are among the defaults only where *the user who asks* may open a device
/// (`getDefaultSystemFeatures`, src/libstore/globals.cc): nix-daemon, who builds, may.
const OF_A_DEVICE: [&str; 1] = ["kvm"];

/// What a machine's Nix builds, as the user who asks sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteConf {
    /// `system`, then `extra-platforms`.
    pub systems: Vec<Printable>,
    /// `system-features`.
    pub features: Vec<Printable>,
    /// Whether those are written down in full, and not Nix's defaults with or without additions.
    pub features_are_written: bool,
    /// Whether `max-jobs` is 0: it builds nothing itself.
    pub builds_nothing: bool,
    /// Who else may build what it is given.
    pub others: Others,
}

/// Who else may build what a machine is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Others {
    /// Nobody.
    None,
    /// Those in this machines file, if there are any; but see [`Self::Builders`].
    File(String),
    /// Builders of its own, to which it hands on what its own users build, and nothing that comes from another Nix: that
    /// sends the derivation without its file, and what has no file is not handed on (`tryBuildHook`,
    /// src/libstore/build/derivation-building-goal.cc; derivation-goal.cc before 2.30).
    Builders,
    /// Programs that build for it (`external-builders`).
    Programs,
}

/// What was promised and is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Systems it does not build for.
    pub systems: Vec<Printable>,
    /// Features it does not have.
    pub features: Vec<Printable>,
    /// Features that nix-daemon may have and this user does not see.
    pub in_doubt: Vec<Printable>,
}

/// Why the answer says nothing.
#[derive(Debug, Error)]
pub enum RemoteConfError {
    /// No JSON, or not of this shape.
    #[error("the configuration is not readable: {0}")]
    Json(#[from] serde_json::Error),
    /// A setting that all versions have is not there.
    #[error("the configuration has no '{0}'")]
    Lacks(&'static str),
}

impl RemoteConf {
    /// Reads the beginning of `bytes`; what comes after the object does not matter.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, RemoteConfError> {
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let raw = Raw::deserialize(&mut json)?;
        let system = raw.system.ok_or(RemoteConfError::Lacks("system"))?.value;
        let features = raw.features;
        let features = features.ok_or(RemoteConfError::Lacks("system-features"))?;
        let mut systems = vec![system];
        if let Some(extra) = raw.extra_platforms {
            systems.extend(extra.value.0);
        }
        let builders = raw.builders.map_or_else(String::new, |set| set.value.0);
        let is_set = |programs: Setting<Vec<IgnoredAny>>| !programs.value.is_empty();
        Ok(Self {
            systems,
            // `extra-system-features` adds to the defaults: who leaves one out has written them all.
            features_are_written: features.default.is_some_and(|default| {
                let mut default = default.0.iter();
                default.any(|feature| !features.value.0.contains(feature))
            }),
            features: features.value.0,
            builds_nothing: raw.max_jobs.is_some_and(|set| set.value == 0),
            others: if raw.external_builders.is_some_and(is_set) {
                Others::Programs
            } else {
                others(&builders)
            },
        })
    }

    /// What of these it does not build itself. `builtin` is a system of every machine.
    pub fn missing(&self, systems: &[Printable], features: &[Printable]) -> Missing {
        let builds = |system: &&Printable| {
            *system == "builtin" || self.is_for(system) && !self.builds_nothing
        };
        let mut missing = Missing {
            systems: systems.iter().filter(|s| !builds(s)).cloned().collect(),
            ..Missing::default()
        };
        for feature in features.iter().filter(|f| !self.features.contains(f)) {
            let is_seen = self.features_are_written || !OF_A_DEVICE.contains(&feature.as_str());
            if is_seen {
                missing.features.push(feature.clone());
            } else {
                missing.in_doubt.push(feature.clone());
            }
        }
        missing
    }

    fn is_for(&self, system: &str) -> bool {
        self.systems.iter().any(|own| own == system)
    }
}

/// `builders`: machines lines and `@file`s, between them newlines and `;`.
fn others(builders: &str) -> Others {
    let lines = builders.split(['\n', ';']).map(str::trim);
    let mut entries = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    match (entries.next(), entries.next()) {
        (None, _) => Others::None,
        (Some(entry), None) => match entry.strip_prefix('@') {
            Some(file) => Others::File(file.trim().to_owned()),
            None => Others::Builders,
        },
        (Some(_), Some(_)) => Others::Builders,
    }
}

/// The settings that count; all others are passed over without being kept.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Raw {
    system: Option<Setting<Printable>>,
    extra_platforms: Option<Setting<Words>>,
    #[serde(rename = "system-features")]
    features: Option<Setting<Words>>,
    builders: Option<Setting<Builders>>,
    max_jobs: Option<Setting<u64>>,
    external_builders: Option<Setting<Vec<IgnoredAny>>>,
}

#[derive(Deserialize)]
struct Setting<T> {
    value: T,
    #[serde(rename = "defaultValue")]
    default: Option<T>,
}

/// A text of at most [`MAX_BUILDERS`] bytes.
struct Builders(String);

/// A list of at most [`MAX_WORDS`] words.
struct Words(Vec<Printable>);

impl<'de> Deserialize<'de> for Builders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() <= MAX_BUILDERS {
            Ok(Self(text))
        } else {
            Err(D::Error::custom("a value is too long"))
        }
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of words")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Words, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = seq.next_element()? {
                    if words.len() == MAX_WORDS {
                        return Err(A::Error::custom("a list is too long"));
                    }
                    words.push(word);
                }
                Ok(Words(words))
            }
        }

        deserializer.deserialize_seq(Collect)
    }
}

#[cfg(test)]
mod tests;
