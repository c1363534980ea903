//! Machines and `[[builder]]` entries.

mod host_keys;
mod origin;
mod spec;
mod unused;

use std::{collections::BTreeMap, path::PathBuf};

use offload_client::{Kind, snapshot::Warning};
use russh::keys::PublicKey;

use super::{
    Unwatchable, names, naming, naming::Wanted, not_watchable, nothing_to_enrich, origins, pairing,
};
use crate::{
    config::{BuilderEntry, Settings},
    drift::{Origin, Steering},
    nix::{
        Imported, Machine, NixConf, keys, known_hosts,
        uri::{self, SshUri, StoreUri},
    },
    target::{Dispatch, TargetId, TargetSpec},
};

const DEFAULT_PORT: u16 = 22;

/// A builder on its way to becoming a target.
struct PlannedBuilder<'a> {
    text: String,
    uri: SshUri,
    ssh_key: Option<PathBuf>,
    /// What Nix writes into a known_hosts file of its own.
    written: Option<String>,
    systems: Vec<String>,
    features: Vec<String>,
    mandatory_features: Vec<String>,
    max_jobs: u32,
    speed_factor: f64,
    dispatch: Vec<Dispatch>,
    entry: Option<&'a BuilderEntry>,
    /// Where Nix's files name it.
    place: Option<String>,
    /// Why Nix makes no use of lines of it.
    unused: Vec<Warning>,
    /// Whether Nix makes use of a line of it.
    is_used: bool,
}

pub(super) fn plan(
    settings: &Settings,
    imported: &Imported,
    warnings: &mut Vec<Warning>,
    origins: &mut BTreeMap<TargetId, Origin>,
) -> Vec<TargetSpec> {
    let mut found: Vec<PlannedBuilder<'_>> = Vec::new();
    let machines = imported.machines.iter().filter(|_| settings.nix.import);
    for machine in machines {
        let Some(mut builder) = of_machine(machine, &imported.conf, warnings) else {
            continue;
        };
        let read_otherwise = unused::read_otherwise(machine, &builder.uri, imported.version);
        let unused = [unused::without_slots(machine), read_otherwise];
        builder.unused.extend(unused.into_iter().flatten());
        builder.is_used = builder.unused.is_empty();
        match found
            .iter_mut()
            .find(|known| is_same(&known.uri, &builder.uri))
        {
            Some(known) => {
                warnings.extend(unused::two_keys(known, &builder));
                known.join(builder);
            }
            None => found.push(builder),
        }
    }
    let entries: Vec<_> = settings.builders.iter().map(|e| (e, own_uri(e))).collect();
    for builder in &mut found {
        builder.entry = entry_of(&entries, &builder.uri);
    }
    pairing::pair(&settings.builders, &mut found, own_uri, differs_in_host);
    for entry in &settings.builders {
        let is_used = |known: &PlannedBuilder<'_>| known.entry == Some(entry);
        if found.iter().any(is_used) {
            continue;
        }
        let Some(text) = &entry.uri else {
            warnings.push(nothing_to_enrich(Kind::Builder, &entry.name));
            continue;
        };
        let text = uri::complete_machine(text);
        let read = parse(&text).and_then(|uri| Ok((written(None, &uri)?, uri)));
        match read {
            Ok((written, uri)) => {
                found.push(of_entry(entry, text, uri, written, &imported.conf));
            }
            Err(why) => {
                let shown = ("uri", uri::redacted(&text).into());
                let name = ("name", entry.name.as_str().into());
                warnings.push(not_watchable(Kind::Builder, &why, [shown, name]));
            }
        }
    }
    let wanted: Vec<Wanted<'_>> = found
        .iter()
        .map(|builder| Wanted {
            entry: builder.entry.map(|entry| entry.name.as_str()),
            host: &builder.uri.host,
        })
        .collect();
    let names = naming::names(&wanted);
    let may_lack = settings.nix.import && imported.has_all_builders();
    let has_nix = settings.nix.import && imported.has_conf;
    let targets = names.iter().zip(found);
    targets
        .map(|(name, builder)| {
            let mut origin = Origin {
                steering: match settings.steer.gateway {
                    Some(_) => Steering::Wanted("offloadctl connect".into()),
                    None => Steering::Off,
                },
                ..origin::of(&builder)
            };
            let (unused, is_used) = (builder.unused.clone(), builder.is_used);
            let target = spec::of(name, builder, imported, warnings);
            if has_nix {
                origin.known_hosts = origin::known_hosts_line(&target);
            }
            let unused = unused.into_iter().map(|warning| Warning {
                target: Some((target.id.kind, target.id.name.clone())),
                ..warning
            });
            let unused: Vec<Warning> = unused.collect();
            if !is_used {
                let unused = unused.iter().cloned();
                origin.unused = unused.min_by_key(|warning| warning.code.hinders());
            }
            warnings.extend(unused);
            if may_lack && origin.deployed.is_none() {
                origin.missing = origin::machines_line(&target);
            }
            origins.insert(target.id.clone(), origin);
            target
        })
        .collect()
}

