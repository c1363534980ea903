//! The snapshot's types as D-Bus values.

use std::collections::HashMap;

use offload_client::{
    Snapshot, names,
    snapshot::{Target, Warning},
    wire,
};
use zbus::{OwnedObjectPath, OwnedVariant, Variant};

use crate::target::TargetId;

/// `a{sv}`.
pub(super) type Dict = HashMap<String, OwnedVariant>;

/// The Manager's `Warnings a(ssa{sv})`: code, object path or `""`, details.
pub(super) fn warnings(snapshot: &Snapshot) -> Vec<(&str, String, HashMap<String, Variant<'_>>)> {
    let warnings = snapshot.warnings.iter();
    let one = |warning: &'_ Warning| {
        let path = warning.target.as_ref();
        path.map_or_else(String::new, |(kind, name)| names::target_path(*kind, name))
    };
    warnings
        .map(|it| (it.code.as_str(), one(it), wire::variants(&it.details)))
        .collect()
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

/// Whether both have the same targets in the same order.
pub(super) fn are_same_objects(old: &Snapshot, new: &Snapshot) -> bool {
    let is_same = |(old, new): (&Target, &Target)| {
        std::ptr::eq(old, new) || (old.kind == new.kind && old.name == new.name)
    };
    old.targets.len() == new.targets.len() && old.targets.iter().zip(&new.targets).all(is_same)
}

/// The objects of `targets`.
pub(super) fn paths(targets: &[TargetId]) -> Vec<OwnedObjectPath> {
    let paths = targets.iter();
    paths
        .map(|target| names::target_path(target.kind, &target.name))
        .filter_map(|path| OwnedObjectPath::try_from(path).ok())
        .collect()
}
