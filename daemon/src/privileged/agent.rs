//! Root's keys, as an agent has them: for the builders of Nix's list, those that root's ssh would offer there, and
//! signatures that log root's ssh in there as the user that it would be. A key that ssh would not take is none.
//!
//! Which server gets a signature the protocol does not let it see: a key is good for its user wherever that key is
//! known, as an agent's is.

use std::path::PathBuf;

use russh::keys::{
    Algorithm, Certificate, PrivateKey, PublicKey,
    ssh_key::{self, encoding::Encode},
};

use super::ssh;
use crate::{
    helper::wire::{Fields, NotOffered, Offered, WireError},
    nix::{
        Machine,
        ssh_config::{SshConfigError, SshOptions},
    },
    probe::builder::identity,
};

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
}

impl From<WireError> for AgentError {
    fn from(_: WireError) -> Self {
        Self::NotALogin
    }
}

/// The keys that root's ssh would offer: a row of [`Offered`].
///
/// # Errors
/// [`AgentError::Ssh`].
pub(super) fn identities(builder: &Machine) -> Result<Vec<u8>, AgentError> {
    let options = ssh::options(builder)?;
    let files = options
        .identity_files
        .iter()
        .filter(|_| options.offers_keys);
    let offered = files.map(|file| Offered {
        key: match identity::load(file, options.reads_ed25519_in_pkcs8) {
            Ok(key) => key
                .public_key()
                .to_bytes()
                .map_err(|error| unusable(&error)),
            Err(error) if error.is_missing() => Err(NotOffered::Missing),
            Err(error) => Err(unusable(&error)),
        },
        file: file.clone(),
    });
    Ok(Offered::encode_all(&offered.collect::<Vec<_>>()))
}

fn unusable(error: &dyn std::fmt::Display) -> NotOffered {
    NotOffered::Unusable(error.to_string())
}

/// Signs `data`, where it is what root's ssh would sign to log in there.
///
/// # Errors
/// [`AgentError`].
pub(super) fn sign(builder: &Machine, data: &[u8]) -> Result<Vec<u8>, AgentError> {
    let login = Login::read(data)?;
    let options = ssh::options(builder)?;
    if login.user != options.user.as_bytes() {
        return Err(AgentError::OtherUser);
    }
    let key = login.key(&options)?;
    let Some(hash) = login.hash(&key, &options) else {
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

    fn certificate(&self) -> Option<Certificate> {
        Certificate::from_bytes(self.key).ok()
    }

    /// The hash of the signature, where ssh would make one of that algorithm with `key`.
    fn hash(&self, key: &PrivateKey, options: &SshOptions) -> Option<Option<ssh_key::HashAlg>> {
        let hashes: &[_] = match key.algorithm() {
            Algorithm::Rsa { .. } => &[
                Some(ssh_key::HashAlg::Sha512),
                Some(ssh_key::HashAlg::Sha256),
                None,
            ],
            _ => &[None],
        };
        let name = |hash: Option<ssh_key::HashAlg>| {
            let algorithm = match key.algorithm() {
                Algorithm::Rsa { .. } => Algorithm::Rsa { hash },
                other => other,
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
