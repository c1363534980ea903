//! Authentication with the keys that `ssh`, started by Nix, would offer, in its order.

use std::{
    ffi::OsStr,
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use offload_client::{
    Reason,
    snapshot::{Detail, Details},
};
use russh::{
    MethodKind,
    client::AuthResult,
    keys::{Algorithm, Certificate, HashAlg, PublicKey},
};

mod attempts;

use self::attempts::{Attempts, words};
use super::{
    host_key::{fingerprint, too_short},
    identity::{self, Key},
    link::{End, Link},
    note_option,
};
use crate::{
    credential,
    files::Reachable,
    helper::wire::{NotOffered, Offered},
    nix::ssh_config::SshOptions,
    report::IDENTITY,
};

/// How many keys are offered: OpenSSH's server hangs up after that many (`MaxAuthTries`).
const MAX_KEYS: usize = 6;

/// Who asks to be let in, and with what.
#[derive(Debug)]
pub(super) struct Authenticator<'a> {
    /// The key that the machine entry names.
    pub entry: Option<&'a Path>,
    /// The name on the builder and the keys of ssh_config, or OpenSSH's defaults.
    pub options: &'a SshOptions,
    /// Whether an ssh-agent may have more.
    pub has_agent: bool,
    /// Where the public halves are read.
    pub files: Reachable,
}

/// What can be offered.
struct Identity {
    /// The file that ssh would name.
    path: PathBuf,
    key: Key,
    certificate: Option<Certificate>,
}

/// Why there is no key in a file.
enum NoKey {
    /// It is not there.
    Missing(String),
    /// ssh does not take it.
    Unusable(String),
    /// Only root may read it.
    NotVisible,
}

