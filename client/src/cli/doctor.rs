//! `doctor`: what a person would have looked up in an afternoon, on one page.

mod comments;
mod correction;
mod literals;
mod occurrences;
mod once;
mod patch;
mod switched;
#[cfg(test)]
mod tests;
mod tree;
mod unlike;
mod walk;

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

pub(super) use once::OnceError;
use switched::Switched;

use super::{
    args::Cli,
    document,
    failure::{Failure, Outcome},
    output::Output,
    session::Session,
    spinner,
};
use crate::{
    ClientError, Snapshot,
    errors::BusError,
    language::{say, tr},
    page::doctor::{self, Examination, Source, TreeSearch},
};

/// The version of the JSON. It grows only when a reader of the old one would misread the new.
const DOCTOR_VERSION: u32 = 1;
/// Where NixOS has its configuration.
const CONFIG_DIR: &str = "/etc/nixos";

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Page,
    Json,
    /// The proposed patch alone.
    Patch,
}

pub(super) async fn doctor(
    cli: &Cli,
    output: Output,
    config_dir: Option<&Path>,
    form: Form,
) -> Result<Outcome, Failure> {
    if let Some(given) = config_dir {
        std::fs::read_dir(given).map_err(|error| Failure::ConfigDir(given.to_owned(), error))?;
    }
    let known = Known::look(cli).await?;
    let search = look_for(&known.snapshot, config_dir).await?;
    let is_well = doctor::is_well(&known.snapshot, search.as_ref());
    let text = match form {
        Form::Json => format!("{}\n", known.json(search.as_ref())),
        Form::Patch => search.map(|search| search.patch).unwrap_or_default(),
        Form::Page => {
            let examination = Examination {
                snapshot: &known.snapshot,
                source: known.source,
                search: search.as_ref(),
            };
            let style = output.style_now();
            let which = match &known.session {
                Some(session) => session.which(&style).await,
                None => String::new(),
            };
            doctor::render(&examination, &style) + &which
        }
    };
    match form {
        Form::Page => output.page(&text)?,
        Form::Json | Form::Patch => output.print(&text)?,
    }
    Ok(Outcome::ready(is_well))
}

/// What is known of the targets, and from whom.
struct Known {
    source: Source,
    /// Nothing without a daemon.
    session: Option<Session>,
    snapshot: Snapshot,
    /// The same as it came, words of newer daemons included.
    document: Value,
}

impl Known {
    /// From the daemon after a fresh check; from `offloadd --once` where there is none.
    async fn look(cli: &Cli) -> Result<Self, Failure> {
        let no_daemon = match spinner::beside(tr("checking"), Self::of_daemon(cli)).await {
            Err(failure) if failure.is_no_daemon() => failure,
            known => return known,
        };
        let (json, program) =
            spinner::beside(tr("checking without a daemon"), once::round()).await?;
        let document =
            document::read(&json).map_err(|error| Failure::Nonsense(error.to_string()))?;
        let source = Source::Once {
            program: program.display().to_string(),
            why: match no_daemon {
                Failure::NoDaemon(_) => tr("No daemon runs"),
                Failure::Silent => tr("The daemon does not answer"),
                _ => tr("The daemon went away"),
            }
            .to_owned(),
        };
        Self::of(source, None, document)
    }

    async fn of_daemon(cli: &Cli) -> Result<Self, Failure> {
        let session = Session::open(cli).await?;
        match session.client.check().await {
            Ok(_) => {}
            // Checked too often, or busy: then what is known has to do.
            Err(ClientError::Bus(error)) if !matches!(error, BusError::ZBus(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let document = session.document(None).await?;
        Self::of(Source::Daemon, Some(session), document)
    }

    fn of(source: Source, session: Option<Session>, document: Value) -> Result<Self, Failure> {
        let snapshot = Snapshot::deserialize(&document)
            .map_err(|error| Failure::Nonsense(error.to_string()))?;
        Ok(Self {
            source,
            session,
            snapshot,
            document,
        })
    }

    fn json(&self, search: Option<&TreeSearch>) -> Value {
        let (source, program) = match &self.source {
            Source::Daemon => ("daemon", None),
            Source::Once { program, .. } => ("once", Some(program)),
        };
        let root = self.snapshot.cause();
        let none = TreeSearch::default();
        let found = search.unwrap_or(&none);
        json!({
            "doctor_version": DOCTOR_VERSION,
            "source": source,
            "program": program,
            "root_cause": root,
            "snapshot": self.document,
            "config_dir": search.map(|search| &search.directory),
            "unlike": found.unlike,
            "edited": found.edited,
            "findings": found.findings,
            "not_searched": found.notes,
            "patch": found.patch,
        })
    }
}

/// Searches the configuration tree for the addresses that are known to be wrong; where none is, for what differs from Nix.
async fn look_for(
    snapshot: &Snapshot,
    config_dir: Option<&Path>,
) -> Result<Option<TreeSearch>, Failure> {
    let corrections = correction::all(snapshot);
    let directory = config_dir.map_or_else(|| PathBuf::from(CONFIG_DIR), Path::to_owned);
    if corrections.is_empty() {
        return compare(snapshot, directory, config_dir.is_some()).await;
    }
    let root = directory.clone();
    let found = spawn_blocking(move || tree::search(&root, &corrections));
    let found = spinner::beside(tr("searching the configuration"), found).await;
    match found.map_err(|error| Failure::Runtime(io::Error::other(error)))? {
        Ok(search) => Ok(Some(search)),
        // Not NixOS, or its configuration is elsewhere: there is a page all the same.
        Err(error) if config_dir.is_none() => Ok(Some(TreeSearch {
            directory: CONFIG_DIR.to_owned(),
            wrong: correction::all(snapshot)
                .into_iter()
                .map(|w| w.wrong)
                .collect(),
            notes: vec![
                say!(
                    "{directory}: {error}; --config-dir names another place",
                    directory = CONFIG_DIR,
                    error
                )
                .into(),
            ],
            ..TreeSearch::default()
        })),
        Err(error) => Err(Failure::ConfigDir(directory, error)),
    }
}

/// Holds the configuration tree against what Nix has, where no warning says what is wrong with it.
async fn compare(
    snapshot: &Snapshot,
    directory: PathBuf,
    named: bool,
) -> Result<Option<TreeSearch>, Failure> {
    let Some(known) = unlike::Known::of(snapshot) else {
        return Ok(None);
    };
    let root = directory.clone();
    let compared = spawn_blocking(move || known.search(&root, Switched::read(), named));
    let compared = spinner::beside(tr("searching the configuration"), compared).await;
    match compared.map_err(|error| Failure::Runtime(io::Error::other(error)))? {
        Ok(search) => Ok(search),
        Err(error) if named => Err(Failure::ConfigDir(directory, error)),
        Err(_) => Ok(None),
    }
}
