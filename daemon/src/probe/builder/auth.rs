//! Authentication with the keys that `ssh`, started by Nix, would offer, in its order.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::Arc,
};

use offload_client::{
    Reason,
    snapshot::{Detail, Details},
};
use russh::{
    MethodKind, MethodSet,
    client::AuthResult,
    keys::{PrivateKey, PrivateKeyWithHashAlg},
};

use super::{
    host_key::fingerprint,
    identity,
    link::{End, Link},
};
use crate::credential;

/// How many keys are offered: OpenSSH's server hangs up after that many (`MaxAuthTries`).
const KEYS_MAX: usize = 6;

/// Who asks to be let in, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Applicant {
    /// The name on the builder.
    pub user: String,
    /// The key that the machine entry names.
    pub entry: Option<PathBuf>,
    /// The keys that ssh_config names, or OpenSSH's defaults.
    pub configured: Vec<PathBuf>,
}

/// What happened so far.
#[derive(Debug, Default)]
struct Attempts {
    /// Fingerprints of the keys that were offered.
    tried: Vec<String>,
    /// `path: cause` of the keys that could not be.
    unusable: Vec<String>,
    /// Whether the machine entry's own key is among those.
    entry_unusable: bool,
    /// What the server demands after it accepted a key.
    demanded: Option<MethodSet>,
}

impl Applicant {
    /// Authenticates on `link`. What is worth knowing goes to `details` as it happens.
    pub(super) async fn authenticate(
        &self,
        link: &mut Link,
        details: &mut Details,
    ) -> Result<(), End> {
        let mut attempts = Attempts::default();
        let result = self.attempt(link, details, &mut attempts).await;
        if !attempts.unusable.is_empty() {
            let unusable = attempts.unusable.clone();
            details.insert("unreadable_keys".into(), unusable.into());
        }
        let banner = link.auth_banner();
        if !banner.is_empty() && !matches!(result, Ok(true)) {
            details.insert("auth_banner".into(), banner.into());
        }
        match result? {
            true => Ok(()),
            false => Err(self.rejected(attempts)),
        }
    }

    /// Whether the server let us in.
    async fn attempt(
        &self,
        link: &mut Link,
        details: &mut Details,
        attempts: &mut Attempts,
    ) -> Result<bool, End> {
        match link.try_none(&self.user).await? {
            AuthResult::Success => return Ok(true),
            AuthResult::Failure {
                remaining_methods, ..
            } if !remaining_methods.contains(&MethodKind::PublicKey) => {
                return Err(End {
                    reason: Reason::AuthRejected,
                    detail: format!(
                        "user {}: the server accepts no keys, only {}",
                        self.user,
                        words(&remaining_methods)
                    )
                    .into(),
                });
            }
            AuthResult::Failure { .. } => {}
        }
        for file in identity::files(self.entry.as_deref(), &self.configured) {
            if attempts.tried.len() == KEYS_MAX {
                break;
            }
            let Some(key) = self.load(&file, link, attempts).await? else {
                if self.entry.as_ref() == Some(&file) {
                    self.note_unusable(&file, details);
                }
                continue;
            };
            let tried = attempts.tried.clone().into();
            details.insert("tried_keys".into(), tried);
            // The one that lets us in; where none does, the first, which Nix would offer first.
            let path = Detail::Text(file.as_path().into());
            details.entry("identity".into()).or_insert(path.clone());
            match link.try_key(&self.user, key).await? {
                AuthResult::Success => {
                    details.insert("identity".into(), path);
                    return Ok(true);
                }
                AuthResult::Failure {
                    remaining_methods,
                    partial_success,
                } => {
                    let go_on = remaining_methods.contains(&MethodKind::PublicKey);
                    if partial_success {
                        attempts.demanded = Some(remaining_methods);
                    }
                    if !go_on {
                        break;
                    }
                }
            }
        }
        Ok(false)
    }

    /// The key in `file`, if it can be offered and was not yet; notes it as tried or as unusable.
    async fn load(
        &self,
        file: &Path,
        link: &Link,
        attempts: &mut Attempts,
    ) -> Result<Option<PrivateKeyWithHashAlg>, End> {
        let is_entry = self.entry.as_deref() == Some(file);
        let key: PrivateKey = match identity::load(file) {
            Ok(key) => key,
            // ssh passes over in silence what it was not told to use on its command line.
            Err(error) if error.is_missing() && !is_entry => return Ok(None),
            Err(error) => {
                attempts.unusable(file, is_entry, &error.to_string());
                return Ok(None);
            }
        };
        let tried = fingerprint(key.public_key());
        if attempts.tried.contains(&tried) {
            return Ok(None);
        }
        let hash = match key.algorithm().is_rsa() {
            false => None,
            true => match link.rsa_hash().await? {
                None => {
                    let why = "the server takes only SHA-1 signatures of it";
                    attempts.unusable(file, is_entry, why);
                    return Ok(None);
                }
                hash => hash,
            },
        };
        attempts.tried.push(tried);
        Ok(Some(PrivateKeyWithHashAlg::new(Arc::new(key), hash)))
    }

    /// What the remedy names: the file, and what it would be called as a credential.
    fn note_unusable(&self, file: &Path, details: &mut Details) {
        let text = |text: &OsStr| Detail::Text(Path::new(text).into());
        details.insert("identity".into(), text(file.as_os_str()));
        details.insert("credential".into(), text(&credential::name(file)));
    }

    /// The verdict where the server did not let us in.
    fn rejected(&self, attempts: Attempts) -> End {
        let user = &self.user;
        let (reason, detail) = if let Some(demanded) = attempts.demanded {
            let words = words(&demanded);
            (
                Reason::AuthRejected,
                format!("user {user}: a key is accepted, but the server demands {words} as well"),
            )
        } else if attempts.entry_unusable || attempts.tried.is_empty() {
            let why = match attempts.unusable.is_empty() {
                true => format!("none of the keys exists: {}", list(&self.configured)),
                false => attempts.unusable.join("; "),
            };
            (Reason::KeyUnreadable, why)
        } else {
            let keys = attempts.tried.join(", ");
            (
                Reason::AuthRejected,
                format!("user {user}: the server does not accept {keys}"),
            )
        };
        let detail = detail.into();
        End { reason, detail }
    }
}

impl Attempts {
    fn unusable(&mut self, file: &Path, is_entry: bool, why: &str) {
        self.unusable.push(format!("{}: {why}", file.display()));
        self.entry_unusable |= is_entry;
    }
}

fn words(methods: &MethodSet) -> String {
    let words: Vec<String> = methods.iter().map(String::from).collect();
    words.join(", ")
}

fn list(files: &[PathBuf]) -> String {
    let files: Vec<_> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    files.join(", ")
}
