//! Root's keys, as an agent has them: for the builders of Nix's list, those that root's ssh would offer there, and
//! signatures that log root's ssh in there as the user that it would be. A key that ssh would not take is none.
//!
//! Which server gets a signature the protocol does not let it see: a key is good for its user wherever that key is
//! known, as an agent's is.

use std::{
    io::{self, ErrorKind},
    path::PathBuf,
};

use russh::keys::{
    Algorithm, Certificate, PrivateKey, PublicKey,
    ssh_key::{self, encoding::Encode},
};

use super::{environment::Environment, open::Roots, ssh, ssh_agent::SshAgent};
use crate::{
    files::Files,
    helper::wire::{Fields, NotOffered, Offered, WireError},
    nix::{
        Machine,
        ssh_config::{self, SshConfigError, SshOptions},
    },
    probe::builder::identity,
};

/// The longest public key, in bytes.
const MAX_PUBLIC: u64 = 64 << 10;

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub(super) enum AgentError {
    /// What ssh would do is not known.
    #[error(transparent)]
    Ssh(#[from] SshConfigError),
    /// It is nothing that a client signs to log in.
    #[error("not a login with a key")]
    NotALogin,
    /// ssh would be somebody else there.
    #[error("a login as another user")]
    OtherUser,
    /// ssh has no such key for that builder, or would not sign with it in that way.
    #[error("ssh would not offer that key there")]
    OtherKey,
    /// The key can't sign.
    #[error(transparent)]
    Key(#[from] ssh_key::Error),
    /// The agent does not.
    #[error("the agent: {0}")]
    Agent(#[from] io::Error),
}

impl From<WireError> for AgentError {
    fn from(_: WireError) -> Self {
        Self::NotALogin
    }
}

/// The keys that root's ssh would offer: a row of [`Offered`], those of its agent first.
///
/// # Errors
/// [`AgentError::Ssh`].
pub(super) fn identities(
    builder: &Machine,
    environment: &Environment,
) -> Result<Vec<u8>, AgentError> {
    let options = ssh::options(builder, environment)?;
    let files = options
        .identity_files
        .iter()
        .filter(|_| options.offers_keys);
    let of_files = files.map(|file| Offered {
        key: match identity::load(file, options.reads_ed25519_in_pkcs8) {
            Ok(key) => key
                .public_key()
                .to_bytes()
                .map_err(|error| unusable(&error)),
            Err(error) if error.is_missing() => Err(NotOffered::Missing),
            Err(error) => Err(unusable(&error)),
        },
        is_agents: false,
        file: file.clone(),
    });
    let mut offered = of_agent(&options, environment);
    offered.extend(of_files);
    Ok(Offered::encode_all(&offered))
}

/// What the agent of root's ssh has: first what is a file's too (`pubkey_prepare` in OpenSSH's sshconnect2.c).
fn of_agent(options: &SshOptions, environment: &Environment) -> Vec<Offered> {
    let Some(path) = agent(options, environment).filter(|_| options.offers_keys) else {
        return Vec::new();
    };
    let row = |key| Offered {
        file: path.clone(),
        is_agents: true,
        key,
    };
    let keys = SshAgent::at(&path).and_then(|mut agent| agent.identities());
    match keys {
        Ok(keys) => {
            let configured = configured(options);
            let (mut first, rest): (Vec<_>, Vec<_>) =
                keys.into_iter().partition(|key| configured.contains(key));
            first.extend(rest.into_iter().filter(|_| !options.identities_only));
            first.into_iter().map(|key| row(Ok(key))).collect()
        }
        // It is somebody else's: root's ssh has the capability to ask it.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            vec![row(Err(NotOffered::NotVisible))]
        }
        // ssh passes over it in silence.
        Err(_) => Vec::new(),
    }
}

/// Where the agent listens.
fn agent(options: &SshOptions, environment: &Environment) -> Option<PathBuf> {
    let named = options.identity_agent.as_ref()?;
    let variable = match named.to_str() {
        Some("SSH_AUTH_SOCK") => Some("SSH_AUTH_SOCK"),
        Some(text) => text
            .strip_prefix('$')
            .map(|name| name.trim_matches(['{', '}'])),
        None => None,
    };
    match variable {
        Some(name) => environment.get(name).map(PathBuf::from),
        None => Some(named.clone()),
    }
}

/// The public keys of the files that ssh_config names, as ssh writes them.
fn configured(options: &SshOptions) -> Vec<Vec<u8>> {
    let public = |file: &PathBuf| {
        let own = identity::load(file, options.reads_ed25519_in_pkcs8);
        let own = own.ok().map(|key| key.public_key().clone());
        let [_, beside, ..] = ssh_config::beside(file);
        let public = own.or_else(|| {
            let text = Roots.read(&beside, MAX_PUBLIC).ok()?;
            PublicKey::from_openssh(String::from_utf8(text).ok()?.trim()).ok()
        });
        public?.to_bytes().ok()
    };
    options.identity_files.iter().filter_map(public).collect()
}

fn unusable(error: &dyn std::fmt::Display) -> NotOffered {
    NotOffered::Unusable(error.to_string())
}

/// Signs `data`, where it is what root's ssh would sign to log in there.
///
/// # Errors
/// [`AgentError`].
pub(super) fn sign(
    builder: &Machine,
    environment: &Environment,
    data: &[u8],
) -> Result<Vec<u8>, AgentError> {
    let login = Login::read(data)?;
    let options = ssh::options(builder, environment)?;
    if login.user != options.user.as_bytes() {
        return Err(AgentError::OtherUser);
    }
    let key = match login.key(&options) {
        Err(AgentError::OtherKey) => return login.signed_by_agent(&options, environment, data),
        key => key?,
    };
    let Some(hash) = login.hash(&key.algorithm(), &options) else {
        return Err(AgentError::OtherKey);
    };
    let signature = identity::sign(&key, hash, data)?;
    let mut bytes = Vec::new();
    signature.encode(&mut bytes).map_err(ssh_key::Error::from)?;
    Ok(bytes)
}

/// What a client signs to log in with a key (RFC 4252, 7).
struct Login<'a> {
    user: &'a [u8],
    algorithm: &'a [u8],
    /// A public key, or a certificate.
    key: &'a [u8],
}

impl<'a> Login<'a> {
    fn read(data: &'a [u8]) -> Result<Self, AgentError> {
        const SSH_MSG_USERAUTH_REQUEST: u8 = 50;
        let mut fields = Fields::new(data);
        // The session's identifier: a hash, of SHA-1 to SHA-512.
        let is_session = (20..=64).contains(&fields.string()?.len());
        let is_request = fields.byte()? == SSH_MSG_USERAUTH_REQUEST;
        let user = fields.string()?;
        let is_login = fields.string()? == b"ssh-connection" && fields.string()? == b"publickey";
        let has_signature = fields.byte()? == 1;
        let login = Self {
            user,
            algorithm: fields.string()?,
            key: fields.string()?,
        };
        fields.end()?;
        if is_session && is_request && is_login && has_signature {
            Ok(login)
        } else {
            Err(AgentError::NotALogin)
        }
    }

    /// The private key, of those that ssh would offer.
    fn key(&self, options: &SshOptions) -> Result<PrivateKey, AgentError> {
        let wanted = match self.certificate() {
            Some(certificate) => certificate.public_key().clone(),
            None => PublicKey::from_bytes(self.key)
                .map_err(|_| AgentError::NotALogin)?
                .key_data()
                .clone(),
        };
        let files = options
            .identity_files
            .iter()
            .filter(|_| options.offers_keys);
        let load = |file: &PathBuf| identity::load(file, options.reads_ed25519_in_pkcs8).ok();
        let mut keys = files.filter_map(load);
        let found = keys.find(|key| *key.public_key().key_data() == wanted);
        found.ok_or(AgentError::OtherKey)
    }

    /// A signature by the agent of root's ssh, where it has the key and would offer it.
    fn signed_by_agent(
        &self,
        options: &SshOptions,
        environment: &Environment,
        data: &[u8],
    ) -> Result<Vec<u8>, AgentError> {
        let public = PublicKey::from_bytes(self.key).map_err(|_| AgentError::OtherKey)?;
        let offered = of_agent(options, environment);
        let is_it = |offered: &&Offered| offered.key.as_deref() == Ok(self.key);
        let offered = offered.iter().find(is_it).ok_or(AgentError::OtherKey)?;
        let hash = self.hash(&public.algorithm(), options);
        let hash = hash.ok_or(AgentError::OtherKey)?;
        let mut agent = SshAgent::at(&offered.file)?;
        Ok(agent.sign(self.key, data, hash)?)
    }

    fn certificate(&self) -> Option<Certificate> {
        Certificate::from_bytes(self.key).ok()
    }

    /// The hash of the signature, where ssh would make one of that algorithm with a key of the kind `of`.
    fn hash(&self, of: &Algorithm, options: &SshOptions) -> Option<Option<ssh_key::HashAlg>> {
        let hashes: &[_] = match of {
            Algorithm::Rsa { .. } => &[
                Some(ssh_key::HashAlg::Sha512),
                Some(ssh_key::HashAlg::Sha256),
                None,
            ],
            _ => &[None],
        };
        let name = |hash: Option<ssh_key::HashAlg>| {
            let algorithm = match of {
                Algorithm::Rsa { .. } => Algorithm::Rsa { hash },
                other => other.clone(),
            };
            match self.certificate() {
                Some(_) => algorithm.to_certificate_type(),
                None => algorithm.to_string(),
            }
        };
        let mut hashes = hashes.iter().copied();
        hashes.find(|hash| {
            let name = name(*hash);
            name.as_bytes() == self.algorithm && options.signs_with(&name)
        })
    }
}
