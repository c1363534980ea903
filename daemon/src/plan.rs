//! What is watched: what Nix is configured with, enriched by offloadd's own configuration.
//!
//! An entry of the configuration belongs to what Nix names when both have the same URL, or when the
//! entry names its host or address; it then adds what it knows. An entry that differs from one thing
//! that Nix names in nothing but the host belongs to it too, if neither has another match. One that
//! belongs to nothing is watched beside them.

mod builders;
mod caches;
mod hook;
mod naming;
mod origins;
mod pairing;
mod unread;
mod warnings;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use offload_client::{Kind, Printable, Reason, WarningCode, snapshot::Warning};

use self::warnings::{
    Unwatchable, hidden_environment, not_watchable, nothing_to_enrich, problem, too_many_builders,
};
use crate::{
    config::{Builds, Discover, Settings, Wake},
    drift::{self, Origin},
    nix::{self, Imported, loaded::Loaded},
    target::{Address, SpecKind, TargetId, TargetSpec},
};

pub use hook::{Hook, HookLine};
pub use unread::plan_beside;

/// What to watch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Caches, then builders, each in Nix's order, those of the configuration alone last.
    pub targets: Vec<TargetSpec>,
    /// What is broken or can't be watched.
    pub warnings: Vec<Warning>,
    /// What is declared and deployed of each target.
    pub origins: BTreeMap<TargetId, Origin>,
    /// Why Nix uses nothing of a kind, where something is written down for it.
    pub unused: BTreeMap<Kind, Reason>,
    /// What Nix decides by where a build goes.
    pub hook: Arc<Hook>,
    /// What the running nix-daemon has.
    pub loaded: Loaded,
    /// Where it is asked; `None` where none runs that is known to be Nix's.
    pub nix_socket: Option<PathBuf>,
    /// How a target that is at none of its addresses is looked for.
    pub discover: Discover,
    /// Whether a desktop that sleeps is woken on demand.
    pub wake: Wake,
    /// Where all caches are one substituter: `127.0.0.1:5001`; empty where they are not.
    pub gateway: Printable,
    /// When builders prove themselves unasked, and by which Nix.
    pub proving: Proving,
    /// The files this came from, those that do not exist included: a change of one needs a new plan.
    pub files: Vec<PathBuf>,
}

/// When builders prove themselves unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proving {
    /// When they do.
    pub builds: Builds,
    /// The version of this machine's Nix.
    pub version: String,
}

impl Default for Proving {
    /// Never.
    fn default() -> Self {
        Self {
            builds: Builds::Never,
            version: String::new(),
        }
    }
}

/// Makes the plan.
pub fn plan(settings: &Settings, imported: &Imported) -> Plan {
    make(settings, imported, None)
}

/// Makes it where that is warned of as well.
fn make(settings: &Settings, imported: &Imported, more: Option<Warning>) -> Plan {
    let mut warnings: Vec<Warning> = imported.problems.iter().map(problem).collect();
    warnings.extend(more);
    let mut origins = BTreeMap::new();
    let builders = builders::plan(settings, imported, &mut warnings, &mut origins);
    let mut targets = caches::plan(settings, imported, &mut warnings, &mut origins);
    for cache in &mut targets {
        name_host(cache, &builders);
        if let SpecKind::Cache(spec) = &cache.kind
            && let Some(host) = &spec.host_builder
            && let Some(origin) = origins.get_mut(&cache.id)
        {
            origin.host = Some(TargetId::builder(host));
        }
    }
    targets.extend(builders);
    warnings.extend(builders_disabled(settings, imported));
    warnings.extend(ssh_missing(settings, imported, &targets));
    warnings.extend(of_settings(settings, imported, &targets));
    warnings.extend(hidden_environment(imported));
    warnings.extend(imported.left_out.as_ref().map(too_many_builders));
    warnings.extend(only_mandatory(imported, &targets, &origins));
    let unused = explain_unused(&warnings, imported, &mut origins);
    let hook = hook::of(settings, imported, &targets, &unused);
    Plan {
        hook: Arc::new(hook),
        targets,
        warnings,
        origins,
        unused,
        loaded: Loaded::default(),
        nix_socket: None,
        discover: settings.discover.clone(),
        wake: settings.wake,
        gateway: settings
            .steer
            .gateway
            .map(|at| at.to_string())
            .unwrap_or_default()
            .into(),
        // Nobody knows yet of a nix-daemon that would build.
        proving: Proving {
            builds: Builds::Never,
            version: imported.version.to_string(),
        },
        files: imported.files.clone(),
    }
}

