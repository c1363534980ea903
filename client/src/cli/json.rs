//! What `--json` writes. A target has one shape everywhere: the daemon's own, and beside it the words that a person is
//! shown. Each document has a version, which grows only when a reader of the old one would misread the new.
//!
//! `docs/offloadctl.schema.json` is made of these types, and held to what the commands really write.

#[cfg(test)]
mod schema;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{args::Cli, failure::Failure};
use crate::{
    JobState, Kind, Printable, Reason, Snapshot, TargetState, Words,
    language::tr,
    snapshot::{Target, Warning},
};

/// The version of each document of this program's own.
pub(super) const VERSION: u32 = 1;

/// A target, as everywhere.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Told {
    #[serde(flatten)]
    target: Target,
    words: Option<Words>,
}

/// `discover`: beside what `status` writes.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Discovery {
    #[serde(flatten)]
    pub(super) document: Document,
    /// The targets that were found.
    pub(super) found: Vec<Told>,
}

/// The daemon's own, as it came.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Document(pub(super) Value);

/// `history`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct History {
    pub(super) history_version: u32,
    pub(super) targets: Vec<Past>,
}

/// What a target was.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Past {
    /// How it is now.
    pub(super) target: Told,
    /// The newest first.
    pub(super) entries: Vec<Entry>,
}

/// How a target was from some time on.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Entry {
    /// From when on, in microseconds of `CLOCK_REALTIME`.
    pub(super) timestamp: u64,
    /// The state from then on.
    pub(super) state: TargetState,
    /// Why.
    pub(super) reason: Reason,
    /// How long the check took that led to it; 0 where none did.
    pub(super) latency_usec: u64,
    /// The reason in a few words; nothing where there was none.
    pub(super) title: String,
}

/// `test-build`: one line for each builder.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Built {
    pub(super) test_build_version: u32,
    /// The builder, as it is after that.
    pub(super) target: Told,
    /// Its name.
    pub(super) builder: Printable,
    /// How it ended.
    pub(super) state: JobState,
    /// Why not well.
    pub(super) reason: Reason,
    /// The same for people; null where it ended well.
    pub(super) words: Option<Words>,
    /// Where it was built, as that machine calls itself; empty where that is not known.
    pub(super) place: Printable,
    /// Nix's own words; empty where there are none.
    pub(super) error: Printable,
    pub(super) start_timestamp: u64,
    pub(super) finish_timestamp: u64,
    pub(super) duration_usec: u64,
    /// Nix's log, line by line.
    pub(super) output: Vec<Printable>,
}

/// `forget-misses`: one line for each cache.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Forgotten {
    pub(super) forget_misses_version: u32,
    pub(super) target: Told,
    /// Its name.
    pub(super) cache: Printable,
    /// How many paths Nix asks it for again.
    pub(super) forgotten: u64,
}

/// `wake`: one line for each target.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Woken {
    pub(super) wake_version: u32,
    pub(super) target: Told,
    pub(super) kind: Kind,
    pub(super) name: Printable,
    /// `awake`, or `waking`: a magic packet was sent.
    pub(super) outcome: Printable,
}

/// What any command writes that could not do what it should.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Failed {
    error_version: u32,
    error: FailedError,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FailedError {
    /// The exit status in a word: `no-daemon`, `usage`, `not-ready`.
    code: &'static str,
    /// The exit status.
    exit_status: u8,
    /// What went wrong, as it stands on standard error.
    message: String,
}

/// `explain` of a build: the daemon's answer, and a version.
#[cfg(test)]
#[derive(Serialize, schemars::JsonSchema)]
struct Build {
    explain_version: u32,
    #[serde(flatten)]
    explanation: crate::explain::Explanation,
}

