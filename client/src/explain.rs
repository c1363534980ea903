//! Where Nix would send a build, and why not elsewhere: the JSON of `Explain()`.

use serde::{Deserialize, Serialize};

use crate::{Printable, Reason, TargetState, words::words};

words! {
    /// What becomes of a build, as things are now.
    pub enum Fate {
        /// It is not known: the builder that Nix would try has no verdict.
        Unknown = "unknown",
        /// A builder takes it.
        Builder = "builder",
        /// This machine builds it.
        Here = "here",
        /// It waits for a slot.
        Waits = "waits",
        /// Nobody can build it: Nix fails.
        Nowhere = "nowhere",
    }
}

words! {
    /// What keeps a build from a machine.
    pub enum Obstacle {
        /// Something that this reader does not know.
        Other = "other",
        /// It does not build for that system.
        System = "system",
        /// It lacks features that the build asks for.
        Feature = "feature",
        /// It takes only builds that ask for certain features.
        MandatoryFeature = "mandatory-feature",
        /// It has no slot at all: `max-jobs = 0`, or field 4 of its line.
        NoSlots = "no-slots",
        /// Builds of this machine's Nix hold all of its slots.
        SlotsTaken = "slots-taken",
    }
}

/// A build that is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// What it is for: `x86_64-linux`; empty: what this machine's Nix is set to.
    pub system: String,
    /// The features it asks for.
    pub features: Vec<String>,
    /// Whether it asks to be built where it is asked for.
    pub prefer_local_build: bool,
}

/// Where a build would go.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Explanation {
    /// What the build is for: `x86_64-linux`.
    pub system: Printable,
    /// The features it asks for.
    pub features: Vec<Printable>,
    /// Whether it asks to be built where it is asked for.
    pub prefer_local_build: bool,
    /// What becomes of it.
    pub fate: Fate,
    /// Whose line of [`Self::builders`] that is, where it is a builder's or none is known to be reached; its place there.
    pub builder: Option<usize>,
    /// Why Nix has no builders at all, where that is so.
    pub reason: Reason,
    /// Nix's list of builders, in its own order.
    pub builders: Vec<Builder>,
    /// This machine.
    pub here: Here,
}

/// A line of Nix's list of builders.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Builder {
    /// The target's name; nothing where offloadd can't watch it.
    pub name: Option<Printable>,
    /// The line's first field.
    pub uri: Printable,
    /// The file, and the line there.
    pub source: Printable,
    /// Which Nix tries, from 1: the next where one can't be reached. Nothing where it tries it never.
    pub order: Option<u32>,
    /// What keeps the build from it.
    pub obstacles: Vec<Obstruction>,
    /// How it is.
    pub state: TargetState,
    /// Why it is not ready.
    pub reason: Reason,
    /// The systems it builds for.
    pub systems: Vec<Printable>,
    /// How many builds Nix hands it at once.
    pub max_jobs: u32,
    /// How many it has now; nothing where that can't be seen.
    pub slots_in_use: Option<u32>,
    /// Nix prefers the faster of two that are as free.
    pub speed_factor: f64,
}

/// What this machine's own Nix builds.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Here {
    /// The systems it builds for.
    pub systems: Vec<Printable>,
    /// The features it has.
    pub features: Vec<Printable>,
    /// How many builds at once; 0: none.
    pub max_jobs: u32,
    /// What keeps the build from it.
    pub obstacles: Vec<Obstruction>,
}

/// What keeps a build from a machine, and in what.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Obstruction {
    /// What it is.
    pub obstacle: Obstacle,
    /// The features that it is about.
    pub features: Vec<Printable>,
}
