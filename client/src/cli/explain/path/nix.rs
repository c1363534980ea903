//! This machine's own Nix, asked.

use std::{io, process::Stdio};

use serde_json::Value;
use tempfile::TempDir;
use thiserror::Error;
use tokio::{process::Command, time::timeout};

use super::PATIENCE;
use crate::{Printable, cli::document};

/// Why Nix does not say.
#[derive(Debug, Error)]
pub(in crate::cli) enum NixError {
    #[error("`nix` can't be run: {0}")]
    Run(io::Error),
    #[error("{0}")]
    Path(io::Error),
    #[error("is no derivation, and nothing in {0}")]
    NoStorePath(Printable),
    #[error("{0}")]
    Said(Printable),
    #[error("Nix's answer can't be read")]
    Nonsense,
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silent,
}

/// What nix.conf says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// Where the store is.
    pub(super) store: String,
    pub(super) substitute: bool,
    pub(super) substituters: Vec<String>,
    /// The names of `trusted-public-keys`.
    pub(super) keys: Vec<String>,
    /// How long Nix remembers that a path was not there, in seconds.
    pub(super) negative_ttl: u64,
    /// And how long that it was.
    pub(super) positive_ttl: u64,
}

/// What a substituter says of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) has: bool,
    pub(super) signed_by: Vec<Printable>,
    /// Whether Nix would take it.
    pub(super) trusted: bool,
}

/// Nix with a memory of its own, which goes with this: what root's Nix remembers stays as it is.
pub(super) struct Nix {
    memory: TempDir,
}

impl Nix {
    pub(super) fn new() -> Result<Self, NixError> {
        let memory = tempfile::tempdir().map_err(NixError::Path)?;
        Ok(Self { memory })
    }

    /// What the system's nix.conf says: a person's own is not nix-daemon's.
    pub(super) async fn settings(&self) -> Result<Settings, NixError> {
        // Before 2.20 it has the second name alone.
        let new = self.run(&["config", "show", "--json"]).await?;
        let answer = if new.success {
            new
        } else {
            self.run(&["show-config", "--json"]).await?
        };
        let settings = answer.json()?;
        let value = |name: &str| settings.get(name).and_then(|it| it.get("value"));
        let words = |name| {
            let words = value(name).and_then(Value::as_array).into_iter().flatten();
            let words = words.filter_map(Value::as_str);
            words.map(str::to_owned).collect::<Vec<_>>()
        };
        let number = |name, otherwise| value(name).and_then(Value::as_u64).unwrap_or(otherwise);
        let keys = words("trusted-public-keys").into_iter();
        let mut substituters = Vec::new();
        for url in words("substituters") {
            if !substituters.contains(&url) {
                substituters.push(url);
            }
        }
        Ok(Settings {
            store: std::env::var("NIX_STORE_DIR").unwrap_or_else(|_| "/nix/store".to_owned()),
            // Where it sees no network but this machine itself, `nix` turns that off for itself alone (src/nix/main.cc).
            substitute: answer.is_offline()
                || value("substitute").and_then(Value::as_bool).unwrap_or(true),
            substituters,
            keys: keys
                .filter_map(|key| Some(key.split_once(':')?.0.to_owned()))
                .collect(),
            negative_ttl: number("narinfo-cache-negative-ttl", 3600),
            positive_ttl: number("narinfo-cache-positive-ttl", 30 * 86_400),
        })
    }

    /// Asks a substituter.
    pub(super) async fn ask(&self, url: &str, path: &str) -> Result<Told, NixError> {
        let arguments = ["path-info", "--store", url, "--json", path];
        let answer = self.run(&[&arguments[..], &QUICKLY].concat()).await?;
        let Some(signed_by) = signatures(&answer.json()?) else {
            return Ok(Told::default());
        };
        let arguments = [
            "store",
            "verify",
            "--store",
            url,
            "--no-contents",
            "--sigs-needed",
            "1",
            path,
        ];
        let verified = self.run(&[&arguments[..], &QUICKLY].concat()).await?;
        Ok(Told {
            has: true,
            signed_by,
            // Parameters of the URL are Nix's to read, and require-sigs; `verify` does not heed them.
            trusted: verified.success || url.contains("trusted=1") || url.contains("trusted=true"),
        })
    }

