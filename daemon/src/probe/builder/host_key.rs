//! Which host keys a builder may prove, judged as OpenSSH without a terminal judges them
//! (`verify_host_key` and `check_host_key` in OpenSSH's sshconnect.c).
//!
//! Field 8 of the machines file is a known_hosts line under the URI's host, looked up under the name that
//! ssh_config gives, beside the global files. Which of its keys a server proves follows ssh's order, and an
//! authority may vouch by certificate. `tests/parity.rs` runs each case through the real ssh as well.

mod algorithms;
mod certificate;
mod revoked;

use std::fmt;

use offload_client::Reason;
use russh::keys::{Certificate, HashAlg, PublicKey, PublicKeyOrCertificate};

use self::certificate::NotVouched;
pub(super) use self::{
    algorithms::{Seen, seen_as},
    revoked::Revoked,
};
use crate::{
    clock::Now,
    nix::{
        known_hosts::Lines,
        ssh_config::{Algorithms, StrictHostKeyChecking},
    },
};

/// What is known of one builder's host keys.
#[derive(Clone, Debug, Default)]
pub(super) struct HostKeys {
    /// Under the name that ssh looks for.
    pub known: Lines,
    /// Under the host's name alone, where ssh looks for a port as well: to it a key that differs from
    /// those is merely unknown.
    pub without_port: Lines,
    /// Whether Nix wrote one of the keys down for this very builder, which it does without a port:
    /// another key is refused like any unknown one, and is an alarm all the same.
    pub is_entrys: bool,
    /// Files of known_hosts that may say more, and that only root may read.
    pub unreadable: Vec<String>,
    /// Why what is configured may not count, for whoever reads the refusal.
    pub hint: Option<String>,
    /// Whether the entry has a host key of its own where nobody looks for one.
    pub is_misplaced: bool,
    /// `RequiredRSASize`: a shorter RSA key is refused, known or not.
    pub required_rsa_bits: u32,
    /// What to do with a key that is not known.
    pub strictness: StrictHostKeyChecking,
    /// Whether ssh looks at no key at all: `NoHostAuthenticationForLocalhost`.
    pub is_unchecked: bool,
    /// ssh_config's `RevokedHostKeys`.
    pub revoked: Revoked,
    /// The name that a certificate must be for.
    pub name: String,
    /// ssh_config's `CASignatureAlgorithms`; empty for OpenSSH's defaults.
    pub authority_algorithms: Vec<String>,
    /// ssh_config's `HostKeyAlgorithms`, best first; empty for OpenSSH's defaults.
    pub accepted: Vec<String>,
    /// The other lists that key exchange goes by.
    pub algorithms: Algorithms,
    /// Whether the keys are our configuration's, which are to be proved whatever ssh would prefer.
    pub is_pinned: bool,
}

/// Why a host key is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// It is known, or somebody known vouches for it.
    Known,
    /// ssh_config has ssh accept what nobody knows.
    Unchecked,
}

/// Why a host key is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The code for it.
    pub reason: Reason,
    /// The key that was proved: `ssh-ed25519 SHA256:…`.
    pub presented: String,
    /// The keys that were expected, likewise.
    pub expected: Vec<String>,
    /// The files that only root may read, where the verdict hangs on them.
    pub unreadable: Vec<String>,
    /// Whether the entry has a host key of its own where nobody looks for one.
    pub is_misplaced: bool,
    /// What of ssh_config decided.
    pub option: Option<&'static str>,
    why: String,
}

impl Refusal {
    fn by(self, option: &'static str) -> Self {
        Self {
            option: Some(option),
            ..self
        }
    }
}

/// What the lines of one name make of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyStatus {
    Known,
    /// There are keys of that name, and it is none of them.
    Changed,
    Unknown,
    Revoked,
}

impl HostKeys {
    /// Judges the key that the server proved to hold, at that time.
    pub(super) fn judge(
        &self,
        presented: &PublicKeyOrCertificate,
        now: Now,
    ) -> Result<Basis, Refusal> {
        let key = presented.public_key();
        let certificate = presented.certificate();
        match &self.revoked {
            Revoked::Listed(keys) if holds(keys, &key, certificate) => {
                let why = "it is revoked (RevokedHostKeys)".to_owned();
                return Err(self.refusal(&key, Reason::HostKeyMismatch, why));
            }
            Revoked::Listed(_) => {}
            Revoked::Broken(why) => {
                let refusal = self.refusal(&key, Reason::SshConfigPrevents, why.clone());
                return Err(refusal.by("revokedhostkeys"));
            }
            Revoked::Unread(why) => {
                let refusal = self.refusal(&key, Reason::SshConfigUnsupported, why.clone());
                return Err(refusal.by("revokedhostkeys"));
            }
        }
        if let Some(why) = too_short(&key, self.required_rsa_bits) {
            let refusal = self.refusal(&key, Reason::SshConfigPrevents, why);
            return Err(refusal.by("requiredrsasize"));
        }
        if self.is_unchecked {
            return Ok(Basis::Unchecked);
        }
        let mut why_not = None;
        let status = self.status(&key, certificate, now, &mut why_not);
        if status == KeyStatus::Known {
            return Ok(Basis::Known);
        }
        if self.strictness == StrictHostKeyChecking::No {
            return Ok(Basis::Unchecked);
        }
        let accepts_unknown = self.strictness.accepts_unknown() && self.unreadable.is_empty();
        if status == KeyStatus::Unknown && accepts_unknown {
            return Ok(Basis::Unchecked);
        }
        let (reason, why) = match &why_not {
            Some(not) if not.is_a_matter_of_version && status != KeyStatus::Revoked => {
                let why = "it is not known without its certificate";
                (Reason::SshConfigUnsupported, why)
            }
            _ => self.why(status, &key),
        };
        let mut why = vec![why.to_owned()];
        why.extend(why_not.map(|not| not.why));
        if !self.unreadable.is_empty() {
            why.push(format!("only root may read {}", self.unreadable.join(", ")));
        }
        why.extend(self.hint.clone());
        Err(self.refusal(&key, reason, why.join("; ")))
    }