/// Whether an entry differs from a builder of Nix in nothing but the host, or in naming no user. Two
/// host keys that differ are of two machines.
fn differs_in_host(entry: &BuilderEntry, own: &SshUri, builder: &PlannedBuilder<'_>) -> bool {
    let same_user = own.user.is_none() || own.user == builder.uri.user;
    let nix = builder.nix_keys();
    let contradicts = !nix.is_empty()
        && !entry.host_keys.is_empty()
        && !entry.host_keys.iter().any(|key| nix.contains(key));
    same_user && is_same_but_for_login(own, &builder.uri) && !contradicts
}

fn parse(text: &str) -> Result<SshUri, Unwatchable> {
    match uri::parse(text)? {
        StoreUri::Ssh(ssh) => Ok(ssh),
        StoreUri::Cache(_) => Err("a binary cache does not build".into()),
    }
}

fn of_machine(
    machine: &Machine,
    conf: &NixConf,
    warnings: &mut Vec<Warning>,
) -> Option<PlannedBuilder<'static>> {
    let read =
        parse(&machine.uri).and_then(|uri| Ok((written(machine.host_key.as_deref(), &uri)?, uri)));
    match read {
        Ok((written, uri)) => Some(PlannedBuilder {
            text: uri::redacted(&machine.uri),
            ssh_key: machine
                .ssh_key
                .clone()
                .or_else(|| uri.params.get("ssh-key").map(PathBuf::from)),
            written,
            uri,
            systems: machine.systems.clone(),
            features: union(&machine.supported_features, &machine.mandatory_features),
            mandatory_features: machine.mandatory_features.clone(),
            max_jobs: machine.max_jobs,
            speed_factor: machine.speed_factor,
            dispatch: vec![Dispatch::new(machine, conf, true)],
            entry: None,
            place: Some(origins::source(&machine.file, machine.line)),
            unused: Vec::new(),
            is_used: true,
        }),
        Err(why) => {
            let line = machine.line.map_or(0, u64::from);
            let details = [
                ("uri", uri::redacted(&machine.uri).into()),
                ("file", machine.file.display().to_string().into()),
                ("line", line.into()),
            ];
            warnings.push(not_watchable(Kind::Builder, &why, details));
            None
        }
    }
}

/// The known_hosts line that Nix writes for field 8, or for the URL's own parameter. Whatever it
/// says, Nix's ssh reads it and goes on.
fn written(field: Option<&str>, uri: &SshUri) -> Result<Option<String>, Unwatchable> {
    let text = match (field, uri.params.get("base64-ssh-public-host-key")) {
        (Some(text), _) => text.to_owned(),
        (None, Some(encoded)) => {
            let bytes = keys::decode_base64(encoded)
                .map_err(|_| Unwatchable::from("the public host key is not base64"))?;
            String::from_utf8_lossy(&bytes).into_owned()
        }
        (None, None) => return Ok(None),
    };
    Ok(Some(format!("{} {text}\n", uri.host)))
}

