//! What is watched while nix-daemon goes by files in which something else stands by now.
//!
//! A target that nix-daemon uses is as nix-daemon has it, whatever the files say; one that only the files name waits for it to
//! read them. Each client of nix-daemon has read the files as they are, so that what is broken there keeps every one away.

use std::{mem, sync::Arc};

use offload_client::{Kind, Reason, WarningCode, snapshot::Warning};

use super::{Plan, make};
use crate::{
    config::Settings,
    drift::{self, Origin, Side},
    nix::{
        Imported,
        loaded::{Loaded, Read},
    },
    target::{SpecKind, TargetId, TargetSpec},
};

/// Makes the plan where nix-daemon is as `loaded` says. `written` is what the files say, and `read` what they said when
/// nix-daemon read them, where that is something else and known.
pub fn plan_beside(
    settings: &Settings,
    written: &Imported,
    read: Option<&Imported>,
    loaded: Loaded,
) -> Plan {
    let warning = |code| {
        let stale = loaded.stale.as_ref();
        stale.map(|stale| drift::outdated(code, &loaded, stale))
    };
    let unknown = warning(WarningCode::DaemonConfigUnknown);
    let unknown = unknown.filter(|_| loaded.read == Read::Unknown);
    let plan = make(settings, written, unknown);
    let plan = match (read, warning(WarningCode::DaemonConfigStale)) {
        (Some(read), Some(stale)) => beside(plan, make(settings, read, None), &stale),
        _ => plan,
    };
    Plan { loaded, ..plan }
}

fn beside(written: Plan, mut read: Plan, stale: &Warning) -> Plan {
    let mut plan = written;
    let planned: Vec<TargetId> = plan.targets.iter().map(|it| it.id.clone()).collect();
    for target in &mut plan.targets {
        let id = target.id.clone();
        let Some(origin) = plan.origins.get_mut(&id) else {
            continue;
        };
        if is_used(&read, &id) {
            let used = read.targets.iter().find(|used| used.id == id);
            let used = used.cloned().zip(read.origins.remove(&id));
            if let Some((used, now)) = used {
                let written = mem::replace(target, used);
                remember(target, written);
                *origin = in_force(now, origin.deployed.take());
            }
        } else if uses(origin) {
            origin.unused = Some(Warning {
                target: Some((id.kind, id.name)),
                ..stale.clone()
            });
        }
    }
    // The files don't name it any more.
    for target in mem::take(&mut read.targets) {
        let id = target.id.clone();
        if !planned.contains(&id)
            && is_used(&read, &id)
            && let Some(origin) = read.origins.remove(&id)
        {
            plan.origins.insert(id, in_force(origin, None));
            plan.targets.push(target);
        }
    }
    plan.targets
        .sort_by_key(|target| target.id.kind == Kind::Builder);
    let is_in_force = |warning: &Warning| {
        let is_same =
            |other: &Warning| (other.code, &other.target) == (warning.code, &warning.target);
        warning.code.hinders().is_none() || read.warnings.iter().any(is_same)
    };
    plan.warnings.retain(is_in_force);
    for kind in Kind::ALL {
        match (
            plan.unused.contains_key(kind),
            read.unused.contains_key(kind),
        ) {
            (true, false) => {
                plan.unused.remove(kind);
            }
            (false, true) => {
                plan.unused.insert(*kind, Reason::DaemonConfigStale);
            }
            (true, true) | (false, false) => {}
        }
    }
    let mut hook = Arc::unwrap_or_clone(read.hook);
    let unused = plan.unused.get(&Kind::Builder);
    hook.unused = unused.copied().unwrap_or_default();
    plan.hook = Arc::new(hook);
    plan
}

/// Whether Nix uses the target by this plan, as far as its configuration goes.
fn is_used(plan: &Plan, id: &TargetId) -> bool {
    plan.origins.get(id).is_some_and(uses)
}

fn uses(origin: &Origin) -> bool {
    origin.unused.is_none() && origin.missing.is_none()
}

/// The origin of a target that nix-daemon uses, beside what its files have of it now.
fn in_force(read: Origin, deployed: Option<Side>) -> Origin {
    let says = |side: &Option<Side>| {
        let side = side.clone()?;
        Some((side.addresses, side.keys, side.user))
    };
    let differs = says(&read.deployed) != says(&deployed);
    Origin {
        loaded: read.deployed.filter(|_| differs),
        deployed,
        ..read
    }
}

/// Keeps of a cache whom Nix will trust, where that is not whom nix-daemon trusts.
fn remember(target: &mut TargetSpec, written: TargetSpec) {
    if let (SpecKind::Cache(now), SpecKind::Cache(written)) = (&mut target.kind, written.kind) {
        let differs = now.public_keys != written.public_keys
            || now.has_own_keys != written.has_own_keys
            || now.require_sigs != written.require_sigs;
        now.unread = differs.then(|| Box::new(written));
    }
}
