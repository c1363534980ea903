//! Substituters and `[[cache]]` entries.

mod origin;
mod same;
mod warnings;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use offload_client::{Kind, snapshot::Warning};

use self::{
    origin::priority,
    same::{is_same, is_same_but_for_host, key},
    warnings::{passed_over, substitution_off, untrusted_keys},
};
use super::{candidates, names, naming, naming::Wanted, not_watchable, nothing_to_enrich, pairing};
use crate::{
    config::{CacheEntry, Settings, exclude_matches},
    drift::{Origin, Steering, Unwatched},
    nix::{
        Imported, NixConf,
        uri::{self, CacheUri, StoreUri},
    },
    target::{Address, CacheSpec, SpecKind, TargetId, TargetSpec},
};

/// A cache on its way to becoming a target.
struct PlannedCache<'a> {
    /// As written.
    text: &'a str,
    uri: CacheUri,
    entry: Option<&'a CacheEntry>,
    /// Its place in `substituters`.
    position: Option<usize>,
}

pub(super) fn plan(
    settings: &Settings,
    imported: &Imported,
    warnings: &mut Vec<Warning>,
    origins: &mut BTreeMap<TargetId, Origin>,
) -> Vec<TargetSpec> {
    let mut found = Vec::new();
    if settings.nix.import {
        substituters(settings, &imported.conf, &mut found, warnings);
    }
    let entries: Vec<_> = settings.caches.iter().map(|e| (e, own_uri(e))).collect();
    for cache in &mut found {
        cache.entry = entry_of(&entries, &cache.uri);
    }
    pairing::pair(&settings.caches, &mut found, own_uri, |_, own, cache| {
        is_same_but_for_host(own, &cache.uri)
    });
    for entry in &settings.caches {
        let is_used = |cache: &PlannedCache<'_>| cache.entry == Some(entry);
        if found.iter().any(is_used) {
            continue;
        }
        let Some(url) = entry.url.as_deref() else {
            warnings.push(nothing_to_enrich(Kind::Cache, &entry.name));
            continue;
        };
        if let Some(uri) = parse(url, warnings) {
            let entry = Some(entry);
            found.push(PlannedCache {
                text: url,
                uri,
                entry,
                position: None,
            });
        }
    }
    found.retain(|cache| is_within_reach(cache, imported, warnings));
    let wanted: Vec<Wanted<'_>> = found
        .iter()
        .map(|cache| Wanted {
            entry: cache.entry.map(|entry| entry.name.as_str()),
            host: &cache.uri.host,
        })
        .collect();
    let names = naming::names(&wanted);
    let targets = names.iter().zip(&found);
    // Where there is no nix.conf, what is declared is the way.
    let has_nix = settings.nix.import && imported.has_conf;
    let conf = has_nix.then_some(&imported.conf);
    let may_lack = settings.nix.import && imported.has_whole_conf();
    let named: BTreeSet<_> = if may_lack {
        substituters_of(&imported.conf)
            .filter_map(|(_, cache)| Some(key(&cache?)))
            .collect()
    } else {
        BTreeSet::new()
    };
    let unwatched = unwatched(&found, &imported.conf);
    let is_by_gateway = settings.nix.import
        && substituters_of(&imported.conf)
            .any(|(_, cache)| cache.is_some_and(|cache| is_gateway(settings, &cache)));
    targets
        .map(|(name, cache)| {
            warnings.extend(conf.and_then(|conf| untrusted_keys(name, cache, conf)));
            let is_nixs = has_nix || cache.position.is_some();
            let target = target(name, cache, imported, is_nixs);
            let mut origin = origin::of(cache, &imported.conf, &unwatched);
            origin.unused = passed_over(name, cache, imported);
            warnings.extend(origin.unused.clone());
            if let Some(url) = gateway_url(settings) {
                origin.steering = match cache.position {
                    None if is_by_gateway => Steering::ByGateway,
                    Some(_) | None => Steering::Wanted(url.into()),
                };
            }
            if may_lack && !named.contains(&key(&cache.uri)) {
                origin.missing = match &origin.steering {
                    Steering::Off => Some(origin.uri.to_string()),
                    Steering::Wanted(gateway) => Some(gateway.to_string()),
                    Steering::ByGateway => None,
                };
            }
            origins.insert(target.id.clone(), origin);
            target
        })
        .collect()
}

