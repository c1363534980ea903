//! What Nix decides by where a build goes, and which targets its builders are.

use std::{collections::BTreeMap, path::PathBuf};

use offload_client::{Kind, Printable, Reason};

use super::origins;
use crate::{
    config::Settings,
    nix::{Imported, Machine, NixVersion, build_hook::Here, current_load, uri},
    target::{SpecKind, TargetId, TargetSpec},
};

/// What Nix decides by where a build goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hook {
    /// Whether Nix's configuration is read at all.
    pub is_known: bool,
    /// The version of Nix that decides.
    pub version: NixVersion,
    /// What this machine's own Nix builds.
    pub here: Here,
    /// The list of builders, in Nix's order.
    pub lines: Vec<HookLine>,
    /// Why Nix uses none, where something is written down.
    pub unused: Reason,
}

/// A line of the list of builders.
#[derive(Clone, Debug, PartialEq)]
pub struct HookLine {
    /// What it says.
    pub machine: Machine,
    /// Its first field, as it may be shown.
    pub uri: Printable,
    /// Where it is written.
    pub source: Printable,
    /// The target that it is, where that is watched.
    pub target: Option<TargetId>,
    /// The beginnings of the paths of its slots ([`current_load::slots`]).
    pub slots: Vec<PathBuf>,
}

pub(super) fn of(
    settings: &Settings,
    imported: &Imported,
    targets: &[TargetSpec],
    unused: &BTreeMap<Kind, Reason>,
) -> Hook {
    if !settings.nix.import {
        return Hook::default();
    }
    let state = imported.conf.state_dir();
    let line = |machine: &Machine| HookLine {
        uri: uri::redacted(&machine.uri).into(),
        source: origins::source(&machine.file, machine.line).into(),
        target: target(machine, targets),
        slots: current_load::slots(state, &machine.uri),
        machine: machine.clone(),
    };
    Hook {
        is_known: true,
        version: imported.version,
        here: Here::of(&imported.conf, imported.version),
        lines: imported.machines.iter().map(line).collect(),
        unused: unused.get(&Kind::Builder).copied().unwrap_or_default(),
    }
}

fn target(machine: &Machine, targets: &[TargetSpec]) -> Option<TargetId> {
    let written = machine.to_string();
    let mut targets = targets.iter();
    let target = targets.find(|target| match &target.kind {
        SpecKind::Builder(builder) => {
            let mut lines = builder.dispatch.iter();
            lines.any(|line| line.is_nixs && line.line == written)
        }
        SpecKind::Cache(_) => false,
    });
    target.map(|target| target.id.clone())
}
