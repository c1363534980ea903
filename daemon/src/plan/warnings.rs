//! What is said of what is broken, or is not watched.

use std::collections::BTreeMap;

use offload_client::{
    Kind, WarningCode,
    snapshot::{Detail, Warning},
};

use crate::nix::{self, Imported, LeftOut, Problem, Source, uri::UriError};

/// nix-daemon has variables that this account may not read.
pub(super) fn hidden_environment(imported: &Imported) -> Option<Warning> {
    let file = imported.environment.hidden()?;
    Some(problem(&Problem {
        source: Source::NotVisible,
        file: file.to_owned(),
        line: None,
        field: None,
        text: "nix-daemon has variables of its environment from it".to_owned(),
    }))
}

pub(super) fn too_many_builders(left_out: &LeftOut) -> Warning {
    let (uri, file, line) = &left_out.first;
    let mut details = BTreeMap::from([
        ("uri".into(), nix::uri::redacted(uri).into()),
        ("file".into(), file.display().to_string().into()),
        ("left_out".into(), left_out.count.into()),
    ]);
    if let Some(line) = line {
        details.insert("line".into(), u64::from(*line).into());
    }
    Warning {
        code: WarningCode::TooManyBuilders,
        target: None,
        details,
    }
}

pub(super) fn problem(problem: &Problem) -> Warning {
    let mut details = BTreeMap::new();
    details.insert("file".into(), problem.file.display().to_string().into());
    if let Some(line) = problem.line {
        details.insert("line".into(), u64::from(line).into());
    }
    if let Some(field) = problem.field {
        details.insert("field".into(), u64::from(field).into());
    }
    details.insert("error".into(), problem.text.as_str().into());
    Warning {
        code: match problem.source {
            Source::Conf => WarningCode::NixConfBroken,
            Source::Machines => WarningCode::MachinesFileBroken,
            Source::NotVisible => WarningCode::NotVisible,
        },
        target: None,
        details,
    }
}

pub(super) fn not_watchable<const N: usize>(
    kind: Kind,
    why: &Unwatchable,
    more: [(&str, Detail); N],
) -> Warning {
    let mut details = BTreeMap::from(more.map(|(key, value)| (key.into(), value)));
    details.insert("kind".into(), kind.as_str().into());
    details.insert("error".into(), why.text.as_str().into());
    if why.is_refused {
        details.insert("refused".into(), true.into());
    }
    Warning {
        code: WarningCode::NotWatchable,
        target: None,
        details,
    }
}

/// An entry that only enriches, and nothing to enrich.
pub(super) fn nothing_to_enrich(kind: Kind, name: &str) -> Warning {
    let why = "it has no URL, and nothing that Nix is configured with has its name or address";
    not_watchable(kind, &why.into(), [("name", name.into())])
}

/// Why something that is configured is not watched.
pub(super) struct Unwatchable {
    pub(super) text: String,
    /// Whether Nix itself can't go there: it is to be mended, and not only left out here.
    pub(super) is_refused: bool,
}

impl From<&str> for Unwatchable {
    fn from(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            is_refused: false,
        }
    }
}

impl From<UriError> for Unwatchable {
    fn from(error: UriError) -> Self {
        Self {
            text: error.to_string(),
            is_refused: matches!(error, UriError::Invalid(_)),
        }
    }
}