impl<'a> pairing::Item<'a> for PlannedCache<'a> {
    type Entry = CacheEntry;

    fn entry(&mut self) -> &mut Option<&'a CacheEntry> {
        &mut self.entry
    }
}

/// All that Nix names, watched or not, with their places; `None` for what is no cache over HTTP.
fn substituters_of(conf: &NixConf) -> impl Iterator<Item = (usize, Option<CacheUri>)> {
    let all = conf.substituters.iter().enumerate();
    all.map(|(position, text)| match uri::parse(text) {
        Ok(StoreUri::Cache(cache)) => (position, Some(cache)),
        _ => (position, None),
    })
}

/// The substituters that are none of the targets, with the priorities of those that everybody knows.
fn unwatched(found: &[PlannedCache<'_>], conf: &NixConf) -> Arc<[Unwatched]> {
    let watched: BTreeSet<_> = found.iter().map(|known| key(&known.uri)).collect();
    let others = substituters_of(conf).filter_map(|(position, cache)| {
        let Some(cache) = cache else {
            let host = uri::redacted(conf.substituters.get(position)?).into();
            return Some(Unwatched {
                position,
                host,
                priority: None,
            });
        };
        if watched.contains(&key(&cache)) {
            return None;
        }
        let known = match cache.host.as_str() {
            "cache.nixos.org" => Some(40),
            host if host.ends_with(".cachix.org") => Some(41),
            _ => None,
        };
        let priority = priority(&cache).or(known);
        Some(Unwatched {
            position,
            host: cache.host.as_str().into(),
            priority,
        })
    });
    others.collect()
}

fn substituters<'a>(
    settings: &Settings,
    conf: &'a NixConf,
    found: &mut Vec<PlannedCache<'a>>,
    warnings: &mut Vec<Warning>,
) {
    let ours = |(_, url): &(usize, &String)| !exclude_matches(&settings.nix.exclude, url);
    let urls = conf.substituters.iter().enumerate();
    let urls = urls.filter(ours);
    if !conf.substitute {
        let deployed = urls.map(|(_, url)| uri::redacted(url));
        let declared = settings.caches.iter();
        let declared = declared.filter_map(|entry| entry.url.as_deref().map(uri::redacted));
        warnings.extend(substitution_off(deployed.chain(declared).collect()));
        return;
    }
    let mut known = BTreeSet::new();
    for (position, text) in urls {
        if let Some(uri) = parse(text, warnings)
            // What is behind it is watched, and not it.
            && !is_gateway(settings, &uri)
            && known.insert(key(&uri))
        {
            found.push(PlannedCache {
                text,
                uri,
                entry: None,
                position: Some(position),
            });
        }
    }
}

fn parse(text: &str, warnings: &mut Vec<Warning>) -> Option<CacheUri> {
    let why = match uri::parse(text) {
        Ok(StoreUri::Cache(cache)) => return Some(cache),
        Ok(StoreUri::Ssh(_)) => "only caches over HTTP are watched, not stores over SSH".into(),
        Err(error) => error.into(),
    };
    let shown = ("uri", uri::redacted(text).into());
    let warning = not_watchable(Kind::Cache, &why, [shown]);
    if !warnings.contains(&warning) {
        warnings.push(warning);
    }
    None
}

/// Through a proxy that speaks something else than HTTP nothing is asked.
fn is_within_reach(
    cache: &PlannedCache<'_>,
    imported: &Imported,
    warnings: &mut Vec<Warning>,
) -> bool {
    let proxy = imported.environment.proxy(cache.uri.tls, &cache.uri.host);
    let Some(proxy) = proxy.filter(|proxy| !proxy.is_http()) else {
        return true;
    };
    let why = format!(
        "Nix asks it through the proxy that {} names, and offloadd speaks no {}",
        proxy.variable, proxy.scheme
    );
    let shown = ("uri", uri::redacted(cache.text).into());
    warnings.push(not_watchable(Kind::Cache, &why.as_str().into(), [shown]));
    false
}

