//! What caches and builders say.

use data_encoding::BASE64;
use offload_client::Printable;
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::{
    fuzz::now,
    nix::{
        keys::NixPublicKey,
        narinfo::NarInfo,
        serve,
        signature::{SignatureError, verify},
        version::NixVersion,
        wire::{Ended, ProtocolError, Version, Wire, put_numbers, put_string},
        worker,
    },
};

const STORE: &str = "/nix/store";
/// What our own key is called, which no input knows.
const OURS: &str = "fuzz-1";

/// What is signed says all that was read, and a signature holds for that alone.
pub(crate) fn narinfo(bytes: &[u8]) {
    let Ok(narinfo) = NarInfo::parse(bytes, STORE, NixVersion::default()) else {
        return;
    };
    let fingerprint = narinfo.fingerprint(STORE);
    let Ok(pair) = Ed25519KeyPair::from_seed_unchecked(&[7; 32]) else {
        unreachable!("32 bytes are a seed");
    };
    let signature = BASE64.encode(pair.sign(fingerprint.as_bytes()).as_ref());
    let signature = format!("{OURS}:{signature}");
    let text = written(&narinfo, &fingerprint, &signature);
    let mut signed = narinfo.clone();
    signed.signatures.push(&signature);
    assert_eq!(
        NarInfo::parse(text.as_bytes(), STORE, NixVersion::default()).as_ref(),
        Ok(&signed)
    );

    let key = pair.public_key().as_ref().try_into().unwrap_or_default();
    let ours = |key| NixPublicKey {
        name: OURS.to_owned(),
        key,
    };
    let keys = [ours(key)];
    let verified = verify(&fingerprint, &signed.signatures, &keys);
    let is_forged = |other: &&str| other.starts_with(OURS);
    if !narinfo.signatures.iter().any(is_forged) {
        assert_eq!(verified, Ok(&keys[0]));
        let other = format!("{fingerprint},");
        assert!(verify(&other, &signed.signatures, &keys).is_err());
        assert!(verify(&fingerprint, &signed.signatures, &[ours([7; 32])]).is_err());
    }
    match verify(&fingerprint, &narinfo.signatures, &[]) {
        Err(SignatureError::Unsigned) => assert_eq!(narinfo.signatures, [""; 0]),
        Err(SignatureError::Untrusted(names)) => {
            assert!((1..=4).contains(&names.len()));
            let is_fit = |name: &Printable| name.len() < 400 && Printable::passes(name);
            assert!(names.iter().all(is_fit), "{names:?}");
        }
        other => unreachable!("nobody is trusted: {other:?}"),
    }
}

/// A narinfo made of what is signed, with one signature more.
fn written(narinfo: &NarInfo<'_>, fingerprint: &str, signature: &str) -> String {
    let fields: Vec<_> = fingerprint.split(';').collect();
    let ["1", path, hash, size, references] = fields.as_slice() else {
        unreachable!("{fingerprint}");
    };
    let below = format!("{STORE}/");
    let references = references.replace(&below, "").replace(',', " ");
    let mut text = format!(
        "StorePath: {path}\nURL: {}\nCompression: {}\nNarHash: {hash}\nNarSize: {size}\nReferences: {references}\n",
        narinfo.url, narinfo.compression
    );
    for signature in narinfo.signatures.iter().chain([&signature]) {
        text.push_str(&format!("Sig: {signature}\n"));
    }
    if let Some(size) = narinfo.file_size {
        text.push_str(&format!("FileSize: {size}\n"));
    }
    if let Some(address) = &narinfo.content_address {
        text.push_str(&format!("CA: {address}\n"));
    }
    text
}

/// A greeting that is understood is understood when it is said in our words, and none is understood
/// before it is whole.
pub(crate) fn nix_protocol(bytes: &[u8]) {
    let mut wire = Says(bytes);
    match now(worker::greet(&mut wire)) {
        Ok(hello) => {
            let greeting = &bytes[..bytes.len() - wire.0.len()];
            let cut = greeting.split_last().map_or(greeting, |(_, before)| before);
            let cut = now(worker::greet(&mut Says(cut)));
            assert!(matches!(cut, Err(ProtocolError::Ended(_))), "{cut:?}");
            check_again(&hello);
            let trust = now(worker::observe_trust(&mut wire, &hello));
            trust.map_or_else(|error| check(&error), drop);
        }
        Err(error) => check(&error),
    }
    let mut wire = Says(bytes);
    match now(serve::greet(&mut wire)) {
        Ok(version) => {
            assert_eq!(version.major, 2);
            let mut again = Vec::new();
            put_numbers(&mut again, &[version.to_wire(), 0, 0]);
            assert_eq!(now(serve::greet(&mut Says(&again))), Ok(version));
        }
        Err(error) => check(&error),
    }
}

fn check_again(hello: &worker::Hello) {
    const LAST: u64 = 0x616c_7473;
    let nix = hello.nix.as_deref();
    // What is no text has grown.
    if nix.is_some_and(|nix| nix.len() > 1024) {
        return;
    }
    let mut words = Vec::new();
    put_numbers(&mut words, &[hello.protocol.to_wire()]);
    if let Some(nix) = nix {
        put_string(&mut words, nix);
    }
    let told = Version {
        major: 1,
        minor: 35,
    };
    if hello.protocol >= told {
        put_numbers(
            &mut words,
            &[match hello.trust {
                worker::Trust::Unknown => 0,
                worker::Trust::Yes => 1,
                worker::Trust::No => 2,
            }],
        );
    }
    put_numbers(&mut words, &[LAST]);
    assert_eq!(now(worker::greet(&mut Says(&words))).as_ref(), Ok(hello));
}

/// What was said is told, as long as it is bearable.
fn check(error: &ProtocolError) {
    const LINE: usize = 16 << 10;
    assert!(error.to_string().len() <= 3 * LINE);
}

/// A peer that has said all it has to say.
struct Says<'a>(&'a [u8]);

impl Wire for Says<'_> {
    async fn read(&mut self, into: &mut [u8]) -> Result<(), Ended> {
        let (bytes, rest) = self.0.split_at_checked(into.len()).ok_or(Ended)?;
        into.copy_from_slice(bytes);
        self.0 = rest;
        Ok(())
    }

    async fn write(&mut self, _: &[u8]) {}
}
