//! `explain` of a path of the store: which substituter has it, whether Nix would take it from there, and what Nix
//! remembers of it. Nix itself is asked, once for each substituter, as its daemon would: with the system's nix.conf,
//! and without what it remembers, of which a question like this leaves nothing behind.

mod nix;
mod remembered;
mod wrong;

use std::{path::Path, time::Duration};

use futures_util::future::join_all;
use serde::Serialize;

pub(in crate::cli) use self::nix::NixError;
use self::{
    nix::{Nix, Settings, Told},
    remembered::Memory,
};
use crate::{
    Client, Printable, Snapshot, TargetState, Words,
    cli::{
        args::Cli,
        failure::{Failure, Outcome},
        json::{self, Told as ToldTarget},
        output::Output,
        spinner,
    },
    language::{say, tr},
    page::{Style, Tone, columns, duration, state_glyph, state_tone, wrap},
    snapshot::Target,
};

/// The length of a hash in the name of a path of the store.
const HASH: usize = 32;

/// What is known of one path.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Serialize)]
pub(in crate::cli) struct Explained {
    /// The version of this JSON.
    explain_version: u32,
    /// The path, as Nix names it.
    path: Printable,
    /// Whether Nix substitutes at all.
    substitute: bool,
    /// In the order of nix.conf.
    caches: Vec<Cache>,
}

/// What one substituter says of it, and what Nix makes of that.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Serialize)]
struct Cache {
    /// As nix.conf has it.
    url: Printable,
    /// The target; null where offloadd does not watch it, or does not run.
    target: Option<ToldTarget>,
    /// The target's name; nothing where offloadd does not watch it, or does not run.
    name: Option<Printable>,
    /// Whether it has the path; nothing where it did not answer.
    has: Option<bool>,
    /// The names of the keys that signed it.
    signed_by: Vec<Printable>,
    /// Whether Nix would take it: nothing where it is not there to be taken.
    trusted: Option<bool>,
    /// Those of the keys' names that `trusted-public-keys` has.
    known_keys: Vec<Printable>,
    /// What Nix remembers of having asked.
    remembered: Memory,
    /// How long it remembers that, in seconds.
    remembers_for: u64,
    /// Nix's own words, where it did not answer.
    error: Printable,
    /// What keeps Nix from taking the path there; null where nothing does, or where it is not there.
    words: Option<Words>,
}

impl Cache {
    /// Whether Nix would not even ask it.
    fn is_passed_by(&self) -> bool {
        matches!(self.remembered, Memory::Miss { age } if age < self.remembers_for)
    }

    fn is_taken(&self) -> bool {
        self.has == Some(true) && self.trusted == Some(true) && !self.is_passed_by()
    }
}

pub(super) async fn explain(cli: &Cli, output: Output, path: &Path) -> Result<Outcome, Failure> {
    let explained = spinner::beside(tr("asking the substituters"), ask(cli, path)).await?;
    if cli.json {
        output.print(&json::line(&explained)?)?;
    } else {
        output.list(&page(&explained, &output.style))?;
    }
    let mut caches = explained.caches.iter();
    Ok(Outcome::ready(
        explained.substitute && caches.any(Cache::is_taken),
    ))
}

async fn ask(cli: &Cli, path: &Path) -> Result<Explained, Failure> {
    let of_path = |error| Failure::Nix(path.to_owned(), error);
    let nix = Nix::new().map_err(of_path)?;
    let settings = nix.settings().await.map_err(of_path)?;
    let path = store_path(path, &settings.store).map_err(of_path)?;
    // Names are beside the point: no daemon is started for them.
    let snapshot = Client::on(cli.bus.clone()).snapshot_if_running().await.ok();
    let asked = settings.substituters.iter().map(|url| nix.ask(url, &path));
    let asked = join_all(asked).await;
    let hash = hash_part(&path, &settings.store).unwrap_or_default();
    let mut caches = Vec::new();
    for (url, told) in settings.substituters.iter().zip(asked) {
        let remembered = remembered::of(&settings.store, url, hash).await;
        let target = snapshot.as_ref().and_then(|it| watched(it, url));
        let mut cache = cache(url, target, told, remembered, &settings);
        cache.words = wrong::with(&cache, target, &path);
        caches.push(cache);
    }
    Ok(Explained {
        explain_version: json::VERSION,
        path: path.into(),
        substitute: settings.substitute,
        caches,
    })
}