    /// For a server whose key as the algorithm `name` is what ssh would look at, and that was not asked for that one.
    pub(super) fn not_seen(&self, presented: &PublicKeyOrCertificate, name: &str) -> Refusal {
        let why = format!("ssh would look at its {name}, by HostKeyAlgorithms of ssh_config");
        self.refusal(&presented.public_key(), Reason::SshConfigUnsupported, why)
            .by("hostkeyalgorithms")
    }

    /// As ssh finds it: a certificate first, then the key in it; the name first, then without port.
    fn status(
        &self,
        key: &PublicKey,
        certificate: Option<&Certificate>,
        now: Now,
        why_not: &mut Option<NotVouched>,
    ) -> KeyStatus {
        let find = |lines: &Lines, why_not: &mut Option<NotVouched>| {
            if holds(&lines.revoked, key, certificate) {
                return KeyStatus::Revoked;
            }
            let vouched = certificate.is_some_and(|certificate| {
                match self.vouches(certificate, &lines.authorities, now) {
                    Ok(()) => true,
                    Err(why) => {
                        *why_not = Some(why);
                        false
                    }
                }
            });
            match &lines.keys {
                keys if vouched || holds(keys, key, None) => KeyStatus::Known,
                keys if keys.is_empty() => KeyStatus::Unknown,
                _ => KeyStatus::Changed,
            }
        };
        match find(&self.known, why_not) {
            KeyStatus::Unknown => match find(&self.without_port, &mut None) {
                KeyStatus::Known => KeyStatus::Known,
                _ => KeyStatus::Unknown,
            },
            status => status,
        }
    }

    /// The reason for a key that is refused.
    fn why(&self, status: KeyStatus, key: &PublicKey) -> (Reason, &'static str) {
        let is_of_its_type = |known: &PublicKey| known.algorithm() == key.algorithm();
        match status {
            KeyStatus::Revoked => (Reason::HostKeyMismatch, "it is revoked"),
            KeyStatus::Changed if self.known.keys.iter().any(is_of_its_type) => {
                (Reason::HostKeyMismatch, "it is none of the known keys")
            }
            _ if !self.unreadable.is_empty() => {
                let why = "no file that offloadd may read knows it";
                (Reason::KnownHostsUnreadable, why)
            }
            KeyStatus::Changed | KeyStatus::Known => {
                (Reason::HostKeyMismatch, "it is none of the known keys")
            }
            KeyStatus::Unknown if self.without_port.keys.is_empty() => {
                (Reason::HostKeyUnknown, "no host key is known")
            }
            KeyStatus::Unknown if self.is_entrys => {
                (Reason::HostKeyMismatch, "it is none of the known keys")
            }
            KeyStatus::Unknown => {
                let why = "no host key is known for this port, and it is none of the host's others";
                (Reason::HostKeyUnknown, why)
            }
        }
    }

    fn refusal(&self, key: &PublicKey, reason: Reason, why: String) -> Refusal {
        Refusal {
            reason,
            presented: describe(key),
            is_misplaced: self.is_misplaced,
            option: None,
            expected: self.expected(),
            unreadable: match reason {
                Reason::KnownHostsUnreadable => self.unreadable.clone(),
                _ => Vec::new(),
            },
            why,
        }
    }

    /// The keys that it may prove, as [`Refusal::expected`] has them.
    pub(super) fn expected(&self) -> Vec<String> {
        self.keys().iter().map(describe).collect()
    }

    /// The keys that it may prove.
    pub(super) fn keys(&self) -> &[PublicKey] {
        if self.known.keys.is_empty() {
            &self.without_port.keys
        } else {
            &self.known.keys
        }
    }

    /// Whether there is anything that could prove who it is.
    pub(super) fn can_prove(&self) -> bool {
        let authorities = [&self.known.authorities, &self.without_port.authorities];
        !self.keys().is_empty() || authorities.iter().any(|keys| !keys.is_empty())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the host key is {}: {}", self.presented, self.why)?;
        if self.expected.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.expected.join(", "))
        }
    }
}

/// Why ssh refuses an RSA key of so few bits (`sshkey_check_rsa_length` in OpenSSH's sshkey.c); `None` where it does not.
pub(super) fn too_short(key: &PublicKey, least: u32) -> Option<String> {
    let bits = key.key_data().rsa()?.key_size();
    (bits < least).then(|| format!("it has {bits} bits, and RequiredRSASize is {least}"))
}

/// The fingerprint as OpenSSH prints it: `SHA256:…`.
pub(super) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// `ssh-ed25519 SHA256:…`.
pub(super) fn describe(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm(), fingerprint(key))
}

/// Whether the key is among `keys`, whatever their comments say, or who signed its certificate is.
fn holds(keys: &[PublicKey], key: &PublicKey, certificate: Option<&Certificate>) -> bool {
    let signer = certificate.map(Certificate::signature_key);
    keys.iter()
        .any(|known| known.key_data() == key.key_data() || Some(known.key_data()) == signer)
}

#[cfg(test)]
mod tests;
