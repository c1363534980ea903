//! The host key algorithms to propose, and so which of its keys a server proves.

use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey, PublicKeyOrCertificate};

use super::HostKeys;

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

/// How the name of an algorithm ends whose keys come in a certificate.
const OF_CERTIFICATE: &str = "-cert-v01@openssh.com";

impl HostKeys {
    /// The algorithms to propose, best first, in OpenSSH's order (`order_hostkeyalgs` in sshconnect2.c):
    /// where ssh_config leaves its list alone and no key of the best type is known, those of known keys
    /// come first, so that a server with several keys proves the one that is known. SHA-1 is
    /// proposed only where ssh_config asks for it, as in OpenSSH since 8.8.
    pub(in crate::probe::builder) fn algorithms(&self) -> Vec<Algorithm> {
        let mut accepted: Vec<Algorithm> = self
            .accepted
            .iter()
            .filter_map(|name| named(name))
            .collect();
        if accepted.is_empty() && self.certificate_algorithms().is_empty() {
            accepted.extend(SUPPORTED.into_iter().filter(|algorithm| *algorithm != SHA1));
        }
        let known = &self.known.keys;
        let is_known = |algorithm: &Algorithm| known.iter().any(|key| is_of(algorithm, key));
        let is_best_known = self.accepted.first().map_or_else(
            || accepted.first().is_some_and(is_known),
            |best| named(best.trim_end_matches(OF_CERTIFICATE)).is_some_and(|best| is_known(&best)),
        );
        if self.is_pinned || self.is_default_list() && !is_best_known {
            accepted.sort_by_key(|algorithm| !is_known(algorithm));
        }
        accepted
    }

    /// Those for which a certificate is asked for, best first: where an authority is known that could
    /// vouch for it, or where ssh_config has no others. (ssh asks for them always, and takes one that
    /// nobody vouches for as the key in it.)
    pub(in crate::probe::builder) fn certificate_algorithms(&self) -> Vec<Algorithm> {
        let plain = self.accepted.iter().any(|name| named(name).is_some());
        if plain && self.known.authorities.is_empty() && self.without_port.authorities.is_empty()
            || self.is_pinned
        {
            return Vec::new();
        }
        let names = self.accepted.iter();
        names
            .filter_map(|name| named(name.strip_suffix(OF_CERTIFICATE)?))
            .collect()
    }

    /// Whether ssh_config has not set the list, or has only taken from it or added to it. `ssh -G` tells
    /// the outcome alone; but nobody writes OpenSSH's own down, which begins with certificates.
    pub(in crate::probe::builder) fn is_default_list(&self) -> bool {
        let best = self.accepted.first();
        best.is_none_or(|best| best.ends_with(OF_CERTIFICATE) && self.accepted.len() > 1)
    }
}

/// What ssh sees of a host key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::probe::builder) enum Seen {
    /// As it was presented.
    Whole,
    /// The key in the certificate that was presented.
    WithoutCertificate,
}

/// What ssh sees of the host key that is `presented`, where it has asked for it as the algorithm `name`; `None` where
/// that is another key.
pub(in crate::probe::builder) fn seen_as(
    presented: &PublicKeyOrCertificate,
    name: &str,
) -> Option<Seen> {
    let plain = name.strip_suffix(OF_CERTIFICATE);
    let algorithm = named(plain.unwrap_or(name))?;
    if !is_of(&algorithm, &presented.public_key()) {
        return None;
    }
    match (plain.is_some(), presented.certificate().is_some()) {
        (true, true) | (false, false) => Some(Seen::Whole),
        (false, true) => Some(Seen::WithoutCertificate),
        (true, false) => None,
    }
}

fn named(name: &str) -> Option<Algorithm> {
    let mut supported = SUPPORTED.iter();
    supported.find(|known| known.as_str() == name).cloned()
}

/// Whether signatures of `algorithm` are made with a key such as `key`.
fn is_of(algorithm: &Algorithm, key: &PublicKey) -> bool {
    match algorithm {
        Algorithm::Rsa { .. } => key.algorithm().is_rsa(),
        algorithm => *algorithm == key.algorithm(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBMxBTpMIGvo7CnordO7wP0QQRqpBwUjOLl4eMhfucfE1sjTYyK5wmTl1UqoSDS1PtRVTBdl+0+9pquFb46U7fwg=";

    fn key(text: &str) -> PublicKey {
        PublicKey::from_openssh(text).unwrap()
    }

    fn accepting(names: &[&str]) -> HostKeys {
        HostKeys {
            accepted: names.iter().map(|name| (*name).to_owned()).collect(),
            ..HostKeys::default()
        }
    }

    fn first(known: &[&str], accepted: &[&str]) -> Algorithm {
        let mut keys = accepting(accepted);
        keys.known.keys = known.iter().map(|text| key(text)).collect();
        keys.algorithms()[0].clone()
    }

    #[test]
    fn the_best_is_proposed_first_where_it_is_known_and_else_what_is_known() {
        let default = [
            "ssh-ed25519-cert-v01@openssh.com",
            "ssh-ed25519",
            "ecdsa-sha2-nistp256",
        ];
        let ecdsa = key(ECDSA).algorithm();
        for list in [&[][..], &default] {
            assert_eq!(first(&[ECDSA, ED25519], list), Algorithm::Ed25519);
            assert_eq!(first(&[ECDSA], list), ecdsa);
            assert_eq!(first(&[], list), Algorithm::Ed25519);
        }
        let own = ["ssh-ed25519", "ecdsa-sha2-nistp256"];
        assert_eq!(first(&[ECDSA], &own), Algorithm::Ed25519);
        let own = ["ecdsa-sha2-nistp256", "ssh-ed25519"];
        assert_eq!(first(&[ED25519], &own), ecdsa);
    }

    #[test]
    fn each_is_proposed_once_and_sha1_only_where_it_is_asked_for() {
        let mut keys = HostKeys::default();
        keys.known.keys = vec![key(ECDSA), key(ED25519)];
        let algorithms = keys.algorithms();
        assert_eq!(algorithms.len(), SUPPORTED.len() - 1);
        assert!(!algorithms.contains(&SHA1));
        keys.accepted = ["ssh-rsa", "new@example.org", "ssh-ed25519"]
            .map(str::to_owned)
            .into();
        assert_eq!(keys.algorithms(), [SHA1, Algorithm::Ed25519]);
        keys.accepted = vec!["new@example.org".to_owned()];
        assert_eq!(keys.algorithms().len(), SUPPORTED.len() - 1);
    }

    #[test]
    fn a_certificate_is_asked_for_where_somebody_could_vouch_for_it() {
        let mut keys = accepting(&["ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519"]);
        assert_eq!(keys.certificate_algorithms(), []);
        keys.known.authorities = vec![key(ECDSA)];
        assert_eq!(keys.certificate_algorithms(), [Algorithm::Ed25519]);
        keys.known.authorities.clear();
        keys.accepted.pop();
        assert_eq!(keys.certificate_algorithms(), [Algorithm::Ed25519]);
        assert_eq!(keys.algorithms(), []);
    }

    #[test]
    fn a_pinned_key_is_proved_whatever_ssh_prefers() {
        let mut keys = HostKeys {
            is_pinned: true,
            ..HostKeys::default()
        };
        keys.known.keys = vec![key(ECDSA)];
        keys.accepted = ["ssh-ed25519", "ecdsa-sha2-nistp256"]
            .map(str::to_owned)
            .into();
        assert_eq!(keys.algorithms()[0], key(ECDSA).algorithm());
    }
}
