//! `explain`: where Nix would send a build, and why not elsewhere; or where it would fetch a path from.

mod derivation;
mod path;

use std::path::{Path, PathBuf};

use serde::Deserialize;

#[cfg(test)]
pub(super) use self::path::Explained;
pub(super) use self::{derivation::DerivationError, path::NixError};
use super::{
    args::Cli,
    document,
    failure::{Failure, Outcome},
    json,
    output::Output,
    session::Session,
};
use crate::{
    explain::{self, Explanation, Fate},
    page,
};

/// What is asked about.
pub(super) struct Question<'a> {
    /// A derivation's file, or another path of the store.
    pub(super) path: Option<&'a Path>,
    pub(super) system: Option<&'a str>,
    pub(super) features: &'a [String],
    pub(super) prefers_local: bool,
}

pub(super) async fn explain(
    cli: &Cli,
    output: Output,
    question: Question<'_>,
) -> Result<Outcome, Failure> {
    let is_derivation = |path: &&Path| path.extension().is_some_and(|end| end == "drv");
    if let Some(path) = question.path.filter(|path| !is_derivation(path)) {
        return path::explain(cli, output, path).await;
    }
    let wanted = wanted(&question)?;
    let session = Session::open(cli).await?;
    // A daemon that has only just started has its first verdicts then.
    session.judged().await?;
    let json = session.client.explain_json(&wanted).await?;
    let nonsense = |error: serde_json::Error| Failure::Nonsense(error.to_string());
    let document = document::read(json.as_bytes()).map_err(nonsense)?;
    let explanation = Explanation::deserialize(&document).map_err(nonsense)?;
    if cli.json {
        output.print(&json::line(&json::explained(document))?)?;
    } else {
        output.list(&page::explain(&explanation, &output.style))?;
    }
    Ok(Outcome::ready(matches!(
        explanation.fate,
        Fate::Builder | Fate::Here
    )))
}

fn wanted(question: &Question<'_>) -> Result<explain::Question, Failure> {
    if let Some(path) = question.path {
        return derivation::read(path)
            .map_err(|error| Failure::Derivation(PathBuf::from(path), error));
    }
    Ok(explain::Question {
        // Nothing: what this machine's Nix is set to.
        system: question.system.unwrap_or_default().to_owned(),
        features: question.features.to_vec(),
        prefer_local_build: question.prefers_local,
    })
}
