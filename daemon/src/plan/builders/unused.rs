//! Lines of the machines file that Nix reads and yet makes no use of.

use std::collections::BTreeMap;

use offload_client::{
    WarningCode,
    snapshot::{Detail, Warning},
};

use super::{PlannedBuilder, host_keys::fingerprints};
use crate::nix::{
    Machine, NixVersion,
    uri::{self, Protocol, SshUri},
};

/// Nix sends no build to a builder of no jobs, and goes on looking for one (`findMachine` in
/// src/libstore/build-remote.cc: a slot is free where there are fewer loads than jobs).
pub(super) fn without_slots(machine: &Machine) -> Option<Warning> {
    (machine.max_jobs == 0).then(|| about(WarningCode::BuilderWithoutSlots, machine, []))
}

/// What the Nix of `version` makes something else of than stands there.
pub(super) fn read_otherwise(
    machine: &Machine,
    read: &SshUri,
    version: NixVersion,
) -> Option<Warning> {
    let key = machine
        .ssh_key
        .as_ref()
        .map(|key| key.display().to_string());
    let (error, fix) = if let Some(port) = read.port.filter(|_| !version.takes_ports_of_ssh()) {
        (
            format!("it looks for a host called \"{}:{port}\"", read.host),
            format!(
                "Put the port into root's ssh_config instead: `Host {}` and `Port {port}`, and take it out of \
                 the URI. Or update Nix on this machine: 2.31 and later read it there",
                read.host
            ),
        )
    } else if hangs(read, version) {
        (
            "with several connections it waits for itself, and the build for ever".to_owned(),
            "Take `max-connections` out of the URI. Or update Nix on this machine: 2.32 and later do not hang"
                .to_owned(),
        )
    } else if let Some(host) = undecoded(&machine.uri).filter(|_| !version.takes_ports_of_ssh()) {
        (
            format!("it looks for \"{host}\", letter by letter"),
            "Write user and host as they are, without `%` and two digits for a character, and a colon only before a \
             port. Or update Nix on this machine: 2.31 and later read both"
                .to_owned(),
        )
    } else if let Some(key) =
        key.filter(|key| version.wants_absolute_keys() && !key.starts_with('/'))
    {
        (
            format!("the path of the key, \"{key}\", is not absolute"),
            "Write the whole path of the key, from `/` on".to_owned(),
        )
    } else {
        return None;
    };
    let details = [
        ("version", version.to_string().into()),
        ("error", error.into()),
        ("fix", fix.into()),
    ];
    Some(about(WarningCode::NixVersion, machine, details))
}

fn hangs(read: &SshUri, version: NixVersion) -> bool {
    let several = read.params.get("max-connections");
    let several = several.and_then(|count| count.parse::<u32>().ok());
    read.protocol == Protocol::SshNg
        && several.is_some_and(|count| count > 1)
        && version.hangs_with_several_connections()
}

/// User and host of an SSH URI with something encoded in them, or with a port that is none, which a Nix that reads
/// neither hands to ssh as they stand.
fn undecoded(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let is_encoded = authority.split('%').skip(1).any(|after| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    (is_encoded || authority.ends_with(':')).then_some(authority)
}

/// Two lines of one builder that expect different host keys: Nix refuses it by one of them.
pub(super) fn two_keys(known: &PlannedBuilder<'_>, other: &PlannedBuilder<'_>) -> Option<Warning> {
    let (first, second) = (known.nix_keys(), other.nix_keys());
    let differ = !first.is_empty() && !second.is_empty() && first != second;
    differ.then(|| Warning {
        code: WarningCode::TwoHostKeys,
        target: None,
        details: BTreeMap::from([
            ("uri".into(), other.text.as_str().into()),
            ("expected".into(), fingerprints(&first).into()),
            ("actual".into(), fingerprints(&second).into()),
        ]),
    })
}

fn about<const N: usize>(
    code: WarningCode,
    machine: &Machine,
    details: [(&str, Detail); N],
) -> Warning {
    let place = [
        ("uri", uri::redacted(&machine.uri).into()),
        ("file", machine.file.display().to_string().into()),
        ("line", machine.line.map_or(0, u64::from).into()),
    ];
    let details = place.into_iter().chain(details);
    Warning {
        code,
        target: None,
        details: details.map(|(key, value)| (key.into(), value)).collect(),
    }
}
