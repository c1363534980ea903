//! Certificates of hosts: whether an authority vouches for one (`sshkey_cert_check_host` in OpenSSH's
//! sshkey.c).

use russh::keys::{Certificate, HashAlg, PublicKey, ssh_key::certificate::CertType};

use super::HostKeys;
use crate::{clock::Now, nix::known_hosts::glob};

/// With what an authority may not sign where ssh_config says nothing (`SSH_ALLOWED_CA_SIGALGS`,
/// myproposal.h).
const SHA1: &str = "ssh-rsa";

/// Why a certificate does not make its host known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotVouched {
    pub(super) why: String,
    /// Whether some versions of OpenSSH would take it.
    pub(super) is_a_matter_of_version: bool,
}

impl HostKeys {
    /// Whether one of `authorities` vouches for the host by `certificate`.
    pub(super) fn vouches(
        &self,
        certificate: &Certificate,
        authorities: &[PublicKey],
        now: Now,
    ) -> Result<(), NotVouched> {
        let signer = certificate.signature_key();
        if !authorities.iter().any(|key| key.key_data() == signer) {
            let signer = signer.fingerprint(HashAlg::Sha256);
            return Err(NotVouched {
                why: format!("its certificate is signed by {signer}, which is no authority for it"),
                is_a_matter_of_version: false,
            });
        }
        let seconds = now.realtime_usec / 1_000_000;
        let names = certificate.valid_principals();
        let algorithm = certificate.signature().algorithm().to_string();
        let is_allowed = match self.authority_algorithms.as_slice() {
            [] => algorithm != SHA1,
            allowed => allowed.contains(&algorithm),
        };
        let mut is_a_matter_of_version = false;
        let fault = if certificate.verify_signature().is_err() {
            "its signature is wrong"
        } else if certificate.cert_type() != CertType::Host {
            "it is not of a host"
        } else if seconds < certificate.valid_after() {
            "it is not valid yet"
        } else if seconds >= certificate.valid_before() {
            "it has expired"
        } else if !names.is_empty() && !names.iter().any(|name| glob(name, &self.name)) {
            "it is for other names"
        } else if !certificate.critical_options().is_empty() {
            "it has options that ssh does not know"
        } else if !is_allowed {
            "it is signed with an algorithm that ssh does not accept"
        } else if !names.contains(&self.name) {
            // 10.3 wants a name, and takes patterns of them; before it was the other way round.
            is_a_matter_of_version = true;
            "whether its names count hangs on the version of ssh"
        } else {
            return Ok(());
        };
        Err(NotVouched {
            why: format!("its certificate does not count: {fault}"),
            is_a_matter_of_version,
        })
    }
}