fn of_entry<'a>(
    entry: &'a BuilderEntry,
    text: String,
    uri: SshUri,
    written: Option<String>,
    conf: &NixConf,
) -> PlannedBuilder<'a> {
    let ssh_key = uri.params.get("ssh-key").map(PathBuf::from);
    let systems = match entry.systems.as_slice() {
        [] => vec![conf.system.clone()],
        own => own.to_vec(),
    };
    // Nix does not know it: this is what it would be told.
    let machine = Machine {
        uri: text.clone(),
        systems: systems.clone(),
        ssh_key: entry.ssh_key.clone(),
        max_jobs: 1,
        speed_factor: 1.0,
        supported_features: entry.features.clone(),
        mandatory_features: Vec::new(),
        host_key: entry
            .host_keys
            .first()
            .and_then(|key| key.to_openssh().ok()),
        file: PathBuf::new(),
        line: None,
    };
    PlannedBuilder {
        text: uri::redacted(&text),
        ssh_key,
        uri,
        written,
        systems,
        features: Vec::new(),
        mandatory_features: Vec::new(),
        max_jobs: 1,
        speed_factor: 1.0,
        dispatch: vec![Dispatch::new(&machine, conf, false)],
        entry: Some(entry),
        place: None,
        unused: Vec::new(),
        is_used: true,
    }
}

impl<'a> pairing::Item<'a> for PlannedBuilder<'a> {
    type Entry = BuilderEntry;

    fn entry(&mut self) -> &mut Option<&'a BuilderEntry> {
        &mut self.entry
    }
}

impl PlannedBuilder<'_> {
    /// The host keys that Nix's own files have for it.
    fn nix_keys(&self) -> Vec<PublicKey> {
        let Some(text) = &self.written else {
            return Vec::new();
        };
        let texts = [text.as_str()].into_iter();
        known_hosts::lookup_in(texts, &self.uri.host, None)
            .named
            .keys
    }

    /// Takes in another line of the same builder: Nix may use either.
    fn join(&mut self, other: Self) {
        self.systems = union(&self.systems, &other.systems);
        self.features = union(&self.features, &other.features);
        self.mandatory_features
            .retain(|feature| other.mandatory_features.contains(feature));
        self.max_jobs = self.max_jobs.saturating_add(other.max_jobs);
        self.dispatch.extend(other.dispatch);
        self.ssh_key = self.ssh_key.take().or(other.ssh_key);
        self.written = self.written.take().or(other.written);
        self.unused.extend(other.unused);
        self.is_used |= other.is_used;
    }
}

fn is_same(a: &SshUri, b: &SshUri) -> bool {
    a.host.eq_ignore_ascii_case(&b.host) && a.user == b.user && is_same_but_for_login(a, b)
}

fn is_same_but_for_login(a: &SshUri, b: &SshUri) -> bool {
    let port = |uri: &SshUri| uri.port.unwrap_or(DEFAULT_PORT);
    a.protocol == b.protocol && port(a) == port(b)
}

/// The entry with the same URI, else the one that names the host, if its own URI, where it has one,
/// differs in nothing but the host or in naming no user.
fn entry_of<'a>(
    entries: &[(&'a BuilderEntry, Option<SshUri>)],
    builder: &SshUri,
) -> Option<&'a BuilderEntry> {
    let by_uri = entries
        .iter()
        .find(|(_, own)| own.as_ref().is_some_and(|own| is_same(own, builder)));
    let found = by_uri.or_else(|| {
        entries.iter().find(|(entry, own)| {
            let fits = match own {
                Some(own) => {
                    let same_user = own.user.is_none() || own.user == builder.user;
                    same_user && is_same_but_for_login(own, builder)
                }
                None => entry.uri.is_none(),
            };
            let port = builder.port.unwrap_or(DEFAULT_PORT);
            let is_named = entry.name.eq_ignore_ascii_case(&builder.host)
                || own
                    .as_ref()
                    .is_some_and(|own| own.host.eq_ignore_ascii_case(&builder.host))
                || names(&entry.addresses, &builder.host, port);
            fits && is_named
        })
    });
    found.map(|(entry, _)| *entry)
}

fn own_uri(entry: &BuilderEntry) -> Option<SshUri> {
    parse(&uri::complete_machine(entry.uri.as_deref()?)).ok()
}

/// Both, in order, none twice.
fn union(a: &[String], b: &[String]) -> Vec<String> {
    let mut all = [a, b].concat();
    all.sort_unstable();
    all.dedup();
    all
}
