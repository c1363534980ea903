//! The snapshot's types as D-Bus values.

use std::collections::HashMap;

use offload_client::{
    Snapshot, names,
    snapshot::{Details, Warning},
    wire,
};
use zbus::{OwnedObjectPath, OwnedVariant};

use crate::target::TargetId;

/// `a{sv}`.
pub(super) type Dict = HashMap<String, OwnedVariant>;

/// Details as `a{sv}`.
pub(super) fn dict(details: &Details) -> Dict {
    details
        .iter()
        .filter_map(|(key, detail)| {
            Some((key.to_string(), wire::variant(detail).try_to_owned().ok()?))
        })
        .collect()
}

/// The Manager's `Warnings a(ssa{sv})`: code, object path or `""`, details.
pub(super) fn warnings(snapshot: &Snapshot) -> Vec<(String, String, Dict)> {
    let one = |warning: &Warning| {
        let path = warning.target.as_ref();
        let path = path.map_or_else(String::new, |(kind, name)| names::target_path(*kind, name));
        (warning.code.to_string(), path, dict(&warning.details))
    };
    snapshot.warnings.iter().map(one).collect()
}

/// The Manager's `RootCause (sss)`: whose vocabulary, code, object path or `""`; empty where nothing is wrong.
pub(super) fn root_cause(snapshot: &Snapshot) -> (String, String, String) {
    let Some(cause) = &snapshot.root_cause else {
        return Default::default();
    };
    let path = cause.target.as_ref();
    let path = path.map(|(kind, name)| names::target_path(*kind, name));
    (
        cause.kind.to_string(),
        cause.code.to_string(),
        path.unwrap_or_default(),
    )
}

/// The Manager's `Targets ao`.
pub(super) fn targets(snapshot: &Snapshot) -> Vec<OwnedObjectPath> {
    let paths = snapshot.targets.iter().map(|target| target.path());
    paths
        .filter_map(|path| OwnedObjectPath::try_from(path).ok())
        .collect()
}

/// The objects of `targets`.
pub(super) fn paths(targets: &[TargetId]) -> Vec<OwnedObjectPath> {
    let paths = targets.iter();
    paths
        .map(|target| names::target_path(target.kind, &target.name))
        .filter_map(|path| OwnedObjectPath::try_from(path).ok())
        .collect()
}
