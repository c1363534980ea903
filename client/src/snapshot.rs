//! Everything the daemon knows at one moment.
//!
//! It is the JSON of `Describe()` and of `offloadd --once --json`, and what every subscriber
//! inside the daemon reads. All text in it is [`Printable`], whoever wrote it. Timestamps are microseconds: `CLOCK_REALTIME` unless the name says
//! monotonic (`CLOCK_MONOTONIC`), 0 for never, as systemd has them.

mod detail;
mod targets;

use serde::{Deserialize, Serialize};

pub use self::{
    detail::{Detail, Details},
    targets::Targets,
};
pub use crate::words::CauseKind;
use crate::{Kind, OverallState, Printable, Reason, Stage, TargetState, WarningCode};

/// The key of [`Target::details`] and [`Warning::details`] under which a machine's own words for
/// what went wrong stand: `Connection refused (os error 111)`.
pub const DETAIL_ERROR: &str = "error";

/// The version of this JSON. It grows only when a reader of the old one would misread the new.
pub const DESCRIBE_VERSION: u32 = 1;

/// Everything the daemon knows at one moment.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// [`DESCRIBE_VERSION`] of the daemon that wrote it.
    pub describe_version: u32,
    /// The daemon's own version.
    pub version: Printable,
    /// The verdict over all targets.
    pub state: OverallState,
    /// Why it is not ready; of several targets the worst one's.
    pub reason: Reason,
    /// The verdict over all builders.
    pub builder_state: OverallState,
    /// The verdict over all caches.
    pub cache_state: OverallState,
    /// When `state` last changed.
    pub state_change_timestamp: u64,
    /// The same, on the monotonic clock.
    pub state_change_timestamp_monotonic: u64,
    /// Caches and builders, in the order in which Nix would try them.
    pub targets: Targets,
    /// What differs or is broken without being a target's state, the heaviest first.
    pub warnings: Vec<Warning>,
    /// Where all caches are one substituter, `127.0.0.1:5001`; empty where Nix is not steered. Only in JSON, not on
    /// the bus.
    pub gateway: Printable,
    /// What this machine's own Nix builds. Only in JSON, not on the bus.
    pub here: Here,
    /// What to mend first; nothing where nothing is wrong, or nothing was judged yet.
    pub root_cause: Option<RootCause>,
}

/// What this machine's own Nix builds, as nix.conf has it.
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Laptop"))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Here {
    /// How many builds at once (`max-jobs`): where it is 0 all of them go to builders, or nowhere. `None` where that is not
    /// known.
    pub max_jobs: Option<u32>,
    /// The systems that it builds for; none where they are not known.
    pub systems: Vec<Printable>,
}

/// What to mend first, of all that is wrong.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootCause {
    /// Whose vocabulary `code` is from.
    pub kind: CauseKind,
    /// `address-mismatch`, `refused`, `away`.
    pub code: Printable,
    /// The target it is about: kind and name; nothing where it is about this machine.
    pub target: Option<(Kind, Printable)>,
    /// The targets that are not ready for it: kind and name.
    pub explains: Vec<(Kind, Printable)>,
}

