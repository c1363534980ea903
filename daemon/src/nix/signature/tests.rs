use data_encoding::BASE64;
use proptest::prelude::*;
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::*;

const OVER: &str = "1;/nix/store/x;sha256:0;1;";

/// A key of its own for each seed, called `name`: what it signs `OVER` with, and its public half.
fn signer(name: &str, seed: u8) -> (String, NixPublicKey) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let signature = BASE64.encode(pair.sign(OVER.as_bytes()).as_ref());
    let key = NixPublicKey {
        name: name.to_owned(),
        key: pair.public_key().as_ref().try_into().unwrap(),
    };
    (format!("{name}:{signature}"), key)
}

#[test]
fn one_good_signature_by_a_trusted_key_is_enough() {
    let (good, key) = signer("desktop-1", 1);
    let (strange, _) = signer("other-1", 2);
    let (wrong, _) = signer("second-1", 3);
    let (_, second) = signer("second-1", 4);
    let keys = [second, key.clone()];
    for signatures in [
        vec![good.as_str()],
        vec![&strange, &wrong, &good],
        vec!["", ":", "nonsense", &good],
    ] {
        assert_eq!(verify(OVER, &signatures, &keys), Ok(&key), "{signatures:?}");
    }
}

#[test]
fn a_key_that_is_not_trusted_is_told_from_a_signature_that_does_not_fit() {
    let (good, key) = signer("desktop-1", 1);
    let (_, namesake) = signer("desktop-1", 2);
    let untrusted = SignatureError::Untrusted(vec!["desktop-1".into()]);
    let wrong = SignatureError::Wrong("desktop-1".into());
    assert_eq!(verify(OVER, &[&good], &[]), Err(untrusted));
    assert_eq!(
        verify(OVER, &[&good], std::slice::from_ref(&namesake)),
        Err(wrong.clone())
    );
    assert_eq!(
        verify("1;x", &[&good], std::slice::from_ref(&key)),
        Err(wrong.clone())
    );
    // The first of two keys with one name counts, as in Nix's map of them.
    assert_eq!(verify(OVER, &[&good], &[namesake, key]), Err(wrong));
    assert_eq!(verify(OVER, &[], &[]), Err(SignatureError::Unsigned));
}

#[test]
fn what_is_no_signature_spoils_the_path_only_under_a_trusted_name() {
    let (good, key) = signer("desktop-1", 1);
    let keys = [key];
    for spoiled in [
        "desktop-1:",
        "desktop-1:AAAA",
        "desktop-1:!",
        &format!("{good}AAAA"),
    ] {
        let found = verify(OVER, &[&good, spoiled], &keys);
        // Nix's base 64 ends at the first '='.
        if spoiled.contains('=') {
            assert!(found.is_ok(), "{spoiled}");
        } else {
            assert_eq!(found, Err(SignatureError::Malformed("desktop-1".into())));
        }
    }
    assert!(verify(OVER, &["other-1:AAAA", &good], &keys).is_ok());
}

#[test]
fn names_are_few_short_and_printable() {
    let long = format!("{}\u{1b}[2J:AAAA", "x".repeat(500));
    let many: Vec<String> = (0..100).map(|number| format!("key-{number}\t:A")).collect();
    let mut signatures: Vec<&str> = many.iter().map(String::as_str).collect();
    signatures.insert(0, &long);
    signatures.insert(0, "\u{1b}[2J\u{9b}\u{202e}\u{2028}\0:A");
    let error = verify(OVER, &signatures, &[]).unwrap_err();
    assert_eq!(error.names().len(), MAX_NAMES);
    assert_eq!(error.names()[0], r"\x1b[2J\u{9b}\u{202e}\u{2028}\x00");
    assert!(Printable::passes(&error.to_string()), "{error}");
    assert!(error.to_string().chars().count() < 500, "{error}");
}

#[test]
fn a_key_is_written_as_it_is_read() {
    let (_, key) = signer("desktop-1", 9);
    let read = crate::nix::keys::parse_nix_public_key(&key.to_string());
    assert_eq!(read, Ok(key));
}

proptest! {
    #[test]
    fn any_signatures_are_read_or_refused(
        signatures in prop::collection::vec("(desktop-1)?:?\\PC{0,100}", 0..6),
    ) {
        let (_, key) = signer("desktop-1", 1);
        let signatures: Vec<&str> = signatures.iter().map(String::as_str).collect();
        prop_assert!(verify(OVER, &signatures, &[key]).is_err());
    }

    #[test]
    fn a_flipped_bit_is_noticed(at in 0_usize..512) {
        let (good, key) = signer("desktop-1", 1);
        let (name, encoded) = good.split_once(':').unwrap();
        let mut bytes = BASE64.decode(encoded.as_bytes()).unwrap();
        bytes[at / 8] ^= 1 << (at % 8);
        let bad = format!("{name}:{}", BASE64.encode(&bytes));
        prop_assert!(verify(OVER, &[&bad], &[key]).is_err());
    }
}