/// Tells each target what keeps Nix from all of its kind, where that explains more than what keeps Nix
/// from it alone. Returns the reasons.
fn explain_unused(
    warnings: &[Warning],
    imported: &Imported,
    origins: &mut BTreeMap<TargetId, Origin>,
) -> BTreeMap<Kind, Reason> {
    // A file that is not there is none of Nix's.
    let is_nixs = |it: &&Warning| imported.has_conf || it.code != WarningCode::NixConfBroken;
    let of = |kind| {
        let warnings = warnings.iter().filter(is_nixs);
        Some((kind, drift::of_kind(warnings, kind)?))
    };
    let kinds: BTreeMap<Kind, &Warning> = [Kind::Cache, Kind::Builder]
        .into_iter()
        .filter_map(of)
        .collect();
    for (id, origin) in origins {
        let both = [origin.unused.take(), kinds.get(&id.kind).copied().cloned()];
        let both = both.into_iter().flatten();
        origin.unused = both.min_by_key(|warning| warning.code.hinders());
    }
    let reasons = kinds.into_iter();
    reasons
        .filter_map(|(kind, warning)| Some((kind, warning.code.hinders()?)))
        // Perhaps it uses all that is written down.
        .filter(|(_, reason)| *reason != Reason::DaemonConfigUnknown)
        .collect()
}

/// `builders` is empty, and somebody has written down builders all the same.
fn builders_disabled(settings: &Settings, imported: &Imported) -> Option<Warning> {
    let is_empty = imported.has_whole_conf() && imported.conf.builders.is_empty();
    if !settings.nix.import || !is_empty {
        return None;
    }
    let declared = settings.builders.iter().filter_map(|entry| {
        let uri = entry.uri.as_deref()?;
        Some(nix::uri::redacted(uri))
    });
    let mut expected: Vec<String> = declared.collect();
    for uri in &imported.unused_machines {
        if !expected.contains(uri) {
            expected.push(uri.clone());
        }
    }
    if expected.is_empty() {
        return None;
    }
    let (file, line) = &imported.conf.builders_at;
    let mut details = BTreeMap::from([
        ("expected".into(), expected.into()),
        ("actual".into(), "".into()),
        ("file".into(), file.display().to_string().into()),
    ]);
    if let Some(line) = line {
        details.insert("line".into(), u64::from(*line).into());
    }
    if !imported.unused_machines.is_empty() {
        let machines = settings.nix.conf.with_file_name("machines");
        let machines = machines.display().to_string();
        details.insert("machines".into(), machines.into());
    }
    Some(Warning {
        code: WarningCode::BuildersDisabled,
        target: None,
        details,
    })
}

/// Nix has builders, and no ssh to reach them by.
fn ssh_missing(
    settings: &Settings,
    imported: &Imported,
    targets: &[TargetSpec],
) -> Option<Warning> {
    let has_builders = targets.iter().any(|target| target.id.kind == Kind::Builder);
    let environment = &imported.environment;
    let is_missing = settings.nix.import && has_builders && !environment.has_ssh();
    is_missing.then(|| Warning {
        code: WarningCode::SshMissing,
        target: None,
        details: BTreeMap::from([("actual".into(), environment.path().into())]),
    })
}

/// Settings by which somebody else does what the targets are there for.
fn of_settings(
    settings: &Settings,
    imported: &Imported,
    targets: &[TargetSpec],
) -> impl Iterator<Item = Warning> {
    let has = |kind| targets.iter().any(|target| target.id.kind == kind);
    let (is_nixs, conf) = (settings.nix.import, &imported.conf);
    let store = conf.store_elsewhere.as_ref();
    let hook = conf.foreign_hook.as_ref();
    let store = store.filter(|_| is_nixs && !targets.is_empty());
    let hook = hook.filter(|_| is_nixs && has(Kind::Builder));
    let store = store.map(|set| (WarningCode::StoreElsewhere, set));
    let hook = hook.map(|set| (WarningCode::ForeignBuildHook, set));
    [store, hook]
        .into_iter()
        .flatten()
        .map(|(code, set)| Warning {
            code,
            target: None,
            details: BTreeMap::from([
                ("actual".into(), nix::uri::redacted(&set.value).into()),
                ("file".into(), set.file.display().to_string().into()),
                ("line".into(), u64::from(set.line).into()),
            ]),
        })
}

