//! Which host keys a builder may prove, judged as OpenSSH without a terminal judges them
//! (`check_host_key` in OpenSSH's sshconnect.c).

use std::fmt;

use offload_client::Reason;
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey};

use crate::nix::ssh_config::StrictHostKeyChecking;

/// What is known of one builder's host keys.
#[derive(Clone, Debug, Default)]
pub(super) struct HostKeys {
    /// The keys it may prove.
    pub known: Vec<PublicKey>,
    /// Keys that it must never prove.
    pub revoked: Vec<PublicKey>,
    /// Whether known_hosts trusts an authority for it, whose certificates are not read here.
    pub has_authority: bool,
    /// Whether `known` are of another port's server, for want of better: to OpenSSH a key that
    /// differs from those is merely unknown.
    pub of_another_port: bool,
    /// Whether Nix wrote one of `known` down for this very builder, which it does without a port:
    /// another key is refused like any unknown one, and is an alarm all the same.
    pub is_entrys: bool,
    /// Files of known_hosts that may say more, and that only root may read.
    pub unreadable: Vec<String>,
    /// Why what is configured may not count, for whoever reads the refusal.
    pub hint: Option<String>,
    /// What to do with a key that is not known.
    pub strictness: StrictHostKeyChecking,
    /// ssh_config's `HostKeyAlgorithms`, best first; empty for OpenSSH's defaults.
    pub accepted: Vec<String>,
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

impl HostKeys {
    /// Judges the key that the server proved to hold.
    pub(super) fn judge(&self, presented: &PublicKey) -> Result<(), Refusal> {
        let holds = |keys: &[PublicKey]| keys.iter().any(|key| same(key, presented));
        let same_type = |key: &PublicKey| key.algorithm() == presented.algorithm();
        let has_changed = !self.of_another_port && self.known.iter().any(same_type);
        let (reason, why) = if holds(&self.revoked) {
            (Reason::HostKeyMismatch, "it is revoked")
        } else if holds(&self.known) || self.strictness.accepts_changed() {
            return Ok(());
        } else if has_changed {
            (Reason::HostKeyMismatch, "it is none of the known keys")
        } else if self.strictness.accepts_unknown() && self.unreadable.is_empty() {
            return Ok(());
        } else if self.has_authority {
            // Whether ssh would go on depends on a certificate, so nothing is claimed.
            let why = "known_hosts trusts a certificate authority, whose certificates are not read";
            (Reason::SshConfigUnsupported, why)
        } else if !self.unreadable.is_empty() {
            let why = "no file that offloadd may read knows it";
            (Reason::KnownHostsUnreadable, why)
        } else if self.known.is_empty() {
            (Reason::HostKeyUnknown, "no host key is known")
        } else if self.of_another_port && !self.is_entrys {
            let why = "no host key is known for this port, and it is none of the host's others";
            (Reason::HostKeyUnknown, why)
        } else {
            (Reason::HostKeyMismatch, "it is none of the known keys")
        };
        let mut why = vec![why.to_owned()];
        if !self.unreadable.is_empty() {
            why.push(format!("only root may read {}", self.unreadable.join(", ")));
        }
        why.extend(self.hint.clone());
        Err(Refusal {
            reason,
            presented: describe(presented),
            expected: self.expected(),
            unreadable: match reason {
                Reason::KnownHostsUnreadable => self.unreadable.clone(),
                _ => Vec::new(),
            },
            why: why.join("; "),
        })
    }

    /// The keys that it may prove, as [`Refusal::expected`] has them.
    pub(super) fn expected(&self) -> Vec<String> {
        self.known.iter().map(describe).collect()
    }

    /// Whether `key` is one of them, and not revoked.
    pub(super) fn knows(&self, key: &PublicKey) -> bool {
        let holds = |keys: &[PublicKey]| keys.iter().any(|known| same(known, key));
        holds(&self.known) && !holds(&self.revoked)
    }

    /// The host key algorithms to propose, the known keys' own first: a server that holds several
    /// keys then proves the one that is known, as OpenSSH has it (`order_hostkeyalgs`). SHA-1 is
    /// proposed only where ssh_config asks for it, as in OpenSSH since 8.8.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let named = |name: &String| {
            SUPPORTED
                .iter()
                .find(|known| known.as_str() == name)
                .cloned()
        };
        let mut accepted: Vec<Algorithm> = self.accepted.iter().filter_map(named).collect();
        if accepted.is_empty() {
            accepted.extend(SUPPORTED.into_iter().filter(|algorithm| *algorithm != SHA1));
        }
        let mut algorithms = Vec::with_capacity(SUPPORTED.len());
        for key in &self.known {
            algorithms.extend(accepted.extract_if(.., |algorithm| is_of(algorithm, key)));
        }
        algorithms.append(&mut accepted);
        algorithms
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

/// Whether two keys are one, whatever their comments say.
pub(super) fn same(one: &PublicKey, other: &PublicKey) -> bool {
    one.key_data() == other.key_data()
}

const SHA1: Algorithm = Algorithm::Rsa { hash: None };

/// What russh can verify, in OpenSSH's order.
const SUPPORTED: [Algorithm; 7] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP384,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP521,
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha512),
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha256),
    },
    SHA1,
];