/// One cache or builder.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    /// Its name; a cache and a builder with the same name are one host.
    pub name: Printable,
    /// What it is.
    pub kind: Kind,
    /// What Nix is configured with.
    pub uri: Printable,
    /// Where it answered last, or, before it ever did, where it was looked for: `192.0.2.6:5000`.
    pub address: Printable,
    /// The verdict.
    pub state: TargetState,
    /// Why it is not ready; for `unknown` the first sign of trouble, if any.
    pub reason: Reason,
    /// The stage at which `reason` arose; of a ready target, the last one that passed.
    pub stage: Stage,
    /// When `state` last changed.
    pub state_change_timestamp: u64,
    /// The same, on the monotonic clock.
    pub state_change_timestamp_monotonic: u64,
    /// When the last check ended.
    pub last_check_timestamp: u64,
    /// When a check last passed.
    pub last_success_timestamp: u64,
    /// When the next check is due; 0 when none is.
    pub next_check_timestamp: u64,
    /// How long the last passed check took.
    pub latency_usec: u64,
    /// Checks that failed in a row.
    pub consecutive_failures: u32,
    /// Whether its machine has been sent a magic packet and is given time to come up: for people, `waking`.
    pub waking: bool,
    /// How often Nix itself said otherwise than the checks: one of a cache that passed, a test build of a builder that
    /// passed or failed. Only in JSON, not on the bus.
    pub disagreements: u32,
    /// What only its kind has.
    pub facts: Facts,
    /// What else is worth knowing, by key: never needed to read the state.
    pub details: Details,
    /// Where else it may be, `192.0.2.9:22`, in the order in which that is tried; only in JSON, not on the bus.
    pub elsewhere: Vec<Printable>,
    /// What each layer says of it, side by side; only in JSON, not on the bus.
    pub layers: Vec<Comparison>,
}

/// One thing that several layers speak of, with what each says; nothing where it says nothing.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Comparison {
    /// What it is: `address`, `host-key`, `signing-key`, `user`.
    pub subject: Printable,
    /// offloadd's own configuration.
    pub declared: Option<Placed>,
    /// What stands in Nix's files.
    pub deployed: Option<Placed>,
    /// What the running nix-daemon has.
    pub loaded: Option<Placed>,
    /// What is really out there.
    pub observed: Option<Placed>,
}

/// A value, and where it is from.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Placed {
    /// The value: `192.0.2.6:5000`, `SHA256:…`.
    pub value: Printable,
    /// `/etc/nix/nix.conf:12`; empty of what was observed.
    pub source: Printable,
}

/// What only a cache or only a builder has. Empty and 0 where not known.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Facts {
    /// Of a cache.
    Cache(CacheFacts),
    /// Of a builder.
    Builder(BuilderFacts),
}

/// What a cache says of itself in `nix-cache-info`.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CacheFacts {
    /// The store directory it serves.
    pub store_dir: Printable,
    /// Whether Nix may ask it for many paths at once.
    pub want_mass_query: bool,
    /// Lower is asked first.
    pub priority: u32,
    /// The key that signs what it serves.
    pub signing_key: Printable,
}

/// What is configured and known of a builder.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuilderFacts {
    /// `ssh` or `ssh-ng`.
    pub protocol: Printable,
    /// The systems it builds for.
    pub systems: Vec<Printable>,
    /// The features it offers.
    pub features: Vec<Printable>,
    /// How many builds Nix hands it at once.
    pub max_jobs: u32,
    /// Nix prefers the faster of two.
    pub speed_factor: f64,
    /// The version of its Nix.
    pub nix_version: Printable,
    /// Whether its Nix trusts us: `yes`, `no` or `unknown`.
    pub trusted: Printable,
    /// The host key it proved, as `SHA256:…`.
    pub host_key_fingerprint: Printable,
}

/// A difference or fault that is no target's state.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Warning {
    /// What it is.
    pub code: WarningCode,
    /// The target it is about: kind and name; nothing where it is about this machine.
    pub target: Option<(Kind, Printable)>,
    /// The particulars: `file`, `line`, `expected`, `actual`, …
    pub details: Details,
}

/// One line of a target's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When.
    pub timestamp: u64,
    /// The state from then on.
    pub state: TargetState,
    /// Why.
    pub reason: Reason,
    /// How long the check took that led to it; 0 where none did.
    pub latency_usec: u64,
}

impl Default for Facts {
    fn default() -> Self {
        Self::Cache(CacheFacts::default())
    }
}

