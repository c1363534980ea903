//! Which host keys a builder may prove.

use std::collections::BTreeMap;

use offload_client::{Kind, Printable, WarningCode, snapshot::Warning};
use russh::keys::{HashAlg, PublicKey};

use super::PlannedBuilder;
use crate::target::HostKeyRule;

/// What the builder's host key is held against: Nix's own where it has one, because that is what a
/// build meets. An entry that contradicts it is warned of.
pub(super) fn host_keys(
    name: &Printable,
    builder: &PlannedBuilder<'_>,
) -> (HostKeyRule, Option<Warning>) {
    let own = builder
        .entry
        .map_or(&[][..], |entry| entry.host_keys.as_slice());
    let Some(text) = &builder.written else {
        let rule = match own {
            [] => HostKeyRule::KnownHosts,
            own => HostKeyRule::Pinned(own.to_vec()),
        };
        return (rule, None);
    };
    let nix = builder.nix_keys();
    let contradicts = !own.is_empty() && !own.iter().any(|key| nix.contains(key));
    let warning = contradicts.then(|| {
        let mut details = BTreeMap::from([
            ("uri".into(), builder.text.as_str().into()),
            ("actual".into(), fingerprints(own).into()),
        ]);
        if !nix.is_empty() {
            details.insert("expected".into(), fingerprints(&nix).into());
        }
        Warning {
            code: WarningCode::HostKeyDiffers,
            target: Some((Kind::Builder, name.clone())),
            details,
        }
    });
    (HostKeyRule::Written(text.clone()), warning)
}

/// As OpenSSH prints them: `SHA256:…`.
pub(super) fn fingerprints(keys: &[PublicKey]) -> Vec<String> {
    let shown = keys.iter().map(|key| key.fingerprint(HashAlg::Sha256));
    shown.map(|fingerprint| fingerprint.to_string()).collect()
}
