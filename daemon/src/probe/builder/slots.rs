//! How many of the builder's slots this machine's Nix uses now.
//!
//! A full builder is no broken one: this is noted, and nothing is decided by it.

use super::Notes;
use crate::{nix::current_load, target::BuilderSpec};

/// The detail with the number of slots.
pub(crate) const DETAIL_SLOTS: &str = "slots";
/// The detail with the number of those in use.
pub(crate) const DETAIL_IN_USE: &str = "slots_in_use";

/// Notes both, where they can be read: never where `/proc/locks` is out of sight (see
/// [`current_load`] for what the unit has to leave open). A few system calls, no waiting.
pub(super) fn note(spec: &BuilderSpec, notes: &mut Notes) {
    if let Some((used, total)) = in_use(spec) {
        notes.note(DETAIL_SLOTS, u64::from(total));
        notes.note(DETAIL_IN_USE, u64::from(used));
    }
}

/// How many slots are in use, and how many there are; `None` where that is not known.
pub(crate) fn in_use(spec: &BuilderSpec) -> Option<(u32, u32)> {
    if spec.dispatch.is_empty() {
        return None;
    }
    let lines = spec.dispatch.iter();
    let lines = lines.map(|line| (line.slots.as_slice(), line.max_jobs));
    match current_load::in_use(lines) {
        Ok(counted) => Some(counted),
        Err(error) => {
            // It stays so until the unit is changed: nothing to tell at each check.
            tracing::trace!(%error, host = spec.host, "slots in use are not known");
            None
        }
    }
}
