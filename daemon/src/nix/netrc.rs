//! netrc: the logins that Nix has for caches (`netrc-file` of nix.conf).
//!
//! Source: Nix leaves it to libcurl (`CURL_NETRC_OPTIONAL`, src/libstore/filetransfer.cc), whose lib/netrc.c is
//! followed here as of 8.14. Older ones read a `#` inside a line as a comment, no string over two lines, and lines
//! of any number; newer ones end a word at a byte beyond ASCII, which is taken as written here.

mod words;

use std::{fmt, io::ErrorKind, path::Path};

use data_encoding::BASE64;

use self::words::{Word, Words};
use crate::files::Files;

/// libcurl reads no larger one.
const MAX_FILE: u64 = 128 << 10;

/// A netrc file, read. What it holds is shown to nobody.
#[derive(Clone, Default, PartialEq)]
pub enum Netrc {
    /// There is none, or none that libcurl would read.
    #[default]
    None,
    /// What it holds.
    Text(Vec<u8>),
    /// This process may not read it, and root's Nix may.
    NotVisible,
}

/// What Nix logs in to a cache with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Login {
    /// Nothing.
    #[default]
    None,
    /// A user and a password.
    Basic(Basic),
    /// Who knows: the file is not for this process.
    NotVisible,
}

/// A user and a password, as Basic authentication has them. `Debug` says neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Basic {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Netrc {
    /// Reads the file at `path`.
    pub fn read(files: &dyn Files, path: &Path) -> Self {
        match files.read(path, MAX_FILE) {
            Ok(text) => Self::Text(text),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Self::NotVisible,
            Err(_) => Self::None,
        }
    }

    /// The login for `host`, a name or an address without brackets; neither a port nor a zone counts.
    pub fn login(&self, host: &str) -> Login {
        let (address, zone) = host.split_once('%').unwrap_or((host, ""));
        let is_v6 = address.contains(':') || zone.is_empty();
        let host = if is_v6 { address } else { host };
        match self {
            Self::None => Login::None,
            Self::Text(text) => search(text, host).map_or(Login::None, Login::Basic),
            Self::NotVisible => Login::NotVisible,
        }
    }
}

impl Basic {
    /// Of these two.
    pub fn new(user: impl Into<Vec<u8>>, password: impl Into<Vec<u8>>) -> Self {
        Self {
            user: user.into(),
            password: password.into(),
        }
    }

    /// The value of the header `Authorization` (RFC 7617, 2).
    pub fn authorization(&self) -> String {
        let pair = [&*self.user, b":", &*self.password].concat();
        format!("Basic {}", BASE64.encode(&pair))
    }

    /// A file that has it for everybody.
    #[cfg(any(test, feature = "fuzz"))]
    pub(in crate::nix) fn written(&self) -> Vec<u8> {
        let quoted = |word: &[u8]| {
            let mut quoted = vec![b'"'];
            for byte in word {
                quoted.extend(match byte {
                    b'"' | b'\\' => vec![b'\\', *byte],
                    b'\n' => b"\\n".to_vec(),
                    other => vec![*other],
                });
            }
            quoted.push(b'"');
            quoted
        };
        let (user, password) = (quoted(&self.user), quoted(&self.password));
        [b"default login ", &*user, b" password ", &password].concat()
    }
}

impl fmt::Debug for Netrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Text(_) => "Text(***)",
            Self::NotVisible => "NotVisible",
        })
    }
}

impl fmt::Debug for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Which words come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Anything but what is wanted.
    Outside,
    /// A machine's name.
    Name,
    /// What is said of the machine that is wanted.
    Inside,
    /// Its user.
    User,
    /// Its password.
    Password,
    /// A macro, up to the next empty line.
    Macro,
}

/// What is known so far of the machine that is wanted.
#[derive(Default)]
struct Entry {
    user: Option<Vec<u8>>,
    password: Option<Vec<u8>>,
    /// Whether a user and a password were named; `default` takes their words and leaves that.
    named: (bool, bool),
}

/// The first whole login for `host`; libcurl drops all that it has when a word can't be read before that.
fn search(text: &[u8], host: &str) -> Option<Basic> {
    let (mut state, mut entry) = (State::Outside, Entry::default());
    for word in Words::new(text) {
        let Word::Text(word) = word.ok()? else {
            if state == State::Macro {
                state = State::Outside;
            }
            continue;
        };
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword.as_bytes());
        state = match state {
            State::Outside if is("macdef") => State::Macro,
            State::Outside if is("machine") => State::Name,
            State::Outside if is("default") => State::Inside,
            State::Name if is(host) => State::Inside,
            State::Outside | State::Name => State::Outside,
            State::Inside if is("login") => State::User,
            State::Inside if is("password") => State::Password,
            // A password alone is a login.
            State::Inside if is("machine") && entry.named.1 => break,
            State::Inside if is("machine") => {
                entry = Entry::default();
                State::Name
            }
            State::Inside => {
                if is("default") {
                    (entry.user, entry.password) = (None, None);
                }
                State::Inside
            }
            State::User => {
                (entry.user, entry.named.0) = (Some(word), true);
                State::Inside
            }
            State::Password => {
                (entry.password, entry.named.1) = (Some(word), true);
                State::Inside
            }
            State::Macro => State::Macro,
        };
        if entry.named == (true, true) {
            break;
        }
    }
    let Entry { user, password, .. } = entry;
    (user.is_some() || password.is_some()).then(|| Basic {
        user: user.unwrap_or_default(),
        password: password.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
