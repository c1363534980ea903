//! How many of the builder's slots this machine's Nix uses now.
//!
//! A full builder is no broken one: this is noted, and nothing is decided by it.

use super::Notes;
use crate::{nix::current_load, target::BuilderSpec};

/// The detail with the number of slots.
const DETAIL_SLOTS: &str = "slots";
/// The detail with the number of those in use.
const DETAIL_IN_USE: &str = "slots_in_use";

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

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use offload_client::snapshot::Detail;
    use rustix::fs::{FlockOperation, flock};
    use tempfile::TempDir;

    use super::*;
    use crate::{
        config::Settings,
        nix::{Imported, Machine},
        plan,
        target::SpecKind,
    };

    /// What is planned for a machine with two slots whose Nix keeps its state in `state`.
    fn spec(state: &TempDir) -> BuilderSpec {
        let machine = Machine {
            uri: "ssh://desktop".into(),
            systems: vec!["x86_64-linux".into()],
            ssh_key: None,
            max_jobs: 2,
            speed_factor: 1.0,
            supported_features: Vec::new(),
            mandatory_features: Vec::new(),
            host_key: None,
            file: "/etc/nix/machines".into(),
            line: Some(1),
        };
        let mut imported = Imported {
            machines: vec![machine],
            ..Imported::default()
        };
        imported.conf.substituters.clear();
        imported.conf.state_dir = Some(state.path().to_owned());
        let mut targets = plan::plan(&Settings::default(), &imported).targets;
        match targets.pop().unwrap().kind {
            SpecKind::Builder(spec) => spec,
            SpecKind::Cache(_) => panic!("a builder was planned"),
        }
    }

    #[test]
    fn slots_of_a_planned_builder_are_noted_as_they_are_taken() {
        let state = TempDir::new().unwrap();
        let spec = spec(&state);
        assert_eq!(in_use(&spec), Some((0, 2)));
        let load = state.path().join("current-load");
        fs::create_dir(&load).unwrap();
        let slot = File::create(load.join("ssh:__desktop-1")).unwrap();
        flock(&slot, FlockOperation::NonBlockingLockExclusive).unwrap();
        let mut notes = Notes::default();
        note(&spec, &mut notes);
        assert_eq!(notes.details[DETAIL_SLOTS], Detail::from(2u64));
        assert_eq!(notes.details[DETAIL_IN_USE], Detail::from(1u64));
    }

    #[test]
    fn nothing_is_noted_of_a_builder_without_a_line() {
        let state = TempDir::new().unwrap();
        let spec = BuilderSpec {
            dispatch: Vec::new(),
            ..spec(&state)
        };
        let mut notes = Notes::default();
        note(&spec, &mut notes);
        assert!(notes.details.is_empty());
    }
}
