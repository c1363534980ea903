//! What is said to the helper and what it answers: one question and one answer a connection, before which a build
//! is told, each a [frame](`frame`).

mod frame;
mod rows;

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

use offload_client::Printable;

use self::frame::Frame;
pub(crate) use self::{
    frame::{Fields, MAX_FRAME, WireError, frame_length, read_frame},
    rows::{Ended, NotOffered, Offered, Watched},
};
use crate::program::Stream;

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
    /// Run what root's ssh has as its proxy for a builder (`ProxyJump`, `ProxyCommand`). Before the answer, which is [`Ended`],
    /// comes an empty [`Answer::Begun`], and with it the socket that the proxy reads and writes and the pipe that it
    /// complains to; who hangs up ends it.
    Dial {
        /// Its URI, as the list of builders has it.
        store: String,
    },
    /// Have the kernel tell of changes of what root's Nix and ssh read: the answer is a row of [`Watched`], and an
    /// inotify comes along.
    Watch,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Here it is: for a file or an inotify, its descriptor comes along.
    Done(Vec<u8>),
    /// It is not there.
    Missing,
    /// It is not for who asks; the text says why.
    Refused(String),
    /// It could not be had; the text says why.
    Failed(String),
    /// A proxy runs, or a build, whose paths have this word in their names; more comes.
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
            Self::Watch => Frame::new(7),
            Self::Dial { store } => Frame::new(8).string(store.as_bytes()),
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
            7 => Self::Watch,
            8 => Self::Dial {
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

#[cfg(test)]
mod tests {
    use std::io;

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
            ".*".prop_map(|store| Request::Dial { store }),
            Just(Request::Watch),
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
            Just(Err(NotOffered::NotVisible)),
            ".*".prop_map(|why| Err(NotOffered::Unusable(why))),
        ];
        ("\\PC*", any::<bool>(), key).prop_map(|(file, is_agents, key)| Offered {
            file: file.into(),
            is_agents: match &key {
                Ok(_) => is_agents,
                Err(why) => *why == NotOffered::NotVisible,
            },
            key,
        })
    }

    fn watched() -> impl Strategy<Value = Watched> {
        let names = prop::collection::vec("\\PC*".prop_map(OsString::from), 0..4);
        (any::<i32>(), "\\PC*", names).prop_map(|(number, path, names)| Watched {
            number,
            path: path.into(),
            names,
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
            watched in prop::collection::vec(watched(), 0..4),
        ) {
            prop_assert_eq!(Watched::decode_all(&Watched::encode_all(&watched)), Ok(watched));
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
