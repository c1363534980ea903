//! Signatures with keys that russh does not sign with itself: for certificates, and by the helper.

use std::io;

use russh::keys::{
    HashAlg,
    agent::AgentIdentity,
    ssh_key::{self, encoding::Encode},
};

use crate::probe::builder::identity::{self, Key};

/// Signs. (russh's own way with certificates signs with RSA as no server accepts it.)
pub(super) struct Signer<'a>(pub(super) &'a Key);

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignError {
    /// The connection ended.
    #[error(transparent)]
    Gone(#[from] russh::SendError),
    /// The key can't sign.
    #[error(transparent)]
    Signature(#[from] ssh_key::Error),
    /// The helper did not sign.
    #[error("offload-helper does not sign: {0}")]
    Helper(#[from] io::Error),
}

impl russh::Signer for Signer<'_> {
    type Error = SignError;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        mut signed: Vec<u8>,
    ) -> Result<Vec<u8>, SignError> {
        let encoded = match self.0 {
            Key::Own(key) => identity::sign(key, hash, &signed)?.encode_prefixed(&mut signed),
            Key::Roots(_, agent) => agent.sign(signed.clone()).await?.encode(&mut signed),
        };
        encoded.map_err(ssh_key::Error::from)?;
        Ok(signed)
    }
}