/// `doctor`.
#[cfg(test)]
#[derive(Serialize, schemars::JsonSchema)]
struct Diagnosis {
    doctor_version: u32,
    /// `daemon`, or `once`: by `offloadd --once`, because no daemon answers.
    source: String,
    /// Which program that was.
    program: Option<String>,
    root_cause: Option<crate::Cause>,
    snapshot: Snapshot,
    /// Where a wrong address was looked for; null where none was.
    config_dir: Option<String>,
    /// What it has at another address than Nix, where nothing else tells of it.
    unlike: Vec<crate::page::doctor::Unlike>,
    /// Whether a file that has one was changed after the last switch.
    edited: bool,
    /// Where it stands.
    findings: Vec<crate::page::doctor::Finding>,
    /// What could not be searched, and why.
    not_searched: Vec<Printable>,
    /// For `patch -p1`; empty for none.
    patch: String,
}

/// A line of it.
pub(super) fn line(document: &impl Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string(document);
    json.map(|json| json + "\n")
        .map_err(|error| Failure::Nonsense(error.to_string()))
}

/// Nothing where the one who asks knows it, or reads no more.
pub(super) fn of_failure(failure: &Failure, cli: &Cli) -> Option<Failed> {
    match failure {
        Failure::Output(_) => None,
        failure => Some(failed(failure.code(), failure.sentence(cli)?)),
    }
}

/// A command line that makes no sense; `rendered` is what clap says.
pub(super) fn of_usage(rendered: &str, code: u8) -> Failed {
    // The first line of it says what is wrong, those behind it how it would be right.
    let first = rendered.lines().next().unwrap_or_default();
    let first = first.strip_prefix(tr("error: ")).unwrap_or(first);
    failed(code, Printable::from(first).to_string())
}

fn failed(exit_status: u8, message: String) -> Failed {
    let code = match exit_status {
        3 => "not-ready",
        4 => "no-daemon",
        64 => "usage",
        69 => "unavailable",
        71 => "os-error",
        74 => "io-error",
        75 => "try-again",
        77 => "not-allowed",
        130 => "interrupted",
        _ => "internal",
    };
    Failed {
        error_version: VERSION,
        error: FailedError {
            code,
            exit_status,
            message,
        },
    }
}

impl From<&Target> for Told {
    fn from(target: &Target) -> Self {
        Self {
            target: target.clone(),
            words: target.words(),
        }
    }
}

/// Adds what a person is shown to each target, each warning and the root cause of the daemon's document.
pub(super) fn with_words(mut document: Value) -> Value {
    let snapshot = Snapshot::deserialize(&document).ok();
    let words = snapshot.and_then(|it| it.cause()).map(|cause| Words {
        title: cause.title,
        explanation: cause.explanation,
        remedy: cause.remedy,
    });
    if let Some(cause) = document.get_mut("root_cause") {
        add(cause, words);
    }
    for target in entries(&mut document, "targets") {
        let words = Target::deserialize(&*target).ok();
        add(target, words.as_ref().and_then(Target::words));
    }
    for warning in entries(&mut document, "warnings") {
        let words = Warning::deserialize(&*warning).ok();
        add(warning, words.as_ref().map(Warning::words));
    }
    document
}

/// The same of the daemon's answer to where a build would go.
pub(super) fn explained(mut document: Value) -> Value {
    for builder in entries(&mut document, "builders") {
        let of = |key: &str| builder.get(key).and_then(Value::as_str).unwrap_or_default();
        let told = Target {
            kind: Kind::Builder,
            state: TargetState::from_word(of("state")),
            reason: Reason::from_word(of("reason")),
            ..Target::default()
        };
        add(builder, told.words());
    }
    if let Some(object) = document.as_object_mut() {
        object.insert("explain_version".to_owned(), VERSION.into());
    }
    document
}

fn entries<'a>(document: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    let list = document.get_mut(key).and_then(Value::as_array_mut);
    list.into_iter().flatten()
}

fn add(place: &mut Value, words: Option<Words>) {
    if let (Some(object), Ok(words)) = (place.as_object_mut(), serde_json::to_value(words)) {
        object.insert("words".to_owned(), words);
    }
}