    async fn run(&self, arguments: &[&str]) -> Result<Answer, NixError> {
        let mut command = Command::new("nix");
        command
            .args(["--extra-experimental-features", "nix-command"])
            .args(arguments)
            .env("XDG_CACHE_HOME", self.memory.path())
            .env("NIX_USER_CONF_FILES", "")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = timeout(PATIENCE, command.output()).await;
        let output = output
            .map_err(|_| NixError::Silent)?
            .map_err(NixError::Run)?;
        Ok(Answer {
            success: output.status.success(),
            stdout: output.stdout,
            stderr: output.stderr,
        })
    }
}

/// A person waits: one attempt, and no long one.
const QUICKLY: [&str; 6] = [
    "--option",
    "connect-timeout",
    "5",
    "--option",
    "download-attempts",
    "1",
];

struct Answer {
    success: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Answer {
    fn is_offline(&self) -> bool {
        String::from_utf8_lossy(&self.stderr).contains("you don't have Internet access")
    }

    fn json(&self) -> Result<Value, NixError> {
        if self.success {
            return document::read(&self.stdout).map_err(|_| NixError::Nonsense);
        }
        let said = String::from_utf8_lossy(&self.stderr);
        let last = said
            .lines()
            .rev()
            .map(str::trim)
            .find(|line| !line.is_empty());
        let last = last.unwrap_or_default();
        Err(NixError::Said(
            last.strip_prefix("error: ").unwrap_or(last).into(),
        ))
    }
}

/// The names of the keys that signed the one path of an answer of `nix path-info --json`; nothing where it is not there.
/// Before 2.19 that is a list of objects that have `valid: false`, from then on an object by path with `null`; from 2.33
/// on a signature is an object too, and paths stand below `info`.
fn signatures(answer: &Value) -> Option<Vec<Printable>> {
    let info = match answer {
        Value::Array(paths) => paths.first()?,
        Value::Object(paths) => match paths.get("info") {
            Some(Value::Object(paths)) => paths.values().next()?,
            _ => paths.values().next()?,
        },
        _ => return None,
    };
    if info.is_null() || info.get("valid") == Some(&Value::Bool(false)) {
        return None;
    }
    let name = |signature: &Value| match signature {
        Value::String(text) => Some(text.split_once(':')?.0.into()),
        signature => Some(signature.get("keyName")?.as_str()?.into()),
    };
    let signatures = info.get("signatures").and_then(Value::as_array);
    let mut names: Vec<Printable> = Vec::new();
    for name in signatures.into_iter().flatten().filter_map(name) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_of_any_nix_says_who_signed() {
        let sigs = json!({"signatures": ["a-1:x", "b-1:y", "a-1:z"]});
        let names = Some(vec!["a-1".into(), "b-1".into()]);
        assert_eq!(signatures(&json!([sigs])), names);
        assert_eq!(signatures(&json!({"/nix/store/x": sigs})), names);
        let new =
            json!({"signatures": [{"keyName": "a-1", "sig": "x"}, {"keyName": "b-1", "sig": "y"}]});
        let new = json!({"version": 2, "storeDir": "/nix/store", "info": {"x": new}});
        assert_eq!(signatures(&new), names);
        assert_eq!(
            signatures(&json!([{"path": "x", "signatures": []}])),
            Some(vec![])
        );
        assert_eq!(signatures(&json!([{"path": "x"}])), Some(vec![]));
        assert_eq!(signatures(&json!([{"path": "x", "valid": false}])), None);
        assert_eq!(signatures(&json!({"x": null})), None);
        assert_eq!(signatures(&json!([])), None);
    }
}
