//! What is said to the helper and what it answers: one question and one answer a connection, before which a build
//! is told, each a frame: its length in four bytes, and as many bytes. All numbers are unsigned, the highest byte first, as in ssh's own
//! protocols (RFC 4251, 5); a string is its length in four bytes, and as many bytes.

use std::{
    ffi::OsString,
    io::{self, Read},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

use offload_client::Printable;

use crate::program::Stream;

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
    /// The keys that root's ssh would offer a builder: the answer is a row of [`Offered`].
    Identities {
        /// Its URI, as the list of builders has it.
        store: String,
    },
    /// A signature with one of them: the answer is one as ssh writes it (RFC 4253, 6.6).
    Sign {
        /// Its URI, as the list of builders has it.
        store: String,
        /// What a client signs to log in (RFC 4252, 7): it names the user and the key.
        data: Vec<u8>,
    },
    /// A test build on a builder alone, through root's Nix. Before the answer, which is [`Ended`], comes
    /// [`Answer::Begun`] and what Nix says, as it says it; who hangs up ends it.
    Build {
        /// Its URI, as the list of builders has it.
        store: String,
        /// It has so many seconds.
        seconds: u32,
    },
    /// Forget what Nix remembers as missing from a substituter: the answer is how many paths, in decimal digits.
    Forget {
        /// Its URL, in any spelling that Nix takes for the same.
        cache: String,
    },
}

/// A key file that root's ssh looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    /// Where it is.
    pub(crate) file: PathBuf,
    /// The public key, as ssh writes it.
    pub(crate) key: Result<Vec<u8>, NotOffered>,
}

/// Why there is no key in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotOffered {
    /// It is not there.
    Missing,
    /// ssh does not take it; the text says why.
    Unusable(String),
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
    /// A build begins, whose paths have this word in their names, and more comes.
    Begun(String),
    /// A line of Nix's, and more comes.
    Line(Line),
}

/// A line that a program prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Whether it is a result, and not the log.
    pub(crate) is_output: bool,
    /// What it says, fit to be shown.
    pub(crate) text: String,
}

/// How a test build ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nix has built.
    Succeeded,
    /// Nix has not; its status.
    Failed(String),
    /// Its time was over.
    TimedOut,
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
            Self::Identities { store } => Frame::new(3).string(store.as_bytes()),
            Self::Sign { store, data } => Frame::new(4).string(store.as_bytes()).string(data),
            Self::Build { store, seconds } => {
                let seconds = seconds.to_be_bytes();
                Frame::new(5).string(store.as_bytes()).string(&seconds)
            }
            Self::Forget { cache } => Frame::new(6).string(cache.as_bytes()),
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
            3 => Self::Identities {
                store: fields.text()?,
            },
            4 => Self::Sign {
                store: fields.text()?,
                data: fields.string()?.to_owned(),
            },
            5 => Self::Build {
                store: fields.text()?,
                seconds: fields.number()?,
            },
            6 => Self::Forget {
                cache: fields.text()?,
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
            Self::Begun(word) => Frame::new(4).string(word.as_bytes()),
            Self::Line(Line { is_output, text }) => {
                Frame::new(5 + u8::from(*is_output)).string(text.as_bytes())
            }
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
            4 => Self::Begun(fields.text()?),
            5 | 6 => Self::Line(Line {
                is_output: kind == 6,
                text: fields.text()?,
            }),
            _ => return Err(WireError),
        };
        fields.end()?;
        Ok(answer)
    }
}

impl Answer {
    /// A line as it is handed over.
    pub(crate) fn line(stream: Stream, line: &[u8]) -> Self {
        Self::Line(Line {
            is_output: stream == Stream::Output,
            text: Printable::from(String::from_utf8_lossy(line).into_owned()).to_string(),
        })
    }
}

