//! Signatures for certificates.

use russh::keys::{
    HashAlg, PrivateKey,
    agent::AgentIdentity,
    ssh_key::{self, encoding::Encode, private::KeypairData},
};
use signature::Signer as _;

/// Signs for a certificate. (russh's own way with one signs with RSA as no server accepts it.)
pub(super) struct Signer<'a>(pub(super) &'a PrivateKey);

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignError {
    /// The connection ended.
    #[error(transparent)]
    Gone(#[from] russh::SendError),
    /// The key can't sign.
    #[error(transparent)]
    Signature(#[from] ssh_key::Error),
}

impl russh::Signer for Signer<'_> {
    type Error = SignError;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        mut signed: Vec<u8>,
    ) -> Result<Vec<u8>, SignError> {
        let signature = match self.0.key_data() {
            KeypairData::Rsa(key) => (key, hash).try_sign(&signed),
            key => key.try_sign(&signed),
        };
        let signature = signature.map_err(ssh_key::Error::from)?;
        let encoded = signature.encode_prefixed(&mut signed);
        encoded.map_err(ssh_key::Error::from)?;
        Ok(signed)
    }
}