/// No builder takes a build that asks for no feature of its own.
fn only_mandatory(
    imported: &Imported,
    targets: &[TargetSpec],
    origins: &BTreeMap<TargetId, Origin>,
) -> Vec<Warning> {
    let is_used = |id: &TargetId| {
        origins
            .get(id)
            .is_some_and(|origin| origin.unused.is_none())
    };
    let builders = targets.iter().filter_map(|target| match &target.kind {
        SpecKind::Builder(spec) if !spec.store().is_empty() && is_used(&target.id) => {
            Some((target, &spec.mandatory_features))
        }
        SpecKind::Builder(_) | SpecKind::Cache(_) => None,
    });
    // One that is not watched takes them as well.
    let mut lines = imported.machines.iter();
    let takes_all = lines.any(|line| line.mandatory_features.is_empty() && line.max_jobs > 0);
    if takes_all || builders.clone().any(|(_, mandatory)| mandatory.is_empty()) {
        return Vec::new();
    }
    let warnings = builders.map(|(target, mandatory)| Warning {
        code: WarningCode::OnlyMandatory,
        target: Some((target.id.kind, target.id.name.clone())),
        details: BTreeMap::from([
            ("uri".into(), target.uri.clone().into()),
            ("actual".into(), mandatory.join(" ").into()),
        ]),
    });
    warnings.collect()
}

/// Finds the builder that is the same machine as `cache`, unless the configuration names it: one
/// with the same name, else one with a common address.
fn name_host(cache: &mut TargetSpec, builders: &[TargetSpec]) {
    let SpecKind::Cache(spec) = &mut cache.kind else {
        return;
    };
    if spec.host_builder.is_some() {
        return;
    }
    let same_name = |builder: &&TargetSpec| builder.id.name == cache.id.name;
    let same_host = |builder: &&TargetSpec| {
        let hosts = builder.addresses.iter();
        hosts.clone().any(|host| {
            let mut own = cache.addresses.iter();
            own.any(|address| address.host.eq_ignore_ascii_case(&host.host))
        })
    };
    let found = builders.iter().find(same_name);
    let found = found.or_else(|| builders.iter().find(same_host));
    spec.host_builder = found.map(|builder| builder.id.name.to_string());
}

/// The candidates of a target, best first: the configuration's order, and before it the host that Nix is
/// told to use, which is where Nix goes whatever others there are. Of what Nix is told nothing of, `own` is
/// the host that the entry would have it use, which may have its place in the order. `other` is the host of
/// the entry's own URL.
fn candidates(
    own: Address,
    is_nixs: bool,
    other: Option<Address>,
    listed: &[Address],
    port: u16,
) -> Vec<Address> {
    let is_same = |a: &Address, b: &Address| {
        a.host.eq_ignore_ascii_case(&b.host) && a.port.unwrap_or(port) == b.port.unwrap_or(port)
    };
    let mut found: Vec<Address> = Vec::new();
    let first = is_nixs.then(|| own.clone());
    let unlisted = [Some(own), other].into_iter().flatten();
    let unlisted = unlisted.filter(|address| !listed.iter().any(|listed| is_same(listed, address)));
    let all = first.into_iter().chain(unlisted);
    for address in all.chain(listed.iter().cloned()) {
        if !found.iter().any(|known| is_same(known, &address)) {
            found.push(address);
        }
    }
    found
}

/// Whether one of `addresses` is `host` on `port`.
fn names(addresses: &[Address], host: &str, port: u16) -> bool {
    addresses.iter().any(|address| {
        address.host.eq_ignore_ascii_case(host) && address.port.is_none_or(|named| named == port)
    })
}

#[cfg(test)]
mod tests;
