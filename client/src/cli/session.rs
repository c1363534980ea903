//! A connection to the daemon, and what commands ask of it.

use std::{future::ready, pin::pin, time::Duration};

use futures_util::StreamExt;
use serde_json::Value;
use tokio::time::timeout;

use super::{args::Cli, document, failure::Failure, json};
use crate::{
    Client, Printable, Reason, Snapshot, TargetState, connect,
    language::say,
    page::{Style, Tone, wrap},
    snapshot::Target,
};

/// What a daemon that has only just started is given for its first verdicts.
const FIRST: Duration = Duration::from_secs(3);

/// A daemon that was there, or would be started; or one that may be yet to come.
pub(super) struct Session {
    pub(super) client: Client,
}

impl Session {
    pub(super) async fn open(cli: &Cli) -> Result<Self, Failure> {
        let found = connect::find(cli.bus.as_ref()).await?;
        Ok(Self {
            client: Client::found(cli.bus.clone(), found),
        })
    }

    /// As [`Self::open`], but a daemon, and a bus, may be yet to come.
    pub(super) fn to_come(cli: &Cli) -> Self {
        let client = Client::on(cli.bus.clone());
        Self { client }
    }

    /// What [`which`] says, as the end of a page.
    pub(super) async fn which(&self, style: &Style) -> String {
        let Some(told) = which(&self.client).await else {
            return String::new();
        };
        let told = wrap(&told, "", "", style.width);
        format!("\n{}", style.paint(Tone::Faint, &told))
    }

    pub(super) async fn snapshot(&self) -> Result<Snapshot, Failure> {
        Ok(self.client.snapshot().await?)
    }

    /// As [`Self::snapshot`]; of a daemon that has only just started (the call itself may have started it) the first
    /// with a verdict on everything, if there soon is one.
    pub(super) async fn judged(&self) -> Result<Snapshot, Failure> {
        let now = self.snapshot().await?;
        if !is_yet_to_be_judged(&now) {
            return Ok(now);
        }
        let judged = async {
            let updates = self.client.watch().filter_map(ready);
            let judged = updates.filter(|update| ready(!is_yet_to_be_judged(update)));
            pin!(judged).next().await
        };
        Ok(timeout(FIRST, judged).await.ok().flatten().unwrap_or(now))
    }

    /// The daemon's own JSON, words of newer daemons included; with only `targets` in it where
    /// some were asked for.
    pub(super) async fn document(&self, targets: Option<&[&Target]>) -> Result<Value, Failure> {
        let json = self.client.json().await?;
        let mut document = document::read(json.as_bytes())
            .map_err(|error| Failure::Nonsense(error.to_string()))?;
        let listed = document.get_mut("targets").and_then(Value::as_array_mut);
        if let (Some(wanted), Some(listed)) = (targets, listed) {
            listed.retain(|entry| {
                let is = |key: &str, value: &str| entry.get(key).is_some_and(|e| e == value);
                wanted
                    .iter()
                    .any(|target| is("kind", target.kind.as_str()) && is("name", &target.name))
            });
        }
        Ok(json::with_words(document))
    }
}

/// Says which daemon was asked where there are several and none was named; else nothing.
pub(super) async fn which(client: &Client) -> Option<String> {
    let place = client.place()?;
    let others = connect::others(&place).await;
    let (place, other) = (Printable::from(&place), Printable::from(others.first()?));
    Some(say!(
        "So says the daemon on the {place}; another one is there with `--bus {other}`.",
        place,
        other
    ))
}

/// Whether there is a target that no check has ended of.
fn is_yet_to_be_judged(snapshot: &Snapshot) -> bool {
    let mut targets = snapshot.targets.iter();
    targets.any(|target| {
        let is_unknown = target.state == TargetState::Unknown && target.reason == Reason::None;
        is_unknown && target.last_check_timestamp == 0
    })
}

/// The targets that a person means; all of them without a name.
pub(super) fn select<'a>(
    snapshot: &'a Snapshot,
    name: Option<&'a str>,
) -> Result<Vec<&'a Target>, Failure> {
    let Some(name) = name else {
        return Ok(snapshot.targets.iter().collect());
    };
    let found: Vec<&Target> = snapshot.find(name).collect();
    if found.is_empty() {
        return Err(Failure::UnknownTarget {
            name: name.to_owned(),
            known: snapshot.targets.iter().map(Target::label).collect(),
        });
    }
    Ok(found)
}