fn cache(
    url: &str,
    target: Option<&Target>,
    told: Result<Told, NixError>,
    remembered: Memory,
    settings: &Settings,
) -> Cache {
    let (told, error) = match told {
        Ok(told) => (Some(told), Printable::default()),
        Err(error) => (None, error.to_string().into()),
    };
    let has = told.as_ref().map(|told| told.has);
    let told = told.unwrap_or_default();
    let known = |key: &&Printable| settings.keys.iter().any(|known| *known == ***key);
    Cache {
        url: url.into(),
        target: target.map(ToldTarget::from),
        name: target.map(|target| target.name.clone()),
        has,
        known_keys: told.signed_by.iter().filter(known).cloned().collect(),
        trusted: (has == Some(true)).then_some(told.trusted),
        signed_by: told.signed_by,
        remembers_for: match remembered {
            Memory::Hit { .. } => settings.positive_ttl,
            _ => settings.negative_ttl,
        },
        remembered,
        error,
        words: None,
    }
}

fn watched<'a>(snapshot: &'a Snapshot, url: &str) -> Option<&'a Target> {
    let mut caches = snapshot.targets.iter();
    caches.find(|target| remembered::is_same(&target.uri, url))
}

/// The path of the store that a path leads to: it itself, or what is above a file in it.
fn store_path(path: &Path, store: &str) -> Result<String, NixError> {
    let resolved = if path.starts_with(store) {
        path.to_owned()
    } else {
        // `result`, and what lies on a PATH.
        path.canonicalize().map_err(NixError::Path)?
    };
    let name = resolved.strip_prefix(store).ok();
    let name = name.and_then(|rest| rest.components().next());
    let name = name.and_then(|name| name.as_os_str().to_str());
    let path = name.map(|name| format!("{store}/{name}"));
    path.filter(|path| hash_part(path, store).is_some())
        .ok_or_else(|| NixError::NoStorePath(store.into()))
}

fn hash_part<'a>(path: &'a str, store: &str) -> Option<&'a str> {
    let name = path.strip_prefix(store)?.strip_prefix('/')?;
    let (hash, _) = name.split_once('-')?;
    let is_base32 = hash.bytes().all(|letter| {
        letter.is_ascii_digit() || (letter.is_ascii_lowercase() && !b"eotu".contains(&letter))
    });
    (hash.len() == HASH && is_base32).then_some(hash)
}

fn page(explained: &Explained, style: &Style) -> String {
    let mut page = wrap(&sentence(explained), "", "", style.width);
    page.push('\n');
    let label = |cache: &Cache| match &cache.name {
        Some(name) => format!("cache/{name}"),
        None => cache.url.to_string(),
    };
    let widest = explained
        .caches
        .iter()
        .map(|cache| columns(&label(cache)))
        .max();
    let widest = widest.unwrap_or_default();
    for cache in &explained.caches {
        let state = match (cache.has, cache.is_taken()) {
            (_, true) => TargetState::Ready,
            (Some(true), false) => TargetState::Degraded,
            (Some(false), _) => TargetState::Unknown,
            (None, _) => TargetState::Down,
        };
        // What it lacks is no fault of its own.
        let glyph = if cache.has == Some(false) {
            "-"
        } else {
            state_glyph(state)
        };
        let label = label(cache);
        let gap = " ".repeat(widest - columns(&label) + 3);
        let indent = " ".repeat(widest + 5);
        let words = wrap(&words(cache), &indent, &indent, style.width);
        let words = words.get(indent.len()..).unwrap_or_default();
        page.push_str(&format!(
            "{} {label}{gap}{words}",
            style.paint(state_tone(state), glyph)
        ));
    }
    let mut memories = explained.caches.iter().map(|cache| cache.remembered);
    let note = memories.find_map(|memory| match memory {
        Memory::Hidden => Some(tr(
            "What Nix remembers of having asked is root's to read: `sudo offloadctl explain …` says it.",
        )),
        Memory::Unread => Some(tr(
            "What Nix remembers of having asked is read with sqlite3, which did not work.",
        )),
        Memory::Hit { .. } | Memory::Miss { .. } | Memory::Nothing => None,
    });
    if let Some(note) = note {
        page.push('\n');
        page.push_str(&style.paint(Tone::Faint, &wrap(note, "", "", style.width)));
    }
    page
}

