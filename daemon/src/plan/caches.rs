//! Substituters and `[[cache]]` entries.

use std::collections::BTreeMap;

use offload_client::{
    Kind, WarningCode,
    snapshot::{Detail, Warning},
};

use super::{candidates, names, naming, naming::Wanted, not_watchable, nothing_to_enrich};
use crate::{
    config::{CacheEntry, Settings, exclude_matches},
    nix::{
        Imported, NixConf,
        uri::{self, CacheUri, StoreUri},
    },
    target::{Address, CacheSpec, SpecKind, TargetId, TargetSpec},
};

/// A cache on its way to becoming a target.
struct Found<'a> {
    /// As written.
    text: &'a str,
    uri: CacheUri,
    entry: Option<&'a CacheEntry>,
}

pub(super) fn plan(
    settings: &Settings,
    imported: &Imported,
    warnings: &mut Vec<Warning>,
) -> Vec<TargetSpec> {
    let mut found = Vec::new();
    if settings.nix.import {
        substituters(settings, &imported.conf, &mut found, warnings);
    }
    for cache in &mut found {
        cache.entry = entry_of(&settings.caches, &cache.uri);
    }
    for entry in &settings.caches {
        let is_used = |cache: &Found<'_>| cache.entry.is_some_and(|used| std::ptr::eq(used, entry));
        if found.iter().any(is_used) {
            continue;
        }
        let Some(url) = entry.url.as_deref() else {
            warnings.push(nothing_to_enrich(Kind::Cache, &entry.name));
            continue;
        };
        if let Some(uri) = parse(url, warnings) {
            let entry = Some(entry);
            let text = url;
            found.push(Found { text, uri, entry });
        }
    }
    let wanted: Vec<Wanted<'_>> = found
        .iter()
        .map(|cache| Wanted {
            entry: cache.entry.map(|entry| entry.name.as_str()),
            host: &cache.uri.host,
        })
        .collect();
    let names = naming::names(&wanted);
    let targets = names.iter().zip(&found);
    let conf = settings.nix.import.then_some(&imported.conf);
    targets
        .map(|(name, cache)| {
            warnings.extend(conf.and_then(|conf| untrusted_keys(name, cache, conf)));
            target(name, cache, &imported.conf, settings.nix.import)
        })
        .collect()
}

/// The keys of the entry that Nix does not trust. Nix's own decide what is said of the cache.
fn untrusted_keys(name: &str, cache: &Found<'_>, conf: &NixConf) -> Option<Warning> {
    let own = cache.entry.map(|entry| entry.public_keys.iter())?;
    let strange = own.filter(|key| !conf.trusted_public_keys.contains(key));
    let strange: Vec<_> = strange.cloned().collect();
    (conf.require_sigs && !strange.is_empty()).then(|| Warning {
        code: WarningCode::KeyNotTrusted,
        target: Some((Kind::Cache, name.to_owned())),
        details: BTreeMap::from([
            ("uri".to_owned(), uri::redacted(cache.text).into()),
            ("actual".to_owned(), Detail::List(strange)),
        ]),
    })
}

fn substituters<'a>(
    settings: &Settings,
    conf: &'a NixConf,
    found: &mut Vec<Found<'a>>,
    warnings: &mut Vec<Warning>,
) {
    let ours = |url: &&String| !exclude_matches(&settings.nix.exclude, url);
    let mut urls = conf.substituters.iter().filter(ours).peekable();
    if !conf.substitute {
        if urls.peek().is_some() {
            let why = "Nix uses no substituters";
            let setting = ("setting", "substitute = false".into());
            warnings.push(not_watchable(Kind::Cache, why, [setting]));
        }
        return;
    }
    for text in urls {
        if let Some(uri) = parse(text, warnings)
            && !found.iter().any(|known| is_same(&known.uri, &uri))
        {
            let entry = None;
            found.push(Found { text, uri, entry });
        }
    }
}