/// What Nix is to be told of all caches, where they are behind the gateway.
fn gateway_url(settings: &Settings) -> Option<String> {
    settings.steer.gateway.map(|at| format!("http://{at}"))
}

/// Whether a substituter is our own gateway.
fn is_gateway(settings: &Settings, cache: &CacheUri) -> bool {
    settings.steer.gateway.is_some_and(|at| {
        let is_host = match cache.host.parse::<IpAddr>() {
            Ok(host) => host == at.ip(),
            Err(_) => cache.host.eq_ignore_ascii_case("localhost"),
        };
        is_host && !cache.tls && cache.effective_port() == at.port()
    })
}

/// The entry with the same URL, else the one that names the host, if its own URL, where it has one,
/// differs in nothing but the host.
fn entry_of<'a>(
    entries: &[(&'a CacheEntry, Option<CacheUri>)],
    cache: &CacheUri,
) -> Option<&'a CacheEntry> {
    let by_url = entries
        .iter()
        .find(|(_, own)| own.as_ref().is_some_and(|own| is_same(own, cache)));
    let found = by_url.or_else(|| {
        entries.iter().find(|(entry, own)| {
            let fits = match own {
                Some(own) => is_same_but_for_host(own, cache),
                None => entry.url.is_none(),
            };
            let is_named = entry.name.eq_ignore_ascii_case(&cache.host)
                || names(&entry.addresses, &cache.host, cache.effective_port());
            fits && is_named
        })
    });
    found.map(|(entry, _)| *entry)
}

fn own_uri(entry: &CacheEntry) -> Option<CacheUri> {
    match uri::parse(entry.url.as_deref()?) {
        Ok(StoreUri::Cache(own)) => Some(own),
        _ => None,
    }
}

fn target(
    name: &str,
    cache: &PlannedCache<'_>,
    imported: &Imported,
    is_imported: bool,
) -> TargetSpec {
    let conf = &imported.conf;
    let PlannedCache {
        text, uri, entry, ..
    } = cache;
    let address = |host: &str| Address {
        host: host.to_owned(),
        port: None,
    };
    let port = uri.effective_port();
    let listed = entry.map(|entry| entry.addresses.as_slice());
    let other = entry.and_then(own_uri).map(|own| address(&own.host));
    // What Nix would take decides; where Nix is not asked, what the configuration says of it.
    let public_keys = if is_imported {
        conf.trusted_public_keys.clone()
    } else {
        entry.map_or_else(Vec::new, |entry| entry.public_keys.clone())
    };
    let is_known = is_imported || !public_keys.is_empty();
    let proxy = imported.environment.proxy(uri.tls, &uri.host);
    TargetSpec {
        id: TargetId::cache(name),
        // What Nix reads as a path may have been meant as a password.
        uri: uri::redacted(text).into(),
        addresses: match &proxy {
            // Where it is from there, only the proxy knows.
            Some(proxy) => vec![Address {
                host: proxy.host.clone(),
                port: Some(proxy.port),
            }],
            None => candidates(
                address(&uri.host),
                cache.position.is_some(),
                other,
                listed.unwrap_or_default(),
                port,
            ),
        },
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
            nix_version: imported.version,
            ssl_cert_file: conf
                .ssl_cert_file
                .clone()
                .or_else(|| imported.environment.authorities()),
            proxy,
            login: imported.netrc.login(&uri.host),
            netrc_file: conf.netrc_file.clone(),
            public_keys,
            has_own_keys: conf.has_own_keys,
            // As in Nix's `PathSubstitutionGoal` (src/libstore/build/substitution-goal.cc).
            require_sigs: is_known && conf.require_sigs && !is_trusted(uri),
            unread: None,
            substituter: (cache.position.is_some() && uri::redacted(text) == *text)
                .then(|| (*text).to_owned()),
            negative_ttl: conf.negative_ttl,
            positive_ttl: conf.positive_ttl,
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
