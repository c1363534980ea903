//! What keeps Nix from taking a path from a cache that should have it, in the words of the status page.

use super::Cache;
use crate::{
    Kind, Reason, TargetState, WarningCode, Words,
    language::{say, tr},
    snapshot::{Target, Warning},
};

/// Nothing where Nix takes it, and where it is not there: that is no fault of the cache's. `target` is the cache, where
/// offloadd watches it.
pub(super) fn with(cache: &Cache, target: Option<&Target>, path: &str) -> Option<Words> {
    match cache.has {
        None => Some(silent(cache, target)),
        Some(false) => None,
        Some(true) if cache.trusted != Some(true) => unaccepted(cache, target, path).words(),
        Some(true) if cache.is_passed_by() => Some(missed(cache, target)),
        Some(true) => None,
    }
}

/// offloadd may know why.
fn silent(cache: &Cache, target: Option<&Target>) -> Words {
    let unready = target.filter(|target| target.state != TargetState::Ready);
    if let Some(words) = unready.and_then(Target::words) {
        return words;
    }
    let url = &cache.url;
    Words {
        title: tr("does not answer").to_owned(),
        explanation: say!("Nix asked {url}: {error}", url, error = cache.error),
        remedy: if url.starts_with("http") {
            let (url, _) = url.split_once('?').unwrap_or((url, ""));
            say!(
                "See whether anybody is there: `curl {url}/nix-cache-info`.",
                url = url.trim_end_matches('/')
            )
        } else {
            String::new()
        },
    }
}

/// The cache as a check would have found it at this path.
fn unaccepted(cache: &Cache, target: Option<&Target>, path: &str) -> Target {
    let mut found = target.cloned().unwrap_or_else(|| Target {
        kind: Kind::Cache,
        name: cache.url.clone(),
        uri: cache.url.clone(),
        ..Target::default()
    });
    found.state = TargetState::Degraded;
    found.details.insert("sample".into(), path.into());
    found.reason = if cache.signed_by.is_empty() {
        Reason::Unsigned
    } else {
        let by = cache.signed_by.clone();
        found.details.insert("signed_by".into(), by.into());
        Reason::UntrustedSignature
    };
    found
}

fn missed(cache: &Cache, target: Option<&Target>) -> Words {
    let warning = Warning {
        code: WarningCode::NegativeCacheStale,
        target: target.map(|target| (target.kind, target.name.clone())),
        details: [("uri".into(), cache.url.clone().into())].into(),
    };
    warning.words()
}
