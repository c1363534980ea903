//! Where a cache comes from, and when Nix asks it.

use std::sync::Arc;

use super::{super::origins, PlannedCache, own_uri};
use crate::{
    drift::{Origin, Precedence, Side, Unwatched},
    nix::{
        NixConf,
        uri::{self, CacheUri},
    },
    target::Address,
};

/// `?priority=` (`StoreConfigBase::priority`, src/libstore/include/nix/store/store-api.hh).
pub(super) fn priority(cache: &CacheUri) -> Option<i64> {
    uri::number(cache.params.get("priority")?)
}

pub(super) fn of(cache: &PlannedCache<'_>, conf: &NixConf, unwatched: &Arc<[Unwatched]>) -> Origin {
    let port = cache.uri.effective_port();
    let declared = cache.entry.map(|entry| {
        let own = own_uri(entry).map(|own| Address {
            port: Some(own.effective_port()),
            host: own.host,
        });
        Side {
            keys: entry.public_keys.clone(),
            ..origins::declared(&entry.place, own, &entry.addresses, port)
        }
    });
    let deployed = cache.position.map(|position| {
        let place = conf.substituters_at.get(position).and_then(Option::as_ref);
        let source = place.map(|(file, line)| origins::source(file, Some(*line)));
        Side {
            keys: own_keys(conf),
            ..origins::deployed(&cache.uri.host, port, &source.unwrap_or_default())
        }
    });
    let precedence = cache.position.map(|position| Precedence {
        position,
        priority: priority(&cache.uri),
        fallback: conf.fallback,
        unwatched: unwatched.clone(),
    });
    Origin {
        uri: uri::redacted(cache.text).into(),
        declared,
        deployed,
        precedence,
        ..Origin::default()
    }
}

/// The keys that Nix trusts beside that of cache.nixos.org.
pub(super) fn own_keys(conf: &NixConf) -> Vec<String> {
    let keys = conf.trusted_public_keys.iter();
    keys.filter(|key| !key.starts_with("cache.nixos.org-"))
        .cloned()
        .collect()
}
