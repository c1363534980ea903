//! The host keys that a builder may prove: those that our configuration pins, or those that ssh
//! would find.

use std::path::PathBuf;

use offload_client::Reason;
use russh::keys::PublicKey;

use super::host_key::{HostKeys, Revoked};
use crate::{
    clock::Now,
    files::Reachable,
    nix::{
        known_hosts::{self, Known, Lines},
        machines,
        ssh_config::SshOptions,
    },
    target::{BuilderSpec, HostKeyRule},
};

/// The host keys that the builder may prove: our configuration's and no others, or those that ssh
/// would find under the name that it looks for.
pub(super) fn host_keys(spec: &BuilderSpec, options: &SshOptions) -> HostKeys {
    let users = &options.user_known_hosts_files;
    match &spec.host_keys {
        HostKeyRule::Pinned(keys) => HostKeys {
            known: Lines {
                keys: keys.clone(),
                ..Lines::default()
            },
            is_pinned: true,
            required_rsa_bits: options.required_rsa_bits,
            accepted: options.host_key_algorithms.clone(),
            algorithms: options.algorithms.clone(),
            ..HostKeys::default()
        },
        HostKeyRule::KnownHosts => HostKeys {
            is_misplaced: spec.features.iter().any(|it| machines::is_host_key(it)),
            ..found_by_ssh(spec, options, None, users)
        },
        HostKeyRule::Written(_) if !options.entry_host_key_counts => {
            let why = "NIX_SSHOPTS names a UserKnownHostsFile, which takes the place of the public host \
                       key that Nix has";
            HostKeys {
                hint: Some(why.to_owned()),
                ..found_by_ssh(spec, options, None, users)
            }
        }
        HostKeyRule::Written(text) => {
            let hint = unheard(spec, options, text);
            HostKeys {
                is_entrys: hint.is_none(),
                hint,
                ..found_by_ssh(spec, options, Some(text), &[])
            }
        }
    }
}

/// Whether Nix's own ssh would accept `key` of the builder, which has proved it. `None` where that
/// stands in files that this process may not read.
pub(super) fn is_known_to_ssh(
    spec: &BuilderSpec,
    options: &SshOptions,
    key: &PublicKey,
) -> Option<bool> {
    match &spec.host_keys {
        // It was judged as ssh judges it.
        HostKeyRule::KnownHosts | HostKeyRule::Written(_) => Some(true),
        HostKeyRule::Pinned(_) => {
            let found = found_by_ssh(spec, options, None, &options.user_known_hosts_files);
            let judged = found.judge(&key.clone().into(), Now::read());
            match judged.map_err(|refusal| refusal.reason) {
                Ok(_) => Some(true),
                Err(Reason::KnownHostsUnreadable | Reason::SshConfigUnsupported) => None,
                // Its certificate, which was not asked for, may count to ssh.
                Err(_) if !found.known.authorities.is_empty() => None,
                Err(_) => Some(false),
            }
        }
    }
}

fn found_by_ssh(
    spec: &BuilderSpec,
    options: &SshOptions,
    written: Option<&str>,
    users: &[PathBuf],
) -> HostKeys {
    let reader = Reachable::for_store(spec.store());
    let files = [users, options.global_known_hosts_files.as_slice()];
    let (name, port) = options.known_hosts_name();
    let Known {
        named,
        without_port,
        unreadable,
    } = known_hosts::lookup(&reader, written, &files.concat(), name, port);
    let unreadable = unreadable.iter();
    HostKeys {
        known: named,
        without_port,
        unreadable: unreadable.map(|file| file.display().to_string()).collect(),
        strictness: options.strict_host_key_checking,
        revoked: Revoked::read(&reader, &options.revoked_host_keys),
        required_rsa_bits: options.required_rsa_bits,
        name: name.to_owned(),
        authority_algorithms: options.authority_algorithms.clone(),
        accepted: options.host_key_algorithms.clone(),
        algorithms: options.algorithms.clone(),
        ..HostKeys::default()
    }
}

/// Why ssh does not find the entry's own host key in what Nix writes of it, where it does not.
fn unheard(spec: &BuilderSpec, options: &SshOptions, written: &str) -> Option<String> {
    let (name, port) = options.known_hosts_name();
    let host = &spec.host;
    let finds = |name: &str, port| {
        let known = known_hosts::lookup_in([written].into_iter(), name, port);
        !known.named.keys.is_empty() || !known.without_port.keys.is_empty()
    };
    if finds(name, port) {
        None
    } else if finds(host, None) {
        Some(format!(
            "the public host key that Nix has is written down for {host}, and ssh looks for {name}"
        ))
    } else {
        Some("the public host key that Nix has is no 'type key' line".to_owned())
    }
}
