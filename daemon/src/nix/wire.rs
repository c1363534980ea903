//! What Nix's two protocols are made of: numbers and strings, aligned to eight bytes.
//!
//! Source: src/libutil/include/nix/util/serialise.hh and src/libutil/serialise.cc (`readNum`,
//! `readString`, `readPadding`).

use std::future::Future;

use thiserror::Error;

/// Both directions of a running Nix.
pub trait Wire {
    /// Reads as many bytes as `into` takes; for ever where they do not come.
    fn read(&mut self, into: &mut [u8]) -> impl Future<Output = Result<(), Ended>> + Send;

    /// Writes `bytes`. Whether they are read nobody says.
    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = ()> + Send;
}

/// The other side writes nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

/// A version of one of the protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// What changes when the two sides can't speak any more.
    pub major: u8,
    /// What changes with what they can say.
    pub minor: u8,
}

/// Where the other side leaves the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// It writes nothing more.
    #[error("ended before its {0}")]
    Ended(&'static str),
    /// A number that can't stand there.
    #[error("its {0} can't be {1:#x}")]
    Number(&'static str, u64),
    /// A string longer than any that is waited for.
    #[error("its {0} has {1} bytes")]
    TooLong(&'static str, u64),
    /// What fills a string up is not zero.
    #[error("its {0} is not filled up with zeros")]
    Padding(&'static str),
    /// No version that this side speaks.
    #[error("it speaks version {0} of the protocol")]
    Version(Version),
    /// Messages without an end.
    #[error("it has more than {0} messages before its answer")]
    Endless(usize),
    /// It says itself what is wrong.
    #[error("{0}")]
    Said(String),
}

impl Version {
    /// As it stands on the wire.
    pub const fn to_wire(self) -> u64 {
        (self.major as u64) << 8 | self.minor as u64
    }

    /// Reads it from the wire, where it is an `unsigned int` of which two bytes count.
    ///
    /// # Errors
    /// Where it is larger than that.
    pub fn from_wire(number: u64) -> Result<Self, ProtocolError> {
        match u32::try_from(number) {
            Ok(number) => {
                let [minor, major, ..] = number.to_le_bytes();
                Ok(Self { major, minor })
            }
            Err(_) => Err(ProtocolError::Number("version", number)),
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Reads a number; `what` is what it is, for the error.
///
/// # Errors
/// Where the other side has ended.
pub async fn number(wire: &mut impl Wire, what: &'static str) -> Result<u64, ProtocolError> {
    let mut bytes = [0; 8];
    let read = wire.read(&mut bytes).await;
    read.map_err(|Ended| ProtocolError::Ended(what))?;
    Ok(u64::from_le_bytes(bytes))
}

/// Reads a string of at most `max` bytes; what is no UTF-8 of it is replaced.
///
/// # Errors
/// Where it is longer, not filled up as it must be, or does not come whole.
pub async fn string(
    wire: &mut impl Wire,
    what: &'static str,
    max: usize,
) -> Result<String, ProtocolError> {
    let length = number(wire, what).await?;
    let length = match usize::try_from(length) {
        Ok(length) if length <= max => length,
        _ => return Err(ProtocolError::TooLong(what, length)),
    };
    let mut bytes = vec![0; length.next_multiple_of(8)];
    let read = wire.read(&mut bytes).await;
    read.map_err(|Ended| ProtocolError::Ended(what))?;
    if bytes[length..].iter().any(|&byte| byte != 0) {
        return Err(ProtocolError::Padding(what));
    }
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

/// Writes numbers, one after the other.
pub fn put_numbers(into: &mut Vec<u8>, numbers: &[u64]) {
    into.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

/// Writes a string.
pub fn put_string(into: &mut Vec<u8>, text: &str) {
    put_numbers(into, &[text.len() as u64]);
    into.extend(text.as_bytes());
    into.resize(into.len().next_multiple_of(8), 0);
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A peer that wrote all it has to say before, and what was written to it.
    #[derive(Default)]
    pub(crate) struct Script {
        says: Vec<u8>,
        at: usize,
        pub(crate) heard: Vec<u8>,
    }

    impl Script {
        pub(crate) fn new(says: Vec<u8>) -> Self {
            Self {
                says,
                ..Self::default()
            }
        }

        /// What it says and nobody read.
        pub(crate) fn left(&self) -> usize {
            self.says.len() - self.at
        }
    }

    impl Wire for Script {
        async fn read(&mut self, into: &mut [u8]) -> Result<(), Ended> {
            let bytes = self.says.get(self.at..self.at + into.len()).ok_or(Ended)?;
            into.copy_from_slice(bytes);
            self.at += into.len();
            Ok(())
        }

        async fn write(&mut self, bytes: &[u8]) {
            self.heard.extend(bytes);
        }
    }

    /// Runs what never waits.
    pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(future)
    }

    fn read(bytes: &[u8], max: usize) -> Result<String, ProtocolError> {
        now(string(&mut Script::new(bytes.to_vec()), "word", max))
    }

    #[test]
    fn a_string_is_filled_up_with_zeros_and_bounded() {
        let mut bytes = Vec::new();
        put_string(&mut bytes, "2.8.0");
        assert_eq!(bytes, b"\x05\0\0\0\0\0\0\x002.8.0\0\0\0");
        assert_eq!(read(&bytes, 5).as_deref(), Ok("2.8.0"));
        assert_eq!(read(&bytes, 4), Err(ProtocolError::TooLong("word", 5)));
        assert_eq!(read(&bytes[..15], 5), Err(ProtocolError::Ended("word")));
        bytes[15] = 1;
        assert_eq!(read(&bytes, 5), Err(ProtocolError::Padding("word")));
        assert_eq!(
            read(&[0xff; 16], usize::MAX - 8),
            Err(ProtocolError::TooLong("word", u64::MAX)),
            "nothing is allocated for it"
        );
    }

    #[test]
    fn a_version_has_two_parts() {
        let version = Version::from_wire(0x125).unwrap();
        assert_eq!((version.major, version.minor), (1, 37));
        assert_eq!(version.to_string(), "1.37");
        assert!(Version::from_wire(1 << 32).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in ".{0,40}", before in any::<u64>()) {
            let mut bytes = Vec::new();
            put_numbers(&mut bytes, &[before]);
            put_string(&mut bytes, &text);
            let mut script = Script::new(bytes);
            prop_assert_eq!(now(number(&mut script, "number")), Ok(before));
            prop_assert_eq!(now(string(&mut script, "word", 200)), Ok(text));
            prop_assert_eq!(script.left(), 0);
        }

        #[test]
        fn versions_read_back(major in any::<u8>(), minor in any::<u8>()) {
            let version = Version { major, minor };
            prop_assert_eq!(Version::from_wire(version.to_wire()), Ok(version));
        }
    }
}
