//! known_hosts: which host keys OpenSSH would accept of a host.
//!
//! Source: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"; hostfile.c (`hostkeys_foreach`, `host_hash`),
//! match.c (`match_pattern_list`) and sshconnect.c (`get_hostfile_hostname_ipaddr`,
//! `check_host_key`) of OpenSSH. The parsers at hand read whole files, stop at the first bad line
//! and know no patterns.

use std::{
    borrow::Cow,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use data_encoding::BASE64;
use ring::hmac;
use russh::keys::PublicKey;

use super::{keys::parse_type_and_key, text};
use crate::{credential, files::Files};

/// How many keys of one host count.
const MAX_KEYS: usize = 64;
/// The longest list of hosts of one line that is looked at.
const MAX_HOSTS: usize = 16 << 10;
const DEFAULT_PORT: u16 = 22;

/// What is known of a host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// Under the name that is looked for: `host`, `[host]:port` or an alias.
    pub named: Lines,
    /// Under the host's name alone, where `[host]:port` is looked for. OpenSSH looks there where nothing
    /// is known of that one, and accepts a match; one that differs is then no alarm to it: the host is
    /// merely unknown.
    pub without_port: Lines,
    /// Files that this process may not read, and root, as which Nix runs ssh, may.
    pub unreadable: Vec<PathBuf>,
}

/// What the lines of one name say. No key has a comment, so that equal keys are equal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lines {
    /// The keys it may prove.
    pub keys: Vec<PublicKey>,
    /// The keys that neither it nor who vouches for it must prove, whatever else is known.
    pub revoked: Vec<PublicKey>,
    /// The authorities whose certificates vouch for it.
    pub authorities: Vec<PublicKey>,
}

/// Looks in the text that Nix has `written` for field 8 of a machines line, if any, and in `files`,
/// in order, for `host` on `port`: the name that is connected to (`hostname` of `ssh -G`), or an
/// alias (`host_key_alias`), which goes without a port: `None`. Files that are not there or are
/// absurdly large count as empty, as for OpenSSH; those that may not be read are named.
///
/// Addresses behind the name are not looked up, as `CheckHostIP no` has it, the default.
pub fn lookup(
    reader: &dyn Files,
    written: Option<&str>,
    files: &[PathBuf],
    host: &str,
    port: Option<u16>,
) -> Known {
    let mut texts: Vec<Cow<'_, str>> = written.map(Cow::Borrowed).into_iter().collect();
    let mut unreadable = Vec::new();
    let credentials = credential::directory();
    for file in files {
        match text::read(reader, file) {
            Ok(text) => texts.push(text.into()),
            Err(error)
                if error.kind() == ErrorKind::PermissionDenied
                    && !is_of_old(file, credentials.as_deref()) =>
            {
                unreadable.push(file.clone());
            }
            Err(_) => {}
        }
    }
    Known {
        unreadable,
        ..lookup_in(texts.iter().map(AsRef::as_ref), host, port)
    }
}

/// Whether it is ssh's second file, whose place the first one took in 2001: who hands that one over has
/// no other.
fn is_of_old(file: &Path, credentials: Option<&Path>) -> bool {
    let name = file.to_str().and_then(|name| name.strip_suffix('2'));
    let first = name
        .filter(|name| name.ends_with("/known_hosts"))
        .map(Path::new);
    let stands_for = |own| credential::instead_of(first?, own);
    credentials.and_then(stands_for).is_some()
}

/// The same in texts alone.
pub fn lookup_in<'a>(
    texts: impl Iterator<Item = &'a str> + Clone,
    host: &str,
    port: Option<u16>,
) -> Known {
    // ssh.c lowers the name it connects to; an alias is taken as it is.
    let host: Cow<'_, str> = match port {
        Some(_) => host.to_lowercase().into(),
        None => host.into(),
    };
    let Some(port) = port.filter(|port| *port != DEFAULT_PORT) else {
        return Known {
            named: search(texts, &host),
            ..Known::default()
        };
    };
    Known {
        named: search(texts.clone(), &format!("[{host}]:{port}")),
        without_port: search(texts, &host),
        unreadable: Vec::new(),
    }
}

fn search<'a>(texts: impl Iterator<Item = &'a str>, name: &str) -> Lines {
    let mut known = Lines::default();
    for line in texts.flat_map(str::lines).filter_map(Line::parse) {
        if !hosts_match(line.hosts, name) {
            continue;
        }
        let keys = match line.marker {
            Marker::None => &mut known.keys,
            Marker::Revoked => &mut known.revoked,
            Marker::CertAuthority => &mut known.authorities,
        };
        // Only the lines of this host are decoded: the file may have thousands of others.
        if let Some(key) = parse_type_and_key(line.kind, line.key)
            && keys.len() < MAX_KEYS
            && !keys.contains(&key)
        {
            keys.push(key);
        }
    }
    known
}

#[derive(Clone, Copy)]
enum Marker {
    None,
    CertAuthority,
    Revoked,
}

struct Line<'a> {
    marker: Marker,
    hosts: &'a str,
    kind: &'a str,
    key: &'a str,
}

impl<'a> Line<'a> {
    /// `None` for comments, empty lines and whatever OpenSSH would skip too.
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = text::tokens(line).peekable();
        if words.peek()?.starts_with('#') {
            return None;
        }
        let marker = match *words.peek()? {
            "@cert-authority" => Marker::CertAuthority,
            "@revoked" => Marker::Revoked,
            word if word.starts_with('@') => return None,
            _ => Marker::None,
        };
        if !matches!(marker, Marker::None) {
            words.next();
        }
        Some(Self {
            marker,
            hosts: words.next().filter(|hosts| hosts.len() <= MAX_HOSTS)?,
            kind: words.next()?,
            key: words.next()?,
        })
    }
}

/// A list of patterns, or one hashed name. A negated pattern that matches outweighs all others.
fn hosts_match(hosts: &str, name: &str) -> bool {
    if let Some(hashed) = hosts.strip_prefix("|1|") {
        return is_hash_of(hashed, name);
    }
    let name = name.to_lowercase();
    let mut matched = false;
    for pattern in hosts.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if glob(&pattern.to_lowercase(), &name) => return false,
            None if glob(&pattern.to_lowercase(), &name) => matched = true,
            _ => {}
        }
    }
    matched
}

/// `salt|hash`, both base64: HMAC-SHA1 of the name under the salt.
fn is_hash_of(hashed: &str, name: &str) -> bool {
    let Some((salt, hash)) = hashed.split_once('|') else {
        return false;
    };
    let (Ok(salt), Ok(hash)) = (
        BASE64.decode(salt.as_bytes()),
        BASE64.decode(hash.as_bytes()),
    ) else {
        return false;
    };
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    hmac::verify(&key, name.as_bytes(), &hash).is_ok()
}

/// `*` is any run of characters, `?` any one; nothing else has a meaning, brackets included.
pub(crate) fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where the last `*` stands, and how much of the name it has eaten so far.
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, eaten)) => {
                    star = Some((at, eaten + 1));
                    p = at + 1;
                    n = eaten + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests;
