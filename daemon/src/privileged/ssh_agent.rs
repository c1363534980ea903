//! Asks an ssh-agent (draft-ietf-sshm-ssh-agent), as root's ssh does.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use russh::keys::ssh_key::HashAlg;

use crate::helper::wire::{Fields, WireError, read_frame};

/// So long it may take for each part of an answer.
const PATIENCE: Duration = Duration::from_secs(1);
const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// More keys no agent is believed to have.
const MAX_KEYS: u32 = 64;

/// A connection to one.
pub(super) struct SshAgent(UnixStream);

impl SshAgent {
    /// The one that listens at `path`.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(stream))
    }

    /// The public keys that it has, as ssh writes them.
    ///
    /// # Errors
    /// It does not say.
    pub(super) fn identities(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let answer = self.ask(&[&[REQUEST_IDENTITIES]])?;
        let mut fields = Fields::new(&answer);
        if fields.byte()? != IDENTITIES_ANSWER {
            return Err(WireError.into());
        }
        let count = fields.word()?.min(MAX_KEYS);
        let mut keys = Vec::new();
        for _ in 0..count {
            keys.push(fields.string()?.to_owned());
            // What a person calls it.
            fields.string()?;
        }
        Ok(keys)
    }

    /// A signature of `data` with `key`, as ssh writes it; `hash` counts for RSA alone.
    ///
    /// # Errors
    /// It does not sign.
    pub(super) fn sign(
        &mut self,
        key: &[u8],
        data: &[u8],
        hash: Option<HashAlg>,
    ) -> io::Result<Vec<u8>> {
        let flags: u32 = match hash {
            Some(HashAlg::Sha256) => 2,
            Some(HashAlg::Sha512) => 4,
            _ => 0,
        };
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
        let answer = self.ask(&[
            &[SIGN_REQUEST],
            &length(key),
            key,
            &length(data),
            data,
            &flags.to_be_bytes(),
        ])?;
        let mut fields = Fields::new(&answer);
        match fields.byte()? {
            SIGN_RESPONSE => Ok(fields.string()?.to_owned()),
            FAILURE => Err(io::Error::other("the agent does not sign")),
            _ => Err(WireError.into()),
        }
    }

    fn ask(&mut self, parts: &[&[u8]]) -> io::Result<Vec<u8>> {
        let message = parts.concat();
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        self.0
            .write_all(&[&length.to_be_bytes()[..], &message].concat())?;
        read_frame(&mut Read::by_ref(&mut self.0))
    }
}