fn sentence(explained: &Explained) -> String {
    let path = &explained.path;
    let mut caches = explained.caches.iter();
    let label = |cache: &Cache| match &cache.name {
        Some(name) => format!("cache/{name}"),
        None => cache.url.to_string(),
    };
    if !explained.substitute {
        return say!(
            "Nix substitutes nothing (substitute = false): it builds {path}.",
            path
        );
    }
    if let Some(cache) = caches.clone().find(|cache| cache.is_taken()) {
        let unless = match cache.remembered {
            Memory::Hidden | Memory::Unread => tr(", unless it remembers that it was not there"),
            Memory::Hit { .. } | Memory::Miss { .. } | Memory::Nothing => "",
        };
        return say!(
            "Nix fetches {path} from {cache}{unless}.",
            path,
            cache = label(cache),
            unless
        );
    }
    if let Some(cache) = caches.clone().find(|cache| cache.has == Some(true)) {
        let why = if cache.trusted != Some(true) {
            tr("it would not trust it")
        } else {
            tr("it remembers that it was not there, and does not ask again")
        };
        return say!(
            "Nix does not fetch {path}: {cache} has it, but {why}.",
            path,
            cache = label(cache),
            why
        );
    }
    if explained.caches.is_empty() {
        return say!("Nix has no substituters: it builds {path}.", path);
    }
    match caches.find(|cache| cache.has.is_none()) {
        Some(cache) => say!(
            "{path} is in no substituter that answers; {cache} does not.",
            path,
            cache = label(cache)
        ),
        None => say!("{path} is in no substituter: Nix builds it.", path),
    }
}

fn words(cache: &Cache) -> String {
    let mut words = match cache.has {
        None => say!("does not answer: {error}", error = cache.error),
        Some(false) => tr("does not have it").to_owned(),
        Some(true) => say!("has it, {signed}", signed = signed(cache)),
    };
    let since = |age: u64| duration(age.saturating_mul(1_000_000));
    match cache.remembered {
        Memory::Miss { age } if cache.is_passed_by() => {
            let left = since(cache.remembers_for - age);
            words.push_str(&say!(
                "; Nix asked {age} ago, it was not there, and asks again in {left}",
                age = since(age),
                left
            ));
            if cache.has == Some(true) {
                words.push_str(tr(" (`offloadctl forget-misses` has it ask now)"));
            }
        }
        Memory::Miss { age } => words.push_str(&say!(
            "; Nix asked {age} ago, it was not there, and will ask again",
            age = since(age)
        )),
        Memory::Hit { age } => {
            words.push_str(&say!(
                "; Nix asked {age} ago, and it was there",
                age = since(age)
            ));
        }
        Memory::Nothing => words.push_str(tr("; Nix remembers nothing of it")),
        Memory::Hidden | Memory::Unread => {}
    }
    words
}

/// By whom, and what Nix makes of it.
fn signed(cache: &Cache) -> String {
    let by = cache.signed_by.iter().map(Printable::to_string);
    let by: Vec<String> = by.collect();
    let by = by.join(tr(" and "));
    match (cache.trusted, &*by, cache.known_keys.is_empty()) {
        (Some(true), "", _) => tr("unsigned, and Nix wants no signature of it").to_owned(),
        (Some(true), by, true) => say!("signed by {by}, and Nix wants no signature of it", by),
        (Some(true), by, false) => say!("signed by {by}, whose key nix.conf trusts", by),
        (_, "", _) => tr("unsigned, which Nix does not take").to_owned(),
        (_, by, true) => say!(
            "signed by {by}, of which trusted-public-keys has no key",
            by
        ),
        (_, by, false) => {
            say!(
                "signed by {by}, but not with the key that trusted-public-keys has by that name",
                by
            )
        }
    }
}

/// How long one substituter may take: Nix's own patience is longer than a person's.
const PATIENCE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests;