impl Ended {
    /// A byte, and a text.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Succeeded => vec![0],
            Self::Failed(status) => [&[1], status.as_bytes()].concat(),
            Self::TimedOut => vec![2],
        }
    }

    /// Reads such a row.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn decode(row: &[u8]) -> Result<Self, WireError> {
        match row {
            [0] => Ok(Self::Succeeded),
            [1, status @ ..] => {
                let status = std::str::from_utf8(status).map_err(|_| WireError)?;
                Ok(Self::Failed(status.to_owned()))
            }
            [2] => Ok(Self::TimedOut),
            _ => Err(WireError),
        }
    }
}

impl Offered {
    /// A row of them: each a path, a byte and a text or a key.
    pub(crate) fn encode_all(offered: &[Self]) -> Vec<u8> {
        let mut row = Vec::new();
        for Self { file, key } in offered {
            let (kind, text) = match key {
                Ok(key) => (0, key.as_slice()),
                Err(NotOffered::Missing) => (1, &b""[..]),
                Err(NotOffered::Unusable(why)) => (2, why.as_bytes()),
            };
            let file = file.as_os_str().as_bytes();
            row.extend([&size(file)[..], file, &[kind], &size(text), text].concat());
        }
        row
    }

    /// Reads such a row.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn decode_all(row: &[u8]) -> Result<Vec<Self>, WireError> {
        let mut fields = Fields::new(row);
        let mut offered = Vec::new();
        while fields.end().is_err() {
            let file = OsString::from_vec(fields.string()?.to_owned()).into();
            let (kind, text) = (fields.byte()?, fields.string()?);
            let key = match (kind, text) {
                (0, key) => Ok(key.to_owned()),
                (1, b"") => Err(NotOffered::Missing),
                (2, _) => Err(NotOffered::Unusable(
                    std::str::from_utf8(text).map_err(|_| WireError)?.to_owned(),
                )),
                _ => return Err(WireError),
            };
            offered.push(Self { file, key });
        }
        Ok(offered)
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
    if length > MAX_FRAME {
        Err(WireError.into())
    } else {
        Ok(length)
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

    /// A row that begins here.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
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

    /// A number of four bytes, written as a string.
    fn number(&mut self) -> Result<u32, WireError> {
        let bytes = self.string()?.try_into().map_err(|_| WireError)?;
        Ok(u32::from_be_bytes(bytes))
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
        let sign = (".*", prop::collection::vec(any::<u8>(), 0..64))
            .prop_map(|(store, data)| Request::Sign { store, data });
        prop_oneof![
            open,
            ".*".prop_map(|store| Request::Resolve { store }),
            ".*".prop_map(|store| Request::Identities { store }),
            (".*", any::<u32>()).prop_map(|(store, seconds)| Request::Build { store, seconds }),
            ".*".prop_map(|cache| Request::Forget { cache }),
            sign,
        ]
    }

    fn answer() -> impl Strategy<Value = Answer> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..64).prop_map(Answer::Done),
            Just(Answer::Missing),
            ".*".prop_map(Answer::Refused),
            ".*".prop_map(Answer::Failed),
            ".*".prop_map(Answer::Begun),
            (any::<bool>(), ".*")
                .prop_map(|(is_output, text)| Answer::Line(Line { is_output, text })),
        ]
    }

    fn ended() -> impl Strategy<Value = Ended> {
        prop_oneof![
            Just(Ended::Succeeded),
            ".*".prop_map(Ended::Failed),
            Just(Ended::TimedOut),
        ]
    }

    fn offered() -> impl Strategy<Value = Offered> {
        let key = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..64).prop_map(Ok),
            Just(Err(NotOffered::Missing)),
            ".*".prop_map(|why| Err(NotOffered::Unusable(why))),
        ];
        ("\\PC*", key).prop_map(|(file, key)| Offered {
            file: file.into(),
            key,
        })
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
        fn what_is_written_is_read_again(
            request in request(),
            answer in answer(),
            offered in prop::collection::vec(offered(), 0..4),
            ended in ended(),
        ) {
            prop_assert_eq!(Ended::decode(&ended.encode()), Ok(ended));
            prop_assert_eq!(Offered::decode_all(&Offered::encode_all(&offered)), Ok(offered));
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
