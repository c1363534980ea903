//! What is said to the helper and what it answers: one question and one answer a connection, each a frame: its
//! length in four bytes, and as many bytes. All numbers are unsigned, the highest byte first, as in ssh's own
//! protocols (RFC 4251, 5); a string is its length in four bytes, and as many bytes.

use std::{
    ffi::OsString,
    io::{self, Read},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

/// The longest frame, without its length. What `ssh -G` prints has 4 to 8 KiB.
pub(crate) const MAX_FRAME: usize = 256 << 10;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// A file to read. `store` is the URI of the builder for which ssh reads it; empty where Nix does.
    Open {
        /// Where it is.
        path: PathBuf,
        /// As the list of builders has it.
        store: String,
    },
    /// What root's ssh would do for a builder: the answer is that of `ssh -G`.
    Resolve {
        /// Its URI, as the list of builders has it.
        store: String,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Here it is: for a file, its descriptor comes along.
    Done(Vec<u8>),
    /// It is not there.
    Missing,
    /// It is not for who asks; the text says why.
    Refused(String),
    /// It could not be had; the text says why.
    Failed(String),
}

/// What is no question or no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame that can't be read")]
pub(crate) struct WireError;

impl From<WireError> for io::Error {
    fn from(error: WireError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

impl Request {
    /// The whole frame.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Open { path, store } => Frame::new(1)
                .string(path.as_os_str().as_bytes())
                .string(store.as_bytes()),
            Self::Resolve { store } => Frame::new(2).string(store.as_bytes()),
        }
        .finish()
    }

    /// Reads what is in a frame.
    ///
    /// # Errors
    /// It is no question.
    pub(crate) fn decode(frame: &[u8]) -> Result<Self, WireError> {
        let (kind, mut fields) = Fields::of(frame)?;
        let request = match kind {
            1 => Self::Open {
                path: OsString::from_vec(fields.string()?.to_owned()).into(),
                store: fields.text()?,
            },
            2 => Self::Resolve {
                store: fields.text()?,
            },
            _ => return Err(WireError),
        };
        fields.end()?;
        Ok(request)
    }
}

impl Answer {
    /// The whole frame.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Done(bytes) => Frame::new(0).string(bytes),
            Self::Missing => Frame::new(1),
            Self::Refused(why) => Frame::new(2).string(why.as_bytes()),
            Self::Failed(why) => Frame::new(3).string(why.as_bytes()),
        }
        .finish()
    }

    /// Reads what is in a frame.
    ///
    /// # Errors
    /// It is no answer.
    pub(crate) fn decode(frame: &[u8]) -> Result<Self, WireError> {
        let (kind, mut fields) = Fields::of(frame)?;
        let answer = match kind {
            0 => Self::Done(fields.string()?.to_owned()),
            1 => Self::Missing,
            2 => Self::Refused(fields.text()?),
            3 => Self::Failed(fields.text()?),
            _ => return Err(WireError),
        };
        fields.end()?;
        Ok(answer)
    }
}

/// Reads one frame, without its length.
///
/// # Errors
/// What `from` says; `InvalidData` where the frame is too long.
pub(crate) fn read_frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut frame = vec![0; frame_length(length)?];
    from.read_exact(&mut frame)?;
    Ok(frame)
}

/// How long the frame is that begins so.
///
/// # Errors
/// `InvalidData`: too long.
pub(crate) fn frame_length(length: [u8; 4]) -> io::Result<usize> {
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| WireError)?;
    match length > MAX_FRAME {
        true => Err(WireError.into()),
        false => Ok(length),
    }
}

/// A frame being written.
struct Frame(Vec<u8>);

impl Frame {
    fn new(kind: u8) -> Self {
        Self(vec![0, 0, 0, 0, kind])
    }

    fn string(mut self, bytes: &[u8]) -> Self {
        self.0.extend(size(bytes));
        self.0.extend_from_slice(bytes);
        self
    }

    fn finish(mut self) -> Vec<u8> {
        let length = size(&self.0[4..]);
        self.0[..4].copy_from_slice(&length);
        self.0
    }
}

/// Of what is longer than four bytes can say nothing is ever sent: [`MAX_FRAME`] is far less.
fn size(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// A row of strings and numbers being read, as ssh writes them.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// A first byte, and what follows it.
    fn of(frame: &'a [u8]) -> Result<(u8, Self), WireError> {
        let mut fields = Self(frame);
        Ok((fields.byte()?, fields))
    }

    /// One byte.
    pub(crate) fn byte(&mut self) -> Result<u8, WireError> {
        let (byte, rest) = self.0.split_first().ok_or(WireError)?;
        self.0 = rest;
        Ok(*byte)
    }

    /// A string.
    pub(crate) fn string(&mut self) -> Result<&'a [u8], WireError> {
        let (length, rest) = self.0.split_first_chunk().ok_or(WireError)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| WireError)?;
        let (string, rest) = rest.split_at_checked(length).ok_or(WireError)?;
        self.0 = rest;
        Ok(string)
    }

    /// A string in UTF-8.
    pub(crate) fn text(&mut self) -> Result<String, WireError> {
        let text = std::str::from_utf8(self.string()?).map_err(|_| WireError)?;
        Ok(text.to_owned())
    }

    /// Nothing is left.
    pub(crate) fn end(&self) -> Result<(), WireError> {
        match self.0 {
            [] => Ok(()),
            _ => Err(WireError),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request() -> impl Strategy<Value = Request> {
        let path = prop::collection::vec(any::<u8>(), 0..64);
        let open = (path, ".*").prop_map(|(path, store)| Request::Open {
            path: OsString::from_vec(path).into(),
            store,
        });
        prop_oneof![open, ".*".prop_map(|store| Request::Resolve { store })]
    }

    fn answer() -> impl Strategy<Value = Answer> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..64).prop_map(Answer::Done),
            Just(Answer::Missing),
            ".*".prop_map(Answer::Refused),
            ".*".prop_map(Answer::Failed),
        ]
    }

    /// What is in a frame that has come whole.
    fn sent(frame: Vec<u8>) -> Vec<u8> {
        let mut rest = frame.as_slice();
        let read = read_frame(&mut rest).unwrap();
        assert!(rest.is_empty());
        read
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(request in request(), answer in answer()) {
            prop_assert_eq!(Request::decode(&sent(request.encode())), Ok(request));
            prop_assert_eq!(Answer::decode(&sent(answer.encode())), Ok(answer));
        }

        #[test]
        fn what_is_cut_short_or_goes_on_is_nothing(request in request(), at in any::<prop::sample::Index>()) {
            let frame = sent(request.encode());
            prop_assert_eq!(Request::decode(&frame[..at.index(frame.len())]), Err(WireError));
            prop_assert_eq!(Request::decode(&[&*frame, &[0]].concat()), Err(WireError));
        }
    }

    #[test]
    fn no_more_is_read_than_a_frame_may_have() {
        let mut longest = &[0, 4, 0, 1][..];
        let error = read_frame(&mut longest).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
