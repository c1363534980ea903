//! What keeps Nix from a cache that is written down.

use std::collections::{BTreeMap, BTreeSet};

use offload_client::{Kind, Printable, WarningCode, snapshot::Warning};

use super::{PlannedCache, origin::own_keys};
use crate::nix::{Imported, NixConf, uri};

/// The keys of the entry that Nix does not trust. Nix's own decide what is said of the cache.
pub(super) fn untrusted_keys(
    name: &Printable,
    cache: &PlannedCache<'_>,
    conf: &NixConf,
) -> Option<Warning> {
    let own = cache.entry.map(|entry| entry.public_keys.iter())?;
    let strange = own.filter(|key| !conf.trusted_public_keys.contains(key));
    let strange: Vec<_> = strange.cloned().collect();
    (conf.require_sigs && !strange.is_empty()).then(|| Warning {
        code: WarningCode::KeyNotTrusted,
        target: Some((Kind::Cache, name.clone())),
        details: BTreeMap::from([
            ("uri".into(), uri::redacted(cache.text).into()),
            ("expected".into(), own_keys(conf).into()),
            ("actual".into(), strange.into()),
        ]),
    })
}

/// Nix goes on without it for a parameter that it can't read.
pub(super) fn passed_over(
    name: &Printable,
    cache: &PlannedCache<'_>,
    imported: &Imported,
) -> Option<Warning> {
    let position = cache.position?;
    let misread = uri::misread(&cache.uri.params, imported.version)?;
    let (parameter, wanted) = (misread.name, misread.wanted);
    let place = imported.conf.substituters_at.get(position);
    let mut details = BTreeMap::from([
        ("uri".into(), uri::redacted(cache.text).into()),
        ("version".into(), imported.version.to_string().into()),
        (
            "error".into(),
            format!("`{parameter}` is not {wanted}, and it goes on without the cache").into(),
        ),
        (
            "fix".into(),
            format!("Write {wanted} behind `{parameter}=`, or take it out").into(),
        ),
    ]);
    if let Some((file, line)) = place.and_then(Option::as_ref) {
        details.insert("file".into(), file.display().to_string().into());
        details.insert("line".into(), u64::from(*line).into());
    }
    Some(Warning {
        code: WarningCode::NixVersion,
        target: Some((Kind::Cache, name.clone())),
        details,
    })
}

/// `substitute = false`, and somebody has written down caches all the same.
pub(super) fn substitution_off(expected: BTreeSet<String>) -> Option<Warning> {
    let expected: Vec<String> = expected.into_iter().collect();
    (!expected.is_empty()).then(|| Warning {
        code: WarningCode::SubstitutionOff,
        target: None,
        details: BTreeMap::from([
            ("expected".into(), expected.into()),
            ("actual".into(), "".into()),
        ]),
    })
}
