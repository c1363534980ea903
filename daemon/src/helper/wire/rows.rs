//! What an answer holds that is more than a text.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

use super::frame::{Fields, WireError, size};

/// A key file that root's ssh looks at, or a key that its agent has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    /// Where it is: of an agent's key, where the agent listens.
    pub(crate) file: PathBuf,
    /// Whether the agent has it.
    pub(crate) is_agents: bool,
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
    /// Root's ssh could ask the agent, and the helper can't.
    NotVisible,
}

/// How a test build ended, or a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself, and well: Nix has built.
    Succeeded,
    /// By itself, and not well; its status.
    Failed(String),
    /// Its time was over.
    TimedOut,
}

/// A folder in which something of root's is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Watched {
    /// The number of the inotify's watch.
    pub(crate) number: i32,
    /// Where it is, with no link on the way.
    pub(crate) path: PathBuf,
    /// What matters in it; nothing where it only has to stay where it is.
    pub(crate) names: Vec<OsString>,
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
        for Self {
            file,
            is_agents,
            key,
        } in offered
        {
            let (kind, text) = match key {
                Ok(key) => (if *is_agents { 3 } else { 0 }, key.as_slice()),
                Err(NotOffered::NotVisible) => (4, &b""[..]),
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
                (0 | 3, key) => Ok(key.to_owned()),
                (4, b"") => Err(NotOffered::NotVisible),
                (1, b"") => Err(NotOffered::Missing),
                (2, _) => Err(NotOffered::Unusable(
                    std::str::from_utf8(text).map_err(|_| WireError)?.to_owned(),
                )),
                _ => return Err(WireError),
            };
            let is_agents = matches!(kind, 3 | 4);
            offered.push(Self {
                file,
                is_agents,
                key,
            });
        }
        Ok(offered)
    }
}

impl Watched {
    /// A row of them: each a number, a path and a row of names.
    pub(crate) fn encode_all(watched: &[Self]) -> Vec<u8> {
        let string = |bytes: &[u8]| [&size(bytes)[..], bytes].concat();
        let mut row = Vec::new();
        for Self {
            number,
            path,
            names,
        } in watched
        {
            let names = names.iter().map(|name| string(name.as_bytes()));
            row.extend(string(&number.to_be_bytes()));
            row.extend(string(path.as_os_str().as_bytes()));
            row.extend(string(&names.collect::<Vec<_>>().concat()));
        }
        row
    }

    /// Reads such a row.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn decode_all(row: &[u8]) -> Result<Vec<Self>, WireError> {
        let mut fields = Fields::new(row);
        let mut watched = Vec::new();
        while fields.end().is_err() {
            let number = fields.number()?.cast_signed();
            let path = OsString::from_vec(fields.string()?.to_owned()).into();
            let mut inner = Fields::new(fields.string()?);
            let mut names = Vec::new();
            while inner.end().is_err() {
                names.push(OsString::from_vec(inner.string()?.to_owned()));
            }
            watched.push(Self {
                number,
                path,
                names,
            });
        }
        Ok(watched)
    }
}
