//! What keeps Nix from a target that offloadd could reach.

use offload_client::{Kind, snapshot::Warning};

use super::{Observed, Origin, compare};
use crate::target::TargetId;

/// Why Nix does not go to a target that passes its checks: of all differences that keep it away the one
/// that explains most, with its particulars. What is observed is taken to be so now.
pub fn hindrance(id: &TargetId, origin: &Origin, seen: &Observed) -> Option<Warning> {
    let observed = compare::hindrances(id, origin, seen);
    let all = origin.unused.iter().cloned().chain(observed);
    all.min_by_key(|warning| warning.code.hinders())
}

/// Why Nix uses no target of `kind`, of `warnings`, which are the plan's: the one that explains most.
pub fn of_kind<'a>(warnings: impl Iterator<Item = &'a Warning>, kind: Kind) -> Option<&'a Warning> {
    let hinder =
        |it: &&Warning| it.target.is_none() && it.code.hinders().is_some() && it.code.is_of(kind);
    let hindering = warnings.filter(hinder);
    hindering.min_by_key(|warning| warning.code.hinders())
}
