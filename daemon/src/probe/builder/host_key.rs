//! Which host keys a builder may prove, judged as OpenSSH without a terminal judges them
//! (`verify_host_key` and `check_host_key` in OpenSSH's sshconnect.c).

mod algorithms;
mod certificate;
mod revoked;

use std::fmt;

use offload_client::Reason;
use russh::keys::{Certificate, HashAlg, PublicKey, PublicKeyOrCertificate};

use self::certificate::NotVouched;
pub(super) use self::revoked::Revoked;
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
    why: String,
}

/// What the lines of one name make of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
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
                return Err(self.refusal(&key, Reason::SshConfigPrevents, why.clone()));
            }
            Revoked::Unread(why) => {
                return Err(self.refusal(&key, Reason::SshConfigUnsupported, why.clone()));
            }
        }
        if self.is_unchecked {
            return Ok(Basis::Unchecked);
        }
        let mut why_not = None;
        let standing = self.standing(&key, certificate, now, &mut why_not);
        if standing == Standing::Known {
            return Ok(Basis::Known);
        }
        if self.strictness == StrictHostKeyChecking::No {
            return Ok(Basis::Unchecked);
        }
        let accepts_unknown = self.strictness.accepts_unknown() && self.unreadable.is_empty();
        if standing == Standing::Unknown && accepts_unknown {
            return Ok(Basis::Unchecked);
        }
        let (reason, why) = match &why_not {
            Some(not) if not.is_a_matter_of_version && standing != Standing::Revoked => {
                let why = "it is not known without its certificate";
                (Reason::SshConfigUnsupported, why)
            }
            _ => self.why(standing, &key),
        };
        let mut why = vec![why.to_owned()];
        why.extend(why_not.map(|not| not.why));
        if !self.unreadable.is_empty() {
            why.push(format!("only root may read {}", self.unreadable.join(", ")));
        }
        why.extend(self.hint.clone());
        Err(self.refusal(&key, reason, why.join("; ")))
    }

    /// As ssh finds it: a certificate first, then the key in it; the name first, then without port.
    fn standing(
        &self,
        key: &PublicKey,
        certificate: Option<&Certificate>,
        now: Now,
        why_not: &mut Option<NotVouched>,
    ) -> Standing {
        let find = |lines: &Lines, why_not: &mut Option<NotVouched>| {
            if holds(&lines.revoked, key, certificate) {
                return Standing::Revoked;
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
                keys if vouched || holds(keys, key, None) => Standing::Known,
                keys if keys.is_empty() => Standing::Unknown,
                _ => Standing::Changed,
            }
        };
        match find(&self.known, why_not) {
            Standing::Unknown => match find(&self.without_port, &mut None) {
                Standing::Known => Standing::Known,
                _ => Standing::Unknown,
            },
            standing => standing,
        }
    }

    /// The reason for a key that is refused.
    fn why(&self, standing: Standing, key: &PublicKey) -> (Reason, &'static str) {
        let is_of_its_type = |known: &PublicKey| known.algorithm() == key.algorithm();
        match standing {
            Standing::Revoked => (Reason::HostKeyMismatch, "it is revoked"),
            Standing::Changed if self.known.keys.iter().any(is_of_its_type) => {
                (Reason::HostKeyMismatch, "it is none of the known keys")
            }
            _ if !self.unreadable.is_empty() => {
                let why = "no file that offloadd may read knows it";
                (Reason::KnownHostsUnreadable, why)
            }
            Standing::Changed | Standing::Known => {
                (Reason::HostKeyMismatch, "it is none of the known keys")
            }
            Standing::Unknown if self.without_port.keys.is_empty() => {
                (Reason::HostKeyUnknown, "no host key is known")
            }
            Standing::Unknown if self.is_entrys => {
                (Reason::HostKeyMismatch, "it is none of the known keys")
            }
            Standing::Unknown => {
                let why = "no host key is known for this port, and it is none of the host's others";
                (Reason::HostKeyUnknown, why)
            }
        }
    }

    fn refusal(&self, key: &PublicKey, reason: Reason, why: String) -> Refusal {
        Refusal {
            reason,
            presented: describe(key),
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
        match self.known.keys.is_empty() {
            true => &self.without_port.keys,
            false => &self.known.keys,
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
        match self.expected.is_empty() {
            true => Ok(()),
            false => write!(f, " ({})", self.expected.join(", ")),
        }
    }
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
mod tests {
    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const OTHER_ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBMxBTpMIGvo7CnordO7wP0QQRqpBwUjOLl4eMhfucfE1sjTYyK5wmTl1UqoSDS1PtRVTBdl+0+9pquFb46U7fwg=";

    fn key(text: &str) -> PublicKey {
        PublicKey::from_openssh(text).unwrap()
    }

    fn knowing(keys: &[&str], strictness: StrictHostKeyChecking) -> HostKeys {
        HostKeys {
            known: Lines {
                keys: keys.iter().map(|text| key(text)).collect(),
                ..Lines::default()
            },
            strictness,
            ..HostKeys::default()
        }
    }

    fn verdict(keys: &HostKeys, presented: &str) -> Option<Reason> {
        judged(keys, presented).err().map(|error| error.reason)
    }

    fn judged(keys: &HostKeys, presented: &str) -> Result<Basis, Refusal> {
        keys.judge(&key(presented).into(), Now::default())
    }

    #[test]
    fn the_verdicts_are_those_of_openssh_without_a_terminal() {
        use Reason::{HostKeyMismatch, HostKeyUnknown};
        use StrictHostKeyChecking::{AcceptNew, Ask, No, Yes};
        for (known, strictness, expected) in [
            (&[ED25519][..], Ask, None),
            (&[ED25519], Yes, None),
            (&[OTHER_ED25519, ED25519], Ask, None),
            (&[], Ask, Some(HostKeyUnknown)),
            (&[], AcceptNew, None),
            (&[], No, None),
            (&[OTHER_ED25519], Ask, Some(HostKeyMismatch)),
            (&[OTHER_ED25519], AcceptNew, Some(HostKeyMismatch)),
            (&[OTHER_ED25519], No, None),
            (&[ECDSA], Ask, Some(HostKeyMismatch)),
            (&[ECDSA], AcceptNew, Some(HostKeyMismatch)),
            (&[ECDSA], No, None),
            (&[ECDSA, ED25519], AcceptNew, None),
        ] {
            let keys = knowing(known, strictness);
            assert_eq!(
                verdict(&keys, ED25519),
                expected,
                "{known:?} {strictness:?}"
            );
        }
    }

    #[test]
    fn a_revoked_key_is_refused_unless_every_key_is_taken() {
        use StrictHostKeyChecking::{AcceptNew, Ask, No, Yes};
        for (strictness, expected) in [
            (Yes, Some(Reason::HostKeyMismatch)),
            (Ask, Some(Reason::HostKeyMismatch)),
            (AcceptNew, Some(Reason::HostKeyMismatch)),
            (No, None),
        ] {
            let mut keys = knowing(&[ED25519], strictness);
            keys.known.revoked = vec![key(ED25519)];
            assert_eq!(verdict(&keys, ED25519), expected, "{strictness:?}");
            keys.known = Lines::default();
            keys.revoked = Revoked::Listed(vec![key(ED25519)]);
            assert_eq!(verdict(&keys, ED25519), Some(Reason::HostKeyMismatch));
            assert_eq!(
                verdict(&keys, OTHER_ED25519).is_none(),
                matches!(strictness, AcceptNew | No)
            );
        }
    }

    #[test]
    fn what_is_taken_without_a_look_is_no_proof() {
        let mut keys = knowing(&[OTHER_ED25519], StrictHostKeyChecking::Yes);
        assert_eq!(judged(&keys, OTHER_ED25519), Ok(Basis::Known));
        keys.is_unchecked = true;
        assert_eq!(judged(&keys, ED25519), Ok(Basis::Unchecked));
        let keys = knowing(&[], StrictHostKeyChecking::AcceptNew);
        assert_eq!(judged(&keys, ED25519), Ok(Basis::Unchecked));
    }

    #[test]
    fn what_only_root_may_read_may_know_the_key_but_excuses_no_other() {
        use Reason::{HostKeyMismatch, KnownHostsUnreadable};
        use StrictHostKeyChecking::{AcceptNew, Ask, No};
        for (known, strictness, expected) in [
            (&[][..], Ask, Some(KnownHostsUnreadable)),
            (&[], AcceptNew, Some(KnownHostsUnreadable)),
            (&[], No, None),
            (&[ED25519], Ask, None),
            (&[ECDSA], Ask, Some(KnownHostsUnreadable)),
            (&[OTHER_ED25519], Ask, Some(HostKeyMismatch)),
        ] {
            let mut keys = knowing(known, strictness);
            keys.unreadable = vec!["/root/.ssh/known_hosts".into()];
            assert_eq!(
                verdict(&keys, ED25519),
                expected,
                "{known:?} {strictness:?}"
            );
        }
        let mut keys = knowing(&[], Ask);
        keys.unreadable = vec!["/root/.ssh/known_hosts".into()];
        let refusal = judged(&keys, ED25519).unwrap_err();
        assert_eq!(refusal.unreadable, keys.unreadable);
        let text = refusal.to_string();
        assert!(
            text.contains("only root may read /root/.ssh/known_hosts"),
            "{text}"
        );
    }

    #[test]
    fn a_refusal_names_both_fingerprints() {
        let keys = knowing(&[OTHER_ED25519], StrictHostKeyChecking::Ask);
        let refusal = judged(&keys, ED25519).unwrap_err();
        let text = refusal.to_string();
        assert!(text.contains(&fingerprint(&key(ED25519))), "{text}");
        assert!(text.contains(&fingerprint(&key(OTHER_ED25519))), "{text}");
    }

    #[test]
    fn the_key_of_another_port_raises_no_alarm() {
        let mut keys = knowing(&[], StrictHostKeyChecking::Ask);
        keys.without_port.keys = vec![key(OTHER_ED25519)];
        assert_eq!(verdict(&keys, OTHER_ED25519), None);
        assert_eq!(verdict(&keys, ED25519), Some(Reason::HostKeyUnknown));
    }

    #[test]
    fn a_key_that_nix_wrote_down_without_a_port_raises_one_where_ssh_would_refuse() {
        let mut keys = knowing(&[], StrictHostKeyChecking::Ask);
        keys.without_port.keys = vec![key(OTHER_ED25519)];
        keys.is_entrys = true;
        assert_eq!(verdict(&keys, ED25519), Some(Reason::HostKeyMismatch));
        keys.strictness = StrictHostKeyChecking::AcceptNew;
        assert_eq!(verdict(&keys, ED25519), None);
    }

    #[test]
    fn names_in_a_certificate_that_only_some_versions_take_claim_nothing() {
        use russh::keys::{
            PrivateKey,
            ssh_key::{
                certificate::{Builder, CertType},
                private::Ed25519Keypair,
            },
        };
        let key = |seed| PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]));
        let (host, authority) = (key(1), key(2));
        let certificate = |names: &[&str], valid: std::ops::Range<u64>| {
            let public = host.public_key();
            let mut builder = Builder::new([7; 16], public, valid.start, valid.end).unwrap();
            builder.cert_type(CertType::Host).unwrap();
            for name in names {
                builder.valid_principal(*name).unwrap();
            }
            if names.is_empty() {
                builder.all_principals_valid().unwrap();
            }
            PublicKeyOrCertificate::from(builder.sign(&authority).unwrap())
        };
        let mut keys = knowing(&[], StrictHostKeyChecking::Ask);
        keys.name = "desk.lan".into();
        keys.known.authorities = vec![authority.public_key().clone()];
        let now = Now {
            realtime_usec: 5_000_000,
            ..Now::default()
        };
        for (names, valid, expected) in [
            (&["desk", "desk.lan"][..], 0..10, None),
            (&["*.lan"], 0..10, Some(Reason::SshConfigUnsupported)),
            (&[], 0..10, Some(Reason::SshConfigUnsupported)),
            (&["desk"], 0..10, Some(Reason::HostKeyUnknown)),
            (&["desk.lan"], 0..5, Some(Reason::HostKeyUnknown)),
            (&["desk.lan"], 6..10, Some(Reason::HostKeyUnknown)),
        ] {
            let judged = keys.judge(&certificate(names, valid.clone()), now);
            let reason = judged.err().map(|refusal| refusal.reason);
            assert_eq!(reason, expected, "{names:?} {valid:?}");
        }
        keys.known.keys = vec![host.public_key().clone()];
        assert_eq!(keys.judge(&certificate(&[], 0..10), now), Ok(Basis::Known));
    }
}