/// Whether signatures of `algorithm` are made with a key such as `key`.
fn is_of(algorithm: &Algorithm, key: &PublicKey) -> bool {
    match algorithm {
        Algorithm::Rsa { .. } => key.algorithm().is_rsa(),
        algorithm => *algorithm == key.algorithm(),
    }
}

/// `ssh-ed25519 SHA256:…`.
pub(super) fn describe(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm(), fingerprint(key))
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
            known: keys.iter().map(|text| key(text)).collect(),
            strictness,
            ..HostKeys::default()
        }
    }

    fn verdict(keys: &HostKeys, presented: &str) -> Option<Reason> {
        keys.judge(&key(presented)).err().map(|error| error.reason)
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
            (&[ECDSA], AcceptNew, None),
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
    fn a_revoked_key_is_refused_even_where_every_key_is_taken() {
        let mut keys = knowing(&[ED25519], StrictHostKeyChecking::No);
        keys.revoked = vec![key(ED25519)];
        assert_eq!(verdict(&keys, ED25519), Some(Reason::HostKeyMismatch));
    }

    #[test]
    fn where_an_authority_would_decide_nothing_is_claimed() {
        let mut keys = knowing(&[], StrictHostKeyChecking::Ask);
        keys.has_authority = true;
        assert_eq!(verdict(&keys, ED25519), Some(Reason::SshConfigUnsupported));
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
        let refusal = keys.judge(&key(ED25519)).unwrap_err();
        assert_eq!(refusal.unreadable, keys.unreadable);
        let text = refusal.to_string();
        assert!(
            text.contains("only root may read /root/.ssh/known_hosts"),
            "{text}"
        );
    }

    #[test]
    fn a_refusal_names_both_fingerprints() {
        let refusal = knowing(&[OTHER_ED25519], StrictHostKeyChecking::Ask)
            .judge(&key(ED25519))
            .unwrap_err();
        let text = refusal.to_string();
        assert!(text.contains(&fingerprint(&key(ED25519))), "{text}");
        assert!(text.contains(&fingerprint(&key(OTHER_ED25519))), "{text}");
    }

    #[test]
    fn the_known_keys_type_is_proposed_first_and_none_twice() {
        let algorithms = knowing(&[ECDSA, ED25519], StrictHostKeyChecking::Ask).algorithms();
        assert_eq!(algorithms[0], key(ECDSA).algorithm());
        assert_eq!(algorithms[1], Algorithm::Ed25519);
        assert_eq!(algorithms.len(), SUPPORTED.len() - 1);
        assert!(!algorithms.contains(&SHA1));
    }

    #[test]
    fn the_key_of_another_port_raises_no_alarm() {
        let mut keys = knowing(&[OTHER_ED25519], StrictHostKeyChecking::Ask);
        keys.of_another_port = true;
        assert_eq!(verdict(&keys, OTHER_ED25519), None);
        assert_eq!(verdict(&keys, ED25519), Some(Reason::HostKeyUnknown));
    }

    #[test]
    fn a_key_that_nix_wrote_down_without_a_port_raises_one_where_ssh_would_refuse() {
        let mut keys = knowing(&[OTHER_ED25519], StrictHostKeyChecking::Ask);
        keys.of_another_port = true;
        keys.is_entrys = true;
        assert_eq!(verdict(&keys, ED25519), Some(Reason::HostKeyMismatch));
        keys.strictness = StrictHostKeyChecking::AcceptNew;
        assert_eq!(verdict(&keys, ED25519), None);
    }

    #[test]
    fn ssh_config_may_narrow_the_algorithms_and_ask_for_an_old_one() {
        let mut keys = knowing(&[], StrictHostKeyChecking::Ask);
        keys.accepted = ["ssh-rsa", "new@example.org", "ssh-ed25519"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(keys.algorithms(), [SHA1, Algorithm::Ed25519]);
        keys.known = vec![key(ED25519)];
        assert_eq!(keys.algorithms(), [Algorithm::Ed25519, SHA1]);
        keys.accepted = vec!["new@example.org".to_owned()];
        assert_eq!(keys.algorithms().len(), SUPPORTED.len() - 1);
    }
}