fn parse(text: &str, warnings: &mut Vec<Warning>) -> Option<CacheUri> {
    let why = match uri::parse(text) {
        Ok(StoreUri::Cache(cache)) => return Some(cache),
        Ok(StoreUri::Ssh(_)) => "only caches over HTTP are watched, not stores over SSH".to_owned(),
        Err(error) => error.to_string(),
    };
    let shown = ("uri", uri::redacted(text).into());
    let warning = not_watchable(Kind::Cache, &why, [shown]);
    if !warnings.contains(&warning) {
        warnings.push(warning);
    }
    None
}

fn is_same(a: &CacheUri, b: &CacheUri) -> bool {
    a.host.eq_ignore_ascii_case(&b.host) && is_same_but_for_host(a, b)
}

fn is_same_but_for_host(a: &CacheUri, b: &CacheUri) -> bool {
    a.tls == b.tls && a.effective_port() == b.effective_port() && a.path == b.path
}

/// The entry with the same URL, else the one that names the host, if its own URL, where it has one,
/// differs in nothing but the host.
fn entry_of<'a>(entries: &'a [CacheEntry], cache: &CacheUri) -> Option<&'a CacheEntry> {
    let by_url = entries
        .iter()
        .find(|entry| own_uri(entry).is_some_and(|own| is_same(&own, cache)));
    by_url.or_else(|| {
        entries.iter().find(|entry| {
            let fits = match own_uri(entry) {
                Some(own) => is_same_but_for_host(&own, cache),
                None => entry.url.is_none(),
            };
            let is_named = entry.name.eq_ignore_ascii_case(&cache.host)
                || names(&entry.addresses, &cache.host, cache.effective_port());
            fits && is_named
        })
    })
}

fn own_uri(entry: &CacheEntry) -> Option<CacheUri> {
    match uri::parse(entry.url.as_deref()?) {
        Ok(StoreUri::Cache(own)) => Some(own),
        _ => None,
    }
}

fn target(name: &str, cache: &Found<'_>, conf: &NixConf, imported: bool) -> TargetSpec {
    let Found { text, uri, entry } = cache;
    let address = |host: &str| Address {
        host: host.to_owned(),
        port: None,
    };
    let port = uri.effective_port();
    let listed = entry.map(|entry| entry.addresses.as_slice());
    let other = entry.and_then(own_uri).map(|own| address(&own.host));
    // What Nix would take decides; where Nix is not asked, what the configuration says of it.
    let public_keys = match imported {
        true => conf.trusted_public_keys.clone(),
        false => entry.map_or_else(Vec::new, |entry| entry.public_keys.clone()),
    };
    let is_known = imported || !public_keys.is_empty();
    TargetSpec {
        id: TargetId::cache(name),
        // What Nix reads as a path may have been meant as a password.
        uri: uri::redacted(text),
        addresses: candidates(address(&uri.host), other, listed.unwrap_or_default(), port),
        kind: SpecKind::Cache(CacheSpec {
            tls: uri.tls,
            host: uri.host.clone(),
            port,
            path: uri.path.clone(),
            store_dir: uri
                .params
                .get("store")
                .map_or_else(|| conf.store_dir(), String::as_str)
                .to_owned(),
            ssl_cert_file: conf.ssl_cert_file.clone(),
            public_keys,
            has_own_keys: conf.has_own_keys,
            // As in Nix's `PathSubstitutionGoal` (src/libstore/build/substitution-goal.cc).
            require_sigs: is_known && conf.require_sigs && !is_trusted(uri),
            negative_ttl: conf.negative_ttl,
            sample: entry.and_then(|entry| entry.sample.clone()),
            host_builder: entry.and_then(|entry| entry.host.clone()),
        }),
    }
}

/// `?trusted=true`: what comes from it needs no signature (`StoreConfigBase`, src/libstore/store-api.hh).
fn is_trusted(uri: &CacheUri) -> bool {
    let trusted = uri.params.get("trusted").map(String::as_str);
    matches!(trusted, Some("true" | "yes" | "1"))
}
