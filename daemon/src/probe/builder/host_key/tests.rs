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
