//! The host keys that a builder may prove: those that our configuration pins, or those that ssh
//! would find.

use std::path::PathBuf;

use offload_client::Reason;
use russh::keys::PublicKey;

use super::host_key::HostKeys;
use crate::{
    nix::{known_hosts, ssh_config::SshOptions},
    target::{BuilderSpec, HostKeyRule},
};

/// The host keys that the builder may prove: our configuration's and no others, or those that ssh
/// would find under the name that it looks for.
pub(super) fn host_keys(spec: &BuilderSpec, options: &SshOptions) -> HostKeys {
    match &spec.host_keys {
        HostKeyRule::Pinned(keys) => HostKeys {
            known: keys.clone(),
            accepted: options.host_key_algorithms.clone(),
            ..HostKeys::default()
        },
        HostKeyRule::KnownHosts => found_by_ssh(options, None, &options.user_known_hosts_files),
        HostKeyRule::Written(text) => {
            let hint = unheard(spec, options, text);
            HostKeys {
                is_entrys: hint.is_none(),
                hint,
                ..found_by_ssh(options, Some(text), &[])
            }
        }
    }
}

/// Whether Nix's own ssh would accept `key` of the builder, which has proved it. `None` where that
/// stands in files that this process may not read, or hangs on a certificate.
pub(super) fn is_known_to_ssh(
    spec: &BuilderSpec,
    options: &SshOptions,
    key: &PublicKey,
) -> Option<bool> {
    match &spec.host_keys {
        // It was judged as ssh judges it.
        HostKeyRule::KnownHosts | HostKeyRule::Written(_) => Some(true),
        HostKeyRule::Pinned(_) => {
            let found = found_by_ssh(options, None, &options.user_known_hosts_files);
            match found.judge(key).map_err(|refusal| refusal.reason) {
                Ok(()) => Some(true),
                Err(Reason::KnownHostsUnreadable | Reason::SshConfigUnsupported) => None,
                Err(_) => Some(false),
            }
        }
    }
}

/// Whether `key`, which was accepted, proves the builder: not where ssh_config has ssh accept what
/// nobody knows (`StrictHostKeyChecking`) and nobody does.
pub(super) fn is_proof(spec: &BuilderSpec, options: &SshOptions, key: &PublicKey) -> bool {
    match &spec.host_keys {
        HostKeyRule::Pinned(_) => true,
        HostKeyRule::KnownHosts | HostKeyRule::Written(_) => {
            !options.strict_host_key_checking.accepts_unknown()
                || host_keys(spec, options).knows(key)
        }
    }
}

fn found_by_ssh(options: &SshOptions, written: Option<&str>, users: &[PathBuf]) -> HostKeys {
    let files = [users, options.global_known_hosts_files.as_slice()];
    let (name, port) = options.known_hosts_name();
    let known = known_hosts::lookup(written, &files.concat(), name, port);
    let unreadable = known.unreadable.iter();
    HostKeys {
        is_entrys: false,
        unreadable: unreadable.map(|file| file.display().to_string()).collect(),
        hint: None,
        known: known.keys,
        revoked: known.revoked,
        has_authority: known.has_ca,
        of_another_port: known.without_port,
        strictness: options.strict_host_key_checking,
        accepted: options.host_key_algorithms.clone(),
    }
}

/// Why ssh does not find the entry's own host key in what Nix writes of it, where it does not.
fn unheard(spec: &BuilderSpec, options: &SshOptions, written: &str) -> Option<String> {
    let (name, port) = options.known_hosts_name();
    let host = &spec.host;
    let finds = |name: &str, port| {
        let known = known_hosts::lookup_in([written].into_iter(), name, port);
        !known.keys.is_empty()
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
