//! Caches that every check of the daemon's own is content with, and that nix-daemon does not get to: for what it alone has read, or
//! was started with. Who asks it knows, and nobody else.

use std::collections::BTreeMap;

use offload_client::{Kind, Snapshot, snapshot::Target};
use serde::Deserialize;

use super::{
    Case, Judged,
    agreement::{Agreement, Word, hold},
    cache::{PATH, Server},
    codes,
    ground::Ground,
    nix::Nix,
    proof,
};
use crate::Result;

/// One nix-daemon.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WitnessCase {
    name: String,
    differs: Option<String>,
    /// What it has in its environment, and nobody else.
    #[serde(default)]
    environment: BTreeMap<String, String>,
    /// What nix.conf has beside the cache.
    #[serde(default)]
    conf: String,
    /// What it has behind that while nix-daemon starts, and no longer afterwards; as [`Server::filled`].
    #[serde(default)]
    started_with: String,
    /// Whether offloadd has seen that.
    #[serde(default)]
    seen: bool,
    /// Its words, where it does not get there.
    #[serde(default)]
    words: String,
    /// The warning that goes with it.
    warns: Option<String>,
}

impl Case for WitnessCase {
    fn name(&self) -> &str {
        &self.name
    }

    fn differs(&self) -> Option<&str> {
        self.differs.as_deref()
    }
}

/// Has nix-daemon fetch a path, and asks the daemon, which can ask it; but first one that can't.
pub(super) async fn judge(
    ground: &Ground,
    server: &Server<'_>,
    case: &WitnessCase,
    nix: &Nix<'_>,
) -> Result<Judged> {
    let place = ground.path("witness");
    let environment = nix.environment();
    let configuration = server.plain(&place, &case.conf)?;
    if !case.seen {
        let alone = ground.once(&configuration, &environment, false)?;
        if !matches!(&alone, Ok(snapshot) if Word::of(snapshot, "cache") == Word::Goes) {
            let said = "the checks alone are not content".to_owned();
            return Ok((false, said).into());
        }
    }
    let before = format!("{}{}", case.conf, case.started_with);
    server.plain(&place, &server.filled(&before))?;
    let own = case.environment.iter();
    let with_own: BTreeMap<_, _> = environment
        .iter()
        .map(|(name, value)| (*name, value.clone()))
        .chain(own.map(|(name, value)| (name.as_str(), value.clone())))
        .collect();
    let nix_daemon = nix.daemon(&place, &with_own).await?;
    let laptop = || proof::laptop(nix, &place, &environment, configuration.clone());
    let seeing = if case.seen {
        Some(laptop().await?)
    } else {
        None
    };
    // What is written again is another file, whatever stands in it.
    if !case.started_with.is_empty() {
        server.plain(&place, &case.conf)?;
    }
    let mut client = environment.clone();
    client.insert("NIX_REMOTE", "daemon".to_owned());
    let did = nix.fetches(&place, &client, PATH)?;
    let laptop = match seeing {
        Some(laptop) => laptop,
        None => laptop().await?,
    };
    let is_judged =
        |snapshot: &Snapshot| proof::is_judged(snapshot, Kind::Cache, case.warns.as_deref());
    let snapshot = laptop.until("the cache is judged", is_judged).await?;
    drop(nix_daemon);
    let json = proof::json(&snapshot)?;
    let judged = hold(&json, Word::of(&json, "cache"), &did);
    let said = |target: &Target| {
        let error = target.details.get("error");
        error.is_some_and(|error| error.to_string().contains(&case.words))
    };
    let is_told = case.words.is_empty()
        || judged.agreement != Some(Agreement::NeitherGoes)
        || snapshot.targets.iter().any(said);
    let mut warns = case.warns.iter();
    let is_warned = warns.all(|code| codes(&json).contains(&&**code));
    Ok(Judged {
        agrees: judged.agrees && is_told && is_warned,
        ..judged
    })
}