impl Authenticator<'_> {
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
        let result = result.map_err(|end| match end.reason {
            // It had a key to reject, and would have said so.
            Reason::ConnectionLost if !attempts.tried.is_empty() => End {
                reason: Reason::LoginRefused,
                detail: format!("after {}: {}", attempts.tried.join(", "), end.detail).into(),
            },
            _ => end,
        });
        if result? {
            Ok(())
        } else {
            attempts.has_agent = self.has_agent
                && self.options.identity_agent.is_some()
                && self.files.agent().is_none();
            Err(attempts.rejected(self.options, details))
        }
    }

    /// Whether the server let us in.
    async fn attempt(
        &self,
        link: &mut Link,
        details: &mut Details,
        attempts: &mut Attempts,
    ) -> Result<bool, End> {
        match link.try_none(&self.options.user).await? {
            AuthResult::Success => return Ok(true),
            AuthResult::Failure {
                remaining_methods, ..
            } if !remaining_methods.contains(&MethodKind::PublicKey) => {
                let methods = words(&remaining_methods);
                let user = &self.options.user;
                let why = format!("user {user}: the server accepts no keys, only {methods}");
                details.insert("login_methods".into(), methods.into());
                return Err(End {
                    reason: Reason::AuthRejected,
                    detail: why.into(),
                });
            }
            AuthResult::Failure { .. } if !self.options.offers_keys => {
                let option = "pubkeyauthentication no";
                note_option(details, option);
                return Err(End {
                    reason: Reason::SshConfigPrevents,
                    detail: format!(
                        "{option}, or preferredauthentications without it: ssh offers no key"
                    )
                    .into(),
                });
            }
            AuthResult::Failure { .. } => {}
        }
        let files = identity::files(self.entry, &self.options.identity_files);
        // Certificates that are named come before all keys, and then none is looked for beside them.
        for identity in self.certified(&files, attempts).await {
            if let ControlFlow::Break(is_in) = self.offer(identity, link, details, attempts).await?
            {
                return Ok(is_in);
            }
        }
        for identity in self.of_roots_agent(attempts).await {
            if let ControlFlow::Break(is_in) = self.offer(identity, link, details, attempts).await?
            {
                return Ok(is_in);
            }
        }
        for file in &files {
            let Some(key) = self.load(file, attempts).await else {
                if self.entry == Some(file.as_path()) {
                    self.note_unusable(file, details);
                }
                continue;
            };
            let beside = if self.options.certificate_files.is_empty() {
                identity::beside(&self.files, file)
            } else {
                None
            };
            let of = |certificate| Identity {
                path: file.clone(),
                key: key.clone(),
                certificate,
            };
            for identity in [None].into_iter().chain(beside.map(Some)).map(of) {
                let offered = self.offer(identity, link, details, attempts).await?;
                if let ControlFlow::Break(is_in) = offered {
                    return Ok(is_in);
                }
            }
        }
        Ok(false)
    }

    /// What the agent of root's ssh has, in the order in which ssh offers it: before the keys that are in files alone.
    async fn of_roots_agent(&self, attempts: &mut Attempts) -> Vec<Identity> {
        let Some(agent) = self.files.agent() else {
            return Vec::new();
        };
        let offered = attempts.ask_roots(&agent).await.to_vec();
        let mut found = Vec::new();
        for Offered { file, key, .. } in offered.into_iter().filter(|offered| offered.is_agents) {
            // A certificate in an agent is passed over.
            match key.map(|key| PublicKey::from_bytes(&key)) {
                Ok(Ok(key)) => found.push(Identity {
                    path: file,
                    key: Key::Roots(key, agent.clone()),
                    certificate: None,
                }),
                Ok(Err(_)) => {}
                Err(_) => attempts.not_visible.push(file.display().to_string()),
            }
        }
        found
    }

    /// The certificates that ssh_config names, each with its private key among `files`.
    async fn certified(&self, files: &[PathBuf], attempts: &mut Attempts) -> Vec<Identity> {
        let mut found = Vec::new();
        for path in &self.options.certificate_files {
            let Some(certificate) = identity::certificate(&self.files, path) else {
                attempts.unusable(path, false, "no certificate of a user");
                continue;
            };
            let mut key = None;
            for file in files {
                key = self.read(file, attempts).await.ok();
                let is_its = |key: &Key| key.public().key_data() == certificate.public_key();
                if key.as_ref().is_some_and(is_its) {
                    break;
                }
                key = None;
            }
            match key {
                Some(key) => found.push(Identity {
                    path: path.clone(),
                    key,
                    certificate: Some(certificate),
                }),
                None => attempts.unusable(path, false, "none of the keys is the certificate's"),
            }
        }
        found
    }

    /// Offers it, where ssh would; `Break` with whether the server let us in, where that is the end.
    async fn offer(
        &self,
        identity: Identity,
        link: &mut Link,
        details: &mut Details,
        attempts: &mut Attempts,
    ) -> Result<ControlFlow<bool>, End> {
        if attempts.tried.len() == MAX_KEYS {
            return Ok(ControlFlow::Break(false));
        }
        let mut tried = fingerprint(identity.key.public());
        if identity.certificate.is_some() {
            tried.push_str(" (certificate)");
        }
        if attempts.tried.contains(&tried) {
            return Ok(ControlFlow::Continue(()));
        }
        let Some(hash) = self.hash(&identity, link, attempts).await? else {
            return Ok(ControlFlow::Continue(()));
        };
        attempts.tried.push(tried);
        details.insert("tried_keys".into(), attempts.tried.clone().into());
        // The one that lets us in; where none does, the first, which Nix would offer first.
        let path = Detail::Text(identity.path.as_path().into());
        details.entry(IDENTITY.into()).or_insert(path.clone());
        let (user, certificate) = (&self.options.user, identity.certificate);
        let answer = link.try_key(user, &identity.key, certificate, hash);
        match answer.await? {
            AuthResult::Success => {
                details.insert(IDENTITY.into(), path);
                Ok(ControlFlow::Break(true))
            }
            AuthResult::Failure {
                remaining_methods,
                partial_success,
            } => {
                let go_on = remaining_methods.contains(&MethodKind::PublicKey);
                if partial_success {
                    attempts.demanded = Some(remaining_methods);
                }
                Ok(if go_on {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(false)
                })
            }
        }
    }

    /// The key in `file`, if it can be used; notes it as unusable where not.
    async fn load(&self, file: &Path, attempts: &mut Attempts) -> Option<Key> {
        let is_entry = self.entry == Some(file);
        match self.read(file, attempts).await {
            Ok(key) => Some(key),
            // ssh passes over in silence what it was not told to use on its command line.
            Err(NoKey::Missing(_)) if !is_entry => None,
            Err(NoKey::Missing(why) | NoKey::Unusable(why)) => {
                attempts.unusable(file, is_entry, &why);
                None
            }
            Err(NoKey::NotVisible) => {
                attempts.not_visible.push(file.display().to_string());
                None
            }
        }
    }

    /// The key in `file`, which this process reads, or root's, with which the helper signs.
    async fn read(&self, file: &Path, attempts: &mut Attempts) -> Result<Key, NoKey> {
        let error = match identity::load(file, self.options.reads_ed25519_in_pkcs8) {
            Ok(key) => return Ok(Key::Own(Arc::new(key))),
            Err(error) if error.is_not_visible() => error,
            Err(error) if error.is_missing() => return Err(NoKey::Missing(error.to_string())),
            Err(error) => return Err(NoKey::Unusable(error.to_string())),
        };
        let Some(agent) = self.files.agent() else {
            return Err(if self.files.store().is_empty() {
                NoKey::Unusable(error.to_string())
            } else {
                NoKey::NotVisible
            });
        };
        let mut roots = attempts.ask_roots(&agent).await.iter();
        match roots
            .find(|offered| !offered.is_agents && offered.file == file)
            .map(|offered| &offered.key)
        {
            Some(Ok(key)) => {
                let key = PublicKey::from_bytes(key);
                let key = key.map_err(|error| NoKey::Unusable(error.to_string()))?;
                Ok(Key::Roots(key, agent))
            }
            Some(Err(NotOffered::Missing)) => Err(NoKey::Missing(
                io::Error::from(io::ErrorKind::NotFound).to_string(),
            )),
            Some(Err(NotOffered::Unusable(why))) => Err(NoKey::Unusable(why.clone())),
            Some(Err(NotOffered::NotVisible)) | None => Err(NoKey::NotVisible),
        }
    }

    /// The hash to sign with, which only RSA has a choice of; `None` where ssh would not offer the
    /// identity (`key_sig_algorithm` in OpenSSH's sshconnect2.c).
    async fn hash(
        &self,
        identity: &Identity,
        link: &Link,
        attempts: &mut Attempts,
    ) -> Result<Option<Option<HashAlg>>, End> {
        let public = identity.key.public();
        if let Some(why) = too_short(public, self.options.required_rsa_bits) {
            let is_entry = self.entry == Some(identity.path.as_path());
            attempts.unusable(&identity.path, is_entry, &why);
            return Ok(None);
        }
        let algorithm = public.algorithm();
        if !matches!(algorithm, Algorithm::Rsa { .. }) {
            let takes = self.takes(&algorithm, identity);
            if !takes {
                attempts.barred(&identity.path, &algorithm);
            }
            return Ok(takes.then_some(None));
        }
        let served = link.rsa_hash().await?;
        let choices: &[_] = match served {
            Some(HashAlg::Sha512) => &[Some(HashAlg::Sha512), Some(HashAlg::Sha256)],
            Some(hash) => &[Some(hash)],
            None => &[None],
        };
        let of = |hash: &&Option<HashAlg>| Algorithm::Rsa { hash: **hash };
        let hash = choices.iter().find(|hash| self.takes(&of(hash), identity));
        if hash.is_none() {
            match served {
                None => {
                    let why = "the server says of no signatures but SHA-1 that it takes them of it";
                    let is_entry = self.entry == Some(identity.path.as_path());
                    attempts.unusable(&identity.path, is_entry, why);
                }
                Some(_) => attempts.barred(&identity.path, &algorithm),
            }
        }
        Ok(hash.copied())
    }

    /// Whether ssh_config has ssh sign with `algorithm`.
    fn takes(&self, algorithm: &Algorithm, identity: &Identity) -> bool {
        let name = match identity.certificate {
            Some(_) => algorithm.to_certificate_type(),
            None => algorithm.to_string(),
        };
        self.options.signs_with(&name)
    }

    /// What the remedy names: the file, and what it would be called as a credential.
    fn note_unusable(&self, file: &Path, details: &mut Details) {
        let text = |text: &OsStr| Detail::Text(Path::new(text).into());
        details.insert(IDENTITY.into(), text(file.as_os_str()));
        details.insert("credential".into(), text(&credential::name(file)));
    }
}
