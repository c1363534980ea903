//! The serve protocol, as far as it proves a Nix and its store: `nix-store --serve`, behind `ssh://`.
//!
//! Source: `BasicClientConnection::handshake` and `queryValidPaths` in
//! src/libstore/serve-protocol-connection.cc, the numbers in
//! src/libstore/include/nix/store/serve-protocol.hh, the other side in `opServe` of
//! src/nix/nix-store/nix-store.cc.

use super::wire::{ProtocolError, Version, Wire, number, put_numbers};

/// What the client says first (`SERVE_MAGIC_1`).
const MAGIC_OURS: u64 = 0x390c_9deb;
/// What Nix answers first (`SERVE_MAGIC_2`).
pub const MAGIC: u64 = 0x5452_eecb;
/// What this side speaks: it changes nothing of what is asked here.
const OURS: Version = Version { major: 2, minor: 7 };
/// `ServeProto::Command`.
const QUERY_VALID_PATHS: u64 = 1;
const BUILD_PATHS: u64 = 6;

/// What to write first.
pub fn greeting() -> Vec<u8> {
    let mut bytes = Vec::new();
    put_numbers(&mut bytes, &[MAGIC_OURS, OURS.to_wire()]);
    bytes
}

/// Goes on after [`MAGIC`]: the newest version of the protocol that the other side speaks. (It says
/// neither the version of its Nix nor whom it trusts.)
///
/// Then asks which of no paths are valid, which a Nix answers once it has opened its store. It opens
/// it only when it must: until then a daemon that is down goes unnoticed. Then has it build nothing, which a Nix does not that may only be read from.
///
/// # Errors
/// Where the other side leaves the protocol.
pub async fn greet(wire: &mut impl Wire) -> Result<Version, ProtocolError> {
    let protocol = Version::from_wire(number(wire, "version").await?)?;
    // Nix of today also refuses what is older than 2.5 (Nix before 2.4), that of yesterday did not.
    if protocol.major != OURS.major {
        return Err(ProtocolError::Version(protocol));
    }
    let mut bytes = Vec::new();
    // Without locking them, without substituting them, none.
    put_numbers(&mut bytes, &[QUERY_VALID_PATHS, 0, 0, 0]);
    wire.write(&bytes).await;
    match number(wire, "answer").await? {
        0 => {}
        other => return Err(ProtocolError::Number("answer", other)),
    }
    wire.write(&build_nothing(protocol.min(OURS))).await;
    match number(wire, "permission").await? {
        0 => Ok(protocol),
        other => Err(ProtocolError::Number("permission", other)),
    }
}

/// Paths: none; then how to build them, as this version of the protocol has it (`getBuildSettings` in src/nix/nix-store/nix-store.cc).
fn build_nothing(spoken: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    // maxSilentTime, buildTimeout; maxLogSize; nrRepeats, enforceDeterminism; keepFailed.
    let since = [(0, 2), (2, 1), (3, 2), (7, 1)];
    let settings = since.iter().filter(|(minor, _)| spoken.minor >= *minor);
    let count = settings.map(|(_, count)| count).sum();
    put_numbers(&mut bytes, &[BUILD_PATHS, 0]);
    put_numbers(&mut bytes, &vec![0; count]);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::wire::tests::{Script, now},
        *,
    };

    fn greeted(numbers: &[u64]) -> Result<Version, ProtocolError> {
        let mut says = Vec::new();
        put_numbers(&mut says, numbers);
        now(greet(&mut Script::new(says)))
    }

    #[test]
    fn an_answer_proves_the_store() {
        let version = greeted(&[0x207, 0, 0]).unwrap();
        assert_eq!(version.to_string(), "2.7");
        assert_eq!(greeted(&[0x207]), Err(ProtocolError::Ended("answer")));
        assert_eq!(
            greeted(&[0x207, 1]),
            Err(ProtocolError::Number("answer", 1)),
            "nobody asked for a path"
        );
    }

    #[test]
    fn who_may_not_build_is_no_builder() {
        assert_eq!(
            greeted(&[0x207, 0]),
            Err(ProtocolError::Ended("permission"))
        );
        let numbers = |minor| build_nothing(Version { major: 2, minor }).len() / 8;
        assert_eq!([1, 2, 3, 7].map(numbers), [4, 5, 7, 8]);
    }

    #[test]
    fn another_major_version_is_refused() {
        for wire in [0x107, 0x307, 0] {
            let error = greeted(&[wire, 0, 0]).unwrap_err();
            assert!(matches!(error, ProtocolError::Version(_)), "{wire:#x}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(says in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = now(greet(&mut Script::new(says)));
        }
    }
}