impl Snapshot {
    /// Finds a target by what a person types: `cache/desktop`, `builder/desktop`, or `desktop`
    /// where that names both.
    pub fn find<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Target> {
        let (kind, bare) = match name.split_once('/') {
            Some(("cache", bare)) => (Some(Kind::Cache), bare),
            Some(("builder", bare)) => (Some(Kind::Builder), bare),
            _ => (None, name),
        };
        self.targets.iter().filter(move |target| {
            target.name == bare && kind.is_none_or(|kind| kind == target.kind)
        })
    }

    /// Whether it differs from `old` in something that a signal tells.
    pub fn is_news_to(&self, old: &Self) -> bool {
        let Self {
            describe_version,
            version,
            state,
            reason,
            builder_state,
            cache_state,
            state_change_timestamp,
            state_change_timestamp_monotonic,
            targets,
            warnings,
            gateway,
            here,
            root_cause,
        } = self;
        let mut both = targets.iter().zip(&old.targets);
        (describe_version, version) != (&old.describe_version, &old.version)
            || (state, reason) != (&old.state, &old.reason)
            || (builder_state, cache_state) != (&old.builder_state, &old.cache_state)
            || *state_change_timestamp != old.state_change_timestamp
            || *state_change_timestamp_monotonic != old.state_change_timestamp_monotonic
            || targets.len() != old.targets.len()
            || both.any(|(new, old)| new.is_news_to(old))
            || (warnings, gateway) != (&old.warnings, &old.gateway)
            || (here, root_cause) != (&old.here, &old.root_cause)
    }

    /// Whether nothing is built while no builder takes it.
    pub fn is_built_elsewhere_alone(&self) -> bool {
        self.here.max_jobs == Some(0)
    }

    /// Whether at least one builder is ready: what `offload-ready.target` and the file
    /// `/run/offloadd/ready` stand for.
    pub fn has_ready_builder(&self) -> bool {
        let mut targets = self.targets.iter();
        targets.any(|target| target.kind == Kind::Builder && target.state.is_ready())
    }
}

impl Target {
    /// Its object path.
    pub fn path(&self) -> String {
        crate::names::target_path(self.kind, &self.name)
    }

    /// Whether it differs from `old` in something that a signal tells. No signal tells what every check
    /// changes: times, latency, failures, details.
    pub fn is_news_to(&self, old: &Self) -> bool {
        let Self {
            name,
            kind,
            uri,
            address,
            state,
            reason,
            stage,
            state_change_timestamp,
            state_change_timestamp_monotonic,
            last_check_timestamp: _,
            last_success_timestamp: _,
            next_check_timestamp: _,
            latency_usec: _,
            consecutive_failures: _,
            waking,
            disagreements: _,
            facts,
            details: _,
            elsewhere,
            layers,
        } = self;
        (name, kind, uri, address) != (&old.name, &old.kind, &old.uri, &old.address)
            || (state, reason, stage) != (&old.state, &old.reason, &old.stage)
            || *waking != old.waking
            || *state_change_timestamp != old.state_change_timestamp
            || *state_change_timestamp_monotonic != old.state_change_timestamp_monotonic
            || (facts, elsewhere, layers) != (&old.facts, &old.elsewhere, &old.layers)
    }

    /// Whether its own reason and details say all that `warning` says.
    pub fn tells(&self, warning: &Warning) -> bool {
        let is_of_it = match &warning.target {
            Some((kind, name)) => (*kind, name) == (self.kind, &self.name),
            None => true,
        };
        let mut particulars = warning.details.iter().filter(|(key, _)| **key != *"since");
        is_of_it
            && self.reason.hindrance() == Some(warning.code)
            && particulars.all(|(key, detail)| self.details.get(key) == Some(detail))
    }

    /// How it is, in one word for people: its state, or `waking`.
    pub fn word(&self) -> &'static str {
        if self.waking && !self.state.is_ready() {
            "waking"
        } else {
            self.state.as_str()
        }
    }

    /// How people name it: `cache/desktop`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }
}
